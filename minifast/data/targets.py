"""The targets of a loader or dataset, read without making the inputs."""
from typing import Any

import numpy as np
import torch
from torch.utils.data import Subset

from .pipeline import Pipeline
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


def labels_of(loader: Any, limit: int = MAX_LABELS) -> torch.Tensor | None:
    """The targets of the items of a loader or dataset as a tensor (items,) or (items, k), without making the inputs; at most `limit`.
    None where there is no target, or where it is neither a number nor a label (masks)."""
    dataset, chosen = base_dataset(loader)
    if hasattr(dataset, "tensors") and isinstance(dataset.tensors, tuple):
        if len(dataset.tensors) < 2:
            return None
        y = dataset.tensors[-1]
        y = y if chosen is None else y[chosen]
        return y[:limit].cpu() if y.ndim <= 2 else None
    if hasattr(dataset, "pipelines") and hasattr(dataset, "labelled"):
        return _labels_of_pipelines(dataset, chosen, limit)
    for name in ("targets", "labels"):
        found = getattr(dataset, name, None)
        if found is not None and hasattr(found, "__len__") and len(found) == len(dataset):
            y = torch.as_tensor(np.asarray(found))
            return (y if chosen is None else y[chosen])[:limit]
    return _labels_of_samples(dataset, chosen, min(limit, 2000))


def _labels_of_pipelines(dataset, chosen, limit):
    targets = dataset.pipelines[dataset.n_inp:]
    if len(targets) != 1 or not dataset.labelled:
        return None
    pipe, rows = Pipeline(targets[0].fs, 1), Rows(dataset.items)
    chosen = list(range(len(rows))) if chosen is None else chosen
    found = []
    for i in chosen[:limit]:
        y = pipe(rows[i])
        if not found and (hasattr(y, "getbands") or (getattr(y, "ndim", 0) > 1) or isinstance(y, str)):
            return None
        found.append(torch.as_tensor(y).as_subclass(torch.Tensor))
    return _stacked(found)


def _labels_of_samples(dataset, chosen, limit):
    if not isinstance(dataset, (list, tuple)):
        return None
    found = []
    for i in (range(len(dataset)) if chosen is None else chosen)[:limit]:
        sample = dataset[i]
        if not isinstance(sample, (tuple, list)) or len(sample) < 2:
            return None
        y = torch.as_tensor(sample[-1]) if not isinstance(sample[-1], str) else None
        if y is None or y.ndim > 1:
            return None
        found.append(y)
    return _stacked(found)


def _stacked(targets):
    return torch.stack(targets) if targets and len({t.shape for t in targets}) == 1 else None
