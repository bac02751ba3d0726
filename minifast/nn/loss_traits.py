"""What a loss function implies: how to read the model's output, how to compute the loss per item, how much a batch counts.

Torch's own losses are recognised, as modules (`nn.CrossEntropyLoss()`), as functions (`F.cross_entropy`) and inside
`functools.partial`. Any other object may say it itself, with attributes `activation`, `decodes`, `reduction` and `y_int`.
"""
import copy
import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import nn

from ..core.messages import describe, name_of, unwrapped
from ..core.torch_internals import uncompiled
from ..core.types import LossFunc

Activation: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


def torch_class_axis(x: torch.Tensor) -> int:
    "The axis on which torch's own classification losses look for the classes."
    return 1 if x.ndim > 1 else 0


def activate(kind: str | None, x: torch.Tensor, axis: int | None = None) -> torch.Tensor:
    "Raw outputs of a `kind` as a person reads them: softmax along `axis`, sigmoid, or as they are."
    if kind == "class logits":
        return F.softmax(x, dim=torch_class_axis(x) if axis is None else axis)
    return x.exp() if kind == "class log-probabilities" else x.sigmoid() if kind == "logits" else x


def decide(kind: str | None, x: torch.Tensor, axis: int | None = None, thresh: float = 0.5) -> torch.Tensor:
    "Activated outputs of a `kind` as decisions: argmax along `axis`, `> thresh`, or as they are."
    if kind in CLASS_KINDS:
        return x.argmax(dim=torch_class_axis(x) if axis is None else axis)
    return x > thresh if kind in ("logits", "probabilities") else x


CLASS_KINDS = ("class logits", "class log-probabilities")
KINDS = (*CLASS_KINDS, "logits", "probabilities", "values")
#: torch's losses, as module and as function: what the output means to them, and whether they compare element by element
_TORCH_LOSSES = {
    (nn.CrossEntropyLoss, F.cross_entropy): ("class logits", False),
    (nn.NLLLoss, F.nll_loss): ("class log-probabilities", False),
    (nn.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits): ("logits", True),
    (nn.MultiLabelSoftMarginLoss, F.multilabel_soft_margin_loss): ("logits", False),
    (nn.BCELoss, F.binary_cross_entropy): ("probabilities", True),
    (nn.MSELoss, F.mse_loss): ("values", True),
    (nn.L1Loss, F.l1_loss): ("values", True),
    (nn.SmoothL1Loss, F.smooth_l1_loss): ("values", True),
    (nn.HuberLoss, F.huber_loss): ("values", True),
    (nn.PoissonNLLLoss, F.poisson_nll_loss): ("values", True),
    (nn.GaussianNLLLoss, F.gaussian_nll_loss): ("values", False),
}
_KNOWN = {loss: traits for forms, traits in _TORCH_LOSSES.items() for loss in forms}


def _torch_traits(inner: Any) -> tuple[str | None, bool]:
    "(kind, elementwise) of a loss of torch, also of a subclass; (None, False) of any other object."
    forms = [*type(inner).__mro__, inner] if isinstance(inner, Hashable) and not isinstance(inner, type) else []
    return next((_KNOWN[o] for o in forms if o in _KNOWN), (None, False))


def inner_loss(loss_func: Callable[..., Any]) -> Any:
    "`loss_func` without `torch.compile` and `functools.partial` around it."
    if hasattr(type(loss_func), "activation"):          # it says itself how to read the model's output, so nothing is around it
        return loss_func
    while (inner := uncompiled(unwrapped(loss_func))) is not loss_func:
        loss_func = inner
    return loss_func


def class_axis(loss_func: Any, pred: torch.Tensor) -> int:
    "The axis of `pred` on which the loss expects the classes."
    return getattr(loss_func, "axis", torch_class_axis(pred)) % max(pred.ndim, 1)


def kind_of(loss_func: Callable[..., Any]) -> str | None:
    "What the output of the model means to `loss_func`, such as 'class logits' or 'values'; None when unknown."
    inner = inner_loss(loss_func)
    own = getattr(inner, "kind", None)           # said by the losses of `minifast.nn.losses`
    return own if own in KINDS else _torch_traits(inner)[0]


def activation_of(loss_func: LossFunc) -> Activation:
    """The function that turns raw outputs of the model into what a person reads.

    Softmax for `F.cross_entropy`, sigmoid for `nn.BCEWithLogitsLoss()`, the loss's own `activation` where it has one, else the identity.
    """
    own = getattr(inner_loss(loss_func), "activation", None)
    return own if callable(own) else partial(activate, kind_of(loss_func))


