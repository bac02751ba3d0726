"""The data blocks of vision: images, and masks of them."""
from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from os import PathLike, fspath
from typing import Any
from warnings import warn

import numpy as np
import torch

from ..core.arguments import listed_in_order
from ..core.keywords import knows_keywords
from ..core.plots import show_image
from ..core.recipe import Recipe
from ..data.block import TransformBlock
from ..data.transforms import Transform
from ..nn.losses import CrossEntropyLossFlat
from .images import PILBase, PILImage, PILMask, TensorMask, ToTensor
from .normalize import IntToFloatTensor
from .opening import OpenImage
from .tta_geometry import tta_masks

__all__ = ["AddMaskCodes", "ImageBlock", "MaskBlock"]


@knows_keywords
def ImageBlock(cls: type[PILBase] = PILImage, value_range: tuple[float, float] | None = None) -> TransformBlock:
    """Images: uint8 tensors (C,H,W) as items, floats in 0..1 in a batch.

    Args:
        cls: what opens them by its `create`: `PILImage`, `PILImageBW` or your own.
        value_range: the values (low, high) that become black and white, where pixels are not bytes: (0, 4095) for 12 bits in 16-bit files,
            (-1000, 400) for Hounsfield units. Default: one range for all, found by a first look at training images, see `OpenImage`.
    """
    if not (isinstance(cls, type) and issubclass(cls, PILBase)):
        raise TypeError(f"ImageBlock(cls={cls!r}): a class of images such as PILImage or PILImageBW"
                        + (", as ImageBlock() makes it" if cls is ImageBlock else ""))
    return TransformBlock(type_tfms=[OpenImage(cls, value_range)], item_tfms=[ToTensor()], batch_tfms=[IntToFloatTensor()])


def open_mask(fn: Any) -> PILMask:
    "`PILMask.create(fn)` that remembers its file."
    mask: Any = PILMask.create(fn)
    if isinstance(fn, (str, PathLike)):
        mask.source = fspath(fn)
    return mask


class AddMaskCodes(Transform):
    """Name the classes of masks, check that every mask holds only their numbers, and make numbers of the values of pixels.

    Args:
        codes: the name of each class, in the order of the numbers from 0; None: no check.
        ignore_index: a number that is no class but may occur, such as 255 for void.
        values: the value of the pixels of each class, such as [0, 255]; None: its number.
        nearest: other values, as JPEG leaves them, belong to the nearest of `values`; False: they are refused.

    Raises:
        ValueError: `values` does not fit `codes`.
    """
    types = (PILMask,)

    def __init__(self, codes: Sequence[Any] | None = None, ignore_index: int | None = None, values: Sequence[int] | None = None,
                 nearest: bool = False):
        super().__init__()
        self.vocab = None if codes is None else [str(c) for c in listed_in_order("MaskBlock", "codes", codes)]
        self.c = None if codes is None else len(self.vocab)
        self.ignore_index, self.nearest = ignore_index, nearest
        self.values = None if values is None else [int(v) for v in values]
        wanted = f"values of {self.c or 'all'} codes, each from 0 to 255 and used once"
        if self.values is not None and (len(self.values) != self.c or len({*self.values, ignore_index}) < len(self.values) + 1
                                        or not all(0 <= v <= 255 for v in self.values)):
            raise ValueError(f"MaskBlock({codes=}, {ignore_index=}, {values=}): give the {wanted}, such as values=[0, 255] for two codes")
        if nearest and values is None:
            raise ValueError("MaskBlock(nearest=True) is for pixels between the values of the codes: give them, such as values=[0, 255]")
        self._numbers, self._unknown = self._tables()

    def _tables(self) -> tuple[list[int], np.ndarray]:
        "The class number of each of the 256 values of a pixel, where those that stand for none keep theirs; and the values to refuse."
        known = list(range(self.c or 256)) if self.values is None else self.values
        distances = np.abs(np.arange(256)[:, None] - np.array(known))
        taken = distances.argmin(1) if self.nearest else np.where(distances.min(1) == 0, distances.argmin(1), np.arange(256))
        if self.ignore_index is not None and 0 <= self.ignore_index < 256:
            taken[self.ignore_index] = self.ignore_index
        unknown = np.flatnonzero((distances.min(1) > 0) & (np.arange(256) != self.ignore_index) & (not self.nearest))
        return taken.tolist(), unknown

    @property
    def recipe(self) -> Recipe:
        "How to make this transform."
        more = {} if self.values is None else {"values": self.values, "nearest": self.nearest}
        return Recipe(type(self), {"codes": self.vocab, "ignore_index": self.ignore_index, **more})

    def setups(self, items: Any) -> None:
        "Look for a mask with more than the first class and what marks pixels that do not count: without any, that may be the foreground."
        void = self.ignore_index
        if self.c is None or void not in range(1, 256) or self.values is not None:
            return
        counts = np.zeros(256, dtype=np.int64)
        for i in range(len(items)):
            try:
                counts += items[i].histogram()[:256]
            except Exception:               # what is wrong with it is said where it is opened as an item
                return
            if counts.sum() > counts[0] + counts[void]:
                return                      # most often at the first one
        if counts[0] and counts[void]:
            bg, *others = self.vocab
            write = f"is {others[0]!r}, write values=[0, {void}]" if len(others) == 1 else \
                f"stands for one of the others, write values=[0, ...], the value of the pixels of each of the {self.c} codes,"
            warn(f"masks hold 0 and {void} alone, and ignore_index={void} leaves out all but {bg!r}, so that nothing is learned. If {void} "
                 f"{write} instead of ignore_index, an argument of MaskBlock and of SegmentationDataLoaders.from_label_func", stacklevel=2)

    def encodes(self, x: Any) -> Any:
        if self.c is not None:
            counts = np.asarray(x.histogram()[:256])
            if counts[self._unknown].any():
                raise ValueError(self._refusal(getattr(x, "source", "this mask"), counts))
            if self.values is not None:
                x = x.point(self._numbers)
        return x

    def _refusal(self, name: str, counts: np.ndarray) -> str:
        found, present = [int(v) for v in self._unknown if counts[v]], np.flatnonzero(counts)
        shown = ", ".join(map(str, found[:8])) + (", ..." if len(found) > 8 else "")
        lowest, highest = int(present[0]), int(present[-1])
        if self.values is not None:
            return (f"{name} holds the values {shown}, which are not among values={self.values}. Where JPEG or resizing left values "
                    "between those of the codes, write nearest=True; save masks as PNG to keep them")
        where = f"{name} holds the class numbers {shown}, but there are {self.c} codes, 0 to {self.c - 1}. "
        if self.c == 2 and not counts[1] and len(present) <= 2:
            return where + (f"If {highest} is {self.vocab[1]!r}, write values=[0, {highest}] beside codes; if it marks pixels that do not "
                            f"count, ignore_index={highest}")
        if self.c == 2 and len(present) > 8:
            return where + (f"If they stand for {lowest} and {highest}, and JPEG or resizing left values between, write values=[0, "
                            f"{highest}], nearest=True beside codes; save masks as PNG to keep them")
        return where + f"Name them in codes, or write MaskBlock(codes, ignore_index={found[-1]}) if that marks pixels that do not count"

    def decodes(self, x: TensorMask) -> Any:
        return ShownMask.of(x, self.c, self.ignore_index)


