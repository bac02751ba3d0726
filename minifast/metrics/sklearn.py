"""scikit-learn's metrics, wrapped: each function here returns a metric that is computed once, on the whole set.

The plain names take one output per class (argmax, or probabilities where the metric ranks or grades them); the `...Multi` names take
one logit per label and several labels per item. They are shown under scikit-learn's own name, such as `f1_score`.
scikit-learn is imported when a metric is made.
"""
from functools import wraps

import numpy as np

from ..core.messages import describe
from .accumulate import AccumMetric

#: scikit-learn's functions whose direction their name does not tell; `..._score` is better high, `..._loss` and `..._error` low
_DIRECTIONS = {"matthews_corrcoef": False, "pearsonr": False, "spearmanr": False}


def _sklearn(name):
    try:
        from sklearn import metrics
    except ImportError as e:
        raise ImportError(f"the metric {name} is scikit-learn's: pip install scikit-learn") from e
    return getattr(metrics, name)


def _direction(func):
    name = getattr(func, "__name__", "")
    if name in _DIRECTIONS:
        return _DIRECTIONS[name]
    return True if name.endswith(("_loss", "_error")) else False if name.endswith("_score") else None


def skm_to_fastai(func, is_class=True, thresh=None, axis=-1, activation=None, lower_is_better=None, flatten=True, name=None, **kwargs):
    """scikit-learn's `func(y_true, y_pred, **kwargs)` as a metric.

    is_class: it takes decisions, the argmax along `axis`, or with `thresh` the sigmoid (unless `activation` says otherwise) above it;
    False: it takes numbers or probabilities. flatten=False keeps (items, labels). lower_is_better: by default read off scikit-learn's
    naming.
    """
    if kwargs.get("average", "macro") is None:
        raise ValueError(f"{func.__name__}(average=None) gives one number per class, a metric is a single number: choose 'macro', "
                         "'micro' or 'weighted'.")
    if activation is None:
        activation = "sigmoid" if is_class and thresh is not None else "no"
    metric = AccumMetric(func, dim_argmax=axis if is_class and thresh is None else None, activation=activation, thresh=thresh, axis=axis,
                         to_np=True, invert_arg=True, flatten=flatten, name=name,
                         lower_is_better=_direction(func) if lower_is_better is None else lower_is_better, **kwargs)
    if kwargs.get("average") == "binary" and metric.dim_argmax is not None:
        metric.check = _two_classes("average='macro'")
    return metric


def _two_classes(instead, one_logit="thresh="):
    def check(metric, pred):
        n = pred.shape[metric.axis] if pred.ndim > 1 else 1
        if n == 1:
            raise ValueError(f"metric {metric.name} is for two classes with one output each; the predictions are {describe(pred)}: for one "
                             f"logit per item write {one_logit}.")
        if n != 2:
            raise ValueError(f"metric {metric.name} is for two classes with one output each; the predictions are {describe(pred)}, {n} "
                             f"along axis {metric.axis}: write {instead}.")
    return check


def _many_classes(metric, pred):
    if pred.ndim < 2 or pred.shape[metric.axis] < 3:
        raise ValueError(f"metric {metric.name} here compares three classes or more; the predictions are {describe(pred)}: "
                         "write RocAucBinary().")


def _makes_metric(f):
    "Marks `f` as a function that returns a metric, so that `metrics=[f]` without brackets can be refused."
    @wraps(f)
    def _made(*args, **kwargs):
        return f(*args, **kwargs)
    _made.makes_metric = True
    return _made


# one output per class

@_makes_metric
def APScoreBinary(axis=-1, average="macro", pos_label=1, sample_weight=None):
    "Average precision of the probability of the second of two classes."
    m = skm_to_fastai(_sklearn("average_precision_score"), is_class=False, axis=axis, activation="binarysoftmax", average=average,
                      pos_label=pos_label, sample_weight=sample_weight)
    m.check = _two_classes("APScoreMulti() with one-hot targets", "APScoreMulti()")
    return m


@_makes_metric
def BalancedAccuracy(axis=-1, sample_weight=None, adjusted=False):
    "Mean over classes of the share of each that was found."
    return skm_to_fastai(_sklearn("balanced_accuracy_score"), axis=axis, sample_weight=sample_weight, adjusted=adjusted)


@_makes_metric
def BrierScore(axis=-1, sample_weight=None, pos_label=None):
    "Mean squared error of the probability of the second of two classes (of the probability, not of the decision)."
    m = skm_to_fastai(_sklearn("brier_score_loss"), is_class=False, axis=axis, activation="binarysoftmax", sample_weight=sample_weight,
                      pos_label=pos_label)
    m.check = _two_classes("BrierScoreMulti() with one-hot targets", "BrierScoreMulti()")
    return m


