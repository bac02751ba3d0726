"""Small layers: activations, norms, pooling, functions and embeddings as layers, linear blocks, and containers of layers."""
from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..core.messages import brief, describe, name_of

Identity, Mish, Swish, mish, swish = nn.Identity, nn.Mish, nn.SiLU, F.mish, F.silu       # fastai's names
inplace_relu = partial(nn.ReLU, inplace=True)


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


def sigmoid(x: torch.Tensor, eps: float = 1e-7) -> torch.Tensor:
    """`torch.sigmoid`, kept away from 0 and 1 so that its logarithm is finite.

    Args:
        x: logits.
        eps: the result lies between `eps` and 1 - `eps`.
    """
    return x.sigmoid().clamp(eps, 1 - eps)


def sigmoid_(x: torch.Tensor, eps: float = 1e-7) -> torch.Tensor:
    """`sigmoid` in place.

    Args:
        x: logits, which become the result.
        eps: the result lies between `eps` and 1 - `eps`.
    """
    return x.sigmoid_().clamp_(eps, 1 - eps)


def vleaky_relu(x: torch.Tensor, inplace: bool = True) -> torch.Tensor:
    """Leaky ReLU with slope 0.3 below 0.

    Args:
        x: any shape.
        inplace: write the result into `x`.
    """
    return F.leaky_relu(x, 0.3, inplace=inplace)


def trunc_normal_(x: torch.Tensor, mean: float = 0.0, std: float = 1.0) -> torch.Tensor:
    """Fill a tensor in place from a normal distribution that is cut off at two standard deviations.

    Args:
        x: any shape.
        mean, std: of the normal distribution.
    """
    return nn.init.trunc_normal_(x, mean, std, mean - 2 * std, mean + 2 * std)


def sigmoid_range(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Sigmoid scaled to go from `low` to `high`.

    Args:
        x: any tensor.
        low: lower end of the range, never quite reached.
        high: upper end.
    """
    return torch.sigmoid(x) * (high - low) + low


class SigmoidRange(Module):
    """`sigmoid_range` as a layer: the last one of a model that predicts numbers from `low` to `high`.

    Args:
        low: lower end of the range, never quite reached; a number, or a tensor with one for each output.
        high: upper end, likewise.
    """

    low: Any
    high: Any

    def __init__(self, low: float | torch.Tensor, high: float | torch.Tensor):
        for name, end in (("low", low), ("high", high)):
            if isinstance(end, torch.Tensor):
                self.register_buffer(name, end.detach().clone(), persistent=False)      # moves with the model
            else:
                setattr(self, name, end)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sigmoid_range(x, self.low, self.high)

    def extra_repr(self) -> str:
        return f"low={self.low}, high={self.high}"


def range_ends(y_range: Any) -> tuple[Any, Any]:
    """The ends of what a user may give as `y_range=`, for `SigmoidRange`: two numbers, or two tensors with a number for each output.

    Args:
        y_range: a tuple, list, array or tensor of two: (low, high).

    Raises:
        ValueError: it is none, or low is not below high.
    """
    pair = hasattr(y_range, "__len__") and not isinstance(y_range, (str, dict))
    # on the CPU, whatever the default device: a model that is measured on the meta device has ends that can be compared
    ends = [(end if isinstance(end, torch.Tensor) else torch.as_tensor(end, device="cpu")).squeeze() for end in y_range] if pair else []
    if len(ends) != 2 or any(end.ndim > 1 or end.is_complex() for end in ends) or not bool((ends[0] < ends[1]).all()):
        raise ValueError(f"y_range takes (low, high), low < high; received {brief(y_range)}")
    low, high = (end if end.ndim else given.item() if hasattr(given, "item") else given for end, given in zip(ends, y_range, strict=True))
    return low, high


class Scaling(Module):
    """(x - mean) / std as float32, computed in the precision of `mean`: what loaders do to inputs, as a layer of an exported graph.

    Args:
        mean: in a shape that broadcasts with the input.
        std: likewise.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: torch.Tensor, std: torch.Tensor):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ((x - self.mean) / self.std).float()

    def undo(self, x: torch.Tensor) -> torch.Tensor:
        "The input that gives `x`, in the precision of `mean`."
        return x.to(self.mean.dtype) * self.std + self.mean


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


def layer_of_ndim(name: str, ndim: int) -> type[nn.Module]:
    "The layer of torch called `name` for items of `ndim` axes besides the channels."
    if ndim not in (1, 2, 3):
        raise ValueError(f"{name}(ndim={ndim}): ndim is 1, 2 or 3, the axes of an item besides its channels")
    return getattr(nn, f"{name}{ndim}d")


