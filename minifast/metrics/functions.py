"""Metrics as functions of (raw predictions, targets), which can be called on any tensors.

Given as `metrics=[accuracy]` they are averaged over batches, weighted by their size, except those that must see the whole set
(`rmse`), which do.
"""
import torch
import torch.nn.functional as F

from ..core.messages import describe
from .accumulate import flatten_check
from .base import func_name


def _declare(lower_is_better, accumulated=False):
    "Attach to a function which direction is better and whether it must see the whole set at once."
    def deco(f):
        f.lower_is_better, f.accumulated = lower_is_better, accumulated
        return f
    return deco


def several_classes(inp, axis, name):
    if inp.ndim == 0 or inp.shape[axis] == 1:
        raise ValueError(f"{name} takes the most probable of several classes along axis {axis}, but the predictions are {describe(inp)}: a "
                         "single column is always class 0. Use accuracy_multi for one logit, or n_out=2.")


@_declare(lower_is_better=False)
def accuracy(inp, targ, axis=-1):
    "Share of items whose highest output along `axis` is at the target class."
    several_classes(inp, axis, "accuracy")
    pred, targ = flatten_check(inp.argmax(dim=axis), targ)
    return (pred == targ).float().mean()


@_declare(lower_is_better=True)
def error_rate(inp, targ, axis=-1):
    "1 - `accuracy`."
    return 1 - accuracy(inp, targ, axis=axis)


@_declare(lower_is_better=False)
def top_k_accuracy(inp, targ, k=5, axis=-1):
    "Share of items whose target is among the `k` highest outputs along `axis`."
    several_classes(inp, axis, "top_k_accuracy")
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
    several_classes(inp, axis, "foreground_acc")
    pred, targ = flatten_check(inp.argmax(dim=axis), targ)
    foreground = targ != bkg_idx
    return ((pred == targ) & foreground).sum() / foreground.sum()


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
