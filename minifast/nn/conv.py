"""Convolutional building blocks, and the names of `minifast.nn.layers` and `minifast.nn.model_info`: what models are made of.

Constructors take channels in and out first (`ni, nf`), then the kernel size `ks` and the stride.
"""
from enum import Enum

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.init import kaiming_normal_
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import is_parametrized

from .layers import (
    AdaptiveAvgPool,
    AdaptiveConcatPool1d,
    AdaptiveConcatPool2d,
    AvgPool,
    Cat,
    Embedding,
    Flatten,
    Identity,
    Lambda,
    LinBnDrop,
    MaxPool,
    MergeLayer,
    Mish,
    Module,
    PartialLambda,
    PoolFlatten,
    ProdLayer,
    ResizeBatch,
    SequentialEx,
    SigmoidRange,
    Swish,
    TimeDistributed,
    View,
    apply_init,
    icnr_init,
    init_default,
    init_linear,
    mish,
    noop,
    sequential,
    sigmoid,
    sigmoid_range,
    swish,
)
from .model_info import (
    children_of,
    dummy_eval,
    eval_mode,
    flatten_model,
    in_channels,
    model_sizes,
    num_features_model,
    one_param,
    params,
    requires_grad,
    total_params,
)

__all__ = ["AdaptiveAvgPool", "AdaptiveConcatPool1d", "AdaptiveConcatPool2d", "AvgPool", "BatchNorm", "Cat", "ConvLayer", "Embedding",
           "Flatten", "Identity", "InstanceNorm", "Lambda", "LinBnDrop", "MaxPool", "MergeLayer", "Mish", "Module", "NormType",
           "PartialLambda", "PixelShuffle_ICNR", "PoolFlatten", "PooledSelfAttention2d", "ProdLayer", "ResBlock", "ResizeBatch", "SEBlock",
           "SEModule", "SelfAttention", "SequentialEx", "SigmoidRange", "SimpleCNN", "SimpleSelfAttention", "Swish", "TimeDistributed",
           "View", "apply_init", "children_of", "dummy_eval", "eval_mode", "flatten_model", "icnr_init", "in_channels", "init_default",
           "init_linear", "mish", "model_sizes", "noop", "num_features_model", "one_param", "params", "requires_grad", "sequential",
           "sigmoid", "sigmoid_range", "swish", "total_params"]

NormType = Enum("NormType", "Batch BatchZero Weight Spectral Instance InstanceZero")
NormType.__doc__ = "Normalisation of a `ConvLayer`; the ...Zero ones start with weight 0, so that a residual block starts as the identity."


def _check_norm(norm_type):
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
        _check_norm(norm_type)
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


