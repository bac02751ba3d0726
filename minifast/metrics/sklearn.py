"""scikit-learn's metrics: each function here returns a metric that is computed once, on the whole set.

The plain names take one output per class (argmax, or probabilities where the metric ranks or grades them); the `...Multi` names take
one logit per label and several labels per item. They are shown under scikit-learn's own name, such as `f1_score`.

The table at the end has one row a metric: the function of scikit-learn, how the model's output is read for it, and as a signature the
settings with their defaults. scikit-learn is imported when a metric is made.
"""
import inspect
import math
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias
from warnings import warn

import numpy as np
import torch

from ..core.keywords import knows_keywords
from ..core.messages import brief, describe, listing, name_of, plural
from ..nn.loss_traits import has_own_code
from .base import AccumMetric
from .classes import class_id, class_ids, classes_of

if TYPE_CHECKING:
    from ..learner.learner import Learner

P = ParamSpec("P")
Label: TypeAlias = int | str
"A class by its name or its id."


class SklearnMetric(AccumMetric):
    """What `skm_to_fastai` makes: a metric of scikit-learn, whose `labels` and `pos_label` may be names of classes, and which is nan where
    the set lacks a class that it needs.

    Args:
        args, kwargs: of `AccumMetric`.

    Attributes:
        made_by: how it is written, such as 'F1Score' or 'skm_to_fastai(max_error)'.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.made_by = f"skm_to_fastai({name_of(self.func)})"
        self._names: list | None = None                 # of the classes, as far as they are known
        self._n: int | None = None

    def accumulate(self, learn: "Learner") -> None:
        if not self.preds:
            self._names = classes_of(learn)
        super().accumulate(learn)

    def add(self, pred: torch.Tensor, targ: torch.Tensor, loss_func: Any = None) -> None:
        first = not self.preds
        super().add(pred, targ, loss_func)
        if first:
            self._n = 2 if pred.ndim < 2 or pred.shape[self.axis] == 1 else pred.shape[self.axis]
            self._settings()                                # refuses unknown classes at the first batch

    def _settings(self):
        "The keywords for scikit-learn, classes as ids."
        if has_own_code(self.func, "sklearn"):
            return self.kwargs
        found = {name: value for name, value in self.kwargs.items() if value is not None or name != "pos_label"}
        if (given := found.get("labels")) is not None:
            found["labels"] = class_ids(given, self._names, self._n, f"{self.made_by}(labels=...)")
        if "pos_label" in found:
            found["pos_label"] = class_id(found["pos_label"], self._names, self._n, f"{self.made_by}(pos_label=...)")
        return found

    def compute(self, preds: np.ndarray, targs: np.ndarray) -> Any:
        settings, name = self._settings(), getattr(self.func, "__name__", "")
        if self.activation == "binarysoftmax" and settings.get("pos_label") == 0:
            preds = 1 - preds                                # the probability of the first class
        if name in _NEEDS_CLASSES:
            positive = settings.get("pos_label", 1)
            absent = _absent(preds, targs, (0, 1) if name == "roc_auc_score" else (positive,))
            if absent:
                names = [repr(self._names[i]) if self._names and i < len(self._names) else str(i) for i in absent]
                warn(f"{self.made_by} is nan: among {plural(len(targs), 'item')} class{'es' * (len(names) > 1)} {listing(names)} "
                     f"{'do' if len(names) > 1 else 'does'} not occur, or nothing else does", stacklevel=2)
                return math.nan
        return self.func(targs, preds, **settings)


#: Metrics of scikit-learn that are undefined where the set lacks a class or a label.
_NEEDS_CLASSES = ("roc_auc_score", "average_precision_score")


def _absent(preds, targs, values):
    "The classes (columns of the predictions, or ids) without an item; of 0/1 labels the columns that lack one of `values`."
    if targs.ndim == 2 and targs.shape[1] > 1:
        return [i for i in range(targs.shape[1]) if not all((targs[:, i] == value).any() for value in values)]
    return [i for i in (range(preds.shape[1]) if preds.ndim == 2 else values) if not (targs == i).any()]


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
        kwargs: for `func`; in `labels` and `pos_label`, classes may be given by name.
    """
    if kwargs.get("average", "macro") is None:
        raise ValueError(f"{name_of(func)}(average=None) gives one number per class, a metric is a single number: choose 'macro', "
                         "'micro' or 'weighted'.")
    if activation is None:
        activation = "sigmoid" if is_class and thresh is not None else "no"
    decides = is_class and thresh is None and activation == "no"
    if decides:
        kwargs.setdefault("check", _several_classes)
    return SklearnMetric(func, dim_argmax=axis if is_class and thresh is None else None, activation=activation, thresh=thresh, axis=axis,
                         to_np=True, invert_arg=True, flatten=flatten, name=name,
                         lower_is_better=_direction(func) if lower_is_better is None else lower_is_better, **kwargs)


def _direction(func: Callable) -> bool | None:
    "Whether lower is better, by the naming rule of scikit-learn."
    name = name_of(func)
    return True if name.endswith(("_loss", "_error")) else False if name.endswith("_score") or name == "matthews_corrcoef" else None


