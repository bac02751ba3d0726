"""Images that are decoded when their pixels are needed, and then only as far as needed.

A `LazyImage` made from a JPEG knows its size from the header. Crops, resizes and flips of it are noted in a `Plan`, not carried out. Once
the pixels are asked for, the JPEG is decoded at the scale that the result needs, its part is cut out, brought to size in one antialiased
step on bytes, and turned. Any method of PIL that touches pixels has the same effect, so all of PIL can be used on a lazy image.
"""
from __future__ import annotations

from functools import cached_property
from io import BytesIO
from typing import Any, TypeGuard, TypeVar

import numpy as np
import torch
from PIL import Image

from .jpeg import Box, Jpeg, Size, decode, draft_scale, in_scaled, pixels_of, read_header
from .reading import UPRIGHT, UnreadableImage, name_of, why
from .resize_internals import RESIZE_INTO

__all__ = ["TURNS", "ArraySource", "JpegSource", "LazyImage", "Plan", "crop", "draft_scale", "lazily", "pad", "resize", "tensor_of", "then",
           "turn"]

#: Swap rows and columns first, then mirror left and right, then mirror top and bottom.
Turn = tuple[bool, bool, bool]

_UPRIGHT = False, False, False
TURNS: dict[Image.Transpose, Turn] = {
    Image.Transpose.FLIP_LEFT_RIGHT: (False, True, False), Image.Transpose.FLIP_TOP_BOTTOM: (False, False, True),
    Image.Transpose.ROTATE_180: (False, True, True), Image.Transpose.TRANSPOSE: (True, False, False),
    Image.Transpose.ROTATE_90: (True, False, True), Image.Transpose.ROTATE_270: (True, True, False),
    Image.Transpose.TRANSVERSE: (True, True, True),
}
_AT_ONCE = 1 << 18              # bytes: most photos are read in one go
_MODES = {Image.Resampling.BILINEAR: "bilinear", Image.Resampling.BICUBIC: "bicubic"}


def then(turn: Turn, other: Turn) -> Turn:
    "The turn that `turn` and then `other` make together."
    (swap, x, y), (swap2, x2, y2) = turn, other
    return (swap ^ swap2, x2 ^ y, y2 ^ x) if swap2 else (swap, x2 ^ x, y2 ^ y)


def _before_turn(box: Box, turn: Turn, size: Size) -> Box:
    "`box` of a turned image of `size`, as a box of the image before the turn."
    left, top, right, bottom = box
    swap, x, y = turn
    if x:
        left, right = size[0] - right, size[0] - left
    if y:
        top, bottom = size[1] - bottom, size[1] - top
    return (top, left, bottom, right) if swap else (left, top, right, bottom)


class Source:
    "Where the pixels of a `Plan` come from."

    size: Size

    def pixels(self, mode: str, box: Box, size: Size | None, resample: str | None) -> tuple[np.ndarray, tuple[float, float], bool]:
        """The pixels in `box`, at least `size` of them where it is given.

        Returns:
            A uint8 array (H,W,C); how much of its width and height belongs to the box; and whether the array belongs to the caller alone.
        """
        raise NotImplementedError

    def info(self) -> dict[Any, Any]:
        "What PIL's `info` says of the file."
        return {}


class JpegSource(Source):
    "The bytes of a JPEG with its header. file: where they come from, to be named when they turn out to be damaged."

    def __init__(self, data: bytes, jpeg: Jpeg, file: Any):
        self.data, self.jpeg, self.file, self.size = data, jpeg, file, jpeg.size

    def pixels(self, mode: str, box: Box, size: Size | None, resample: str | None) -> tuple[np.ndarray, tuple[float, float], bool]:
        "See `Source`."
        try:
            return *decode(self.data, self.jpeg, mode, box, size), True
        except Exception as e:
            raise UnreadableImage(f"{name_of(self.file)}: {why(self.file, e)}") from e

    def info(self) -> dict[Any, Any]:
        "What PIL's `info` says of the file."
        with Image.open(BytesIO(self.data)) as im:
            return {k: v for k, v in im.info.items() if k != "transparency"}


class ArraySource(Source):
    "Decoded pixels, a uint8 array (H,W,C)."

    def __init__(self, array: np.ndarray, info: dict[Any, Any] | None = None):
        self.array, self._info = array, info or {}
        self.size = array.shape[1], array.shape[0]

    def pixels(self, mode: str, box: Box, size: Size | None, resample: str | None) -> tuple[np.ndarray, tuple[float, float], bool]:
        "See `Source`."
        (left, top, right, bottom), covered = in_scaled(box, 1, self.size, self.size)
        return self.array[top:bottom, left:right], covered, False

    def info(self) -> dict[Any, Any]:
        "What PIL's `info` said of the image."
        return dict(self._info)


