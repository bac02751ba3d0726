"""`DataProbe`: loaders as the checks of data see them. Files, labels and features of the items of both splits, read once."""
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ...core.nested import split_batch
from ...data.dataloader import DataLoader
from ...data.files import image_extensions
from ...data.loaders import DataLoaders
from ...data.naming import files_of, row_labels
from ...data.rows import Rows
from ...data.targets import base_dataset, labels_of
from ...learner.probe import Step, once
from ...metrics.classes import classes_of
from ..outcomes import require
from .image_files import THUMB, Facts, facts_of_all, near_duplicates

MAX_COLUMNS = 400       # wider "tables" without names are images or signals, whose single columns mean nothing


class Table(NamedTuple):
    "The inputs of the items of a split as rows."
    values: np.ndarray          #: float64 (rows, columns)
    names: list[str]            #: of the columns
    categorical: np.ndarray     #: bool (columns,)
    named: bool = False         #: whether the names are the user's


def table_of(loader: Any) -> Table | None:
    """The inputs of a loader's items as rows; None if they are not rows in memory.

    Of a `TabularPandas` category ids and numbers, of other tensors all inputs, flattened.
    """
    dataset, indices = base_dataset(loader)
    tensors = getattr(dataset, "tensors", None)
    if not isinstance(tensors, tuple) or not tensors or any(t.is_complex() for t in tensors):
        return None
    n_inp = getattr(loader, "n_inp", None) or max(1, len(tensors) - 1)
    inputs = [t if indices is None else t[indices] for t in tensors[:n_inp]]
    flat = [t.reshape(len(t), -1).double().cpu().numpy() for t in inputs]
    values = np.concatenate(flat, 1)
    categorical = np.concatenate([np.full(f.shape[1], not t.is_floating_point()) for f, t in zip(flat, inputs, strict=True)])
    names = list(getattr(dataset, "x_names", ()))
    named = bool(names) and len(names) == values.shape[1]
    return Table(values, names if named else [f"column {j}" for j in range(values.shape[1])], categorical, named)


