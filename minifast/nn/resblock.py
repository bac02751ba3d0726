"""Residual blocks (ResNet, ResNeXt, SENet)."""
from torch import nn

from .activations import Identity
from .attention import SimpleSelfAttention
from .conv import ConvLayer, NormType, check_norm
from .layers import ProdLayer, SequentialEx
from .module import Module
from .pooling import AvgPool


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
