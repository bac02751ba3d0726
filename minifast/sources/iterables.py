"""Any `IterableDataset` as a source: each worker reads all of it and takes its part, unless its `__iter__` reads a part of its own. Streams
of Hugging Face's `datasets` (`load_dataset(..., streaming=True)`) are read shard by shard."""
import copy
import os
import sys
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any, Literal, NamedTuple

import torch
from torch.utils.data import get_worker_info

from ..core.messages import describe
from ..core.seeds import item_rng, seeded_streams
from .shards import Reader, Shards, as_values

_STREAM = 2**32 - 14
#: After how many items the state of a dataset is asked for again.
STATE_EVERY = 64


class Asked(NamedTuple):
    "What code asks for while it runs: it then reads a part of its own, and needs nobody who splits what it gives."

    worker: bool
    rank: bool


def asked_by(f: Callable[[], Any]) -> tuple[Any, Asked]:
    "What `f()` returns, and whether it asked for its worker (`torch.utils.data.get_worker_info`) and its rank."
    worker = get_worker_info.__code__
    ranks = [g.__code__ for g in (torch.distributed.get_rank, torch.distributed.get_world_size) if hasattr(g, "__code__")] \
        if torch.distributed.is_available() else []
    environ = type(os.environ).__getitem__.__code__
    found = {"worker": False, "rank": False}

    def look(frame, event, arg):
        if event == "call":
            code = frame.f_code
            if code is worker:
                found["worker"] = True
            elif code in ranks or (code is environ and frame.f_locals.get("key") in ("RANK", "WORLD_SIZE")):
                found["rank"] = True

    if sys.getprofile() is not None:
        raise RuntimeError("a profiler is at work, so that it cannot be seen whether the stream leaves out what other workers read: write "
                           "StreamLoader(..., split='own') if it does, else split='items'")
    sys.setprofile(look)
    try:
        result = f()
    finally:
        sys.setprofile(None)
    return result, Asked(**found)


class IterableShards(Shards):
    """An `IterableDataset`, or any object whose `__iter__` gives samples.

    Its `__iter__` begins with the global random streams seeded by the loader's seed and the epoch, alike in all workers, so that files
    which it shuffles come in the same order everywhere. If it has `set_epoch(n)`, that is called. With `state_dict()` and
    `load_state_dict(state)`, which say where its last iterator is, training continues there.

    Args:
        dataset: the dataset.
        split: 'items': each worker and rank takes items in turn; 'own': the dataset leaves out what others read. None: 'own' for
            workers if its `__iter__` asks `torch.utils.data.get_worker_info()` before its first item, and for ranks if it asks
            `torch.distributed.get_rank()` or the variable RANK; else 'items'.
    """

    divisible = False

    def __init__(self, dataset: Any, split: Literal["items", "own"] | None = None):
        super().__init__([dataset])
        self.dataset, self.split = dataset, split
        self._begun: tuple[tuple[int, int], Iterator[Any], Asked] | None = None
        self._keeps_state = callable(getattr(dataset, "state_dict", None)) and callable(getattr(dataset, "load_state_dict", None))
        if not self._keeps_state:
            self.replays = f"{type(dataset).__name__} has no `state_dict()` and `load_state_dict(state)` that say where it is"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_begun": None}

    def __repr__(self) -> str:
        return describe(self.dataset)

    def name_of(self, shard: int) -> str:
        return type(self.dataset).__name__

    def splits_itself(self, epoch: int, seed: int) -> tuple[bool, bool]:
        if self.split is not None:
            return self.split == "own", self.split == "own"
        return self._begin(epoch, seed, asked_by)[2]

    def told_of_split(self, lanes: int) -> str:
        name = self.name_of(0)
        return (f"{name}.__iter__ does not ask which worker it is in (`torch.utils.data.get_worker_info()`), so that each of {lanes} "
                f"workers reads all items, and makes one batch in {lanes} of them: no item comes twice, but reading does not get faster. "
                "Let `__iter__` leave out what other workers read, or write num_workers=1")

    def _begin(self, turn, seed, call=lambda f: (f(), Asked(False, False))):
        "An iterator that has not been used, and what `__iter__` asks, where the function that calls it looks: the first item is read."
        if self._begun is None or self._begun[0] != (turn, seed):
            if hasattr(self.dataset, "set_epoch"):
                self.dataset.set_epoch(turn)
            with seeded_streams(int(item_rng(seed, turn, _STREAM).integers(2**63))):
                (iterator, first), asked = call(self._first)
            self._begun = (turn, seed), chain(first, iterator), asked
        return self._begun

    def _first(self):
        iterator, first = iter(self.dataset), []
        for item in iterator:
            first.append(item)
            break
        return iterator, first

    def open(self, shard: int, place: Any = None, turn: int = 0, seed: int = 0) -> Reader:
        if isinstance(place, dict):
            self.dataset.load_state_dict(place["state"])
            self._begun = None
        _, items, _ = self._begin(turn, seed)
        self._begun = None
        if self._keeps_state:
            return _StateReader(items, self.dataset, place)
        for n in range(place or 0):
            if next(items, _NONE) is _NONE:
                raise ValueError(f"{self.name_of(0)} ended after {n} items, when training was to continue after item {place}: it does not "
                                 "give the same items again")
        return Reader(items)