@_makes_metric
def CohenKappa(axis=-1, labels=None, weights=None, sample_weight=None):
    "Agreement beyond chance; weights='quadratic' for ordered classes."
    return skm_to_fastai(_sklearn("cohen_kappa_score"), axis=axis, labels=labels, weights=weights, sample_weight=sample_weight)


@_makes_metric
def F1Score(axis=-1, labels=None, pos_label=1, average="binary", sample_weight=None):
    "Harmonic mean of precision and recall; for more than two classes give average='macro', 'micro' or 'weighted'."
    return skm_to_fastai(_sklearn("f1_score"), axis=axis, labels=labels, pos_label=pos_label, average=average, sample_weight=sample_weight)


@_makes_metric
def FBeta(beta, axis=-1, labels=None, pos_label=1, average="binary", sample_weight=None):
    "F score that counts recall `beta` times as much as precision."
    return skm_to_fastai(_sklearn("fbeta_score"), axis=axis, beta=beta, labels=labels, pos_label=pos_label, average=average,
                         sample_weight=sample_weight)


@_makes_metric
def HammingLoss(axis=-1, sample_weight=None):
    "Share of wrong labels."
    return skm_to_fastai(_sklearn("hamming_loss"), axis=axis, sample_weight=sample_weight)


@_makes_metric
def Jaccard(axis=-1, labels=None, pos_label=1, average="binary", sample_weight=None):
    "Intersection over union of predicted and true items of a class."
    return skm_to_fastai(_sklearn("jaccard_score"), axis=axis, labels=labels, pos_label=pos_label, average=average,
                         sample_weight=sample_weight)


@_makes_metric
def Precision(axis=-1, labels=None, pos_label=1, average="binary", sample_weight=None):
    "Share of the predicted items of a class that are of it."
    return skm_to_fastai(_sklearn("precision_score"), axis=axis, labels=labels, pos_label=pos_label, average=average,
                         sample_weight=sample_weight)


@_makes_metric
def Recall(axis=-1, labels=None, pos_label=1, average="binary", sample_weight=None):
    "Share of the items of a class that were found."
    return skm_to_fastai(_sklearn("recall_score"), axis=axis, labels=labels, pos_label=pos_label, average=average,
                         sample_weight=sample_weight)


@_makes_metric
def RocAuc(axis=-1, average="macro", sample_weight=None, max_fpr=None, multi_class="ovr"):
    "Area under the ROC curve for three classes or more, on probabilities; multi_class is 'ovr' (one against the rest) or 'ovo'."
    if multi_class not in ("ovr", "ovo"):
        raise ValueError(f"RocAuc(multi_class={multi_class!r}): write 'ovr' or 'ovo'; for two classes RocAucBinary()")
    m = skm_to_fastai(_sklearn("roc_auc_score"), is_class=False, axis=axis, activation="softmax", flatten=False, average=average,
                      sample_weight=sample_weight, max_fpr=max_fpr, multi_class=multi_class)
    m.check = _many_classes
    return m


@_makes_metric
def RocAucBinary(axis=-1, average="macro", sample_weight=None, max_fpr=None, multi_class="raise"):
    "Area under the ROC curve of the probability of the second of two classes."
    m = skm_to_fastai(_sklearn("roc_auc_score"), is_class=False, axis=axis, activation="binarysoftmax", average=average,
                      sample_weight=sample_weight, max_fpr=max_fpr, multi_class=multi_class)
    m.check = _two_classes("RocAuc()", "RocAucMulti()")
    return m


@_makes_metric
def MatthewsCorrCoef(axis=-1, sample_weight=None):
    "Matthews correlation coefficient, -1 to 1."
    return skm_to_fastai(_sklearn("matthews_corrcoef"), axis=axis, sample_weight=sample_weight)


# one logit per label, several labels per item

def _multi(name, thresh, sigmoid, **kwargs):
    return skm_to_fastai(_sklearn(name), thresh=thresh, activation="sigmoid" if sigmoid else "no", flatten=False, **kwargs)


def _multi_scores(name, sigmoid, flatten=False, **kwargs):
    return skm_to_fastai(_sklearn(name), is_class=False, activation="sigmoid" if sigmoid else "no", flatten=flatten, **kwargs)


@_makes_metric
def APScoreMulti(sigmoid=True, average="macro", pos_label=1, sample_weight=None):
    "Average precision per label, averaged. sigmoid=False: the model returns probabilities already."
    return _multi_scores("average_precision_score", sigmoid, average=average, pos_label=pos_label, sample_weight=sample_weight)


@_makes_metric
def BrierScoreMulti(sigmoid=True, sample_weight=None, pos_label=None):
    "Mean squared error of the probabilities, over items and labels."
    return _multi_scores("brier_score_loss", sigmoid, flatten=True, sample_weight=sample_weight, pos_label=pos_label)


