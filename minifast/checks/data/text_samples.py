"""The texts of a split, read for `text_quality`: as items where the loader has items, otherwise from its batches.

Texts are ids: sequences of whole numbers, one per word or piece of a word. Where items are still text as people write it, its words are
looked at instead.
"""
from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from ...core.nested import split_batch
from ...data.dataloader import DataLoader
from ...data.engine.fetch import Fetcher
from ...data.targets import base_dataset
from ...learner.probe import once
from .probe import DataProbe
from .text_counts import Vocabulary

MAX_ITEMS, MAX_TOKENS, SECONDS, MAX_BATCHES = 4000, 5_000_000, 2.0, 20      #: of each split, at most
Kind = Literal["ids", "text"]


class Sample(NamedTuple):
    "Some texts of a split, evenly spread over it."
    name: str                       #: of the split
    kind: Kind                      #: whether rows are arrays of ids or strings
    rows: list
    where: list[int] | None         #: which items they are; None: rows of batches
    total: int                      #: how many items there are
    place: int | str = 0            #: which input of the model they are
    name_of: Callable[[int], str] = "item {}".format
    failed: int = 0                 #: items that could not be made

    def item(self, k: int) -> str:
        "What to call row `k`."
        name = f"row {k} of the first batches" if self.where is None else self.name_of(self.where[k])
        return name if len(name) <= 80 else name[:77] + "..."


def as_ids(x: Any) -> np.ndarray | None:
    "A sequence of whole numbers as an int64 array; None for anything else. Bytes and bools are images and masks, not ids."
    if isinstance(x, torch.Tensor):
        x = x.detach().as_subclass(torch.Tensor).cpu().numpy()
    elif isinstance(x, (list, tuple)):
        x = np.array(x) if all(isinstance(o, (int, np.integer)) and not isinstance(o, bool) for o in x) else None
    if not isinstance(x, np.ndarray) or x.ndim != 1 or not (x.size == 0 or (x.dtype.kind in "iu" and x.dtype.itemsize > 1)):
        return None
    return x.astype(np.int64)


def _inputs(sample, n_inp):
    "The inputs of a sample or batch by place or name; of what a tokenizer returns the ids alone."
    if isinstance(sample, (str, np.ndarray)) or (isinstance(sample, list) and as_ids(sample) is not None):
        return {0: sample}
    try:
        xb, kw, _ = split_batch(sample, n_inp)
    except TypeError:                                       # an image, say
        return {}
    return {"input_ids": kw["input_ids"]} if "input_ids" in kw else {**dict(enumerate(xb)), **kw}


def _mask(sample, ids):
    "A tokenizer's mask of what is not padding, if it fits the ids."
    mask = sample.get("attention_mask") if isinstance(sample, Mapping) else None
    mask = None if mask is None else torch.as_tensor(mask).cpu().numpy().astype(bool)
    return mask if mask is not None and mask.shape == ids.shape else None


def _item_maker(dl):
    "`(how many, function of an index, names)` that makes items as `before_batch` gets them; None where there are only batches."
    dataset = getattr(dl, "dataset", None)
    if isinstance(dl, DataLoader):
        fetcher = Fetcher(dataset, dl.after_item, dl.before_batch)
        return len(dataset), lambda i: fetcher.item(i, 0), fetcher.name_of
    if dataset is None or isinstance(dataset, torch.utils.data.IterableDataset) or not hasattr(dataset, "__getitem__"):
        return None
    try:
        dataset[0]
        return len(dataset), dataset.__getitem__, "item {}".format
    except Exception:                                       # it has no length, or takes something else than indices
        return None


def _made(make, indices):
    "Those of the items that can be made: of the others the loader complains."
    made = []
    for i in indices:
        with suppress(Exception):
            made.append(make(i))
    return made


def _kind(samples, n_inp):
    "The kind and place of the first input that is a text in all these samples; `(None, None)` if there is none."
    for kind, is_one in (("ids", lambda x: as_ids(x) is not None), ("text", lambda x: isinstance(x, str))):
        for place in _inputs(samples[0], n_inp) if samples else ():
            if all(is_one(_inputs(s, n_inp).get(place)) for s in samples):
                return kind, place
    return None, None


