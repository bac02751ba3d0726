"""Parameter groups: which parameter belongs to which layer group, which get no weight decay, and the hyper-parameters of each group.

Each torch group carries `layer_group`, the index of its layer group, because one layer group may be two torch groups: norm and bias
parameters sit in a group of their own, marked `no_decay`, whose weight decay stays 0. Hyper-parameters have short names (`lr, mom, sqr_mom,
wd, eps`) in any `torch.optim.Optimizer`, whatever it calls them: `mom` is `betas[0]` of AdamW and `momentum` of SGD.
"""
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from numbers import Real
from typing import Any, TypeAlias

import torch
from torch import nn

from ..core.messages import brief, describe, did_you_mean, name_of, plural

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
    """The ids of the parameters that get no weight decay: those of norm layers, and biases (`bias`, `bias_ih_l0`, `in_proj_bias`).

    Args:
        model: the model.
    """
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
    home, problems, made = {}, [], []
    if not groups:
        frozen = names and not any(p.requires_grad for p in model.parameters())
        problems.append("there is no layer group at all" + (
            ": every parameter is frozen, write model.requires_grad_(True)" if frozen else ""))
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
        raise ValueError(f"{plural(len(value), 'value')} ({brief(value)}) for {plural(n, 'layer group')}: give one per layer group, "
                         "slice(lo, hi), or a single number for all.")
    return list(value)


def _spread_slice(value, n):
    lo, hi = value.start, value.stop
    if value.step is not None or not isinstance(hi, Real) or not (lo is None or isinstance(lo, Real)):
        raise ValueError(f"{brief(value)} does not say which values to use: write slice(hi), the last layer group at hi and the others at "
                         "hi/10, or slice(lo, hi), geometric from lo to hi.")
    if lo is None:
        return [hi / 10] * (n - 1) + [hi]
    if not (lo > 0 and hi > 0):
        raise ValueError(f"slice({lo!r}, {hi!r}) is geometric from its first to its second number, so both must be positive. "
                         "Give a list with one value per layer group to use others.")
    if n == 1:
        return [hi]
    return [lo * (hi / lo) ** (i / (n - 1)) for i in range(n)]


# -- hyper-parameters --------------------------------------------------------------------------------------------------------------
#: Where a hyper-parameter lives in a torch group: (key, index into a tuple or None).
Place: TypeAlias = tuple[str, int | None]

_TORCH_SLOTS = {"mom": (("betas", 0), ("momentum", None)), "sqr_mom": (("betas", 1), ("alpha", None)), "wd": (("weight_decay", None),)}
_WORD_RANGES = {"lr": (0, math.inf), "wd": (0, math.inf), "eps": (0, math.inf), "mom": (0, 1), "sqr_mom": (0, 1)}
# Keys of a torch group that are no hyper-parameters. torch's schedulers put the second line there.
_BOOKKEEPING = {"params", "param_names", "layer_group", "no_decay", "decoupled_weight_decay",
                "initial_accumulator_value", "initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum"}


def _check_value(name, value, where):
    "Refuse what no optimizer can use as the hyper-parameter `name`; an unknown name or a tensor is let through."
    if name not in _WORD_RANGES or isinstance(value, torch.Tensor):
        return
    lo, hi = _WORD_RANGES[name]
    if not isinstance(value, Real):
        raise TypeError(f"{name}={describe(value)} in {where}: {name} must be a number, a slice or a list with one number per layer group.")
    if not lo <= value < hi:
        need = "a finite number, 0 or larger" if hi == math.inf else "at least 0 and less than 1"
        raise ValueError(f"{name}={brief(value)} in {where}: {name} must be {need}.")


def _in_short_words(group: dict[str, Any]) -> dict[str, Any]:
    "A copy of a torch group in which torch's `weight_decay`, `momentum` and `betas` have their short names."
    words = {new: group[old] for old, new in (("weight_decay", "wd"), ("momentum", "mom")) if old in group}
    if len(group.get("betas", ())) == 2:
        words["mom"], words["sqr_mom"] = group["betas"]
    replaced = {"weight_decay", "momentum", *(["betas"] if "sqr_mom" in words else ())}
    return words | {k: v for k, v in group.items() if k not in replaced}


