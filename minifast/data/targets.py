"""The targets of a loader or dataset, read without making the inputs; and what people call its items: their files, and the labels of their
rows in the frame they come from."""
import os
from contextlib import suppress
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset, TensorDataset

from ..core.items import noop
from ..core.paths import Path
from .pipeline import Mapped, Pipeline
from .rows import Rows

MAX_LABELS = 200_000


def base_dataset(source: Any) -> tuple[Any, list[int] | None]:
    "`(dataset, indices)`: the dataset under a loader or torch's `Subset`s, and which of its items they select (None: all)."
    dataset = source if isinstance(source, Subset) else getattr(source, "dataset", source)
    indices = None
    while isinstance(dataset, Subset):
        own = [int(i) for i in dataset.indices]
        indices = own if indices is None else [own[i] for i in indices]
        dataset = dataset.dataset
    return dataset, indices


def target_columns(dataset: Any) -> list[Any] | None:
    """Each target of the items of `dataset` as a sequence of one value per item, which is made when asked for; no input is made.

    Known are `Datasets`, tables, `TensorDataset` and datasets with an attribute `targets` or `labels` (torchvision's); None for others.
    """
    tensors = getattr(dataset, "tensors", None)
    if isinstance(tensors, tuple):
        return list(tensors[getattr(dataset, "n_inp", None) or max(1, len(tensors) - 1):])
    if hasattr(dataset, "pipelines") and dataset.n_inp is not None:
        return [Mapped(Rows(dataset.items), p.new(1)) for p in dataset.pipelines[dataset.n_inp:] if dataset.labelled]
    listed = [getattr(dataset, name, None) for name in ("targets", "labels")]
    found = [o for o in listed if hasattr(o, "__len__") and len(o) == len(dataset)][:1]
    return [np.array(o) if hasattr(o, "to_numpy") else o for o in found] or None              # of a frame, whose index counts otherwise


def labels_of(loader: Any, limit: int = MAX_LABELS) -> torch.Tensor | None:
    """The targets of the items of a loader or dataset as a tensor (items,) or (items, k), without making the inputs; at most `limit`.
    None where there is not exactly one target, or where it is neither a number nor a label (masks)."""
    dataset, chosen = base_dataset(loader)
    columns = target_columns(dataset)
    if columns is None and isinstance(dataset, (list, tuple)):
        columns, limit = [Mapped(dataset, lambda o: o[-1] if isinstance(o, (tuple, list)) and len(o) > 1 else None)], min(limit, 2000)
    if columns is None or len(columns) != 1:
        return None
    column = np.asarray(columns[0]) if isinstance(columns[0], (list, tuple)) else columns[0]
    if isinstance(column, torch.Tensor) or (isinstance(column, np.ndarray) and column.dtype.kind in "biuf"):
        y = torch.as_tensor(column)
        return (y if chosen is None else y[chosen])[:limit].cpu() if y.ndim <= 2 else None
    found = []
    for i in (range(len(column)) if chosen is None else chosen)[:limit]:
        y = column[i]
        if y is None or isinstance(y, str) or hasattr(y, "getbands") or getattr(y, "ndim", 0) > 1:
            return None
        found.append(torch.as_tensor(y).as_subclass(torch.Tensor))
    return torch.stack(found) if found and len({t.shape for t in found}) == 1 else None


def files_of(source: Any) -> list[Path] | None:
    "The files behind the items of a dataset or loader; None if its items are not files."
    dataset, indices = base_dataset(source)
    items = None if hasattr(dataset, "row_index") else items_of(dataset)
    if items is None or not len(items):
        return None
    rows = Rows(items)
    path_of = _path_maker(dataset, rows[0])
    return None if path_of is None else [Path(path_of(rows[i])) for i in (range(len(rows)) if indices is None else indices)]


def row_labels(source: Any) -> Any:
    "The index (pandas) of the rows behind the items of a dataset or loader, of a table or a frame; None if its items are not rows."
    dataset, indices = base_dataset(source)
    labels = getattr(dataset, "row_index", None)
    if labels is None:
        items = items_of(dataset)
        labels = items.index if hasattr(items, "iloc") else None
    return labels if labels is None or indices is None else labels[indices]


def items_of(dataset: Any) -> Any:
    "What holds the items of a dataset, or None; `samples` is a name of torchvision, `item_frame` a table of what is cut out of something."
    if (frame := getattr(dataset, "item_frame", None)) is not None:
        return frame
    items = getattr(dataset, "samples", None)
    if not isinstance(items, list) and not isinstance(dataset, (TensorDataset, Tensor, np.ndarray)):
        items = getattr(dataset, "items", None)
    return None if callable(items) else items


def _is_file(x):
    return isinstance(x, (str, Path)) and os.path.isfile(x)


def _path_maker(dataset, first):
    "A function from an item to its file: the item itself, its first element, or the first steps of the input's pipeline."
    steps = list(dataset.pipelines[0].fs) if getattr(dataset, "pipelines", None) else []
    ways = [noop, *([itemgetter(0)] if isinstance(first, (tuple, list)) else []), *(Pipeline(steps[:k + 1], 1) for k in range(len(steps)))]
    with suppress(Exception):               # an item or a step of another kind
        return next((way for way in ways if _is_file(way(first))), None)
