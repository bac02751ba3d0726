"""Batches of a stream: `Take` says what a batch is made of, a `StreamFetcher` takes it from its lane and makes the batch."""
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from torch.utils.data import get_worker_info

from ...core.messages import add_note, plural
from ...core.seeds import item_rng, item_rngs
from ...core.shares import divided
from ...sources.lane import Lane, Taken, code_of, of_code
from ...sources.layout import Layout, Part, Place, bounds, cut, ends_of, shard_order, share
from ...sources.shards import Shards
from ..engine.collate import GivePlace
from ..engine.fetch import Batch, BatchKey, Fetcher, Making
from ..pipeline import Pipeline
from ..transforms import Transform


class How(NamedTuple):
    "How a stream is read."

    shuffle: bool           #: shards in a new order each time, items mixed
    buffer: int             #: about how many items are held to be mixed
    in_order: bool          #: in the order of the source, whoever reads it: what validation does
    wraps: bool             #: begins again where it ends, because an epoch is a number of batches


class Take:
    """The items of a batch, known by their lane; in a `BatchKey` it stands in the place of indices.

    Args:
        n: how many items of this rank; None: none are taken.
        bs: how many of all ranks.
        full: how many of all ranks a batch has that is not the last one.
        block: the number of the batch since the stream began.
        place: which lane.
        token: of the iteration.
        epoch: in which the stream began.
        order_seed: of the order.
        start: where the lane begins. None: at the beginning of the stream.
        begins: whether it is the first batch of the lane.
        looks: whether to say if the lane has more.
        total: how many items all lanes take; None: it ends where the stream ends.
    """

    def __init__(self, n: int | None, bs: int, full: int, block: int, place: Place, token: int, epoch: int, order_seed: int,
                 start: dict[str, Any] | None, begins: bool, looks: bool, total: int | None):
        self.n, self.bs, self.full, self.block, self.place, self.token, self.epoch = n, bs, full, block, place, token, epoch
        self.order_seed, self.start, self.begins, self.looks, self.total = order_seed, start, begins, looks, total
        self.full_own = divided(full, place.world, place.rank).mine

    def __len__(self) -> int:
        return max(2, self.n or 0)              # a rank without items works on up to two of the others', see `Share`

    def __iter__(self) -> Iterator[int]:
        return iter(())


class Report(NamedTuple):
    "What a batch says of its lane."

    lane: int
    n: int                          #: items of the batch
    read: int                       #: items that this lane took for it, those of other ranks included where all read the same
    total: int                      #: items of the batch of all ranks
    place: dict[str, Any]           #: where the lane goes on
    shared: bool                    #: whether any lane, of any number of ranks and workers, can go on there
    sizes: list[int]                #: how many items the turns had that ended
    more: bool | None               #: whether this turn has more items, where that was asked
    codes: list[int]                #: of the items, see `lane.code_of`
    told: str | None                #: what the user should know of how the source is split


class StreamBatch(Batch):
    "A batch of a stream on its way to the device. Without items, its data are None; without a report, none were asked for."

    __slots__ = ("report",)

    def __init__(self, data: Any, kinds: Any, skipped: dict[int, str] | None, report: Report | None):
        super().__init__(data, kinds, skipped)
        self.report = report

    def __getstate__(self) -> tuple:
        return super().__getstate__(), self.report

    def __setstate__(self, state: tuple) -> None:
        super().__setstate__(state[0])
        self.report = state[1]

    def pin_memory(self) -> "StreamBatch":
        pinned = super().pin_memory()
        return StreamBatch(pinned.data, pinned.kinds, pinned.skipped, self.report)


class StreamMaking(Making):
    "A batch of a stream in the making."

    taken: Taken | None = None
    report: Report | None = None
    at_once: Any = None
    failed: bool = False
    error: BaseException | None = None      # until it is raised: it must not be kept, and with it the loop that its traceback holds
    token: int