def decodes_of(loss_func: LossFunc) -> Activation:
    "The function that turns activated outputs into decisions: argmax for class losses, `> 0.5` for binary ones, else the identity."
    own = getattr(inner_loss(loss_func), "decodes", None)
    return own if callable(own) else partial(decide, kind_of(loss_func))


def y_int_of(loss_func: LossFunc) -> bool:
    "Whether the targets of `loss_func` are class ids, which cannot be blended: MixUp then blends two losses instead."
    return bool(getattr(inner_loss(loss_func), "y_int", False)) or kind_of(loss_func) in CLASS_KINDS


def needs_same_shape(loss_func: Callable[..., Any]) -> bool:
    "Whether predictions and targets must have one shape: true of torch's elementwise losses, which would broadcast (n,1) against (n,)."
    return _torch_traits(inner_loss(loss_func))[1]


def has_own_forward(loss_func: LossFunc) -> bool:
    "Whether the loss is computed by code of neither torch nor minifast: a function or class of the user's, also a subclass of theirs."
    inner = inner_loss(loss_func)
    return has_own_code(type(inner).forward if isinstance(inner, nn.Module) else inner)


def has_own_code(f: Any, *others: str) -> bool:
    "Whether a function, a class or an object that is called is of neither torch nor minifast, nor of the packages `others`."
    while isinstance(f, partial):
        f = f.func
    return (getattr(f, "__module__", None) or type(f).__module__).split(".")[0] not in ("torch", "minifast", *others)


def first_tensor(pred: Any, name: str = "pred") -> str:
    "How to write the first part of a model's output that is not one tensor: `\"pred['out']\"`, `'pred[0]'`."
    if isinstance(pred, Mapping):
        return f"{name}[{next(iter(pred), 'out')!r}]"
    return f"{name}[0]" if isinstance(pred, (tuple, list)) else f"{name}.{fields(pred)[0].name}" if is_dataclass(pred) else name


def not_one_tensor(pred: Any, user: str) -> str:
    "The message for an output of the model that is not the one tensor that `user`, such as a loss, takes."
    return (f"the model returned {describe(pred)}, and {user} takes one tensor. Return it from the model's `forward`; or pick it with "
            f"cbs=Callback(after_pred=lambda cb: setattr(cb.learn, 'pred', {first_tensor(pred, 'cb.pred')})); or write a class with the "
            "methods `__call__(pred, *targets)` (the loss), `activation(pred)` (probabilities, as one tensor) and `decodes(probs)` "
            "(decisions), and give an instance as loss_func=")


def lost_batch_axis(pred: torch.Tensor) -> str:
    "The message for the output of a batch of one item that has lost its batch axis."
    return (f"the model returned {describe(pred)} for a batch of one item: a `squeeze()` in it also drops the axis of the items. Write "
            "squeeze(-1), which drops the last axis alone")


@contextmanager
def decoding(pred: Any, loss_func: LossFunc) -> Iterator[None]:
    "Within the block predictions are made targets; says what to write where that fails because the loss does not say how."
    try:
        yield
    except Exception as e:
        if isinstance(pred, torch.Tensor) and kind_of(loss_func) is not None:
            raise
        raise TypeError(
            f"predictions {describe(pred)} cannot be made targets: the loss {loss_name(loss_func)} does not say how. Write a class with "
            "the methods `__call__(pred, *targets)` (the loss), `activation(pred)` (probabilities) and `decodes(probs)` (decisions), these "
            "with one tensor per target, and give an instance as loss_func=; `get_preds()` gives the output as it is") from e


def loss_name(loss_func: LossFunc) -> str:
    "The name of `loss_func` for people: `'cross_entropy'`, `'CrossEntropyLossFlat'`."
    return name_of(inner_loss(loss_func))


