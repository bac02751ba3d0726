"""Where a stream is, between batches and between runs; and what a pass over it has shown of its length."""
from collections.abc import Callable
from typing import Any, NamedTuple

from ...core.messages import plural
from .fetch import Report


class Begin(NamedTuple):
    "Where a pass over a stream begins."

    seed: int                                   #: of the order
    epoch: int                                  #: in which the stream began
    block: int                                  #: how many batches were taken before this epoch, since then
    world: int                                  #: ranks
    lanes: int                                  #: workers of each
    places: list[dict[str, Any] | None] = []    #: where each of them goes on; None: at its beginning
    latest: dict[str, Any] | None = None        #: where any worker of any number of them can go on

    def for_lanes(self, world: int, lanes: int, common: Callable[["Begin"], bool] = lambda begin: True) -> "Begin":
        """The same for other numbers of ranks and workers, if that can be.

        Args:
            world: ranks.
            lanes: workers of each.
            common: says of the result whether each of them reads the whole stream.

        Raises:
            ValueError: each worker was, or is to be, within a part of its own.
        """
        if (world, lanes) == (self.world, self.lanes):
            return self if self.places else self._replace(places=[None] * lanes)
        found = self._replace(world=world, lanes=lanes, places=[self.latest] * lanes)
        if any(self.places) and (self.latest is None or not common(found)):
            own = [plural(self.world, "rank")] * (self.world != world) + [f"num_workers={0 if self.lanes == 1 else self.lanes}"]
            here = [plural(world, "rank")] * (self.world != world) + [f"num_workers={0 if lanes == 1 else lanes}"]
            raise ValueError(f"the stream was read with {' and '.join(own)}, and cannot go on where it was with "
                             f"{' and '.join(here)}, because each worker reads a part of its own: use as many as before, or go on with "
                             "the next epoch, dl.load_state_dict({**state, 'batch': 0, 'epoch_seed': None, 'stream': None})")
        return found

    def state(self, gathered: Callable[[Any], list]) -> dict[str, Any]:
        """Plain values.

        Args:
            gathered: gives the values of all ranks, which all call this.
        """
        return {**self._asdict(), "places": gathered(self.places)}

    @classmethod
    def of(cls, state: dict[str, Any], rank: int) -> "Begin":
        """What `state()` said.

        Args:
            state: plain values.
            rank: of this process.
        """
        places = state["places"]
        return cls(**{**state, "places": places[rank] if rank < len(places) else places[0]})


#: From which part of an epoch on it is told that items came twice.
_UNEVEN = 0.05


class Seen:
    """What a pass has shown of the length of a stream.

    Args:
        n: how many items it took before it was interrupted.
    """

    def __init__(self, n: int = 0):
        self.n = n
        self.read: dict[int, int] = {}
        self.first_turns: dict[int, int] = {}
        self.more: dict[int, bool] = {}

    def add(self, report: Report, number: int) -> None:
        """Take note of a batch.

        Args:
            report: of it.
            number: of the batch.
        """
        self.n += report.read
        self.read[report.lane] = self.read.get(report.lane, 0) + report.read
        if report.sizes:
            self.first_turns.setdefault(report.lane, report.sizes[0])
        if report.more is not None:
            self.more[report.lane] = report.more

    def told(self, n_items: int | None, n_batches: int, number: int, wraps: bool, lanes: int) -> str | None:
        """What the user should know; None: all is as it was said to be.

        Args:
            n_items: how many items were said to be there.
            n_batches: how many batches.
            number: how many there were.
            wraps: whether the stream begins again at its end.
            lanes: how many workers, of all ranks.
        """
        if not wraps:
            if n_items is not None and self.n != n_items:
                return (f"the stream was said to have {plural(n_items, 'item')}, and has {self.n:,}: all of them were taken; progress and "
                        f"schedules count {plural(n_batches, 'batch')}. Write n_items={self.n}")
            if n_items is None and number < n_batches:
                return f"the stream ended after {number} of n_batches={n_batches}: write n_batches={number}"
            return None
        if n_items is None:
            return None
        if len(self.first_turns) == lanes:
            n = sum(self.first_turns.values())
            return None if n == n_items else (
                f"the stream was said to have {plural(n_items, 'item')}, and has {n:,}: some came again in the same epoch. Write "
                f"n_items={n}")
        again = sum(self.read[lane] - n for lane, n in self.first_turns.items())
        if again > _UNEVEN * n_items:
            return (f"the shards of some workers hold fewer items than those of others: {again:,} items came twice in this epoch, and "
                    "others not at all, other ones each time. With the sizes of the shards, sizes=[...], each comes once")
        if not self.first_turns and self.more and all(self.more.values()) and len(self.more) == lanes:
            return (f"the stream was said to have {plural(n_items, 'item')}, and has more: the others are never seen. Write n_items= with "
                    "their number, or n_batches=, after which the next epoch goes on")
        return None