class Plan:
    "How an image comes from its source: the part `box` (left, top, right, bottom), resized to `out` (width, height), then turned."
    __slots__ = ("box", "mode", "out", "resample", "source", "turn")

    def __init__(self, source: Source, mode: str, turn: Turn = _UPRIGHT, box: Box | None = None, out: Size | None = None,
                 resample: str | None = None):
        self.source, self.mode, self.turn, self.out, self.resample = source, mode, turn, out, resample
        self.box = (0, 0, *source.size) if box is None else box

    @property
    def size(self) -> Size:
        "(width, height) of the result."
        w, h = (round(self.box[2] - self.box[0]), round(self.box[3] - self.box[1])) if self.out is None else self.out
        return (h, w) if self.turn[0] else (w, h)

    def turned(self, turn: Turn) -> Plan:
        "The plan that turns the result of this one."
        return Plan(self.source, self.mode, then(self.turn, turn), self.box, self.out, self.resample)

    def resized(self, size: Size | None, box: Box, resample: str | None) -> Plan:
        "The plan for the part `box` of the result at `size`; None: no resampling, `box` is whole pixels."
        if self.out is not None:
            return Plan(ArraySource(self.pixels(), info=self.source.info()), self.mode).resized(size, box, resample)
        left, top, right, bottom = _before_turn(box, self.turn, self.size)
        x, y = self.box[:2]
        out = size[::-1] if size is not None and self.turn[0] else size
        return Plan(self.source, self.mode, self.turn, (left + x, top + y, right + x, bottom + y), out, resample)

    def pixels(self, place: np.ndarray | None = None) -> np.ndarray:
        "The image as a uint8 array (H,W,C) of its own. place: the array of that shape to write it into, which is returned."
        a, covered, private = self.source.pixels(self.mode, self.box, self.out, self.resample)
        swap, *mirrored = self.turn
        if self.out is not None and (a.shape[1], a.shape[0]) != self.out:
            straight = self.turn == _UPRIGHT and a.shape[2] == len(self.mode)
            a, private = resample(a, self.out, self.resample, covered, place if straight else None), True
        if swap:
            a = a.transpose(1, 0, 2)
        axes = [axis for axis, there in zip((1, 0), mirrored, strict=True) if there]
        if axes:                                    # torch mirrors bytes ten times as fast as numpy
            a, private = torch.from_numpy(a).flip(axes).numpy(), True
        if place is not None:
            if a is not place:
                place[:] = a                        # of a grey JPEG, all channels
            return place
        if a.shape[2] != len(self.mode):            # a grey JPEG as an RGB image
            return np.repeat(a, len(self.mode), axis=2)
        return a if private else a.copy()


def resample(a: np.ndarray, size: Size, mode: str, covered: tuple[float, float] | None = None,
             place: np.ndarray | None = None) -> np.ndarray:
    """Pixels `a` (H,W,C) at `size`, antialiased. covered: how much of the width and height of `a` is meant (default: all). place: the array
    to write the result into (default: a new one), which is returned.

    torch works on bytes with the channels last in memory four times as fast as Pillow. Arrays are cut and turned by numpy, which takes less
    time than a tensor's own methods: each of those releases Python's lock and then waits for it. For the same reason torch gets the view of
    a part of an image and copies it itself.
    """
    h, w, c = a.shape
    place = np.empty((size[1], size[0], c), np.uint8) if place is None else place
    scales = (None, None) if covered is None or covered == (w, h) else (size[1] / covered[1], size[0] / covered[0])
    x, out = (torch.from_numpy(o.reshape(1, *o.shape).transpose(0, 3, 1, 2)) for o in (a, place))
    RESIZE_INTO[mode](x, out.shape[-2:], False, *scales, out=out)
    return place


_L = TypeVar("_L", bound="LazyImage")


class LazyImage(Image.Image):
    "A PIL image whose pixels may still be a `Plan`."

    plan: Plan | None = None            #: how the pixels are going to be made; None: they are there
    may_be_lazy: bool = True            #: whether a JPEG need not be decoded before its pixels are asked for

    @classmethod
    def planned(cls: type[_L], plan: Plan) -> _L:
        "The image that `plan` will make."
        im = cls()
        im.postpone(plan)
        return im

    def postpone(self, plan: Plan) -> None:
        "Let `plan` make the pixels when they are asked for. Mode and size are set as in any of Pillow's own plugins."
        self.plan, self._mode, self._size = plan, plan.mode, plan.size
        self.__dict__.pop("info", None)         # PIL's: nothing

    @property
    def is_lazy(self) -> bool:
        "Whether the pixels are not made yet."
        return self.plan is not None

    def load(self) -> Any:
        "Make the pixels, as every method of PIL that needs them does."
        if self.plan is not None:
            a, self.info = self.plan.pixels(), self.info
            made = Image.fromarray(np.ascontiguousarray(a[..., 0] if a.shape[2] == 1 else a))
            self.im, self._size, self.plan = made.im, made.size, None
        return super().load()

    @cached_property
    def info(self) -> dict[Any, Any]:           # type: ignore[override]    # an attribute of PIL's images
        "What the file says besides its pixels."
        return {} if self.plan is None else self.plan.source.info()


