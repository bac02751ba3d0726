"""Pictures that are decoded when their pixels are needed, and then only as far as they are.

A `LazyImage` made from a JPEG knows its size from the header. Crops, resizes and flips of it are noted down in a `Plan`, not done; who asks
for pixels has the plan carried out: the JPEG is decoded at the scale that the result needs, its part cut out and brought to size in one
antialiased step on bytes, and turned. Any method of PIL that touches pixels has the same effect, so all of PIL can be used on it.
"""
import numpy as np
import torch
from PIL import Image

from .jpeg import decode, draft_scale, in_scaled, pixels_of, read_header
from .reading import UPRIGHT, UnreadableImage, name_of, why

__all__ = ["TURNS", "ArraySource", "JpegSource", "LazyImage", "Plan", "crop", "draft_scale", "lazily", "pad", "resize", "tensor_of", "then",
           "turn"]

# A turn is (swap rows and columns first, then mirror left and right, then mirror top and bottom).
_UPRIGHT = False, False, False
TURNS = {
    Image.Transpose.FLIP_LEFT_RIGHT: (False, True, False), Image.Transpose.FLIP_TOP_BOTTOM: (False, False, True),
    Image.Transpose.ROTATE_180: (False, True, True), Image.Transpose.TRANSPOSE: (True, False, False),
    Image.Transpose.ROTATE_90: (True, False, True), Image.Transpose.ROTATE_270: (True, True, False),
    Image.Transpose.TRANSVERSE: (True, True, True),
}
_AT_ONCE = 1 << 18              # bytes: most photos are read in one go
_MODES = {Image.Resampling.BILINEAR: "bilinear", Image.Resampling.BICUBIC: "bicubic"}


def then(turn, other):
    "The turn that `turn` and then `other` make together."
    (swap, x, y), (swap2, x2, y2) = turn, other
    return (swap ^ swap2, x2 ^ y, y2 ^ x) if swap2 else (swap, x2 ^ x, y2 ^ y)


def _before_turn(box, turn, size):
    "`box` of a turned picture of `size` (width, height), as a box of the picture before the turn."
    left, top, right, bottom = box
    swap, x, y = turn
    if x:
        left, right = size[0] - right, size[0] - left
    if y:
        top, bottom = size[1] - bottom, size[1] - top
    return (top, left, bottom, right) if swap else (left, top, right, bottom)


class JpegSource:
    "The bytes of a JPEG with its header. file: where they come from, to be named when they turn out to be damaged."

    def __init__(self, data, jpeg, file):
        self.data, self.jpeg, self.file = data, jpeg, file
        self.size = jpeg.size

    def pixels(self, mode, box, size, resample):
        """A uint8 array (H,W,C) of the pixels in `box`, at least `size` (width, height) of them; how much of its width and height belongs
        to the box; and whether the array is nobody else's."""
        try:
            # with a size, the pixels may lie in memory that the next picture is decoded into
            return *decode(self.data, self.jpeg, mode, box, size), size is None
        except Exception as e:
            raise UnreadableImage(f"{name_of(self.file)}: {why(self.file, e)}") from e

    def info(self):
        "What PIL's `info` says of the file."
        from io import BytesIO
        with Image.open(BytesIO(self.data)) as im:
            return {k: v for k, v in im.info.items() if k != "transparency"}


class ArraySource:
    "Decoded pixels, a uint8 array (H,W,C)."

    def __init__(self, array, info=None):
        self.array = array
        self.size = array.shape[1], array.shape[0]
        self._info = info or {}

    def pixels(self, mode, box, size, resample):
        (left, top, right, bottom), covered = in_scaled(box, 1, self.size, self.size)
        return self.array[top:bottom, left:right], covered, False

    def info(self):
        return dict(self._info)


class Plan:
    "How a picture comes from its source: the part `box` (left, top, right, bottom), resized to `out` (width, height), then turned."
    __slots__ = ("box", "mode", "out", "resample", "source", "turn")

    def __init__(self, source, mode, turn=_UPRIGHT, box=None, out=None, resample=None):
        self.source, self.mode, self.turn, self.out, self.resample = source, mode, turn, out, resample
        self.box = (0, 0, *source.size) if box is None else box

    @property
    def size(self):
        "(width, height) of the result."
        w, h = (round(self.box[2] - self.box[0]), round(self.box[3] - self.box[1])) if self.out is None else self.out
        return (h, w) if self.turn[0] else (w, h)

    def turned(self, turn):
        return Plan(self.source, self.mode, then(self.turn, turn), self.box, self.out, self.resample)

    def resized(self, size, box, resample):
        "The part `box` of the result at `size` (width, height); None: no resampling, `box` is whole pixels."
        if self.out is not None:
            return Plan(ArraySource(self.pixels(), info=self.source.info()), self.mode).resized(size, box, resample)
        left, top, right, bottom = _before_turn(box, self.turn, self.size)
        x, y = self.box[:2]
        out = size[::-1] if size is not None and self.turn[0] else size
        return Plan(self.source, self.mode, self.turn, (left + x, top + y, right + x, bottom + y), out, resample)

    def pixels(self, place=None):
        "The picture as a uint8 array (H,W,C) of its own. place: the array of that shape to write it into, which is returned."
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
        if a.shape[2] != len(self.mode):            # a grey JPEG as an RGB picture
            a, private = np.repeat(a, len(self.mode), axis=2), True
        return a if private else a.copy()


