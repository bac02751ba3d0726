"""Blocks of convolutions: `ConvLayer` (convolution, norm, activation), upsampling, self-attention over pixels, residual blocks.

Constructors take channels in and out first (`ni, nf`), then the kernel size `ks` and the stride.
"""
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import is_parametrized

from ..core.messages import brief
from .containers import Identity, Module, ProdLayer, SequentialEx
from .init import icnr_init, init_linear
from .layers import AvgPool, BatchNorm, InstanceNorm, NormType, PoolFlatten, layer_of_ndim

_PARAMETRIZED: dict[Any, Callable] = {NormType.Weight: parametrizations.weight_norm, NormType.Spectral: parametrizations.spectral_norm}


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
        if norm_type is not None and not isinstance(norm_type, NormType):
            raise TypeError(f"norm_type={brief(norm_type)}: write None or one of {', '.join(f'NormType.{o.name}' for o in NormType)}")
        batch = norm_type in (NormType.Batch, NormType.BatchZero)
        instance = norm_type in (NormType.Instance, NormType.InstanceZero)
        if padding is None:
            padding = 0 if transpose else (ks - 1) // 2
        make = layer_of_ndim("ConvTranspose" if transpose else "Conv", ndim)
        conv = make(ni, nf, ks, stride=stride, padding=padding, bias=not (batch or instance) if bias is None else bias, **conv_kwargs)
        act = None if act_cls is None else act_cls()
        init_linear(conv, act, init=init, bias_std=bias_std)
        if norm_type in _PARAMETRIZED:
            conv = _PARAMETRIZED[norm_type](conv)
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
        conv.weight = weight if is_parametrized(conv) else nn.Parameter(weight)
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


# Self-attention over the pixels of an image

