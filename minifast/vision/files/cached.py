"""Images from an `ImageCache`: decoded and brought to the size that is kept once, cut out of that from then on."""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from .jpeg import Box, Size, in_scaled, pixels_of
from .lazy import ArraySource, Plan, Source

if TYPE_CHECKING:
    from ...data.engine.cache import ImageCache
    from ..images import PILBase

_P = TypeVar("_P", bound="PILBase")


class CachedSource(Source):
    """The source of a `Plan` that keeps its pixels in `cache`.

    Args:
        cache: where they are kept.
        key: what they are found by.
        size: of the upright image, (width, height).
        original: a function that returns the plan of the image as it is in its file.
        kept: the pixels that were found.
    """

    def __init__(self, cache: ImageCache, key: tuple, size: Size, original: Callable[[], Plan], kept: np.ndarray | None = None):
        self.cache, self.key, self.size, self.original, self.kept = cache, key, size, original, kept

    def pixels(self, mode: str, box: Box, size: Size | None, resample: str | None) -> tuple[np.ndarray, tuple[float, float], bool]:
        "See `lazy.Source`."
        kept = None if size is None and self.cache.presize(self.size) != self.size else self._kept_pixels(mode, resample)
        if kept is None:                                    # the pixels of the file are asked for, or the cache is full
            a = self.original().resized(size, box, resample).pixels()
            return a, (a.shape[1], a.shape[0]), True
        actual = kept.shape[1], kept.shape[0]
        if size is None or actual == self.size:
            (left, top, right, bottom), covered = in_scaled(box, 1, self.size, actual)
        else:
            left, right = _fitted(box[0], box[2], actual[0] / self.size[0], actual[0], size[0])
            top, bottom = _fitted(box[1], box[3], actual[1] / self.size[1], actual[1], size[1])
            covered = right - left, bottom - top
        return kept[top:bottom, left:right], covered, False

    def _kept_pixels(self, mode: str, resample: str | None) -> np.ndarray | None:
        "The pixels in the cache, made and put there at the first call; None where there is no room for them."
        if self.kept is None:
            size = self.cache.presize(self.size)
            if not self.cache.has_room(size[0] * size[1] * len(mode)):
                return None
            whole = self.original()
            plan = whole if size == self.size else whole.resized(size, (0, 0, *self.size), resample or "bilinear")
            pixels = plan.pixels()
            if not self.cache.put(self.key, pixels, self.size):
                return None
            self.kept = pixels
        return self.kept


def _fitted(low: float, high: float, scale: float, limit: int, n: int) -> tuple[int, int]:
    """First and last pixel, among `limit` that were kept, of low..high in the file; exactly `n` of them where it is that many but for
    rounding, so that they need not be resampled."""
    length = (high - low) * scale
    if abs(length - n) <= 1 and n <= limit:
        first = min(max(round((low + high) * scale / 2 - n / 2), 0), limit - n)
        return first, first + n
    first = min(max(round(low * scale), 0), limit - 1)
    return first, min(max(round(high * scale), first + 1), limit)


def from_cache(cls: type[_P], file: Any, mode: str, opened: Callable[[], _P], cache: ImageCache,
               value_range: Any = None) -> _P | None:
    """The image in `file` as an image of `cls` whose pixels are kept in `cache`; None where that is not possible. opened: a function that
    opens it as it is, lazily or not, with `value_range`."""
    try:
        key = cache.key_of(file, f"{cls.__module__}.{cls.__qualname__} {mode}" + ("" if value_range is None else f" {value_range}"))
    except (OSError, ValueError):
        return None                                         # opening it says what is wrong
    found = cache.find(key)
    if not cls.may_be_lazy:             # what must not be resized by averaging, such as a mask, is kept as it is
        if found is not None:
            return cls.cast(Image.fromarray(np.squeeze(found[0], 2)).copy())
        im = opened()
        if im.mode == "L":
            cache.put(key, pixels_of(im), im.size)
        return im

    first = []                          # what was opened to learn its size is used once, and not held

    def original() -> Plan:
        im = first.pop() if first else opened()
        return im.plan if im.is_lazy else Plan(ArraySource(pixels_of(im)), im.mode)

    if found is not None:
        return cls.planned(Plan(CachedSource(cache, key, found[1], original, found[0]), mode))
    im = opened()
    if im.mode not in ("RGB", "L") or cache.full:
        return im
    first.append(im)
    return cls.planned(Plan(CachedSource(cache, key, im.size, original), mode))
