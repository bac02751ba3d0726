"""Kinds of metric: averaged over batches, computed once on the whole epoch, read off the loss, or computed elsewhere.

A metric has four methods and attributes: `reset()` before an epoch, `accumulate(learn)` after each batch, then `value`, a number or
None where nothing was seen, under `name`. `lower_is_better` is True, False or, when undeclared, None. `accumulate` reads
`learn.pred` (raw output of the model), `learn.yb` (tuple of targets), `learn.loss` and `learn.loss_func`.
Nothing here waits for the device before `value` is asked for.
"""
import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from ..core.arguments import check_arguments
from ..core.keywords import KnowsKeywords
from ..core.messages import add_note, describe, name_of, unwrapped
from ..core.nested import find_bs, to_detach
from ..core.ranks import summed
from ..nn.loss_traits import (
    activation_of,
    first_tensor,
    has_own_forward,
    kind_of,
    loss_name,
    lost_batch_axis,
    needs_same_shape,
    same_items,
)

if TYPE_CHECKING:
    from ..learner.learner import Learner

#: The target of what has none, as torch's losses have it: of padding, say, or the second piece of a word.
IGNORED = -100


def func_attr(func: Callable, attr: str, default: Any = None) -> Any:
    "`func.attr`, also inside `functools.partial`."
    return getattr(unwrapped(func), attr, default)


def batch_size(learn: "Learner") -> int:
    "Items in the learner's current batch: the length of its targets, else of its predictions."
    return find_bs(learn.yb if len(learn.yb) else learn.pred)


class Metric(KnowsKeywords):
    "Base of all metrics: subclass it and write `reset`, `accumulate` and `value`."

    lower_is_better: bool | None = None       #: True, False, or None when undeclared
    _name: str | None = None

    def reset(self) -> None:
        "Forget everything: called before each epoch."

    def accumulate(self, learn: "Learner") -> None:
        "Take in the learner's current batch."
        raise NotImplementedError(f"{type(self).__name__} must define accumulate(self, learn)")

    @property
    def value(self) -> float | None:
        "The metric over everything since `reset`, as a number; None if there was nothing."
        raise NotImplementedError(f"{type(self).__name__} must define the property value")

    @property
    def name(self) -> str:
        "What it is called in tables and by `monitor=`: by default the class name in snake case."
        return self._name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", re.sub("Metric$", "", type(self).__name__) or "Metric").lower()

    @name.setter
    def name(self, value: str) -> None:
        self._name = value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"


class MeanMetric(Metric):
    "Base of metrics that are a weighted mean over batches, summed on the device, in double precision where the device has it."

    def __init__(self) -> None:
        self.reset()

    #: By what a mean is multiplied before it is added by its number of items: not 1 where a rank has more than its part of what counts.
    part: Any = 1

    def reset(self) -> None:
        self._total: Any = None             # a 0-d tensor, or a number where numbers are added
        self._count, self.part = 0, 1

    def add(self, x: torch.Tensor | float, n: int) -> None:
        "Take in the mean `x` of `n` items."
        if isinstance(x, torch.Tensor):
            x = x.detach()
            if self._total is None:
                self._total = torch.zeros((), dtype=torch.float32 if x.device.type == "mps" else torch.float64, device=x.device)
            x = (x.mean() if x.ndim else x).reshape(())
            self._total.add_(x if isinstance(self.part, int) else torch.where(self.part == 0, 0, x * self.part), alpha=n)
        else:
            self._total = (self._total or 0.0) + x * n
        self._count += n

    def sum_over_ranks(self) -> None:
        "Take in what the metrics of the other ranks have added: sums and counts, never means."
        total, count = summed(torch.tensor([float(self._total or 0), self._count], dtype=torch.float64)).tolist()
        self._total, self._count = total, int(count)

    @property
    def value(self) -> float | None:
        return float(self._total) / self._count if self._count else None


def check_tensor(metric: Metric, pred: Any) -> None:
    "Refuse an output of the model that is not one tensor, and say how a function of one's own takes it."
    if not isinstance(pred, torch.Tensor):
        raise TypeError(f"metric {metric.name} takes one tensor of predictions; the model returned {describe(pred)}. Pick it in a function "
                        f"of your own, metrics=lambda pred, *targets: accuracy({first_tensor(pred)}, targets[0]), or in a callback, "
                        f"cbs=Callback(after_pred=lambda cb: setattr(cb.learn, 'pred', {first_tensor(pred, 'cb.pred')}))")


