"""Residual networks with the changes of "Bag of Tricks" (He et al. 2018, https://arxiv.org/abs/1812.01187).

Three 3x3 convolutions instead of one 7x7 at the start; shortcuts that average instead of skipping pixels; the last norm of each block
starts at 0, so that a block starts as the identity. There are no pretrained weights: they are for training from scratch.
"""
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from ...nn.containers import Flatten
from ...nn.conv import ConvLayer, ResBlock, SEBlock, SEResNeXtBlock
from ...nn.init import init_default

__all__ = [
    "XResNet",
    "xresnet18",
    "xresnet18_deep",
    "xresnet18_deeper",
    "xresnet34",
    "xresnet34_deep",
    "xresnet34_deeper",
    "xresnet50",
    "xresnet50_deep",
    "xresnet50_deeper",
    "xresnet101",
    "xresnet152",
    "xresnext18",
    "xresnext34",
    "xresnext50",
    "xresnext101",
    "xse_resnet18",
    "xse_resnet34",
    "xse_resnet50",
    "xse_resnet101",
    "xse_resnet152",
    "xse_resnext18",
    "xse_resnext18_deep",
    "xse_resnext18_deeper",
    "xse_resnext34",
    "xse_resnext34_deep",
    "xse_resnext34_deeper",
    "xse_resnext50",
    "xse_resnext50_deep",
    "xse_resnext50_deeper",
    "xse_resnext101",
    "xsenet154",
]


class XResNet(nn.Sequential):
    """A residual network: stem, pooling, stages of blocks, pooling, linear layer. Images (B,n_in,H,W) -> (B,n_out).

    For 28x28 images: `XResNet(layers=[1, 1, 1, 1], widths=(32, 64, 128, 256), stem_szs=(16, 32, 32), n_in=1, n_out=10)`.

    Args:
        block: makes a block, called as `ResBlock`.
        expansion: 1, or 4 for blocks with a bottleneck.
        layers: the number of blocks in each stage.
        p: dropout before the linear layer.
        n_in: channels of the images.
        n_out: outputs of the linear layer.
        stem_szs: channels of the convolutions of the stem.
        widen: factor of the channels of all stages.
        widths: channels of each stage, before `expansion` and `widen` (default: 64, 128, 256, 512, and 256 for each further one).
        sa: self-attention in the first stage.
        act_cls: activation.
        ks: kernel size in the blocks.
        stride: of the first convolution of the stem.
        c_in: fastai's name of `n_in`.
        **block_args: for `block`, such as reduction=16.

    Source: He et al. 2018, "Bag of Tricks", https://arxiv.org/abs/1812.01187.
    """

    def __init__(self, block: Callable[..., nn.Module] = ResBlock, expansion: int = 1, layers: Sequence[int] = (2, 2, 2, 2),
                 p: float = 0.0, n_in: int = 3, n_out: int = 1000, stem_szs: Sequence[int] = (32, 32, 64), widen: float = 1.0,
                 widths: Sequence[int] | None = None, sa: bool = False, act_cls: Callable[..., nn.Module] = nn.ReLU, ks: int = 3,
                 stride: int = 2, c_in: int | None = None, **block_args: Any):
        n_in = n_in if c_in is None else c_in
        if widths is None:
            widths = [64, 128, 256, 512, *[256] * (len(layers) - 4)][:len(layers)]
        if not layers or len(widths) < len(layers) or not stem_szs:
            raise ValueError(f"XResNet(layers={layers}, widths={widths}, stem_szs={stem_szs}): at least one stage and one stem convolution,"
                             " and a width for each stage")
        sizes = [n_in, *stem_szs]
        stem = [ConvLayer(sizes[i], sizes[i + 1], ks=3, stride=stride if i == 0 else 1, act_cls=act_cls) for i in range(len(stem_szs))]
        widths = [int(w * widen) for w in widths[:len(layers)]]
        ni, stages = stem_szs[-1] // expansion, []
        for i, (n, nf) in enumerate(zip(layers, widths, strict=True)):
            attends = sa and i == max(len(layers) - 4, 0)
            stages.append(nn.Sequential(*[
                block(expansion, nf if j else ni, nf, stride=1 if j or not i else 2, sa=attends and j == n - 1, act_cls=act_cls, ks=ks,
                      **block_args) for j in range(n)]))
            ni = nf if n else ni
        super().__init__(*stem, nn.MaxPool2d(3, stride=2, padding=1), *stages, nn.AdaptiveAvgPool2d(1), Flatten(), nn.Dropout(p),
                         nn.Linear(ni * expansion, n_out))
        for m in self.modules():
            if isinstance(m, (nn.Conv2d, nn.Linear)):
                init_default(m)

    def __getitem__(self, i: Any) -> Any:
        "Layer `i`; of a slice, an `nn.Sequential` (a part is no whole network)."
        return nn.Sequential(*list(self)[i]) if isinstance(i, slice) else super().__getitem__(i)


