"""Boxes around objects, and their labels: `BBoxBlock`, `BBoxLblBlock`, and how images with different numbers of them make a batch."""
from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from typing import Any

import torch

from ..core.items import L
from ..core.keywords import knows_keywords
from ..core.messages import describe
from ..core.nested import with_attributes
from ..data.block import TransformBlock
from ..data.categories import NA, MultiCategorize, MultiCategory
from ..data.coords import XYXY, BoundingBoxes, BoxLabels, drop_empty
from ..data.transforms import ItemTransform
from .points import PointScaler, axes_for, numbers, pixels_of
from .tta_geometry import tta_boxes

__all__ = ["BBoxBlock", "BBoxLblBlock", "LabeledBBox", "TensorBBox", "bb_pad", "get_annotations"]

_PATCH = "minifast-box"             # the name of rectangles on which labels are written


class TensorBBox(BoundingBoxes):
    """Boxes (N,4) of an image, each x1, y1, x2, y2: in pixels from its left and upper edge, or with `scaled` from -1 to 1.

    A torchvision `BoundingBoxes` of format XYXY.
    """
    scaled = False

    def __new__(cls, data: Any, img_size: tuple[int, int] | None = None, *, format: Any = XYXY,
                canvas_size: tuple[int, int] | None = None, **kwargs: Any) -> TensorBBox:
        return super().__new__(cls, data, format=format, canvas_size=canvas_size if img_size is None else tuple(img_size), **kwargs)

    @classmethod
    def create(cls, x: Any, img_size: tuple[int, int] | None = None) -> TensorBBox:
        """Boxes from a list, array or tensor of (x1, y1, x2, y2).

        img_size: (height, width) of their image; default: that of the image in the same sample.
        """
        boxes = numbers(x, 4, "TensorBBox.create", "boxes are x1, y1, x2, y2, the left upper and the right lower corner")
        wrong = (boxes[:, 2:] < boxes[:, :2]).any(1)
        if wrong.any():
            raise ValueError(f"TensorBBox.create: boxes are x1, y1, x2, y2, but in {boxes[wrong][0].tolist()} x2 is left of x1 or y2 above "
                             "y1. From x, y, width, height they are [x, y, x + width, y + height]")
        return cls(boxes, img_size)

    def show(self, ctx: Any = None, title: str | None = None, color: str = "white", lw: float = 2, **kwargs: Any) -> Any:
        "Draw the boxes on axes `ctx` (default: new ones) in `color`, with lines `lw` wide. kwargs are for the image."
        from matplotlib import patches, patheffects
        ctx = axes_for(ctx, title)
        for x1, y1, x2, y2 in pixels_of(self, 4).tolist():             # matplotlib has pixel centres at whole numbers
            patch = patches.Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, edgecolor=color, lw=lw, gid=_PATCH)
            patch.set_path_effects([patheffects.Stroke(linewidth=lw * 2, foreground="black"), patheffects.Normal()])
            ctx.add_patch(patch)
        return ctx


class BoxNames(MultiCategory):
    "The decoded labels of the boxes of one image."

    def show(self, ctx: Any = None, title: str | None = None, color: str = "white", **kwargs: Any) -> Any:
        "Write them on the boxes that were drawn last on axes `ctx`; where there are not as many, below the title."
        from matplotlib import patheffects

        from ..core.plots import show_item
        drawn = [] if ctx is None else [p for p in ctx.patches if p.get_gid() == _PATCH][-len(self):] if len(self) else []
        if len(drawn) != len(self) or ctx is None:
            return show_item(str(self), ctx=ctx, title=title)
        for name, patch in zip(self, drawn, strict=True):
            if str(name) != NA:
                text = ctx.text(*patch.get_xy(), str(name), color=color, fontsize=9, weight="bold", va="top", clip_on=True,
                                parse_math=False)
                text.set_path_effects([patheffects.Stroke(linewidth=2, foreground="black"), patheffects.Normal()])
        if title is not None:
            ctx.set_title(title, parse_math=False)
        return ctx


class LabeledBBox(L):
    """The boxes and the labels of one image, which show themselves.

    Args:
        bbox: corners (n, 4), left, top, right, bottom in pixels.
        lbl: n labels.
    """

    def __init__(self, bbox: Any, lbl: Any):
        super().__init__([bbox, lbl], use_list=True)
        if len(bbox) != len(lbl):
            raise ValueError(f"LabeledBBox: {len(bbox)} boxes, but {len(lbl)} labels")

    @property
    def bbox(self) -> Any:
        return self[0]

    @property
    def lbl(self) -> Any:
        return self[1]

    def show(self, ctx: Any = None, title: str | None = None, color: str = "white", **kwargs: Any) -> Any:
        "Draw the boxes with their labels on axes `ctx` (default: new ones)."
        boxes = self.bbox if isinstance(self.bbox, TensorBBox) else TensorBBox.create(self.bbox)
        ctx = boxes.show(ctx=ctx, title=title, color=color)
        return BoxNames(self.lbl, use_list=True).show(ctx=ctx, color=color)


