"""scikit-learn's metrics: each function here returns a metric that is computed once, on the whole set.

The plain names take one output per class (argmax, or probabilities where the metric ranks or grades them); the `...Multi` names take
one logit per label and several labels per item. They are shown under scikit-learn's own name, such as `f1_score`.

The table at the end has one row a metric: the function of scikit-learn, how the model's output is read for it, and as a signature the
settings with their defaults. scikit-learn is imported when a metric is made.
"""
import inspect
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, ParamSpec

import numpy as np
import torch

from ..core.messages import brief, describe
from .base import AccumMetric

P = ParamSpec("P")


def skm_to_fastai(func: Callable[..., float], is_class: bool = True, thresh: float | None = None, axis: int = -1,
                  activation: str | Callable[[torch.Tensor], torch.Tensor] | None = None, lower_is_better: bool | None = None,
                  flatten: bool = True, name: str | None = None, **kwargs: Any) -> AccumMetric:
    """Make a metric of scikit-learn's `func(y_true, y_pred, **kwargs)`.

    Args:
        func: a function of `sklearn.metrics`.
        is_class: it takes decisions: the argmax along `axis` (unless there is an `activation`), or with `thresh` whether the sigmoid
            reaches it. False: numbers or probabilities.
        thresh: probability above which a label counts as predicted.
        axis: the axis of the classes in the predictions.
        activation: what raw outputs go through first, as for `AccumMetric` (default: the sigmoid with `thresh`, else nothing).
        lower_is_better: default: read off scikit-learn's name, `..._loss` and `..._error` or `..._score`.
        flatten: flatten predictions and targets; False keeps (items, labels).
        name: shown in tables (default: the function's own).
        kwargs: for `func`.
    """
    if kwargs.get("average", "macro") is None:
        raise ValueError(f"{func.__name__}(average=None) gives one number per class, a metric is a single number: choose 'macro', "
                         "'micro' or 'weighted'.")
    if activation is None:
        activation = "sigmoid" if is_class and thresh is not None else "no"
    decides = is_class and thresh is None
    if decides and kwargs.get("average") == "binary":
        kwargs["check"] = _two_classes("average='macro'")
    return AccumMetric(func, dim_argmax=axis if decides else None, activation=activation, thresh=thresh, axis=axis, to_np=True,
                       invert_arg=True, flatten=flatten, name=name,
                       lower_is_better=_direction(func) if lower_is_better is None else lower_is_better, **kwargs)


def _direction(func: Callable) -> bool | None:
    "Whether lower is better, by the naming rule of scikit-learn."
    name = getattr(func, "__name__", "")
    return True if name.endswith(("_loss", "_error")) else False if name.endswith("_score") or name == "matthews_corrcoef" else None


# What a metric refuses

def _two_classes(instead: str, one_logit: str = "thresh=") -> Callable[[AccumMetric, torch.Tensor], None]:
    def check(metric, pred):
        n = pred.shape[metric.axis] if pred.ndim > 1 else 1
        if n != 2:
            advice = f": for one logit per item write {one_logit}." if n == 1 else f", {n} along axis {metric.axis}: write {instead}."
            raise ValueError(f"metric {metric.name} is for two classes with one output each; the predictions are {describe(pred)}{advice}")
    return check


def _many_classes(metric: AccumMetric, pred: torch.Tensor) -> None:
    if pred.ndim < 2 or pred.shape[metric.axis] < 3:
        raise ValueError(f"metric {metric.name} here compares three classes or more; the predictions are {describe(pred)}: "
                         "write RocAucBinary().")


# How the model's output is read: functions of (scikit-learn's function, settings) that return the metric

def _second_class(func, instead, one_logit, **settings):
    "The probability of the second of two classes."
    return skm_to_fastai(func, is_class=False, activation="binarysoftmax", check=_two_classes(instead, one_logit), **settings)


def _class_probabilities(func, multi_class, **settings):
    "One probability per class."
    if multi_class not in ("ovr", "ovo"):
        raise ValueError(f"RocAuc(multi_class={brief(multi_class)}): write 'ovr' or 'ovo'; for two classes RocAucBinary()")
    return skm_to_fastai(func, is_class=False, activation="softmax", flatten=False, multi_class=multi_class, check=_many_classes,
                         **settings)


def _labels(func, sigmoid, flatten=False, **settings):
    "One yes/no decision per label where `settings` have a threshold, else one probability per label."
    return skm_to_fastai(func, is_class="thresh" in settings, activation="sigmoid" if sigmoid else "no", flatten=flatten, **settings)


def _per_output(func, name=None, **settings):
    "Numbers: several outputs are scored one by one and averaged."
    def columns(targ, pred, **kwargs):
        if targ.size != pred.size or len(targ) != len(pred):
            raise ValueError(f"predictions {describe(pred)} and targets {describe(targ)} cannot be compared element by element")
        return func(targ.reshape(len(targ), -1), pred.reshape(len(pred), -1), **kwargs)
    return AccumMetric(columns, to_np=True, invert_arg=True, flatten=False, name=name or func.__name__, lower_is_better=False, **settings)


