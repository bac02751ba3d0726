"""Points and boxes of images: tensors that know the size of their image, and how they move when it is cropped, turned or warped.

Coordinates are (x, y), counted from the left and upper edge of the image: the centre of its first pixel is at (0.5, 0.5), its right
edge at x = width. Scaled, for the model, both edges are at -1 and 1. A resize is then a multiplication, whatever the resolution, and what
a transform does to a point is what it does to the pixel there, exactly.
"""
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torchvision import tv_tensors

from ..core.messages import describe
from ..core.nested import with_attributes
from ..data.transforms import is_sample, like_sample

__all__ = [
    "COORDS",
    "BoundingBoxes",
    "BoxLabels",
    "KeyPoints",
    "blank_empty",
    "drop_empty",
    "in_pixels",
    "move_batch",
    "move_item",
    "on_canvas",
]

Size: TypeAlias = tuple[int, int]
"(height, width) in pixels."

BoundingBoxes = tv_tensors.BoundingBoxes
XYXY = tv_tensors.BoundingBoxFormat.XYXY
EMPTY = 1e-3              #: boxes of less than this width or height, in pixels, hold nothing

if hasattr(tv_tensors, "KeyPoints"):
    KeyPoints = tv_tensors.KeyPoints
else:
    class KeyPoints(tv_tensors.TVTensor):           # type: ignore[no-redef]  # one name for either
        "Points (..., 2) of an image of `canvas_size` (height, width), where torchvision (before 0.23) has no such class."

        def __new__(cls, data: Any, *, canvas_size: Size | None, dtype: torch.dtype | None = None,
                    device: torch.device | str | None = None, requires_grad: bool | None = None) -> Any:
            points = cls._to_tensor(data, dtype=dtype, device=device, requires_grad=requires_grad).as_subclass(cls)
            points.canvas_size = canvas_size
            return points

        @classmethod
        def wrap(cls, tensor: torch.Tensor, like: torch.Tensor, **kwargs: Any) -> torch.Tensor:
            return with_attributes(tensor, like, **kwargs)

COORDS = (KeyPoints, BoundingBoxes)


class BoxLabels(tv_tensors.TVTensor):
    "The class ids (N,) of the boxes of an image, in their order. `pad` is the id of what fills up a batch and is no box."
    pad: int = 0


def is_scaled(x: torch.Tensor) -> bool:
    "Whether the coordinates `x` go from -1 to 1, not in pixels."
    return getattr(x, "scaled", False)



def image_size(sample: Any) -> Size | None:
    "(height, width) of the first image or mask of a sample, a batch too; None if it has none."
    images = [o for o in (sample if is_sample(sample) else (sample,)) if isinstance(o, (Image.Image, tv_tensors.Image, tv_tensors.Mask))]
    return next((o.size[::-1] if isinstance(o, Image.Image) else tuple(o.shape[-2:]) for o in images), None)


def on_canvas(sample: Any) -> Any:
    "`sample` whose points and boxes know the size of the image they are on: that of the first image of the sample."
    parts = sample if is_sample(sample) else (sample,)
    if not any(isinstance(o, COORDS) and o.canvas_size is None for o in parts):
        return sample
    size = image_size(sample)
    if size is None:
        raise ValueError(f"the image that these points or boxes belong to is not in the sample {describe(sample)}. Put it there, or give "
                         "its size: TensorPoint.create(points, img_size=(height, width))")

    done = [with_attributes(o, o, canvas_size=size) if isinstance(o, COORDS) and o.canvas_size is None else o for o in parts]
    return like_sample(done, sample) if is_sample(sample) else done[0]


# -- corners and hulls ------------------------------------------------------------------------------------------------------------

def corners(boxes: torch.Tensor) -> torch.Tensor:
    "The four corners (...,4,2) of boxes (...,4) of x1, y1, x2, y2."
    x1, y1, x2, y2 = boxes.unbind(-1)
    return torch.stack([torch.stack(p, -1) for p in ((x1, y1), (x2, y1), (x2, y2), (x1, y2))], -2)


def hulls(points: torch.Tensor) -> torch.Tensor:
    "The boxes (...,4) around points (...,n,2)."
    return torch.cat([points.amin(-2), points.amax(-2)], -1)


