"""The data blocks of vision: pictures, and masks of them."""
import numpy as np

from ..data.block import TransformBlock
from ..losses import CrossEntropyLossFlat
from ..plots import show_image
from ..transform import Transform
from .images import IntToFloatTensor, PILBase, PILImage, PILMask, ToTensor

__all__ = ["AddMaskCodes", "ImageBlock", "MaskBlock"]


def ImageBlock(cls=PILImage):
    "Pictures: opened by `cls.create` (`PILImage`, `PILImageBW` or your own), then uint8 tensors (C,H,W); floats in 0..1 in a batch."
    if not (isinstance(cls, type) and issubclass(cls, PILBase)):
        raise TypeError(f"ImageBlock(cls={cls!r}): a class of pictures such as PILImage or PILImageBW"
                        + (", as ImageBlock() makes it" if cls is ImageBlock else ""))
    return TransformBlock(type_tfms=[cls.create], item_tfms=[ToTensor()], batch_tfms=[IntToFloatTensor()])


class AddMaskCodes(Transform):
    """Name the classes of masks: `codes` become the vocabulary, and every mask is checked to hold only their numbers.

    ignore_index: a number that is no class but may occur (void).
    """
    types = (PILMask,)

    def __init__(self, codes=None, ignore_index=None):
        super().__init__()
        self.vocab = None if codes is None else [str(c) for c in codes]
        self.c = None if codes is None else len(self.vocab)
        self.ignore_index = ignore_index

    def encodes(self, x):
        if self.c is not None:
            counts = np.asarray(x.histogram()[self.c:256])
            found = [self.c + i for i in np.flatnonzero(counts).tolist() if self.c + i != self.ignore_index]
            if found:
                shown = ", ".join(map(str, found[:8])) + (", ..." if len(found) > 8 else "")
                raise ValueError(f"this mask holds the class numbers {shown}, but there are {self.c} codes, 0 to {self.c - 1}. Name them "
                                 f"in codes, or write MaskBlock(codes, ignore_index={found[-1]}) if that marks pixels that do not count")
        return x


class _ShowMask:
    "Draw a mask half transparent over what is there, each class in its own colour."

    def __init__(self, n_classes=None):
        self.n_classes = n_classes

    def __call__(self, x, ctx=None, **kwargs):
        colours = {"alpha": 0.5, "cmap": "tab20", "interpolation": "nearest", "vmin": 0}
        if self.n_classes is not None:
            colours["vmax"] = max(self.n_classes - 1, 1)
        return show_image(x, ctx=ctx, **{**colours, **kwargs})


def MaskBlock(codes=None, ignore_index=None):
    """Masks: images whose pixels are class numbers; int64 (H,W) in a batch, with cross entropy over axis 1 as loss.

    codes: the name of each class. ignore_index: a number that marks pixels that do not count, such as 255; the loss leaves them out.
    """
    loss = CrossEntropyLossFlat(axis=1) if ignore_index is None else CrossEntropyLossFlat(axis=1, ignore_index=ignore_index)
    tfm = AddMaskCodes(codes, ignore_index)
    return TransformBlock(type_tfms=[PILMask.create, tfm], item_tfms=[ToTensor()], batch_tfms=[IntToFloatTensor()], loss_func=loss,
                          show=_ShowMask(tfm.c))