# What a metric refuses

def _one_class_per_item(metric, pred, targ):
    if pred.ndim > 1 and pred.shape[metric.axis] > 1 and targ.shape == pred.shape:
        multi = f"{metric.made_by.removesuffix('Binary')}Multi"
        cure = _written(metric, multi) if multi in globals() else f"skm_to_fastai({name_of(metric.func)}, thresh=0.5)"
        raise ValueError(f"metric {metric.name} is for one class per item; the targets are {describe(targ)}, several labels of each: "
                         f"write {cure}.")


def _several_classes(metric: Any, pred: torch.Tensor, targ: torch.Tensor) -> None:
    "One output per class; exactly two where one of them counts as positive."
    _one_class_per_item(metric, pred, targ)
    n = pred.shape[metric.axis] if pred.ndim > 1 else 1
    binary = metric.kwargs.get("average") == "binary"
    if n == 1:
        multi, func = f"{metric.made_by}Multi", name_of(metric.func)
        numbers = targ.is_floating_point() and not bool(((targ == 0) | (targ == 1)).all())
        cure = (_written(metric, multi, **({"average": "binary"} if binary else {})) if multi in globals() else
                f"skm_to_fastai({func}, {'is_class=False' if numbers else 'thresh=0.5'})")
        raise ValueError(f"metric {metric.name} takes the most probable of several classes; the predictions are {describe(pred)}, and a "
                         f"single column is always class 0: for one {'number' if numbers else 'logit'} per item write {cure}.")
    if binary and n != 2:
        raise ValueError(f"metric {metric.name} is for two classes with one output each; the predictions are {describe(pred)}, {n} along "
                         f"axis {metric.axis}: write average='macro'.")


def _written(metric, name, **settings):
    "How to write the metric `name` in the place of another, with the setting that has no default."
    settings = {k: v for k, v in metric.kwargs.items() if k == "beta"} | settings
    return f"{name}({', '.join(f'{k}={v!r}' for k, v in settings.items())})"


def _of_probabilities(func):
    "How to write what has no name here: scikit-learn's function on one probability per class."
    return f"skm_to_fastai({func}, is_class=False, activation='softmax', flatten=False)"


def _two_classes(instead: str, one_logit: str) -> Callable[[AccumMetric, torch.Tensor, torch.Tensor], None]:
    def check(metric, pred, targ):
        _one_class_per_item(metric, pred, targ)
        n = pred.shape[metric.axis] if pred.ndim > 1 else 1
        if n != 2:
            advice = f": for one logit per item write {one_logit}." if n == 1 else f", {n} along axis {metric.axis}: write {instead}."
            raise ValueError(f"metric {metric.name} is for two classes with one output each; the predictions are {describe(pred)}{advice}")
    return check


def _many_classes(metric: Any, pred: torch.Tensor, targ: torch.Tensor) -> None:
    _one_class_per_item(metric, pred, targ)
    n = pred.shape[metric.axis] if pred.ndim > 1 else 1
    if n < 3:
        raise ValueError(f"metric {metric.name} here compares three classes or more; the predictions are {describe(pred)}: "
                         f"write {'RocAucBinary' if n == 2 else 'RocAucMulti'}().")


def _one_target_per_label(metric: Any, pred: torch.Tensor, targ: torch.Tensor) -> None:
    if pred.ndim == 2 and pred.shape[1] > 1 and targ.numel() == len(pred):
        single, func = metric.made_by.removesuffix("Multi"), metric.func.__name__
        row, binary = globals().get(single), globals().get(f"{single}Binary")
        macro = row is not None and binary is None and "average" in inspect.signature(row).parameters
        cure = (f"{single}Binary()" if binary and pred.shape[1] == 2 else
                _of_probabilities(func) if row is None or (func == "brier_score_loss" and pred.shape[1] > 2) else
                _written(metric, single, **({"average": "macro"} if macro else {})))
        raise ValueError(f"metric {metric.name} of several labels per item takes one 0/1 target for each; the predictions are "
                         f"{describe(pred)}, the targets {describe(targ)}, one class per item: write {cure}.")


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
    return skm_to_fastai(func, is_class="thresh" in settings, activation="sigmoid" if sigmoid else "no", flatten=flatten,
                         check=_one_target_per_label, **settings)


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
    "labels": "the classes to count, by name or id (None: all).",
    "max_fpr": "area up to this false positive rate only, 0 to 1.",
    "multi_class": "'ovr', each class against the rest, or 'ovo', each against each.",
    "pos_label": "the class that counts as positive, by name or id (None: the second, id 1).",
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
        signature, check = inspect.signature(row), knows_keywords(row)

        @wraps(row)
        def make(*args, **kwargs):
            check(*args, **kwargs)              # an error with the metric's name where the arguments do not fit
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            metric = read(_of_sklearn(func) if isinstance(func, str) else func, **bound.arguments)
            metric.made_by = row.__name__
            return metric

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

@_metric("average_precision_score", partial(_second_class, instead=_of_probabilities("average_precision_score"),
                                            one_logit="APScoreMulti()"))
