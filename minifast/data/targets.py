"""The targets of a loader or dataset, read without making the inputs."""
from typing import Any

import numpy as np
import torch
from torch.utils.data import Subset

from .pipeline import Mapped
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
