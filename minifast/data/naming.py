"""What people call the items of a dataset: their files, and the labels of their rows in the frame they come from."""
import os
from contextlib import suppress
from operator import itemgetter
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import TensorDataset

from ..core.items import noop
from ..core.paths import Path
from .pipeline import Pipeline
from .rows import Rows
from .targets import base_dataset


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
