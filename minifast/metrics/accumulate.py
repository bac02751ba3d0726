"""`AccumMetric`: a metric computed once, on all predictions and targets of the epoch."""
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from ..core.messages import add_note, describe
from ..core.nested import to_detach
from ..nn.loss_traits import activation_of, same_items
from .base import Metric, func_attr, func_name

if TYPE_CHECKING:
    from ..learner.learner import Learner


class ActivationType:
    "fastai's names for `AccumMetric(activation=...)`: what happens to raw outputs first."
    No, Sigmoid, Softmax, BinarySoftmax, Loss = ACTIVATIONS = "no", "sigmoid", "softmax", "binarysoftmax", "loss"


def flatten_check(inp: torch.Tensor, targ: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    "`inp` and `targ` flattened; `ValueError` naming both shapes where they cannot be compared element by element."
    if not same_items(inp.shape, targ.shape):
        raise ValueError(f"predictions {describe(inp)} and targets {describe(targ)} cannot be compared element by element. "
                         "For masks write axis=1 (the axis of the classes); else check n_out and the shape of the targets.")
    return inp.reshape(-1), targ.reshape(-1)


class AccumMetric(Metric):
    """`func` on all predictions and targets of the epoch at once: for what is not a mean over batches.

    Each batch goes through `activation`, then argmax along `dim_argmax`, then `> thresh`, as far as they are given, and is kept on
    its device. Called on (predictions, targets), the metric returns its value for these alone.

    Args:
        func: a function of (predictions, targets) that returns one number.
        dim_argmax: take the most probable class along this axis.
        activation: 'no', 'sigmoid', 'softmax', 'binarysoftmax' (probability of the last class), 'loss' (that of the loss function),
            or a function of the raw outputs.
        thresh: compare the activated outputs with this number.
        to_np: `func` gets numpy arrays.
        invert_arg: call it as func(targets, predictions).
        flatten: flatten both to one axis.
        name: shown in tables (default: the function's own).
        lower_is_better: default: what the function declares.
        axis: the axis of the classes for the softmax (default: `dim_argmax`, else the last).
        kwargs: for `func`.
    """

    def __init__(self, func: Callable[..., Any], dim_argmax: int | None = None,
                 activation: str | Callable[[torch.Tensor], torch.Tensor] | None = "no", thresh: float | None = None, to_np: bool = False,
                 invert_arg: bool = False, flatten: bool = True, name: str | None = None, lower_is_better: bool | None = None,
                 axis: int | None = None, **kwargs: Any):
        if not callable(func):
            raise TypeError(f"AccumMetric takes a function of (predictions, targets); received {describe(func)}")
        self.func, self.dim_argmax, self.thresh, self.to_np, self.invert_arg = func, dim_argmax, thresh, to_np, invert_arg
        self.flatten, self.kwargs, self._name = flatten, kwargs, name or func_name(func)
        self.axis = axis if axis is not None else -1 if dim_argmax is None else dim_argmax
        self.lower_is_better = func_attr(func, "lower_is_better") if lower_is_better is None else lower_is_better
        self.activation = "no" if activation is None else activation.lower() if isinstance(activation, str) else activation
        if isinstance(self.activation, str) and self.activation not in ActivationType.ACTIVATIONS:
            raise ValueError(f"AccumMetric(activation={activation!r}): write 'no', 'sigmoid', 'softmax', 'binarysoftmax', 'loss' or a "
                             "function")
        if dim_argmax is not None and thresh is not None:
            raise ValueError(f"AccumMetric(dim_argmax={dim_argmax}, thresh={thresh}): the most probable class has no threshold; give one "
                             "of the two")
        #: A function of (this metric, raw predictions) that raises where they do not suit the metric.
        self.check: Callable[[AccumMetric, torch.Tensor], None] | None = None
        self.reset()

    def reset(self) -> None:
        self.preds: list[torch.Tensor] = []
        self.targs: list[torch.Tensor] = []

    def accumulate(self, learn: "Learner") -> None:
        if len(learn.yb) != 1:
            raise ValueError(f"metric {self.name} compares predictions with one target; this batch has {len(learn.yb)}: "
                             f"{describe(tuple(learn.yb))}. Write a Metric that picks its own.")
        self.add(learn.pred, learn.yb[0], learn.loss_func if self.activation == "loss" else None)

    def add(self, pred: torch.Tensor, targ: torch.Tensor, loss_func: Any = None) -> None:
        """Take in one batch.

        Args:
            pred: raw predictions.
            targ: targets.
            loss_func: whose activation to use, with `activation='loss'`.
        """
        if not isinstance(pred, torch.Tensor) or not isinstance(targ, torch.Tensor):
            raise TypeError(f"metric {self.name} takes one tensor of predictions and one of targets; received {describe(pred)} and "
                            f"{describe(targ)}")
        pred, targ = to_detach(pred, cpu=False), to_detach(targ, cpu=False)
        if self.dim_argmax is not None and (pred.ndim < 2 or pred.shape[self.dim_argmax] == 1):
            raise ValueError(f"metric {self.name} takes the most probable class along axis {self.dim_argmax}, but the predictions are "
                             f"{describe(pred)}: a single column is always class 0. Use two outputs, or a threshold (a ...Multi metric, "
                             "or thresh=).")
        if self.check is not None:
            self.check(self, pred)
        pred = self._activate(pred, loss_func)
        if self.dim_argmax is not None:
            pred = pred.argmax(dim=self.dim_argmax)
        if self.thresh is not None:
            pred = pred > self.thresh
        if self.flatten or (pred.ndim == 2 and pred.shape[1] == 1):         # one number per item
            pred, targ = flatten_check(pred, targ)
        self.preds.append(pred)
        self.targs.append(targ)

    def _activate(self, pred, loss_func):
        if self.activation == "no":               # a copy where it is kept as it is: the model may reuse the memory of its output
            return pred.clone() if self.dim_argmax is None and self.thresh is None else pred
        if self.activation == "sigmoid":
            return pred.sigmoid()
        if self.activation in ("softmax", "binarysoftmax"):
            pred = F.softmax(pred, dim=self.axis)
            return pred if self.activation == "softmax" else pred.select(self.axis, -1)
        return (activation_of(loss_func) if self.activation == "loss" else self.activation)(pred)

    @property
    def value(self) -> float | None:
        if not self.preds:
            return None
        preds: Any = torch.cat(self.preds)
        targs: Any = torch.cat(self.targs)
        if self.to_np:
            preds, targs = _as_numpy(preds), _as_numpy(targs)
        try:
            with torch.no_grad():
                result = self.func(*((targs, preds) if self.invert_arg else (preds, targs)), **self.kwargs)
        except Exception as e:
            add_note(e, f"in metric {self.name} on predictions {describe(preds)} and targets {describe(targs)}")
            raise
        try:
            return float(result)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"metric {self.name} must be one number; its function returned {describe(result)}") from None

    def __call__(self, pred: torch.Tensor, targ: torch.Tensor) -> float | None:
        "The metric of these raw predictions and targets, for use outside a fit; what was accumulated is forgotten."
        self.reset()
        self.add(torch.as_tensor(pred), torch.as_tensor(targ))
        value = self.value
        self.reset()
        return value


def _as_numpy(t: torch.Tensor) -> np.ndarray:
    t = t.detach().cpu()
    return (t.long() if t.dtype is torch.bool else t.float() if t.dtype in (torch.float16, torch.bfloat16) else t).numpy()