class AvgMetric(MeanMetric):
    """The mean of `func(pred, *yb)` over batches, each weighted by its number of items: sum(metric_b * bs_b) / sum(bs_b).

    Right for what is a mean over items (accuracy); a metric such as F1 or R2 needs `AccumMetric`.

    Args:
        func: a function of (predictions, targets) that returns one number per batch.
        name: shown in tables (default: the function's own).
        lower_is_better: default: what the function declares; every loss is better low.
    """

    def __init__(self, func: Callable[..., Any], name: str | None = None, lower_is_better: bool | None = None):
        if not callable(func):
            raise TypeError(f"AvgMetric takes a function of (predictions, targets); received {describe(func)}")
        if func_attr(func, "accumulated", False):
            raise ValueError(f"the mean of {name_of(func)} over batches is not its value on the whole set: "
                             f"write metrics=[{name_of(func)}], or AccumMetric({name_of(func)}).")
        super().__init__()
        self.func, self._name, self._same_shape = func, name or name_of(func), needs_same_shape(func)
        self._one_tensor = not has_own_forward(func)
        declared = True if kind_of(func) else func_attr(func, "lower_is_better")
        self.lower_is_better = declared if lower_is_better is None else lower_is_better

    def accumulate(self, learn: "Learner") -> None:
        if self._one_tensor:
            check_tensor(self, learn.pred)
        if self._same_shape and learn.pred.shape != learn.yb[0].shape:
            raise ValueError(f"metric {self.name} compares element by element, but predictions {describe(learn.pred)} and targets "
                             f"{describe(learn.yb[0])} differ in shape and would be broadcast: use mse, mae or a ...Flat loss.")
        with torch.no_grad():
            m = self.func(learn.pred, *learn.yb)
        if isinstance(m, torch.Tensor) and m.numel() != 1:
            raise ValueError(f"metric {self.name} must return one number per batch; it returned {describe(m)}. Write .mean() at its end.")
        self.add(m, batch_size(learn))


class ActivationType:
    "fastai's names for `AccumMetric(activation=...)`: what happens to raw outputs first."
    No, Sigmoid, Softmax, BinarySoftmax, Loss = ACTIVATIONS = "no", "sigmoid", "softmax", "binarysoftmax", "loss"


