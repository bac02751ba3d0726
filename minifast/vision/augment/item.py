"""Transforms of one PIL image, on the way to a batch: everything that makes images of one size, and flips.

Boxes are (left, top, right, bottom) in pixels, or as fractions of the image (left, top, width, height).

Random positions are fractions of the image, drawn once per sample, so an image and its mask (also one of another resolution) are cut
alike. Training items get random crops, validation items the deterministic counterpart named in each docstring.
Sizes are (height, width), or one number for a square.
"""
from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ...core.arguments import check_choice
from ...data.coords import COORDS, blank_empty, box_to_size, move_item, on_canvas, turn_matrix
from ...data.transforms import RandTransform, is_sample
from ..files import lazy
from ..files.jpeg import Box, whole_pixels
from ..images import PILBase, PILMask
from .options import HW, PadMode, ResizeMethod, Resizing, Size, check_crop_range, image_size, scaled

__all__ = ["CropPad", "DihedralItem", "FlipItem", "PadMode", "RandomCrop", "RandomResizedCrop", "RatioResize", "Resize", "ResizeMethod"]

Moved = tuple[np.ndarray, HW]                           #: the matrix (2,3) that points follow, and the size of the result
#: the part of an image that is shown, the size it gets, and how much is added on the left, top, right and bottom of that
Layout = tuple[Box, HW, tuple[int, int, int, int]]
Resamples = Sequence[Image.Resampling]
BILINEAR, NEAREST = Image.Resampling.BILINEAR, Image.Resampling.NEAREST
_MIRRORED = Image.Transpose.FLIP_LEFT_RIGHT + 1
_UNPADDED = 0, 0, 0, 0
_NUMPY_PAD = {"zeros": "constant", "border": "edge", "reflection": "reflect"}


def _first_image(sample: Any) -> HW | None:
    "The (height, width) of the first PIL image of `sample`."
    return next((o.size[::-1] for o in (sample if is_sample(sample) else (sample,)) if isinstance(o, Image.Image)), None)


def random_crop(hw: tuple[int, int], rng: np.random.Generator, min_scale: float, max_scale: float, ratio: Sequence[float],
                tries: int = 10) -> Box:
    """A random box in an image of `hw` pixels: (left, top, width, height) as fractions of the image.

    Area uniform in min_scale..max_scale, aspect ratio log-uniform in `ratio`; the first of `tries` draws that fits into the image, else the
    largest centred box of an allowed aspect ratio.
    """
    h, w = hw
    low, high = math.log(ratio[0]), math.log(ratio[1])
    draws = rng.random(2 * tries + 2).tolist()
    places = draws[-2:]
    for k in range(0, 2 * tries, 2):
        area, aspect = h * w * (min_scale + (max_scale - min_scale) * draws[k]), math.exp(low + (high - low) * draws[k + 1])
        cw, ch = float(round(math.sqrt(area * aspect))), float(round(math.sqrt(area / aspect)))
        if 0 < cw <= w and 0 < ch <= h:
            break
    else:
        (cw, ch), places = central_crop(hw, ratio), [0.5, 0.5]
    return places[0] * (w - cw) / w, places[1] * (h - ch) / h, cw / w, ch / h


def central_crop(hw: tuple[int, int], ratio: Sequence[float]) -> tuple[float, float]:
    "(width, height) in pixels of the largest box with a width / height within `ratio`."
    h, w = hw
    if w / h < ratio[0]:
        return w, w / ratio[0]
    return (h * ratio[1], h) if w / h > ratio[1] else (w, h)


def in_pixels(hw: tuple[int, int], box: Box) -> Box:
    "`box`, fractions (left, top, width, height) of an image of `hw` pixels, as (left, top, right, bottom) in pixels."
    (h, w), (left, top, fw, fh) = hw, box
    return left * w, top * h, (left + fw) * w, (top + fh) * h


