"""Test-time augmentation for targets with a position: masks and points predicted on augmented images, mapped back to the plain images.

    with recording(loader) as record:
        preds = ...                                 # of one pass over `loader`, in order
    masks, covered = invert_masks(preds, record)
    points = invert_points(preds, record)

Only then may predictions be averaged. All matrices are in coordinates from -1 to 1 between the outer edges of an image, so they hold for
predictions of any resolution.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from ..core.messages import brief, describe
from ..data.coords import projected
from ..learner.inference import loader_for
from .augment.affine import AffineWarp, sampling_grid
from .augment.batch import RandomErasing
from .augment.lighting import Lighting
from .symmetry import is_symmetry, symmetries

if TYPE_CHECKING:
    from ..learner.learner import Learner

__all__ = ["Drawn", "inverse_grid", "invert_masks", "invert_points", "recording", "tta_boxes", "tta_masks", "tta_points"]


@dataclass(frozen=True)
class Drawn:
    """What was done to a batch.

    Attributes:
        matrix: (B,3,3), from a point of the result to the point of the batch as it was loaded.
        size: (height, width) of the result; None: unchanged.
    """

    matrix: np.ndarray
    size: tuple[int, int] | None = None


@contextmanager
def recording(source: Any) -> Iterator[list[Drawn]]:
    """Record what the geometric batch transforms of `source` do to each batch within the block; the list is complete after it.

    Args:
        source: a loader, pipeline, transform or list of transforms. Random transforms that cannot be undone are refused.
    """
    source = getattr(source, "after_batch", source)
    tfms = list(source) if hasattr(source, "__iter__") else [source]
    unknown = [t for t in tfms if getattr(t, "varies", False) and not isinstance(t, (AffineWarp, Lighting, RandomErasing))]
    if unknown:
        raise ValueError(f"what {', '.join(map(brief, unknown))} did to the images is not known, so predictions of masks or points cannot "
                         "be mapped back. Use the geometric transforms of aug_transforms()")
    tfms = [t for t in tfms if isinstance(t, AffineWarp)]
    record: list[Drawn] = []
    lists: list[list] = [[] for _ in tfms]
    before = [t.drawn for t in tfms]
    try:
        for t, drawn in zip(tfms, lists, strict=True):
            t.drawn = drawn
        yield record
    finally:
        for t, drawn in zip(tfms, before, strict=True):
            t.drawn = drawn
        record += [Drawn(reduce(np.matmul, [matrix for matrix, _ in parts]), parts[-1][1])         # what all of them did to one batch
                   for parts in zip(*filter(None, lists), strict=False)]


Recorded = Drawn | Sequence[Drawn]


def _batches(preds: torch.Tensor, record: Recorded, plain: Recorded | None, where: str) -> Iterator[tuple]:
    "(predictions, matrix from the plain image to the augmented one, size of the plain image) for each batch."
    record, plain = ([o] if isinstance(o, Drawn) else o for o in (record, plain))
    if not isinstance(preds, torch.Tensor):
        raise TypeError(f"{where}: predictions must be one tensor, of images of one size; received {describe(preds)}")
    sizes = [len(drawn.matrix) for drawn in record]
    if sum(sizes) != len(preds):
        raise ValueError(f"{where}: {len(preds)} predictions, but what was recorded is of {sum(sizes)} images")
    for part, drawn, back in zip(preds.split(sizes), record, plain or [Drawn(np.eye(3))] * len(sizes), strict=True):
        yield part, np.linalg.inv(drawn.matrix) @ back.matrix, back.size


def _tensor(matrix: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    dtype = like.dtype if like.dtype in (torch.float32, torch.float64) else torch.float32
    return torch.from_numpy(np.ascontiguousarray(matrix)).to(like.device, dtype)


def invert_points(preds: torch.Tensor, record: Recorded, plain: Recorded | None = None) -> torch.Tensor:
    """Map points that were predicted on augmented images back to the plain images.

    Args:
        preds: (N,k,2) or (N,2k), in coordinates from -1 to 1, as the targets of `PointBlock` are.
        record: what `recording` collected in the pass that made them.
        plain: the record of the pass without augmentation, where that changes geometry too (a resize or central crop).
    """
    done = [projected(part.reshape(len(part), -1, 2), _tensor(np.linalg.inv(m), part)).reshape(part.shape)
            for part, m, _ in _batches(preds, record, plain, "invert_points")]
    return torch.cat(done)


def inverse_grid(matrix: torch.Tensor, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """For each pixel of the plain images of `size`, where it is on the augmented ones: a grid (B,H,W,2) for `grid_sample` with
    align_corners=False, and whether it is on them at all (B,H,W).

    Args:
        matrix: (B,3,3), from the plain image to the augmented one.
    """
    grid, depth = sampling_grid(matrix.float(), size, align_corners=False)
    grid = grid / torch.where(depth.abs() < 1e-6, torch.full_like(depth, 1e-6), depth)
    return grid, (grid.abs() <= 1).all(-1) & (depth[..., 0] > 0)


def _exact(preds: torch.Tensor, m: np.ndarray) -> torch.Tensor | None:
    "`preds` (B,C,H,W) seen through flips and quarter turns `m` (B,3,3), pixel by pixel; None where `m` is anything else."
    rounded = np.rint(m)
    swapped = rounded[:, 0, 0] == 0
    straight = np.where(swapped[:, None, None], rounded[:, (1, 0, 2)], rounded)         # what is left once rows and columns are swapped
    if np.abs(m - rounded).max() > 1e-9 or not is_symmetry(straight) or (swapped.any() and preds.shape[-1] != preds.shape[-2]):
        return None
    return symmetries(torch.stack([x.transpose(-1, -2) if swap else x for x, swap in zip(preds, swapped, strict=True)]), straight)


def invert_masks(preds: torch.Tensor, record: Recorded, plain: Recorded | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Map predictions per pixel on augmented images back to the plain images: flips exactly, the rest by interpolation.

    Args:
        preds: floats (N,C,H,W).
        record, plain: see `invert_points`.

    Returns:
        The predictions for the plain images, and which pixels of those the augmented images showed: bool (N,1,H,W).
    """
    done = [_plain_masks(*part) for part in _batches(preds, record, plain, "invert_masks")]
    return torch.cat([values for values, _ in done]), torch.cat([seen for _, seen in done])