def flatten_check(inp: torch.Tensor, targ: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Flatten predictions and targets, which must have one element for each other.

    Args:
        inp: predictions, any shape.
        targ: targets, of the same shape, or the same but for axes of length 1.

    Returns:
        Both with shape (n,).

    Raises:
        ValueError: they cannot be compared element by element; names both shapes.
    """
    if not same_items(inp.shape, targ.shape):
        raise ValueError(f"predictions {describe(inp)} and targets {describe(targ)} cannot be compared element by element. "
                         "For masks write axis=1 (the axis of the classes), for quantiles of forecasts smape or MASE(), which take the "
                         "median; else check n_out and the shape of the targets.")
    return inp.reshape(-1), targ.reshape(-1)


class AccumMetric(Metric):
    """`func` on all predictions and targets of the epoch at once: for what is not a mean over batches.

    Each batch goes through `activation`, or else argmax along `dim_argmax`, then `>= thresh`, as far as they are given, and is kept on
    its device. Called on (predictions, targets), the metric returns its value for these alone.

    Args:
        func: a function of (predictions, targets) that returns one number.
        dim_argmax: the axis of the classes: take the most probable one, unless there is an `activation`, which gives numbers.
        activation: 'no', 'sigmoid', 'softmax', 'binarysoftmax' (probability of the last class), 'loss' (that of the loss function),
            or a function of the raw outputs.
        thresh: compare the activated outputs with this number.
        to_np: `func` gets numpy arrays.
        invert_arg: call it as func(targets, predictions).
        flatten: flatten both to one axis.
        name: shown in tables (default: the function's own).
        lower_is_better: default: what the function declares.
        axis: the axis of the classes for the softmax (default: `dim_argmax`, else the last of (items, classes)).
        check: a function of (this metric, raw predictions, targets) that raises where they do not suit the metric.
        kwargs: for `func`.
    """

    def __init__(self, func: Callable[..., Any], dim_argmax: int | None = None,
                 activation: str | Callable[[torch.Tensor], torch.Tensor] | None = "no", thresh: float | None = None, to_np: bool = False,
                 invert_arg: bool = False, flatten: bool = True, name: str | None = None, lower_is_better: bool | None = None,
                 axis: int | None = None, check: Callable[[Any, torch.Tensor, torch.Tensor], None] | None = None,
                 **kwargs: Any):
        if not callable(func):
            raise TypeError(f"AccumMetric takes a function of (predictions, targets); received {describe(func)}")
        self.func, self.dim_argmax, self.thresh, self.to_np, self.invert_arg = func, dim_argmax, thresh, to_np, invert_arg
        self.flatten, self.kwargs, self._name = flatten, kwargs, name or name_of(func)
        self.axis = axis if axis is not None else -1 if dim_argmax is None else dim_argmax
        self._knows_axis = axis is not None or dim_argmax is not None
        self.lower_is_better = func_attr(func, "lower_is_better") if lower_is_better is None else lower_is_better
        self.activation = "no" if activation is None else activation.lower() if isinstance(activation, str) else activation
        known = not isinstance(self.activation, str) or self.activation in ActivationType.ACTIVATIONS
        self._decides = dim_argmax is not None and self.activation == "no"
        check_arguments(
            "AccumMetric", dim_argmax=(dim_argmax, dim_argmax != 0, "axis 0 is that of the items; the classes are along axis 1 or -1"),
            activation=(activation, known, "write 'no', 'sigmoid', 'softmax', 'binarysoftmax', 'loss' or a function"),
            thresh=(thresh, not self._decides or thresh is None,
                    f"the most probable class has no threshold; give this or dim_argmax={dim_argmax}, not both"))
        self.check = check
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
        check_tensor(self, pred)
        if not isinstance(targ, torch.Tensor):
            raise TypeError(f"metric {self.name} takes one tensor of predictions and one of targets; received {describe(targ)}")
        pred, targ = to_detach(pred, cpu=False), to_detach(targ, cpu=False)
        if self.check is not None:
            self.check(self, pred, targ)
        if self._decides and (pred.ndim < 2 or pred.shape[self.dim_argmax] == 1):
            raise ValueError(f"metric {self.name} takes the most probable class along axis {self.dim_argmax}, but the predictions are "
                             f"{describe(pred)}: a single column is always class 0. Use two outputs, or for one logit per item "
                             "AccumMetric(..., activation='sigmoid', thresh=0.5).")
        pred = self._activate(pred, loss_func)
        if self._decides:
            pred = pred.argmax(dim=self.dim_argmax)
        if self.thresh is not None:
            pred = pred >= self.thresh
        self._keep(pred, targ)

    def _keep(self, pred, targ):
        if self.flatten or (pred.ndim == 2 and pred.shape[1] == 1):         # one number per item
            pred, targ = flatten_check(pred, targ)
        elif not pred.ndim:                                                 # of one item
            pred = pred.reshape(1)
        if self.preds and self.preds[0].ndim != pred.ndim:
            raise ValueError(f"metric {self.name} had {describe(self.preds[0])} before: {lost_batch_axis(pred)}")
        self.preds.append(pred)
        self.targs.append(targ)

    def _activate(self, pred, loss_func):
        if self.activation == "no":               # a copy where it is kept as it is: the model may reuse the memory of its output
            return pred if self._decides or self.thresh is not None else pred.clone()
        if self.activation == "sigmoid":
            return pred.sigmoid()
        if self.activation in ("softmax", "binarysoftmax"):
            if pred.ndim > 2 and not self._knows_axis:
                raise ValueError(f"metric {self.name}: which axis of the predictions {describe(pred)} is that of the classes? Write "
                                 f"AccumMetric(..., activation={self.activation!r}, dim_argmax=1)")
            pred = F.softmax(pred, dim=self.axis)
            return pred if self.activation == "softmax" else pred.select(self.axis, -1)
        return (activation_of(loss_func) if self.activation == "loss" else self.activation)(pred)

    @property
    def value(self) -> float | None:
        if not self.preds:
            return None
        preds, targs = torch.cat(self.preds), torch.cat(self.targs)
        if self._decides and self.flatten and preds.shape == targs.shape:
            counts = targs != IGNORED
            preds, targs = preds[counts], targs[counts]
        if self.to_np:
            preds, targs = _as_numpy(preds), _as_numpy(targs)
        try:
            with torch.no_grad():
                result = self.compute(preds, targs)
        except Exception as e:
            add_note(e, f"in metric {self.name} on predictions {describe(preds)} and targets {describe(targs)}")
            raise
        try:
            return float(result)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(f"metric {self.name} must be one number; its function returned {describe(result)}") from None

    def compute(self, preds: Any, targs: Any) -> Any:
        """The value of these predictions and targets, as they are kept.

        Args:
            preds: activated or decided predictions of the epoch, a tensor, or with `to_np` an array.
            targs: targets, likewise.
        """
        return self.func(*((targs, preds) if self.invert_arg else (preds, targs)), **self.kwargs)

    def __call__(self, pred: torch.Tensor, targ: torch.Tensor) -> float | None:
        """The metric of these predictions and targets, for use outside a fit; what was accumulated is forgotten.

        Args:
            pred: raw predictions; decisions (whole numbers, booleans), or one number per item where raw ones have a class axis, are taken
                as they are.
            targ: targets.
        """
        self.reset()
        pred, targ = torch.as_tensor(pred), torch.as_tensor(targ)
        has_axis = self._decides or self.activation in ("softmax", "binarysoftmax")
        (self.add if pred.is_floating_point() and not (has_axis and pred.ndim == 1) else self._keep)(pred, targ)
        value = self.value
        self.reset()
        return value


def _as_numpy(t):
    t = t.detach().cpu()
    return (t.long() if t.dtype is torch.bool else t.float() if t.dtype in (torch.float16, torch.bfloat16) else t).numpy()


class AvgLoss(MeanMetric):
    "The mean of the loss over batches, each weighted by its number of items."
    lower_is_better = True
    _name = "loss"

    def accumulate(self, learn: "Learner") -> None:
        self.add(learn.loss, batch_size(learn))


class Perplexity(AvgLoss):
    "exp of the mean loss: for a language model, the number of words that it chooses between."
    _name = "perplexity"

    @property
    def value(self) -> float | None:
        mean = super().value
        return mean if mean is None else math.inf if mean > 709 else math.exp(mean)        # exp(710) overflows a double


#: `metrics=perplexity`, as fastai's users write it.
perplexity = Perplexity()


class AvgSmoothLoss(Metric):
    """Exponential average of the batch losses, v <- beta*v + (1-beta)*loss, shown as v / (1 - beta**t).

    Args:
        beta: weight of the past, from 0 (the last loss alone) to just under 1.
    """

    lower_is_better = True
    _name = "smooth_loss"

    def __init__(self, beta: float = 0.98):
        check_arguments("AvgSmoothLoss", beta=(beta, 0 <= beta < 1, "beta is from 0 (the last loss) to just under 1"))
        self.beta = beta
        self.reset()

    def reset(self) -> None:
        self.count: int = 0
        self.val: torch.Tensor | None = None

    def accumulate(self, learn: "Learner") -> None:
        loss = learn.loss.detach()
        loss = (loss.mean() if loss.ndim else loss).float()
        self.val = loss * (1 - self.beta) if self.val is None else self.val.lerp_(loss, 1 - self.beta)
        self.count += 1

    @property
    def value(self) -> float | None:
        return float(self.val) / (1 - self.beta ** self.count) if self.count else None


class LossMetric(MeanMetric):
    """The mean over batches of `learn.loss_func.<attr>`, a part of the loss that the loss function stores at each call.

    Args:
        attr: name of the attribute.
        name: shown in tables (default: `attr`).
    """

    lower_is_better = True

    def __init__(self, attr: str, name: str | None = None):
        super().__init__()
        self.attr, self._name = attr, name or attr

    def accumulate(self, learn: "Learner") -> None:
        if not hasattr(learn.loss_func, self.attr):
            raise AttributeError(f"LossMetric({self.attr!r}): the loss {loss_name(learn.loss_func)} has no attribute {self.attr!r}. "
                                 f"Set self.{self.attr} = ... where it computes the loss.")
        self.add(getattr(learn.loss_func, self.attr), batch_size(learn))


def LossMetrics(attrs: str | Sequence[str], names: str | Sequence[str] | None = None) -> list[LossMetric]:
    """Make one `LossMetric` for each of several attributes of the loss function.

    Args:
        attrs: a list, or a text such as 'recon,kl'.
        names: shown in tables, likewise (default: `attrs`).
    """
    attrs, names = ([n.strip() for n in o.split(",")] if isinstance(o, str) else list(o)
                    for o in (attrs, attrs if names is None else names))
    if len(names) != len(attrs):
        raise ValueError(f"LossMetrics: {len(attrs)} attributes {attrs} but {len(names)} names {names}")
    return [LossMetric(a, n) for a, n in zip(attrs, names, strict=True)]


class ValueMetric(Metric):
    """A metric computed elsewhere, such as in a callback.

    Args:
        func: called without arguments; returns the value.
        name: shown in tables (default: the function's own).
        lower_is_better: True, False, or None when undeclared.
    """

    def __init__(self, func: Callable[[], float | None], name: str | None = None, lower_is_better: bool | None = None):
        if not callable(func):
            raise TypeError(f"ValueMetric takes a function without arguments; received {describe(func)}")
        self.func, self._name, self.lower_is_better = func, name or name_of(func), lower_is_better

    def accumulate(self, learn: "Learner") -> None:
        "Do nothing: the value is computed elsewhere."

    @property
    def value(self) -> float | None:
        return self.func()
