"""Which pixel values are black and white, where pixels are not bytes: one scale for all images of a data set, never one per image.

The scale is the `value_range` that the user gives; else what a first look at several training images finds (`found_ranges`); else that of
the kind of number: 0..65535 for 16-bit files, 0..1 for fractions, 0..255 for other integers.
"""
from collections.abc import Iterable, Mapping
from io import BytesIO
from math import ceil, isfinite
from os import PathLike
from typing import Any

import numpy as np
import torch
from PIL import Image

__all__ = ["UnreadableImage", "checked_range", "eight_bit", "extremes", "found_ranges", "is_deep", "reaches_bytes"]

#: (the value that is black, the value that is white); a mapping says it for each kind of number, "integers" and "fractions"
Range = tuple[float, float]
_WHITES = (255, 1023, 4095, 16383, 65535)           #: of 8, 10, 12, 14 and 16 bits
_FEW = 16                                           #: as many grey levels as this or fewer are not a picture
_ROUNDING = 0.5 / 255                               #: of the range: what rounding to bytes hides


class UnreadableImage(OSError):
    "An image that cannot be opened. The message names the file and says why."


def is_deep(im: Image.Image) -> bool:
    "Whether the pixels of a PIL image are 16-bit or 32-bit integers or fractions."
    return im.mode in ("I", "F") or im.mode.startswith("I;")


def checked_range(value_range: Any, where: str) -> Range | None:
    "`value_range` as a tuple of two numbers, else an error that names the call `where`."
    if value_range is None:
        return None
    try:
        low, high = (v.item() if hasattr(v, "item") else v for v in value_range)
        good = isfinite(low) and isfinite(high) and low < high
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(f"{where}(value_range={value_range!r}): give the values of black and white, such as value_range=(0, 4095)")
    return low, high


def reaches_bytes(value_range: Range | Mapping[str, Range] | None) -> bool:
    "Whether this range, given by the user, changes 8-bit pixels too: they are left alone where they cannot hold its white."
    return isinstance(value_range, tuple) and value_range[1] <= 255 and value_range != (0, 255)


def _kind(a: np.ndarray) -> str:
    return "fractions" if a.dtype.kind == "f" else "integers"


def _shown(v: Any) -> str:
    return f"{v:.6g}"


def eight_bit(a: np.ndarray, name: str, value_range: Range | Mapping[str, Range] | None = None, integers: Range = (0, 255)) -> np.ndarray:
    """The array `a` as uint8.

    uint8 stays as it is, bool becomes 0 and 255; other values are scaled by what is said of their kind.

    Args:
        a: the pixels.
        name: of the image, for the message.
        value_range: the values that become 0 and 255; those beyond are cut off. A mapping as `found_ranges` makes it was not given by the
            user: values beyond are refused.
        integers: the range of integers other than uint16, where nothing else is known.
    """
    if a.dtype == np.bool_:
        return a.astype(np.uint8) * 255
    given = isinstance(value_range, tuple)
    if a.dtype == np.uint8 and not reaches_bytes(value_range):
        return a
    if isinstance(value_range, tuple):
        low, high = value_range
    else:
        usual = (0, 1) if a.dtype.kind == "f" else (0, 65535) if a.dtype == np.uint16 else integers
        low, high = (value_range or {}).get(_kind(a), usual)
    if a.dtype.kind == "f" or not given:
        lowest, highest = (a.min(), a.max()) if a.size else (low, high)
        if not (np.isfinite(lowest) and np.isfinite(highest)):
            raise UnreadableImage(f"{name}: the pixels hold values that are not finite (min={lowest}, max={highest})")
        slack = (high - low) * _ROUNDING
        if not given and (lowest < low - slack or highest > high + slack):
            raise UnreadableImage(f"{name}: pixel values go from {_shown(lowest)} to {_shown(highest)}, but black is {_shown(low)} and "
                                  f"white {_shown(high)} {_source(value_range, a)}. {_advice(min(lowest, low), highest)}")
    scaled = (a.astype(np.float64 if a.dtype.itemsize > 4 else np.float32) - low) * (255 / (high - low))
    return np.rint(scaled).clip(0, 255).astype(np.uint8)


def _source(value_range, a):
    if isinstance(value_range, Mapping) and _kind(a) in value_range:
        return "by the first look at other images"
    return f"for {a.dtype} pixels"


def _advice(low: Any, high: Any) -> str:
    "What to write where values go from `low` to `high`."
    white = next((w for w in _WHITES if high <= w), high) if low >= 0 and high > _FEW else high
    return (f"Say what is black and white in all images, value_range=({_shown(low)}, {_shown(white)}): an argument of ImageBlock, "
            "ImageDataLoaders.from_... and PILImage.create. Values beyond it are cut off")


# -- the first look ---------------------------------------------------------------------------------------------------------------------
def extremes(x: Any) -> tuple[str, float, float] | None:
    """The kind of number and the lowest and highest value of an image: a file, its bytes, an array, tensor or PIL image. None for bytes and
    for what is not an image. Of a file of bytes only the header is read."""
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu().as_subclass(torch.Tensor)
        x = (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    elif isinstance(x, Image.Image):
        x = np.asarray(x) if is_deep(x) else None
    elif isinstance(x, (str, PathLike, bytes, bytearray)):
        try:
            with Image.open(BytesIO(x) if isinstance(x, (bytes, bytearray)) else x) as im:
                x = np.asarray(im) if is_deep(im) else None
        except Exception:                   # what is wrong with it is said where it is opened as an item
            return None
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "iuf" or x.dtype == np.uint8 or not x.size:
        return None
    low, high = x.min().item(), x.max().item()
    return (_kind(x), low, high) if isfinite(low) and isfinite(high) else None


def found_ranges(items: Any, n: int = 16) -> tuple[dict[str, Range], list[tuple[str, float, float]]]:
    """The range of each kind of number among images, and the `extremes` of those that are not bytes.

    Args:
        items: the images; `n` of them, evenly spread, are looked at.
        n: how many.

    Raises:
        ValueError: values that are not a picture as they stand.
    """
    seen: dict[str, list[tuple[float, float]]] = {}
    looked = []
    for i in range(0, len(items), max(1, ceil(len(items) / n))):
        try:
            x = items[i]
        except Exception:                   # the error belongs to the item, which names it
            continue
        found = extremes(x)
        if found is not None:
            looked.append(found)
            seen.setdefault(found[0], []).append(found[1:])
    return {kind: _range_of(kind, pairs) for kind, pairs in seen.items()}, looked


def _range_of(kind: str, pairs: Iterable[Range]) -> Range:
    low, high = min(p[0] for p in pairs), max(p[1] for p in pairs)
    if kind == "fractions" and low >= -_ROUNDING and high <= 1 + _ROUNDING:
        return 0, 1
    if low < 0 or high > _WHITES[-1] or (kind == "fractions" and high <= _FEW):
        raise ValueError(f"the pixels of these images are {kind} from {_shown(low)} to {_shown(high)}, and it is not known which of them "
                         f"are black and white. {_advice(low, high)}")
    return 0, next(w for w in _WHITES if high <= w)