def _pearson(targ: np.ndarray, pred: np.ndarray) -> float:
    return float(np.mean([np.corrcoef(t, p)[0, 1] for t, p in zip(targ.T, pred.T, strict=True)]))


def _spearman(targ: np.ndarray, pred: np.ndarray) -> float:
    from scipy.stats import rankdata
    return _pearson(rankdata(targ, axis=0), rankdata(pred, axis=0))


_SETTINGS = {
    "activation": "what raw outputs go through first, as for `AccumMetric`.",
    "adjusted": "rescale so that chance is 0.",
    "average": "'macro', 'micro' or 'weighted' mean over classes or labels; 'binary': the class `pos_label` alone.",
    "axis": "the axis of the classes in the predictions.",
    "beta": "how many times as much recall counts as precision.",
    "dim_argmax": "take the most probable class along this axis first (where there is no activation).",
    "labels": "the class ids to count (None: all).",
    "max_fpr": "area up to this false positive rate only, 0 to 1.",
    "multi_class": "'ovr', each class against the rest, or 'ovo', each against each.",
    "pos_label": "the class id that counts as positive.",
    "sample_weight": "one weight per item of the whole set.",
    "sigmoid": "the model returns logits (False: probabilities).",
    "thresh": "probability above which a label counts as predicted.",
    "weights": "None, 'linear' or 'quadratic': how much a confusion of distant classes costs.",
}


def _metric(func: str | Callable[..., float], read: Callable[..., AccumMetric] = skm_to_fastai
            ) -> Callable[[Callable[P, Any]], Callable[P, AccumMetric]]:
    "Turn the row `def Name(settings): \"docstring\"` into a function that returns the metric."
    def made(row):
        row.__annotations__["return"] = AccumMetric
        signature = inspect.signature(row)

        @wraps(row)
        def make(*args, **kwargs):
            row(*args, **kwargs)                # Python's own error, with the metric's name, where the arguments do not fit
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return read(_of_sklearn(func) if isinstance(func, str) else func, **bound.arguments)

        make.__doc__ = f"{row.__doc__}\n\nArgs:\n" + "\n".join(f"    {name}: {_SETTINGS[name]}" for name in signature.parameters)
        make.makes_metric = True                # so that `metrics=[F1Score]`, without brackets, is refused
        return make
    return made


def _of_sklearn(name: str) -> Callable[..., float]:
    try:
        from sklearn import metrics
    except ImportError as e:
        raise ImportError(f"the metric {name} is scikit-learn's: pip install scikit-learn") from e
    return getattr(metrics, name)


# The table. One output per class

@_metric("average_precision_score", partial(_second_class, instead="APScoreMulti() with one-hot targets", one_logit="APScoreMulti()"))
def APScoreBinary(axis: int = -1, average: str = "macro", pos_label: int = 1, sample_weight: Sequence[float] | None = None) -> Any:
    "Average precision of the probability of the second of two classes."


@_metric("balanced_accuracy_score")
def BalancedAccuracy(axis: int = -1, sample_weight: Sequence[float] | None = None, adjusted: bool = False) -> Any:
    "Recall, averaged over the classes."


@_metric("brier_score_loss", partial(_second_class, instead="BrierScoreMulti() with one-hot targets", one_logit="BrierScoreMulti()"))
def BrierScore(axis: int = -1, sample_weight: Sequence[float] | None = None, pos_label: int | None = None) -> Any:
    "Mean squared error of the probability of the second of two classes (of the probability, not of the decision)."


@_metric("cohen_kappa_score")
def CohenKappa(axis: int = -1, labels: Sequence[int] | None = None, weights: str | None = None,
               sample_weight: Sequence[float] | None = None) -> Any:
    "Agreement beyond chance; weights='quadratic' for ordered classes."


@_metric("f1_score")
def F1Score(axis: int = -1, labels: Sequence[int] | None = None, pos_label: int = 1, average: str = "binary",
            sample_weight: Sequence[float] | None = None) -> Any:
    "Harmonic mean of precision and recall; for more than two classes give average='macro', 'micro' or 'weighted'."


@_metric("fbeta_score")
def FBeta(beta: float, axis: int = -1, labels: Sequence[int] | None = None, pos_label: int = 1, average: str = "binary",
          sample_weight: Sequence[float] | None = None) -> Any:
    "F score that counts recall `beta` times as much as precision."


@_metric("hamming_loss")
def HammingLoss(axis: int = -1, sample_weight: Sequence[float] | None = None) -> Any:
    "Share of wrong labels."


@_metric("jaccard_score")
def Jaccard(axis: int = -1, labels: Sequence[int] | None = None, pos_label: int = 1, average: str = "binary",
            sample_weight: Sequence[float] | None = None) -> Any:
    "Intersection over union of the predicted and the true items of a class."


@_metric("precision_score")
def Precision(axis: int = -1, labels: Sequence[int] | None = None, pos_label: int = 1, average: str = "binary",
              sample_weight: Sequence[float] | None = None) -> Any:
    "Share of the items predicted as a class that belong to it."