class _Moves(RandTransform):
    "A transform of PIL images that moves the points and boxes of the sample along with them."
    types = (Image.Image, *COORDS)

    def moves(self, hw: HW, *args: Any, **params: Any) -> Moved:
        "Override: what `encodes` does to an image of `hw` pixels."
        raise NotImplementedError

    def map_parts(self, x: Any, f: Callable[[Any], Any]) -> Any:
        "Apply `f`, which is `encodes` with what was drawn, to the images of the sample `x`, and move its points and boxes."
        if not any(isinstance(o, COORDS) for o in (x if is_sample(x) else (x,))):
            return super().map_parts(x, f)
        params = getattr(f, "keywords", {})

        def one(o: Any) -> Any:
            return move_item(o, *self.moves(o.canvas_size, **params)) if isinstance(o, COORDS) else f(o)
        return blank_empty(super().map_parts(on_canvas(x), one))


class _ItemTransform(_Moves):
    "One that acts on training and validation items alike, drawing at random for training items only."
    split_idx = None
    order = 1
    resamples: Resamples = (BILINEAR, NEAREST)
    pad_mode: str = PadMode.Zeros

    def draw(self, sample: Any, rng: np.random.Generator, split_idx: int | None) -> dict[str, Any] | None:
        "A position: random in 0..1 for training items (or where the split is unknown), the centre for validation items."
        fx, fy = (0.5, 0.5) if split_idx == 1 or not self.varies else rng.random(2)
        return {"fx": fx, "fy": fy}

    def layout(self, hw: HW, *args: Any, **params: Any) -> Layout:
        "Override: what becomes of an image of `hw` pixels, with the parameters that `draw` returned."
        raise NotImplementedError

    def encodes(self, x: Any, *args: Any, **params: Any) -> Image.Image:
        "Cut, resize and pad one image."
        box, size, margins = self.layout(x.size[::-1], *args, **params)
        x = x if x.size[::-1] == size and box == (0, 0, *x.size) else self.resize(x, size, box)
        if not any(margins):
            return x
        padded = lazy.pad(x, *margins, _NUMPY_PAD[self.pad_mode])
        return x.cast(padded) if isinstance(x, PILBase) else padded

    def moves(self, hw: HW, *args: Any, **params: Any) -> Moved:
        box, (h, w), (left, top, right, bottom) = self.layout(hw, *args, **params)
        m = box_to_size(box, (h, w))
        m[:, 2] += left, top
        return m, (top + h + bottom, left + w + right)

    def resize(self, im: Image.Image, size: HW, box: Box) -> Image.Image:
        """The part `box` (left, top, right, bottom) of `im` at `size` (height, width), antialiased; fractions of pixels are allowed where
        it gets larger, see `whole_pixels`."""
        resample = self.resamples[1] if isinstance(im, PILMask) else self.resamples[0]
        (w, h), (l, t, r, b) = im.size, box         # rounding may leave the image by a hair, which PIL refuses
        return lazy.resize(im, size, resample, (max(l, 0), max(t, 0), min(r, w), min(b, h)))


