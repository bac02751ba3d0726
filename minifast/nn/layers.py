"""Functions, embeddings and linear blocks as layers, and containers of layers."""
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import nn

from ..core.messages import describe
from .module import Module


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
        return getattr(self.func, "__name__", repr(self.func))


class PartialLambda(Lambda):
    "`func` with the given keyword arguments, as a layer."

    def __init__(self, func: Callable[..., torch.Tensor], **kwargs: Any):
        super().__init__(partial(func, **kwargs))
        self.wrapped, self.keywords = func, kwargs

    def extra_repr(self) -> str:
        return ", ".join([getattr(self.wrapped, "__name__", "?"), *(f"{k}={v!r}" for k, v in self.keywords.items())])


class View(Module):
    "`x.view(*size)`."

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
    "The outputs of `layers` for one input, concatenated along `dim`."

    def __init__(self, layers: Iterable[nn.Module], dim: int = 1):
        super().__init__(layers)
        self.dim = dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([layer(x) for layer in self], dim=self.dim)


class MergeLayer(Module):
    "Inside a `SequentialEx`: add to `x` what came into it, or with `dense` concatenate the two along axis 1."
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
    "An `nn.Sequential` whose layers with `merges = True` (`MergeLayer`, `ProdLayer`) also get the input of the whole."

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


class LinBnDrop(nn.Sequential):
    """Batch norm, dropout, linear and activation: a step of a classifier head.

    Args:
        n_in: input features.
        n_out: output features.
        bn: batch norm, and then no bias in the linear layer.
        p: dropout (0: none).
        act: an activation layer.
        lin_first: linear and activation come before batch norm and dropout.
    """

    def __init__(self, n_in: int, n_out: int, bn: bool = True, p: float = 0.0, act: nn.Module | None = None, lin_first: bool = False):
        linear = [nn.Linear(n_in, n_out, bias=not bn), *([] if act is None else [act])]
        regular: list[nn.Module] = [nn.Dropout(p)] if p else []
        if bn:
            norm = nn.BatchNorm1d(n_out if lin_first else n_in)
            nn.init.constant_(norm.bias, 1e-3)
            regular.insert(0, norm)
        super().__init__(*(linear + regular if lin_first else regular + linear))


class Embedding(nn.Embedding):
    """`nn.Embedding` that starts from a truncated normal distribution.

    Args:
        ni: number of ids.
        nf: features of each.
        std: standard deviation; the distribution is cut off at twice it.
    """

    def __init__(self, ni: int, nf: int, std: float = 0.01):
        super().__init__(ni, nf)
        nn.init.trunc_normal_(self.weight, std=std, a=-2 * std, b=2 * std)
