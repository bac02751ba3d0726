"""Pictures that are decoded when their pixels are needed, and then only as far as they are.

A `LazyImage` made from a JPEG knows its size from the header. Crops, resizes and flips of it are noted down in a `Plan`, not done; who asks
for pixels has the plan carried out: the JPEG is decoded at the scale that the result needs, its part cut out and brought to size in one
antialiased step on bytes, and turned. Any method of PIL that touches pixels has the same effect, so all of PIL can be used on it.
"""
import numpy as np
import torch
import torch.nn.functional as F
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
        """A tensor (H,W,C) of the pixels in `box`, at least `size` (width, height) of them; how much of its width and height belongs to the
        box; and whether the tensor is nobody else's."""
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
    "Decoded pixels, a uint8 tensor (H,W,C). private: whether nobody else has the tensor."

    def __init__(self, tensor, info=None, private=True):
        self.tensor, self.private = tensor, private
        self.size = tensor.shape[1], tensor.shape[0]
        self._info = info or {}

    def pixels(self, mode, box, size, resample):
        (left, top, right, bottom), covered = in_scaled(box, 1, self.size, self.size)
        return self.tensor[top:bottom, left:right], covered, self.private

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

    def pixels(self):
        "The picture as a uint8 tensor (H,W,C) of its own, with the channels last in memory unless it was turned by a quarter."
        t, covered, private = self.source.pixels(self.mode, self.box, self.out, self.resample)
        if self.out is not None and (t.shape[1], t.shape[0]) != self.out:
            t, private = resample(t, self.out, self.resample, covered), True
        swap, *mirrored = self.turn
        if swap:
            t = t.transpose(0, 1)
        axes = [axis for axis, there in zip((1, 0), mirrored, strict=True) if there]
        if axes:
            t, private = t.flip(axes), True
        if t.shape[2] != len(self.mode):            # a grey JPEG as an RGB picture
            t, private = t.expand(-1, -1, len(self.mode)).contiguous(), True
        return t if private else t.clone()


def resample(t, size, mode, covered=None):
    """Pixels `t` (H,W,C) at `size` (width, height), antialiased. covered: how much of the width and height of `t` is meant (default: all).

    torch works on bytes with the channels last in memory four times as fast as Pillow, and keeps that layout.
    """
    x = t[None].permute(0, 3, 1, 2)
    if covered is None or covered == (t.shape[1], t.shape[0]):
        x = F.interpolate(x, size=size[::-1], mode=mode, antialias=True)
    else:
        f = torch.ops.aten._upsample_bilinear2d_aa if mode == "bilinear" else torch.ops.aten._upsample_bicubic2d_aa
        x = f(x, size[::-1], False, size[1] / covered[1], size[0] / covered[0])
    return x[0].permute(1, 2, 0)


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
            a = self._plan.pixels().numpy()
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
            if f.read(3) != b"\xff\xd8\xff":
                return None
            f.seek(0)
            return f.readall()
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
    a = im._plan.pixels().numpy() if lazy else np.asarray(im)
    a = np.pad(a, [(top, bottom), (left, right)] + [(0, 0)] * (a.ndim - 2), mode=mode)
    if not lazy:
        return Image.fromarray(a)
    return type(im).planned(Plan(ArraySource(torch.from_numpy(a), info=im.info), im.mode))


def tensor_of(im, channels_last=False):
    "The pixels of a PIL image as a uint8 tensor (C,H,W). channels_last: it may have its channels last in memory."
    if _plan_of(im) is not None:
        t = im._plan.pixels()
    elif im.mode in ("RGB", "L"):
        t = pixels_of(_loaded(im))
    else:
        a = np.array(im)
        t = torch.from_numpy(a[..., None] if a.ndim == 2 else a)
    t = t.permute(2, 0, 1)
    return t if channels_last else t.contiguous()