class DataProbe:
    """What the checks of data look at: the items of training and validation, in one sequence.

    Attributes:
        paths: The files of the items; empty if they are not files.
        facts: The `Facts` of the image files; empty if most items are not image files.
        rate: Image files read per second.
        sides: The split of every item: 0 training, 1 validation.
        near: Pairs of near-duplicates, as indices of items.
        groups: The group of every item, or None.

    Args:
        dls: The loaders.
        fast: Whether to be quick.
        groups: One group per item, training items first, or a function of an item.
        n_workers: Threads that read files (None: one per core).
    """

    side_names = ("training", "validation")

    def __init__(self, dls: DataLoaders, fast: bool = False, groups: Sequence | Callable[[Any], Any] | None = None,
                 n_workers: int | None = None):
        self.dls, self.fast = dls, fast
        self.loaders = list(dls)[:2]
        self.kept: dict[tuple, Any] = {}
        files = [files_of(dl.dataset) if hasattr(dl, "dataset") else None for dl in self.loaders]
        are_files = all(f is not None for f in files)
        self.paths: list[Path] = [p for f in files for p in f] if are_files else []
        sizes = map(len, files) if are_files else map(_length, self.loaders)
        self.sides = [side for side, n in enumerate(sizes) for _ in range(n)]
        n_images = sum(p.suffix.lower() in image_extensions for p in self.paths)
        self.facts, self.rate = facts_of_all(self.paths, n_workers) if n_images > 0.5 * len(self.paths) else ([], 0.0)
        self.near = near_duplicates(self.facts)
        self.groups = [groups(item) for dl in self.loaders for item in Rows(dl.dataset.items)] if callable(groups) else groups
        if groups is not None and len(self.groups) != len(self.sides):
            raise ValueError(f"check(groups=...): one group per item, training items first: received {len(self.groups)} for "
                             f"{len(self.sides)} items")

    # -- what checks require ----------------------------------------------------------------------------------------------------------
    def require_validation(self) -> int:
        "The number of validation items; without a validation set the check is not applicable."
        require(len(self.loaders) > 1, "there is no validation set")
        return sum(side == 1 for side in self.sides)

    def image_files(self, decoded: bool = False) -> list[Facts]:
        "The facts of the image files (of those that could be decoded); without any, the check is not applicable."
        facts = [f for f in self.facts if f.error is None] if decoded else self.facts
        require(facts, "the items are not image files")
        return facts

    def rows(self, side: int = 0, wide: bool = False) -> Table:
        "The rows of a split; the check is not applicable if there are none, too few, or (unless wide) too many columns without names."
        table = self.table(side)
        require(table is not None, "the items are not rows of a table")
        n, n_columns = table.values.shape
        require(wide or table.named or n_columns <= MAX_COLUMNS, f"{n_columns:,} columns: a signal or an image")
        require(n >= 20, "fewer than 20 rows")
        return table

    # -- what the items hold ----------------------------------------------------------------------------------------------------------
    @once
    def labels(self, side: int) -> torch.Tensor | None:
        "The targets of a split as a tensor, or None."
        return labels_of(self.loaders[side]) if side < len(self.loaders) else None

    def classes(self, side: int) -> torch.Tensor | None:
        "The targets of a split if they are class ids, one per item; None otherwise."
        y = self.labels(side)
        return y if y is not None and y.ndim == 1 and not y.is_floating_point() else None

    @once
    def label_list(self) -> list | None:
        "One hashable label per item of both splits, or None."
        parts = [self.labels(side) for side in range(len(self.loaders))]
        return None if any(p is None for p in parts) else [tuple(y.tolist()) if y.ndim else y.item() for p in parts for y in p]

    def name_of(self, label: Any) -> str:
        "What to call a label."
        try:
            return str(classes_of(self)[int(label)])
        except (TypeError, ValueError, IndexError, KeyError):          # no vocabulary, or a label that is not a class id
            return str(label)

    @once
    def table(self, side: int) -> Table | None:
        "The inputs of a split as rows, or None."
        return table_of(self.loaders[side]) if side < len(self.loaders) else None

    def original(self, side: int) -> Any:
        "The rows of a split in the frame that the user gave, all its columns; None where that frame is gone, or there was none."
        return getattr(getattr(self.loaders[side], "dataset", None), "original", None)

    @once
    def names(self) -> list[str]:
        "What to call the items of both splits: their file, their label in the user's frame, or their split and position."
        if self.paths:
            times = Counter(p.name for p in self.paths)
            return [p.name if times[p.name] == 1 else f"{p.parent.name}/{p.name}" for p in self.paths]
        names = []
        for dl, side in zip(self.loaders, self.side_names, strict=False):
            labels = row_labels(dl) if hasattr(dl, "dataset") else None
            names += [f"{side} item {i}" for i in range(_length(dl))] if labels is None else [f"row {label}" for label in labels.tolist()]
        return names

    @once
    def features(self, side: int) -> np.ndarray | None:
        "Numbers for a quick model, (items, columns), or None: thumbnails and mean colours of images, the columns of tables."
        if self.facts:
            facts = [f for f, s in zip(self.facts, self.sides, strict=True) if s == side]
            blank = np.zeros(THUMB * THUMB, dtype=np.float32)
            return np.stack([np.concatenate([blank if f.thumb is None else f.thumb.reshape(-1), f.colour or (0, 0, 0)])
                             for f in facts]) if facts else None
        table = self.table(side)
        if table is None or not np.isfinite(table.values).all():
            return None
        return table.values[:, ::table.values.shape[1] // 512] if table.values.shape[1] > 1024 else table.values

    @once
    def batch(self) -> Step:
        "The first training batch as the model would get it."
        dl = self.inline_loader()
        return Step(*split_batch(next(iter(dl)), getattr(dl, "n_inp", None)))

    def inline_loader(self, side: int = 0) -> Any:
        "A loader of a split without workers, seeded if it is for training; loaders of torch as they are."
        dl = self.loaders[side]
        return dl.new(num_workers=0, **({} if side else {"seed": 0})) if isinstance(dl, DataLoader) else dl


def _length(dl):
    try:
        return len(dl.dataset)
    except (TypeError, AttributeError, NotImplementedError):            # a stream, or no loader of torch's
        return 0