def has_area(boxes: torch.Tensor, size: Sequence[int] | None = None) -> torch.Tensor:
    "Which boxes (...,4) are wider and higher than `EMPTY` pixels. size: (height, width), where they are scaled to -1..1."
    h, w = (2, 2) if size is None else size
    return ((boxes[..., 2] - boxes[..., 0]) * (w / 2) > EMPTY) & ((boxes[..., 3] - boxes[..., 1]) * (h / 2) > EMPTY)


def _converted(plain: torch.Tensor, old: Any, new: Any) -> torch.Tensor:
    if old == new:
        return plain
    from torchvision.transforms.v2.functional import convert_bounding_box_format
    flat = convert_bounding_box_format(plain.reshape(-1, plain.shape[-1]), old_format=old, new_format=new)
    return flat.reshape(*plain.shape[:-1], flat.shape[-1])


def as_xyxy(x: Any) -> torch.Tensor:
    "Plain coordinates of `x`, boxes as x1, y1, x2, y2."
    plain = x.as_subclass(torch.Tensor)
    return _converted(plain, x.format, XYXY) if isinstance(x, BoundingBoxes) else plain


def _from_xyxy(plain: torch.Tensor, like: Any) -> torch.Tensor:
    return _converted(plain, XYXY, like.format) if isinstance(like, BoundingBoxes) else plain


@lru_cache(maxsize=64)
def _half_of(size, n, dtype, device):
    return torch.tensor([size[1] / 2, size[0] / 2] * n, dtype=dtype, device=device)


