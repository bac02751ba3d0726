"""Transforms of one PIL image, on the way to a batch: everything that makes pictures of one size, and flips.

Random positions are fractions of the picture, drawn once per sample, so a picture and its mask (also one of another resolution) are cut
alike. Training items get random crops, validation items the deterministic counterpart named in each docstring.
Sizes are (height, width), or one number for a square.
"""
import math
from copy import copy

import numpy as np
from PIL import Image

from ...core.messages import did_you_mean
from ...data.coords import COORDS, blank_empty, box_to_size, move_item, on_canvas, turn_matrix
from ...data.transforms import RandTransform, is_sample
from ..files import lazy
from ..images import PILBase, PILMask

__all__ = ["CropPad", "DihedralItem", "FlipItem", "PadMode", "RandomCrop", "RandomResizedCrop", "RatioResize", "Resize", "ResizeMethod"]

BILINEAR, NEAREST = Image.Resampling.BILINEAR, Image.Resampling.NEAREST


class ResizeMethod:
    "How `Resize` deals with another aspect ratio: stretch, cut off, or fill up."
    Squish = "squish"
    Crop = "crop"
    Pad = "pad"


class PadMode:
    "What is outside a picture: black (class 0), its border pixels repeated, or its mirror image."
    Zeros = "zeros"
    Border = "border"
    Reflection = "reflection"


_NUMPY_PAD = {"zeros": "constant", "border": "edge", "reflection": "reflect"}


def one_of(value, options, where, name):
    "`value` if it is one of the strings `options`, else ValueError."
    if value not in options:
        hint = did_you_mean(value, options) or ":"
        raise ValueError(f"{where}({name}={value!r}){hint} it is one of {', '.join(map(repr, options))}")
    return value


def image_size(size, where):
    "`size`, one number or (height, width), as a pair of ints."
    pair = (size, size) if isinstance(size, (int, np.integer)) else size
    try:
        h, w = pair
        good = int(h) == h and int(w) == w and h > 0 and w > 0
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(f"{where}(size={size!r}): a size is a whole number above 0, or a pair (height, width) of them")
    return int(h), int(w)


def scaled(size, scale):
    "`size` (height, width) times `scale`, in whole pixels."
    return tuple(max(1, round(s * scale)) for s in size)


def _like(im, original):
    return original.cast(im) if isinstance(original, PILBase) and type(im) is not type(original) else im


def _first_image(sample):
    "The (height, width) of the first PIL image of `sample`."
    for o in sample if is_sample(sample) else (sample,):
        if isinstance(o, Image.Image):
            return o.size[1], o.size[0]
    return None


