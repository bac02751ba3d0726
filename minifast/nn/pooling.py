"""Pooling layers."""
import torch
from torch import nn

from .layers import Flatten
from .module import Module


def layer_of_ndim(name: str, ndim: int) -> type[nn.Module]:
    "The layer of torch called `name` for items of `ndim` axes besides the channels."
    if ndim not in (1, 2, 3):
        raise ValueError(f"{name}(ndim={ndim}): ndim is 1, 2 or 3, the axes of an item besides its channels")
    return getattr(nn, f"{name}{ndim}d")


def AvgPool(ks: int = 2, stride: int | None = None, padding: int = 0, ndim: int = 2, ceil_mode: bool = False) -> nn.Module:
    "`nn.AvgPool1d/2d/3d`."
    return layer_of_ndim("AvgPool", ndim)(ks, stride=stride, padding=padding, ceil_mode=ceil_mode)


def MaxPool(ks: int = 2, stride: int | None = None, padding: int = 0, ndim: int = 2, ceil_mode: bool = False) -> nn.Module:
    "`nn.MaxPool1d/2d/3d`."
    return layer_of_ndim("MaxPool", ndim)(ks, stride=stride, padding=padding, ceil_mode=ceil_mode)


def AdaptiveAvgPool(sz: int | tuple[int, ...] = 1, ndim: int = 2) -> nn.Module:
    "`nn.AdaptiveAvgPool1d/2d/3d`."
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