class SEModule(SequentialEx):
    "Squeeze and excitation: each channel is scaled by a gate computed from the means of all channels (https://arxiv.org/abs/1709.01507)."

    def __init__(self, ch, reduction, act_cls=nn.ReLU):
        hidden = -(-(ch // reduction) // 8) * 8                  # up to a multiple of 8
        if not hidden:
            raise ValueError(f"SEModule(ch={ch}, reduction={reduction}): reduction must be at most the number of channels")
        super().__init__(nn.AdaptiveAvgPool2d(1), ConvLayer(ch, hidden, ks=1, norm_type=None, act_cls=act_cls),
                         ConvLayer(hidden, ch, ks=1, norm_type=None, act_cls=nn.Sigmoid), ProdLayer())


class ResBlock(Module):
    """Residual block: act(convolutions(x) + x), from ni*expansion to nf*expansion channels.

    expansion 1: two ks x ks convolutions; more: 1x1, ks x ks, 1x1 with `nh1`, `nh2` hidden channels. stride: of the ks x ks convolution;
    the shortcut then averages (`pool`, before its 1x1 convolution if `pool_first`). groups, g2: groups of the ks x ks and last
    convolution; dw: depthwise. reduction: add an `SEModule`. sa, sym: add a `SimpleSelfAttention`. The last norm starts at 0.
    """

    def __init__(self, expansion, ni, nf, stride=1, groups=1, reduction=None, nh1=None, nh2=None, dw=False, g2=1, sa=False, sym=False,
                 norm_type=NormType.Batch, act_cls=nn.ReLU, ndim=2, ks=3, pool=AvgPool, pool_first=True, **conv_kwargs):
        _check_norm(norm_type)
        zero = {NormType.Batch: NormType.BatchZero, NormType.Instance: NormType.InstanceZero}.get(norm_type, norm_type)
        nh2 = nf if nh2 is None else nh2
        nh1 = nh2 if nh1 is None else nh1
        ni, nf = ni * expansion, nf * expansion
        wide = ni if expansion == 1 else nh1                     # channels that go into the strided convolution

        def conv(a, b, size, last=False, **kw):
            return ConvLayer(a, b, size, norm_type=zero if last else norm_type, act_cls=None if last else act_cls, ndim=ndim, **kw,
                             **conv_kwargs)
        path = [] if expansion == 1 else [conv(ni, nh1, 1)]
        path.append(conv(wide, nh2, ks, stride=stride, groups=wide if dw else groups))
        path.append(conv(nh2, nf, ks if expansion == 1 else 1, last=True, groups=g2))
        if reduction:
            path.append(SEModule(nf, reduction, act_cls=act_cls))
        if sa:
            path.append(SimpleSelfAttention(nf, ks=1, sym=sym))
        self.convpath = nn.Sequential(*path)
        shortcut = [ConvLayer(ni, nf, 1, act_cls=None, norm_type=norm_type, ndim=ndim, **conv_kwargs)] if ni != nf else []
        if stride != 1:
            shortcut.insert(0 if pool_first else 1, pool(stride, ndim=ndim, ceil_mode=True))
        self.idpath = nn.Sequential(*shortcut)
        self.act = nn.ReLU(inplace=True) if act_cls is nn.ReLU else Identity() if act_cls is None else act_cls()

    def forward(self, x):
        return self.act(self.convpath(x) + self.idpath(x))


def SEBlock(expansion, ni, nf, groups=1, reduction=16, stride=1, **kwargs):
    "`ResBlock` with squeeze and excitation and wide hidden layers."
    return ResBlock(expansion, ni, nf, stride=stride, groups=groups, reduction=reduction, nh1=nf * 2, nh2=nf * expansion, **kwargs)


class SimpleSelfAttention(Module):
    "Attention over pixels with one 1-d convolution and no softmax, times `gamma`, which starts at 0. sym: a symmetric weight."

    def __init__(self, n_in, ks=1, sym=False):
        if sym and ks != 1:
            raise ValueError(f"SimpleSelfAttention(ks={ks}, sym=True): only a kernel of size 1 can be symmetric")
        self.sym = sym
        conv = nn.Conv1d(n_in, n_in, ks, padding=ks // 2, bias=False)
        kaiming_normal_(conv.weight)
        self.conv = parametrizations.spectral_norm(conv)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        flat = x.flatten(2)
        weight = self.conv.weight
        if self.sym:
            weight = (weight + weight.transpose(0, 1)) / 2
        mixed = F.conv1d(flat, weight, padding=self.conv.padding)
        attended = (flat @ flat.transpose(1, 2)) @ mixed
        return (self.gamma * attended + flat).view_as(x)


class SelfAttention(Module):
    "Attention over the pixels of an image, times `gamma`, which starts at 0, plus the input (https://arxiv.org/abs/1805.08318)."

    def __init__(self, n_channels):
        if n_channels < 8:
            raise ValueError(f"SelfAttention(n_channels={n_channels}): at least 8 channels, queries and keys have an eighth of them")
        self.query, self.key, self.value = (self._conv(n_channels, n) for n in (n_channels // 8, n_channels // 8, n_channels))
        self.gamma = nn.Parameter(torch.zeros(1))

    @staticmethod
    def _conv(ni, nf):
        return ConvLayer(ni, nf, ks=1, ndim=1, norm_type=NormType.Spectral, act_cls=None, bias=False)

    def forward(self, x):
        flat = x.flatten(2)
        share = F.softmax(self.query(flat).transpose(1, 2) @ self.key(flat), dim=1)        # (B, from, to): sums to 1 over `from`
        return (self.gamma * (self.value(flat) @ share) + flat).view_as(x)


class PooledSelfAttention2d(Module):
    "Self-attention whose keys and values are max-pooled by 2, as in BigGAN (https://arxiv.org/abs/1809.11096)."

    def __init__(self, n_channels):
        if n_channels < 8:
            raise ValueError(f"PooledSelfAttention2d(n_channels={n_channels}): at least 8 channels, queries and keys have an eighth of "
                             "them")
        self.n_channels = n_channels
        self.query, self.key = self._conv(n_channels, n_channels // 8), self._conv(n_channels, n_channels // 8)
        self.value, self.out = self._conv(n_channels, n_channels // 2), self._conv(n_channels // 2, n_channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    @staticmethod
    def _conv(ni, nf):
        return ConvLayer(ni, nf, ks=1, norm_type=NormType.Spectral, act_cls=None, bias=False)

    def forward(self, x):
        queries, keys = self.query(x).flatten(2), F.max_pool2d(self.key(x), 2).flatten(2)
        values = F.max_pool2d(self.value(x), 2).flatten(2)
        share = F.softmax(queries.transpose(1, 2) @ keys, dim=-1)
        attended = (values @ share.transpose(1, 2)).unflatten(2, x.shape[2:])
        return self.gamma * self.out(attended) + x


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