def _make(name, pretrained, expansion, layers, kwargs):
    if pretrained:
        raise ValueError(f"there are no pretrained weights of {name}: pass pretrained=False to start from random weights")
    return XResNet(**{"expansion": expansion, "layers": layers, **kwargs})


def xresnet18(pretrained: bool = False, **kwargs: Any) -> XResNet:
    """Make an `XResNet` with 2, 2, 2, 2 blocks.

    Args:
        pretrained: there are no weights; True is refused.
        **kwargs: arguments of `XResNet`, such as sa, act_cls, n_in, n_out.
    """
    return _make("xresnet18", pretrained, 1, (2, 2, 2, 2), kwargs)


def xresnet34(pretrained: bool = False, **kwargs: Any) -> XResNet:
    """Make an `XResNet` with 3, 4, 6, 3 blocks.

    Args:
        pretrained: there are no weights; True is refused.
        **kwargs: arguments of `XResNet`, such as sa, act_cls, n_in, n_out.
    """
    return _make("xresnet34", pretrained, 1, (3, 4, 6, 3), kwargs)


def xresnet50(pretrained: bool = False, **kwargs: Any) -> XResNet:
    """Make an `XResNet` with 3, 4, 6, 3 bottleneck blocks.

    Args:
        pretrained: there are no weights; True is refused.
        **kwargs: arguments of `XResNet`, such as sa, act_cls, n_in, n_out.
    """
    return _make("xresnet50", pretrained, 4, (3, 4, 6, 3), kwargs)


def xresnet101(pretrained: bool = False, **kwargs: Any) -> XResNet:
    """Make an `XResNet` with 3, 4, 23, 3 bottleneck blocks.

    Args:
        pretrained: there are no weights; True is refused.
        **kwargs: arguments of `XResNet`, such as sa, act_cls, n_in, n_out.
    """
    return _make("xresnet101", pretrained, 4, (3, 4, 23, 3), kwargs)


def xresnet152(pretrained: bool = False, **kwargs: Any) -> XResNet:
    """Make an `XResNet` with 3, 8, 36, 3 bottleneck blocks.

    Args:
        pretrained: there are no weights; True is refused.
        **kwargs: arguments of `XResNet`, such as sa, act_cls, n_in, n_out.
    """
    return _make("xresnet152", pretrained, 4, (3, 8, 36, 3), kwargs)


def _network(name: str, block: Callable[..., nn.Module], expansion: int, layers: Sequence[int], **options: Any) -> Callable[..., XResNet]:
    "The function that makes the `XResNet` called `name`."
    def make(n_out: int = 1000, pretrained: bool = False, **kwargs: Any) -> XResNet:
        return _make(name, pretrained, expansion, layers, {"block": block, "n_out": n_out, **options, **kwargs})

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"""Make an `XResNet` with {', '.join(map(str, layers))} {block.__name__}s.

    Args:
        n_out: outputs.
        pretrained: there are no weights; True is refused.
        **kwargs: arguments of `XResNet`, such as sa, act_cls, n_in.
    """
    return make


_SE: dict[str, Any] = {"groups": 1, "reduction": 16}
_SE_NEXT: dict[str, Any] = {"groups": 32, "reduction": 16}
_NEXT: dict[str, Any] = {"groups": 32, "reduction": 0}
_2222, _3463, _3_4_23_3, _3_8_36_3 = (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)
_18_DEEPER, _34_DEEPER = (2, 2, 1, 1, 1, 1, 1, 1), (3, 4, 4, 2, 2, 1, 1, 1)

