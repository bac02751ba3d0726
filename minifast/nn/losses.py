"""Losses that also say what the model's output means.

`activation` turns raw outputs into probabilities, `decodes` turns these into decisions; predictions and interpretation read both from
the loss in use.

`...Flat` losses take predictions and targets of any number of axes and flatten them, so (64,1) meets (64,) as one expects.
"""
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ..core.keywords import KnowsKeywords
from ..core.messages import brief, describe, listing
from ..core.recipe import Recipe
from .loss_traits import activate, decide, kind_of, same_items, y_int_of

Weights: TypeAlias = torch.Tensor | np.ndarray | Sequence[float]
"One number per class, in the order of the vocabulary."
REDUCTIONS = ("mean", "sum", "none")


def _check_reduction(reduction: str, where: str) -> str:
    if reduction not in REDUCTIONS:
        raise ValueError(f"{where}(reduction={brief(reduction)}): reduction is one of {', '.join(map(repr, REDUCTIONS))}")
    return reduction


def _as_weights(weight: Any, where: str) -> torch.Tensor | None:
    "Weights as a tensor of floats: a list, an array, whole numbers; refuses what has names instead of an order."
    if weight is None:
        return None
    if isinstance(weight, Mapping) or (hasattr(weight, "index") and hasattr(weight, "to_numpy")):
        if isinstance(weight, Mapping) or list(weight.index) != list(range(len(weight))):
            raise TypeError(f"{where} takes one number per class in the order of dls.vocab; received {type(weight).__name__} with names "
                            f"{listing(list(weight) if isinstance(weight, Mapping) else weight.index, 4)}: write [w[c] for c in dls.vocab]")
        weight = weight.to_numpy(copy=True)
    made = weight if isinstance(weight, torch.Tensor) and weight.is_floating_point() else torch.as_tensor(weight).float()
    if not bool((made >= 0).all()) or not bool(torch.isfinite(made).all()):
        raise ValueError(f"{where}: weights are 0 or more and finite; received {brief(weight)}")
    return made


def _mismatch(loss, inp, targ):
    advice = "For class ids use CrossEntropyLossFlat()." if targ.ndim < inp.ndim else "Check n_out and the shape of the targets."
    return (f"{type(loss).__name__}: predictions {describe(inp)} and targets {describe(targ)} cannot be compared element by element. "
            + advice)


class _Readable(KnowsKeywords, nn.Module):
    "A loss whose output is read along `axis`."

    kind: str | None                           #: what the output means, see `minifast.nn.loss_traits`
    axis: int
    thresh = 0.5                               #: probability above which a binary loss decides yes

    def activation(self, x: torch.Tensor) -> torch.Tensor:
        "Raw output -> what is shown and saved as predictions: softmax over `axis`, sigmoid, or as it is."
        return activate(self.kind, x, self.axis)

    def decodes(self, x: torch.Tensor) -> torch.Tensor:
        "Activated output -> decision: argmax over `axis`, `> thresh`, or as it is."
        return decide(self.kind, x, self.axis, self.thresh)


