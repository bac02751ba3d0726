"""`OpenImage`: how the files, arrays or tensors of a data set become images, all on one scale of brightness."""
from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..core.recipe import Recipe
from ..data.transforms import ItemTransform, Transform
from .files.depth import Range, checked_range, extremes, found_ranges
from .images import PILBase, PILImage

__all__ = ["OpenImage"]


class OpenImage(ItemTransform):
    """Open an image by `img_cls.create`, which gets an item whole, also if it is a tuple.

    Pixels that are not bytes (16-bit files, floats) need a scale. It is `value_range`; else 16 of the training items are looked at, once,
    when the data are set up, and the smallest of 8, 10, 12, 14 and 16 bits that holds their values is taken for all images (0..1 for floats
    that stay within). `DataBlock.summary` says which. It holds for training, validation, `test_dl`, `predict` and the exported learner.

    Args:
        img_cls: `PILImage`, `PILImageBW` or your own.
        value_range: the values (low, high) that become black and white; values beyond are cut off.
        found: the ranges of a first look that was taken already, by kind of number.

    Raises:
        TypeError: the `create` of a class of your own takes no value_range.
        ValueError: `value_range` is not (low, high); or at set-up, pixels whose black and white are not known.
    """

    def __init__(self, img_cls: type[PILBase] = PILImage, value_range: Range | None = None, found: Mapping[str, Range] | None = None):
        super().__init__(img_cls.create)
        self.img_cls, self.value_range, self.found = img_cls, checked_range(value_range, "ImageBlock"), dict(found or {})
        parameters = inspect.signature(img_cls.create).parameters
        self._scales = "value_range" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        if value_range is not None and not self._scales:
            raise TypeError(f"ImageBlock(value_range=...): {img_cls.__name__}.create takes no value_range. Give it that parameter, and "
                            "pass it on: super().create(fn, value_range=value_range)")
        self._looked: list[tuple[str, float, float]] | None = None
        self._use_scale()

    def _use_scale(self) -> None:
        scale = self.value_range or self.found
        vars(self)["encodes"] = partial(self.img_cls.create, value_range=scale) if scale else self.img_cls.create

    @property
    def recipe(self) -> Recipe:
        "How to make this transform; without a scale as what it then is, a function."
        if not (self.value_range or self.found):
            return Recipe(ItemTransform, {"enc": self.img_cls.create})
        return Recipe(type(self), {"img_cls": self.img_cls, "value_range": self.value_range, "found": self.found})

    def at_validation(self) -> Transform:
        "This transform; without a scale what it then is, a function."
        return self if self.value_range or self.found else ItemTransform(self.img_cls.create)

    def setups(self, items: Any) -> None:
        "Look at several of the training items, unless the scale was given."
        if self._scales and self.value_range is None:
            self.found, self._looked = found_ranges(items)
            self._use_scale()

    def remark(self, x: Any) -> str | None:
        "What `DataBlock.summary` says: the scale of pixels that are not bytes."
        if self.value_range:
            low, high = self.value_range
            found = extremes(x)
            said = f"{low}..{high} becomes black..white, as value_range= says"
            if found is None or low <= found[1] <= found[2] <= high:
                return said
            return f"{said}; the pixels of this image go from {found[1]:.6g} to {found[2]:.6g}: what is beyond is cut off"
        if not self.found:
            return None
        parts = [f"{kind} {low}..{high}" for kind, (low, high) in self.found.items()]
        values = [v for _, *pair in self._looked or () for v in pair]
        seen = f" in {len(self._looked)} of the training images, whose values go from {min(values):.6g} to {max(values):.6g}" \
            if self._looked else ""
        return f"{' and '.join(parts)} become black..white: found{seen}. value_range= sets it"
