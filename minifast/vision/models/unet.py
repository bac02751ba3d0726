"""A U-Net on any body: `DynamicUnet`.

After Ronneberger et al. 2015 (https://arxiv.org/abs/1505.04597): the body makes ever smaller maps, the decoder doubles their size step by
step, and at each size takes in what the body had there. Upsampling is by pixel shuffle without checkerboard
(https://arxiv.org/abs/1707.02937).
"""
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ...core.messages import describe, plural
from ...core.recipe import recorded
from ...core.types import YRange
from ...nn.activations import SigmoidRange, range_ends
from ...nn.conv import ConvLayer, PixelShuffle_ICNR, ResBlock, SelfAttention
from ...nn.hooks import Hooks, hook_outputs
from ...nn.init import apply_init
from ...nn.layers import BatchNorm, NormType
from ...nn.model_info import channels_last
from .backbones import arch_name, create_body, first_size
from .heads import calm_before_range

__all__ = ["DynamicUnet", "UnetBlock", "create_unet_model"]


class UnetBlock(nn.Module):
    """One step of the decoder: (B,up_in_c,H,W) and the skip (B,x_in_c,2H,2W) -> (B,out_c,2H,2W).

    Args:
        up_in_c: channels of the map that is upsampled.
        x_in_c: channels of the map of the encoder.
        final_div: `out_c` is up_in_c/2 + x_in_c; False: half of that.
        blur: smooth the upsampled map.
        act_cls: activation.
        self_attention: behind the second convolution.
        norm_type: of the convolutions (default: batch norm, and weight norm for upsampling).
        init: fills the weights of the convolutions in place; None: as they are.
    """

    def __init__(self, up_in_c: int, x_in_c: int, final_div: bool = True, blur: bool = False, act_cls: Callable[..., nn.Module] = nn.ReLU,
                 self_attention: bool = False, norm_type: Any = None, init: Callable[..., Any] | None = nn.init.kaiming_normal_):
        super().__init__()
        self.shuf = PixelShuffle_ICNR(up_in_c, up_in_c // 2, blur=blur, act_cls=act_cls, norm_type=norm_type)
        self.bn = BatchNorm(x_in_c)
        ni = up_in_c // 2 + x_in_c
        self.out_c = ni if final_div else ni // 2
        self.act = act_cls()
        attention = SelfAttention(self.out_c) if self_attention else None       # first: the same weights for a seed as ever
        self.conv1 = _conv(ni, self.out_c, act_cls, norm_type)
        self.conv2 = _conv(self.out_c, self.out_c, act_cls, norm_type, xtra=attention)
        apply_init(nn.Sequential(self.conv1, self.conv2), init)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        up = self.shuf(x)
        if up.shape[-2:] != skip.shape[-2:]:                  # an odd size does not double
            up = F.interpolate(up, skip.shape[-2:], mode="nearest")
        return self.conv2(self.conv1(self.act(torch.cat([up, self.bn(skip)], 1))))


def _conv(ni, nf, act_cls, norm_type, xtra=None):
    return ConvLayer(ni, nf, act_cls=act_cls, norm_type=NormType.Batch if norm_type is None else norm_type, xtra=xtra)


def _levels(body, img_size, n_in):
    """Where in a body, which is in evaluation mode, the size of its maps changes: `[(name of the module, channels, height)]`, deepest
    last; and the channels of its output."""
    h, w = img_size
    device = next((p.device for p in body.parameters()), torch.device("cpu"))
    called = {}                         # module -> (channels, height) of what it returned, if that was maps and it is called once

    def note(module, args, out):
        maps = isinstance(out, torch.Tensor) and out.ndim == 4 and module not in called
        last = maps and channels_last(out.shape, img_size)
        called[module] = ((out.shape[3], out.shape[1]) if last else (out.shape[1], out.shape[2])) if maps else None

    def opened(modules, before):
        "Those of `modules` that return maps, as they are called, each after its parts where it makes the maps less than half as large."
        found = []
        for module in [m for m in called if called[m] and m in modules]:
            height = called[module][1]
            if before / height > 2.2:
                found += opened(list(module.children()), before)
            found.append(module)
            before = height
        return found

    with Hooks(list(body.modules())[1:], note, detach=False):
        out = body(torch.zeros(1, n_in, h, w, device=device))
    if not isinstance(out, torch.Tensor) or out.ndim != 4:
        raise ValueError(f"a U-Net needs a body that returns maps (B,C,H,W), but {type(body).__name__} returns {describe(out)}. "
                         "Vision transformers that return one vector per image cannot be used")
    children, names = list(body.children()), {m: name for name, m in body.named_modules()}
    found = []                                  # the last module at each size, or about that size without padding
    for module in opened(children, h) or opened([part for child in children for part in child.children()], h):
        c, height = called[module]
        size = found.pop()[-1] if found and found[-1][-1] / height < 1.5 else height
        found.append((names[module], c, height, size))
    shrinking = [o[:3] for o in found if o[2] / out.shape[-2] >= 1.5]
    if not shrinking:
        raise ValueError(f"a U-Net needs a body whose maps shrink step by step: {type(body).__name__} makes {tuple(out.shape[-2:])} of "
                         f"{h} x {w} pixels and nothing between")
    return shrinking, out.shape[1]


class DynamicUnet(nn.Module):
    """A U-Net around a body whose maps get smaller step by step: images (B,n_in,H,W) of any size -> (B,n_out,H,W).

    `model[0]` is the encoder and `model[1:]` everything else, for splitters.

    Args:
        encoder: the body.
        n_out: channels of the result.
        img_size: (height, width) of typical images in pixels, or one number; other sizes work as well.
        blur: smooth the upsampled maps, against a checkerboard pattern.
        blur_final: with `blur`, those of the last step too.
        self_attention: in the third step from the end.
        y_range: (low, high) of a scaled sigmoid at the end.
        last_cross: join the image itself at the end, followed by a residual block.
        bottle: halve the channels inside that block.
        act_cls: activation of the new layers.
        init: fills the weights of the new convolutions in place; None: as they are.
        norm_type: of the new layers (default: batch norm, and weight norm for upsampling).
        n_in: channels of the images.

    Source: Ronneberger, Fischer & Brox 2015, https://arxiv.org/abs/1505.04597.
    """

    one_call_at_a_time = True           #: forward hooks fetch the maps of the encoder, and would see those of another thread's call

    def __init__(self, encoder: nn.Module, n_out: int, img_size: int | Sequence[int], blur: bool = False, blur_final: bool = True,
                 self_attention: bool = False, y_range: YRange | None = None, last_cross: bool = True, bottle: bool = False,
                 act_cls: Callable[..., nn.Module] = nn.ReLU, init: Callable[..., Any] | None = nn.init.kaiming_normal_,
                 norm_type: Any = None, n_in: int = 3):
        super().__init__()
        h, w = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        probe = (h, w + 32 if h == w else w)                                    # not square, so that height and channels can be told apart
        levels, ni = first_size(encoder, (probe, (h, w)), n_in, lambda size: _levels(encoder, size, n_in))
        self._skip_names = [name for name, _, _ in levels]                      # names: a copy of the model has an encoder of its own
        self._channels, self.last_cross = [c for _, c, _ in levels], last_cross
        options: dict[str, Any] = {"act_cls": act_cls, "norm_type": norm_type}
        middle = nn.Sequential(_conv(ni, ni * 2, **options), _conv(ni * 2, ni, **options))
        layers: list[Any] = [encoder, nn.Sequential(BatchNorm(ni), nn.ReLU(), middle)]
        apply_init(middle, init)
        self.n_blocks = n = len(levels)
        for i, c in enumerate(reversed(self._channels)):
            final = i == n - 1
            layers.append(UnetBlock(ni, c, final_div=not final, blur=blur and (blur_final or not final),
                                    self_attention=self_attention and i == max(n - 3, 0), init=init, **options))
            ni = layers[-1].out_c
        steps = math.ceil(math.log2(h / levels[0][2] / 1.5))               # where the encoder's first map is smaller than the image
        layers.append(nn.Sequential(*[
            PixelShuffle_ICNR(ni, act_cls=act_cls, norm_type=NormType.Weight if norm_type is None else norm_type) for _ in range(steps)]))
        ni += n_in if last_cross else 0
        cross = [ResBlock(1, ni, ni, nh2=ni // 2 if bottle else ni, act_cls=act_cls,
                          norm_type=NormType.Batch if norm_type is None else norm_type)] if last_cross else []
        end = nn.Sequential(*cross, ConvLayer(ni, n_out, ks=1, act_cls=None, norm_type=None),
                            *([] if y_range is None else [SigmoidRange(*range_ends(y_range))]))
        apply_init(end, init)
        if y_range is not None and init is not None:
            calm_before_range(end)
        self.layers = nn.ModuleList([*layers, end])

    def __getitem__(self, i: Any) -> Any:
        return self.layers[i]

    def __len__(self) -> int:
        return len(self.layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        encoder, middle, *blocks, ups, end = self.layers
        with hook_outputs([encoder.get_submodule(name) for name in self._skip_names], detach=False) as hooks:
            out = encoder(x)
            skips = hooks.stored
        out = middle(out)
        for block, skip, c in zip(blocks, reversed(skips), reversed(self._channels), strict=True):
            out = block(out, skip if skip.shape[1] == c else skip.movedim(-1, 1))
        out = ups(out)
        if out.shape[-2:] != x.shape[-2:]:
            out = F.interpolate(out, x.shape[-2:], mode="nearest")
        return end(torch.cat([out, x.to(out.dtype)], 1) if self.last_cross else out)

    def __repr__(self) -> str:
        return f"DynamicUnet({type(self.layers[0]).__name__}, {plural(self.n_blocks, 'step')})"


@recorded(arch=arch_name, pretrained=False, weights=None, init=None)
def create_unet_model(arch: Any, n_out: int, img_size: int | Sequence[int], pretrained: bool = True, weights: Any = None,
                      cut: Callable[[nn.Module], nn.Module] | int | None = None, n_in: int = 3, **unet_args: Any) -> DynamicUnet:
    """Make a `DynamicUnet` on the body of `arch`.

    Args:
        arch: a function such as `resnet34` or `xresnet50`, or a name of timm; see `arch_meta`.
        n_out: channels of the result.
        img_size: (height, width) of typical images in pixels, or one number.
        pretrained: take the weights of ImageNet.
        weights: other weights, by name or file, see `pretrained.load_pretrained`.
        cut: where the body ends, see `create_body`.
        n_in: channels of the images.
        **unet_args: other arguments of `DynamicUnet`.
    """
    body = create_body(arch, n_in, pretrained, cut, weights)
    return DynamicUnet(body, n_out, img_size, n_in=n_in, **unet_args)