@_makes_metric
def F1ScoreMulti(thresh=0.5, sigmoid=True, labels=None, pos_label=1, average="macro", sample_weight=None):
    "F1 score of the labels whose probability is above `thresh`."
    return _multi("f1_score", thresh, sigmoid, labels=labels, pos_label=pos_label, average=average, sample_weight=sample_weight)


@_makes_metric
def FBetaMulti(beta, thresh=0.5, sigmoid=True, labels=None, pos_label=1, average="macro", sample_weight=None):
    "F score with `beta` of the labels whose probability is above `thresh`."
    return _multi("fbeta_score", thresh, sigmoid, beta=beta, labels=labels, pos_label=pos_label, average=average,
                  sample_weight=sample_weight)


@_makes_metric
def HammingLossMulti(thresh=0.5, sigmoid=True, sample_weight=None):
    "Share of wrong labels."
    return _multi("hamming_loss", thresh, sigmoid, sample_weight=sample_weight)


@_makes_metric
def JaccardMulti(thresh=0.5, sigmoid=True, labels=None, pos_label=1, average="macro", sample_weight=None):
    "Intersection over union of predicted and true labels."
    return _multi("jaccard_score", thresh, sigmoid, labels=labels, pos_label=pos_label, average=average, sample_weight=sample_weight)


@_makes_metric
def MatthewsCorrCoefMulti(thresh=0.5, sigmoid=True, sample_weight=None):
    "Matthews correlation coefficient over all labels together."
    return skm_to_fastai(_sklearn("matthews_corrcoef"), thresh=thresh, activation="sigmoid" if sigmoid else "no",
                         sample_weight=sample_weight)


@_makes_metric
def PrecisionMulti(thresh=0.5, sigmoid=True, labels=None, pos_label=1, average="macro", sample_weight=None):
    "Share of the predicted labels that are right."
    return _multi("precision_score", thresh, sigmoid, labels=labels, pos_label=pos_label, average=average, sample_weight=sample_weight)


@_makes_metric
def RecallMulti(thresh=0.5, sigmoid=True, labels=None, pos_label=1, average="macro", sample_weight=None):
    "Share of the true labels that were found."
    return _multi("recall_score", thresh, sigmoid, labels=labels, pos_label=pos_label, average=average, sample_weight=sample_weight)


@_makes_metric
def RocAucMulti(sigmoid=True, average="macro", sample_weight=None, max_fpr=None):
    "Area under the ROC curve per label, averaged."
    return _multi_scores("roc_auc_score", sigmoid, average=average, sample_weight=sample_weight, max_fpr=max_fpr)


# regression: several outputs are scored one by one and averaged

def _columns(targ, pred):
    "Targets and predictions as equally shaped (items, outputs) arrays."
    if targ.size != pred.size or len(targ) != len(pred):
        raise ValueError(f"predictions {describe(pred)} and targets {describe(targ)} cannot be compared element by element")
    return targ.reshape(len(targ), -1), pred.reshape(len(pred), -1)


def _regression(func, name, **kwargs):
    def per_output(targ, pred, **kw):
        return func(*_columns(targ, pred), **kw)
    return AccumMetric(per_output, to_np=True, invert_arg=True, flatten=False, name=name, lower_is_better=False, **kwargs)


@_makes_metric
def ExplainedVariance(sample_weight=None):
    "Share of the variance explained, 1 at best; the mean over outputs where there are several."
    return _regression(_sklearn("explained_variance_score"), "explained_variance_score", sample_weight=sample_weight)


@_makes_metric
def R2Score(sample_weight=None):
    "Coefficient of determination, 1 at best, 0 for predicting the mean; the mean over outputs where there are several."
    return _regression(_sklearn("r2_score"), "r2_score", sample_weight=sample_weight)


def _correlation(a, b):
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def _pearson(targ, pred):
    return np.mean([_correlation(t, p) for t, p in zip(targ.T.astype(float), pred.T.astype(float), strict=True)])


def _spearman(targ, pred):
    from scipy.stats import rankdata
    return np.mean([_correlation(rankdata(t), rankdata(p)) for t, p in zip(targ.T, pred.T, strict=True)])


@_makes_metric
def PearsonCorrCoef(dim_argmax=None, activation="no", thresh=None):
    "Linear correlation of predictions and targets, -1 to 1; the mean over outputs where there are several."
    return _regression(_pearson, "pearsonr", dim_argmax=dim_argmax, activation=activation, thresh=thresh)


@_makes_metric
def SpearmanCorrCoef(dim_argmax=None, activation="no", thresh=None):
    "Correlation of the ranks of predictions and targets, -1 to 1; the mean over outputs where there are several."
    return _regression(_spearman, "spearmanr", dim_argmax=dim_argmax, activation=activation, thresh=thresh)
