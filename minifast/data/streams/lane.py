"""`Lane`: what one worker of one rank reads of a stream, mixed, from any place on.

Mixing. Item i of a lane gets the key i + u * 2 * buffer, where u is uniform in [0, 1) and a function of (seed, turn, i); items come in the
order of their keys. An item is held until no later one can have a smaller key, so that about `buffer` items are held at a time. Nothing of
this depends on what happened before: to continue, a lane reads again from the first item on that it may have held, and leaves out those
whose keys are not above the last one that it gave. That reads a few times `buffer` items at most, wherever in the stream it is.
"""
import heapq
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from ...core.messages import add_note, plural
from ...core.seeds import item_rng
from ...core.shares import divided
from .layout import Layout
from .shards import Shards

_KEYS = 1024            # drawn at a time
_MIXING = 2**32 - 12


class Mark(NamedTuple):
    "Where reading can begin: item `ordinal` of the lane is number `number` of its shard, at `place` of part `part`."

    ordinal: int
    part: int
    place: Any
    number: int
    counts: bool        #: whether a place is the number of an item, so that every item after it is a place, too


class Lane:
    """Items of a stream.

    Args:
        source: what is read.
        layout: which of it.
        seed: of the order.
        buffer: about how many items are held to be mixed; 0: they come in order.
        place: where to continue, from `place()`. None: at the beginning.
        epoch: in which the stream began.
    """

    def __init__(self, source: Shards, layout: Layout, seed: int, buffer: int, place: dict[str, Any] | None = None, epoch: int = 0):
        self.source, self.layout, self.seed, self.window, self.epoch = source, layout, seed, 2 * buffer, epoch
        self.sizes: list[int] = []              #: how many items the turns had that ended since somebody looked
        self.recent: list[tuple] = []           #: a few of those that were given last
        self.of: Any = None                     #: which lane of which rank
        self.taken = 0                          #: how many items of the batches made so far, of all ranks that read the same
        self.block = 0 if place is None else place["block"]        #: how many blocks were taken, or left to other workers
        self._begin(place or _BEGINNING)

    def _begin(self, place):
        self.turn, self._ordinal = place["turn"], place["ordinal"]          # of the item that is read next
        self._after: tuple | None = None if place["after"] is None else tuple(place["after"])
        self._marks: deque[Mark] = deque()
        self._heap: list[tuple[float, int, tuple]] = []
        self._keys: tuple[int, list[float]] = (-1, [])
        self._reading = self._read(*place["at"])
        self._all_read = False

    # -- reading ----------------------------------------------------------------------------------------------------------------
    def _read(self, part: int, place: Any, skip: int, number: int) -> Iterator[tuple]:
        "(item, shard, number) from there on: `skip` after `place` of part `part`, where item `number` of its shard is."
        parts, ordinal = self.layout.parts(self.turn), self._ordinal
        for i in range(part, len(parts)):
            shard, start, stop = parts[i]
            if place is None:
                place, number = start or None, start + skip
            reader = self.source.open(shard, place, self.epoch + self.turn, self.seed)
            try:
                self._marks.append(Mark(ordinal - skip, i, place, number - skip, reader.counts))
                items: Iterator[Any] = reader.items if reader.counts else reader
                for _ in islice(items, skip):
                    pass
                mark = reader.mark
                for item in items if stop is None else islice(items, stop - number):
                    if reader.mark is not mark:             # before this item
                        mark = reader.mark
                        self._marks.append(Mark(ordinal, i, mark, number, False))
                    yield item, shard, number
                    number += 1
                    ordinal += 1
                self._check_size(items, shard, number, stop)
            except Exception as e:
                add_note(e, f"while reading item {number} of {self.source.name_of(shard)}")
                raise
            finally:
                reader.close()
            place, skip, number = None, 0, 0

    def _check_size(self, items, shard, number, stop):
        "Whether a shard holds as many items as it was said to."
        if self.source.sizes is None:
            return
        said, name, missing = self.source.sizes[shard], self.source.name_of(shard), object()
        if number < (said if stop is None else stop):
            raise ValueError(f"{name} ends after {plural(number, 'item')}, and its size was said to be {said:,}. Each worker reads its "
                             "part by the sizes: give those of the files as they are, or none, sizes=None")
        if number == said and next(items, missing) is not missing:
            raise ValueError(f"{name} holds more than the {plural(said, 'item')} that it was said to hold: the others would never be "
                             "read. Give the sizes of the files as they are, or none, sizes=None")

    # -- mixing -----------------------------------------------------------------------------------------------------------------
    def _fill(self):
        "Read until it is known which item comes next."
        heap, window, after = self._heap, self.window, self._after
        block, keys = self._keys
        while not heap or heap[0][0] > self._ordinal:
            item = next(self._reading, None)
            if item is None:
                self._all_read = True
                break
            ordinal = self._ordinal
            self._ordinal = ordinal + 1
            if ordinal // _KEYS != block:
                block = ordinal // _KEYS
                keys = item_rng(self.seed, self.turn, self.layout.key, block, _MIXING).random(_KEYS).tolist()
            key = ordinal + keys[ordinal % _KEYS] * window
            if after is None or (key, ordinal) > after:
                heapq.heappush(heap, (key, ordinal, item))
        self._keys = block, keys

    def _next_few(self, n):
        "The next `n` items of this turn; fewer at its end."
        if not self.window:
            found, ahead = [], self._heap
            if ahead:                           # one that was read to see whether there is one
                found.append(ahead.pop()[2])
            found += islice(self._reading, n - len(found))
            self._ordinal += len(found)
            self._all_read = len(found) < n
            return found
        found, heap = [], self._heap
        for _ in range(n):
            if not self._all_read and (not heap or heap[0][0] > self._ordinal):
                self._fill()
            if not heap:
                break
            key, ordinal, item = heapq.heappop(heap)
            self._after = key, ordinal
            found.append(item)
        return found

    def next_items(self, n: int) -> list[tuple]:
        """The next items, as (item, shard, number in its shard); fewer at the end of the stream, unless it begins again there.

        Args:
            n: how many.
        """
        found = self._next_few(n)
        while len(found) < n and self.layout.wraps:
            size = self._ordinal
            if not size:
                raise ValueError(f"the stream gave no item at all: {self.source!r}")
            self.sizes.append(size)
            self._begin({**_BEGINNING, "turn": self.turn + 1})
            found += self._next_few(n - len(found))
        return found

    def has_more(self) -> bool:
        "Whether this turn has another item. One is read, none is given."
        if not self._heap and not self._all_read:
            if self.window:
                self._fill()
            elif (item := next(self._reading, None)) is None:
                self._all_read = True
            else:
                self._heap.append((self._ordinal, self._ordinal, item))
        return bool(self._heap)

    def take(self, block: int, n: int, bs: int, full: int, rank: int, world: int) -> list[tuple]:
        """The items of a batch of this rank.

        Args:
            block: the number of the batch.
            n: how many items it has.
            bs: how many that of all ranks has.
            full: how many a batch has that is not the last one.
            rank: this rank.
            world: of how many.
        """
        whole, in_turn = self.layout.whole_batches, self.layout.in_turn
        if in_turn > 1:
            for _ in range(block - self.block):                 # those of other workers
                self.next_items(full)
        self.block = block + 1
        found = self.next_items(bs if whole else n)
        self.taken += len(found)
        if whole and found:
            found = found[divided(len(found), world, rank).held]
        self.recent = found[:2] or self.recent
        return found

    def place(self) -> dict[str, Any]:
        "Where the next item is: plain values, with which a lane continues."
        marks, after = self._marks, self._after
        if not self.window:
            ordinal = self._ordinal
        else:                       # no item before this one can be left
            ordinal = min(self._ordinal, max(marks[0].ordinal if marks else 0, int(after[0]) - self.window)) if after else 0
        while len(marks) > 1 and marks[1].ordinal <= ordinal:
            marks.popleft()
        if not marks:               # nothing was read yet
            return {**_BEGINNING, "turn": self.turn, "block": self.block}
        mark = marks[0]
        on, number = ordinal - mark.ordinal, mark.number + ordinal - mark.ordinal
        at = [mark.part, number or None, 0, number] if mark.counts else [mark.part, mark.place, on, number]
        return {"turn": self.turn, "ordinal": ordinal, "at": at, "after": None if after is None else list(after), "block": self.block}

    def close(self) -> None:
        "Let go of files."
        self._reading.close()  # type: ignore[attr-defined]


_BEGINNING: dict[str, Any] = {"turn": 0, "ordinal": 0, "at": [0, None, 0, 0], "after": None}
