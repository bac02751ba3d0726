"""What a recurrent model keeps from batch to batch: tensors in ordinary attributes of its modules, neither weights nor buffers."""
from collections.abc import Iterator
from typing import Any, TypeAlias

import torch
from torch import nn

from ..core.nested import leaves

State: TypeAlias = dict[str, dict[str, Any]]
"The name of a module -> names and values of its attributes."


def hidden_state(model: nn.Module) -> State:
    """What the modules of `model` keep, such as `self.h` or a list of `(h, c)`: every attribute that holds tensors.

    Args:
        model: any model.
    """
    return {name: kept for name, m in model.named_modules() if (kept := {k: v for k, v in vars(m).items() if k[0] != "_" and _holds(v)})}


def restore_hidden_state(model: nn.Module, state: State) -> None:
    """Let the modules of `model` keep `state`, and nothing else: an attribute that holds tensors and is not in it becomes None.

    Args:
        model: the model that `state` was taken from.
        state: of `hidden_state`.
    """
    modules, now = dict(model.named_modules()), hidden_state(model)
    for name in {**now, **state}:
        for attribute, value in {**dict.fromkeys(now.get(name, ())), **state.get(name, {})}.items():
            setattr(modules[name], attribute, value)


def _holds(value):
    return any(isinstance(t, torch.Tensor) for t in leaves(value))


def in_cache(sequences: torch.Tensor, steps: int) -> Iterator[tuple[int, int]]:
    """Parts of `steps` steps of sequences, (start, stop) each, of which some tensors fit into a processor's cache; on other devices all.

    Args:
        sequences: the states of them, three dimensions of which the first or second is time.
        steps: how many there are.
    """
    size = steps if sequences.device.type != "cpu" else max(1, 2**18 * max(1, steps) // max(1, sequences.numel()))
    for start in range(0, steps, max(1, size)):
        yield start, min(start + max(1, size), steps)