class ShownMask(TensorMask):
    "A decoded mask, which is drawn half transparent over what is there, each class in the same colour in every image."
    n_classes = ignore_index = None

    @classmethod
    def of(cls, x: Any, n_classes: int | None = None, ignore_index: int | None = None) -> ShownMask:
        mask = x.as_subclass(torch.Tensor).as_subclass(cls)
        mask.n_classes, mask.ignore_index = n_classes, ignore_index
        return mask

    def show(self, ctx: Any = None, title: str | None = None, **kwargs: Any) -> Any:
        "Draw the mask on axes `ctx` (default: new ones) below `title`; what does not count is left clear. kwargs: as for `show_image`."
        a = self.as_subclass(torch.Tensor).detach().cpu().numpy()
        n = self.n_classes or 20
        colours = {"alpha": 0.5, "cmap": "tab20" if n <= 20 else _many_colours(n), "interpolation": "nearest", "vmin": 0,
                   "vmax": max(n - 1, 1)}
        shown = (a % n if self.n_classes is None else a).astype(np.float32)
        if self.ignore_index is not None:
            shown[a == self.ignore_index] = np.nan                # which matplotlib leaves clear
        return show_image(shown, ctx=ctx, title=title, **{**colours, **kwargs})


def _many_colours(n):
    "A colour map of `n` colours of which neighbours differ much."
    from matplotlib.colors import ListedColormap, hsv_to_rgb
    i = np.arange(n)
    return ListedColormap(hsv_to_rgb(np.stack([i * 0.618034 % 1, 0.55 + 0.45 * (i % 2), 0.65 + 0.35 * (i // 2 % 2)], 1)))


def show_mask(x: Any, ctx: Any = None, n_classes: int | None = None, ignore_index: int | None = None, **kwargs: Any) -> Any:
    """Draw a mask half transparent over what is there.

    Args:
        x: the mask.
        ctx: the matplotlib axes (default: new ones).
        n_classes: how many classes there are.
        ignore_index: of pixels that are left clear.
        **kwargs: as for `show_image`.
    """
    x = torch.as_tensor(np.array(x) if isinstance(x, PILMask) else x)
    return ShownMask.of(x, n_classes, ignore_index).show(ctx=ctx, **kwargs)


@knows_keywords
def MaskBlock(codes: Sequence[Any] | None = None, ignore_index: int | None = None, values: Sequence[int] | None = None,
              nearest: bool = False) -> TransformBlock:
    """Masks: images whose pixels are class numbers; int64 (H,W) in a batch, with cross entropy over axis 1 as loss.

    Args:
        codes: the name of each class; a mask with another number is refused, with its file name.
        ignore_index: a number that marks pixels that do not count (void), such as 255. It is no code, the loss leaves it out, and it is not
            drawn. `DiceMulti` and `JaccardCoeffMulti` leave it out too; `foreground_acc` counts such pixels as wrong, unless it is its
            `bkg_idx`.
        values: the value of the pixels of each class where that is not its number: [0, 255] for masks in black and white.
        nearest: values between those (JPEG files have some) belong to the nearest class; False: they are refused.
    """
    loss = CrossEntropyLossFlat(axis=1) if ignore_index is None else CrossEntropyLossFlat(axis=1, ignore_index=ignore_index)
    tfm = AddMaskCodes(codes, ignore_index, values, nearest)
    return TransformBlock(type_tfms=[open_mask, tfm], item_tfms=[ToTensor()], batch_tfms=[IntToFloatTensor()], loss_func=loss,
                          show=partial(show_mask, n_classes=tfm.c, ignore_index=ignore_index), tta=tta_masks)
