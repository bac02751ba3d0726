"""`Lane`: what one worker of one rank reads of a stream, mixed, from any place on.

Mixing. Item i of a lane gets the key i + u * 2 * buffer, where u is uniform in [0, 1) and a function of (seed, turn, i); items come in the
order of their keys. An item is held until no later one can have a smaller key, so that about `buffer` items are held at a time. Nothing of
this depends on what happened before: to continue, a lane reads again from the first item that it held, and leaves out those whose keys are
not above the last one that it gave. That reads `2 * buffer` items at most, wherever in the stream it is.
"""
import heapq
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

from ...core.messages import plural
from ...core.seeds import item_rng
from ...core.shares import divided
from .layout import Layout
from .shards import Shards

_KEYS = 1024            # drawn at a time
_MIXING = 2**32 - 12


class Entry:
    "An item that was read: number `number` of shard `shard`, and where reading it again would begin."

    __slots__ = ("at", "given", "item", "number", "shard")

    def __init__(self, item: Any, shard: int, number: int, at: tuple):
        self.item, self.shard, self.number, self.at, self.given = item, shard, number, at, False


class Taken(NamedTuple):
    "An item that a lane gave, and where it is."

    item: Any
    shard: int
    number: int


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
        self.recent: list[Taken] = []           #: a few of those that were given last
        self.of: Any = None                     #: which lane of which rank
        self.taken = 0                          #: how many items of the batches made so far, of all ranks that read the same
        self.block = 0 if place is None else place["block"]        #: how many blocks were taken, or left to other workers
        self._begin(place or {"turn": 0, "ordinal": 0, "at": [0, None, 0, 0], "after": None})

    def _begin(self, place):
        self.turn, self._ordinal = place["turn"], place["ordinal"]
        self._after: tuple | None = None if place["after"] is None else tuple(place["after"])
        self._first = self._ordinal, tuple(place["at"])         # where reading goes on if nothing is held
        self._held: deque[tuple[int, Entry]] = deque()
        self._heap: list[tuple[float, int, Entry]] = []
        self._keys: tuple[int, Any] = (-1, None)
        self._reading = self._read(*place["at"])
        self._all_read = False

    # -- reading ----------------------------------------------------------------------------------------------------------------
    def _read(self, part: int, place: Any, skip: int, number: int) -> Iterator[Entry]:
        "The items from there on: `skip` after `place` of part `part`, where item `number` of its shard is."
        parts, at = self.layout.parts(self.turn), (part, place, skip, number)
        for i in range(part, len(parts)):
            shard, start, stop = parts[i]
            if place is None:
                place, number = start or None, start
            reader = self.source.open(shard, place, self.epoch + self.turn, self.seed)
            try:
                for _ in range(skip):
                    next(reader, None)
                at = (i, *reader.place(), number)
                while stop is None or number < stop:
                    try:
                        item = next(reader)
                    except StopIteration:
                        break
                    entry, number = Entry(item, shard, number, at), number + 1
                    at = (i, *reader.place(), number)
                    self._first = self._ordinal + 1, at
                    yield entry
                self._check_size(reader, shard, number, stop)
            finally:
                reader.close()
            place, skip, number = None, 0, 0
            self._first = self._ordinal, (i + 1, None, 0, 0)

    def _check_size(self, reader, shard, number, stop):
        "Whether a shard holds as many items as it was said to."
        if self.source.sizes is None:
            return
        said, name = self.source.sizes[shard], self.source.name_of(shard)
        if number < (said if stop is None else stop):
            raise ValueError(f"{name} ends after {plural(number, 'item')}, and its size was said to be {said:,}. Each worker reads its "
                             "part by the sizes: give those of the files as they are, or none, sizes=None")
        missing = object()
        if number == said and next(reader, missing) is not missing:
            raise ValueError(f"{name} holds more than the {plural(said, 'item')} that it was said to hold: the others would never be "
                             "read. Give the sizes of the files as they are, or none, sizes=None")

    # -- mixing -----------------------------------------------------------------------------------------------------------------
    def _key(self, ordinal):
        if not self.window:
            return ordinal
        block, k = divmod(ordinal, _KEYS)
        if self._keys[0] != block:
            self._keys = block, item_rng(self.seed, self.turn, self.layout.key, block, _MIXING).random(_KEYS).tolist()
        return ordinal + self._keys[1][k] * self.window

    def _fill(self):
        "Read until it is known which item comes next."
        heap = self._heap
        while not self._all_read and (not heap or heap[0][0] > self._ordinal):
            entry = next(self._reading, None)
            if entry is None:
                self._all_read = True
                return
            ordinal, key = self._ordinal, self._key(self._ordinal)
            self._ordinal += 1
            if self._after is None or (key, ordinal) > self._after:
                heapq.heappush(heap, (key, ordinal, entry))
                self._held.append((ordinal, entry))

    def _give_next(self):
        "The next item of this turn, or None at its end."
        self._fill()
        heap = self._heap
        if not heap:
            return None
        key, ordinal, entry = heapq.heappop(heap)
        self._after, item = (key, ordinal), entry.item
        entry.given, entry.item = True, None
        while self._held and self._held[0][1].given:
            self._held.popleft()
        return Taken(item, entry.shard, entry.number)

    def next(self) -> Taken | None:
        "The next item; None at the end of the stream, unless it begins again there."
        while (entry := self._give_next()) is None:
            if self.layout.wraps and not self._ordinal:
                raise ValueError(f"the stream gave no item at all: {self.source!r}")
            if not self.layout.wraps:
                return None
            self.sizes.append(self._ordinal)
            self._begin({"turn": self.turn + 1, "ordinal": 0, "at": [0, None, 0, 0], "after": None})
        return entry

    def has_more(self) -> bool:
        "Whether this turn has another item. One is read, none is given."
        if not self._heap and not self._all_read:
            self._fill()
        return bool(self._heap)

    def take(self, block: int, n: int, bs: int, full: int, rank: int, world: int) -> list[Taken]:
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
            for _ in range((block - self.block) * full):
                if self.next() is None:
                    break
        self.block = block + 1
        found = []
        while len(found) < (bs if whole else n) and (entry := self.next()) is not None:
            found.append(entry)
        self.taken += len(found)
        if whole and found:
            found = found[divided(len(found), world, rank).held]
        self.recent = found[:2] or self.recent
        return found

    def place(self) -> dict[str, Any]:
        "Where the next item is: plain values, with which a lane continues."
        held = self._held
        ordinal, at = (held[0][0], held[0][1].at) if held else self._first
        return {"turn": self.turn, "ordinal": ordinal, "at": list(at), "after": None if self._after is None else list(self._after),
                "block": self.block}

    def close(self) -> None:
        "Let go of files."
        self._reading.close()  # type: ignore[attr-defined]
