"""What transforms of images are told: sizes, how to deal with what is outside or does not fit, and what takes the place of a draw: a
number, one per image, or a function of the batch."""
from collections.abc import Callable, Sequence
from copy import copy
from os import PathLike
from typing import Any, TypeAlias, TypeVar

import numpy as np
import torch

from ...core.arguments import check_arguments
from ...core.messages import brief, describe

__all__ = ["HW", "Allowed", "Given", "PadMode", "ResizeMethod", "Resizing", "Size", "check_crop_range", "check_given", "given_values",
           "image_size", "scaled"]

Size: TypeAlias = int | Sequence[int]                  #: (height, width), or one number for a square
HW: TypeAlias = tuple[int, int]                        #: height, width
Given: TypeAlias = float | Sequence[float] | np.ndarray | torch.Tensor | Callable[[torch.Tensor], Any]
Allowed: TypeAlias = tuple[Callable[[np.ndarray], np.ndarray], str]        #: which values a transform can work with, and that in words


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


def image_size(size: Size, where: str) -> HW:
    "`size`, one number or (height, width), as a pair of ints."
    try:
        h, w = (size, size) if isinstance(size, (int, np.integer)) else size
        good = int(h) == h and int(w) == w and h > 0 and w > 0
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(f"{where}(size={brief(size)}): a size is a whole number above 0, or a pair (height, width) of them")
    return int(h), int(w)


def scaled(size: HW, scale: float) -> HW:
    "`size` (height, width) times `scale`, in whole pixels."
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


_Resizing = TypeVar("_Resizing", bound="Resizing")


class Resizing:
    "What a transform has that brings images to a `size`."
    size: HW | None                     #: (height, width) of the result; None: it stays as it is

    def rescaled(self: _Resizing, scale: float) -> _Resizing:
        "The same transform with a result of `scale` times the size; itself if images keep their size."
        if self.size is None:
            return self
        new = copy(self)
        new.size = scaled(self.size, scale)
        return new


def check_crop_range(where: str, min_scale: float, max_scale: float, ratio: Sequence[float]) -> None:
    "Refuse a crop range that no crop can have."
    check_arguments(where, min_scale=(min_scale, 0 < min_scale <= max_scale <= 1,
                                      f"shares of the area, 0 < min_scale <= max_scale <= 1, and {max_scale=}"),
                    ratio=(ratio, 0 < ratio[0] <= ratio[1], "a pair (least, greatest) of width / height"))


def check_given(given: Given | None, where: str) -> None:
    """Refuse, when a transform is made, what `draw=` can never take: text, dicts and the like. where: the argument as the user wrote it,
    such as `Rotate(draw=...)`."""
    if given is not None and not callable(given):
        _as_numbers(given, where, f"received {describe(given)}")


def given_values(given: Given | None, x: torch.Tensor, k: int, where: str, allowed: Allowed | None = None) -> np.ndarray:
    "The `k` float64 parameters that `given` says, for the batch `x`."
    made = given(x) if callable(given) else given
    received = f"the function returned {describe(made)}" if callable(given) else f"received {describe(made)}"
    values = _as_numbers(made, where, received)
    if values.shape not in ((), (1,), (k,)):
        several = "one number for all, as batch=True says" if k == 1 else f"one number for all, or one per image of the batch, {k} here"
        raise ValueError(f"{where} takes {several}; {received}. Since the last batch may be smaller, a function of the batch, such as "
                         "lambda x: torch.linspace(0, 1, len(x)), is safer than a list")
    if not np.isfinite(values).all():
        raise ValueError(f"{where} takes numbers, not NaN, None or infinity; {received}")
    if allowed is not None and not allowed[0](values).all():
        raise ValueError(f"{where} takes {allowed[1]}; {received}")
    return np.broadcast_to(values, (k,))


def _as_numbers(values: Any, where: str, received: str) -> np.ndarray:
    try:
        if isinstance(values, (str, bytes, PathLike, dict, set)):
            raise TypeError
        return np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values, dtype=np.float64)
    except (TypeError, ValueError) as e:
        raise TypeError(f"{where} takes a number, a list or tensor of one number per image, or a function of the batch that returns "
                        f"them; {received}") from e
