"""Who reads what of a stream: for each rank and worker, the parts of shards that it reads."""
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..core.seeds import item_rng
from ..core.shares import divided


class Part(NamedTuple):
    "Items `start` to `stop` (None: all that follow) of a shard."

    shard: int
    start: int = 0
    stop: int | None = None


class Layout(NamedTuple):
    "What one lane reads, and which of the items that it reads are its own."

    parts: Callable[[int], Sequence[Part]]      #: of the n-th time that the stream is read: what to read, in this order
    key: int                                    #: lanes of the same key read, and mix, the same items in the same order
    in_turn: int = 1                            #: this many workers read the same: each takes a block of items in its turn
    whole_batches: bool = False                 #: a block is the batch of all ranks, of which each takes its part
    wraps: bool = False                         #: begins again at its end

    def is_common(self, place: "Place") -> bool:
        """Whether all lanes read the same, the whole stream, so that each can go on where any other one is.

        Args:
            place: of one of them.
        """
        return self.in_turn == place.lanes and (place.world == 1 or self.whole_batches)


class Place(NamedTuple):
    "Which lane: one of `lanes` of rank `rank` of `world`."

    rank: int
    world: int
    lane: int
    lanes: int


def share(n: int, i: int, of: int) -> range:
    "Part `i` of `n` things that are split as evenly as can be: the first ones get one more."
    size, more = divmod(n, of)
    begin = i * size + min(i, more)
    return range(begin, begin + size + (i < more))


def shard_order(n: int, seed: int, turn: int, shuffle: bool) -> Any:
    "The order of `n` shards the `turn`-th time that they are read."
    return item_rng(seed, turn, _SHARDS).permutation(n) if shuffle else np.arange(n)


_SHARDS = 2**32 - 11


def cut(sizes: Sequence[int], order: Any, low: int, high: int) -> list[Part]:
    "Items `low` to `high` of the shards laid end to end in this `order`."
    found, ends = [], np.cumsum(np.asarray(sizes)[order])
    for k in range(int(np.searchsorted(ends, low, "right")), len(order)):
        shard = int(order[k])
        begin = int(ends[k]) - sizes[shard]
        if begin >= high:
            break
        if sizes[shard]:
            found.append(Part(shard, max(low - begin, 0), min(high - begin, sizes[shard])))
    return found


def bounds(n: int, bs: int, place: Place) -> tuple[int, int]:
    """From where to where a lane reads of `n` items laid end to end, so that its batches are all those that are asked of it.

    Batch k of a rank, its part of a batch of `bs`, is made by worker k modulo the number of workers; the last one may be smaller.
    """
    full, rest = divmod(n, bs)

    def of_rank(rank):
        return divided(bs, place.world, rank).mine, divided(rest, place.world, rank).mine if rest else 0

    def of_lane(rank, lane):
        own, last = of_rank(rank)
        return own * len(range(lane, full, place.lanes)) + (last if full % place.lanes == lane else 0)

    begin = sum(full * a + b for a, b in map(of_rank, range(place.rank)))
    begin += sum(of_lane(place.rank, lane) for lane in range(place.lane))
    return begin, begin + of_lane(place.rank, place.lane)


def ends_of(part: range) -> tuple[int, int]:
    "From where to where a range goes."
    return part.start, part.stop
