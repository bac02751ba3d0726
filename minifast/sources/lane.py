"""`Lane`: what one worker of one rank reads of a stream, mixed, from any place on.

Mixing. Item i of a lane gets the key i + u * 2 * buffer, where u is uniform in [0, 1) and a function of (seed, turn, i); items come in the
order of their keys. An item is held until no later one can have a smaller key, so that about `buffer` items are held at a time. Nothing of
this depends on what happened before: to continue, a lane reads again from the first item on that it may have held, and leaves out those
whose keys are not above the last one that it gave. That reads a few times `buffer` items at most, wherever in the stream it is.

Items are read in runs, those of a batch at once, and the keys of a run are drawn, compared and sorted together (`mixing`).
"""
from collections import deque
from collections.abc import Generator
from typing import Any, NamedTuple

from ..core.messages import add_note, plural
from ..core.shares import divided
from .layout import Layout
from .mixing import Mixer
from .shards import Shards

_SHIFT = 40             # of the number of a shard


def code_of(shard: int, number: int) -> int:
    "One number for an item: what stands for an index where there is none."
    return shard << _SHIFT | number


def of_code(code: int) -> tuple[int, int]:
    "The shard, and the number in it, of the item with this `code`."
    return code >> _SHIFT, code & (1 << _SHIFT) - 1


class Taken(NamedTuple):
    "Items of a stream, and which they are."

    items: list[Any]
    codes: list[int]        #: one of each, see `code_of`

    def part(self, which: slice) -> "Taken":
        """Some of them.

        Args:
            which: their positions.
        """
        return Taken(self.items[which], self.codes[which])


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
        self.recent = Taken([], [])             #: of several ranks, a few of those that were given last
        self.of: Any = None                     #: which lane of which rank
        self.taken = 0                          #: how many items of the batches made so far, of all ranks that read the same
        self.block = 0 if place is None else place["block"]        #: how many blocks were taken, or left to other workers
        self._begin(place or _BEGINNING)

    def _begin(self, place):
        self.turn, self._ordinal = place["turn"], place["ordinal"]          # of the item that is read next; unmixed, given next
        after = None if place["after"] is None else tuple(place["after"])
        self._mixer = Mixer(self.window, (self.seed, self.turn, self.layout.key), after) if self.window else None
        self._marks: deque[Mark] = deque()
        self._ahead: tuple[list, int] | None = None         # a run that was read to see whether there is one
        self._wanted = 0                                    # how many items the next run has at most
        self._reading = self._read(*place["at"])
        self._all_read = False

    # -- reading ----------------------------------------------------------------------------------------------------------------
    def _read(self, part: int, place: Any, skip: int, number: int) -> Generator[tuple[list, int], None, None]:
        """Runs of items from there on, with the code of their first one: `skip` after `place` of part `part`, where item `number` of its
        shard is."""
        parts, ordinal = self.layout.parts(self.turn), self._ordinal
        for i in range(part, len(parts)):
            shard, start, stop = parts[i]
            if place is None:
                place, number = start or None, start + skip
            reader = self.source.open(shard, place, self.epoch + self.turn, self.seed)
            run: list[Any] = []
            try:
                self._marks.append(Mark(ordinal - skip, i, place, number - skip, reader.counts))
                for _ in zip(range(skip), reader, strict=False):
                    pass
                mark = reader.mark
                while stop is None or number < stop:
                    reader.read(run, self._wanted if stop is None else min(self._wanted, stop - number))
                    if not run:
                        break
                    if reader.mark is not mark:             # before this run
                        mark = reader.mark
                        self._marks.append(Mark(ordinal, i, mark, number, False))
                    ordinal, first, number = ordinal + len(run), number, number + len(run)
                    given, run = [(run, code_of(shard, first))], []
                    yield given.pop()                       # what was given is not held here
                self._check_size(reader, shard, number, stop)
            except Exception as e:
                add_note(e, f"while reading item {number + len(run)} of {self.source.name_of(shard)}")
                raise
            finally:
                reader.close()
            place, skip, number = None, 0, 0

    def _check_size(self, reader, shard, number, stop):
        "Whether a shard holds as many items as it was said to."
        if self.source.sizes is None:
            return
        said, name, missing = self.source.sizes[shard], self.source.name_of(shard), object()
        if number < (said if stop is None else stop):
            raise ValueError(f"{name} ends after {plural(number, 'item')}, and its size was said to be {said:,}. Each worker reads its "
                             "part by the sizes: give those of the files as they are, or none, sizes=None")
        if number == said and next(reader, missing) is not missing:
            raise ValueError(f"{name} holds more than the {plural(said, 'item')} that it was said to hold: the others would never be "
                             "read. Give the sizes of the files as they are, or none, sizes=None")

    def _next_run(self, n):
        "The next items that are read, at most `n`, and the code of the first; None at the end of the turn."
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            return ahead
        self._wanted = n
        run = next(self._reading, None)
        self._all_read = run is None
        return run

    def _next_few(self, n):
        "The next `n` items of this turn; fewer at its end."
        if self._mixer is not None:
            self._fill(n)
            return Taken(*self._mixer.take(n))
        items, codes = [], []
        while len(items) < n and (run := self._next_run(n - len(items))) is not None:
            items += run[0]
            codes += range(run[1], run[1] + len(run[0]))
        self._ordinal += len(items)
        return Taken(items, codes)

    def _fill(self, n):
        "Read until it is known which `n` items come next."
        mixer = self._mixer
        while len(mixer) < n and not self._all_read:
            run = self._next_run(mixer.run_for(n))
            if run is not None:
                mixer.add(*run, self._ordinal)
                self._ordinal += len(run[0])
            mixer.sift(None if run is None else self._ordinal)

    def next_items(self, n: int) -> Taken:
        """The next items; fewer at the end of the stream, unless it begins again there.

        Args:
            n: how many.
        """
        found = self._next_few(n)
        while len(found.items) < n and self.layout.wraps:
            size = self._ordinal
            if not size:
                raise ValueError(f"the stream gave no item at all: {self.source!r}")
            self.sizes.append(size)
            self._begin({**_BEGINNING, "turn": self.turn + 1})
            more = self._next_few(n - len(found.items))
            found = Taken(found.items + more.items, found.codes + more.codes)
        return found

    def has_more(self) -> bool:
        "Whether this turn has another item. One is read, none is given."
        if self._mixer is not None:
            self._fill(1)
            return len(self._mixer) > 0
        if self._ahead is None and not self._all_read:
            self._ahead = self._next_run(1)
        return self._ahead is not None

    def take(self, block: int, n: int, bs: int, full: int, rank: int, world: int) -> Taken:
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
        self.taken += len(found.items)
        if whole and found.items:
            found = found.part(divided(len(found.items), world, rank).held)
        if world > 1 and found.items:           # held items keep freed memory apart: of images of 150 kB that took 3 % of the time
            self.recent = found.part(slice(0, 2))
        return found

    def place(self) -> dict[str, Any]:
        "Where the next item is: plain values, with which a lane continues."
        marks, after = self._marks, None if self._mixer is None else self._mixer.after
        if self._mixer is None:
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
