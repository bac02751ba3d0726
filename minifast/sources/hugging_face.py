"""Streams of Hugging Face's `datasets` (`load_dataset(..., streaming=True)`), read shard by shard."""
from itertools import islice
from typing import Any

from ..core.messages import describe
from .shards import Reader, Shards, as_values

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