class Resize(Resizing, _ItemTransform):
    """Make every image `size` by cutting, stretching or padding.

    crop, the default, keeps the short side whole and cuts off the ends of the long one: at a random place for training items, around
    the centre for validation items. What lies at the edge can be lost; 'squish' and 'pad' keep everything.

    Args:
        size: (height, width), or one number for a square.
        method: 'crop', 'squish' (stretch) or 'pad'.
        pad_mode: 'zeros', 'border' or 'reflection', what is outside with 'pad'.
        resamples: PIL resampling for (images, masks).
    """

    def __init__(self, size: Size, method: str = ResizeMethod.Crop, pad_mode: str = PadMode.Reflection,
                 resamples: Resamples = (BILINEAR, NEAREST)):
        super().__init__()
        check_choice("Resize", "method", method, ("squish", "crop", "pad"))
        check_choice("Resize", "pad_mode", pad_mode, _NUMPY_PAD)
        self.size = image_size(size, "Resize")
        self.method, self.pad_mode, self.resamples = method, pad_mode, resamples
        self.varies = self.method != "squish"

    def presize(self, hw: HW, split_idx: int | None = None) -> HW | None:
        "The size at which an image of `hw` pixels can be kept for this transform: what it becomes before its ends are cut off."
        (h, w), (th, tw) = hw, self.size
        size = self.layout(hw)[1]
        if self.method == "crop":
            scale = min(w / tw, h / th)
            size = max(th, round(h / scale)), max(tw, round(w / scale))
        return size if size[0] <= h and size[1] <= w else None

    def remark(self, sample: Any) -> str | None:
        "For `DataBlock.summary`: how much of the first image is cut off, or None."
        hw = _first_image(sample)
        if hw is None:
            return None
        (h, w), (left, top, right, bottom) = hw, self.layout(hw)[0]
        lost = 1 - (right - left) * (bottom - top) / (h * w)
        where = "left and right" if left > top else "above and below"
        return (f"of this image of {w}x{h} {lost:.0%} is cut off, {where}; method='squish' or 'pad' keeps everything" if lost > 0.005
                else None)

    def layout(self, hw: HW, fx: float = 0.5, fy: float = 0.5) -> Layout:
        "The whole image stretched, its largest part of the right proportions, or the whole within its padding."
        (h, w), (th, tw) = hw, self.size
        whole = 0, 0, w, h
        if self.method == "squish" or w * th == h * tw:
            return whole, self.size, _UNPADDED
        if self.method == "pad":
            scale = max(w / tw, h / th)
            nw, nh = min(tw, max(1, round(w / scale))), min(th, max(1, round(h / scale)))
            left, top = round(fx * (tw - nw)), round(fy * (th - nh))
            return whole, (nh, nw), (left, top, tw - nw - left, th - nh - top)
        scale = min(w / tw, h / th)
        cw, ch = tw * scale, th * scale
        x, y = fx * (w - cw), fy * (h - ch)
        box = x, y, x + cw, y + ch
        return box if scale < 1 else whole_pixels(box, hw, self.size), self.size, _UNPADDED


class RandomResizedCrop(Resizing, _ItemTransform):
    """A random part of the image at `size`.

    Validation items are stretched to `size` plus a margin of `val_xtra` (rounded up to a multiple of 8), and cut around the centre.
    Source: Szegedy et al. 2014, https://arxiv.org/abs/1409.4842, section 6.

    Args:
        size: (height, width), or one number for a square.
        min_scale: least share of the area.
        ratio: (least, greatest) width / height of the part.
        resamples: PIL resampling for (images, masks).
        val_xtra: margin of validation items, as a share of the longer side of `size`.
        max_scale: greatest share of the area.
    """

    def __init__(self, size: Size, min_scale: float = 0.08, ratio: Sequence[float] = (3 / 4, 4 / 3),
                 resamples: Resamples = (BILINEAR, NEAREST), val_xtra: float = 0.14, max_scale: float = 1.0):
        super().__init__()
        self.size = image_size(size, "RandomResizedCrop")
        check_crop_range("RandomResizedCrop", min_scale, max_scale, ratio)
        self.min_scale, self.max_scale, self.ratio, self.val_xtra, self.resamples = min_scale, max_scale, tuple(ratio), val_xtra, resamples

    def presize(self, hw: HW, split_idx: int | None = None) -> HW | None:
        """The size at which an image of `hw` pixels can be kept for this transform: for validation items what is cut out of, for training
        items the least at which the smallest crop still has `size` pixels."""
        (h, w), (th, tw) = hw, self.size
        if split_idx == 1:
            size = th + self._margin(), tw + self._margin()
            return size if size[0] <= h and size[1] <= w else None
        least = math.sqrt(self.min_scale * h * w)               # the side of the smallest square crop
        scale = max(tw / (least * math.sqrt(self.ratio[0])), th * math.sqrt(self.ratio[1]) / least)
        return (math.ceil(h * scale), math.ceil(w * scale)) if scale < 1 else None

    def _margin(self) -> int:
        return math.ceil(max(self.size) * self.val_xtra / 8) * 8

    def draw(self, sample: Any, rng: np.random.Generator, split_idx: int | None) -> dict[str, Any] | None:
        "The part that is shown."
        hw = _first_image(sample)
        if hw is None:
            return None
        if split_idx == 1:
            fh, fw = (s / (s + self._margin()) for s in self.size)
            box = (1 - fw) / 2, (1 - fh) / 2, fw, fh
        else:
            box = random_crop(hw, rng, self.min_scale, self.max_scale, self.ratio)
        (h, w), (left, top, right, bottom) = hw, whole_pixels(in_pixels(hw, box), hw, self.size)
        return {"box": (left / w, top / h, (right - left) / w, (bottom - top) / h)}

    def layout(self, hw: HW, box: Box) -> Layout:
        "`box`, fractions (left, top, width, height), brought to `size`."
        return in_pixels(hw, box), self.size, _UNPADDED