def _as_groups(params: Any, where: str) -> list[dict[str, Any]]:
    "Whatever a user may give as `params`, as new group dicts, each with its `layer_group`."
    if isinstance(params, (nn.Module, torch.Tensor, dict, str)) or not isinstance(params, Iterable):
        raise TypeError(f"{where} takes parameters: model.parameters(), a list of parameters, a list of lists (one per layer group) or "
                        f"what param_groups(model, splitter(model)) returns; received {type(params).__name__}.")
    items = list(params)
    if not items:
        raise ValueError(f"{where} was given no parameters. A generator such as model.parameters() is used up by its first reader.")
    if all(isinstance(o, dict) for o in items):
        bare = [i for i, g in enumerate(items) if "params" not in g]
        if bare:
            raise ValueError(f"{where}: group {bare[0]} has no 'params' but {', '.join(map(repr, items[bare[0]]))}.")
        groups = [_in_short_words(g) for g in items]
        for g in groups:
            g["params"] = [g["params"]] if isinstance(g["params"], torch.Tensor) else list(g["params"])
    elif all(isinstance(o, torch.Tensor) or _is_named(o) for o in items):
        groups = [{"params": items}]
    elif all(isinstance(o, Iterable) and not isinstance(o, (torch.Tensor, nn.Module, dict, str)) for o in items):
        groups = [{"params": list(o)} for o in items]
    else:
        kinds = sorted({type(o).__name__ for o in items})
        raise TypeError(f"{where} takes a list of parameters, of lists of parameters or of group dicts; "
                        f"received a list of {', '.join(kinds)}.")
    marked = sum("layer_group" in g for g in groups)
    if marked not in (0, len(groups)):
        raise ValueError(f"{where}: {marked} of {len(groups)} groups have a 'layer_group'. Give all of them one, or none.")
    for i, g in enumerate(groups):
        g.setdefault("layer_group", i)
    return groups


def _is_named(o):
    return isinstance(o, tuple) and len(o) == 2 and isinstance(o[0], str) and isinstance(o[1], torch.Tensor)


def with_hypers(params: Any, hypers: dict[str, Any], where: str, allowed: Collection[str] | None = None) -> list[dict[str, Any]]:
    """Make new group dicts of `params` that carry hyper-parameters, spread over the layer groups.

    What a group dict says itself comes first. A group marked `no_decay` gets `wd` 0 whatever is given.

    Args:
        params: parameters, lists of them or group dicts.
        hypers: hyper-parameters by short name.
        where: the call as the user knows it, for errors.
        allowed: the hyper-parameters that a group dict may set (default: those of `hypers`).
    """
    allowed = hypers if allowed is None else allowed
    groups = _as_groups(params, where)
    n = 1 + max(g["layer_group"] for g in groups)
    for name, value in hypers.items():
        # a tuple may be one value of a hyper-parameter that only the user's own stepper knows
        values = spread(value, n) if name in _WORD_RANGES or isinstance(value, (slice, list)) else [value] * n
        for g in groups:
            g.setdefault(name, values[g["layer_group"]])
    if "wd" in allowed:
        exempt_from_decay(groups, "wd")
    for g, name in ((g, name) for g in groups for name in _WORD_RANGES if name in g):
        if name not in allowed:
            raise ValueError(f"{where} has no use for {name}={g[name]!r}, set in the group of layer group {g['layer_group']}. "
                             f"It takes: {', '.join(sorted(allowed))}.")
        _check_value(name, g[name], where)
    return groups


def torch_slot(name: str, keys: Collection[str], hp_map: dict[str, Place] | None = None) -> Place | None:
    """Where the hyper-parameter `name` lives among the `keys` of a torch group: `(key, index)`, `(key, None)`, or None.

    Args:
        name: the short name, or torch's.
        keys: the keys of the group.
        hp_map: places of names that cannot be guessed, `{name: (key, index or None)}`.
    """
    if hp_map and name in hp_map:
        return hp_map[name]
    for key, i in ((name, None), *_TORCH_SLOTS.get(name, ())):
        # `alpha` of ASGD (which has `lambd`) is no average of squares
        if key in keys and not (key == "alpha" != name and "lambd" in keys):
            return key, i
    return None


def setting_names(group: dict[str, Any]) -> set[str]:
    "The keys of a torch group that hold numbers (lr, betas, momentum ...): what tells one kind of optimizer from another."
    return {k for k, v in group.items() if k not in _BOOKKEEPING and (isinstance(v, (Real, tuple, list, torch.Tensor)))
            and not isinstance(v, bool)}


def _built_without_momentum(opt, slot):
    "Whether `opt` is such as SGD(momentum=0): turning momentum on later would change what the user asked for."
    return slot == ("momentum", None) and opt.defaults.get("momentum") == 0 and all(g["momentum"] == 0 for g in opt.param_groups)


def _slot(opt: torch.optim.Optimizer, group: dict[str, Any], name: str) -> Place | None:
    slot = None if name in _BOOKKEEPING else torch_slot(name, group, getattr(opt, "hp_map", None))
    return None if slot and _built_without_momentum(opt, slot) else slot


def hyper_names(opt: torch.optim.Optimizer) -> list[str]:
    "The hyper-parameters that `set_hyper` can set on `opt`, by their short names, sorted."
    group = opt.param_groups[0]
    short = [*_WORD_RANGES, *(getattr(opt, "hp_map", None) or ())]
    found = {name: slot for name in short if (slot := _slot(opt, group, name))}
    taken = {key for key, _ in found.values()} | _BOOKKEEPING
    own = {k for k, v in group.items() if k not in taken and isinstance(v, Real) and not isinstance(v, bool) and _slot(opt, group, k)}
    return sorted(own | set(found))