def lazily(cls: type[_L], file: Any, mode: str) -> _L | None:
    "The JPEG in `file` (a path or bytes) as a lazy image of `cls`; None if it cannot be one."
    if not cls.may_be_lazy or mode not in ("RGB", "L"):
        return None
    data = _bytes_of_jpeg(file)
    jpeg = None if data is None else read_header(data)
    if jpeg is None:
        return None
    turn = TURNS[UPRIGHT[jpeg.orientation]] if jpeg.orientation > 1 else _UPRIGHT
    return cls.planned(Plan(JpegSource(data, jpeg, file), mode, turn))


def _bytes_of_jpeg(file: Any) -> bytes | None:
    "The content of a file that begins like a JPEG, else None."
    if isinstance(file, (bytes, bytearray)):
        return bytes(file)
    try:
        with open(file, "rb", buffering=0) as f:            # unbuffered: nothing is copied
            data = f.read(_AT_ONCE)
            if not data.startswith(b"\xff\xd8\xff"):
                return None
            return data if len(data) < _AT_ONCE else data + f.readall()
    except (OSError, ValueError):               # Pillow says what is wrong
        return None


# -- on any PIL image ---------------------------------------------------------------------------------------------------------------

def _is_planned(im: Image.Image) -> TypeGuard[LazyImage]:
    return getattr(im, "plan", None) is not None


def resize(im: Image.Image, size: tuple[int, int], resample: Image.Resampling, box: Box | None = None) -> Image.Image:
    """The part `box` (left, top, right, bottom) of `im` at `size` (height, width), antialiased.

    A part that does not get larger is taken in whole pixels, for a JPEG those of the scale it is decoded at; a part that gets larger is
    taken exactly as given. Bilinear and bicubic are torch's, which differ from PIL's in the last bit at most.
    """
    mode = _MODES.get(resample)
    box = (0, 0, *im.size) if box is None else box
    out = size[1], size[0]
    shrinks = box[2] - box[0] >= out[0] and box[3] - box[1] >= out[1]
    exact = shrinks or all(abs(v - round(v)) < 1e-6 for v in box)
    if mode is None or not exact or not isinstance(im, LazyImage) or im.mode not in ("RGB", "L"):
        return im.resize(out, resample, box=box)
    if im.is_lazy:
        return type(im).planned(im.plan.resized(out, box, mode))
    im.load()
    source = ArraySource(pixels_of(im, in_scaled(box, 1, im.size, im.size)[0]), info=im.info)
    return type(im).planned(Plan(source, im.mode, out=out, resample=mode))


def crop(im: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    "The pixels of `im` in `box` (left, top, right, bottom), whole numbers inside the image."
    return type(im).planned(im.plan.resized(None, box, None)) if _is_planned(im) else im.crop(box)


def turn(im: Image.Image, transpose: Image.Transpose) -> Image.Image:
    "`im` after PIL's transposition `transpose`."
    return type(im).planned(im.plan.turned(TURNS[transpose])) if _is_planned(im) else im.transpose(transpose)


def pad(im: Image.Image, left: int, top: int, right: int, bottom: int, mode: Any) -> Image.Image:
    "`im` with this many pixels around it; mode: of `numpy.pad`."
    a = im.plan.pixels() if _is_planned(im) else np.asarray(im)
    a = np.pad(a, [(top, bottom), (left, right)] + [(0, 0)] * (a.ndim - 2), mode=mode)
    return type(im).planned(Plan(ArraySource(a, info=im.info), im.mode)) if _is_planned(im) else Image.fromarray(a)


def tensor_of(im: Image.Image, place: np.ndarray | None = None) -> torch.Tensor:
    "The pixels of a PIL image as a uint8 tensor (C,H,W), contiguous; or written into the array `place` (H,W,C), and over its memory."
    if _is_planned(im):
        a = im.plan.pixels(place)
    elif im.mode in ("RGB", "L"):
        im.load()
        a = pixels_of(im)
    else:
        a = np.atleast_3d(np.array(im))
    if place is not None and a is not place:
        place[:] = a
        a = place
    a = a.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(a) if place is None else a)
