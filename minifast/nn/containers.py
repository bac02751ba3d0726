"""`Module`, and layers made of functions and of other layers: views, concatenation, skip connections, the steps of a sequence."""
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn

from ..core.messages import describe, name_of

Identity = nn.Identity                                   # fastai's name


class Module(nn.Module):
    "An `nn.Module` whose subclasses need not call `super().__init__()`: assign layers in `__init__` straight away."

    def __new__(cls, *args: Any, **kwargs: Any) -> "Module":
        self = super().__new__(cls)
        nn.Module.__init__(self)
        return self

    def __init__(self) -> None:
        pass                               # everything was done in __new__; a second nn.Module.__init__ would drop the layers


class ParameterModule(Module):
    """A module around a single parameter, for lists of modules. It returns its input.

    Args:
        p: the parameter, which becomes the attribute `val`.
    """

    def __init__(self, p: nn.Parameter):
        self.val = p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Lambda(Module):
    """A function as a layer.

    Args:
        func: a function of one tensor.
    """

    def __init__(self, func: Callable[..., torch.Tensor]):
        if not callable(func):
            raise TypeError(f"Lambda takes a function of one tensor; received {describe(func)}")
        self.func = func

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.func(x)

    def extra_repr(self) -> str:
        return ", ".join([name_of(self.func), *(f"{k}={v!r}" for k, v in getattr(self.func, "keywords", {}).items())])


class PartialLambda(Lambda):
    """A function with some keyword arguments, as a layer.

    Args:
        func: called as `func(x, **kwargs)`.
        **kwargs: its keyword arguments.
    """

    def __init__(self, func: Callable[..., torch.Tensor], **kwargs: Any):
        super().__init__(partial(func, **kwargs))


class View(Module):
    """`x.view(*size)` as a layer.

    Args:
        *size: the new shape; one length may be -1.
    """

    def __init__(self, *size: int):
        self.size = size

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(self.size)

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.size))


class ResizeBatch(View):
    "`x.view(len(x), *size)`: a new shape for each item."

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view((x.shape[0], *self.size))


class Flatten(Module):
    """Flatten each item to one axis: (B, ...) -> (B, n).

    Args:
        full: flatten the whole batch to one axis.
    """

    def __init__(self, full: bool = False):
        self.full = full

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(-1) if self.full else x.reshape(x.shape[0], -1)


class Cat(nn.ModuleList):
    """Concatenate the outputs of several layers for the same input.

    Args:
        layers: the layers.
        dim: the axis to concatenate along; 1: channels.
    """

    def __init__(self, layers: Iterable[nn.Module], dim: int = 1):
        super().__init__(layers)
        self.dim = dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([layer(x) for layer in self], dim=self.dim)


class MergeLayer(Module):
    """Inside a `SequentialEx`: join the input of the whole to what has become of it, a skip connection.

    Args:
        dense: concatenate the two along axis 1 (DenseNet) instead of adding them (ResNet).
    """
    merges = True

    def __init__(self, dense: bool = False):
        self.dense = dense

    def forward(self, x: torch.Tensor, orig: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, orig], dim=1) if self.dense else x + orig


class ProdLayer(Module):
    "Inside a `SequentialEx`: multiply `x` by what came into it."
    merges = True

    def forward(self, x: torch.Tensor, orig: torch.Tensor) -> torch.Tensor:
        return x * orig


class SequentialEx(Module):
    """An `nn.Sequential` whose layers with `merges = True` (`MergeLayer`, `ProdLayer`) also get the input of the whole.

    Args:
        *layers: the layers, in order.
    """

    def __init__(self, *layers: nn.Module):
        self.layers = nn.ModuleList(layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = x
        for layer in self.layers:
            out = layer(out, x) if getattr(layer, "merges", False) else layer(out)
        return out

    def __getitem__(self, i: int) -> nn.Module:
        return self.layers[i]

    def __len__(self) -> int:
        return len(self.layers)

    def append(self, layer: nn.Module) -> None:
        self.layers.append(layer)

    def extend(self, layers: Iterable[nn.Module]) -> None:
        self.layers.extend(layers)

    def insert(self, i: int, layer: nn.Module) -> None:
        self.layers.insert(i, layer)


def sequential(*layers: nn.Module | Callable[..., torch.Tensor]) -> nn.Sequential:
    """`nn.Sequential`; plain functions among `layers` become `Lambda` layers.

    Args:
        layers: modules and functions of one tensor.
    """
    return nn.Sequential(*(o if isinstance(o, nn.Module) else Lambda(o) for o in layers))


class TimeDistributed(Module):
    """Apply `module` to every step along one axis of its inputs: (B, T, ...) -> (B, T, ...).

    Args:
        module: a module for inputs without the axis of the steps.
        low_mem: take one step after another, instead of all together as one batch of B*T.
        tdim: the axis of the steps.
    """

    def __init__(self, module: nn.Module, low_mem: bool = False, tdim: int = 1):
        self.module, self.low_mem, self.tdim = module, low_mem, tdim

    def forward(self, *xs: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        moved = [x.movedim(self.tdim, 1) for x in xs]
        b, t = moved[0].shape[:2]
        if self.low_mem:
            out = torch.stack([self.module(*(x[:, i] for x in moved), **kwargs) for i in range(t)], dim=1)
        else:
            out = self.module(*(x.reshape(b * t, *x.shape[2:]) for x in moved), **kwargs)
            out = out.reshape(b, t, *out.shape[1:])
        return out.movedim(1, self.tdim)
