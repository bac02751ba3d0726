"""What a loss function implies: how to read the model's output, how to compute the loss per item, which targets it takes.

Torch's own losses are recognised, as modules (`nn.CrossEntropyLoss()`), as functions (`F.cross_entropy`) and inside
`functools.partial`. Any other object may say it itself, with attributes `activation`, `decodes`, `reduction` and `y_int`.
"""
import copy
import inspect
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..core.messages import describe


def _class_axis(x):
    return 1 if x.ndim > 1 else 0                # where torch's own classification losses look for the classes


def _softmax(x):
    return F.softmax(x, dim=_class_axis(x))


def _argmax(x):
    return x.argmax(dim=_class_axis(x))


def _over_half(x):
    return x > 0.5


def _identity(x):
    return x


# kind of output -> (activation, decodes)
_READINGS = {
    "class logits": (_softmax, _argmax),
    "class log-probabilities": (torch.exp, _argmax),
    "logits": (torch.sigmoid, _over_half),
    "probabilities": (_identity, _over_half),
    "values": (_identity, _identity),
}
_MODULES = {
    nn.CrossEntropyLoss: "class logits", nn.NLLLoss: "class log-probabilities", nn.BCEWithLogitsLoss: "logits",
    nn.MultiLabelSoftMarginLoss: "logits", nn.BCELoss: "probabilities", nn.MSELoss: "values", nn.L1Loss: "values",
    nn.SmoothL1Loss: "values", nn.HuberLoss: "values", nn.PoissonNLLLoss: "values", nn.GaussianNLLLoss: "values",
}
_FUNCTIONS = {
    F.cross_entropy: "class logits", F.nll_loss: "class log-probabilities", F.binary_cross_entropy_with_logits: "logits",
    F.multilabel_soft_margin_loss: "logits", F.binary_cross_entropy: "probabilities", F.mse_loss: "values", F.l1_loss: "values",
    F.smooth_l1_loss: "values", F.huber_loss: "values", F.poisson_nll_loss: "values", F.gaussian_nll_loss: "values",
}
_ELEMENTWISE = (
    nn.BCEWithLogitsLoss, nn.BCELoss, nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.PoissonNLLLoss,
    F.binary_cross_entropy_with_logits, F.binary_cross_entropy, F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss, F.poisson_nll_loss,
)


def _inner(loss_func):
    "`loss_func` without `torch.compile` and `functools.partial` around it."
    while True:
        if isinstance(loss_func, partial):
            loss_func = loss_func.func
        elif hasattr(loss_func, "_orig_mod"):
            loss_func = loss_func._orig_mod
        elif hasattr(loss_func, "_torchdynamo_orig_callable"):
            loss_func = loss_func._torchdynamo_orig_callable
        else:
            return loss_func


def kind_of(loss_func):
    "What the output of the model means to `loss_func`, a key of `_READINGS`, or None when unknown."
    inner = _inner(loss_func)
    own = getattr(inner, "kind", None)           # said by the losses of `minifast.nn.losses`
    if isinstance(own, str) and own in _READINGS:
        return own
    for cls, kind in _MODULES.items():
        if isinstance(inner, cls):
            return kind
    try:
        return _FUNCTIONS.get(inner)
    except TypeError:                            # an unhashable callable
        return None


def _reading(loss_func, name, i):
    own = getattr(_inner(loss_func), name, None)
    if callable(own):
        return own
    kind = kind_of(loss_func)
    return _identity if kind is None else _READINGS[kind][i]


def activation_of(loss_func):
    """The function that turns raw outputs of the model into what a person reads: softmax for `F.cross_entropy`, sigmoid for
    `nn.BCEWithLogitsLoss()`, the loss's own `activation` where it has one, else the identity."""
    return _reading(loss_func, "activation", 0)


def decodes_of(loss_func):
    "The function that turns activated outputs into decisions: argmax for class losses, `> 0.5` for binary ones, else the identity."
    return _reading(loss_func, "decodes", 1)


