"""Test-time augmentation for targets that have a place: masks and points predicted on an augmented picture, brought back to the plain one.

    with recording(loader) as record:
        preds = ...                                 # of one pass over `loader`, in order
    masks, covered = invert_masks(preds, record)
    points = invert_points(preds, record)

Averages of predictions only make sense after that. All matrices are in coordinates from -1 to 1 between the outer edges of a picture, so
that they hold for predictions of any resolution.
"""
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torchvision import tv_tensors

from ..core.messages import describe
from ..data.coords import BoundingBoxes, KeyPoints, projected
from ..data.dataloader import DataLoader
from ..learner.inference import get_preds, loader_for
from .augment.affine import AffineWarp, sampling_grid
from .augment.batch import RandomErasing
from .augment.lighting import Lighting

__all__ = ["Drawn", "Record", "inverse_grid", "invert_masks", "invert_points", "recording", "target_kind", "tta_geometry"]


@dataclass(frozen=True)
class Drawn:
    """What was done to a batch: `matrix` (B,3,3), from a point of the result to the point of the batch as it was loaded; `size` (height,
    width) of the result (None: unchanged)."""

    matrix: np.ndarray
    size: tuple | None = None


class Record:
    "The geometry of the batches of a pass, in their order: what `recording` collects. `record[i]` is the `Drawn` of batch i."

    def __init__(self, tfms):
        self._lists = [[] for _ in tfms]

    def __len__(self):
        return max(map(len, self._lists), default=0)

    def __getitem__(self, i):
        matrix, size = None, None
        for drawn in self._lists:
            if drawn:
                m, _, size, n = drawn[i]
                m = np.tile(np.eye(3), (n, 1, 1)) if m is None else m
                matrix = m if matrix is None else matrix @ m
        return Drawn(matrix, size)

    def __iter__(self):
        return (self[i] for i in range(len(self)))


def _transforms(source):
    "The geometric transforms of a loader, pipeline, transform or list of transforms; ones that cannot be undone are refused."
    tfms = getattr(source, "after_batch", source)
    tfms = [tfms] if not hasattr(tfms, "__iter__") else list(tfms)
    unknown = [t for t in tfms if getattr(t, "varies", False) and not isinstance(t, (AffineWarp, Lighting, RandomErasing))]
    if unknown:
        raise ValueError(f"what {', '.join(map(repr, unknown))} did to the pictures is not known, so predictions of masks or points cannot "
                         "be brought back. Use the geometric transforms of aug_transforms()")
    return [t for t in tfms if isinstance(t, AffineWarp)]


@contextmanager
def recording(source):
    "Within the block, note what the geometric batch transforms of `source` (a loader, pipeline, transform or list) do to each batch."
    tfms = _transforms(source)
    record, before = Record(tfms), [t.drawn for t in tfms]
    try:
        for t, drawn in zip(tfms, record._lists, strict=True):
            t.drawn = drawn
        yield record
    finally:
        for t, drawn in zip(tfms, before, strict=True):
            t.drawn = drawn


def _batches(preds, record, plain, where):
    "(predictions, matrix of the augmented, matrix of the plain picture, size of the plain one) for each batch."
    if isinstance(record, Drawn):
        record = [record]
    plain = [plain] if isinstance(plain, Drawn) else plain
    if not isinstance(preds, torch.Tensor):
        raise TypeError(f"{where}: predictions must be one tensor, of pictures of one size; received {describe(preds)}")
    start = 0
    for i in range(len(record)):
        matrix = record[i].matrix
        part = preds[start:start + len(matrix)]
        if len(part) != len(matrix):
            break
        back = plain[i] if plain is not None and len(plain) else Drawn(None)
        yield part, matrix, back.matrix, back.size
        start += len(matrix)
    if start != len(preds):
        raise ValueError(f"{where}: {len(preds)} predictions, but what was recorded is of {sum(len(d.matrix) for d in record)} pictures")


def _tensor(matrix, like):
    dtype = like.dtype if like.dtype in (torch.float32, torch.float64) else torch.float32
    return torch.from_numpy(np.ascontiguousarray(matrix)).to(dtype).to(like.device)


def invert_points(preds, record, plain=None):
    """Points (N,k,2), or in one row (N,2k), that were predicted on augmented pictures, where they are on the plain ones.

    record: of the pass that made them. plain: record of the pass without augmentation, where that changes geometry too (a resize or
    central crop). Coordinates from -1 to 1, as targets of `PointBlock` are.
    """
    done = []
    for part, matrix, back, _ in _batches(preds, record, plain, "invert_points"):
        m = matrix if back is None else np.linalg.inv(back) @ matrix
        done.append(projected(part.reshape(len(part), -1, 2), _tensor(m, part)).reshape(part.shape))
    return torch.cat(done)


def _plain_to_augmented(matrix, back):
    inverse = np.linalg.inv(matrix)
    return inverse if back is None else inverse @ back


def inverse_grid(matrix, size):
    """For each pixel of the plain pictures of `size`, where it is on the augmented ones: a grid (B,H,W,2) for `grid_sample` with
    align_corners=False, and whether it is on them at all (B,H,W).

    matrix: tensor (B,3,3), from the plain picture to the augmented one.
    """
    grid, depth = sampling_grid(matrix.float(), size, align_corners=False)
    grid = grid / torch.where(depth.abs() < 1e-6, torch.full_like(depth, 1e-6), depth)
    return grid, (grid.abs() <= 1).all(-1) & (depth[..., 0] > 0)


