"""Layer groups in plain `param_groups`: which parameter belongs where, and which gets no weight decay.

Each torch group carries `layer_group`, the index of its layer group, because one layer group may be two torch groups: norm and bias
parameters sit in a group of their own, marked `no_decay`, whose weight decay stays 0.
"""
import re
from collections.abc import Iterable, Iterator
from numbers import Real
from typing import Any

import torch
from torch import nn

from ..core.messages import plural

#: torch's normalisation layers that own parameters (lazy and synchronised ones are subclasses or listed)
NORM_TYPES = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.InstanceNorm1d, nn.InstanceNorm2d,
              nn.InstanceNorm3d, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
# `LlamaRMSNorm` and `LayerNormalization` are norm layers by their name, `NormalizedLinear` is not.
_NORM_NAME = re.compile(r"norm(?!al)|normali[sz]ation", re.IGNORECASE)
_WORDS = re.compile(r"[\W\d_]+")


def trainable_params(model: nn.Module) -> list[nn.Parameter]:
    """The parameters of `model` that require a gradient, as one flat list: the splitter of a model without layer groups.

    Args:
        model: any model.
    """
    return [p for p in model.parameters() if p.requires_grad]


def _owned(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Parameter]]:
    "Yield (owning module, name within it, parameter); a parameter shared by two modules comes twice."
    for module in model.modules():
        for name, p in module.named_parameters(recurse=False):
            yield module, name, p


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, NORM_TYPES) or _NORM_NAME.search(type(module).__name__) is not None


def norm_params(model: nn.Module) -> set[int]:
    """The ids of the parameters owned by norm layers: those that stay trainable in frozen layer groups.

    A norm layer is one of `NORM_TYPES` or a class with 'norm' in its name, such as `LlamaRMSNorm`.
    """
    return {id(p) for module, _, p in _owned(model) if _is_norm(module)}


def norm_bias_params(model: nn.Module) -> set[int]:
    "The ids of the parameters that get no weight decay: of norm layers, and those named bias (`bias`, `bias_ih_l0`, `in_proj_bias`)."
    return {id(p) for module, name, p in _owned(model) if _is_norm(module) or "bias" in _WORDS.split(name.lower())}


def _as_layer_groups(layer_groups):
    "A flat list of parameters is one layer group; anything else is a list of layer groups."
    if isinstance(layer_groups, (torch.Tensor, nn.Module)) or not isinstance(layer_groups, Iterable):
        raise TypeError(f"a splitter returns a list of parameters, or a list of such lists (one per layer group); "
                        f"received {type(layer_groups).__name__}. Write list(model.parameters()) or "
                        "[list(model.body.parameters()), list(model.head.parameters())].")
    groups = list(layer_groups)
    if groups and all(isinstance(g, torch.Tensor) for g in groups):
        return [groups]
    return [list(g) if isinstance(g, Iterable) and not isinstance(g, (torch.Tensor, nn.Module, str)) else [g] for g in groups]


def param_groups(model: nn.Module, layer_groups: Iterable[Any], wd_bn_bias: bool = False) -> list[dict[str, Any]]:
    """Make the torch groups of `layer_groups`, for an optimizer of this package or any of `torch.optim`.

    Args:
        model: the model.
        layer_groups: what a splitter returns: a flat list of parameters (one layer group), or one list per layer group, input side first.
        wd_bn_bias: decay the parameters of norm layers and biases too, instead of putting them into a group without weight decay.

    Returns:
        One dict per torch group, with `params`, `layer_group` and `no_decay`.

    Raises:
        ValueError: lists everything that is wrong with the groups.
    """
    groups = _as_layer_groups(layer_groups)
    names = {id(p): name for name, p in model.named_parameters()}
    exempt = set() if wd_bn_bias else norm_bias_params(model)
    home, problems, made = {}, [] if groups else ["there is no layer group at all"], []
    for i, group in enumerate(groups):
        if not group:
            problems.append(f"layer group {i} is empty")
        strange = sorted({type(p).__name__ for p in group if not isinstance(p, nn.Parameter)})
        if strange:
            problems.append(f"layer group {i} holds {', '.join(strange)} where parameters are expected (write list(module.parameters()))")
        members = {id(p): p for p in group if isinstance(p, nn.Parameter)}     # one shared by two modules of the group counts once
        for key in members:
            if key in home:
                problems.append(f"parameter {names.get(key, '(not of this model)')} is in layer groups {home[key]} and {i}")
            home[key] = i
        for no_decay in (False, True):
            params = [p for key, p in members.items() if (key in exempt) == no_decay]
            if params:
                made.append({"params": params, "layer_group": i, "no_decay": no_decay})
    missing = [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in home]
    if missing:
        shown = ", ".join(missing[:6]) + (", ..." if len(missing) > 6 else "")
        problems.append(f"{plural(len(missing), 'trainable parameter')} of the model would not be trained, in no layer group: {shown}")
    if problems:
        raise ValueError(f"these layer groups of {type(model).__name__} cannot be used: {'; '.join(problems)}. Correct the splitter: each "
                         "trainable parameter belongs to exactly one layer group. Freeze with requires_grad_(False) what is not to train.")
    return made


def exempt_from_decay(groups: Iterable[dict[str, Any]], key: str) -> None:
    "Set the weight decay, `group[key]`, to 0 in the groups of norm and bias parameters: those marked `no_decay`."
    for g in groups:
        if g.get("no_decay"):
            g[key] = 0.0


def group_layers(opt: torch.optim.Optimizer) -> list[int]:
    "The layer group of each torch group of `opt`."
    return [g.get("layer_group", i) for i, g in enumerate(opt.param_groups)]


def layer_group_count(opt: torch.optim.Optimizer) -> int:
    "The number of layer groups of `opt` (one may be two torch groups)."
    return 1 + max(group_layers(opt))


def _is_sequence(value):
    return hasattr(value, "__len__") and not isinstance(value, (str, dict, torch.Tensor)) and getattr(value, "shape", None) != ()


def spread(value: Any, n: int) -> list[Any]:
    """Give one value to each of `n` layer groups.

    Args:
        value: a number, for every group; `slice(lo, hi)`, geometric from `lo` (first group) to `hi` (last); `slice(hi)`, `hi` for the last
            group and `hi/10` for the others; or a list or tuple of `n` values.
        n: the number of layer groups.
    """
    if isinstance(value, slice):
        return _spread_slice(value, n)
    if not _is_sequence(value):
        return [value] * n
    if len(value) != n:
        raise ValueError(f"{plural(len(value), 'value')} ({value!r}) for {plural(n, 'layer group')}: give one per layer group, "
                         "slice(lo, hi), or a single number for all.")
    return list(value)


def _spread_slice(value, n):
    lo, hi = value.start, value.stop
    if value.step is not None or not isinstance(hi, Real) or not (lo is None or isinstance(lo, Real)):
        raise ValueError(f"{value!r} does not say which values to use: write slice(hi), the last layer group at hi and the others at "
                         "hi/10, or slice(lo, hi), geometric from lo to hi.")
    if lo is None:
        return [hi / 10] * (n - 1) + [hi]
    if not (lo > 0 and hi > 0):
        raise ValueError(f"slice({lo!r}, {hi!r}) is geometric from its first to its second number, so both must be positive. "
                         "Give a list with one value per layer group to use others.")
    if n == 1:
        return [hi]
    return [lo * (hi / lo) ** (i / (n - 1)) for i in range(n)]