def APScoreBinary(axis: int = -1, average: str = "macro", pos_label: Label | None = None,
                  sample_weight: Sequence[float] | None = None) -> Any:
    "Average precision of the probability of the second of two classes."


@_metric("balanced_accuracy_score")
def BalancedAccuracy(axis: int = -1, sample_weight: Sequence[float] | None = None, adjusted: bool = False) -> Any:
    "Recall, averaged over the classes."


@_metric("brier_score_loss", partial(_second_class, instead=_of_probabilities("brier_score_loss"),
                                     one_logit="BrierScoreMulti()"))
def BrierScore(axis: int = -1, sample_weight: Sequence[float] | None = None, pos_label: Label | None = None) -> Any:
    "Mean squared error of the probability of the second of two classes (of the probability, not of the decision)."


@_metric("cohen_kappa_score")
def CohenKappa(axis: int = -1, labels: Sequence[Label] | None = None, weights: str | None = None,
               sample_weight: Sequence[float] | None = None) -> Any:
    "Agreement beyond chance; weights='quadratic' for ordered classes."


@_metric("f1_score")
def F1Score(axis: int = -1, labels: Sequence[Label] | None = None, pos_label: Label | None = None, average: str = "binary",
            sample_weight: Sequence[float] | None = None) -> Any:
    "Harmonic mean of precision and recall; for more than two classes give average='macro', 'micro' or 'weighted'."


@_metric("fbeta_score")
def FBeta(beta: float, axis: int = -1, labels: Sequence[Label] | None = None, pos_label: Label | None = None,
          average: str = "binary", sample_weight: Sequence[float] | None = None) -> Any:
    "F score that counts recall `beta` times as much as precision."


@_metric("hamming_loss")
def HammingLoss(axis: int = -1, sample_weight: Sequence[float] | None = None) -> Any:
    "Share of wrong labels."


@_metric("jaccard_score")
def Jaccard(axis: int = -1, labels: Sequence[Label] | None = None, pos_label: Label | None = None, average: str = "binary",
            sample_weight: Sequence[float] | None = None) -> Any:
    "Intersection over union of the predicted and the true items of a class."


@_metric("precision_score")
def Precision(axis: int = -1, labels: Sequence[Label] | None = None, pos_label: Label | None = None, average: str = "binary",
              sample_weight: Sequence[float] | None = None) -> Any:
    "Share of the items predicted as a class that belong to it."


@_metric("recall_score")
def Recall(axis: int = -1, labels: Sequence[Label] | None = None, pos_label: Label | None = None, average: str = "binary",
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
def APScoreMulti(sigmoid: bool = True, average: str = "macro", pos_label: Label | None = None,
                 sample_weight: Sequence[float] | None = None) -> Any:
    "Average precision per label, averaged."


@_metric("brier_score_loss", partial(_labels, flatten=True))
def BrierScoreMulti(sigmoid: bool = True, sample_weight: Sequence[float] | None = None, pos_label: Label | None = None) -> Any:
    "Mean squared error of the probabilities, over items and labels."


@_metric("f1_score", _labels)
def F1ScoreMulti(thresh: float = 0.5, sigmoid: bool = True, labels: Sequence[Label] | None = None, pos_label: Label | None = None,
                 average: str = "macro", sample_weight: Sequence[float] | None = None) -> Any:
    "F1 score of the labels whose probability is above `thresh`."


@_metric("fbeta_score", _labels)
def FBetaMulti(beta: float, thresh: float = 0.5, sigmoid: bool = True, labels: Sequence[Label] | None = None,
               pos_label: Label | None = None, average: str = "macro", sample_weight: Sequence[float] | None = None) -> Any:
    "F score with `beta` of the labels whose probability is above `thresh`."


@_metric("hamming_loss", _labels)
def HammingLossMulti(thresh: float = 0.5, sigmoid: bool = True, sample_weight: Sequence[float] | None = None) -> Any:
    "Share of wrong labels."


@_metric("jaccard_score", _labels)
def JaccardMulti(thresh: float = 0.5, sigmoid: bool = True, labels: Sequence[Label] | None = None, pos_label: Label | None = None,
                 average: str = "macro", sample_weight: Sequence[float] | None = None) -> Any:
    "Intersection over union of the predicted and the true labels."


@_metric("matthews_corrcoef", partial(_labels, flatten=True))
def MatthewsCorrCoefMulti(thresh: float = 0.5, sigmoid: bool = True, sample_weight: Sequence[float] | None = None) -> Any:
    "Matthews correlation coefficient over all labels together."


@_metric("precision_score", _labels)
def PrecisionMulti(thresh: float = 0.5, sigmoid: bool = True, labels: Sequence[Label] | None = None, pos_label: Label | None = None,
                   average: str = "macro", sample_weight: Sequence[float] | None = None) -> Any:
    "Share of the predicted labels that are right."


@_metric("recall_score", _labels)
def RecallMulti(thresh: float = 0.5, sigmoid: bool = True, labels: Sequence[Label] | None = None, pos_label: Label | None = None,
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
