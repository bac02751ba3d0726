"""Any `IterableDataset` as a source: each worker reads all of it and takes its part, unless its `__iter__` reads a part of its own."""
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
from .shards import Reader, Shards

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
