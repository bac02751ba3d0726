"""What transforms of images are told: sizes, and how to deal with what is outside or does not fit."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np

from ...core.messages import did_you_mean

__all__ = ["HW", "PadMode", "ResizeMethod", "Size", "check_crop_range", "image_size", "one_of", "scaled"]

Size: TypeAlias = int | Sequence[int]                  #: (height, width), or one number for a square
HW: TypeAlias = tuple[int, int]                        #: height, width


class ResizeMethod:
    "How `Resize` deals with another aspect ratio: stretch, cut off, or fill up."
    Squish = "squish"
    Crop = "crop"
    Pad = "pad"


class PadMode:
    "What is outside an image: black (class 0), its border pixels repeated, or its mirror image."
    Zeros = "zeros"
    Border = "border"
    Reflection = "reflection"


def one_of(value: str, options: Iterable[str], where: str, name: str) -> str:
    "`value` if it is one of the strings `options`, else ValueError."
    if value not in options:
        hint = did_you_mean(value, options) or ":"
        raise ValueError(f"{where}({name}={value!r}){hint} it is one of {', '.join(map(repr, options))}")
    return value


def image_size(size: Size, where: str) -> HW:
    "`size`, one number or (height, width), as a pair of ints."
    try:
        h, w = (size, size) if isinstance(size, (int, np.integer)) else size
        good = int(h) == h and int(w) == w and h > 0 and w > 0
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(f"{where}(size={size!r}): a size is a whole number above 0, or a pair (height, width) of them")
    return int(h), int(w)


def scaled(size: HW, scale: float) -> HW:
    "`size` (height, width) times `scale`, in whole pixels."
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def check_crop_range(where: str, min_scale: float, max_scale: float, ratio: Sequence[float]) -> None:
    "Refuse a crop range that no crop can have."
    if not 0 < min_scale <= max_scale <= 1:
        raise ValueError(f"{where}(min_scale={min_scale}, max_scale={max_scale}): shares of the area, 0 < min_scale <= max_scale <= 1")
    if not 0 < ratio[0] <= ratio[1]:
        raise ValueError(f"{where}(ratio={ratio}): a pair (least, greatest) of width / height")
