"""Convolutions with normalisation and activation, and what is made of them alone.

Constructors take channels in and out first (`ni, nf`), then the kernel size `ks` and the stride.
"""
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import is_parametrized

from .init import icnr_init, init_linear
from .layers import PoolFlatten, layer_of_ndim

NormType = Enum("NormType", "Batch BatchZero Weight Spectral Instance InstanceZero")
NormType.__doc__ = "Normalisation of a `ConvLayer`; the ...Zero ones start with weight 0, so that a residual block starts as the identity."


def check_norm(norm_type: NormType | None) -> None:
    "Refuse what is not a `NormType`."
    if norm_type is not None and not isinstance(norm_type, NormType):
        raise TypeError(f"norm_type={norm_type!r}: write None or one of {', '.join(f'NormType.{o.name}' for o in NormType)}")


def _norm(kind: str, nf: int, ndim: int, zero: bool, affine: bool) -> nn.Module:
    layer = getattr(nn, f"{kind}{ndim}d")(nf, affine=affine)
    if affine:
        nn.init.constant_(layer.bias, 1e-3)
        nn.init.constant_(layer.weight, 0.0 if zero else 1.0)
    return layer


def BatchNorm(nf: int, ndim: int = 2, norm_type: NormType = NormType.Batch, affine: bool = True) -> nn.Module:
    "`nn.BatchNorm1d/2d/3d` with bias 1e-3 and weight 1, or 0 for `NormType.BatchZero`."
    return _norm("BatchNorm", nf, ndim, norm_type is NormType.BatchZero, affine)


def InstanceNorm(nf: int, ndim: int = 2, norm_type: NormType = NormType.Instance, affine: bool = True) -> nn.Module:
    "`nn.InstanceNorm1d/2d/3d` with bias 1e-3 and weight 1, or 0 for `NormType.InstanceZero`."
    return _norm("InstanceNorm", nf, ndim, norm_type is NormType.InstanceZero, affine)


class ConvLayer(nn.Sequential):
    """Convolution, normalisation, activation: (B,ni,H,W) -> (B,nf,H',W').

    Args:
        ni: input channels.
        nf: output channels.
        ks: kernel size.
        stride: stride.
        padding: default (ks-1)//2, or 0 if `transpose`.
        bias: default: only without batch or instance norm.
        ndim: 1, 2 or 3 axes besides the channels.
        norm_type: a `NormType` or None.
        bn_1st: normalise before the activation.
        act_cls: makes the activation (None: none).
        transpose: a transposed convolution.
        init: how the weight is initialised, see `init_linear`.
        xtra: a last layer.
        bias_std: standard deviation of the bias at the start.
        conv_kwargs: for the convolution: `groups`, `dilation`, ...
    """

    def __init__(self, ni: int, nf: int, ks: int = 3, stride: int = 1, padding: int | None = None, bias: bool | None = None, ndim: int = 2,
                 norm_type: NormType | None = NormType.Batch, bn_1st: bool = True, act_cls: Callable[[], nn.Module] | None = nn.ReLU,
                 transpose: bool = False, init: Callable | str | None = "auto", xtra: nn.Module | None = None,
                 bias_std: float | None = 0.01, **conv_kwargs: Any):
        check_norm(norm_type)
        batch = norm_type in (NormType.Batch, NormType.BatchZero)
        instance = norm_type in (NormType.Instance, NormType.InstanceZero)
        if padding is None:
            padding = 0 if transpose else (ks - 1) // 2
        make = layer_of_ndim("ConvTranspose" if transpose else "Conv", ndim)
        conv = make(ni, nf, ks, stride=stride, padding=padding, bias=not (batch or instance) if bias is None else bias, **conv_kwargs)
        act = None if act_cls is None else act_cls()
        init_linear(conv, act, init=init, bias_std=bias_std)
        if norm_type is NormType.Weight:
            conv = parametrizations.weight_norm(conv)
        elif norm_type is NormType.Spectral:
            conv = parametrizations.spectral_norm(conv)
        norm = BatchNorm(nf, ndim, norm_type) if batch else InstanceNorm(nf, ndim, norm_type) if instance else None
        after = [norm, act] if bn_1st else [act, norm]
        super().__init__(conv, *(o for o in [*after, xtra] if o is not None))


class PixelShuffle_ICNR(nn.Sequential):
    """Upsample by `scale`: 1x1 convolution, then pixel shuffle, initialised so that no checkerboard shows.

    Args:
        ni: input channels.
        nf: output channels (default: `ni`).
        scale: factor of height and width.
        blur: smooth the result with a 2x2 average.
        norm_type: a `NormType` or None.
        act_cls: makes the activation (None: none).
    """

    def __init__(self, ni: int, nf: int | None = None, scale: int = 2, blur: bool = False, norm_type: NormType | None = NormType.Weight,
                 act_cls: Callable[[], nn.Module] | None = nn.ReLU):
        nf = ni if nf is None else nf
        up = ConvLayer(ni, nf * scale ** 2, ks=1, norm_type=norm_type, act_cls=act_cls, bias_std=0)
        conv: Any = up[0]
        weight = icnr_init(conv.weight.detach(), scale)
        with torch.no_grad():
            if is_parametrized(conv):
                conv.weight = weight
            else:
                conv.weight.copy_(weight)
        smooth = [nn.ReplicationPad2d((1, 0, 1, 0)), nn.AvgPool2d(2, stride=1)] if blur else []
        super().__init__(up, nn.PixelShuffle(scale), *smooth)


class SimpleCNN(nn.Sequential):
    """Convolutions that each halve the image, then the mean over pixels: (B, filters[0], H, W) -> (B, filters[-1]).

    Args:
        filters: channels in, and out of each convolution, such as [3, 16, 10].
        kernel_szs: kernel sizes (default: 3 each).
        strides: strides (default: 2 each).
        bn: batch norm after all but the last.
    """

    def __init__(self, filters: Sequence[int], kernel_szs: Sequence[int] | None = None, strides: Sequence[int] | None = None,
                 bn: bool = True):
        n = len(filters) - 1
        if n < 1:
            raise ValueError(f"SimpleCNN(filters={filters}): at least two numbers of channels, such as [3, 16, 10]")
        kernel_szs, strides = kernel_szs or [3] * n, strides or [2] * n
        if len(kernel_szs) != n or len(strides) != n:
            raise ValueError(f"SimpleCNN(filters={filters}) has {n} convolutions, but kernel_szs={kernel_szs} and strides={strides}")
        super().__init__(*(ConvLayer(filters[i], filters[i + 1], kernel_szs[i], stride=strides[i],
                                     norm_type=NormType.Batch if bn and i < n - 1 else None) for i in range(n)), PoolFlatten())