def y_int_of(loss_func):
    "Whether the targets of `loss_func` are class ids, which cannot be blended: MixUp then blends two losses instead."
    inner = _inner(loss_func)
    return bool(getattr(inner, "y_int", False)) or (kind_of(inner) or "").startswith("class")


def needs_same_shape(loss_func):
    "Whether predictions and targets must have one shape: true of torch's elementwise losses, which would broadcast (n,1) against (n,)."
    inner = _inner(loss_func)
    return any(inner is o or (isinstance(o, type) and isinstance(inner, o)) for o in _ELEMENTWISE)


def loss_name(loss_func):
    "The name of `loss_func` for people: `'cross_entropy'`, `'CrossEntropyLossFlat'`."
    inner = _inner(loss_func)
    return getattr(inner, "__name__", None) or type(inner).__name__


def _copied(loss_func):
    "A copy that shares tensors and settings but not the attributes themselves."
    new = copy.copy(loss_func)
    if isinstance(new, nn.Module):
        new.__dict__["_modules"] = dict(new._modules)
    return new


def reduction_none(loss_func):
    """A callable that computes `loss_func` per element, without averaging; `loss_func` itself is left as it is.

    Works for torch's losses, those of `minifast.nn.losses`, any object with an attribute `reduction` and any function with a
    parameter `reduction`; anything else raises `TypeError`.
    """
    inner = _inner(loss_func)
    if not isinstance(inner, type) and hasattr(inner, "reduction"):
        new = _copied(inner)
        if isinstance(getattr(new, "func", None), nn.Module):      # a loss around a loss: the inner one holds the setting
            new.func = _copied(new.func)
        new.reduction = "none"
        return partial(new, *loss_func.args, **loss_func.keywords) if isinstance(loss_func, partial) else new
    if not isinstance(inner, nn.Module) and callable(inner):
        try:
            takes = "reduction" in inspect.signature(inner).parameters
        except (TypeError, ValueError):
            takes = False
        if takes:
            return partial(loss_func, reduction="none")
    raise TypeError(f"the loss of each item is needed here, but {loss_name(loss_func)} only gives one number per batch. Give it a "
                    "parameter `reduction='mean'` that also takes 'none' (a function), or an attribute `reduction` (an object).")


def reduction_of(loss_func):
    "How `loss_func` makes one number of a batch: 'mean', 'sum' or 'none'."
    if isinstance(loss_func, partial) and "reduction" in loss_func.keywords:
        return loss_func.keywords["reduction"]
    inner = _inner(loss_func)
    return getattr(getattr(inner, "func", inner), "reduction", "mean")


def batch_weight(loss_func, yb, n_items):
    """By how much a batch counts in a mean over several batches: the divisor of its own mean.

    That is the number of target elements; for class targets without those ignored, and the sum of their class weights where the loss
    has any (a 0-d tensor on the device); `n_items` for losses and targets that are not recognised. None: the loss is a sum.
    """
    if reduction_of(loss_func) == "sum":
        return None
    y = yb[0] if len(yb) == 1 else None
    kind = kind_of(loss_func)
    if kind is None or not isinstance(y, torch.Tensor):
        return n_items
    if not kind.startswith("class"):
        return y.numel()
    if y.is_floating_point():                    # class probabilities
        return n_items
    weight = class_weight_of(loss_func)
    if weight is None and y.ndim <= 1 and ignore_index_of(loss_func) == -100:
        return y.numel()
    counted = (y != ignore_index_of(loss_func)).flatten()
    if weight is None:
        return counted.sum().clamp(min=1)
    return (weight.to(y.device)[y.flatten().long() * counted] * counted).sum()


def class_weight_of(loss_func):
    if isinstance(loss_func, partial) and "weight" in loss_func.keywords:
        return loss_func.keywords["weight"]
    inner = _inner(loss_func)
    return getattr(getattr(inner, "func", inner), "weight", None)