_NONE = object()


class _StateReader(Reader):
    "Items of a dataset that says where it is."

    counts = False

    def __init__(self, items, dataset, place):
        super().__init__(items)
        self.dataset, self.mark, self._read = dataset, place, 0

    def __next__(self):
        run: list[Any] = []
        self.read(run, 1)
        if not run:
            raise StopIteration
        return run[0]

    def read(self, run, n):
        if self._read == STATE_EVERY:
            self.mark, self._read = {"state": copy.deepcopy(self.dataset.state_dict())}, 0
        before = len(run)
        run.extend(islice(self.items, min(n, STATE_EVERY - self._read)))
        self._read += len(run) - before


_ROWS = 64              # read at a time


def is_hugging_face(dataset: Any) -> bool:
    """Whether this is an `IterableDataset` of Hugging Face.

    Args:
        dataset: any object.
    """
    return any(c.__module__.partition(".")[0] == "datasets" and c.__name__ == "IterableDataset" for c in type(dataset).__mro__)


def _has_buffer(dataset):
    "Whether `shuffle()` is among what was done to the data set: the items in its buffer are not part of its state."
    step = vars(dataset).get("_ex_iterable")                # there is no public name for it
    while step is not None and not type(step).__name__.startswith("BufferShuffled"):
        step = vars(step).get("ex_iterable")
    return step is not None


def refuse_lists(dataset: Any) -> None:
    """Refuse a data set of Hugging Face whose rows hold lists of numbers: of lists, a batch would be made position by position.

    Args:
        dataset: any dataset.

    Raises:
        ValueError: says how to get tensors.
    """
    if not any(c.__module__.partition(".")[0] == "datasets" and c.__name__ == "Dataset" for c in type(dataset).__mro__) or not len(dataset):
        return
    row = dataset[0]
    lists = [name for name, v in row.items() if type(v) is list and v and isinstance(v[0], (int, float, list))] if type(row) is dict else []
    if lists:
        raise ValueError(f"the column {lists[0]!r} of the data set gives lists of numbers, of which a batch would be made position by "
                         "position: write DataLoader(ds.with_format('torch'), ...), or collate_fn= with a function that pads")


class HuggingFaceShards(Shards):
    """A streamed data set of Hugging Face. Its samples are dicts; a list of numbers becomes a tensor.

    Each of its shards is read by one worker of one rank; `set_epoch` is called; training continues from its own `state_dict`.

    Args:
        dataset: `load_dataset(..., streaming=True)`, or `ds.to_iterable_dataset(num_shards=64)`; not split by rank before.
    """

    def __init__(self, dataset: Any):
        self.dataset = dataset
        if vars(dataset).get("_distributed") is not None:
            raise ValueError("this data set was split by rank before (split_dataset_by_node), and StreamLoader splits it by rank and "
                             "worker: give it the whole data set")
        if _has_buffer(dataset):
            self.replays = ("its own shuffle() forgets what was in its buffer: leave that out, and write StreamLoader(..., shuffle=True, "
                            "buffer=1000)")
        super().__init__(range(dataset.num_shards))

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {describe(self.dataset)}, {len(self)} shards"

    def name_of(self, shard: int) -> str:
        return f"shard {shard} of the data set"

    def open(self, shard: int, place: Any = None, turn: int = 0, seed: int = 0) -> Reader:
        dataset = self.dataset.shard(len(self), shard)
        dataset.set_epoch(turn)
        return _RowReader(dataset, place, self.replays is None)

    def to_sample(self, item: dict[str, Any]) -> dict[str, Any]:
        return as_values(item)


class _RowReader(Reader):
    "The rows of one shard; the mark is the state of the data set before those that were read last."

    def __init__(self, dataset, place, seeks):
        super().__init__(self._rows(dataset, seeks))
        self.counts, self.mark, self._place = not seeks, place, place
        self._chunks, self._left = dataset.iter(_ROWS), 0

    def _rows(self, dataset, seeks):
        place = self._place
        if seeks and place is not None:
            dataset.load_state_dict(place)
        left = 0 if seeks else place or 0
        while (chunk := next(self._chunks, None)) is not None:
            if not hasattr(chunk, "keys"):
                raise TypeError(f"the data set gives {describe(chunk)}, not rows of values: write ds.with_format(None), or "
                                "ds.with_format('torch')")
            names = list(chunk.keys())
            rows = zip(*(chunk[n] for n in names), strict=True)
            self._left = len(chunk[names[0]]) - left if names else 0
            for _ in islice(rows, left):
                left -= 1
            for values in rows:
                yield dict(zip(names, values, strict=True))
            if seeks:
                self.mark = dataset.state_dict()

    def read(self, run, n):
        before = len(run)
        run.extend(islice(self.items, 1))           # after which it is known how many the rows are that were read with it
        run.extend(islice(self.items, min(n, self._left) - 1) if len(run) > before and min(n, self._left) > 1 else ())
        self._left -= len(run) - before

    def close(self):
        super().close()
        self._chunks.close()
