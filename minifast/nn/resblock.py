"""Residual blocks (ResNet, ResNeXt, SENet)."""
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from .attention import SimpleSelfAttention
from .conv import ConvLayer, NormType, check_norm
from .layers import AvgPool, Identity, Module, ProdLayer, SequentialEx


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
        check_norm(norm_type)
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
    "`ResBlock` with squeeze and excitation and wide hidden layers."
    return ResBlock(expansion, ni, nf, stride=stride, groups=groups, reduction=reduction, nh1=nf * 2, nh2=nf * expansion, **kwargs)