def _plain_masks(preds: torch.Tensor, m: np.ndarray, size: tuple[int, int] | None) -> tuple[torch.Tensor, torch.Tensor]:
    if preds.ndim != 4 or not preds.is_floating_point():
        raise ValueError(f"invert_masks: predictions per pixel are floats (N,C,H,W); received {describe(preds)}")
    exact = _exact(preds, m) if size in (None, tuple(preds.shape[-2:])) else None
    if exact is not None:
        return exact, torch.ones_like(exact[:, :1], dtype=torch.bool)
    grid, covered = inverse_grid(_tensor(m, preds), size or tuple(preds.shape[-2:]))
    return F.grid_sample(preds, grid.to(preds.dtype), mode="bilinear", padding_mode="border", align_corners=False), covered[:, None]


# -- the whole of test-time augmentation: what blocks give to `TransformBlock(tta=...)` ---------------------------------------------
def _augmenting_loader(learn: Learner, ds_idx: int, dl: Any) -> Any:
    "The loader with the item transforms of validation, whose crops could not be undone, and the batch transforms of training."
    loader = loader_for(learn, ds_idx, dl, train_transforms=True)
    if hasattr(loader.dataset, "with_split_idx"):
        loader = loader.new(loader.dataset.with_split_idx(1), shuffle=False, drop_last=False)
    loader.after_item = loader.after_item.new(1)
    return loader


def _tta(invert: Callable, learn: Learner, ds_idx: int, dl: Any, n: int, beta: float | None, use_max: bool) -> tuple:
    "`Learner.tta`, each prediction mapped by `invert` before it is averaged. Only batch transforms vary."
    augmenting = _augmenting_loader(learn, ds_idx, dl)
    if not any(getattr(t, "varies", False) for t in augmenting.after_batch):
        raise ValueError("tta() has nothing to vary: predictions of masks and points can only be mapped back from random batch "
                         "transforms, and these loaders have none. Add `batch_tfms=aug_transforms()`, or use get_preds()")
    plain_loader = loader_for(learn, ds_idx, dl)
    with recording(plain_loader) as plain_record:
        plain, targs = learn.get_preds(dl=plain_loader, reorder=False)
    total, count, highest = torch.zeros_like(plain), torch.zeros((), dtype=plain.dtype, device=plain.device), plain
    for _ in range(n):
        with recording(augmenting) as record:
            preds = learn.get_preds(dl=augmenting, with_targs=False, reorder=False)[0]
        seen = torch.ones((), device=plain.device)
        if record:                                              # else only lighting varies
            preds, seen = invert(preds, record, plain_record)
        total = total + preds * seen
        count = count + seen.to(plain.dtype)
        highest = torch.where(seen.bool(), torch.maximum(highest, preds), highest)
    if use_max:
        return highest, targs
    augmented = torch.where(count > 0, total / count.clamp_min(1), plain)
    if beta is None:
        return (augmented, plain), targs
    return torch.lerp(augmented, plain, beta), targs


def tta_masks(learn: Learner, ds_idx: int = 1, dl: Any = None, n: int = 4, beta: float | None = 0.25, use_max: bool = False) -> tuple:
    "`Learner.tta` for masks: predictions are mapped back before they are averaged; a pixel that an augmented image lacks does not count."
    return _tta(invert_masks, learn, ds_idx, dl, n, beta, use_max)


def tta_points(learn: Learner, ds_idx: int = 1, dl: Any = None, n: int = 4, beta: float | None = 0.25, use_max: bool = False) -> tuple:
    "`Learner.tta` for key points: predictions are mapped back to the plain images before they are averaged."
    if use_max:
        raise ValueError("tta(use_max=True): the maximum of several coordinates is not a position. Leave use_max out")
    return _tta(lambda preds, *records: (invert_points(preds, *records), torch.ones((), device=preds.device)),
                learn, ds_idx, dl, n, beta, use_max)


def tta_boxes(learn: Learner, *args: Any, **kwargs: Any) -> tuple:
    "Refuse test-time augmentation for boxes."
    raise ValueError("tta() cannot average boxes: a box around a turned box is larger than the box. Use get_preds()")
