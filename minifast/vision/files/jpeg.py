"""JPEGs, decoded as far as they are needed: at a half, a quarter or an eighth of their size where that is enough, and only the part shown.

libjpeg can skip most of the inverse cosine transform for a result of 1/2, 1/4 or 1/8 of the size (Pillow's `draft`). With the package
simplejpeg installed (`pip install minifast[fast]`) colour pictures are decoded by it, straight into an array; else by Pillow.

Most of the time goes into the compressed codes, which can only be read from the start. What is below the part that is shown is left
unread: the decoder gets a header with a smaller height.
"""
import os
import threading
from io import BytesIO
from struct import error as StructError
from struct import pack_into, unpack_from

import numpy as np
from PIL import Image

try:
    import simplejpeg
except ImportError:             # it is an extra
    simplejpeg = None

#: What decodes colour JPEGs where no PIL image is asked for: 'simplejpeg' where it is installed, else 'pillow'. The environment variable
#: MINIFAST_JPEG=pillow keeps to Pillow.
decoder = "pillow" if simplejpeg is None or os.environ.get("MINIFAST_JPEG", "").lower() == "pillow" else "simplejpeg"

_SCALES = 8, 4, 2
_BELOW = 32             # rows decoded below what is shown: colours are blended with those of the next rows, a block has up to 32
_LEFT_OUT = "extraneous bytes before marker"            # what libjpeg says of them
_BASELINE_OR_PROGRESSIVE = 0xC0, 0xC1, 0xC2
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_own = threading.local()                # each thread decodes into a buffer of its own
_NOISE = np.frombuffer(os.urandom(4096), np.uint8)      # what no picture holds
_KEPT = 8_000_000                       # pixels: memory for larger pictures is given back
_BLANK = Image.Image()


class Jpeg:
    """What the header of a JPEG says: its size (width, height) as stored, its number of channels, and how to turn it upright. height_at:
    where in the file it says the height."""
    __slots__ = ("channels", "height_at", "orientation", "size")

    def __init__(self, size, channels, orientation, height_at):
        self.size, self.channels, self.orientation, self.height_at = size, channels, orientation, height_at


def read_header(data):
    """The `Jpeg` in the bytes `data`, or None: for anything else, for what is not plain (CMYK, 12 bits, arithmetic coding, an orientation
    kept elsewhere than in EXIF), for files whose end is missing and for pictures beyond `PIL.Image.MAX_IMAGE_PIXELS`. Such files are
    Pillow's to judge."""
    if data[:3] != b"\xff\xd8\xff":
        return None
    try:
        return _parse(data)
    except (IndexError, ValueError, ArithmeticError, StructError):
        return None


def _parse(data):
    at, size, channels, orientation, height_at = 2, None, 0, None, 0
    while True:
        if data[at] != 0xFF:
            return None
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        at += 1
        if marker in _WITHOUT_LENGTH:
            continue
        length, = unpack_from(">H", data, at)
        if marker == 0xDA:                                  # the pixels begin
            break
        if marker in _BASELINE_OR_PROGRESSIVE:
            bits, h, w, channels = unpack_from(">BHHB", data, at + 2)
            if bits != 8 or size is not None:
                return None
            size, height_at = (w, h), at + 3
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return None
        elif marker == 0xE1:
            if data[at + 2:at + 8] == b"Exif\0\0":
                if orientation is not None:
                    return None
                orientation = _orientation(data[at + 8:at + length])
            elif data.find(b"tiff:Orientation", at, at + length) >= 0:
                return None
        at += length
    whole = data.rfind(b"\xff\xd9", at) >= 0                # 0xFF in the pixels is always followed by 0 or a restart marker
    if size is None or channels not in (1, 3) or not all(size) or not whole or orientation == 0:
        return None
    limit = Image.MAX_IMAGE_PIXELS
    return None if limit is not None and size[0] * size[1] > limit else Jpeg(size, channels, orientation or 1, height_at)


def _orientation(tiff):
    "The orientation in EXIF data, 1 where it says nothing, 0 where it cannot be read."
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 0
    start, = unpack_from(order + "I", tiff, 4)
    count, = unpack_from(order + "H", tiff, start)
    for i in range(count):
        tag, kind, n = unpack_from(order + "HHI", tiff, start + 2 + 12 * i)
        if tag == 0x0112:
            value, = unpack_from(order + "H", tiff, start + 10 + 12 * i)
            return value if kind == 3 and n == 1 and 1 <= value <= 8 else 0
    return 1


def draft_scale(box, size):
    "By how much less may be decoded (1, 2, 4 or 8) for a `box` (left, top, right, bottom) that is to become `size` (width, height)."
    w, h = box[2] - box[0], box[3] - box[1]
    for k in _SCALES:
        if w >= k * size[0] and h >= k * size[1]:
            return k
    return 1