class BoxCategorize(MultiCategorize):
    "A label per box to their numbers, as `BoxLabels`, and back."
    whole = True                                # a tuple of labels is one value
    one_each = True
    loss_func = None                            # boxes and labels together have no obvious loss

    def handles(self, x: Any) -> bool:
        return True

    def encodes(self, o: Any) -> Any:
        labels = super().encodes(o).as_subclass(BoxLabels)
        if not self.add_na:
            labels.pad = -100                   # what cross entropy leaves out
        return labels

    def decodes(self, o: Any) -> Any:
        known = self._known()
        return BoxNames((known[int(i)] if 0 <= int(i) < len(known) else NA for i in o.reshape(-1)), use_list=True)


def bb_pad(samples: list[tuple], pad_idx: int | None = None) -> list[tuple]:
    """Give the samples of a batch the same number of boxes: those with fewer get boxes of zeros. The `before_batch` transform of boxes.

    Boxes without area, which augmentation has cut off, are left out first.

    Args:
        samples: the samples of a batch, each a tuple.
        pad_idx: label of the added boxes (default: 0, '#na#'; -100 where the vocabulary has no '#na#').
    """
    if not isinstance(samples, list) or not all(isinstance(s, tuple) for s in samples):
        raise TypeError(f"bb_pad takes the list of samples of a batch, each a tuple; received {describe(samples)}")
    samples = [drop_empty(s) for s in samples]
    longest = {i: max(1, *(len(s[i]) for s in samples)) for i, o in enumerate(samples[0]) if isinstance(o, (BoundingBoxes, BoxLabels))}

    def padded(x, n):
        plain = x.as_subclass(torch.Tensor)
        fill = 0 if isinstance(x, BoundingBoxes) else x.pad if pad_idx is None else pad_idx
        return with_attributes(torch.cat([plain, plain.new_full((n - len(plain), *plain.shape[1:]), fill)]), x)

    return [tuple(padded(o, longest[i]) if i in longest else o for i, o in enumerate(s)) for s in samples]


def BBoxBlock() -> TransformBlock:
    """Boxes: a list of (x1, y1, x2, y2) in pixels of the (upright) image; (B,N,4) from -1 to 1 in a batch, filled up with zeros.

    They are targets: with `BBoxLblBlock` as third block write DataBlock(n_inp=1).
    """
    return TransformBlock(type_tfms=[ItemTransform(TensorBBox.create)], item_tfms=[PointScaler()],
                          dls_kwargs={"before_batch": bb_pad}, tta=tta_boxes)


@knows_keywords
def BBoxLblBlock(vocab: Sequence[Any] | None = None, add_na: bool = True) -> TransformBlock:
    """The labels of the boxes of the block before: a list with one per box; class numbers (B,N) in a batch.

    Args:
        vocab: the classes (default: those of the training items).
        add_na: class 0 is '#na#', for boxes that only fill up the batch, and for unknown labels; without it the former have number -100.
    """
    return TransformBlock(type_tfms=[BoxCategorize(vocab=vocab, add_na=add_na)], item_tfms=[PointScaler()],
                          dls_kwargs={"before_batch": bb_pad})


def get_annotations(fname: str | PathLike, prefix: str | None = None) -> tuple[list[str], list[Any]]:
    """Read a COCO annotation file (JSON).

    Args:
        fname: the file.
        prefix: put before each file name.

    Returns:
        The file names of the images that have boxes and, in the same order, (boxes, labels) of each. Boxes are [x1, y1, x2, y2].
    """
    with open(fname, encoding="utf-8") as f:
        annotations = json.load(f)
    missing = [k for k in ("images", "annotations", "categories") if k not in annotations]
    if missing:
        raise ValueError(f"{fname} is no COCO annotation file of boxes: it has no {', '.join(map(repr, missing))}")
    names = {c["id"]: c["name"] for c in annotations["categories"]}
    found = {}
    for a in annotations["annotations"]:
        x, y, w, h = a["bbox"]
        boxes, labels = found.setdefault(a["image_id"], ([], []))
        boxes.append([x, y, x + w, y + h])
        labels.append(names[a["category_id"]])
    images = [(o["file_name"], found[o["id"]]) for o in annotations["images"] if o["id"] in found]
    return [name if prefix is None else f"{prefix}{name}" for name, _ in images], [o for _, o in images]
