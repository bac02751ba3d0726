"""Metrics as functions of (raw predictions, targets), which can be called on any tensors.

Given as `metrics=[accuracy]` they are averaged over batches, weighted by their size, except those that must see the whole set
(`rmse`), which do.
"""
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.messages import describe, name_of
from .base import IGNORED, flatten_check

Func = TypeVar("Func", bound=Callable[..., Any])


def declare(lower_is_better: bool, accumulated: bool = False) -> Callable[[Func], Func]:
    """A decorator that notes of a metric which direction is better and whether it must see the whole set at once.

    Args:
        lower_is_better: whether it is.
        accumulated: whether the mean over batches is not its value.
    """
    def deco(f):
        f.lower_is_better, f.accumulated = lower_is_better, accumulated
        return f
    return deco


def check_several_classes(inp: Tensor, axis: int, name: str) -> None:
    "Refuse predictions with a single class along `axis`: their argmax is always 0."
    if inp.ndim == 0 or inp.shape[axis] == 1:
        raise ValueError(f"{name} takes the most probable of several classes along axis {axis}, but the predictions are {describe(inp)}: a "
                         "single column is always class 0. Use accuracy_multi for one logit, or n_out=2.")


def _decided(inp, targ, axis, name):
    one_each = inp.ndim == 0 or inp.shape[axis] == 1 or inp.shape == targ.shape
    if one_each and targ.is_floating_point() and not bool(((targ == 0) | (targ == 1)).all()):
        raise ValueError(f"{name} counts the classes that are right, and the targets are numbers, {describe(targ)}: to see how far off the "
                         "predictions are write metrics=[rmse, mae]")
    check_several_classes(inp, axis, name)
    if inp.shape == targ.shape:
        raise ValueError(f"{name} takes one class id per item; predictions and targets {describe(targ)} are several labels of each: use "
                         "accuracy_multi.")
    return flatten_check(inp.argmax(dim=axis), targ)


@declare(lower_is_better=False)
def accuracy(inp: Tensor, targ: Tensor, axis: int = -1) -> Tensor:
    """Share of items whose highest output along `axis` is at the target class.

    Args:
        inp: raw outputs with the classes along `axis`, such as (B, n_classes).
        targ: class ids, of the shape of `inp` less `axis`; those of -100, which losses ignore, do not count.
        axis: the axis of the classes; 1 for masks (B, n_classes, H, W).
    """
    pred, targ = _decided(inp, targ, axis, "accuracy")
    return (pred == targ).sum() / (targ != IGNORED).sum()


@declare(lower_is_better=True)
def error_rate(inp: Tensor, targ: Tensor, axis: int = -1) -> Tensor:
    """1 - `accuracy`.

    Args:
        inp: raw outputs with the classes along `axis`.
        targ: class ids; those of -100 do not count.
        axis: the axis of the classes.
    """
    return 1 - accuracy(inp, targ, axis=axis)


@declare(lower_is_better=False)
def top_k_accuracy(inp: Tensor, targ: Tensor, k: int = 5, axis: int = -1) -> Tensor:
    """Share of items whose target is among the `k` highest outputs along `axis`.

    Args:
        inp: raw outputs with the classes along `axis`.
        targ: class ids; those of -100 do not count.
        k: how many of the highest outputs count.
        axis: the axis of the classes.
    """
    check_several_classes(inp, axis, "top_k_accuracy")
    if k >= (n := inp.shape[axis]):
        raise ValueError(f"top_k_accuracy(k={k}) needs more than {k} classes, the predictions {describe(inp)} have {n}: "
                         + (f"write partial(top_k_accuracy, k={min(2, n - 1)})." if n > 2 else "write accuracy."))
    best = inp.topk(k, dim=axis).indices.movedim(axis, -1)
    if best[..., 0].shape != targ.shape:
        best, targ = best.reshape(-1, k), flatten_check(best[..., 0], targ)[1]
    return (best == targ.unsqueeze(-1)).any(-1).sum() / (targ != IGNORED).sum()


@declare(lower_is_better=False)
def accuracy_multi(inp: Tensor, targ: Tensor, thresh: float = 0.5, sigmoid: bool = True) -> Tensor:
    """Share of (item, label) pairs that are decided right.

    Args:
        inp: one output per label, (B, n_labels).
        targ: 0 or 1 per label, of the same shape.
        thresh: probability above which a label counts as predicted.
        sigmoid: `inp` are logits (False: probabilities).
    """
    inp, targ = flatten_check(inp, targ)
    return (((inp.sigmoid() if sigmoid else inp) > thresh) == targ.bool()).float().mean()