class BaseLoss(_Readable):
    """A loss on flattened predictions and targets. `ValueError` names both shapes where they do not go together.

    Args:
        loss_cls: makes the loss: a class of torch, called with `args` and `kwargs`.
        args: for `loss_cls`.
        axis: the axis of the classes in the predictions; 1 for masks (B, n_classes, H, W).
        flatten: reshape predictions and targets before the call.
        floatify: targets become floats.
        is_2d: True keeps the class axis, predictions (N,C) against targets (N,); False flattens both to (N,).
        kwargs: for `loss_cls`.
    """

    def __init__(self, loss_cls: Callable[..., Any], *args: Any, axis: int = -1, flatten: bool = True, floatify: bool = False,
                 is_2d: bool = True, **kwargs: Any):
        super().__init__()
        if isinstance(axis, bool) or not isinstance(axis, int):
            raise TypeError(f"{type(self).__name__}(axis={brief(axis)}): axis is the number of the axis of the classes, such as -1 or 1")
        if "reduction" in kwargs:
            _check_reduction(kwargs["reduction"], type(self).__name__)
        for name in {"weight", "pos_weight"} & kwargs.keys():
            kwargs[name] = _as_weights(kwargs[name], f"{type(self).__name__}({name}=...)")
        self.func = loss_cls(*args, **kwargs)
        self.axis, self.flatten, self.floatify, self.is_2d = axis, flatten, floatify, is_2d
        self.kind, self.y_int = kind_of(self.func), y_int_of(self.func)       # y_int: whether targets are class ids

    @property
    def recipe(self) -> Recipe:
        "How to make this loss: its settings are attributes of its own or of the loss inside."
        names = [n for n in inspect.signature(type(self).__init__).parameters if n != "self"]
        return Recipe(type(self), {n: getattr(self, n, getattr(self.func, n, None)) for n in names})

    @property
    def reduction(self) -> str:
        "'mean', 'sum' or 'none': settable."
        return self.func.reduction

    @reduction.setter
    def reduction(self, value: str) -> None:
        self.func.reduction = _check_reduction(value, type(self).__name__)

    def forward(self, inp: torch.Tensor, targ: torch.Tensor) -> torch.Tensor:
        if self.floatify and targ.dtype is not inp.dtype:
            targ = targ.to(torch.float64 if inp.dtype is torch.float64 else torch.float32)
        elif self.y_int and targ.dtype is not torch.int64 and not targ.is_floating_point():
            targ = targ.long()
        if not self.flatten:
            return self.func(inp, targ)
        return self._by_class(inp, targ) if self.is_2d else self._by_element(inp, targ)

    def _by_element(self, inp, targ):
        if inp.shape == targ.shape:
            loss = self.func(inp, targ)
            return loss.reshape(-1) if loss.ndim else loss
        if not same_items(inp.shape, targ.shape):
            raise ValueError(_mismatch(self, inp, targ))
        return self.func(inp if inp.ndim == 1 else inp.reshape(-1), targ if targ.ndim == 1 else targ.reshape(-1))

    def _by_class(self, inp, targ):
        last = self.axis == -1 or self.axis == inp.ndim - 1
        if last and inp.ndim == 2 and targ.ndim == 1 and inp.shape[0] == targ.shape[0]:     # nothing to flatten: the usual case
            return self.func(inp, targ)
        per_class = targ.ndim == inp.ndim and targ.is_floating_point()
        if not last:
            inp, targ = inp.movedim(self.axis, -1), targ.movedim(self.axis, -1) if per_class else targ
        n = inp.shape[-1]
        if targ.numel() * (1 if per_class else n) != inp.numel():
            raise ValueError(f"{type(self).__name__}(axis={self.axis}): one target per prediction is needed, but with the classes "
                             f"moved last the predictions are {describe(inp)} and the targets {describe(targ)}. For masks write axis=1.")
        return self.func(inp.reshape(-1, n), targ.reshape(-1, n) if per_class else targ.reshape(-1))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(axis={self.axis}, reduction={getattr(self.func, 'reduction', None)!r})"


class CrossEntropyLossFlat(BaseLoss):
    """`nn.CrossEntropyLoss` on logits, with class ids of any shape or class probabilities of the predictions' shape.

    Args:
        axis: the axis of the classes in the predictions; 1 for masks (B, n_classes, H, W).
        weight: factor per class, (C,): a tensor, list or array of any numbers.
        ignore_index: targets of this id do not count.
        label_smoothing: share of the probability that goes to all classes alike.
        reduction: 'mean', 'sum' or 'none'.
        flatten: reshape predictions and targets before the call.
    """

    def __init__(self, axis: int = -1, weight: Weights | None = None, ignore_index: int = -100, label_smoothing: float = 0.,
                 reduction: str = "mean", flatten: bool = True):
        super().__init__(nn.CrossEntropyLoss, axis=axis, flatten=flatten, weight=weight, ignore_index=ignore_index,
                         label_smoothing=label_smoothing, reduction=reduction)

    def _by_class(self, inp, targ):
        # Torch takes (B,C,H,W) as it is, which saves moving the classes last: a copy, unless the memory is channels-last.
        # Its two-dimensional kernel is not deterministic, so a program that asked for determinism takes the flat one.
        if (self.axis == 1 and inp.ndim > 2 and targ.shape == inp.shape[:1] + inp.shape[2:] and inp.is_contiguous()
                and not torch.are_deterministic_algorithms_enabled()):
            loss = self.func(inp, targ)
            return loss.reshape(-1) if loss.ndim else loss
        return super()._by_class(inp, targ)


class LabelSmoothingCrossEntropyFlat(CrossEntropyLossFlat):
    """`CrossEntropyLossFlat` with label smoothing (Szegedy et al. 2015, section 7).

    Args:
        eps: share of the probability that goes to all classes alike.
        axis: the axis of the classes in the predictions; 1 for masks (B, n_classes, H, W).
        weight: factor per class, (C,): a tensor, list or array of any numbers.
        ignore_index: targets of this id do not count.
        reduction: 'mean', 'sum' or 'none'.
        flatten: reshape predictions and targets before the call.
    """

    def __init__(self, eps: float = 0.1, axis: int = -1, weight: Weights | None = None, ignore_index: int = -100,
                 reduction: str = "mean", flatten: bool = True):
        super().__init__(axis=axis, weight=weight, ignore_index=ignore_index, label_smoothing=eps, reduction=reduction, flatten=flatten)
        self.eps = eps