class SimpleSelfAttention(Module):
    """Attention over pixels with one 1-d convolution and no softmax, times `gamma`, which starts at 0.

    Args:
        n_in: channels.
        ks: kernel size of the convolution.
        sym: make the weight symmetric (needs `ks=1`).
    """

    def __init__(self, n_in: int, ks: int = 1, sym: bool = False):
        if sym and ks != 1:
            raise ValueError(f"SimpleSelfAttention(ks={ks}, sym=True): only a kernel of size 1 can be symmetric")
        self.sym = sym
        conv = nn.Conv1d(n_in, n_in, ks, padding=ks // 2, bias=False)
        nn.init.kaiming_normal_(conv.weight)
        self.conv: Any = parametrizations.spectral_norm(conv)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(2)
        weight = self.conv.weight
        if self.sym:
            weight = (weight + weight.transpose(0, 1)) / 2
        mixed = F.conv1d(flat, weight, padding=self.conv.padding)
        attended = (flat @ flat.transpose(1, 2)) @ mixed
        return (self.gamma * attended + flat).view_as(x)


def _eighth(layer, n_channels):
    if n_channels < 8:
        raise ValueError(f"{type(layer).__name__}(n_channels={n_channels}): at least 8 channels, queries and keys have an eighth of them")
    return n_channels // 8


def _spectral_conv(ni, nf, ndim=2):
    return ConvLayer(ni, nf, ks=1, ndim=ndim, norm_type=NormType.Spectral, act_cls=None, bias=False)


class SelfAttention(Module):
    """Attention over the pixels of an image, times `gamma`, which starts at 0, plus the input (https://arxiv.org/abs/1805.08318).

    Args:
        n_channels: channels, at least 8.
    """

    def __init__(self, n_channels: int):
        eighth = _eighth(self, n_channels)
        self.query, self.key, self.value = (_spectral_conv(n_channels, n, ndim=1) for n in (eighth, eighth, n_channels))
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(2)
        share = F.softmax(self.query(flat).transpose(1, 2) @ self.key(flat), dim=1)        # (B, from, to): sums to 1 over `from`
        return (self.gamma * (self.value(flat) @ share) + flat).view_as(x)


class PooledSelfAttention2d(Module):
    """Self-attention whose keys and values are max-pooled by 2, as in BigGAN (https://arxiv.org/abs/1809.11096).

    Args:
        n_channels: channels, at least 8.
    """

    def __init__(self, n_channels: int):
        eighth, half = _eighth(self, n_channels), n_channels // 2
        self.query, self.key = _spectral_conv(n_channels, eighth), _spectral_conv(n_channels, eighth)
        self.value, self.out = _spectral_conv(n_channels, half), _spectral_conv(half, n_channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        queries, keys = self.query(x).flatten(2), F.max_pool2d(self.key(x), 2).flatten(2)
        values = F.max_pool2d(self.value(x), 2).flatten(2)
        share = F.softmax(queries.transpose(1, 2) @ keys, dim=-1)
        attended = (values @ share.transpose(1, 2)).unflatten(2, x.shape[2:])
        return self.gamma * self.out(attended) + x


# Residual blocks (ResNet, ResNeXt, SENet)

class SEModule(SequentialEx):
    """Squeeze and excitation: scale each channel by a gate computed from the means of all channels (https://arxiv.org/abs/1709.01507).

    Args:
        ch: channels.
        reduction: how many times fewer hidden channels the gate has.
        act_cls: makes its activation.
    """

    def __init__(self, ch: int, reduction: int, act_cls: Callable[[], nn.Module] = nn.ReLU):
        hidden = -(-(ch // reduction) // 8) * 8                  # up to a multiple of 8
        if not hidden:
            raise ValueError(f"SEModule(ch={ch}, reduction={reduction}): reduction must be at most the number of channels")
        super().__init__(nn.AdaptiveAvgPool2d(1), ConvLayer(ch, hidden, ks=1, norm_type=None, act_cls=act_cls),
                         ConvLayer(hidden, ch, ks=1, norm_type=None, act_cls=nn.Sigmoid), ProdLayer())


class ResBlock(Module):
    """Residual block: act(convolutions(x) + x), from ni*expansion to nf*expansion channels. The last norm starts at 0.

    Args:
        expansion: 1: two ks x ks convolutions; more: 1x1, ks x ks, 1x1.
        ni: input channels, divided by `expansion`.
        nf: output channels, divided by `expansion`.
        stride: of the ks x ks convolution; the shortcut then averages.
        groups: groups of the ks x ks convolution.
        reduction: add an `SEModule`.
        nh1: hidden channels after the first 1x1 convolution (default: `nh2`).
        nh2: hidden channels before the last convolution (default: `nf`).
        dw: depthwise.
        g2: groups of the last convolution.
        sa: add a `SimpleSelfAttention`.
        sym: a symmetric one.
        norm_type: a `NormType` or None.
        act_cls: makes the activations (None: none).
        ndim: 1, 2 or 3 axes besides the channels.
        ks: kernel size.
        pool: makes the pooling of the shortcut.
        pool_first: pool before the 1x1 convolution of the shortcut.
        conv_kwargs: for each `ConvLayer`.
    """

    def __init__(self, expansion: int, ni: int, nf: int, stride: int = 1, groups: int = 1, reduction: int | None = None,
                 nh1: int | None = None, nh2: int | None = None, dw: bool = False, g2: int = 1, sa: bool = False, sym: bool = False,
                 norm_type: NormType | None = NormType.Batch, act_cls: Callable[[], nn.Module] | None = nn.ReLU, ndim: int = 2, ks: int = 3,
                 pool: Callable[..., nn.Module] = AvgPool, pool_first: bool = True, **conv_kwargs: Any):
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
        shortcut: list[nn.Module] = [ConvLayer(ni, nf, 1, act_cls=None, norm_type=norm_type, ndim=ndim, **conv_kwargs)] if ni != nf else []
        if stride != 1:
            shortcut.insert(0 if pool_first else 1, pool(stride, ndim=ndim, ceil_mode=True))
        self.idpath = nn.Sequential(*shortcut)
        self.act = nn.ReLU(inplace=True) if act_cls is nn.ReLU else Identity() if act_cls is None else act_cls()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.convpath(x) + self.idpath(x))


def SEBlock(expansion: int, ni: int, nf: int, groups: int = 1, reduction: int = 16, stride: int = 1, **kwargs: Any) -> ResBlock:
    """Make a `ResBlock` with squeeze and excitation and wide hidden layers.

    Args:
        expansion: 1 for two 3x3 convolutions; 4 for a bottleneck 1x1, 3x3, 1x1.
        ni, nf: channels in and out, both before they are multiplied by `expansion`.
        groups: groups of the 3x3 convolution.
        reduction: the squeeze has a `reduction`-th of the channels; 0: no squeeze and excitation.
        stride: of the block; above 1 the map gets smaller.
        **kwargs: other arguments of `ResBlock`.

    Source: Hu et al. 2017, https://arxiv.org/abs/1709.01507.
    """
    return ResBlock(expansion, ni, nf, stride=stride, groups=groups, reduction=reduction, nh1=nf * 2, nh2=nf * expansion, **kwargs)


def SEResNeXtBlock(expansion: int, ni: int, nf: int, groups: int = 32, reduction: int = 16, stride: int = 1, base_width: int = 4,
                   **kwargs: Any) -> ResBlock:
    """Make a `ResBlock` with squeeze and excitation whose 3x3 convolution works in groups.

    The hidden layer has `nf * base_width // 64 * groups` channels.

    Args:
        expansion: 1 for two 3x3 convolutions; 4 for a bottleneck 1x1, 3x3, 1x1.
        ni, nf: channels in and out, both before they are multiplied by `expansion`.
        groups: groups of the 3x3 convolution, the cardinality.
        reduction: the squeeze has a `reduction`-th of the channels; 0: no squeeze and excitation.
        stride: of the block; above 1 the map gets smaller.
        base_width: channels of a group for each 64 channels of `nf`.
        **kwargs: other arguments of `ResBlock`.

    Source: Xie et al. 2016, https://arxiv.org/abs/1611.05431; Hu et al. 2017, https://arxiv.org/abs/1709.01507.
    """
    return ResBlock(expansion, ni, nf, stride=stride, groups=groups, reduction=reduction, nh2=nf * base_width // 64 * groups, **kwargs)


def SeparableBlock(expansion: int, ni: int, nf: int, reduction: int = 16, stride: int = 1, base_width: int = 4, **kwargs: Any) -> ResBlock:
    """Make a `ResBlock` with squeeze and excitation and a depthwise 3x3 convolution of `2 * nf` channels.

    Args:
        expansion: 1 for two 3x3 convolutions; 4 for a bottleneck 1x1, 3x3, 1x1.
        ni, nf: channels in and out, both before they are multiplied by `expansion`.
        reduction: the squeeze has a `reduction`-th of the channels; 0: no squeeze and excitation.
        stride: of the block; above 1 the map gets smaller.
        base_width: not used, as in fastai.
        **kwargs: other arguments of `ResBlock`.
    """
    return ResBlock(expansion, ni, nf, stride=stride, reduction=reduction, nh2=nf * 2, dw=True, **kwargs)
