"""A U-Net on any body: `DynamicUnet`.

After Ronneberger et al. 2015 (https://arxiv.org/abs/1505.04597): the body makes ever smaller maps, the decoder doubles their size step by
step, and at each size takes in what the body had there. Upsampling is by pixel shuffle without checkerboard
(https://arxiv.org/abs/1707.02937).
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ...core.messages import describe, plural
from ...nn.conv import ConvLayer, PixelShuffle_ICNR, ResBlock, SelfAttention
from ...nn.hooks import hook_outputs
from ...nn.init import apply_init
from ...nn.layers import BatchNorm, NormType, SigmoidRange
from .backbones import create_body, first_size
from .heads import calm_before_range

__all__ = ["DynamicUnet", "UnetBlock", "create_unet_model"]


class UnetBlock(nn.Module):
    """One step of the decoder: (B,up_in_c,H,W) and the skip (B,x_in_c,2H,2W) -> (B,out_c,2H,2W), out_c = up_in_c/2 + x_in_c.

    final_div: without it, half as many channels come out. The other arguments: see `DynamicUnet`.
    """

    def __init__(self, up_in_c: int, x_in_c: int, final_div: bool = True, blur: bool = False, act_cls: Callable[..., nn.Module] = nn.ReLU,
                 self_attention: bool = False, norm_type: Any = None, init: Callable[..., Any] | None = nn.init.kaiming_normal_):
        super().__init__()
        self.shuf = PixelShuffle_ICNR(up_in_c, up_in_c // 2, blur=blur, act_cls=act_cls, norm_type=norm_type)
        self.bn = BatchNorm(x_in_c)
        ni = up_in_c // 2 + x_in_c
        self.out_c = ni if final_div else ni // 2
        self.act = act_cls()
        attention = SelfAttention(self.out_c) if self_attention else None
        self.conv1 = _conv(ni, self.out_c, act_cls, norm_type)
        self.conv2 = _conv(self.out_c, self.out_c, act_cls, norm_type, xtra=attention)
        if init is not None:
            apply_init(nn.Sequential(self.conv1, self.conv2), init)

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        up = self.shuf(x)
        if up.shape[-2:] != skip.shape[-2:]:                  # an odd size does not double
            up = F.interpolate(up, skip.shape[-2:], mode="nearest")
        return self.conv2(self.conv1(self.act(torch.cat([up, self.bn(skip)], 1))))


def _conv(ni, nf, act_cls, norm_type, xtra=None):
    return ConvLayer(ni, nf, act_cls=act_cls, norm_type=NormType.Batch if norm_type is None else norm_type, xtra=xtra)


class _Levels:
    """Where in a body, which is in evaluation mode, the size of its maps changes: `modules`, deepest last, the `channels` and
    the size of what each returns."""

    def __init__(self, body: nn.Module, img_size: Sequence[int], n_in: int):
        h, w = img_size
        device = next((p.device for p in body.parameters()), torch.device("cpu"))
        x = torch.zeros(1, n_in, h, w, device=device)
        self.image_height = h
        outputs, self.out = self._traced(body, list(body.children()), x)
        outputs = self._opened(body, outputs, x)
        if not isinstance(self.out, torch.Tensor) or self.out.ndim != 4:
            raise ValueError(f"a U-Net needs a body that returns maps (B,C,H,W), but {type(body).__name__} returns {describe(self.out)}. "
                             "Vision transformers that return one vector per image cannot be used")
        found = []                                  # the last module at each size, or about that size without padding
        for module, shape in outputs:
            c, *size = _as_chw(shape, img_size)
            if found and found[-1][3] / size[0] < 1.5:
                found[-1] = module, c, size, found[-1][3]
            else:
                found.append((module, c, size, size[0]))
        shrinking = [o[:3] for o in found if o[2][0] / self.out.shape[-2] >= 1.5]
        if not shrinking:
            raise ValueError("a U-Net needs a body whose maps shrink step by step: "
                             f"{type(body).__name__} makes {tuple(self.out.shape[-2:])} of {h} x {w} pixels and nothing between")
        self.modules, self.channels, self.sizes = zip(*shrinking, strict=True)

    @staticmethod
    def _traced(body, modules, x):
        "`[(module, shape)]` of those of `modules` that return maps and are called once, in the order of their calls, and the output."
        calls = []
        handles = [m.register_forward_hook(lambda m, i, o: calls.append((m, o))) for m in modules]
        try:
            out = body(x)
        finally:
            for handle in handles:
                handle.remove()
        called = [m for m, _ in calls]
        return [(m, tuple(o.shape)) for m, o in calls if isinstance(o, torch.Tensor) and o.ndim == 4 and called.count(m) == 1], out

    def _opened(self, body, outputs, x):
        "`outputs` where a module that makes the maps more than half as small gives way to its parts, as far as there are any."
        closed = set()
        while True:
            before, wide = x.shape[-2], None
            for module, shape in outputs:
                size = _as_chw(shape, tuple(x.shape[-2:]))[1]
                if before / size > 2.2 and module not in closed and list(module.children()):
                    wide = module
                    break
                before = size
            if not outputs and not closed and list(body.children()):          # nothing among the children returns maps: look inside
                closed.add(body)
                outputs = self._traced(body, [g for m in body.children() for g in m.children()], x)[0]
                continue
            if wide is None:
                return outputs
            closed.add(wide)
            parts, _ = self._traced(body, list(wide.children()), x)
            i = next(i for i, (m, _) in enumerate(outputs) if m is wide)
            outputs = [*outputs[:i], *parts, *outputs[i:]]


def _as_chw(shape, img_size):
    "(C, H, W) of maps of shape (B,C,H,W), or (B,H,W,C) as some transformers have them inside."
    _, a, b, c = shape
    h, w = img_size

    def badness(height, width):          # how far from the same share of height and width
        return abs(height / h - width / w) if height <= h + 2 and width <= w + 2 else 9.0
    return (c, a, b) if badness(a, b) < badness(b, c) else (a, b, c)


class DynamicUnet(nn.Module):
    """A U-Net around `encoder`, a body whose maps get smaller step by step: images (B,n_in,H,W) of any size -> (B,n_out,H,W).

    n_out: channels of the result. img_size: (height, width) of typical images; other sizes work as well. blur: smooth upsampled
    maps, blur_final: those of the last step too. self_attention: in the third step from the end. y_range: (low, high) of a scaled
    sigmoid at the end. last_cross: the image itself joins at the end, followed by a residual block. bottle: which has half the
    channels inside. act_cls, norm_type: of all new layers (norm_type None: batch norm, and weight norm for upsampling). init: of the
    new convolutions.

    `model[0]` is the encoder and `model[1:]` everything else, for splitters.
    """

    def __init__(self, encoder: nn.Module, n_out: int, img_size: int | Sequence[int], blur: bool = False, blur_final: bool = True,
                 self_attention: bool = False, y_range: tuple[float, float] | None = None, last_cross: bool = True, bottle: bool = False,
                 act_cls: Callable[..., nn.Module] = nn.ReLU, init: Callable[..., Any] | None = nn.init.kaiming_normal_,
                 norm_type: Any = None, n_in: int = 3):
        super().__init__()
        h, w = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
        probe = (h, w + 32 if h == w else w)                                    # not square, so that height and channels can be told apart
        levels = first_size(encoder, (probe, (h, w)), n_in, lambda size: _Levels(encoder, size, n_in))
        self._skip_names = [_name_of(encoder, m) for m in levels.modules]       # names: a copy of the model has an encoder of its own
        self._channels, self.last_cross = list(levels.channels), last_cross
        options: dict[str, Any] = {"act_cls": act_cls, "norm_type": norm_type}
        shuffle: dict[str, Any] = {"act_cls": act_cls, "norm_type": NormType.Weight if norm_type is None else norm_type}
        ni = levels.out.shape[1]
        middle = nn.Sequential(_conv(ni, ni * 2, **options), _conv(ni * 2, ni, **options))
        layers = [encoder, nn.Sequential(BatchNorm(ni), nn.ReLU(), middle)]
        if init is not None:
            apply_init(middle, init)
        n = len(levels.modules)
        for i in range(n):
            final = i == n - 1
            block = UnetBlock(ni, levels.channels[n - 1 - i], final_div=not final, blur=blur and (blur_final or not final),
                              self_attention=self_attention and i == max(n - 3, 0), init=init, **options)
            layers.append(block)
            ni = block.out_c
        self.n_blocks = n
        scale, ups = levels.image_height / levels.sizes[0][0], []
        while scale > 1.5:                                                  # the encoder's first map is smaller than the image
            ups.append(PixelShuffle_ICNR(ni, **shuffle))
            scale /= 2
        layers.append(nn.Sequential(*ups))
        ni += n_in if last_cross else 0
        end: list[nn.Module] = [ResBlock(1, ni, ni, nh2=ni // 2 if bottle else ni, act_cls=act_cls,
                        norm_type=NormType.Batch if norm_type is None else norm_type)] if last_cross else []
        end.append(ConvLayer(ni, n_out, ks=1, act_cls=None, norm_type=None))
        if init is not None:
            apply_init(nn.Sequential(*end), init)
        layers.append(nn.Sequential(*end, *([] if y_range is None else [SigmoidRange(*y_range)])))
        if y_range is not None and init is not None:
            calm_before_range(layers[-1])
        self.layers = nn.ModuleList(layers)

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


def _name_of(body, module):
    return next(name for name, m in body.named_modules() if m is module)


def create_unet_model(arch: Any, n_out: int, img_size: int | Sequence[int], pretrained: bool = True, weights: Any = None,
                      cut: Callable[[nn.Module], nn.Module] | int | None = None, n_in: int = 3, **unet_args: Any) -> DynamicUnet:
    "A `DynamicUnet` on the body of `arch` for images of `img_size`. See `create_body`; unet_args: of `DynamicUnet`."
    body = create_body(arch, n_in, pretrained, cut, weights)
    return DynamicUnet(body, n_out, img_size, n_in=n_in, **unet_args)