class RandomCrop(_ItemTransform):
    """Cut out `size` pixels: at a random place for training items, the centre for validation items.

    Smaller images are padded with zeros.

    Args:
        size: (height, width), or one number for a square.
    """

    def __init__(self, size: Size):
        super().__init__()
        self.size = image_size(size, type(self).__name__)

    def layout(self, hw: HW, fx: float = 0.5, fy: float = 0.5) -> Layout:
        "What is cut out, and what an image that is too small lacks."
        (h, w), (th, tw) = hw, self.size
        cw, ch = min(w, tw), min(h, th)
        x, y = int(fx * (w - cw + 0.5)), int(fy * (h - ch + 0.5))
        left, top = (tw - cw) // 2, (th - ch) // 2
        return (x, y, x + cw, y + ch), (ch, cw), (left, top, tw - cw - left, th - ch - top)

    def resize(self, im: Image.Image, size: HW, box: Any) -> Image.Image:
        "The pixels in `box`, as they are."
        return lazy.crop(im, box)


class CropPad(RandomCrop):
    """The central `size` pixels, for training and validation items; smaller images are padded.

    Args:
        size: (height, width), or one number for a square.
        pad_mode: 'zeros', 'border' or 'reflection', what is outside.
    """
    order = 0
    varies = False

    def __init__(self, size: Size, pad_mode: str = PadMode.Zeros):
        super().__init__(size)
        check_choice("CropPad", "pad_mode", pad_mode, _NUMPY_PAD)
        self.pad_mode = pad_mode


class RatioResize(_ItemTransform):
    """Resize so that the longer side has `max_sz` pixels, keeping the aspect ratio.

    Args:
        max_sz: pixels of the longer side.
        resamples: PIL resampling for (images, masks).
    """
    varies = False

    def __init__(self, max_sz: int, resamples: Resamples = (BILINEAR, NEAREST)):
        super().__init__()
        self.max_sz, self.resamples = image_size(max_sz, "RatioResize")[0], resamples

    def rescaled(self, scale: float) -> RatioResize:
        "The same transform with a result of `scale` times the size."
        return RatioResize(max(1, round(self.max_sz * scale)), self.resamples)

    def presize(self, hw: HW, split_idx: int | None = None) -> HW | None:
        "The size at which an image of `hw` pixels can be kept for this transform."
        return scaled(hw, self.max_sz / max(hw)) if self.max_sz <= max(hw) else None

    def layout(self, hw: HW, fx: float = 0.5, fy: float = 0.5) -> Layout:
        "The whole image at its new size."
        return (0, 0, hw[1], hw[0]), scaled(hw, self.max_sz / max(hw)), _UNPADDED


class _Turns(_Moves):
    "Symmetry `k` of a square: 0 is none, the others are those of `PIL.Image.Transpose`, plus one."
    order = 0

    def encodes(self, x: Any, k: int = _MIRRORED) -> Image.Image:
        "Turn one image."
        return x if k == 0 else lazy.turn(x, Image.Transpose(k - 1))

    def moves(self, hw: HW, k: int = _MIRRORED) -> Moved:
        return (np.eye(2, 3), hw) if k == 0 else turn_matrix(Image.Transpose(k - 1), hw)


class FlipItem(_Turns):
    """Mirror left and right, training items only.

    Args:
        p: probability.
    """
    keeps_size: bool = True     #: a transform that comes after it decides at which size images are cached

    def __init__(self, p: float = 0.5):
        super().__init__(p)


class DihedralItem(_Turns):
    """One of the eight symmetries of a square (flips and quarter turns), training items only.

    Args:
        p: probability.
    """

    def __init__(self, p: float = 1.0):
        super().__init__(p)

    def draw(self, sample: Any, rng: np.random.Generator, split_idx: int | None) -> dict[str, Any]:
        "Which of the symmetries."
        return {"k": int(rng.integers(8))}