class StreamFetcher(Fetcher):
    """Makes the batches of a stream, in their order.

    Args:
        source: what is read.
        how: how.
        after_item: transforms of each sample.
        before_batch: transforms of the list of samples.
        after_batch: transforms of the batch.
        collate_fn: makes a batch of a list of samples.
        on_error: 'raise' or 'skip'.
    """

    def __init__(self, source: Shards, how: How, after_item: Pipeline, before_batch: Pipeline,
                 after_batch: Sequence[Transform] | Pipeline = (), collate_fn: Callable[[list], Any] | None = None,
                 on_error: Literal["raise", "skip"] = "raise"):
        super().__init__(source, after_item, before_batch, after_batch, collate_fn, on_error)
        self.source, self.how = source, how
        self.tensors, self.in_memory, self.draws = None, False, False
        self._uses_rng = self._transforms_items
        self._at_once = not len(after_item) and not len(before_batch) and collate_fn is None
        self._as_read = not self._transforms_items and type(source).to_sample is Shards.to_sample and \
            type(source).batch_of is Shards.batch_of            # an item is a sample
        self.is_quiet = (source.is_quiet and collate_fn is None and
                         all(f.is_builtin and not getattr(f, "draws_globally", False) for f in (*after_item, *before_batch)))
        self._lanes: dict[int, Lane] = {}       # by the iteration
        self._kept: Lane | None = None
        self._queues: dict[int, deque[StreamMaking]] = {}
        self._lock: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lanes": {}, "_kept": None, "_queues": {}, "_lock": None}

    # -- lanes ------------------------------------------------------------------------------------------------------------------
    def layout(self, take: Take) -> tuple[Layout, str | None]:
        "What the lane of `take` reads; and what the user should know about it."
        source, how, (rank, world, lane, lanes) = self.source, self.how, take.place
        n_shards = len(source)
        order = partial(shard_order, n_shards, take.order_seed, shuffle=how.shuffle)
        splits = source.splits_itself(take.epoch, take.order_seed) if world * lanes > 1 else (False, False)
        if any(splits):
            by_worker, by_rank = splits
            key = (lane if by_worker else 0) + lanes * (rank if by_rank else 0)
            told = None if lanes == 1 else source.told_of_split(lanes) if not by_worker else (
                "the workers read parts of their own, so that predictions do not come in the order of the stream: for that order write "
                "num_workers=0") if how.in_order else None
            return Layout(lambda turn: [Part(0)], key, 1 if by_worker else lanes, world > 1 and not by_rank, how.wraps), told
        if how.in_order or not source.divisible:
            told = source.told_of_split(lanes) if not source.divisible and lanes > 1 else None
            ends = source.sizes or [None] * n_shards
            return Layout(lambda turn: [Part(int(s), 0, ends[s]) for s in order(turn)], 0, lanes, world > 1, how.wraps), told
        if source.sizes is not None:
            low, high = (bounds(take.total, take.full, take.place) if take.total is not None and not how.wraps else
                         ends_of(share(sum(source.sizes), rank * lanes + lane, world * lanes)))
            return Layout(lambda turn: cut(source.sizes, order(turn), low, high), rank * lanes + lane, wraps=how.wraps), None
        by_rank = n_shards >= world
        by_lane = (n_shards // world if by_rank else n_shards) >= lanes
        ranks, workers = (slice(rank, None, world) if by_rank else slice(None)), (slice(lane, None, lanes) if by_lane else slice(None))
        key = (lane if by_lane else 0) + lanes * (rank if by_rank else 0)
        few = None if by_rank and by_lane else (
            f"{plural(n_shards, 'shard')} for {f'{world} ranks with ' if world > 1 else ''}{plural(lanes, 'worker')}"
            f"{' each' if world > 1 else ''}: several workers read the same shard, and each makes its part of it. Faster would be more "
            f"shards, sizes=[...] of the shards, or num_workers={max(1, n_shards // world)}")
        return Layout(lambda turn: [Part(int(s)) for s in order(turn)[ranks][workers]], key, 1 if by_lane else lanes,
                      not by_rank, how.wraps), few

    def is_common(self, take: Take) -> bool:
        "Whether the lane of `take` reads what all others read, see `Layout.is_common`."
        asked = copy(self)
        asked.source = copy(self.source)        # where an iterable begins to tell, workers that are forked later should not go on
        return asked.layout(take)[0].is_common(take.place)

    def _lane(self, take):
        "The lane of `take`; and what to tell of it, if it is a new one."
        if not take.begins:
            return self._lanes[take.token], None
        if get_worker_info() is not None:               # a worker serves one loop at a time
            for token in [*self._lanes]:
                self.forget(token, keep=True)
        lane, self._kept = self._kept, None
        if lane is not None:
            if take.start is not None and (lane.seed, lane.of) == (take.order_seed, take.place) and lane.place() == take.start:
                self._lanes[take.token] = lane          # it goes on where it stands
                return lane, None
            lane.close()
        layout, told = self.layout(take)
        if take.start is not None and self.source.replays and not isinstance(take.start["at"][1], dict):
            told = f"{told}. {self._replaying(take)}" if told else self._replaying(take)
        lane = self._lanes[take.token] = Lane(self.source, layout, take.order_seed, self.how.buffer if self.how.shuffle else 0, take.start,
                                              take.epoch)
        lane.of = take.place
        return lane, told

    def _replaying(self, take):
        return (f"to continue, the stream is read again up to where it was, {plural(take.start['at'][3], 'item')}, because "
                f"{self.source.replays}")

    def forget(self, token: int, keep: bool = False) -> None:
        "End an iteration. keep: the next one may go on where its lane stands."
        self._queues.pop(token, None)
        lane, kept = self._lanes.pop(token, None), self._kept
        if lane is not None:
            if not keep:
                lane.close()
                return
            self._kept = lane
            if kept is not None:
                kept.close()

    def _take(self, making):
        take: Take = making.key.indices
        if take.n is None:
            making.taken, making.key = Taken([], []), making.key._replace(indices=[])
            return
        lane, told = self._lane(take)
        (rank, world, number, _), whole, before = take.place, lane.layout.whole_batches, lane.taken
        making.taken = taken = lane.take(take.block, take.n, take.bs, take.full if whole else take.full_own, rank, world)
        more, (sizes, lane.sizes) = lane.has_more() if take.looks else None, (lane.sizes, [])
        shared, read = lane.layout.is_common(take.place), lane.taken - before
        making.report = Report(number, len(taken.items), read, read if whole or world == 1 else take.bs, lane.place(), shared, sizes, more,
                               taken.codes, told)
        if not taken.items and not whole and take.bs and not take.n:            # it stands in, see `Share`
            making.taken = taken = lane.recent if lane.recent.items else self._first_items()
        making.key = making.key._replace(indices=taken.codes)
        making.samples = [None] * len(taken.items)

    # -- a batch ----------------------------------------------------------------------------------------------------------------
    def begin(self, key: BatchKey) -> StreamMaking:
        making = StreamMaking(key, super().begin(key).places)
        making.token = key.indices.token
        if self._lock is None:
            self._lock = threading.Lock()
        self._queues.setdefault(key.indices.token, deque()).append(making)
        return making

    def _make_taken(self, making):
        """Let the items of `making` be read, after those of all batches before it, whoever makes them. False: they cannot be, and another
        thread that makes this batch has raised why."""
        with self._lock:
            queue = self._queues.get(making.token, ())
            while making.taken is None and not making.failed:
                first = queue.popleft()
                try:
                    self._take(first)
                except BaseException as e:
                    first.failed, first.error = True, e
            error, making.error = making.error, None
        if error is None:
            return not making.failed
        try:
            raise error
        finally:
            del error

    def fill(self, making: StreamMaking, positions: Sequence[int], stopped: Callable[[], bool] | None = None) -> None:  # type: ignore[override]
        if not self._make_taken(making):
            return
        if self._as_read:
            making.samples = making.taken.items  # type: ignore[union-attr]
            return
        if self._at_once and making.at_once is None:
            making.at_once = self.source.batch_of(making.taken.items)  # type: ignore[union-attr]
        if making.at_once is not None:
            return
        seed, indices = making.key.seed, making.key.indices
        positions = [k for k in positions if k < len(indices)]
        rngs = item_rngs(seed, [indices[k] for k in positions]) if self._uses_rng else None
        for n, k in enumerate(positions):
            if stopped is not None and stopped():
                return
            try:
                making.samples[k] = self._made(making, k, None if rngs is None else rngs[n])
            except Exception as e:
                if self.on_error != "skip" or isinstance(e, MemoryError):
                    raise
                making.skipped[indices[k]] = f"{type(e).__name__}: {e}"
                making.samples[k] = self._instead(making, k, e)

    def _made(self, making, k, rng):
        i, item = making.key.indices[k], making.taken.items[k]
        try:
            sample = self.source.to_sample(item)
        except Exception as e:
            add_note(e, f"while making a sample of {self.name_of(i)}")
            raise
        return self.transformed(sample, i, rng, making.place(k)) if self._transforms_items else sample

    def _instead(self, making, k, error):
        "Sample `k` made of another item of the batch; of which one is a function of the seed."
        seed, indices = making.key.seed, making.key.indices
        for j in item_rng(seed, indices[k], 1).permutation(len(indices)).tolist():
            if j != k:
                try:
                    return self._made(making, j, item_rng(seed, indices[j], 2) if self._uses_rng else None)
                except Exception as e:
                    making.skipped[indices[j]] = f"{type(e).__name__}: {e}"
        add_note(error, "on_error='skip' found no item to take its place: no other of its batch can be made either")
        try:
            raise error
        finally:
            del error

    def finish(self, making: StreamMaking) -> StreamBatch:  # type: ignore[override]
        if not making.taken.items:  # type: ignore[union-attr]
            return StreamBatch(None, None, {}, making.report)
        if making.at_once is not None:
            return StreamBatch(making.at_once, None, {}, making.report)
        batch = super().finish(making)
        return StreamBatch(batch.data, batch.kinds, batch.skipped, making.report)

    # -- single samples ---------------------------------------------------------------------------------------------------------
    def _first_items(self):
        "The first item of the source."
        for shard in range(len(self.source)):
            reader = self.source.open(shard)
            try:
                for item in reader:
                    return Taken([item], [code_of(shard, 0)])
            finally:
                reader.close()
        raise ValueError(f"the stream gave no item at all: {self.source!r}")

    def first(self) -> Any:
        "The first sample of the source, as it is read."
        return self.source.to_sample(self._first_items().items[0])

    def item(self, i: int, seed: int, repeat: int = 0, rng: np.random.Generator | None = None, place: GivePlace | None = None) -> Any:
        "The first sample of the source, after the item transforms."
        sample = self.first()
        return self.transformed(sample, 0, item_rng(seed, 0), None) if self._transforms_items else sample

    def idle(self, seed: int = 0) -> list[Transform]:
        return self.after_item.idle(self.first(), item_rng(seed, 0)) if self._transforms_items else []

    def name_of(self, i: int) -> str:
        shard, number = of_code(i)
        return f"item {number} of {self.source.name_of(shard)}"