def _floats(inp, targ):
    inp, targ = flatten_check(inp, targ)
    return inp, targ if targ.is_floating_point() else targ.to(inp.dtype)


@declare(lower_is_better=True)
def mse(inp: Tensor, targ: Tensor) -> Tensor:
    """Mean squared error.

    Args:
        inp: predicted numbers.
        targ: targets of the same shape, axes of length 1 aside.
    """
    return F.mse_loss(*_floats(inp, targ))


@declare(lower_is_better=True)
def mae(inp: Tensor, targ: Tensor) -> Tensor:
    """Mean absolute error.

    Args:
        inp: predicted numbers.
        targ: targets of the same shape, axes of length 1 aside.
    """
    return F.l1_loss(*_floats(inp, targ))


@declare(lower_is_better=True)
def msle(inp: Tensor, targ: Tensor) -> Tensor:
    """Mean squared error of log(1 + x).

    Args:
        inp: predicted numbers, 0 or larger.
        targ: targets of the same shape, 0 or larger.
    """
    inp, targ = _floats(inp, targ)
    return F.mse_loss(torch.log1p(inp), torch.log1p(targ))


@declare(lower_is_better=True, accumulated=True)
def rmse(inp: Tensor, targ: Tensor) -> Tensor:
    """Root mean squared error, of the whole set when used as a metric.

    Args:
        inp: predicted numbers.
        targ: targets of the same shape, axes of length 1 aside.
    """
    return mse(inp, targ).sqrt()


@declare(lower_is_better=True, accumulated=True)
def exp_rmspe(inp: Tensor, targ: Tensor) -> Tensor:
    """Root mean square percentage error of exp(predictions) against exp(targets), of the whole set when used as a metric.

    Args:
        inp: predicted logarithms.
        targ: logarithms of the targets, of the same shape.
    """
    inp, targ = (o.exp() for o in _floats(inp, targ))
    return (((targ - inp) / targ) ** 2).mean().sqrt()


@declare(lower_is_better=False)
def foreground_acc(inp: Tensor, targ: Tensor, bkg_idx: int = 0, axis: int = 1) -> Tensor:
    """Accuracy over the pixels whose target is not the background; NaN for a batch that has none.

    Args:
        inp: raw outputs with the classes along `axis`, such as (B, n_classes, H, W).
        targ: class ids, (B, H, W).
        bkg_idx: the class id of the background.
        axis: the axis of the classes.
    """
    if isinstance(bkg_idx, str):
        raise TypeError(f"foreground_acc(bkg_idx={bkg_idx!r}): give the id of the class: partial(foreground_acc, "
                        f"bkg_idx=list(dls.vocab).index({bkg_idx!r}))")
    pred, targ = _decided(inp, targ, axis, "foreground_acc")
    foreground = targ != bkg_idx
    return ((pred == targ) & foreground).sum() / foreground.sum()


def optim_metric(f: Callable[..., Tensor | float], argname: str, bounds: tuple[float, float], tol: float = 0.01, do_neg: bool = True,
                 get_x: bool = False) -> Callable[[Tensor, Tensor], float | tuple[float, float]]:
    """Make a function like `f(preds, targs)` that gives `f` at the best value of one of its arguments, such as a threshold.

    Used as a metric it sees the whole set. An argument tuned on a set flatters the value on that set.

    Args:
        f: a function of (predictions, targets) and of `argname`.
        argname: the name of the argument.
        bounds: its lowest and highest value.
        tol: precision of the argument.
        do_neg: best is highest (False: lowest).
        get_x: also return the argument found.
    """
    def best(preds, targs):
        from scipy.optimize import minimize_scalar
        sign = -1 if do_neg else 1
        found = minimize_scalar(lambda x: sign * float(f(preds, targs, **{argname: x})), bounds=bounds, method="bounded",
                                options={"xatol": tol})
        return (sign * found.fun, found.x) if get_x else sign * found.fun
    best.__name__ = f"opt_{name_of(f)}"
    return declare(not do_neg, accumulated=True)(best)
