"""Random changes of light and colour on a batch, in one pass.

Brightness, contrast, tint and saturation act on the logits of the pixels, log(x / (1 - x)), so that no pixel leaves 0..1 and nothing is
clipped. There each of them is linear in the channels; `Lighting` multiplies them into one small matrix and offset per image. Grey and a
hue shift are not linear: they are done before the others. Images are (B,C,H,W), floats in 0..1 or uint8; masks are left alone.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors

from ...core.arguments import check_arguments
from .affine import BatchTransform, first_image, log_uniform
from .options import Given, given_values

__all__ = ["Brightness", "Contrast", "Grey", "Hue", "Lighting", "Saturation", "Tint"]

LUMA = np.array([0.299, 0.587, 0.114])     #: ITU-R BT.601: how bright red, green and blue look
_EPS = 1e-7                                # the logit of a black pixel is finite


def shift_hue(x: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    "Images `x` (B,3,H,W) in 0..1 with their hue turned by `turns` (B,), as shares of the colour circle."
    r, g, b = x.unbind(1)
    high = torch.maximum(torch.maximum(r, g), b)
    chroma = high - torch.minimum(torch.minimum(r, g), b)
    safe = chroma.clamp_min(1e-12)
    sextant = torch.where(high == r, (g - b).div_(safe), torch.where(high == g, (b - r).div_(safe).add_(2), (r - g).div_(safe).add_(4)))
    hue = sextant.add_(6 * turns.view(-1, 1, 1))
    # Channel n of an HSV colour (n = 5, 3, 1 for red, green, blue): high - chroma * f, where f falls from 1 to 0 between the distances 1
    # and 2 of hue + n from 2, on a circle of 6.
    out = torch.empty_like(x)
    for channel, n in enumerate((5, 3, 1)):
        k = hue.add(n - 2).div_(6)
        f = k.sub_(k.round()).abs_().mul_(-6).add_(2).clamp_(0, 1)
        torch.addcmul(high, chroma, f, value=-1, out=out[:, channel])
    return out


class Lighting(BatchTransform):
    """The lighting transforms `tfms` together, in one pass over the pixels. Training batches only.

    Args:
        tfms: `Brightness`, `Contrast` and the like.
        p: of one of those classes, its probability; in a list each transform has its own.
        batch: of one of those classes, whether the whole batch gets one draw.
    """
    order = 40
    types = (tv_tensors.Image,)
    fuses_as: str = "lighting"          #: see `IntToFloatTensor.fuse`

    def __init__(self, tfms: Sequence[Lighting] = (), p: float = 1.0, batch: bool = False):
        super().__init__(p, batch, tfms)

    def change(self, x: torch.Tensor, rng: np.random.Generator, change: LightingChange) -> None:
        "Override: draw for batch `x` and add the parameters of this transform to `change`."
        for t in self.tfms:
            t.change(x, rng, change)

    def draw(self, sample: Any, rng: np.random.Generator, split_idx: int | None) -> dict[str, Any] | None:
        "What is done to the images of `sample`; None where that is nothing."
        x = first_image(sample)
        if x is None or not isinstance(x, tv_tensors.Image):
            return None
        change = LightingChange(len(x), x.shape[1])
        self.change(x, rng, change)
        return None if change.is_nothing() else {"change": change}

    def encodes(self, x: Any, change: LightingChange) -> tv_tensors.Image:
        "Apply `change` to a batch of images."
        plain = x.as_subclass(torch.Tensor)
        work = plain.float() if plain.is_floating_point() else plain.float().div_(255)
        out = change.apply(work, plain.device)
        return tv_tensors.wrap(out.to(plain.dtype) if plain.is_floating_point() else out.mul_(255).round_().to(plain.dtype), like=x)

    def __repr__(self) -> str:
        return f"Lighting([{', '.join(map(repr, self.tfms))}])" if type(self) is Lighting else super().__repr__()


class LightingChange:
    "What is done to each of `n` images: grey or hue turns, then logits = scale * (mix @ logits) + offset."

    def __init__(self, n: int, channels: int):
        self.n, self.channels = n, channels
        self.scale, self.offset = np.ones(n), np.zeros((1, n))          # the offset of all channels, or of each
        self.saturation, self.turns, self.grey = np.ones(n), np.zeros(n), np.zeros(n)

    def is_nothing(self) -> bool:
        "Whether no image changes."
        return bool((self.scale == 1).all()) and not self.offset.any() and self.is_pointwise()

    def is_pointwise(self) -> bool:
        "Whether what becomes of a number depends on that number and its channel only, not on the other channels."
        return bool((self.saturation == 1).all()) and not self.turns.any() and not self.grey.any()

    def needs_colour(self, name: str) -> bool:
        "Whether the images have colours; refuse what is neither grey nor RGB."
        if self.channels not in (1, 3):
            raise ValueError(f"{name} changes colours: it needs images of 3 channels (red, green, blue), these have {self.channels}")
        return self.channels == 3

    def apply(self, x: torch.Tensor, device: torch.device) -> torch.Tensor:
        "Change the images `x` (B,C,H,W), floats in 0..1."
        # one small copy to the device for all parameters
        columns = np.stack([self.scale, self.saturation, self.turns, self.grey, *self.offset], 1).astype(np.float32)
        params = torch.from_numpy(columns).to(device, non_blocking=True)[..., None, None]
        if x.device.type != "cpu" or self.is_pointwise():
            return self._changed(x, params)
        # one after the other, so that what lies between the steps stays in the cache of the processor
        out = torch.empty_like(x)
        for i in range(self.n):
            out[i:i + 1] = self._changed(x[i:i + 1], params[i:i + 1])
        return out

    def _changed(self, x: torch.Tensor, params: torch.Tensor) -> torch.Tensor:
        scale, saturation, turns, grey, offset = params[:, :1], params[:, 1:2], params[:, 2], params[:, 3:4], params[:, 4:]
        if x.shape[1] < offset.shape[1]:        # grey images beside those in colour: a tint adds nothing to them
            offset = offset.mean(1, keepdim=True)
        if self.grey.any():
            x = torch.where(grey > 0, _luma(x), x)
        if self.turns.any():
            x = shift_hue(x, turns)
        x = torch.logit(x, eps=_EPS)
        if (self.saturation != 1).any():
            # it keeps the grey value, so it may be done before the scale and an offset of all channels
            x = torch.lerp(_luma(x), x, saturation)
        return torch.addcmul(offset, x, scale).sigmoid_()


def _luma(x: torch.Tensor) -> torch.Tensor:
    "How bright the colours `x` (B,3,H,W) look: (B,1,H,W)."
    return torch.tensordot(x, x.new_tensor(LUMA), dims=([1], [0]))[:, None]


def _check_strength(where: str, **strength: float) -> None:
    check_arguments(where, **{name: (v, 0 <= v < 1, "a number from 0 (no change) to below 1") for name, v in strength.items()})


class _OfStrength(Lighting):
    """A lighting transform with one strength.

    Args:
        max_lighting: greatest change, 0 to below 1.
        p: probability for each image.
        draw: what is drawn otherwise.
        batch: one draw for the whole batch.
    """

    def __init__(self, max_lighting: float = 0.2, p: float = 0.75, draw: Given | None = None, batch: bool = False):
        super().__init__((), p, batch)
        _check_strength(type(self).__name__, max_lighting=max_lighting)
        self.max_lighting, self.given = max_lighting, self.takes(draw=draw)


class Brightness(_OfStrength):
    """Lighter or darker: the logit of a number drawn from 0.5 (1 - max_lighting) .. 0.5 (1 + max_lighting) is added.

    Args:
        max_lighting: greatest change, 0 to below 1.
        p: probability for each image.
        draw: that number instead of a random one, one per image, or a function of the batch; 0.5 changes nothing.
        batch: one draw for the whole batch.
    """

    def change(self, x: torch.Tensor, rng: np.random.Generator, change: LightingChange) -> None:
        "Draw for batch `x` and add to `change`."
        low, high = 0.5 * (1 - self.max_lighting), 0.5 * (1 + self.max_lighting)
        v = self.pick(len(x), rng, lambda n: rng.uniform(low, high, n), 0.5, self.given, x,
                      allowed=(lambda v: (v > 0) & (v < 1), "numbers between 0 (black) and 1 (white), 0.5 for no change"))
        change.offset = change.offset + np.log(v / (1 - v))


class Contrast(_OfStrength):
    """More or less contrast: the logits are multiplied by a factor from 1 - max_lighting to its inverse.

    Args:
        max_lighting: greatest change, 0 to below 1.
        p: probability for each image.
        draw: the factor instead of a random one, one per image, or a function of the batch.
        batch: one draw for the whole batch.
    """

    def change(self, x: torch.Tensor, rng: np.random.Generator, change: LightingChange) -> None:
        "Draw for batch `x` and add to `change`."
        v = self.pick(len(x), rng, log_uniform(rng, self.max_lighting), 1.0, self.given, x)
        change.scale, change.offset = change.scale * v, change.offset * v


class Tint(Lighting):
    """A colour cast, such as that of another lamp. The image stays about as bright; grey images (1 channel) are left alone.

    To the logits of red, green and blue is added the logit of 0.5 (1 + s), with s drawn from 0 .. max_tint, times the cosine of their
    distance from a random place on the colour circle.

    Args:
        max_tint: greatest strength, 0 to below 1.
        p: probability for each image.
        draw: s instead of a random strength, one per image, or a function of the batch.
        draw_colour: the place as a share of the circle: 0 is red, 1/3 green, 2/3 blue.
        batch: one draw for the whole batch.
    """

    def __init__(self, max_tint: float = 0.2, p: float = 0.75, draw: Given | None = None, draw_colour: Given | None = None,
                 batch: bool = False):
        super().__init__((), p, batch)
        _check_strength("Tint", max_tint=max_tint)
        self.max_tint = max_tint
        self.given, self.given_colour = self.takes(draw=draw, draw_colour=draw_colour)

    def change(self, x: torch.Tensor, rng: np.random.Generator, change: LightingChange) -> None:
        "Draw for batch `x` and add to `change`."
        n = len(x)
        k = 1 if self.batch else n
        s = self.pick(n, rng, lambda k: rng.uniform(0, self.max_tint, k), 0.0, self.given, x,
                      allowed=(lambda v: (abs(v) < 1), "numbers above -1 and below 1, 0 for no change"))
        colour = rng.random(k) if self.given_colour is None else given_values(self.given_colour, x, k, "Tint(draw_colour=...)")
        if change.needs_colour("Tint"):
            change.offset = change.offset + np.log((1 + s) / (1 - s)) * np.cos(2 * np.pi * (colour - np.arange(3)[:, None] / 3))


class Saturation(_OfStrength):
    """Stronger or paler colours: logits move from their grey value by a factor as in `Contrast`. Grey images (1 channel) are left alone.

    Args:
        max_lighting: greatest change, 0 to below 1.
        p: probability for each image.
        draw: the factor instead of a random one, one per image, or a function of the batch.
        batch: one draw for the whole batch.
    """

    def change(self, x: torch.Tensor, rng: np.random.Generator, change: LightingChange) -> None:
        "Draw for batch `x` and add to `change`."
        v = self.pick(len(x), rng, log_uniform(rng, self.max_lighting), 1.0, self.given, x)
        if change.needs_colour("Saturation"):
            change.saturation = change.saturation * v
            if len(change.offset) > 1:                   # the tint that an earlier one added
                grey = LUMA @ change.offset
                change.offset = grey + v * (change.offset - grey)


class Hue(Lighting):
    """Turn the colour circle. Grey images (1 channel) are left alone.

    Args:
        max_hue: greatest turn either way, as a share of a full turn.
        p: probability for each image.
        draw: the share of a turn instead of a random one, one per image, or a function of the batch.
        batch: one draw for the whole batch.
    """

    def __init__(self, max_hue: float = 0.1, p: float = 0.75, draw: Given | None = None, batch: bool = False):
        super().__init__((), p, batch)
        _check_strength("Hue", max_hue=max_hue)
        self.max_hue, self.given = max_hue, self.takes(draw=draw)

    def change(self, x: torch.Tensor, rng: np.random.Generator, change: LightingChange) -> None:
        "Draw for batch `x` and add to `change`."
        v = self.pick(len(x), rng, lambda n: rng.uniform(-self.max_hue, self.max_hue, n), 0.0, self.given, x)
        if change.needs_colour("Hue"):
            change.turns = change.turns + v


class Grey(Lighting):
    """The image without its colours, as bright as they look (ITU-R BT.601), in three equal channels; a tint comes after it.

    Grey images (1 channel) are left alone.

    Args:
        p: probability for each image.
        draw: 1 = grey, 0 = not, instead of a random choice; one per image, or a function of the batch.
        batch: one draw for the whole batch.
    """

    def __init__(self, p: float = 0.1, draw: Given | None = None, batch: bool = False):
        super().__init__((), p, batch)
        self.given = self.takes(draw=draw)

    def change(self, x: torch.Tensor, rng: np.random.Generator, change: LightingChange) -> None:
        "Draw for batch `x` and add to `change`."
        v = self.pick(len(x), rng, np.ones, 0, self.given, x, allowed=(lambda v: (v == 0) | (v == 1), "1 (grey) or 0 (not)"))
        if change.needs_colour("Grey"):
            change.grey = np.maximum(change.grey, v)