def reduction_none(loss_func: LossFunc) -> LossFunc:
    """Make a callable that computes `loss_func` per element, without averaging; `loss_func` itself is left as it is.

    Works for torch's losses, those of `minifast.nn.losses`, any object with an attribute `reduction` and any function with a
    parameter `reduction`.

    Raises:
        TypeError: for anything else.
    """
    inner = inner_loss(loss_func)
    if not isinstance(inner, type) and hasattr(inner, "reduction"):
        new = copy.copy(inner)
        if isinstance(getattr(new, "func", None), nn.Module):      # a loss around a loss: the inner one holds the setting
            object.__setattr__(new, "func", copy.copy(new.func))   # as a plain attribute: both copies share their table of submodules
        new.reduction = "none"
        return partial(new, *loss_func.args, **loss_func.keywords) if isinstance(loss_func, partial) else new
    if not isinstance(inner, nn.Module) and callable(inner):
        with suppress(TypeError, ValueError):                      # a function of C without a signature
            if "reduction" in inspect.signature(inner).parameters:
                return partial(loss_func, reduction="none")
    raise TypeError(f"the loss of each item is needed here, but {loss_name(loss_func)} only gives one number per batch. Give it a "
                    "parameter `reduction='mean'` that also takes 'none' (a function), or an attribute `reduction` (an object).")


@contextmanager
def NoneReduce(loss_func: LossFunc) -> Iterator[LossFunc]:
    """Within the block, a loss computes one number per element: `with NoneReduce(loss_func) as f: losses = f(preds, targs)`.

    A loss with an attribute `reduction` is itself set to 'none' for the block. See `reduction_none`, which leaves it as it is.

    Args:
        loss_func: an object with an attribute `reduction`, or a function with a parameter `reduction`.

    Raises:
        TypeError: it has neither.
    """
    inner, each = inner_loss(loss_func), reduction_none(loss_func)
    if isinstance(inner, type) or not hasattr(inner, "reduction"):
        yield each
        return
    before, inner.reduction = inner.reduction, "none"
    try:
        yield loss_func
    finally:
        inner.reduction = before


def loss_setting(loss_func: LossFunc, name: str, default: Any) -> Any:
    "A setting of a loss: given to a `partial` of it, or an attribute of it or of the loss inside."
    if isinstance(loss_func, partial) and name in loss_func.keywords:
        return loss_func.keywords[name]
    inner = inner_loss(loss_func)
    return getattr(getattr(inner, "func", inner), name, default)


def reduction_of(loss_func: LossFunc) -> str:
    "How `loss_func` makes one number of a batch: 'mean', 'sum' or 'none'."
    return loss_setting(loss_func, "reduction", "mean")


def class_weight_of(loss_func: LossFunc) -> torch.Tensor | None:
    "The factor per class (C,) of `loss_func`, or None."
    return loss_setting(loss_func, "weight", None)


def ignore_index_of(loss_func: LossFunc) -> int | None:
    "The target that `loss_func` leaves out: torch's -100 where it does not say."
    return loss_setting(loss_func, "ignore_index", -100)


def batch_weight(loss_func: LossFunc, yb: Sequence[Any], n_items: int) -> int | torch.Tensor | None:
    """How much a batch counts in a mean over several batches: the divisor of its own mean.

    That is the number of target elements; for class targets without those ignored, and the sum of their class weights where the loss
    has any (a 0-d tensor on the device); `n_items` for losses and targets that are not recognised. None: the loss is a sum.

    Args:
        loss_func: the loss.
        yb: the targets of the batch.
        n_items: items in the batch.
    """
    if reduction_of(loss_func) == "sum":
        return None
    y = yb[0] if len(yb) == 1 else None
    kind, weight, ignored = kind_of(loss_func), class_weight_of(loss_func), ignore_index_of(loss_func)
    if kind is None or not isinstance(y, torch.Tensor) or (kind in CLASS_KINDS and y.is_floating_point()):     # class probabilities
        return n_items
    if kind not in CLASS_KINDS or (weight is None and y.ndim <= 1 and ignored == -100):
        return y.numel()
    counted = (y != ignored).flatten()
    if weight is None:
        return counted.sum().clamp(min=1)
    return (weight.to(y.device)[y.flatten().long() * counted] * counted).sum()


def same_items(a: torch.Size, b: torch.Size) -> bool:
    """Whether tensors of shapes `a` and `b` can be compared element by element once flattened.

    True for equal shapes, axes of length 1 aside, and where one of the two is already flat: (64,1) and (64,), (64,4) and (64,2,2),
    (640,) and (64,10). False for (64,3,8,8) and (64,8,8,3), which only happen to have as many elements.
    """
    if a == b or (a[:-1] == b and a[-1] == 1):          # by far the usual cases
        return True
    squeezed_a, squeezed_b = ([n for n in s if n != 1] for s in (a, b))
    flat = min(len(squeezed_a), len(squeezed_b))
    return squeezed_a == squeezed_b or (a.numel() == b.numel() and (flat <= 1 or (flat == 2 and a[0] == b[0])))