def _half(size: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    "Half of the width, half of the height, as often as `like` has pairs of coordinates; made once, since a copy to a GPU waits for it."
    return _half_of(tuple(size), like.shape[-1] // 2, like.dtype, like.device)


def scale_coords(plain: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    "Pixels -> -1..1, in an image of `size` (height, width)."
    return plain / _half(size, plain) - 1


def unscale_coords(plain: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    "-1..1 -> pixels."
    return (plain + 1) * _half(size, plain)


def in_pixels(x: Any) -> Any:
    "Points or boxes `x` in pixels."
    return with_attributes(unscale_coords(x.as_subclass(torch.Tensor), x.canvas_size), x, scaled=False) if is_scaled(x) else x


# -- moving -----------------------------------------------------------------------------------------------------------------------

def _as_floats(x: Any) -> torch.Tensor:
    plain = as_xyxy(x)
    return plain if plain.is_floating_point() else plain.float()


def move_item(x: Any, matrix: Any, size: Sequence[int]) -> Any:
    """Points or boxes `x` of one image through `matrix` (2,3), in pixels, onto an image of `size` (height, width).

    A point may end up outside. A box becomes the box around its corners, cut at the edges of the image; one of which nothing is
    left becomes zeros.
    """
    plain = _as_floats(in_pixels(x))
    m = torch.as_tensor(matrix, dtype=plain.dtype)
    if isinstance(x, BoundingBoxes):
        moved = hulls(corners(plain) @ m[:, :2].T + m[:, 2])
        moved = torch.minimum(moved.clamp_min(0), 2 * _half(size, moved))
        moved = torch.where((has_area(plain) & has_area(moved))[..., None], moved, 0)
    else:
        moved = plain @ m[:, :2].T + m[:, 2]
    moved = _from_xyxy(moved, x)
    return with_attributes(scale_coords(moved, size) if is_scaled(x) else moved, x, canvas_size=tuple(size))


def projected(points: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    "Points (B,...,2) through projective maps (B,3,3)."
    m = matrix.view(len(matrix), *[1] * (points.ndim - 2), 3, 3)
    x, y = points[..., :1], points[..., 1:]
    moved = m[..., 0] * x + m[..., 1] * y + m[..., 2]           # sums, not a matrix product, which TF32 would round
    depth = moved[..., 2:]
    return moved[..., :2] / torch.where(depth.abs() < 1e-6, torch.full_like(depth, 1e-6), depth)


def move_batch(x: Any, matrix: torch.Tensor | None, size: Sequence[int]) -> Any:
    """Points (B,N,2) or boxes (B,N,4) of a batch through one projective map per image, `matrix` (B,3,3), in coordinates from -1 to 1.

    matrix: tensor on the device of `x`, from the old image to the new one of `size`; None: only the size changes. Boxes as in
    `move_item`.
    """
    old = x.canvas_size
    scaled = is_scaled(x)
    plain = _as_floats(x) if scaled else scale_coords(_as_floats(x), old)
    if isinstance(x, BoundingBoxes):
        moved = plain if matrix is None else hulls(projected(corners(plain), matrix))
        moved = moved.clamp(-1, 1)
        alive = has_area(plain, old) & has_area(moved, size)
        # an empty box is all zeros, in pixels as well as scaled: no place, and no size
        moved = torch.where(alive[..., None], moved if scaled else unscale_coords(moved, size), 0)
    else:
        moved = plain if matrix is None else projected(plain, matrix)
        moved = moved if scaled else unscale_coords(moved, size)
    return with_attributes(_from_xyxy(moved, x), x, canvas_size=tuple(size))


# -- boxes and their labels -------------------------------------------------------------------------------------------------------

def boxes_and_labels(sample: Sequence) -> list[tuple[int, int | None]]:
    "(position of boxes, position of their labels or None) in a sample; labels belong to the boxes before them."
    at = [i for i, o in enumerate(sample) if isinstance(o, (BoundingBoxes, BoxLabels))]
    return [(i, j if j is not None and isinstance(sample[j], BoxLabels) else None) for i, j in pairwise([*at, None])
            if isinstance(sample[i], BoundingBoxes)]


def _alive(boxes):
    return has_area(as_xyxy(boxes), boxes.canvas_size if is_scaled(boxes) else None)


def blank_empty(sample: Any) -> Any:
    "A sample or batch in which empty boxes are all zeros, and their labels those of no box."
    parts = list(sample) if is_sample(sample) else [sample]
    for i, j in boxes_and_labels(parts):
        alive = _alive(parts[i])
        parts[i] = with_attributes(torch.where(alive[..., None], parts[i].as_subclass(torch.Tensor), 0), parts[i])
        if j is not None and parts[j].shape == alive.shape:
            parts[j] = with_attributes(torch.where(alive, parts[j].as_subclass(torch.Tensor), parts[j].pad), parts[j])
    return like_sample(parts, sample) if is_sample(sample) else parts[0]


def drop_empty(sample: Any) -> Any:
    "One sample without its empty boxes and their labels."
    if not is_sample(sample):
        return sample
    parts = list(sample)
    for i, j in boxes_and_labels(parts):
        keep = _alive(parts[i])
        for k in (i, j):
            if k is not None and parts[k].ndim and len(parts[k]) == len(keep):
                parts[k] = with_attributes(parts[k].as_subclass(torch.Tensor)[keep], parts[k])
    return like_sample(parts, sample)


# -- matrices of whole-image operations -----------------------------------------------------------------------------------------

def box_to_size(box: Sequence[float], size: Sequence[int]) -> np.ndarray:
    "The matrix (2,3) of cutting out `box` (left, top, right, bottom; pixels) and resizing it to `size` (height, width)."
    left, top, right, bottom = box
    sx, sy = size[1] / (right - left), size[0] / (bottom - top)
    return np.array([[sx, 0, -left * sx], [0, sy, -top * sy]])


_IDENTITY, _TRANSPOSED = ((1, 0), (0, 1)), ((0, 1), (1, 0))
_TURNS = {Image.Transpose.FLIP_LEFT_RIGHT: (_IDENTITY, -1, 1), Image.Transpose.FLIP_TOP_BOTTOM: (_IDENTITY, 1, -1),
          Image.Transpose.ROTATE_180: (_IDENTITY, -1, -1), Image.Transpose.TRANSPOSE: (_TRANSPOSED, 1, 1),
          Image.Transpose.ROTATE_90: (_TRANSPOSED, 1, -1), Image.Transpose.ROTATE_270: (_TRANSPOSED, -1, 1),
          Image.Transpose.TRANSVERSE: (_TRANSPOSED, -1, -1)}


def turn_matrix(turn: Image.Transpose, size: Sequence[int]) -> tuple[np.ndarray, tuple[int, int]]:
    "The matrix (2,3) of PIL's transposition `turn` of an image of `size` (height, width), and the size of the result."
    swap, sx, sy = _TURNS[turn]
    h, w = (size[1], size[0]) if swap is _TRANSPOSED else size
    linear = np.array(swap, dtype=float) * [[sx], [sy]]
    return np.column_stack([linear, [w if sx < 0 else 0, h if sy < 0 else 0]]), (h, w)
