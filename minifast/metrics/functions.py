"""Metrics: functions of (predictions, targets), segmentation and text metrics, and `as_metric`, which makes a metric of anything.

Functions take raw outputs of the model and can be called on any tensors. Given as `metrics=[accuracy]` they are averaged over batches,
weighted by their size, except those that must see the whole set (`rmse`), which do.
"""
import math
from collections import Counter
from functools import partial

import torch
import torch.nn.functional as F

from ..core.messages import describe, did_you_mean
from .base import (
    AccumMetric,
    ActivationType,
    AvgLoss,
    AvgMetric,
    AvgSmoothLoss,
    LossMetric,
    LossMetrics,
    Metric,
    Perplexity,
    ValueMetric,
    flatten_check,
    func_attr,
    func_name,
)
from .sklearn import (
    APScoreBinary,
    APScoreMulti,
    BalancedAccuracy,
    BrierScore,
    BrierScoreMulti,
    CohenKappa,
    ExplainedVariance,
    F1Score,
    F1ScoreMulti,
    FBeta,
    FBetaMulti,
    HammingLoss,
    HammingLossMulti,
    Jaccard,
    JaccardMulti,
    MatthewsCorrCoef,
    MatthewsCorrCoefMulti,
    PearsonCorrCoef,
    Precision,
    PrecisionMulti,
    R2Score,
    Recall,
    RecallMulti,
    RocAuc,
    RocAucBinary,
    RocAucMulti,
    SpearmanCorrCoef,
    skm_to_fastai,
)

__all__ = ["APScoreBinary", "APScoreMulti", "AccumMetric", "ActivationType", "AvgLoss", "AvgMetric", "AvgSmoothLoss", "BalancedAccuracy",
           "BrierScore", "BrierScoreMulti", "CohenKappa", "CorpusBLEUMetric", "Dice", "DiceMulti", "ExplainedVariance", "F1Score",
           "F1ScoreMulti", "FBeta", "FBetaMulti", "HammingLoss", "HammingLossMulti", "Jaccard", "JaccardCoeff", "JaccardCoeffMulti",
           "JaccardMulti", "LossMetric", "LossMetrics", "MatthewsCorrCoef", "MatthewsCorrCoefMulti", "Metric", "PearsonCorrCoef",
           "Perplexity", "Precision", "PrecisionMulti", "R2Score", "Recall", "RecallMulti", "RocAuc", "RocAucBinary", "RocAucMulti",
           "SpearmanCorrCoef", "ValueMetric", "accuracy", "accuracy_multi", "as_metric", "error_rate", "exp_rmspe", "flatten_check",
           "foreground_acc", "mae", "mk_metric", "mse", "msle", "optim_metric", "rmse", "skm_to_fastai", "top_k_accuracy"]


def _declare(lower_is_better, accumulated=False):
    "Attach to a function which direction is better and whether it must see the whole set at once."
    def deco(f):
        f.lower_is_better, f.accumulated = lower_is_better, accumulated
        return f
    return deco


def _several_classes(inp, axis, name):
    if inp.ndim == 0 or inp.shape[axis] == 1:
        raise ValueError(f"{name} takes the most probable of several classes along axis {axis}, but the predictions are {describe(inp)}: a "
                         "single column is always class 0. Use accuracy_multi for one logit, or n_out=2.")


@_declare(lower_is_better=False)
def accuracy(inp, targ, axis=-1):
    "Share of items whose highest output along `axis` is at the target class."
    _several_classes(inp, axis, "accuracy")
    pred, targ = flatten_check(inp.argmax(dim=axis), targ)
    return (pred == targ).float().mean()


@_declare(lower_is_better=True)
def error_rate(inp, targ, axis=-1):
    "1 - `accuracy`."
    return 1 - accuracy(inp, targ, axis=axis)