xresnet18_deep = _network("xresnet18_deep", ResBlock, 1, (*_2222, 1, 1))
xresnet34_deep = _network("xresnet34_deep", ResBlock, 1, (*_3463, 1, 1))
xresnet50_deep = _network("xresnet50_deep", ResBlock, 4, (*_3463, 1, 1))
xresnet18_deeper = _network("xresnet18_deeper", ResBlock, 1, _18_DEEPER)
xresnet34_deeper = _network("xresnet34_deeper", ResBlock, 1, (*_3463, 1, 1, 1, 1))
xresnet50_deeper = _network("xresnet50_deeper", ResBlock, 4, (*_3463, 1, 1, 1, 1))
xse_resnet18 = _network("xse_resnet18", SEBlock, 1, _2222, **_SE)
xse_resnext18 = _network("xse_resnext18", SEResNeXtBlock, 1, _2222, **_SE_NEXT)
xresnext18 = _network("xresnext18", SEResNeXtBlock, 1, _2222, **_NEXT)
xse_resnet34 = _network("xse_resnet34", SEBlock, 1, _3463, **_SE)
xse_resnext34 = _network("xse_resnext34", SEResNeXtBlock, 1, _3463, **_SE_NEXT)
xresnext34 = _network("xresnext34", SEResNeXtBlock, 1, _3463, **_NEXT)
xse_resnet50 = _network("xse_resnet50", SEBlock, 4, _3463, **_SE)
xse_resnext50 = _network("xse_resnext50", SEResNeXtBlock, 4, _3463, **_SE_NEXT)
xresnext50 = _network("xresnext50", SEResNeXtBlock, 4, _3463, **_NEXT)
xse_resnet101 = _network("xse_resnet101", SEBlock, 4, _3_4_23_3, **_SE)
xse_resnext101 = _network("xse_resnext101", SEResNeXtBlock, 4, _3_4_23_3, **_SE_NEXT)
xresnext101 = _network("xresnext101", SEResNeXtBlock, 4, _3_4_23_3, **_NEXT)
xse_resnet152 = _network("xse_resnet152", SEBlock, 4, _3_8_36_3, **_SE)
xsenet154 = _network("xsenet154", SEBlock, 4, _3_8_36_3, groups=64, reduction=16, p=0.2)
xse_resnext18_deep = _network("xse_resnext18_deep", SEResNeXtBlock, 1, (*_2222, 1, 1), **_SE_NEXT)
xse_resnext34_deep = _network("xse_resnext34_deep", SEResNeXtBlock, 1, (*_3463, 1, 1), **_SE_NEXT)
xse_resnext50_deep = _network("xse_resnext50_deep", SEResNeXtBlock, 4, (*_3463, 1, 1), **_SE_NEXT)
xse_resnext18_deeper = _network("xse_resnext18_deeper", SEResNeXtBlock, 1, _18_DEEPER, **_SE_NEXT)
xse_resnext34_deeper = _network("xse_resnext34_deeper", SEResNeXtBlock, 1, _34_DEEPER, **_SE_NEXT)
xse_resnext50_deeper = _network("xse_resnext50_deeper", SEResNeXtBlock, 4, _34_DEEPER, **_SE_NEXT)

XRESNETS = {f.__name__: f for f in (
    xresnet18, xresnet34, xresnet50, xresnet101, xresnet152, xresnet18_deep, xresnet34_deep, xresnet50_deep, xresnet18_deeper,
    xresnet34_deeper, xresnet50_deeper, xse_resnet18, xse_resnext18, xresnext18, xse_resnet34, xse_resnext34, xresnext34, xse_resnet50,
    xse_resnext50, xresnext50, xse_resnet101, xse_resnext101, xresnext101, xse_resnet152, xsenet154, xse_resnext18_deep,
    xse_resnext34_deep, xse_resnext50_deep, xse_resnext18_deeper, xse_resnext34_deeper, xse_resnext50_deeper)}