def same_items(a, b):
    """Whether tensors of shapes `a` and `b` can be compared element by element once flattened.

    True for equal shapes, axes of length 1 aside, and where one of the two is already flat: (64,1) and (64,), (64,4) and (64,2,2),
    (640,) and (64,10). False for (64,3,8,8) and (64,8,8,3), which only happen to have as many elements.
    """
    if a == b or (a[:-1] == b and a[-1] == 1):          # by far the usual cases
        return True
    squeezed_a, squeezed_b = ([n for n in s if n != 1] for s in (a, b))
    if squeezed_a == squeezed_b:
        return True
    if a.numel() != b.numel():
        return False
    flat = min(len(squeezed_a), len(squeezed_b))
    return flat <= 1 or (flat == 2 and a[0] == b[0])


def check_target(loss_func, pred, yb):
    """Refuse targets that `loss_func` would fail on, or silently learn the wrong thing from, with `ValueError`.

    pred: the raw output of the model. yb: the target or the tuple of targets of the batch. It looks at values, so it waits for
    the device: meant for one batch per fit. Losses that are not recognised are not checked.
    """
    y = yb if isinstance(yb, torch.Tensor) else yb[0] if isinstance(yb, (tuple, list)) and len(yb) == 1 else None
    kind = kind_of(loss_func)
    if kind is None or not isinstance(pred, torch.Tensor) or not isinstance(y, torch.Tensor) or not pred.is_floating_point():
        return
    if pred.numel() == 0 or y.numel() == 0:
        raise ValueError(f"{loss_name(loss_func)}: an empty batch: predictions {describe(pred)}, targets {describe(y)}.")
    if y.is_floating_point() and not bool(torch.isfinite(y).all()):
        bad = int((~torch.isfinite(y)).sum())
        raise ValueError(f"the targets have {bad:,} NaN or infinite values among {y.numel():,} in this batch ({describe(y)}): the loss "
                         "would be NaN. Drop or fill these rows before training.")
    (_check_classes if kind.startswith("class") else _check_values)(loss_func, kind, pred, y)


def class_axis(loss_func: Any, pred: torch.Tensor) -> int:
    "The axis of `pred` on which the loss expects the classes."
    return getattr(loss_func, "axis", _class_axis(pred)) % max(pred.ndim, 1)


def _check_classes(loss_func, kind, pred, y):
    name, inner = loss_name(loss_func), _inner(loss_func)
    flat = getattr(inner, "flatten", False)
    axis = class_axis(inner, pred)
    n_out = pred.shape[axis]
    rest = pred.shape[:axis] + pred.shape[axis + 1:]
    if n_out == 1:
        raise ValueError(f"{name} compares classes, but the model has a single output (predictions {describe(pred)}): its loss is "
                         "always 0. Write n_out=2, or use BCEWithLogitsLossFlat() for one logit.")
    if y.is_floating_point():
        return _check_class_probabilities(name, axis, pred, y)
    if y.numel() != rest.numel() or (not flat and y.shape != rest):
        raise ValueError(f"{name} takes one target per prediction: predictions {describe(pred)} need targets of shape {list(rest)}, "
                         f"received {describe(y)}. " + _shape_advice(pred, y, n_out, axis))
    if not flat and y.dtype not in (torch.int64, torch.uint8):
        raise ValueError(f"{name} takes class ids as int64, received targets {describe(y)}: write y.long(), or CrossEntropyLossFlat().")
    ignore = ignore_index_of(loss_func)
    seen = y[y != ignore] if ignore is not None else y
    if not seen.numel():
        return None
    low, high = int(seen.min()), int(seen.max())
    if high >= n_out:
        raise ValueError(f"your model has n_out={n_out} outputs but a target is {high}: write n_out={high + 1} or dls.c"
                         + (f" (or ignore_index={high}, if {high} means 'not labelled')." if high == 255 else "."))
    if low < 0:
        raise ValueError(f"class ids go from 0 to {n_out - 1}, but a target is {low}"
                         + ("." if ignore is None else f" and {name} only ignores ignore_index={ignore}."))
    return None