@_declare(lower_is_better=False)
def top_k_accuracy(inp, targ, k=5, axis=-1):
    "Share of items whose target is among the `k` highest outputs along `axis`."
    _several_classes(inp, axis, "top_k_accuracy")
    if k > inp.shape[axis]:
        raise ValueError(f"top_k_accuracy(k={k}) needs at least {k} classes, the predictions {describe(inp)} have {inp.shape[axis]}: "
                         f"write partial(top_k_accuracy, k=2).")
    best = inp.topk(k, dim=axis).indices.movedim(axis, -1)
    if best[..., 0].shape != targ.shape:
        best, targ = best.reshape(-1, k), flatten_check(best[..., 0], targ)[1]
    return (best == targ.unsqueeze(-1)).any(-1).float().mean()


@_declare(lower_is_better=False)
def accuracy_multi(inp, targ, thresh=0.5, sigmoid=True):
    "Share of (item, label) pairs decided right: probability above `thresh` against the 0/1 target. sigmoid: `inp` are logits."
    inp, targ = flatten_check(inp, targ)
    return (((inp.sigmoid() if sigmoid else inp) > thresh) == targ.bool()).float().mean()


@_declare(lower_is_better=True)
def mse(inp, targ):
    "Mean squared error."
    return F.mse_loss(*_floats(inp, targ))


@_declare(lower_is_better=True)
def mae(inp, targ):
    "Mean absolute error."
    return F.l1_loss(*_floats(inp, targ))


@_declare(lower_is_better=True)
def msle(inp, targ):
    "Mean squared error of log(1 + x), for values from 0 up."
    inp, targ = _floats(inp, targ)
    return F.mse_loss(torch.log1p(inp), torch.log1p(targ))


def _floats(inp, targ):
    inp, targ = flatten_check(inp, targ)
    return inp, targ if targ.is_floating_point() else targ.to(inp.dtype)


@_declare(lower_is_better=True, accumulated=True)
def rmse(inp, targ):
    "Root mean squared error, of the whole set when used as a metric."
    return mse(inp, targ).sqrt()


@_declare(lower_is_better=True, accumulated=True)
def exp_rmspe(inp, targ):
    "Root mean square percentage error of exp(predictions) against exp(targets), of the whole set when used as a metric."
    inp, targ = (o.exp() for o in _floats(inp, targ))
    return (((targ - inp) / targ) ** 2).mean().sqrt()


@_declare(lower_is_better=False)
def foreground_acc(inp, targ, bkg_idx=0, axis=1):
    "Accuracy over the pixels whose target is not `bkg_idx`; NaN for a batch that has none."
    _several_classes(inp, axis, "foreground_acc")
    pred, targ = flatten_check(inp.argmax(dim=axis), targ)
    foreground = targ != bkg_idx
    return ((pred == targ) & foreground).sum() / foreground.sum()


class Dice(Metric):
    """Dice coefficient of the foreground of a two-class mask, 2*|A and B| / (|A| + |B|), over all pixels of the epoch.

    axis: the classes in the predictions. None where neither masks nor predictions have any foreground. More classes: `DiceMulti`.
    """

    lower_is_better = False
    _more = "DiceMulti"

    def __init__(self, axis=1):
        self.axis = axis
        self.reset()

    def reset(self):
        self._counts = None

    def accumulate(self, learn):
        name = type(self).__name__
        _several_classes(learn.pred, self.axis, name)
        if learn.pred.shape[self.axis] != 2:
            raise ValueError(f"{name} is for two classes, background and foreground; the predictions are {describe(learn.pred)}, "
                             f"{learn.pred.shape[self.axis]} along axis {self.axis}: write {self._more}().")
        pred, targ = flatten_check(learn.pred.detach().argmax(dim=self.axis), learn.yb[0])
        pred, targ = pred.bool(), targ.long()
        truth = targ > 0
        counts = torch.stack([(pred & truth).sum(), pred.sum() + truth.sum(), ((targ != 0) & (targ != 1)).sum()])
        self._counts = counts if self._counts is None else self._counts + counts

    def _inter_total(self):
        if self._counts is None:
            return 0, 0
        inter, total, other = self._counts.tolist()
        if other:
            raise ValueError(f"{type(self).__name__} takes masks of 0 and 1; {other:,} pixels have other values: convert them, or write "
                             f"{self._more}().")
        return inter, total

    @property
    def value(self):
        inter, total = self._inter_total()
        return 2 * inter / total if total else None