def _exact(preds, m):
    "`preds` (B,C,H,W) seen through flips and quarter turns `m` (B,3,3), pixel by pixel; None where `m` is anything else."
    rounded = np.rint(m)
    if np.abs(m - rounded).max() > 1e-9 or (np.abs(rounded).sum((1, 2)) != 3).any() or (rounded[:, :2, 2] != 0).any():
        return None
    swapped = rounded[:, 0, 0] == 0
    if swapped.any() and preds.shape[-1] != preds.shape[-2]:
        return None
    done = []
    for x, r, swap in zip(preds, rounded, swapped, strict=True):
        x = x.transpose(-1, -2) if swap else x
        columns, rows = (r[1, 0], r[0, 1]) if swap else (r[0, 0], r[1, 1])
        done.append(x.flip([d for d, sign in ((-1, columns), (-2, rows)) if sign < 0]))
    return torch.stack(done)


def invert_masks(preds, record, plain=None):
    """Predictions per pixel (N,C,H,W) on augmented pictures, where they are on the plain ones, and which pixels of those were seen at
    all: bool (N,1,H,W). Flips are undone exactly, the rest by interpolation. record, plain: see `invert_points`."""
    done, seen = [], []
    for part, matrix, back, size in _batches(preds, record, plain, "invert_masks"):
        if part.ndim != 4 or not part.is_floating_point():
            raise ValueError(f"invert_masks: predictions per pixel are floats (N,C,H,W); received {describe(part)}")
        size = tuple(part.shape[-2:]) if size is None else size
        m = _plain_to_augmented(matrix, back)
        exact = _exact(part, m) if size == tuple(part.shape[-2:]) else None
        if exact is not None:
            done.append(exact)
            seen.append(torch.ones_like(part[:, :1], dtype=torch.bool))
            continue
        grid, covered = inverse_grid(_tensor(m, part), size)
        done.append(F.grid_sample(part, grid.to(part.dtype), mode="bilinear", padding_mode="border", align_corners=False))
        seen.append(covered[:, None])
    return torch.cat(done), torch.cat(seen)


# -- the whole of test-time augmentation ------------------------------------------------------------------------------------------

def target_kind(dl):
    "'mask', 'points' or 'boxes' where the targets of the loader `dl` are such, else None."
    kinds = dl.kinds if isinstance(dl, DataLoader) and isinstance(dl.kinds, tuple) else ()
    for kind in kinds[dl.n_inp or 1:]:
        for name, cls in (("mask", tv_tensors.Mask), ("points", KeyPoints), ("boxes", BoundingBoxes)):
            if kind is not None and issubclass(kind.cls, cls):
                return name
    return None


def _augmenting_loader(learn, ds_idx, dl):
    "The loader with the item transforms of validation, whose crops could not be undone, and the batch transforms of training."
    loader = loader_for(learn, ds_idx, dl, train_transforms=True)
    if hasattr(loader.dataset, "with_split_idx"):
        loader = loader.new(loader.dataset.with_split_idx(1), shuffle=False, drop_last=False)
    loader.after_item = loader.after_item.new(1)
    loader.add_tfms([], "after_item")
    return loader


def tta_geometry(learn, kind, ds_idx=1, dl=None, n=4, beta=0.25, use_max=False):
    """`inference.tta` for masks (kind 'mask') and points (kind 'points'): every prediction is brought back to the plain picture before it
    is averaged. Only batch transforms vary. A pixel that an augmented picture does not show counts for nothing there."""
    if kind == "boxes":
        raise ValueError("tta() cannot average boxes: a box around a turned box is larger than the box. Use get_preds()")
    if kind == "points" and use_max:
        raise ValueError("tta(use_max=True): the greatest of several coordinates is no place. Leave use_max out")
    augmenting = _augmenting_loader(learn, ds_idx, dl)
    if not any(getattr(t, "varies", False) for t in augmenting.after_batch):
        raise ValueError("tta() has nothing to vary: predictions of masks and points can only be brought back from random batch "
                         "transforms, and these loaders have none. Add `batch_tfms=aug_transforms()`, or use get_preds()")
    plain_loader = loader_for(learn, ds_idx, dl)
    with recording(plain_loader) as plain_record:
        plain, targs = get_preds(learn, dl=plain_loader, reorder=False)
    plain_record = plain_record if len(plain_record) else None
    total, count, highest = torch.zeros_like(plain), 0, plain
    for _ in range(n):
        with recording(augmenting) as record:
            preds = get_preds(learn, dl=augmenting, with_targs=False, reorder=False)[0]
        if not len(record):                                     # nothing but lighting varies
            seen = torch.ones_like(plain[:, :1], dtype=torch.bool)
        elif kind == "mask":
            preds, seen = invert_masks(preds, record, plain_record)
        else:
            preds, seen = invert_points(preds, record, plain_record), torch.ones(())
        total = total + preds * seen
        count = count + seen.to(plain.dtype)
        highest = torch.where(seen.bool(), torch.maximum(highest, preds), highest)
    if use_max:
        return highest, targs
    augmented = torch.where(count > 0, total / torch.as_tensor(count).clamp_min(1), plain)
    if beta is None:
        return (augmented, plain), targs
    return torch.lerp(augmented, plain, beta), targs
