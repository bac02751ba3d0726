"""From a file, bytes, array or tensor to an upright 8-bit image, or a sentence that names the file and says what is wrong with it."""
from contextlib import suppress
from inspect import isawaitable
from io import BytesIO
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...core.items import noop
from ...core.messages import add_note, describe
from .depth import UnreadableImage, eight_bit, is_deep, reaches_bytes

# What undoes each EXIF orientation (1 is upright already).
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}
_ORIENTATION_TAG = 0x0112
_ENDINGS = ".jpg", ".png", ".jpeg", ".JPG", ".tif", ".bmp", ".gif", ".webp"


def name_of(source: Any) -> str:
    return fspath(source) if isinstance(source, (str, PathLike)) else f"image given as {describe(source)}"


def _head_of(source):
    if isinstance(source, (bytes, bytearray)):
        return bytes(source[:64]), len(source)
    try:
        with open(source, "rb") as f:
            return f.read(64), f.seek(0, 2)
    except (OSError, TypeError):
        return b"", None


def why(source: Any, error: Exception) -> str:
    "What is wrong with a file that did not open, from its first bytes and the error of the decoder."
    head, size = _head_of(source)
    start = head.lstrip().lower()
    kind = "an SVG drawing" if b"<svg" in start else "an HTML or XML page"
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    reasons = [                 # the first that applies
        (size == 0, "the file is empty (0 bytes): delete it or download it again"),
        (start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<svg")),
         f"this is {kind}, not a photo, whatever its name says: a download that returned a web page. Delete it or download it again"),
        (head[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"),
         "this is a HEIC photo, which Pillow cannot read by itself: install pillow-heif and call pillow_heif.register_heif_opener()"),
        (isinstance(error, Image.DecompressionBombError),
         f"{str(error).rstrip('.')}. Set PIL.Image.MAX_IMAGE_PIXELS higher if the image is meant to be that large"),
        ("truncated" in text.lower(),
         f"the file ends too early ({text}): the download or copy was cut off. Delete it or download it again"),
        (len(head) >= 4 and all(32 <= c < 127 or c in b"\r\n\t" for c in head),
         f"this is a text file, not an image; it begins {head[:30]!r}"),
        ("cannot identify" in text, f"no image format that Pillow knows; the file has {size} bytes and begins {head[:8]!r}"),
        (True, f"the image is damaged or of a kind that Pillow cannot read ({text})"),
    ]
    return next(reason for applies, reason in reasons if applies)


def content_of(file: Any, where: str) -> bytes:
    "The bytes of an open file, from its start, as Pillow reads one, or of a memoryview. where: the call, for the message."
    if isinstance(file, memoryview):
        return bytes(file)
    received = describe(file)
    if callable(getattr(file, "read", None)):
        with suppress(AttributeError, OSError):         # not every stream goes back
            file.seek(0)
        content = file.read()
        if isinstance(content, (bytes, bytearray)):
            return bytes(content)
        if isinstance(content, str):
            raise TypeError(f"{where} takes a file that was opened for bytes, open(name, 'rb'); received {received}")
        if isawaitable(content):
            getattr(content, "close", noop)()
            raise TypeError(f"{where} takes a file whose `read` returns bytes; received {received}, whose `read` must be awaited: write "
                            f"{where}(await upload.read()), or {where}(upload.file)")
    raise TypeError(f"{where} takes a file name, Path, open file, bytes, array, tensor or PIL image; received {received}")


def exif_orientation(im: Image.Image) -> int:
    "The EXIF orientation, 1 to 8. EXIF data too broken to read says nothing: the image itself may be fine."
    try:
        return im.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:
        return 1


def open_image(source: Any) -> Image.Image:
    """The image in file or bytes `source`, decoded and turned upright by its EXIF orientation, in its own mode.

    The first frame of an animation. Raises `UnreadableImage` naming the file, or `FileNotFoundError`.
    """
    try:
        with Image.open(BytesIO(source) if isinstance(source, (bytes, bytearray)) else source) as im:
            im.load()
            turn = UPRIGHT.get(exif_orientation(im))
            # transpose and copy return a plain Image, which no longer holds the file
            return im.copy() if turn is None else im.transpose(turn)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as e:
        if isinstance(source, str) and source.startswith(("http://", "https://")):
            add_note(e, "this is an address, not a file: write PILImage.create(download_url(url))")
        elif isinstance(e, FileNotFoundError) and isinstance(source, (str, PathLike)) and (where := _where_it_is(source)):
            add_note(e, where)
        raise
    except Exception as e:
        raise UnreadableImage(f"{name_of(source)}: {why(source, e)}") from e


def _where_it_is(source):
    "Where a file lies that was not found because its name lacks an ending, or a separator behind the folder; None: elsewhere."
    path = Path(fspath(source))
    with suppress(OSError, ValueError):
        for ending in _ENDINGS:
            if path.with_name(f"{path.name}{ending}").is_file():
                return f"there is {path.name + ending!r}: the name lacks its ending, write ColReader(..., suff={ending!r})"
        for k in range(1, len(path.name)):
            folder, name = path.parent / path.name[:k], path.name[k:]
            if (folder / name).is_file():
                return (f"there is {name!r} in {str(folder)!r}: a pref that is text is put before the name as it is, write ColReader(..., "
                        f"pref=Path({str(folder)!r}))")
    return None


def _flattened(im):
    "An RGB image with transparent parts on white, as a viewer shows it (the colour hidden behind them is arbitrary)."
    im = im.convert("RGBA")
    white = Image.new("RGBA", im.size, (255, 255, 255, 255))
    white.alpha_composite(im)
    return white.convert("RGB")


def to_mode(im: Image.Image, mode: str, name: str = "image", value_range: Any = None) -> Image.Image:
    """PIL image `im` in `mode` ('RGB', 'L'): 16-bit, 32-bit and float pixels scaled by `eight_bit`, transparency laid on white.

    value_range: see `eight_bit`.
    """
    if value_range is None and im.mode == mode and "transparency" not in im.info:
        return im
    deep = is_deep(im)
    if deep:
        im = Image.fromarray(eight_bit(np.asarray(im), name, value_range, (0, 65535)))
    if im.mode == "1":
        im.info.pop("transparency", None)
    if im.has_transparency_data:
        im = _flattened(im)
    try:
        im = im if im.mode == mode else im.convert(mode)
    except (ValueError, OSError) as e:
        raise UnreadableImage(f"{name}: pixel mode {im.mode} cannot be converted to {mode}: {e}") from e
    return im if deep or not reaches_bytes(value_range) else Image.fromarray(eight_bit(np.asarray(im), name, value_range))


def to_labels(im: Image.Image, name: str = "mask") -> Image.Image:
    """PIL image `im` as a mask of class numbers (mode 'L', nothing scaled).

    A palette image gives its indices, a 1-bit image 0 and 1, a grey image stored as RGB its grey values. A mask with colours or
    with values above 255 is refused.
    """
    if im.mode == "L":
        return im
    if im.mode == "LA":
        return im.getchannel("L")
    a = np.asarray(im)
    if im.mode in ("RGB", "RGBA"):
        if (a[..., 0] != a[..., 1]).any() or (a[..., 0] != a[..., 2]).any():
            raise UnreadableImage(f"{name}: this mask holds colours (mode {im.mode}), not class numbers. Map each colour to its class "
                                  "first, for example with a function that returns PILMask.create(array of class numbers)")
        a = a[..., 0]
    elif im.mode not in ("P", "1", "I", "F") and not im.mode.startswith("I;"):
        raise UnreadableImage(f"{name}: a mask of mode {im.mode} has no class numbers; save it as a grey or palette PNG")
    return Image.fromarray(label_array(a, name))


def label_array(a: np.ndarray, name: str) -> np.ndarray:
    "Array of class numbers as uint8; refused when they do not fit."
    if a.size and not (a.min() >= 0 and a.max() <= 255):          # written so that NaN is refused as well
        raise UnreadableImage(f"{name}: class numbers go from {a.min()} to {a.max()}; a mask holds 0 to 255")
    labels = a.astype(np.uint8)
    if a.dtype.kind == "f" and (labels != a).any():
        raise UnreadableImage(f"{name}: a mask holds whole class numbers, this one has fractions")
    return labels


def image_array(x: np.ndarray | torch.Tensor) -> np.ndarray:
    "Array or tensor `x` as a numpy array (H,W) or (H,W,C). Tensors are (C,H,W); arrays (H,W,C), or (C,H,W) where only that fits."
    a: Any = x
    is_tensor, channels = isinstance(x, torch.Tensor), (1, 3, 4)
    if isinstance(x, torch.Tensor):
        plain = x.detach().cpu().as_subclass(torch.Tensor)
        a = (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
    if a.ndim == 3:
        first, last = a.shape[0] in channels, a.shape[2] in channels
        if first and (is_tensor or not last):
            a = a.transpose(1, 2, 0)
        elif not last:
            raise ValueError("an image array is (height, width), (height, width, 1, 3 or 4) or (1, 3 or 4, height, width); "
                             f"received {describe(x)}")
        a = a[..., 0] if a.shape[2] == 1 else a
    if a.ndim not in (2, 3):
        raise ValueError(f"an image has 2 or 3 axes; received {describe(x)}" + (": pass one image of the batch" if a.ndim == 4 else ""))
    return a
