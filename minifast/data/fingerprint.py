"""What tells the data of one training from that of another: counts, settings of the loaders, and digests of items and targets."""
import copy
import hashlib
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from itertools import chain, count
from pathlib import PurePath
from typing import Any

import numpy as np
import torch

from ..core.messages import name_of
from ..core.nested import leaves
from ..core.seeds import fixed_seed, set_seed
from .targets import base_dataset, target_columns

#: Of how many items, evenly spread, the targets are looked at where they have to be made first.
MAX_MADE = 1000
#: Of how many items those are looked at that are known by their samples alone, and how often each is made.
MAX_SAMPLES, TIMES_MADE = 4, 3
#: Of how many objects in a list that are neither numbers nor text, evenly spread, those are looked at.
MAX_OBJECTS = 20_000
#: Transforms of a loader, in the order in which they run.
PIPELINES = ("after_item", "before_batch", "after_batch")


def settings_of(dls: Any) -> dict[str, Any]:
    "What was chosen for each loader of `dls`: plain values by name, in a dict for each of `train`, `valid`, `valid 2`, ..."
    return {name: _settings(dl) for name, dl in zip(_names(), dls, strict=False)}


def _names():
    return chain(("train", "valid"), (f"valid {n}" for n in count(2)))


def _settings(dl):
    sampler = getattr(dl, "sampler", None)
    return {"items": len(sampler) if hasattr(sampler, "__len__") else None, "batches": len(dl),
            "bs": getattr(dl, "batch_size", None), "drop_last": getattr(dl, "drop_last", None),
            "sampler": None if sampler is None else type(sampler).__name__, "seed": getattr(dl, "seed", None),
            **({"weights": described(sampler.weights)} if hasattr(sampler, "weights") else {}),
            "transforms": [described(f) for name in PIPELINES for f in getattr(dl, name, ())]}


def described(x: Any) -> Any:
    "`x` in JSON's values: numbers, text and lists of them as they are, a slice or path as text, a function by its name, else its `repr`."
    if x is None or isinstance(x, (bool, int, float, str)):
        return x
    if isinstance(x, (set, frozenset)):
        return sorted(map(described, x), key=str)           # their own order is another one in each process
    if isinstance(x, (list, tuple)):
        return [described(o) for o in x]
    if isinstance(x, dict):
        return {str(k): described(v) for k, v in x.items()}
    if isinstance(x, PurePath):
        return x.as_posix()
    if isinstance(x, torch.Tensor) or hasattr(x, "__array__"):
        t = torch.as_tensor(x).detach().cpu()
        return t.tolist() if t.numel() <= 16 else digest_of([t])
    return name_of(x) if callable(x) and hasattr(x, "__name__") else _text(x)


def _text(x):
    "The `repr` of `x`, without where it is in memory; the name of its class where that fails."
    with suppress(Exception):
        return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(x))
    return type(x).__name__


def digests_of(dls: Any) -> dict[str, dict[str, str | None]]:
    """A digest of the items, and one of the targets, of each loader of `dls`: 16 hexadecimal digits by name, None where they fail.

    Files count by their names from their common folder on, not by their content; rows and tensors by their values. Where targets have to
    be made from items, those of `MAX_MADE` items are looked at. Of a dataset whose items are not to be seen, the first digest is of
    how many there are and which are chosen, and `samples_digest` is of `MAX_SAMPLES` samples: None where they are others each time.
    """
    return {name: {"items_digest": _or_none(_items_digest, dl), "targets_digest": _or_none(_targets_digest, dl),
                   **({} if _or_none(_has_items, dl) else {"samples_digest": _or_none(_samples_digest, dl)})}
            for name, dl in zip(_names(), dls, strict=False)}


def _or_none(digest, dl):
    try:
        dataset, chosen = base_dataset(dl)
        with fixed_seed(0):     # functions of the user's may draw, and what is drawn later must not change by it
            return digest(dataset, None if chosen is None else np.asarray(chosen))
    except Exception:           # a dataset of the user's may raise anything, and nothing that was trained may be lost by it
        return None


def inputs_of(dls: Any) -> dict[str, Any]:
    "How inputs are prepared, as far as weights depend on it without a word: the order of columns, and the numbers of normalisation."
    dl = next(iter(dls))
    transforms = [*(getattr(dls, "procs", None) or ()), *getattr(dl, "after_batch", ())]
    scaled = [f for f in transforms if type(f).__name__ == "Normalize"]
    listed = {name: getattr(dl.dataset, name, None) for name in ("cat_names", "cont_names")}
    found: dict[str, list] = {name: list(map(str, names)) for name, names in listed.items() if names is not None}
    for f in scaled[:1]:
        mean, std = (f.means, f.stds) if hasattr(f, "means") else (f.mean, f.std)
        names = found.get("cont_names", ())
        found["mean"], found["std"] = ([float(o[n]) for n in names if n in o] if isinstance(o, dict) else
                                       torch.as_tensor(o).flatten().tolist() for o in (mean, std))
    return found