def decode(data, jpeg, mode, box=None, size=None):
    """The pixels of `box` (left, top, right, bottom; default: all) of a JPEG as a uint8 array (H,W,C) in `mode`, 'RGB' or 'L', not turned,
    and how much of their width and height the box covers: at half of an odd size, the last pixel stands for half a pixel.
    A grey JPEG gives one channel in any case.

    size: what it is going to be resized to, (width, height): the result is at least that, and at most twice that where the file allows.
    """
    w, h = jpeg.size
    box = (0, 0, w, h) if box is None else box
    k = 1 if size is None else draft_scale(box, size)
    rows = -(-(box[3] + _BELOW) // _BELOW) * _BELOW
    data, rows = (_with_height(data, jpeg, int(rows)), int(rows)) if rows < h else (data, h)
    if decoder == "simplejpeg" and jpeg.channels == 3 and mode == "RGB":
        try:
            return _by_simplejpeg(data, jpeg, box, k, rows, size is not None)
        except ValueError:              # it is stricter than Pillow, which decides what can be read
            pass
    return _by_pillow(data, jpeg, mode, box, k, rows)


def _with_height(data, jpeg, rows):
    "The file `data` with a header that says the picture has `rows` rows: what comes below is skipped, which libjpeg only warns about."
    data = bytearray(data)
    pack_into(">H", data, jpeg.height_at, rows)
    return data


def in_scaled(box, k, full, size):
    """`box` in whole pixels (left, top, right, bottom) of a picture of `full` (width, height) pixels that was decoded at 1/k, to `size`;
    and how much of them it covers, (width, height)."""
    edges = []
    for low, high, whole, limit in ((box[0], box[2], full[0], size[0]), (box[1], box[3], full[1], size[1])):
        first = min(max(round(low / k), 0), limit - 1)
        last = max(limit if high >= whole else min(round(high / k), limit), first + 1)
        edges.append((first, last, min(whole / k - first, last - first)))
    (left, right, w), (top, bottom, h) = edges
    return (left, top, right, bottom), (w, h)


def _by_simplejpeg(data, jpeg, box, k, rows, may_reuse):
    shape, cut = (-(-rows // k), -(-jpeg.size[0] // k), 3), rows < jpeg.size[1]
    n = shape[0] * shape[1] * 3
    buffer = np.empty(n, np.uint8) if cut and not may_reuse else None
    if may_reuse:                       # the caller makes another array of it before this thread decodes again
        buffer = getattr(_own, "buffer", None)
        if buffer is None or len(buffer) < n:
            buffer = np.empty(n, np.uint8)
            _own.buffer = buffer if n <= 3 * _KEPT else None
        buffer = buffer[:n]
    if cut:
        last = buffer[n - min(shape[1] * 3, len(_NOISE)):n]
        last[:] = before = _NOISE[:len(last)]
    how = {"min_height": shape[0], "min_width": shape[1], "min_factor": 1} if k > 1 else {}
    try:
        pixels = simplejpeg.decode_jpeg(data, buffer=buffer, strict=True, **how)
    except ValueError as e:             # the rows left out are more than the header says; they come after the last row, which must be there
        if not cut or _LEFT_OUT not in str(e) or np.array_equal(last, before):
            raise
        pixels = buffer.reshape(shape)
    (left, top, right, bottom), covered = in_scaled(box, k, jpeg.size, (pixels.shape[1], pixels.shape[0]))
    return pixels[top:bottom, left:right], covered


def _by_pillow(data, jpeg, mode, box, k, rows):
    done = _decoded_straight(data, jpeg, mode, k, rows)
    if done is not None:
        im, size = done
        box, covered = in_scaled(box, k, jpeg.size, size)
        return pixels_of(im, box), covered
    with Image.open(BytesIO(data)) as im:
        if k > 1 or mode == "L":
            im.draft(mode, (im.size[0] // k, im.size[1] // k))
        im.load()
        if im.mode not in (mode, "L"):
            im = im.convert(mode)
        box, covered = in_scaled(box, k, jpeg.size, im.size)
        return pixels_of(im, box), covered


def _decoded_straight(data, jpeg, mode, k, rows):
    """What Pillow's decoder makes of the file, in the upper left corner of an image that this thread decodes the next one into, and its
    size; None where it finds a fault, and what that means is for `Image.open` to say.

    `Image.open` would read the header once more, in Python, and hand the decoder pieces of the file.
    """
    mode = "L" if jpeg.channels == 1 else mode
    size = -(-jpeg.size[0] // k), -(-rows // k)
    try:
        core = getattr(_own, mode, None)
        if core is None or core.size[0] < size[0] or core.size[1] < size[1]:
            core = Image.core.new(mode, (size[0], -(-jpeg.size[1] // k)))
            setattr(_own, mode, core if core.size[0] * core.size[1] <= _KEPT else None)
        decoder = Image._getdecoder(mode, "jpeg", (mode, ""), (k, 0))
        decoder.setimage(core, (0, 0, *size))
        used, fault = decoder.decode(data)
        return (_BLANK._new(core), size) if used < 0 and fault >= 0 else None
    except (AttributeError, TypeError, ValueError, SystemError, OSError):
        return None


def pixels_of(im, box=None):
    "The pixels in `box` of a loaded PIL image of mode RGB or L, as a uint8 array (H,W,C) of its own."
    box = (0, 0, *im.size) if box is None else box
    w, h, channels = box[2] - box[0], box[3] - box[1], len(im.mode)
    try:                                # Pillow's encoder takes a part of the picture, in one go; np.asarray copies all of it, in pieces
        encoder = Image._getencoder(im.mode, "raw", (im.mode, 0, 1))
        encoder.setimage(im.im, tuple(box))
        _, status, raw = encoder.encode(w * h * channels)
        if status != 1 or len(raw) != w * h * channels:
            raise ValueError("incomplete")
        return np.frombuffer(bytearray(raw), np.uint8).reshape(h, w, channels)
    except (AttributeError, TypeError, ValueError, SystemError):
        a = np.array(im)[box[1]:box[3], box[0]:box[2]]
        return np.ascontiguousarray(a).reshape(h, w, channels)
