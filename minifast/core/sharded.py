"""Tensors that are divided among ranks, as `strategy='fsdp2'` divides weights, gradients and optimizer state while a model trains.

Each rank holds some rows of such a tensor, a `DTensor` of torch; its shape is that of the whole. What is done entry by entry may be done
with the rows of each rank, `local`; what has to see all of it takes the `whole`. Files have whole tensors.
"""
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from .nested import map_nested

_USUAL = (torch.Tensor, torch.nn.Parameter)


def is_sharded(t: Any) -> bool:
    "Whether `t` is a tensor that is divided among ranks."
    return isinstance(t, torch.Tensor) and hasattr(t, "full_tensor")


def local(t: torch.Tensor) -> torch.Tensor:
    "The rows of `t` that this rank holds, without gradient, in the same memory; a tensor that is not divided as it is."
    sharded: Any = t
    return t if type(t) in _USUAL or not is_sharded(t) else sharded.detach().to_local()


def whole(x: Any, keep: bool = True) -> Any:
    """Put together the tensors of `x` that are divided. Called by all ranks.

    Args:
        x: nested tuples, lists and dicts, which may hold such tensors.
        keep: False: this rank only takes part; None takes the place of each of them.
    """
    def gathered(t: Any) -> Any:
        if not is_sharded(t):
            return t
        with torch.no_grad():
            full = t.detach().full_tensor()
        return full if keep else None

    return map_nested(gathered, x)


def sharded_like(t: Any, like: Any) -> Any:
    """Divide `t` among the ranks as `like` is divided, or put it together where `like` is whole. Called by all ranks.

    Args:
        t: a tensor of the shape of `like`; all else stays as it is.
        like: another one.
    """
    if not isinstance(t, torch.Tensor) or getattr(t, "shape", None) != getattr(like, "shape", None):
        return t
    if not is_sharded(like):
        return whole(t)
    from torch.distributed.tensor import DTensor, distribute_tensor
    if is_sharded(t):                                   # by another mesh perhaps, which an earlier fit made
        part = local(t).to(like.device)
        return DTensor.from_local(part, like.device_mesh, like.placements, run_check=False, shape=t.shape, stride=t.stride())
    return distribute_tensor(t.detach().to(like.device), like.device_mesh, like.placements)


def load_weights(model: torch.nn.Module, weights: Mapping[str, Any], strict: bool = True) -> None:
    """`model.load_state_dict` of whole tensors, whether the model's own are divided or not.

    Args:
        model: any model.
        weights: tensors by name.
        strict: as in torch.
    """
    own = model.state_dict()
    divided = any(map(is_sharded, own.values()))
    model.load_state_dict({n: sharded_like(w, own.get(n)) for n, w in weights.items()} if divided else weights, strict=strict)


def load_optimizer(opt: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """`opt.load_state_dict` of whole tensors, whether the parameters are divided or not.

    Args:
        opt: an optimizer.
        state: what its `state_dict` returned.
    """
    params = [p for group in opt.param_groups for p in group["params"]]
    if any(map(is_sharded, params)):
        owners = dict(zip((i for group in state["param_groups"] for i in group["params"]), params, strict=True))
        state = {**state, "state": {i: {name: sharded_like(t, owners[i]) for name, t in kept.items()} if i in owners else kept
                                    for i, kept in state["state"].items()}}
    opt.load_state_dict(state)


def locals_of(tensors: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    "What this rank holds of each tensor."
    return [local(t) for t in tensors]