class LabelSmoothingCrossEntropy(nn.CrossEntropyLoss):
    """Cross entropy with label smoothing, classes on axis 1: exactly torch's `label_smoothing=eps`, class weights included.

    Args:
        eps: share of the probability that goes to all classes alike.
        weight: factor per class, (C,): a tensor, list or array of any numbers.
        reduction: 'mean', 'sum' or 'none'.
        ignore_index: targets of this id do not count.
    """
    y_int, kind = True, "class logits"

    def __init__(self, eps: float = 0.1, weight: Weights | None = None, reduction: str = "mean", ignore_index: int = -100):
        super().__init__(weight=_as_weights(weight, "LabelSmoothingCrossEntropy(weight=...)"), ignore_index=ignore_index,
                         label_smoothing=eps, reduction=_check_reduction(reduction, type(self).__name__))
        self.eps = eps


class FocalLoss(nn.CrossEntropyLoss):
    """(1 - p_t)^gamma times cross entropy, classes on axis 1 (Lin et al. 2017, https://arxiv.org/abs/1708.02002).

    p_t, the probability given to the right class, never includes the class `weight`. With gamma=0 it is `F.cross_entropy`: the mean
    of a weighted loss is divided by the sum of the weights of the targets.

    Args:
        gamma: 0 or more; how much items that are already right are turned down.
        weight: factor per class, (C,): a tensor, list or array of any numbers.
        reduction: 'mean', 'sum' or 'none'.
        ignore_index: targets of this id do not count.
    """

    y_int, kind = True, "class logits"

    def __init__(self, gamma: float = 2.0, weight: Weights | None = None, reduction: str = "mean", ignore_index: int = -100):
        super().__init__(weight=_as_weights(weight, "FocalLoss(weight=...)"), ignore_index=ignore_index,
                         reduction=_check_reduction(reduction, "FocalLoss"))
        if gamma < 0:
            raise ValueError(f"FocalLoss(gamma={gamma}): gamma is 0 (plain cross entropy) or more")
        self.gamma = gamma

    def forward(self, inp: torch.Tensor, targ: torch.Tensor) -> torch.Tensor:
        ce = F.cross_entropy(inp, targ, reduction="none", ignore_index=self.ignore_index)
        wrong = -torch.expm1(-ce)                                             # 1 - p_t, exact for p_t near 1
        loss = wrong.clamp_min(torch.finfo(wrong.dtype).eps) ** self.gamma * ce   # the clamp keeps the gradient finite for gamma < 1
        counts = targ != self.ignore_index
        if self.weight is not None:
            counts = self.weight.to(loss.dtype)[torch.where(counts, targ, 0)] * counts
        loss = loss * counts
        return loss if self.reduction == "none" else loss.sum() if self.reduction == "sum" else loss.sum() / counts.sum()

    def extra_repr(self) -> str:
        return f"gamma={self.gamma}, reduction={self.reduction!r}"


class FocalLossFlat(BaseLoss):
    """`FocalLoss` on logits with class ids of any shape.

    Args:
        gamma: 0 or more; how much items that are already right are turned down.
        axis: the axis of the classes in the predictions; 1 for masks (B, n_classes, H, W).
        weight: factor per class, (C,): a tensor, list or array of any numbers.
        reduction: 'mean', 'sum' or 'none'.
        ignore_index: targets of this id do not count.
        flatten: reshape predictions and targets before the call.
    """

    def __init__(self, gamma: float = 2.0, axis: int = -1, weight: Weights | None = None, reduction: str = "mean",
                 ignore_index: int = -100, flatten: bool = True):
        super().__init__(FocalLoss, axis=axis, flatten=flatten, gamma=gamma, weight=weight, reduction=reduction, ignore_index=ignore_index)


