"""Pictures from a `ImageCache`: decoded and brought to the size that is kept once, cut out of that from then on."""
from functools import lru_cache

import numpy as np
from PIL import Image

from .jpeg import in_scaled, pixels_of
from .lazy import ArraySource, Plan


class CachedSource:
    """The source of a `Plan` that keeps its pixels in `cache`. size: of the upright picture, (width, height).

    original: a function that returns the plan of the picture as it is in its file. kept: the pixels that were found.
    """

    def __init__(self, cache, key, size, original, kept=None):
        self.cache, self.key, self.size, self.original, self.kept = cache, key, size, original, kept

    def pixels(self, mode, box, size, resample):
        wanted = self.cache.presize(self.size)
        if size is None and wanted != self.size:            # somebody wants the pixels of the file
            return self._of_file(box, size, resample)
        if self.kept is None:
            if not self.cache.has_room(wanted[0] * wanted[1] * len(mode)):
                return self._of_file(box, size, resample)
            whole = self.original()
            plan = whole if wanted == self.size else whole.resized(wanted, (0, 0, *self.size), resample or "bilinear")
            pixels = plan.pixels()
            if not self.cache.put(self.key, pixels, self.size):
                return self._of_file(box, size, resample)
            self.kept = pixels
        a = self.kept
        actual = a.shape[1], a.shape[0]
        if size is None or actual == self.size:
            (left, top, right, bottom), covered = in_scaled(box, 1, self.size, actual)
        else:
            left, right = _fitted(box[0], box[2], actual[0] / self.size[0], actual[0], size[0])
            top, bottom = _fitted(box[1], box[3], actual[1] / self.size[1], actual[1], size[1])
            covered = right - left, bottom - top
        return a[top:bottom, left:right], covered, False

    def _of_file(self, box, size, resample):
        a = self.original().resized(size, box, resample).pixels()
        return a, (a.shape[1], a.shape[0]), True

    def info(self):
        return {}


def _fitted(low, high, scale, limit, wanted):
    """First and last pixel, among `limit` that were kept, of low..high in the file; exactly `wanted` of them where it is that many but for
    rounding, so that they need not be resampled."""
    length = (high - low) * scale
    if abs(length - wanted) <= 1 and wanted <= limit:
        first = min(max(round((low + high) * scale / 2 - wanted / 2), 0), limit - wanted)
        return first, first + wanted
    first = min(max(round(low * scale), 0), limit - 1)
    return first, min(max(round(high * scale), first + 1), limit)


@lru_cache
def _kind(cls, mode):
    "What to call pictures of class `cls` in `mode` where they are kept."
    return f"{cls.__module__}.{cls.__qualname__} {mode}"


def from_cache(cls, file, mode, opened, cache):
    """The picture in `file` as an image of `cls` whose pixels are kept in `cache`; None where that cannot be. opened: a function that opens
    it as it is, lazily or not."""
    try:
        key = cache.key_of(file, _kind(cls, mode))
    except (OSError, ValueError):
        return None                                         # opening it says what is wrong
    found = cache.find(key)
    if not cls.may_be_lazy:
        return _whole_from_cache(cls, key, found, opened, cache)

    first = []                          # what was opened to learn its size is used once, and not held

    def original():
        im = first.pop() if first else opened()
        return im._plan if im.is_lazy else Plan(ArraySource(pixels_of(im)), im.mode)

    if found is not None:
        return cls.planned(Plan(CachedSource(cache, key, found[1], original, found[0]), mode))
    im = opened()
    if im.mode not in ("RGB", "L") or cache.full:
        return im
    first.append(im)
    return cls.planned(Plan(CachedSource(cache, key, im.size, original), mode))


def _whole_from_cache(cls, key, found, opened, cache):
    "What must not be resized by averaging, such as a mask, is kept as it is."
    if found is None:
        im = opened()
        if im.mode == "L":
            cache.put(key, pixels_of(im), im.size)
        return im
    return cls.cast(Image.fromarray(np.squeeze(found[0], 2)).copy())