NormType = Enum("NormType", "Batch BatchZero Weight Spectral Instance InstanceZero")
NormType.__doc__ = "Normalisation of a `ConvLayer`; the ...Zero ones start with weight 0, so that a residual block starts as the identity."


def _norm(kind: str, nf: int, ndim: int, zero: bool, affine: bool) -> nn.Module:
    layer: Any = layer_of_ndim(kind, ndim)(nf, affine=affine)
    if affine:
        nn.init.constant_(layer.bias, 1e-3)
        nn.init.constant_(layer.weight, 0.0 if zero else 1.0)
    return layer


def BatchNorm(nf: int, ndim: int = 2, norm_type: NormType = NormType.Batch, affine: bool = True) -> nn.Module:
    """Make `nn.BatchNorm1d`, `2d` or `3d` with bias 1e-3 and weight 1.

    Args:
        nf: channels.
        ndim: the number of axes behind batch and channels, 1 to 3.
        norm_type: `NormType.BatchZero` starts the weight at 0, so that a residual block starts as the identity.
        affine: learn a weight and a bias.
    """
    return _norm("BatchNorm", nf, ndim, norm_type is NormType.BatchZero, affine)


def InstanceNorm(nf: int, ndim: int = 2, norm_type: NormType = NormType.Instance, affine: bool = True) -> nn.Module:
    """Make `nn.InstanceNorm1d`, `2d` or `3d` with bias 1e-3 and weight 1.

    Args:
        nf: channels.
        ndim: the number of axes behind batch and channels, 1 to 3.
        norm_type: `NormType.InstanceZero` starts the weight at 0.
        affine: learn a weight and a bias.
    """
    return _norm("InstanceNorm", nf, ndim, norm_type is NormType.InstanceZero, affine)


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
        regular = [*([BatchNorm(n_out if lin_first else n_in, ndim=1)] if bn else []), *([nn.Dropout(p)] if p else [])]
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
        trunc_normal_(self.weight, std=std)


def AvgPool(ks: int = 2, stride: int | None = None, padding: int = 0, ndim: int = 2, ceil_mode: bool = False) -> nn.Module:
    """Make `nn.AvgPool1d`, `2d` or `3d`.

    Args:
        ks: kernel size.
        stride: default: `ks`.
        padding: zeros added on either side.
        ndim: the number of axes behind batch and channels, 1 to 3.
        ceil_mode: round the length of the result up instead of down.
    """
    return layer_of_ndim("AvgPool", ndim)(ks, stride=stride, padding=padding, ceil_mode=ceil_mode)


def MaxPool(ks: int = 2, stride: int | None = None, padding: int = 0, ndim: int = 2, ceil_mode: bool = False) -> nn.Module:
    """Make `nn.MaxPool1d`, `2d` or `3d`.

    Args:
        ks: kernel size.
        stride: default: `ks`.
        padding: minus infinity added on either side.
        ndim: the number of axes behind batch and channels, 1 to 3.
        ceil_mode: round the length of the result up instead of down.
    """
    return layer_of_ndim("MaxPool", ndim)(ks, stride=stride, padding=padding, ceil_mode=ceil_mode)


def AdaptiveAvgPool(sz: int | tuple[int, ...] = 1, ndim: int = 2) -> nn.Module:
    """Make `nn.AdaptiveAvgPool1d`, `2d` or `3d`.

    Args:
        sz: length of each axis of the result, or one length for each.
        ndim: the number of axes behind batch and channels, 1 to 3.
    """
    return layer_of_ndim("AdaptiveAvgPool", ndim)(sz)


class AdaptiveConcatPool1d(Module):
    """Max and average pooling to `size`, concatenated in this order: (B,C,L) -> (B,2C,size).

    Args:
        size: output length (None: 1).
    """

    ndim = 1

    def __init__(self, size: int | None = 1):
        self.size = 1 if size is None else size
        self.ap, self.mp = AdaptiveAvgPool(self.size, self.ndim), layer_of_ndim("AdaptiveMaxPool", self.ndim)(self.size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.mp(x), self.ap(x)], dim=1)


class AdaptiveConcatPool2d(AdaptiveConcatPool1d):
    """Max and average pooling to `size`, concatenated in this order: (B,C,H,W) -> (B,2C,size,size).

    Args:
        size: output height and width (None: 1).
    """

    ndim = 2


class PoolFlatten(nn.Sequential):
    "Average over all pixels: (B,C,H,W) -> (B,C)."

    def __init__(self):
        super().__init__(nn.AdaptiveAvgPool2d(1), Flatten())
