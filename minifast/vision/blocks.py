"""The data blocks of vision: images, and masks of them."""
from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from os import PathLike, fspath
from typing import Any

import numpy as np
import torch

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


def ImageBlock(cls: type[PILBase] = PILImage, value_range: tuple[float, float] | None = None) -> TransformBlock:
    """Images: uint8 tensors (C,H,W) as items, floats in 0..1 in a batch.

    Args:
        cls: what opens them by its `create`: `PILImage`, `PILImageBW` or your own.
        value_range: the values (low, high) that become black and white, where pixels are no bytes: (0, 4095) for 12 bits in 16-bit files,
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
    """Name the classes of masks, and check that every mask holds only their numbers.

    Args:
        codes: the name of each class, in the order of the numbers from 0; None: no check.
        ignore_index: a number that is no class but may occur, such as 255 for void.
    """
    types = (PILMask,)

    def __init__(self, codes: Sequence[Any] | None = None, ignore_index: int | None = None):
        super().__init__()
        self.vocab = None if codes is None else [str(c) for c in codes]
        self.c = None if codes is None else len(self.vocab)
        self.ignore_index = ignore_index

    @property
    def recipe(self) -> Recipe:
        "How to make this transform."
        return Recipe(type(self), {"codes": self.vocab, "ignore_index": self.ignore_index})

    def encodes(self, x: Any) -> Any:
        if self.c is not None:
            counts = np.asarray(x.histogram()[self.c:256])
            found = [self.c + i for i in np.flatnonzero(counts).tolist() if self.c + i != self.ignore_index]
            if found:
                shown = ", ".join(map(str, found[:8])) + (", ..." if len(found) > 8 else "")
                raise ValueError(f"{getattr(x, 'source', 'this mask')} holds the class numbers {shown}, but there are {self.c} codes, 0 to "
                                 f"{self.c - 1}. Name them in codes, or write MaskBlock(codes, ignore_index={found[-1]}) if that marks "
                                 "pixels that do not count")
        return x

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


def MaskBlock(codes: Sequence[Any] | None = None, ignore_index: int | None = None) -> TransformBlock:
    """Masks: images whose pixels are class numbers; int64 (H,W) in a batch, with cross entropy over axis 1 as loss.

    Args:
        codes: the name of each class; a mask with another number is refused, with its file name.
        ignore_index: a number that marks pixels that do not count (void), such as 255. It is no code, the loss leaves it out, and it is not
            drawn. `DiceMulti` and `JaccardCoeffMulti` leave it out too; `foreground_acc` counts such pixels as wrong, unless it is its
            `bkg_idx`.
    """
    loss = CrossEntropyLossFlat(axis=1) if ignore_index is None else CrossEntropyLossFlat(axis=1, ignore_index=ignore_index)
    tfm = AddMaskCodes(codes, ignore_index)
    return TransformBlock(type_tfms=[open_mask, tfm], item_tfms=[ToTensor()], batch_tfms=[IntToFloatTensor()], loss_func=loss,
                          show=partial(show_mask, n_classes=tfm.c, ignore_index=ignore_index), tta=tta_masks)