def _check_class_probabilities(name, axis, pred, y):
    if y.shape != pred.shape:
        raise ValueError(f"{name} takes class ids (int64), received targets {describe(y)} for predictions {describe(pred)}. For "
                         "categories write y.long() or use a CategoryBlock; to predict a number use MSELossFlat() and a RegressionBlock.")
    if not name.startswith(("CrossEntropy", "cross_entropy", "LabelSmoothing")):
        raise ValueError(f"{name} takes class ids (int64), received one number per class ({describe(y)}): write y.argmax({axis}).")
    total = y.sum(axis)
    if bool((y < 0).any()) or bool((total - 1).abs().max() > 1e-2):
        raise ValueError(f"{name} with one number per class takes probabilities that sum to 1; here the sums go from "
                         f"{float(total.min()):.4g} to {float(total.max()):.4g}. For several labels per item use BCEWithLogitsLossFlat().")


def _shape_advice(pred, y, n_out, axis):
    if y.shape == pred.shape:
        return f"For one-hot targets write y.argmax({axis}); for several labels per item use BCEWithLogitsLossFlat()."
    if pred.ndim == 4 and y.ndim >= 3 and axis != 1:
        return "For masks write CrossEntropyLossFlat(axis=1)."
    if y.ndim > 1 and y.shape[1] == 1 and y.numel() * n_out == pred.numel():
        return "Write y.squeeze(1), or use CrossEntropyLossFlat()."
    if y.ndim and y.shape[0] != pred.shape[0]:
        return f"The batch sizes differ: {pred.shape[0]} predictions, {y.shape[0]} targets."
    return "Check the shape of what the model returns."


def ignore_index_of(loss_func):
    if isinstance(loss_func, partial) and "ignore_index" in loss_func.keywords:
        return loss_func.keywords["ignore_index"]
    inner = _inner(loss_func)
    return getattr(getattr(inner, "func", inner), "ignore_index", -100)


def _check_values(loss_func, kind, pred, y):
    name, same = loss_name(loss_func), needs_same_shape(loss_func)
    if same and pred.shape != y.shape:
        if pred.ndim and y.ndim and pred.shape[0] != y.shape[0]:
            advice = f"The batch sizes differ: {pred.shape[0]} predictions, {y.shape[0]} targets."
        elif same_items(pred.shape, y.shape):
            advice = (f"Torch would broadcast them against each other. Use {_flat_name(kind, name)}, or return "
                      f"pred.view{tuple(y.shape)} from the model.")
        else:
            advice = "For class ids use CrossEntropyLossFlat(), or one-hot targets." if not y.is_floating_point() else "Check n_out."
        raise ValueError(f"{name} compares element by element, but predictions {describe(pred)} and targets {describe(y)} differ in "
                         f"shape. {advice}")
    if not same and not same_items(pred.shape, y.shape) and getattr(_inner(loss_func), "flatten", False):
        advice = "Check n_out and the shape of the targets." if y.is_floating_point() else "For class ids use CrossEntropyLossFlat()."
        raise ValueError(f"{name}: predictions {describe(pred)} and targets {describe(y)} cannot be compared element by element. {advice}")
    if same and not y.is_floating_point() and not name.lower().startswith("poisson"):       # counts may be integers
        raise ValueError(f"{name} takes float targets, received {describe(y)}: write y.float(), or use {_flat_name(kind, name)}.")
    if kind in ("logits", "probabilities"):
        low, high = float(y.min()), float(y.max())
        if low < 0 or high > 1:
            raise ValueError(f"{name} takes targets from 0 to 1, received values from {low:.4g} to {high:.4g}. "
                             "For class ids use CrossEntropyLossFlat(), to predict a number MSELossFlat().")
    if kind == "probabilities":
        low, high = float(pred.min()), float(pred.max())
        if low < 0 or high > 1:
            raise ValueError(f"{name} takes probabilities, but the model returns values from {low:.4g} to {high:.4g}: "
                             "use BCEWithLogitsLossFlat(), or end the model with a sigmoid.")


def _flat_name(kind, name):
    if kind == "values":
        return "L1LossFlat()" if name in ("L1Loss", "l1_loss") else "MSELossFlat()"
    return "BCEWithLogitsLossFlat()" if kind == "logits" else "BCELossFlat()"
