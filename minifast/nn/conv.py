"""Convolutions with normalisation and activation, and what is made of them alone.

Constructors take channels in and out first (`ni, nf`), then the kernel size `ks` and the stride.
"""
from enum import Enum

import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import is_parametrized

from .init import icnr_init, init_linear
from .pooling import PoolFlatten

NormType = Enum("NormType", "Batch BatchZero Weight Spectral Instance InstanceZero")
NormType.__doc__ = "Normalisation of a `ConvLayer`; the ...Zero ones start with weight 0, so that a residual block starts as the identity."


def check_norm(norm_type):
    if norm_type is not None and not isinstance(norm_type, NormType):
        raise TypeError(f"norm_type={norm_type!r}: write None or one of {', '.join(f'NormType.{o.name}' for o in NormType)}")


def _norm(kind, nf, ndim, zero, affine):
    layer = getattr(nn, f"{kind}{ndim}d")(nf, affine=affine)
    if affine:
        nn.init.constant_(layer.bias, 1e-3)
        nn.init.constant_(layer.weight, 0.0 if zero else 1.0)
    return layer


def BatchNorm(nf, ndim=2, norm_type=NormType.Batch, affine=True):
    "`nn.BatchNorm1d/2d/3d` with bias 1e-3 and weight 1, or 0 for `NormType.BatchZero`."
    return _norm("BatchNorm", nf, ndim, norm_type is NormType.BatchZero, affine)


def InstanceNorm(nf, ndim=2, norm_type=NormType.Instance, affine=True):
    "`nn.InstanceNorm1d/2d/3d` with bias 1e-3 and weight 1, or 0 for `NormType.InstanceZero`."
    return _norm("InstanceNorm", nf, ndim, norm_type is NormType.InstanceZero, affine)


def _conv_class(ndim, transpose):
    if ndim not in (1, 2, 3):
        raise ValueError(f"ndim={ndim}: ndim is 1, 2 or 3, the axes of an item besides its channels")
    return getattr(nn, f"Conv{'Transpose' if transpose else ''}{ndim}d")


class ConvLayer(nn.Sequential):
    """Convolution, normalisation, activation: (B,ni,H,W) -> (B,nf,H',W').

    ks, stride: kernel size and stride. padding: default (ks-1)//2, 0 if `transpose`. bias: default only without batch or instance norm.
    ndim: 1, 2 or 3. norm_type: a `NormType` or None. bn_1st: normalise before the activation. act_cls: makes the activation, None: none.
    transpose: a transposed convolution. init, bias_std: see `init_linear`. xtra: a last layer. conv_kwargs: `groups`, `dilation`, ...
    """

    def __init__(self, ni, nf, ks=3, stride=1, padding=None, bias=None, ndim=2, norm_type=NormType.Batch, bn_1st=True, act_cls=nn.ReLU,
                 transpose=False, init="auto", xtra=None, bias_std=0.01, **conv_kwargs):
        check_norm(norm_type)
        batch = norm_type in (NormType.Batch, NormType.BatchZero)
        instance = norm_type in (NormType.Instance, NormType.InstanceZero)
        if padding is None:
            padding = 0 if transpose else (ks - 1) // 2
        conv = _conv_class(ndim, transpose)(ni, nf, ks, stride=stride, padding=padding,
                                            bias=not (batch or instance) if bias is None else bias, **conv_kwargs)
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
    """Upsample by `scale`: 1x1 convolution from `ni` to `nf` * scale**2 channels, then pixel shuffle, without checkerboard at the start.

    nf: default `ni`. blur: smooth the result with a 2x2 average.
    """

    def __init__(self, ni, nf=None, scale=2, blur=False, norm_type=NormType.Weight, act_cls=nn.ReLU):
        nf = ni if nf is None else nf
        up = ConvLayer(ni, nf * scale ** 2, ks=1, norm_type=norm_type, act_cls=act_cls, bias_std=0)
        weight = icnr_init(up[0].weight.detach(), scale)
        with torch.no_grad():
            if is_parametrized(up[0]):
                up[0].weight = weight
            else:
                up[0].weight.copy_(weight)
        smooth = [nn.ReplicationPad2d((1, 0, 1, 0)), nn.AvgPool2d(2, stride=1)] if blur else []
        super().__init__(up, nn.PixelShuffle(scale), *smooth)


class SimpleCNN(nn.Sequential):
    """Convolutions from filters[0] to filters[1], ... channels, each halving the image, then the mean over pixels: (B, filters[-1]).

    kernel_szs: default 3 each. strides: default 2 each. bn: batch norm after all but the last.
    """

    def __init__(self, filters, kernel_szs=None, strides=None, bn=True):
        n = len(filters) - 1
        if n < 1:
            raise ValueError(f"SimpleCNN(filters={filters}): at least two numbers of channels, such as [3, 16, 10]")
        kernel_szs, strides = kernel_szs or [3] * n, strides or [2] * n
        if len(kernel_szs) != n or len(strides) != n:
            raise ValueError(f"SimpleCNN(filters={filters}) has {n} convolutions, but kernel_szs={kernel_szs} and strides={strides}")
        super().__init__(*(ConvLayer(filters[i], filters[i + 1], kernel_szs[i], stride=strides[i],
                                     norm_type=NormType.Batch if bn and i < n - 1 else None) for i in range(n)), PoolFlatten())
