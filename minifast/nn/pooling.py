"""Pooling layers."""
import torch
from torch import nn

from .layers import Flatten
from .module import Module


def _of_ndim(name, ndim):
    if ndim not in (1, 2, 3):
        raise ValueError(f"{name}(ndim={ndim}): ndim is 1, 2 or 3, the axes of an item besides its channels")
    return getattr(nn, f"{name}{ndim}d")


def AvgPool(ks=2, stride=None, padding=0, ndim=2, ceil_mode=False):
    "`nn.AvgPool1d/2d/3d`."
    return _of_ndim("AvgPool", ndim)(ks, stride=stride, padding=padding, ceil_mode=ceil_mode)


def MaxPool(ks=2, stride=None, padding=0, ndim=2, ceil_mode=False):
    "`nn.MaxPool1d/2d/3d`."
    return _of_ndim("MaxPool", ndim)(ks, stride=stride, padding=padding, ceil_mode=ceil_mode)


def AdaptiveAvgPool(sz=1, ndim=2):
    "`nn.AdaptiveAvgPool1d/2d/3d`."
    return _of_ndim("AdaptiveAvgPool", ndim)(sz)


class AdaptiveConcatPool1d(Module):
    "Max and average pooling to `size`, concatenated in this order: (B,C,L) -> (B,2C,size)."

    def __init__(self, size=1):
        self.size = 1 if size is None else size
        self.ap, self.mp = nn.AdaptiveAvgPool1d(self.size), nn.AdaptiveMaxPool1d(self.size)

    def forward(self, x):
        return torch.cat([self.mp(x), self.ap(x)], dim=1)


class AdaptiveConcatPool2d(Module):
    "Max and average pooling to `size`, concatenated in this order: (B,C,H,W) -> (B,2C,size,size)."

    def __init__(self, size=1):
        self.size = 1 if size is None else size
        self.ap, self.mp = nn.AdaptiveAvgPool2d(self.size), nn.AdaptiveMaxPool2d(self.size)

    def forward(self, x):
        return torch.cat([self.mp(x), self.ap(x)], dim=1)


class PoolFlatten(nn.Sequential):
    "Average over all pixels: (B,C,H,W) -> (B,C)."

    def __init__(self):
        super().__init__(nn.AdaptiveAvgPool2d(1), Flatten())
