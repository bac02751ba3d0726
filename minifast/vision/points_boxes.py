"""What has a place in an image. Key points: `PointBlock`, and `PointScaler`, which brings points and boxes to -1..1 for the model and back.
Boxes around objects, and their labels: `BBoxBlock`, `BBoxLblBlock`, and how images with different numbers of them make a batch."""
from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

import torch

from ..core.arguments import knows_keywords
from ..core.items import L
from ..core.messages import describe, plural
from ..core.nested import with_attributes
from ..data.block import TransformBlock
from ..data.categories import NA, MultiCategorize, MultiCategory, item_name
from ..data.coords import (
    COORDS,
    XYXY,
    BoundingBoxes,
    BoxLabels,
    KeyPoints,
    as_xyxy,
    boxes_and_labels,
    drop_empty,
    image_size,
    is_scaled,
    on_canvas,
    scale_coords,
    unscale_coords,
)
from ..data.transforms import ItemTransform, is_sample, like_sample
from ..nn.losses import MSELossFlat
from .tta_geometry import tta_boxes, tta_points

__all__ = [
    "BBoxBlock",
    "BBoxLblBlock",
    "LabeledBBox",
    "PointBlock",
    "PointScaler",
    "TensorBBox",
    "TensorPoint",
    "bb_pad",
    "get_annotations",
]


class TensorPoint(KeyPoints):
    """Points (N,2) of an image, each (x, y): in pixels from its left and upper edge (see `coords`), or with `scaled` from -1 to 1.

    A torchvision `KeyPoints`, where torchvision has that class.
    """
    scaled = False

    def __new__(cls, data: Any, img_size: tuple[int, int] | None = None, *, canvas_size: tuple[int, int] | None = None,
                **kwargs: Any) -> TensorPoint:
        return super().__new__(cls, data, canvas_size=canvas_size if img_size is None else tuple(img_size), **kwargs)

    @classmethod
    def create(cls, t: Any, img_size: tuple[int, int] | None = None) -> TensorPoint:
        """Points from pairs (x, y), an array or tensor of them, or one flat list x, y, x, y ...

        img_size: (height, width) of their image; default: that of the image in the same sample.
        """
        points = numbers(t, 2, "TensorPoint.create", "points are pairs (x, y)")
        return cls(points, img_size)

    def show(self, ctx: Any = None, title: str | None = None, s: float = 60, marker: str = ".", c: str = "r", **kwargs: Any) -> Any:
        "Draw the points on axes `ctx` (default: new ones). s, marker, c: as for matplotlib's `scatter`; kwargs are for the image."
        ctx = axes_for(ctx, title)
        points = pixels_of(self, 2) - 0.5                           # matplotlib has pixel centres at whole numbers
        ctx.scatter(points[:, 0], points[:, 1], s=s, marker=marker, c=c)
        return ctx


def pixels_of(x: Any, n: int) -> torch.Tensor:
    "Points or boxes `x` as plain floats (N,n) on the CPU: in pixels, where their image is known."
    plain = x.as_subclass(torch.Tensor).detach().cpu().float().reshape(-1, n)
    return unscale_coords(plain, x.canvas_size) if x.scaled and x.canvas_size is not None else plain


def axes_for(ctx: Any, title: str | None = None) -> Any:
    "The axes `ctx` or, where it is None, new ones on which y goes down, as in an image; with `title`."
    if ctx is None:
        import matplotlib.pyplot as plt
        _, ctx = plt.subplots()
        ctx.set_aspect("equal")
        ctx.invert_yaxis()
    if title is not None:
        ctx.set_title(title, parse_math=False)
    return ctx


def numbers(t: Any, n: int, where: str, what: str) -> torch.Tensor:
    "A copy of `t` as float32 tensor (N, n) of finite numbers, else an error that says `what` they are."
    try:
        found = torch.as_tensor(t, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError) as e:
        raise TypeError(f"{where}: {what}; received {describe(t)}") from e
    found = found.as_subclass(torch.Tensor).detach().clone()
    if (found.ndim > 1 and found.shape[-1] != n and found.numel()) or found.numel() % n:
        raise ValueError(f"{where}: {what}; received {describe(t)}")
    if not torch.isfinite(found).all():
        raise ValueError(f"{where}: {what}, but of these some are NaN or infinite: {found.reshape(-1, n).tolist()[:4]}. "
                         "Leave such items out")
    return found.reshape(-1, n)


class PointScaler(ItemTransform):
    """Points and boxes of a sample from pixels to -1..1, after everything that changes the image's geometry; `decode` goes back.

    Boxes are cut at the edges of the image, and what is left without area is dropped with its label.
    """
    order = 4

    def encodes(self, sample: Any) -> Any:
        sample = on_canvas(sample)
        if not is_sample(sample):
            return self._scale(sample)
        for i, j in boxes_and_labels(sample):
            if j is not None and len(sample[i]) != len(sample[j]):
                raise ValueError(f"{plural(len(sample[i]), 'box')}, but {plural(len(sample[j]), 'label')}: each box needs a label")
        return drop_empty(like_sample(map(self._scale, sample), sample))

    @staticmethod
    def _scale(x):
        if not isinstance(x, COORDS) or is_scaled(x):
            return x
        plain = scale_coords(as_xyxy(x), x.canvas_size)
        if isinstance(x, BoundingBoxes):
            return with_attributes(plain.clamp(-1, 1), x, scaled=True, format=XYXY)
        return with_attributes(plain, x, scaled=True)

    def decodes(self, sample: Any) -> Any:
        if not is_sample(sample):
            return self._unscale(sample, None)
        size = image_size(sample)
        return drop_empty(like_sample([self._unscale(o, size) for o in sample], sample))

    @staticmethod
    def _unscale(x, size):
        if not isinstance(x, COORDS):
            return x
        n, plain = 4 if isinstance(x, BoundingBoxes) else 2, x.as_subclass(torch.Tensor)
        if plain.numel() % n:
            return x
        size = x.canvas_size if size is None else size
        plain = plain.reshape(-1, n)                        # a model may give all of them in one row
        return with_attributes(unscale_coords(plain, size) if is_scaled(x) else plain, x, scaled=False, canvas_size=size)


class ReadPoints(ItemTransform):
    "Points as the labels have them to a `TensorPoint`. All training items must have the same number of points."

    def __init__(self, y_first: bool = False):
        super().__init__()
        self.y_first, self.c = y_first, None

    def encodes(self, o: Any) -> Any:
        points = TensorPoint.create(o)
        return TensorPoint(points.as_subclass(torch.Tensor).flip(1), canvas_size=points.canvas_size) if self.y_first else points

    def setups(self, items: Iterable[Any]) -> None:
        self.check_items(items)

    def check_items(self, items: Iterable[Any], where: str = "the training set") -> None:
        "Refuse items with another number of points than the first one; `where` says which items these are."
        for i, o in enumerate(items):
            n = TensorPoint.create(o).numel()
            self.c = n if self.c is None else self.c
            if n != self.c or not n:
                raise ValueError(f"{item_name(items, i)} of {where} has {plural(n // 2, 'point')}, others have {self.c // 2}: a model that "
                                 "predicts points needs the same number for every image")


@knows_keywords
def PointBlock(y_first: bool = False) -> TransformBlock:
    """Key points: pairs (x, y) in pixels of the (upright) image; (N,2) from -1 to 1 in a batch, with mean squared error as loss.

    Args:
        y_first: the labels are (y, x), that is row, column.
    """
    return TransformBlock(type_tfms=[ReadPoints(y_first)], item_tfms=[PointScaler()], loss_func=MSELossFlat(), tta=tta_points)


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