class JaccardCoeff(Dice):
    "Intersection over union of the foreground of a two-class mask, over all pixels of the epoch."
    _more = "JaccardCoeffMulti"

    @property
    def value(self):
        inter, total = self._inter_total()
        return inter / (total - inter) if total else None


class DiceMulti(Metric):
    """Mean over classes of the Dice coefficient, over all pixels of the epoch; classes that never appear are left out.

    Pixels whose target is no class (such as 255, not labelled) are left out too.
    """

    lower_is_better = False

    def __init__(self, axis=1):
        self.axis = axis
        self.reset()

    def reset(self):
        self._confusion = None

    def accumulate(self, learn):
        _several_classes(learn.pred, self.axis, type(self).__name__)
        n = learn.pred.shape[self.axis]
        pred, targ = flatten_check(learn.pred.detach().argmax(dim=self.axis), learn.yb[0])
        targ = targ.long()
        cell = torch.where((targ >= 0) & (targ < n), targ * n + pred, n * n)            # the last cell takes what does not count
        if self._confusion is None:
            self._confusion = torch.zeros(n * n + 1, dtype=torch.long, device=pred.device)
        self._confusion.scatter_add_(0, cell, torch.ones_like(cell))

    def _inter_total(self):
        "Per class: pixels of it in both, and pixels in the one plus pixels in the other, for the classes that appear."
        if self._confusion is None:
            return None, None
        n = math.isqrt(len(self._confusion) - 1)
        table = self._confusion[:-1].view(n, n).double().cpu()
        inter, total = table.diag(), table.sum(0) + table.sum(1)
        return inter[total > 0], total[total > 0]

    @property
    def value(self):
        inter, total = self._inter_total()
        return None if inter is None or not len(inter) else float((2 * inter / total).mean())


class JaccardCoeffMulti(DiceMulti):
    "Mean over classes of intersection over union (mIoU), over all pixels of the epoch; classes that never appear are left out."

    @property
    def value(self):
        inter, total = self._inter_total()
        return None if inter is None or not len(inter) else float((inter / (total - inter)).mean())


class CorpusBLEUMetric(Metric):
    """BLEU of the most probable tokens, up to 4-grams, over the whole set (Papineni et al. 2002).

    axis: the vocabulary in the predictions. vocab_sz: accepted for old code; n-grams are counted exactly whatever the ids.
    """

    lower_is_better = False
    _name = "corpus_bleu"

    def __init__(self, vocab_sz=5000, axis=-1):
        self.vocab_sz, self.axis = vocab_sz, axis
        self.reset()

    def reset(self):
        self._pairs = []

    def accumulate(self, learn):
        self._pairs.append((learn.pred.detach().argmax(dim=self.axis), learn.yb[0].detach()))

    @property
    def value(self):
        pred_len = targ_len = 0
        right, made = [0] * 4, [0] * 4
        for preds, targs in self._pairs:
            for pred, targ in zip(preds.tolist(), targs.tolist(), strict=True):
                pred_len, targ_len = pred_len + len(pred), targ_len + len(targ)
                for i in range(4):
                    mine, theirs = _ngrams(pred, i + 1), _ngrams(targ, i + 1)
                    right[i] += sum((mine & theirs).values())
                    made[i] += sum(mine.values())
        if not pred_len:
            return None
        if not min(right):
            return 0.0
        brevity = math.exp(1 - targ_len / pred_len) if pred_len < targ_len else 1.0
        return brevity * math.exp(sum(math.log(r / m) for r, m in zip(right, made, strict=True)) / 4)