def _slots(opt: torch.optim.Optimizer, name: str) -> list[Place]:
    "(key, index) of `name` in each torch group of `opt`; `ValueError` where it has none."
    slots = [_slot(opt, g, name) for g in opt.param_groups]
    if None not in slots:
        return slots
    kind, known = type(opt).__name__, hyper_names(opt)
    if name in ("mom", "momentum") and "momentum" in opt.param_groups[0]:
        raise ValueError(f"this {kind} was built without momentum (it was 0), so '{name}' cannot be set. Build it with some, such as "
                         f"partial({kind}, {'mom' if kind == 'SGD' else 'momentum'}=0.9), or do not set it.")
    raise ValueError(f"{kind} has no hyper-parameter '{name}'{did_you_mean(name, known) or '.'} It has: {', '.join(known)}.")


def hyper_setter(opt: torch.optim.Optimizer, name: str) -> Callable[[Sequence[Any]], None]:
    """Make a function `set_values(values)` that sets the hyper-parameter `name`, given a list with one value per layer group.

    Everything is looked up and checked here, once, so that the function is cheap enough for every step (1-2 us). Weight decay stays
    0 in groups marked `no_decay`.
    """
    slots = _slots(opt, name)
    decay = name in ("wd", "weight_decay")
    targets = [(k, layer, *slot) for k, (g, layer, slot) in enumerate(zip(opt.param_groups, group_layers(opt), slots, strict=True))
               if not (decay and g.get("no_decay"))]

    def set_values(values):
        groups = opt.param_groups            # read anew: load_state_dict replaces the dicts
        for k, layer, key, i in targets:
            group, value = groups[k], values[layer]
            if i is not None:
                old = group[key]
                group[key] = (*old[:i], value, *old[i + 1:])
            elif isinstance(group[key], torch.Tensor):           # kept on the device for a captured or compiled step
                group[key].fill_(value)
            else:
                group[key] = value

    return set_values


def set_hyper(opt: torch.optim.Optimizer, name: str, value: Any) -> None:
    "Set the hyper-parameter `name` of any torch optimizer to a number, a slice or a list, see `spread`."
    setter = hyper_setter(opt, name)
    values = spread(value, layer_group_count(opt))
    for v in values:
        _check_value(name, v, f"set_hyper({type(opt).__name__}, ...)")
    setter(values)


def get_hyper(opt: torch.optim.Optimizer, name: str) -> list[Any]:
    "The hyper-parameter `name` of any torch optimizer, one value per layer group (`wd`: of the parameters that decay)."
    slots, found = _slots(opt, name), {}
    triples = list(zip(opt.param_groups, group_layers(opt), slots, strict=True))
    for g, layer, (key, i) in sorted(triples, key=lambda triple: triple[0].get("no_decay", False)):      # the first that decays stands
        found.setdefault(layer, g[key] if i is None else g[key][i])
    return [found[layer] for layer in sorted(found)]


def create_optimizer(opt_func: Callable[..., torch.optim.Optimizer], groups: list[dict[str, Any]], lr: Any,
                     wd: Any = None) -> torch.optim.Optimizer:
    """The optimizer that `opt_func` makes of torch groups, with `lr` and `wd` spread over the layer groups.

    Args:
        opt_func: called as `opt_func(groups, lr=...)`; returns a `torch.optim.Optimizer`.
        groups: what `param_groups` returned.
        lr: a number, a slice or a list with one value per layer group.
        wd: likewise; None leaves the optimizer's own weight decay.
    """
    rates = spread(lr, 1 + groups[-1]["layer_group"])
    opt = opt_func(groups, lr=rates[-1])
    if not isinstance(opt, torch.optim.Optimizer):
        raise TypeError(f"opt_func must return a torch.optim.Optimizer; {name_of(opt_func)} returned {describe(opt)}")
    set_hyper(opt, "lr", spread(lr, layer_group_count(opt)))
    if wd is not None:
        set_hyper(opt, "wd", wd)
    exempt_from_decay((g for g in opt.param_groups if "weight_decay" in g), "weight_decay")
    inner: Any = opt
    while isinstance(getattr(inner, "opt", None), torch.optim.Optimizer):           # that of a Lookahead loads
        inner = inner.opt
    inner.register_load_state_dict_post_hook(lay_out_state)
    return opt


def lay_out_state(opt: torch.optim.Optimizer) -> None:
    """Bring the state of each parameter into the memory format of the parameter.

    A file holds tensors in torch's usual format. torch's fused optimizers read parameter and state in the order in which they lie in memory
    (torch 2.6 to 2.14), so that after loading, a parameter with the channels last would move by the averages of other weights.

    Args:
        opt: the optimizer.
    """
    for p, state in opt.state.items():
        for name, t in state.items():
            if isinstance(t, torch.Tensor) and t.ndim > 1 and t.shape == p.shape and t.stride() != p.stride():
                state[name] = torch.empty_like(p, dtype=t.dtype, device=t.device).copy_(t)
