"""JPEGs, decoded only as far as needed: at a half, a quarter or an eighth of their size where that is enough, and only the part shown.

libjpeg can skip most of the inverse cosine transform for a result of 1/2, 1/4 or 1/8 of the size (Pillow's `draft`). With the package
simplejpeg installed (`pip install minifast[fast]`) colour images are decoded by it, straight into an array; otherwise by Pillow.

Most of the time is spent on the entropy-coded data, which can only be read from the start. Rows below the part that is shown are left
unread: the decoder gets a header with a smaller height, which saves 7 to 10 % of a training pass over photos of 1600x1200 (measured with
RandomResizedCrop(224), 2 cores).
"""
import os
from dataclasses import dataclass
from io import BytesIO
from struct import error as StructError
from struct import pack_into, unpack_from

import numpy as np
from PIL import Image

from .pillow_internals import decode_jpeg, raw_pixels

try:
    import simplejpeg
except ImportError:             # it is an extra
    simplejpeg = None

Box = tuple[float, float, float, float]         #: left, top, right, bottom
Size = tuple[int, int]                          #: width, height

#: What decodes colour JPEGs where no PIL image is asked for: 'simplejpeg' where it is installed, else 'pillow'. The environment variable
#: MINIFAST_JPEG=pillow keeps to Pillow.
decoder: str = "pillow" if simplejpeg is None or os.environ.get("MINIFAST_JPEG", "").lower() == "pillow" else "simplejpeg"

_BELOW = 32             # rows decoded below what is shown: colours are blended with those of the next rows, a block has up to 32
_EXTRA_ROWS = "extraneous bytes before marker"          # libjpeg's words for rows beyond the height in the header
_BASELINE_OR_PROGRESSIVE = 0xC0, 0xC1, 0xC2
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}
_NOISE = np.frombuffer(os.urandom(4096), np.uint8)      # bytes that no image holds


@dataclass(frozen=True)
class Jpeg:
    "What the header of a JPEG says."

    size: Size                  #: as stored, before turning
    channels: int
    orientation: int            #: of EXIF: 1 is upright, 2 to 8 say how to turn it
    height_at: int              #: where in the file the height is written


