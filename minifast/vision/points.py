"""Key points of images: `PointBlock`, and `PointScaler`, which brings points and boxes to -1..1 for the model and back."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ..core.keywords import knows_keywords
from ..core.messages import describe, plural
from ..core.nested import with_attributes
from ..data.block import TransformBlock
from ..data.categories import item_name
from ..data.coords import (
    COORDS,
    XYXY,
    BoundingBoxes,
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
from .tta_geometry import tta_points

__all__ = ["PointBlock", "PointScaler", "TensorPoint"]


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