@_metric("recall_score")
def Recall(axis: int = -1, labels: Sequence[int] | None = None, pos_label: int = 1, average: str = "binary",
           sample_weight: Sequence[float] | None = None) -> Any:
    "Share of the items of a class that were found."


@_metric("roc_auc_score", _class_probabilities)
def RocAuc(axis: int = -1, average: str = "macro", sample_weight: Sequence[float] | None = None, max_fpr: float | None = None,
           multi_class: str = "ovr") -> Any:
    "Area under the ROC curve for three classes or more, on probabilities."


@_metric("roc_auc_score", partial(_second_class, instead="RocAuc()", one_logit="RocAucMulti()"))
def RocAucBinary(axis: int = -1, average: str = "macro", sample_weight: Sequence[float] | None = None, max_fpr: float | None = None,
                 multi_class: str = "raise") -> Any:
    "Area under the ROC curve of the probability of the second of two classes."


@_metric("matthews_corrcoef")
def MatthewsCorrCoef(axis: int = -1, sample_weight: Sequence[float] | None = None) -> Any:
    "Matthews correlation coefficient, -1 to 1."


# One logit per label, several labels per item

@_metric("average_precision_score", _labels)
def APScoreMulti(sigmoid: bool = True, average: str = "macro", pos_label: int = 1, sample_weight: Sequence[float] | None = None) -> Any:
    "Average precision per label, averaged."


@_metric("brier_score_loss", partial(_labels, flatten=True))
def BrierScoreMulti(sigmoid: bool = True, sample_weight: Sequence[float] | None = None, pos_label: int | None = None) -> Any:
    "Mean squared error of the probabilities, over items and labels."


@_metric("f1_score", _labels)
def F1ScoreMulti(thresh: float = 0.5, sigmoid: bool = True, labels: Sequence[int] | None = None, pos_label: int = 1,
                 average: str = "macro", sample_weight: Sequence[float] | None = None) -> Any:
    "F1 score of the labels whose probability is above `thresh`."


@_metric("fbeta_score", _labels)
def FBetaMulti(beta: float, thresh: float = 0.5, sigmoid: bool = True, labels: Sequence[int] | None = None, pos_label: int = 1,
               average: str = "macro", sample_weight: Sequence[float] | None = None) -> Any:
    "F score with `beta` of the labels whose probability is above `thresh`."


@_metric("hamming_loss", _labels)
def HammingLossMulti(thresh: float = 0.5, sigmoid: bool = True, sample_weight: Sequence[float] | None = None) -> Any:
    "Share of wrong labels."


@_metric("jaccard_score", _labels)
def JaccardMulti(thresh: float = 0.5, sigmoid: bool = True, labels: Sequence[int] | None = None, pos_label: int = 1,
                 average: str = "macro", sample_weight: Sequence[float] | None = None) -> Any:
    "Intersection over union of the predicted and the true labels."


@_metric("matthews_corrcoef", partial(_labels, flatten=True))
def MatthewsCorrCoefMulti(thresh: float = 0.5, sigmoid: bool = True, sample_weight: Sequence[float] | None = None) -> Any:
    "Matthews correlation coefficient over all labels together."


@_metric("precision_score", _labels)
def PrecisionMulti(thresh: float = 0.5, sigmoid: bool = True, labels: Sequence[int] | None = None, pos_label: int = 1,
                   average: str = "macro", sample_weight: Sequence[float] | None = None) -> Any:
    "Share of the predicted labels that are right."


@_metric("recall_score", _labels)
def RecallMulti(thresh: float = 0.5, sigmoid: bool = True, labels: Sequence[int] | None = None, pos_label: int = 1,
                average: str = "macro", sample_weight: Sequence[float] | None = None) -> Any:
    "Share of the true labels that were found."


@_metric("roc_auc_score", _labels)
def RocAucMulti(sigmoid: bool = True, average: str = "macro", sample_weight: Sequence[float] | None = None,
                max_fpr: float | None = None) -> Any:
    "Area under the ROC curve per label, averaged."


# Regression

@_metric("explained_variance_score", _per_output)
def ExplainedVariance(sample_weight: Sequence[float] | None = None) -> Any:
    "Share of the variance explained, 1 at best; the mean over outputs where there are several."


@_metric("r2_score", _per_output)
def R2Score(sample_weight: Sequence[float] | None = None) -> Any:
    "Coefficient of determination, 1 at best, 0 for predicting the mean; the mean over outputs where there are several."


@_metric(_pearson, partial(_per_output, name="pearsonr"))
def PearsonCorrCoef(dim_argmax: int | None = None, activation: str = "no", thresh: float | None = None) -> Any:
    "Linear correlation of predictions and targets, -1 to 1; the mean over outputs where there are several."


@_metric(_spearman, partial(_per_output, name="spearmanr"))
def SpearmanCorrCoef(dim_argmax: int | None = None, activation: str = "no", thresh: float | None = None) -> Any:
    "Correlation of the ranks of predictions and targets, -1 to 1; the mean over outputs where there are several."