_RESIZES = {"bilinear": torch._C._nn._upsample_bilinear2d_aa, "bicubic": torch._C._nn._upsample_bicubic2d_aa}


def resample(a, size, mode, covered=None, place=None):
    """Pixels `a` (H,W,C) at `size` (width, height), antialiased. covered: how much of the width and height of `a` is meant (default: all).
    place: the array to write the result into (default: a new one), which is returned.

    torch works on bytes with the channels last in memory four times as fast as Pillow. Arrays are cut and turned by numpy: that takes less
    than a tensor's own methods, each of which lets go of Python's lock and then waits for it. A part of a picture is left to torch to copy,
    for the same reason.
    """
    h, w, c = a.shape
    place = np.empty((size[1], size[0], c), np.uint8) if place is None else place
    scales = (None, None) if covered is None or covered == (w, h) else (size[1] / covered[1], size[0] / covered[0])
    x, out = (torch.from_numpy(o.reshape(1, *o.shape).transpose(0, 3, 1, 2)) for o in (a, place))
    _RESIZES[mode](x, size[::-1], False, *scales, out=out)
    return place


class LazyImage(Image.Image):
    "A PIL image whose pixels may still be a `Plan`."

    _plan = None

    @classmethod
    def planned(cls, plan):
        "The image that `plan` will make."
        im = cls()
        im._plan, im._mode, im._size = plan, plan.mode, plan.size
        return im

    @property
    def is_lazy(self):
        "Whether the pixels are not made yet."
        return self._plan is not None

    def load(self):
        if self._plan is not None:
            a = self._plan.pixels()
            info = self.info
            made = Image.fromarray(np.ascontiguousarray(a[..., 0] if a.shape[2] == 1 else a))
            self.im, self._size, self._plan = made.im, made.size, None
            self.info = info
        return super().load()

    @property
    def info(self):
        "What the file says besides its pixels."
        found = self.__dict__.get("info")
        if found is None:
            found = self.__dict__["info"] = {} if self._plan is None else self._plan.source.info()
        return found

    @info.setter
    def info(self, value):
        self.__dict__["info"] = value or None


def lazily(cls, file, mode):
    "The JPEG in `file` (a path or bytes) as a lazy image of `cls`; None if it cannot be one."
    if not cls.may_be_lazy or mode not in ("RGB", "L"):
        return None
    data = _bytes_of_jpeg(file)
    jpeg = None if data is None else read_header(data)
    if jpeg is None:
        return None
    turn = TURNS[UPRIGHT[jpeg.orientation]] if jpeg.orientation > 1 else _UPRIGHT
    return cls.planned(Plan(JpegSource(data, jpeg, file), mode, turn))


def _bytes_of_jpeg(file):
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

def _plan_of(im):
    "The plan of a lazy image; for another that has pixels, None."
    return getattr(im, "_plan", None)


def _can_be_planned(im):
    return isinstance(im, LazyImage) and im.mode in ("RGB", "L")


def _whole(box):
    return all(abs(v - round(v)) < 1e-6 for v in box)


def resize(im, size, resample, box=None):
    """The part `box` (left, top, right, bottom) of `im` at `size` (height, width), antialiased.

    A part that does not get larger is taken in whole pixels, of a JPEG those of the scale it is decoded at; a part that gets larger, as
    exactly as it is given. Bilinear and bicubic are torch's, of which only the last bit may differ from PIL's.
    """
    mode = _MODES.get(resample)
    box = (0, 0, *im.size) if box is None else box
    wanted = size[1], size[0]
    smaller = box[2] - box[0] >= wanted[0] and box[3] - box[1] >= wanted[1]
    if mode is None or not _can_be_planned(im) or not (smaller or _whole(box)):
        return im.resize(wanted, resample, box=box)
    if im.is_lazy:
        return type(im).planned(im._plan.resized(wanted, box, mode))
    source = ArraySource(pixels_of(_loaded(im), in_scaled(box, 1, im.size, im.size)[0]), info=im.info)
    return type(im).planned(Plan(source, im.mode, out=wanted, resample=mode))


def _loaded(im):
    im.load()
    return im


def crop(im, box):
    "The pixels of `im` in `box`, whole numbers inside the picture."
    if _plan_of(im) is None:
        return im.crop(box)
    return type(im).planned(im._plan.resized(None, box, None))


def turn(im, transpose):
    "`im` after PIL's transposition `transpose`."
    if _plan_of(im) is None:
        return im.transpose(transpose)
    return type(im).planned(im._plan.turned(TURNS[transpose]))


def pad(im, left, top, right, bottom, mode):
    "`im` with this many pixels around it; mode: of `numpy.pad`."
    lazy = _plan_of(im) is not None
    a = im._plan.pixels() if lazy else np.asarray(im)
    a = np.pad(a, [(top, bottom), (left, right)] + [(0, 0)] * (a.ndim - 2), mode=mode)
    if not lazy:
        return Image.fromarray(a)
    return type(im).planned(Plan(ArraySource(a, info=im.info), im.mode))


def tensor_of(im, place=None):
    """The pixels of a PIL image as a uint8 tensor (C,H,W), contiguous; or written into the array `place` (H,W,C), and over its memory."""
    if _plan_of(im) is not None:
        a = im._plan.pixels(place)
    elif im.mode in ("RGB", "L"):
        a = pixels_of(_loaded(im))
    else:
        a = np.array(im)
        a = a[..., None] if a.ndim == 2 else a
    if place is not None and a is not place:
        place[:] = a
        a = place
    a = a.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(a) if place is None else a)
