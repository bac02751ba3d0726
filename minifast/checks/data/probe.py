"""`DataProbe`: loaders as checks of the data see them. Files, labels and features of the items of every split, read once."""
from pathlib import Path

import numpy as np
import torch

from ...core.nested import split_batch
from ...data.rows import Rows
from ...data.targets import base_dataset, labels_of
from .images import look_all, near_copies


def files_of(dataset):
    "The files behind the items of `dataset`, as a list of `Path`; None if its items are no files."
    dataset, indices = base_dataset(dataset)
    items = _items(dataset)
    if items is None or not len(items):
        return None
    rows = Rows(items)
    as_path = _path_maker(dataset, rows[0])
    if as_path is None:
        return None
    return [Path(as_path(rows[i])) for i in (range(len(rows)) if indices is None else indices)]


def _items(dataset):
    for name in ("samples", "imgs"):                        # torchvision's ImageFolder
        found = getattr(dataset, name, None)
        if isinstance(found, list):
            return found
    if isinstance(dataset, (torch.utils.data.TensorDataset, torch.Tensor, np.ndarray)):
        return None
    items = getattr(dataset, "items", None)
    return None if items is None or callable(items) else items


def _is_file(x):
    try:
        return isinstance(x, (str, Path)) and len(str(x)) < 1024 and Path(x).is_file()
    except OSError:
        return False


def _path_maker(dataset, first):
    "A function from an item to its file: the item itself, its first element, or the first steps of the input's pipeline."
    if _is_file(first):
        return lambda item: item
    if isinstance(first, (tuple, list)) and first and _is_file(first[0]):
        return lambda item: item[0]
    pipelines = getattr(dataset, "pipelines", None)
    if not pipelines:
        return None
    value, fs = first, list(pipelines[0].fs)
    for k, f in enumerate(fs):
        try:
            value = f(value)
        except Exception:
            return None
        if _is_file(value):
            from ...data.pipeline import Pipeline
            return Pipeline(fs[:k + 1], 1)
        if hasattr(value, "getbands") or isinstance(value, torch.Tensor):
            return None
    return None


def table_of(loader):
    """The rows of a loader's items as `(values float64 (n, columns), names, which columns are categories)`; None where they are no rows.

    From a `TabularPandas` codes and numbers; from tensors in memory all inputs, flattened.
    """
    dataset, indices = base_dataset(loader)
    tensors = getattr(dataset, "tensors", None)
    if not isinstance(tensors, tuple) or len(tensors) < 1:
        return None
    n_inp = getattr(loader, "n_inp", None) or max(1, len(tensors) - 1)
    inputs = [t if indices is None else t[indices] for t in tensors[:n_inp]]
    if any(t.is_complex() for t in inputs):
        return None
    flat = [t.reshape(len(t), -1).double().cpu().numpy() for t in inputs]
    values = np.concatenate(flat, 1) if flat else np.zeros((0, 0))
    cats = np.concatenate([np.full(f.shape[1], not t.is_floating_point()) for f, t in zip(flat, inputs, strict=True)])
    names = getattr(dataset, "x_names", None)
    names = list(names) if names is not None and len(names) == values.shape[1] else [f"column {j}" for j in range(values.shape[1])]
    return values, names, cats


class DataProbe:
    """What checks of data look at. dls: the loaders; groups: a group per item of training and validation, or a function of the item.

    `paths`, `facts` (of picture files), `sides` (0 training, 1 validation ...) and `near` (pairs of near copies) go over all splits in
    one list.
    """

    side_names = ("training", "validation", "split 2", "split 3", "split 4", "split 5")

    def __init__(self, dls, fast=False, groups=None, n_workers=None):
        self.dls, self.fast = dls, fast
        self.loaders = list(dls)[:2] if len(dls) > 1 else list(dls)
        self._kept = {}
        files = [files_of(dl.dataset) if hasattr(dl, "dataset") else None for dl in self.loaders]
        known = all(f is not None for f in files)
        self.paths = [p for f in files for p in f] if known else []
        self.sides = ([side for side, f in enumerate(files) for _ in f] if known else
                      [side for side, dl in enumerate(self.loaders) for _ in range(_length(dl))])
        pictures = [p for p in self.paths if p.suffix.lower() in _PICTURES]
        is_pictures = bool(self.paths) and len(pictures) > 0.5 * len(self.paths)
        self.facts, self.rate = look_all(self.paths, n_workers) if is_pictures else ([], 0.0)
        self.near = near_copies(self.facts)
        self.groups = self._groups(groups)

    def _groups(self, groups):
        if groups is None:
            return None
        if callable(groups):
            return [groups(item) for dl in self.loaders for item in Rows(dl.dataset.items)]
        groups = list(groups)
        if len(groups) != len(self.sides):
            raise ValueError(
                f"check(groups=...): one group per item, training items first: received {len(groups)} for {len(self.sides)} items"
            )
        return groups

    def once(self, name, make):
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def labels(self, side):
        "The labels of a split as a tensor, or None."
        return self.once(f"labels {side}", lambda: labels_of(self.loaders[side]) if side < len(self.loaders) else None)

    def label_list(self):
        "One hashable label per item of all splits, or None."
        def make():
            parts = [self.labels(side) for side in range(len(self.loaders))]
            if any(p is None for p in parts):
                return None
            return [tuple(y.tolist()) if y.ndim else y.item() for p in parts for y in p]
        return self.once("label list", make)

    def table(self, side):
        return self.once(f"table {side}", lambda: table_of(self.loaders[side]) if side < len(self.loaders) else None)

    def name_of(self, label):
        vocab = self.dls.vocab
        try:
            return str(vocab[int(label)])
        except (TypeError, ValueError, IndexError, KeyError):          # no vocabulary, or a label that is no class number
            return str(label)

    def features(self, side):
        "Numbers for a quick model: (n, columns), or None. Thumbnails and colours of pictures, the columns of tables."
        def make():
            if self.facts:
                rows = [i for i, s in enumerate(self.sides) if s == side]
                blank = np.zeros((16, 16), dtype=np.float32)
                return np.stack([np.concatenate([(self.facts[i].thumb if self.facts[i].thumb is not None else blank).reshape(-1),
                                                 np.array(self.facts[i].colour or (0, 0, 0))]) for i in rows]) if rows else None
            table = self.table(side)
            if table is None or not np.isfinite(table[0]).all():
                return None
            values = table[0]
            if values.shape[1] > 1024:
                step = values.shape[1] // 512
                values = values[:, ::step]
            return values
        return self.once(f"features {side}", make)

    def batch(self, side=0):
        "A batch of a split as the model would get it: `(inputs, keyword inputs, targets)`."
        def make():
            dl = self.loaders[side]
            if hasattr(dl, "after_batch"):
                dl = dl.new(num_workers=0, **({"seed": 0} if side == 0 else {}))
            batch = next(iter(dl))
            return split_batch(batch, getattr(dl, "n_inp", None))
        return self.once(f"batch {side}", make)


_PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".ppm", ".pgm", ".jfif"}


def _length(dl):
    try:
        return len(dl.dataset)
    except (TypeError, AttributeError, NotImplementedError):            # a stream, or no loader of torch's
        return 0