class BCEWithLogitsLossFlat(BaseLoss):
    """Binary cross entropy on logits, for one or several yes/no labels per item; targets of any dtype, 0 to 1.

    Args:
        axis: the axis of the labels.
        floatify: targets become floats.
        thresh: probability above which `decodes` says yes.
        weight: torch's, broadcast against the last axis.
        pos_weight: factor of the positive targets, likewise.
        reduction: 'mean', 'sum' or 'none'.
        flatten: reshape predictions and targets before the call.
    """

    def __init__(self, axis: int = -1, floatify: bool = True, thresh: float = 0.5, weight: Weights | None = None,
                 pos_weight: Weights | None = None, reduction: str = "mean", flatten: bool = True):
        super().__init__(nn.BCEWithLogitsLoss, axis=axis, flatten=flatten, floatify=floatify, is_2d=False, weight=weight,
                         pos_weight=pos_weight, reduction=reduction)
        self.thresh = thresh

    def _by_element(self, inp, targ):
        if (self.func.weight is None and self.func.pos_weight is None) or not same_items(inp.shape, targ.shape):
            return super()._by_element(inp, targ)
        inp, targ = (o.movedim(self.axis, -1) for o in (inp, targ.reshape(inp.shape)))   # weights are per label: keep the last axis
        return self.func(inp, targ)


class BCELossFlat(BaseLoss):
    """Binary cross entropy on probabilities (a model that ends in a sigmoid); `BCEWithLogitsLossFlat` is more accurate.

    Args:
        axis: the axis of the labels.
        floatify: targets become floats.
        thresh: probability above which `decodes` says yes.
        weight: torch's, broadcast against the last axis.
        reduction: 'mean', 'sum' or 'none'.
        flatten: reshape predictions and targets before the call.
    """

    def __init__(self, axis: int = -1, floatify: bool = True, thresh: float = 0.5, weight: Weights | None = None, reduction: str = "mean",
                 flatten: bool = True):
        super().__init__(nn.BCELoss, axis=axis, flatten=flatten, floatify=floatify, is_2d=False, weight=weight, reduction=reduction)
        self.thresh = thresh


class _NumberLossFlat(BaseLoss):
    _loss_cls: type[nn.Module]

    def __init__(self, axis: int = -1, floatify: bool = True, reduction: str = "mean", flatten: bool = True):
        super().__init__(self._loss_cls, axis=axis, flatten=flatten, floatify=floatify, is_2d=False, reduction=reduction)


class MSELossFlat(_NumberLossFlat):
    """Mean squared error; (n,1) predictions meet (n,) targets element by element, integer targets become floats.

    Args:
        axis: accepted for old code; numbers have no class axis.
        floatify: targets become floats.
        reduction: 'mean', 'sum' or 'none'.
        flatten: reshape predictions and targets before the call.
    """

    _loss_cls = nn.MSELoss


class L1LossFlat(_NumberLossFlat):
    """Mean absolute error; (n,1) predictions meet (n,) targets element by element, integer targets become floats.

    Args:
        axis: accepted for old code; numbers have no class axis.
        floatify: targets become floats.
        reduction: 'mean', 'sum' or 'none'.
        flatten: reshape predictions and targets before the call.
    """

    _loss_cls = nn.L1Loss


class DiceLoss(_Readable):
    """1 - Dice coefficient of the softmax, per image and class, for masks (V-Net, https://arxiv.org/abs/1606.04797).

    Args:
        axis: the axis of the classes; targets are class ids of the predictions' shape less this axis.
        smooth: keeps an absent class from dividing by 0.
        reduction: 'mean', 'sum' or 'none', over images and classes.
        square_in_union: p^2 instead of p in the denominator.
    """

    y_int, kind = True, "class logits"

    def __init__(self, axis: int = 1, smooth: float = 1e-6, reduction: str = "sum", square_in_union: bool = False):
        super().__init__()
        self.axis, self.smooth, self.square_in_union = axis, smooth, square_in_union
        self.reduction = _check_reduction(reduction, "DiceLoss")

    def forward(self, pred: torch.Tensor, targ: torch.Tensor) -> torch.Tensor:
        pred = pred.movedim(self.axis, 1)
        if targ.shape != pred.shape[:1] + pred.shape[2:]:
            raise ValueError(f"DiceLoss(axis={self.axis}) takes one class id per pixel: predictions (classes on axis 1) {describe(pred)}, "
                             f"targets {describe(targ)}")
        p = F.softmax(pred, dim=1).unsqueeze(-1).flatten(2)                                # (B, n_classes, pixels)
        t = torch.zeros_like(p).scatter_(1, targ.long().unsqueeze(-1).flatten(1).unsqueeze(1), 1.0)
        size = p ** 2 + t if self.square_in_union else p + t
        loss = 1 - (2 * (p * t).sum(-1) + self.smooth) / (size.sum(-1) + self.smooth)
        return loss if self.reduction == "none" else loss.sum() if self.reduction == "sum" else loss.mean()