def read_header(data: bytes) -> Jpeg | None:
    """The `Jpeg` in the bytes `data`, or None where Pillow has to judge.

    That is anything but a JPEG, special kinds (CMYK, 12 bits, arithmetic coding, an orientation kept elsewhere than in EXIF), files whose
    end is missing and images beyond `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    try:
        return _parse(data) if data[:3] == b"\xff\xd8\xff" else None
    except (IndexError, ValueError, ArithmeticError, StructError):
        return None


def _parse(data: bytes) -> Jpeg | None:
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
    complete = data.rfind(b"\xff\xd9", at) >= 0             # 0xFF in the pixels is always followed by 0 or a restart marker
    if size is None or channels not in (1, 3) or not all(size) or not complete or orientation == 0:
        return None
    limit = Image.MAX_IMAGE_PIXELS
    return None if limit is not None and size[0] * size[1] > limit else Jpeg(size, channels, orientation or 1, height_at)


def _orientation(tiff: bytes) -> int:
    "The orientation in EXIF data: 1 where it is not given, 0 where it cannot be read."
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 0
    start, = unpack_from(order + "I", tiff, 4)
    count, = unpack_from(order + "H", tiff, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, n = unpack_from(order + "HHI", tiff, at)
        if tag == 0x0112:
            value, = unpack_from(order + "H", tiff, at + 8)
            return value if kind == 3 and n == 1 and 1 <= value <= 8 else 0
    return 1


def draft_scale(box: Box, size: Size) -> int:
    "By which factor (1, 2, 4 or 8) an image may be decoded smaller when its `box` is going to be resized to `size`."
    shrinks_by = min((box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1])
    return next((k for k in (8, 4, 2) if shrinks_by >= k), 1)


def whole_pixels(box: Box, hw: tuple[int, int], size: tuple[int, int]) -> Box:
    """`box` in an image of `hw` (height, width) pixels, that is to become `size`, moved to where its pixels can be had without
    interpolating between them: to multiples of the scale at which a JPEG is decoded for it."""
    k = draft_scale(box, size[::-1])
    edges = []
    for low, high, whole, least in ((box[0], box[2], hw[1], size[1]), (box[1], box[3], hw[0], size[0])):
        n = max(round((high - low) / k), least if k > 1 else 1)     # length and start, in pixels of the decoded image
        first = max(min(round(low / k), whole // k - n), 0)
        # what reaches from edge to edge stays whole
        edges.append((0, whole) if high - low > whole - 0.5 else (first * k, (first + n) * k))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom


def decode(data: bytes | bytearray, jpeg: Jpeg, mode: str, box: Box | None = None,
           size: Size | None = None) -> tuple[np.ndarray, tuple[float, float]]:
    """Decode the pixels in `box` (default: all) of a JPEG, not turned.

    Args:
        data: the file.
        jpeg: its header.
        mode: 'RGB' or 'L'; a grey JPEG gives one channel in any case.
        box: the part wanted, in pixels of the stored image.
        size: what the part is going to be resized to: the result is at least that, and at most twice that where the file allows.

    Returns:
        A uint8 array (H,W,C), and how much of its width and height the box covers: at half of an odd size, the last pixel stands for half
        a pixel.
    """
    w, h = jpeg.size
    box = (0, 0, w, h) if box is None else box
    k = 1 if size is None else draft_scale(box, size)
    rows = int(min(-(-(box[3] + _BELOW) // _BELOW) * _BELOW, h))
    if rows < h:                        # rows beyond the height in the header are skipped; libjpeg only warns about them
        data = bytearray(data)
        pack_into(">H", data, jpeg.height_at, rows)
    if decoder == "simplejpeg" and jpeg.channels == 3 and mode == "RGB":
        try:
            return _by_simplejpeg(data, jpeg, box, k, rows)
        except ValueError:              # it is stricter than Pillow, which decides what can be read
            pass
    return _by_pillow(data, jpeg, mode, box, k, rows)


def in_scaled(box: Box, k: int, full: Size, size: Size) -> tuple[tuple[int, int, int, int], tuple[float, float]]:
    """`box` in whole pixels of an image of `full` pixels that was decoded at 1/k, to `size`; and how much of them it covers, (width,
    height)."""
    edges = []
    for low, high, whole, limit in ((box[0], box[2], full[0], size[0]), (box[1], box[3], full[1], size[1])):
        first = min(max(round(low / k), 0), limit - 1)
        last = max(limit if high >= whole else min(round(high / k), limit), first + 1)
        edges.append((first, last, min(whole / k - first, last - first)))
    (left, right, w), (top, bottom, h) = edges
    return (left, top, right, bottom), (w, h)


def _by_simplejpeg(data: bytes | bytearray, jpeg: Jpeg, box: Box, k: int, rows: int) -> tuple[np.ndarray, tuple[float, float]]:
    shape, cut = (-(-rows // k), -(-jpeg.size[0] // k), 3), rows < jpeg.size[1]
    buffer = np.empty(shape[0] * shape[1] * 3, np.uint8)
    if cut:
        last = buffer[-min(shape[1] * 3, len(_NOISE)):]
        last[:] = _NOISE[:len(last)]
    options = {"min_height": shape[0], "min_width": shape[1], "min_factor": 1} if k > 1 else {}
    try:
        pixels = simplejpeg.decode_jpeg(data, buffer=buffer, strict=True, **options)
    except ValueError as e:             # the rows that were left out are reported after the last row, which must be there
        if not cut or _EXTRA_ROWS not in str(e) or np.array_equal(last, _NOISE[:len(last)]):
            raise
        pixels = buffer.reshape(shape)
    (left, top, right, bottom), covered = in_scaled(box, k, jpeg.size, (pixels.shape[1], pixels.shape[0]))
    return pixels[top:bottom, left:right], covered


def _by_pillow(data: bytes | bytearray, jpeg: Jpeg, mode: str, box: Box, k: int, rows: int) -> tuple[np.ndarray, tuple[float, float]]:
    mode = "L" if jpeg.channels == 1 else mode
    size = -(-jpeg.size[0] // k), -(-rows // k)
    im = decode_jpeg(data, mode, size, (size[0], -(-jpeg.size[1] // k)), k)
    if im is None:
        with Image.open(BytesIO(data)) as im:
            if k > 1 or mode == "L":
                im.draft(mode, (im.size[0] // k, im.size[1] // k))
            im.load()
        im = im if im.mode == mode else im.convert(mode)
        size = im.size
    part, covered = in_scaled(box, k, jpeg.size, size)
    return pixels_of(im, part), covered


def pixels_of(im: Image.Image, box: tuple[int, int, int, int] | None = None) -> np.ndarray:
    "The pixels in `box` of a loaded PIL image of mode RGB or L, as a uint8 array (H,W,C) of its own."
    left, top, right, bottom = box = (0, 0, *im.size) if box is None else box
    pixels = raw_pixels(im, box)
    if pixels is None:
        pixels = np.array(im)[top:bottom, left:right].copy().reshape(bottom - top, right - left, -1)
    return pixels