def whole_pixels(box, hw, size):
    """`box` (left, top, right, bottom) in a picture of `hw` pixels, that is to become `size`, moved to where its pixels can be had without
    interpolating between them: to multiples of the scale at which a JPEG is decoded for it."""
    k = lazy.draft_scale(box, size[::-1])
    edges = []
    for low, high, whole, least in ((box[0], box[2], hw[1], size[1]), (box[1], box[3], hw[0], size[0])):
        n = max(round((high - low) / k), least if k > 1 else 1)     # length and start, in pixels of the decoded picture
        first = max(min(round(low / k), whole // k - n), 0)
        # what reaches from edge to edge stays whole
        edges.append((0, whole) if high - low > whole - 0.5 else (first * k, (first + n) * k))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


def pad_image(im, left, top, right, bottom, pad_mode):
    "`im` with this many pixels added on each side."
    if not (left or top or right or bottom):
        return im
    return _like(lazy.pad(im, left, top, right, bottom, _NUMPY_PAD[pad_mode]), im)


class _Moves(RandTransform):
    "A transform of PIL images that moves the points and boxes of the sample along with them."
    types = (Image.Image, *COORDS)

    def moves(self, hw, **params):
        "Override: what `encodes` does to a picture of `hw` pixels, as the matrix (2,3) that points follow, and the size it gets."
        raise NotImplementedError

    def map_parts(self, x, f):
        if not any(isinstance(o, COORDS) for o in (x if is_sample(x) else (x,))):
            return super().map_parts(x, f)
        params = getattr(f, "keywords", {})         # `f` is `encodes` with what was drawn

        def one(o):
            return move_item(o, *self.moves(o.canvas_size, **params)) if isinstance(o, COORDS) else f(o)
        return blank_empty(super().map_parts(on_canvas(x), one))


class _ItemTransform(_Moves):
    "One that acts on training and validation items alike, drawing at random for training items only."
    split_idx = None
    order = 1
    resamples = (BILINEAR, NEAREST)

    def fractions(self, n, rng, split_idx):
        "`n` positions: random in 0..1 for training items (or where the split is unknown), the centre for validation items."
        return (0.5,) * n if split_idx == 1 else tuple(rng.random(n))

    def resize(self, im, size, box=None):
        """The part `box` (left, top, right, bottom) of `im` at `size` (height, width), antialiased; fractions of pixels are allowed where
        it gets larger, see `whole_pixels`."""
        resample = self.resamples[1] if isinstance(im, PILMask) else self.resamples[0]
        if box is not None:       # rounding may leave the picture by a hair, which PIL refuses
            (w, h), (l, t, r, b) = im.size, box
            box = max(l, 0), max(t, 0), min(r, w), min(b, h)
        return _like(lazy.resize(im, size, resample, box), im)


class _Sized(_ItemTransform):
    "One that brings the whole picture, or a share of it, to `size`."

    def rescaled(self, scale):
        "The same transform with a result of `scale` times the size."
        new = copy(self)
        new.size = scaled(self.size, scale)
        return new


class Resize(_Sized):
    """Make every picture `size` by cutting ('crop'), stretching ('squish') or padding ('pad').

    crop, the default, keeps the short side whole and cuts off the ends of the long one: at a random place for training items, around
    the centre for validation items. What lies at the edge can be lost; 'squish' and 'pad' keep everything.
    pad_mode: 'zeros', 'border' or 'reflection'. resamples: PIL resampling for (pictures, masks).
    """

    def __init__(self, size, method=ResizeMethod.Crop, pad_mode=PadMode.Reflection, resamples=(BILINEAR, NEAREST)):
        super().__init__()
        self.size = image_size(size, "Resize")
        self.method = one_of(method, ("squish", "crop", "pad"), "Resize", "method")
        self.pad_mode = one_of(pad_mode, tuple(_NUMPY_PAD), "Resize", "pad_mode")
        self.resamples = resamples
        self.varies = self.method != "squish"

    def presize(self, hw, split_idx=None):
        "The size at which a picture of `hw` pixels can be kept for this transform: what it becomes before its ends are cut off."
        (h, w), (th, tw) = hw, self.size
        if self.method == "squish":
            size = self.size
        elif self.method == "pad":
            size = self._placed(hw, 0.5, 0.5)[0]
        else:
            scale = min(w / tw, h / th)
            size = max(th, round(h / scale)), max(tw, round(w / scale))
        return size if size[0] <= h and size[1] <= w else None

    def remark(self, sample):
        "For `DataBlock.summary`: how much of the first picture is cut off, or None."
        hw = _first_image(sample)
        box = None if hw is None or self.method != "crop" else self._cut(hw, 0.5, 0.5)
        if box is None:
            return None
        (h, w), (left, top, right, bottom) = hw, box
        lost = 1 - (right - left) * (bottom - top) / (h * w)
        where = "left and right" if left > top else "above and below"
        said = f"of this picture of {w}x{h} {lost:.0%} is cut off, {where}; method='squish' or 'pad' keeps everything"
        return said if lost > 0.005 else None

    def draw(self, sample, rng, split_idx):
        fx, fy = (0.5, 0.5) if self.method == "squish" else self.fractions(2, rng, split_idx)
        return {"fx": fx, "fy": fy}

    def _cut(self, hw, fx, fy):
        "The box (left, top, right, bottom) that 'crop' and 'squish' bring to `size`; None: the whole picture."
        (h, w), (th, tw) = hw, self.size
        if self.method == "squish" or w * th == h * tw:
            return None
        scale = min(w / tw, h / th)
        cw, ch = tw * scale, th * scale
        left, top = fx * (w - cw), fy * (h - ch)
        box = left, top, left + cw, top + ch
        return box if scale < 1 else whole_pixels(box, hw, self.size)

    def _placed(self, hw, fx, fy):
        "The size (height, width) that 'pad' brings the picture to, and its left upper corner in the result."
        (h, w), (th, tw) = hw, self.size
        scale = max(w / tw, h / th)
        nw, nh = min(tw, max(1, round(w / scale))), min(th, max(1, round(h / scale)))
        return (nh, nw), (round(fx * (tw - nw)), round(fy * (th - nh)))

    def encodes(self, x, fx=0.5, fy=0.5):
        (w, h), (th, tw) = x.size, self.size
        if self.method != "pad" or w * th == h * tw:
            box = self._cut((h, w), fx, fy)
            return x if (h, w) == self.size and box is None else self.resize(x, self.size, box)
        (nh, nw), (left, top) = self._placed((h, w), fx, fy)
        return pad_image(self.resize(x, (nh, nw)), left, top, tw - nw - left, th - nh - top, self.pad_mode)

    def moves(self, hw, fx=0.5, fy=0.5):
        whole = 0, 0, hw[1], hw[0]
        if self.method != "pad":
            return box_to_size(self._cut(hw, fx, fy) or whole, self.size), self.size
        size, place = self._placed(hw, fx, fy)
        m = box_to_size(whole, size)
        m[:, 2] += place
        return m, self.size


class RandomResizedCrop(_Sized):
    """A random part of the picture at `size`: `min_scale` to `max_scale` of its area, with an aspect ratio (width / height) from `ratio`.

    Validation items are stretched to `size` plus a margin of `val_xtra` (rounded up to a multiple of 8), and cut around the centre.
    """

    def __init__(self, size, min_scale=0.08, ratio=(3 / 4, 4 / 3), resamples=(BILINEAR, NEAREST), val_xtra=0.14, max_scale=1.0):
        super().__init__()
        self.size = image_size(size, "RandomResizedCrop")
        check_crop_range("RandomResizedCrop", min_scale, max_scale, ratio)
        self.min_scale, self.max_scale, self.ratio, self.val_xtra, self.resamples = min_scale, max_scale, tuple(ratio), val_xtra, resamples

    def presize(self, hw, split_idx=None):
        """The size at which a picture of `hw` pixels can be kept for this transform: for validation items what is cut out of, for training
        items the least at which the smallest crop still has `size` pixels."""
        (h, w), (th, tw) = hw, self.size
        if split_idx == 1:
            size = th + self._margin(), tw + self._margin()
            return size if size[0] <= h and size[1] <= w else None
        least = math.sqrt(self.min_scale * h * w)               # the side of the smallest square crop
        scale = max(tw / (least * math.sqrt(self.ratio[0])), th * math.sqrt(self.ratio[1]) / least)
        return (math.ceil(h * scale), math.ceil(w * scale)) if scale < 1 else None

    def _margin(self):
        return math.ceil(max(self.size) * self.val_xtra / 8) * 8

    def draw(self, sample, rng, split_idx):
        hw = _first_image(sample)
        if hw is None:
            return None
        if split_idx == 1:
            fh, fw = (s / (s + self._margin()) for s in self.size)
            box = (1 - fw) / 2, (1 - fh) / 2, fw, fh
        else:
            box = random_crop(hw, rng, self.min_scale, self.max_scale, self.ratio)
        (h, w), (left, top, right, bottom) = hw, whole_pixels(_in_pixels(hw, box), hw, self.size)
        return {"box": (left / w, top / h, (right - left) / w, (bottom - top) / h)}

    def encodes(self, x, box):
        return self.resize(x, self.size, _in_pixels(x.size[::-1], box))

    def moves(self, hw, box):
        return box_to_size(_in_pixels(hw, box), self.size), self.size


def _in_pixels(hw, box):
    "`box`, fractions (left, top, width, height) of a picture of `hw` pixels, as (left, top, right, bottom) in pixels."
    (h, w), (left, top, fw, fh) = hw, box
    return left * w, top * h, (left + fw) * w, (top + fh) * h


def check_crop_range(where, min_scale, max_scale, ratio):
    "Refuse a crop range that no crop can have."
    if not 0 < min_scale <= max_scale <= 1:
        raise ValueError(f"{where}(min_scale={min_scale}, max_scale={max_scale}): shares of the area, 0 < min_scale <= max_scale <= 1")
    if not 0 < ratio[0] <= ratio[1]:
        raise ValueError(f"{where}(ratio={ratio}): a pair (least, greatest) of width / height")


def random_crop(hw, rng, min_scale, max_scale, ratio, tries=10):
    "One of `random_crops`, without the cost of many small arrays: the numbers (left, top, width, height)."
    h, w = hw
    low, high = math.log(ratio[0]), math.log(ratio[1])
    draws = rng.random(2 * tries + 2).tolist()
    places = draws[-2:]
    for k in range(0, 2 * tries, 2):
        area, aspect = h * w * (min_scale + (max_scale - min_scale) * draws[k]), math.exp(low + (high - low) * draws[k + 1])
        cw, ch = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < cw <= w and 0 < ch <= h:
            break
    else:
        (cw, ch), places = central_crop(hw, ratio), (0.5, 0.5)
    return places[0] * (w - cw) / w, places[1] * (h - ch) / h, cw / w, ch / h


def random_crops(n, hw, rng, min_scale, max_scale, ratio, tries=10):
    """`n` random boxes in a picture of `hw` pixels: array (n,4) of (left, top, width, height) as fractions of the picture.

    Area uniform in min_scale..max_scale, aspect ratio log-uniform in `ratio`; the first of `tries` draws that fits into the picture,
    else the largest centred box of an allowed aspect ratio.
    """
    if n == 1:
        return np.array([random_crop(hw, rng, min_scale, max_scale, ratio, tries)])
    h, w = hw
    low, high = math.log(ratio[0]), math.log(ratio[1])
    area = h * w * rng.uniform(min_scale, max_scale, (n, tries))
    aspect = np.exp(rng.uniform(low, high, (n, tries)))
    cw, ch = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (cw <= w) & (ch <= h) & (cw > 0) & (ch > 0)
    first = fits.argmax(1)
    rows = np.arange(n)
    cw, ch, ok = cw[rows, first], ch[rows, first], fits[rows, first]
    bw, bh = central_crop(hw, ratio)
    cw, ch = np.where(ok, cw, bw), np.where(ok, ch, bh)
    place = np.where(ok[:, None], rng.random((n, 2)), 0.5)
    left, top = place[:, 0] * (w - cw), place[:, 1] * (h - ch)
    return np.stack([left / w, top / h, cw / w, ch / h], 1)


def central_crop(hw, ratio):
    "(width, height) in pixels of the largest box with a width / height within `ratio`."
    h, w = hw
    if w / h < ratio[0]:
        return w, w / ratio[0]
    return (h * ratio[1], h) if w / h > ratio[1] else (w, h)


class RandomCrop(_ItemTransform):
    "Cut out `size` pixels: at a random place for training items, the centre for validation items. Smaller pictures are padded with zeros."

    def __init__(self, size):
        super().__init__()
        self.size = image_size(size, type(self).__name__)

    pad_mode = PadMode.Zeros

    def draw(self, sample, rng, split_idx):
        fx, fy = self.fractions(2, rng, split_idx)
        return {"fx": fx, "fy": fy}

    def _margins(self, hw):
        "How many pixels are added on the left, top, right and bottom of a picture that is too small."
        (h, w), (th, tw) = hw, self.size
        left, top = max(tw - w, 0) // 2, max(th - h, 0) // 2
        return left, top, max(tw - w, 0) - left, max(th - h, 0) - top

    def _corner(self, hw, fx, fy):
        "The left upper corner of what is cut out of a picture of `hw` pixels, margins included."
        return int(fx * (hw[1] - self.size[1] + 0.5)), int(fy * (hw[0] - self.size[0] + 0.5))

    def encodes(self, x, fx=0.5, fy=0.5):
        x = pad_image(x, *self._margins((x.size[1], x.size[0])), self.pad_mode)
        left, top = self._corner((x.size[1], x.size[0]), fx, fy)
        return _like(lazy.crop(x, (left, top, left + self.size[1], top + self.size[0])), x)

    def moves(self, hw, fx=0.5, fy=0.5):
        left, top, right, bottom = self._margins(hw)
        x, y = self._corner((hw[0] + top + bottom, hw[1] + left + right), fx, fy)
        return np.array([[1.0, 0, left - x], [0, 1.0, top - y]]), self.size


class CropPad(RandomCrop):
    "The central `size` pixels, for training and validation items; smaller pictures are padded by `pad_mode`."
    order = 0

    def __init__(self, size, pad_mode=PadMode.Zeros):
        super().__init__(size)
        self.pad_mode = one_of(pad_mode, tuple(_NUMPY_PAD), "CropPad", "pad_mode")

    def draw(self, sample, rng, split_idx):
        return {"fx": 0.5, "fy": 0.5}


class RatioResize(_ItemTransform):
    "Resize so that the longer side has `max_sz` pixels, keeping the aspect ratio."
    varies = False

    def __init__(self, max_sz, resamples=(BILINEAR, NEAREST)):
        super().__init__()
        self.max_sz, self.resamples = image_size(max_sz, "RatioResize")[0], resamples

    def rescaled(self, scale):
        "The same transform with a result of `scale` times the size."
        return RatioResize(max(1, round(self.max_sz * scale)), self.resamples)

    def _size(self, hw):
        scale = self.max_sz / max(hw)
        return tuple(max(1, round(s * scale)) for s in hw)

    def presize(self, hw, split_idx=None):
        "The size at which a picture of `hw` pixels can be kept for this transform."
        size = self._size(hw)
        return size if max(size) <= max(hw) else None

    def encodes(self, x):
        h, w = self._size((x.size[1], x.size[0]))
        return _like(lazy.resize(x, (h, w), self.resamples[isinstance(x, PILMask)]), x)

    def moves(self, hw):
        size = self._size(hw)
        return box_to_size((0, 0, hw[1], hw[0]), size), size


class FlipItem(_Moves):
    "Mirror left and right with probability `p`, training items only."
    order = 0
    keeps_size = True           #: a transform that comes after it decides at which size pictures are cached

    def __init__(self, p=0.5):
        super().__init__(p)

    def encodes(self, x):
        return _like(lazy.turn(x, Image.Transpose.FLIP_LEFT_RIGHT), x)

    def moves(self, hw):
        return turn_matrix(Image.Transpose.FLIP_LEFT_RIGHT, hw)


class DihedralItem(_Moves):
    "One of the eight symmetries of a square (flips and quarter turns), drawn with probability `p`, training items only."
    order = 0

    def __init__(self, p=1.0):
        super().__init__(p)

    def draw(self, sample, rng, split_idx):
        return {"k": int(rng.integers(8))}

    def encodes(self, x, k):
        return x if k == 0 else _like(lazy.turn(x, list(Image.Transpose)[k - 1]), x)

    def moves(self, hw, k):
        return (np.eye(2, 3), hw) if k == 0 else turn_matrix(list(Image.Transpose)[k - 1], hw)

