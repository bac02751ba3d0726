"""Small layers: norms, pooling, scaling, embeddings, linear blocks."""
from enum import Enum
from typing import Any

import torch
from torch import nn

from .containers import Flatten, Module


def trunc_normal_(x: torch.Tensor, mean: float = 0.0, std: float = 1.0) -> torch.Tensor:
    """Fill a tensor in place from a normal distribution that is cut off at two standard deviations.

    Args:
        x: any shape.
        mean, std: of the normal distribution.
    """
    return nn.init.trunc_normal_(x, mean, std, mean - 2 * std, mean + 2 * std)


class Scaling(Module):
    """(x - mean) / std as float32, computed in the precision of `mean`: what loaders do to inputs, as a layer of an exported graph.

    Args:
        mean: in a shape that broadcasts with the input.
        std: likewise.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: torch.Tensor, std: torch.Tensor):
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ((x - self.mean) / self.std).float()

    def undo(self, x: torch.Tensor) -> torch.Tensor:
        "The input that gives `x`, in the precision of `mean`."
        return x.to(self.mean.dtype) * self.std + self.mean


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