def _ngrams(tokens, n):
    return Counter(tuple(tokens[i:i + n]) for i in range(len(tokens) - n + 1))


def optim_metric(f, argname, bounds, tol=0.01, do_neg=True, get_x=False):
    """A function like `f(preds, targs)` that gives `f` at the best value of its argument `argname` within `bounds`, such as a threshold.

    do_neg: best is highest (False: lowest). tol: precision of the argument. get_x: also return the argument found. Used as a metric it
    sees the whole set. Note that an argument tuned on a set flatters the value on that set.
    """
    def best(preds, targs):
        from scipy.optimize import minimize_scalar
        sign = -1 if do_neg else 1
        found = minimize_scalar(lambda x: sign * float(f(preds, targs, **{argname: x})), bounds=bounds, method="bounded",
                                options={"xatol": tol})
        return (sign * found.fun, found.x) if get_x else sign * found.fun
    best.__name__ = f"opt_{func_name(f)}"
    return _declare(not do_neg, accumulated=True)(best)


_FUNCTIONS = (accuracy, error_rate, top_k_accuracy, accuracy_multi, mse, mae, msle, rmse, exp_rmspe, foreground_acc)
_MAKERS = (Dice, JaccardCoeff, DiceMulti, JaccardCoeffMulti, CorpusBLEUMetric, Perplexity, APScoreBinary, APScoreMulti, BalancedAccuracy,
           BrierScore, BrierScoreMulti, CohenKappa, ExplainedVariance, F1Score, F1ScoreMulti, HammingLoss, HammingLossMulti, Jaccard,
           JaccardMulti, MatthewsCorrCoef, MatthewsCorrCoefMulti, PearsonCorrCoef, Precision, PrecisionMulti, R2Score, Recall, RecallMulti,
           RocAuc, RocAucBinary, RocAucMulti, SpearmanCorrCoef)


def _plain(name):
    return name.lower().replace("_", "").replace(" ", "")


def as_metric(x):
    """A metric made of `x`: a metric as it is; a function averaged over batches, or over the whole set where it says so; a name such as
    'accuracy' or 'F1Score'. A class, a scikit-learn function and an unknown name are refused with what to write instead."""
    if isinstance(x, str):
        by_name = {_plain(o.__name__): o for o in _FUNCTIONS + _MAKERS}
        if _plain(x) not in by_name:
            known = [o.__name__ for o in _FUNCTIONS + _MAKERS]
            raise ValueError(f"there is no metric named {x!r}{did_you_mean(x, known) or '.'} Known names: {', '.join(known)}.")
        found = by_name[_plain(x)]
        return found() if found in _MAKERS else as_metric(found)
    if isinstance(x, Metric):
        return x
    if isinstance(x, type) or func_attr(x, "makes_metric", False):
        name = func_name(x)
        raise TypeError(f"metrics=[{name}]: {name} makes a metric when it is called: write {name}()"
                        + (" with its arguments." if isinstance(x, type) and not issubclass(x, Metric) else "."))
    if all(hasattr(x, a) for a in ("reset", "accumulate", "value", "name")):
        return x
    if not callable(x):
        raise TypeError(f"a metric is a function of (predictions, targets), a Metric or a name; received {describe(x)}")
    inner = x
    while isinstance(inner, partial):
        inner = inner.func
    if (getattr(inner, "__module__", None) or "").split(".")[0] == "sklearn":
        raise TypeError(f"scikit-learn's {func_name(x)} takes (targets, decisions) of the whole set: write skm_to_fastai({func_name(x)}), "
                        "or use the metric of minifast.metrics.functions.")
    return AccumMetric(x, flatten=False) if func_attr(x, "accumulated", False) else AvgMetric(x)


mk_metric = as_metric