def read_texts(data: DataProbe, side: int) -> Sample | None:
    "The texts of a split; None if its inputs are not texts."
    dl, name = data.loaders[side], data.side_names[side]
    maker, n_inp = _item_maker(dl), getattr(dl, "n_inp", None)
    if maker is not None:
        n, make, name_of = maker
        for some in ([0], sorted({0, n // 2, n - 1})):      # of what is not text a single item is made
            kind, place = _kind(_made(make, some), n_inp)
            if kind is None:
                return None
        if kind == "ids" or not batches_of_ids(data, side):     # otherwise the text becomes ids where the batch is made
            spread = np.unique(np.linspace(0, n - 1, min(n, MAX_ITEMS // (8 if data.fast else 1))).round().astype(np.int64))
            indices = np.random.Generator(np.random.PCG64(0)).permutation(spread).tolist()      # what there is time for is spread too
            rows, failed = _rows(make, indices, kind, place, n_inp, SECONDS / (4 if data.fast else 1))
            return Sample(name, kind, [r for _, r in rows], [i for i, _ in rows], n, place, name_of, failed)
    rows = [r if mask is None else r[mask[k]] for ids, mask in batches_of_ids(data, side) for k, r in enumerate(ids)]
    return Sample(name, "ids", rows, None, len(rows)) if rows else None


def _rows(make, indices, kind, place, n_inp, seconds):
    "`([(index, row)] in order, how many could not be made)` of as many of the items as there is time for."
    rows, tokens, tried, began = [], 0, 0, time.perf_counter()
    for i in indices:
        tried += 1
        for made in _made(make, [i]):
            value = _inputs(made, n_inp).get(place)
            row = as_ids(value) if kind == "ids" else value if isinstance(value, str) else None
            if row is not None:
                mask = _mask(made, row) if kind == "ids" else None
                rows.append((i, row if mask is None else row[mask]))
                tokens += len(row)
        if time.perf_counter() - began > seconds or tokens > MAX_TOKENS:
            break
    return sorted(rows, key=lambda o: o[0]), tried - len(rows)


@once
def batches_of_ids(data: DataProbe, side: int) -> list[tuple[np.ndarray, np.ndarray | None]]:
    "`[(ids (n, t), mask or None)]` of the first batches of a split, as the model gets them; [] where batches hold no such thing."
    dl, found, began = data.inline_loader(side), [], time.perf_counter()
    try:
        for batch in islice(iter(dl), MAX_BATCHES // (4 if data.fast else 1)):
            ids = next((t for t in _inputs(batch, getattr(dl, "n_inp", None)).values() if isinstance(t, torch.Tensor) and t.ndim == 2
                        and t.dtype in (torch.int64, torch.int32)), None)
            if ids is None:
                break
            rows = ids.detach().cpu().numpy().astype(np.int64)
            found.append((rows, _mask(batch, rows)))
            if time.perf_counter() - began > SECONDS / (8 if data.fast else 2):
                break
    except Exception:                                       # no batch can be made of these items: MF831 says why
        return []
    return found


def vocabulary_of(loader: Any, place: int | str = 0) -> Vocabulary | None:
    """The `Vocabulary` of the ids at `place`: that of the pipeline that makes this input.

    Otherwise that of an item transform, of the dataset, or of the function that makes batches, if it has a word for unknown words or
    padding: without one, it may hold labels.
    """
    dataset, _ = base_dataset(loader)
    pipes = list(getattr(dataset, "pipelines", None) or ())
    makers = list(pipes[place]) if isinstance(place, int) and place < len(pipes) else []
    alone = getattr(dataset, "tfms", None)                  # of a TfmdLists
    others = list(alone)[::-1] if not pipes and hasattr(alone, "__iter__") else []
    others += [*list(getattr(loader, "after_item", ()))[::-1], dataset, getattr(loader, "collate_fn", None)]
    own = [v for v in (Vocabulary.of(maker) for maker in reversed(makers)) if v is not None]
    found = [v for v in (Vocabulary.of(o, place) for o in others) if v is not None and (v.unknown is not None or v.padding is not None)]
    return next(iter(own + found), None)


def are_flags(samples: Sequence[Sample]) -> bool:
    "Whether rows, all of one length, hold no more than two different numbers: one that only ends rows is then not padding but 'no'."
    rows = [r for s in samples for r in s.rows]
    return len({len(r) for r in rows}) == 1 and len(np.unique(np.concatenate(rows))) <= 2