_PLAIN = {int, float, bool, str, type(None)}


def digest_of(parts: Iterable[Any]) -> str:
    "16 hexadecimal digits that are others if `parts` (tensors, arrays, frames, or values by their `repr`) are."
    sha = hashlib.sha256()
    for part in parts:
        sha.update(_bytes_of(part))
        sha.update(b"\0")
    return sha.hexdigest()[:16]


def _bytes_of(x):
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu()
        return repr((x.dtype, tuple(x.shape))).encode() + x.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    if isinstance(x, np.ndarray) and x.dtype != object:
        return repr((x.dtype, x.shape)).encode() + np.ascontiguousarray(x).tobytes()
    if hasattr(x, "iloc"):
        import pandas as pd
        try:
            rows = pd.util.hash_pandas_object(x, index=False)
        except TypeError:                       # cells such as lists
            rows = pd.util.hash_pandas_object(x.astype(str), index=False)
        return repr(list(getattr(x, "columns", ()))).encode() + rows.to_numpy().tobytes()
    if isinstance(x, PurePath):
        return x.as_posix().encode()
    if isinstance(getattr(x, "values", None), np.ndarray):          # what stands for one of many arrays, such as a series
        return _bytes_of(x.values)
    if isinstance(x, (tuple, list)):
        if {*map(type, x)} <= _PLAIN:
            return repr(x).encode()
        return digest_of(x if len(x) <= MAX_OBJECTS else [len(x), *(x[i] for i in _spread(len(x), MAX_OBJECTS))]).encode()
    return _text(x).encode()


def _items_of(dataset):
    "Tensors, rows or a list from which the samples of `dataset` are made, or None."
    tensors, items = getattr(dataset, "tensors", None), getattr(dataset, "items", None)
    if isinstance(tensors, tuple):
        return tensors
    if items is None or callable(items) or not hasattr(items, "__len__"):
        return dataset if isinstance(dataset, (list, torch.Tensor, np.ndarray)) else None
    return items


def _has_items(dataset, chosen):
    return _items_of(dataset) is not None


def _items_digest(dataset, chosen):
    items = _items_of(dataset)
    if items is None:
        return digest_of([chosen, len(dataset)])
    if isinstance(items, torch.Tensor):
        return digest_of([chosen, items])
    if hasattr(items, "iloc"):
        frame = items.to_frame() if items.ndim == 1 else items
        columns = (frame.iloc[:, i] for i in range(frame.shape[1]))
        return digest_of([chosen, list(frame.columns), *(_without_folder(o.tolist()) if o.dtype.kind == "O" else o for o in columns)])
    if hasattr(items, "dtype"):
        return digest_of([chosen, items])
    return digest_of([chosen, _without_folder(list(items))])


def _without_folder(items: list) -> list:
    "`items`, of paths only what differs among them: the same data may be in another folder elsewhere."
    if not items or not all(isinstance(o, (str, PurePath)) for o in items):
        return items
    names = [os.fspath(o) for o in items]
    shared = os.path.commonprefix([min(names), max(names)])     # of these two, so of all between them  # noqa: RUF071
    return [o[max(map(shared.rfind, "/\\")) + 1:] for o in names]


def _samples_digest(dataset, chosen):
    """Of a dataset that is known by its samples alone: those of a few items, made several times, because augmented ones say nothing.

    A copy makes them: a file that a dataset opens at its first item must not be open in the process from which workers are forked.
    """
    n, made = len(dataset), set()
    if not hasattr(type(dataset), "__del__"):           # which would close what the copy shares with the original
        dataset = copy.copy(dataset)
    for _ in range(TIMES_MADE):
        set_seed(0)
        made.add(digest_of(o for i in _spread(n, MAX_SAMPLES) for o in leaves(dataset[i])))
    return made.pop() if len(made) == 1 else None


def _targets_digest(dataset, chosen):
    return digest_of(_sequence(column, chosen) for column in target_columns(dataset) or ())


def _sequence(column, chosen):
    "What to look at of a column of targets: a tensor or array as a whole, of others some entries."
    if isinstance(column, (torch.Tensor, np.ndarray)):
        return column if chosen is None else column[np.asarray(chosen)]
    if isinstance(column, list):
        return column if chosen is None else [column[i] for i in chosen]
    places = range(len(column)) if chosen is None else chosen
    if len(places) and (hasattr(first := column[places[0]], "getbands") or getattr(first, "ndim", 0) > 1):
        return None                             # masks: the items have to do
    return [column[places[i]] for i in _spread(len(places), MAX_MADE)]


def _spread(n, most):
    "At most `most` of the numbers below `n`, evenly spread."
    return range(n) if n <= most else [i * n // most for i in range(most)]

