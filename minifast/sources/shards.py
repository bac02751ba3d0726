"""What a stream reads: `Shards`, a list of parts that are read one after the other, each from any place."""
import inspect
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch

from ..core.arguments import is_whole
from ..core.messages import brief, describe, listing, plural


class Reader:
    """The items of a shard from some place on, where a place is the number of an item.

    Args:
        items: an iterator of them.
    """

    counts: bool = True         #: whether a place is a number. Else, as for subclasses, it is what `mark` is
    mark: Any = None            #: where the item after the one that was given last is; a new object where it changes

    def __init__(self, items: Iterator[Any]):
        self.items = items

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self.items)

    def read(self, run: list[Any], n: int) -> None:
        """Append the next items to a list, none of them after another mark than the first; nothing is appended at the end of the shard.

        Args:
            run: the list, in which those that came before an error are, too.
            n: how many at most.
        """
        run.extend(islice(self.items, n) if self.counts else islice(self, 1))

    def close(self) -> None:
        "Let go of files."
        if hasattr(self.items, "close"):
            self.items.close()


class Shards:
    """Files, or anything else that is read part by part, for `StreamLoader`.

    Each worker of each rank reads shards of its own. Where `sizes` are known they are cut to the item, so that all of them read the same
    number, none twice; without them there should be more shards than workers.

    Args:
        shards: one value per shard, such as files.
        read: `read(shard)` gives its items one after the other. `read(shard, start)`, with a parameter of this name, begins with item
            `start`: then training continues without reading again what came before.
        sizes: the number of items of each shard.
    """

    #: Why reading cannot begin in the middle of a shard, for a message; None: it can.
    replays: str | None = None
    #: Whether reading the items is what takes the time, so that several workers help, as each reads its own.
    divisible: bool = True

    def __init__(self, shards: Sequence[Any], read: Callable[..., Any] | None = None, sizes: Sequence[int] | None = None):
        shards = list(shards) if not isinstance(shards, (str, bytes, dict)) and hasattr(shards, "__iter__") else shards
        if not isinstance(shards, list) or not shards:
            raise ValueError(f"{type(self).__name__}: a list of shards, such as files; received {describe(shards)}")
        if read is not None and not callable(read):
            raise TypeError(f"Shards(read={brief(read)}): a function of a shard that gives its items")
        if sizes is not None:
            sizes = [n.__index__() if is_whole(n, 0) else n for n in sizes]
            odd = [n for n in sizes if not is_whole(n, 0)]
            if odd or len(sizes) != len(shards) or not sum(sizes):
                raise ValueError(f"Shards(sizes=...): a whole number of items for each of {plural(len(shards), 'shard')}, one of them "
                                 f"above 0; received {describe(sizes)}" + (f", and among them {odd[0]!r}" if odd else ""))
        self.shards, self.reads, self.sizes = shards, read, sizes
        self._seeks = read is not None and "start" in inspect.signature(read).parameters
        if read is not None and not self._seeks:
            self.replays = "its function has no parameter `start` with which to begin in the middle of a shard"

    def __len__(self) -> int:
        "How many shards there are."
        return len(self.shards)

    def __repr__(self) -> str:
        n = f", {plural(self.n_items, 'item')}" if self.n_items is not None else ""
        names = listing(map(self.name_of, range(min(3, len(self)))))
        return f"{type(self).__name__}: {plural(len(self), 'shard')}{n} ({names}{', ...' if len(self) > 3 else ''})"

    @property
    def n_items(self) -> int | None:
        "How many items all shards have together; None if that is not known."
        return None if self.sizes is None else sum(self.sizes)

    def name_of(self, shard: int) -> str:
        """What to call a shard in a message.

        Args:
            shard: its number.
        """
        return str(self.shards[shard])

    def read(self, shard: int, start: int = 0) -> Iterator[Any]:
        """Read a shard: what subclasses override.

        Args:
            shard: its number.
            start: how many of its items to leave out.
        """
        if self.reads is None:
            raise TypeError(f"{type(self).__name__}: give a function, read=, or override `read(self, shard, start)`")
        if self._seeks:
            return iter(self.reads(self.shards[shard], start=start))
        return islice(iter(self.reads(self.shards[shard])), start, None)

    def open(self, shard: int, place: Any = None, turn: int = 0, seed: int = 0) -> Reader:
        """Open a shard.

        Args:
            shard: its number.
            place: where to begin: the number of an item, or a `Reader.mark`. None: at its beginning.
            turn: the number of the epoch, or of the time that the stream begins, if that is more often.
            seed: of the order.
        """
        return Reader(iter(self.read(shard, place or 0)))

    @property
    def is_quiet(self) -> bool:
        "Whether nothing here can draw from the global random streams."
        return False

    def splits_itself(self, epoch: int, seed: int) -> tuple[bool, bool]:
        """Whether the source leaves out what other workers, and other ranks, read.

        Args:
            epoch: the number of the epoch.
            seed: of the order.
        """
        return False, False

    def told_of_split(self, lanes: int) -> str | None:
        """What to tell where every one of several workers has to read all items.

        Args:
            lanes: how many workers there are.
        """
        return None

    def batch_of(self, items: Sequence[Any]) -> Any:
        """Make a batch of items at once, as collating their samples would, where that is faster.

        Args:
            items: what `read` gave.

        Returns:
            The batch; None: make the samples one by one.
        """
        return None

    def to_sample(self, item: Any) -> Any:
        """Make a sample of what was read: decoding that should not be done before the items are mixed.

        Args:
            item: what `read` gave.
        """
        return item


def as_values(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a columnar source with tensors in the place of lists of numbers, of any depth; what else there is stays.

    Args:
        row: the cells by name.
    """
    return {name: _value(v) if type(v) is list else v for name, v in row.items()}


def _value(cell):
    inner = cell
    while type(inner) is list and inner:
        inner = inner[0]
    if not isinstance(inner, (int, float)):
        return cell
    try:
        values = np.asarray(cell)
    except ValueError:                              # lists of several lengths
        return cell
    if values.dtype.kind not in "biuf":
        return cell
    return torch.as_tensor(values.astype(np.float32) if values.dtype == np.float64 else values)
