"""`StreamLoader`: batches of data that are read one after the other, because they do not fit into memory or have no indices."""
from itertools import count
from typing import Any, Literal
from warnings import warn

import torch

from ..core.arguments import check_arguments, is_whole
from ..core.messages import describe, plural
from ..core.ranks import gathered, rank, world_size
from ..core.recipe import Recipe
from ..core.seeds import fixed_seed
from ..core.shares import divided
from ..sources.hugging_face import HuggingFaceShards, is_hugging_face
from ..sources.iterables import IterableShards
from ..sources.layout import Place
from ..sources.shards import Shards
from .dataloader import DataLoader
from .engine.fetch import BatchKey
from .streams.fetch import How, StreamFetcher, Take
from .streams.state import Begin, Seen

__all__ = ["StreamLoader"]

_NOT_TAKEN = {"sampler": "the order is that of the source, or shuffle=True", "cache": "there are no indices to keep images by"}


def source_of(dataset: Any, split: Literal["items", "own"] | None = None) -> Shards:
    """Make of what the user gives what a stream reads.

    Args:
        dataset: `Shards`, a streamed data set of Hugging Face, any `IterableDataset` or other object with `__iter__`.
        split: how an `IterableDataset` is split over workers and ranks, see `IterableShards`.
    """
    if isinstance(dataset, Shards):
        return dataset
    if isinstance(dataset, StreamLoader | DataLoader | torch.utils.data.DataLoader):
        raise TypeError(f"StreamLoader takes a dataset, and this is a loader, {describe(dataset)}: give its dataset, or put the loader "
                        "itself into DataLoaders(train_dl, valid_dl)")
    if is_hugging_face(dataset):
        return HuggingFaceShards(dataset)
    if hasattr(dataset, "__next__"):
        raise TypeError(f"StreamLoader(...): {describe(dataset)} can be read once only, and each epoch reads it anew: give an object whose "
                        "`__iter__` begins again, such as an IterableDataset")
    if hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__") and not isinstance(dataset, torch.utils.data.IterableDataset):
        raise TypeError(f"{describe(dataset)} has a length and indices: write DataLoader(dataset, bs=...), which reads it in any order")
    if not hasattr(dataset, "__iter__"):
        raise TypeError(f"StreamLoader takes Shards, ParquetShards, TarShards, a streamed data set of Hugging Face, or an IterableDataset; "
                        f"received {describe(dataset)}")
    return IterableShards(dataset, split)


class StreamLoader(DataLoader):
    """Batches of a stream: any `IterableDataset`, tar files (`TarShards`), Parquet files (`ParquetShards`), other files (`Shards`),
    streamed data sets of Hugging Face. It is used like a `DataLoader`; nothing is kept but what is mixed, and the batches in the making.

    The stream is split over all ranks and workers, so that no item comes twice. With several ranks `bs` is that of all of them
    together, and all make the same number of batches. An epoch is as many batches as `n_items` are; a training stream that ends before
    begins again, and is told. With `n_batches` an epoch is that many batches of training, and the next one goes on where it ended.

    Args:
        dataset: the source.
        bs: items per batch, of all ranks together.
        shuffle: read the shards in a new order each time, and mix the items.
        buffer: how many items each worker holds, about, to mix them; 0: none.
        n_items: how many items the stream has. None: what the source knows (`ParquetShards`, `sizes=`, the dataset's `n_items`).
        n_batches: how many batches an epoch has, instead of `n_items`, for streams without end, or of unknown size.
        split: how an `IterableDataset` is split over workers and ranks: 'items' or 'own', see `IterableShards`. None: as its code asks.
        num_workers: worker processes. None: one per core up to 8, none without something to read; for an `IterableDataset` one.
        **kwargs: other arguments of `DataLoader`. Refused are `sampler` and `cache`.
    """

    own_keywords = ("buffer", "n_items", "n_batches", "split")

    def __init__(self, dataset: Any, bs: int = 64, shuffle: bool = False, buffer: int = 1000, n_items: int | None = None,
                 n_batches: int | None = None, split: Literal["items", "own"] | None = None, num_workers: int | None = None,
                 **kwargs: Any):
        for name, why in _NOT_TAKEN.items():
            if kwargs.pop(name, None) is not None:
                raise ValueError(f"StreamLoader does not take {name}=: {why}. Leave it out")
        kwargs.pop("cache_bytes", None)
        check_arguments("StreamLoader", buffer=(buffer, is_whole(buffer, 0), "how many items are held to be mixed, 0 for none"),
                        split=(split, split in (None, "items", "own"), "'items', 'own' or None"),
                        n_items=(n_items, n_items is None or is_whole(n_items), "how many items the stream has, a whole number"),
                        n_batches=(n_batches, n_batches is None or is_whole(n_batches), "batches of an epoch, a whole number"))
        self.source = source_of(dataset, split)
        self.buffer = buffer                    #: about how many items each worker holds to mix them
        self._n_items, self.n_batches = self._known(dataset, n_items, n_batches), n_batches
        self._own = {"buffer": buffer, "n_items": n_items, "n_batches": n_batches, "split": split}
        self._token, self._said, self._codes = 0, set(), None
        self._starts: dict[tuple[int, int], Begin] = {}         # by epoch and batch
        self._latest: tuple[int, Begin] | None = None           # after the batch that was handed out last
        self._shuffle = bool(shuffle)
        super().__init__(dataset, bs, shuffle, num_workers, **kwargs)
        self._args.update(self._own)

    def _known(self, dataset, n_items, n_batches):
        "How many items there are, None if that is not known and the epoch is a number of batches."
        known = self.source.n_items
        if n_items is not None and n_batches is not None:
            raise ValueError(f"StreamLoader(n_items={n_items}, n_batches={n_batches}): both say how long an epoch is: give one of them")
        if n_items is not None and known is not None and n_items != known:
            raise ValueError(f"StreamLoader(n_items={n_items}): the source has {known:,} items: leave n_items out, or give n_batches=, for "
                             "epochs that are parts of it")
        if n_batches is not None:
            return None
        n_items = known if n_items is None else n_items
        if n_items is None:
            told = getattr(dataset, "n_items", None)
            n_items = told if is_whole(told) else None
        if n_items is None:
            try:
                n_items = len(dataset) if not isinstance(dataset, Shards) else None
            except (TypeError, NotImplementedError):        # torch's own says so, others raise
                n_items = None
        if not n_items:
            raise ValueError(f"{describe(dataset)} does not say how many items it has, and schedules need the length of an epoch: write "
                             "StreamLoader(..., n_items=...) if you know it, or n_batches=..., after which the next epoch goes on")
        return n_items

    # -- what the base asks -------------------------------------------------------------------------------------------------------
    def _has_no_items(self, dataset):
        return False

    def _make_sampler(self, shuffle):
        return None

    def _make_fetcher(self):
        self.cache = None
        how = How(self._shuffle, self.buffer, self._in_order, self._wraps)
        fetcher = StreamFetcher(self.source, how, self.after_item, self.before_batch, self.after_batch, self.collate_fn,
                                self._args["on_error"])
        fetcher.most_workers = self._most_workers()
        return fetcher

    def _most_workers(self):
        "How many workers can be of use: each should have something to read that others do not."
        if not self.source.divisible:
            return 1
        if self._in_order:
            return 8 if len(self.after_item) else 1
        return 8 if self.source.sizes is not None else min(8, max(1, len(self.source) // world_size()))

    def _make_order(self):
        return None

    @property
    def _in_order(self):
        return self.split_idx == 1 and not self._shuffle

    @property
    def _wraps(self):
        "Whether the stream begins again where it ends: for training, unless it is known to the item."
        return self.split_idx != 1 and not (self.source.sizes is not None and self.n_batches is None)

    @property
    def goes_on(self) -> bool:
        "Whether an epoch goes on where the one before ended."
        return self.n_batches is not None and self.split_idx != 1

    @property
    def _total(self):
        "How many items an epoch takes; None: an epoch is a number of batches."
        n, drop = self._n_items, self._args["drop_last"]
        if n is None:
            return None
        rest = n % self.bs
        drop = rest == 1 and n > self.bs and self.shuffles if drop is None else drop
        return n - rest if drop else n

    def __len__(self) -> int:
        return self.n_batches or -(-self._total // self.bs)

    @property
    def n(self) -> int:
        "Number of items in an epoch."
        return len(self) * self.bs if self._n_items is None else self._n_items

    @property
    def shuffles(self) -> bool:
        "Whether the order of the items differs from epoch to epoch."
        return self._shuffle

    @property
    def forgets(self) -> str | None:
        return None

    def __repr__(self) -> str:
        size = plural(self._n_items, "item") if self._n_items is not None else "a stream"
        return (f"{type(self).__name__}: {size} in {plural(len(self), 'batch')} of {self.bs}, "
                f"{f'shuffled (about {self.buffer:,} held)' if self.shuffles else 'in order'}, num_workers={self.num_workers}")

    # -- iterating --------------------------------------------------------------------------------------------------------------
    def _lanes(self):
        return self.num_workers if self.num_workers and self.worker_type == "process" else 1

    def _batches(self, seed, start, shares):
        engine, world, lanes = self._current_engine(), world_size(), self._lanes()
        if not all(divided(self.bs, world, 0).sizes):
            raise ValueError(f"bs={self.bs} on {world} ranks: bs is the number of items of all ranks together, and some would get none: "
                             f"write bs={2 * world} or more")
        if world > 1 and not self._wraps and self._shuffle and self.source.sizes is None:
            raise ValueError(f"a shuffled pass over a stream of unknown sizes ends at different times on {world} ranks: give the sizes of "
                             "its shards, sizes=[...], or leave out shuffle=True, as validation does")
        begin = self._starts.get((self.epoch, start))
        if begin is None and start:
            raise ValueError("the state that was loaded does not say where the stream was: it is not of a StreamLoader. Go on with the "
                             "next epoch, dl.load_state_dict({**state, 'batch': 0, 'epoch_seed': None})")
        if begin is None:
            begin = Begin(seed, 0 if self.split_idx == 1 else max(0, self.epoch - 1), 0, world, lanes)
        begin = begin.for_lanes(world, lanes, self._is_common)
        self._token += 1
        ended: set[int] = set()
        takes = self._takes(seed, start, begin, Place(rank(), world, 0, lanes), self._token, ended)
        return self._received(engine.batches(takes), begin, start, self._token, ended, shares)

    def _is_common(self, begin):
        "Whether every worker reads the whole stream, so that it can go on where one of another number of them was."
        place = Place(rank(), begin.world, 0, begin.lanes)
        return self._fetcher.is_common(next(self._takes(begin.seed, 0, begin, place, self._token, set())).indices)

    def _takes(self, seed, start, begin, place, token, ended):
        bounded = self._wraps or self.n_batches is not None or self.source.sizes is not None
        return _takes(seed, start, begin, place, token, ended, self.bs, self._total, len(self), bounded, self._n_items is not None)

    def _received(self, batches, begin, start, token, ended, shares=None):
        "The batches that have items; where the stream is now is noted before each."
        number, seen, epoch = start, Seen(start * self.bs), self.epoch
        before = self._starts.get((epoch, start))
        places = list(begin.places)
        try:
            for batch in batches:
                report = batch.report
                if report is None:
                    continue
                self._tell_once(report.told)
                seen.add(report, number)
                places[report.lane] = report.place
                short = report.read < self.bs and not self._wraps and self.source.sizes is None
                if short:
                    ended.add(report.lane)
                if not report.total or (short and self._args["drop_last"]):
                    continue
                if shares is not None:
                    shares[number] = divided(report.total, begin.world, rank())
                number += 1
                now = begin._replace(places=list(places), latest=report.place if report.shared else None)
                self._latest = number, now
                self._starts = {} if before is None else {(epoch, start): before}
                if self.goes_on:
                    self._starts[epoch + 1, 0] = now._replace(block=begin.block + number)
                self._codes = report.codes
                made = [batch]
                del batch
                yield made.pop()
            self._tell_once(seen.told(self._n_items, len(self), number, self._wraps, begin.lanes * begin.world))
            if not number:
                raise ValueError(f"the stream gave no item at all: {self.source!r}")
        finally:
            if hasattr(batches, "close"):
                batches.close()
            self._fetcher.forget(token, keep=self.goes_on)

    def _tell_once(self, told):
        if told and told not in self._said:
            self._said.add(told)
            warn(told, stacklevel=5)

    # -- single batches ---------------------------------------------------------------------------------------------------------
    def one_batch(self) -> Any:
        self._refuse_template()
        with fixed_seed():
            seed = 0 if self._in_order else self.peek_seed()
            self._prepare()
            self._token += 1
            token, begin = self._token, Begin(seed, 0, 0, 1, 1).for_lanes(1, 1)
            key = next(self._takes(seed, 0, begin, Place(0, 1, 0, 1), token, set()))
            try:
                batch = self._fetcher.make(key)
                if not batch.report.n:
                    raise ValueError(f"the stream gave no item at all: {self.source!r}")
                return self._finish(batch, seed, 0)
            finally:
                self._fetcher.forget(token)

    def make_batch(self, indices: Any, seed: int = 0, dataset: Any = None) -> Any:
        if dataset is None:
            raise TypeError("a stream has no indices, so that no batch can be made of given items: write one_batch(), or "
                            "learn.get_preds(dl=learn.dls.test_dl(samples)) for samples of your own")
        return super().make_batch(indices, seed, dataset)

    def indices_of_batch(self, n: int = -1) -> list[int] | None:
        return None

    def names_of_batch(self, n: int = -1) -> list[str] | None:
        return None if n != -1 or self._codes is None else list(map(self._fetcher.name_of, self._codes))

    def show_batch(self, b: Any = None, max_n: int = 9, ctxs: Any = None, show: bool = True, unique: bool = False,
                   nrows: int | None = None, ncols: int | None = None, figsize: tuple[float, float] | None = None, **kwargs: Any) -> Any:
        if unique:
            raise TypeError("show_batch(unique=True) shows one item again and again, and a stream has no indices to find it by: write "
                            "show_batch()")
        return super().show_batch(b, max_n, ctxs, show, unique, nrows, ncols, figsize, **kwargs)

    # -- resuming ---------------------------------------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """Say where the loader is: where each worker's part of the stream goes on. With several ranks it is called by all.

        Returns:
            Plain values, from which `load_state_dict` continues with the next batch.
        """
        number, begin = self._latest or (None, None)
        return {**super().state_dict(), "stream": begin.state(gathered) if begin is not None and number == self._handed_out else None}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Begin the next epoch where `state` was taken: the same items in the same order, without those that were handed out.

        The source is opened where it was, if it can be (`ParquetShards`, `TarShards`, `Shards` with `start`, data sets with `state_dict`);
        else it is read again up to there, and a warning says so.

        Args:
            state: from `state_dict`.
        """
        super().load_state_dict(state)
        self._starts = {}
        if state.get("stream") is not None:
            begin = Begin.of(state["stream"], rank())
            self._latest = state["batch"], begin
            self._starts[state["epoch"], state["batch"]] = begin
            if self.goes_on:
                self._starts[state["epoch"] + 1, 0] = begin._replace(block=begin.block + state["batch"])

    # -- others like it ---------------------------------------------------------------------------------------------------------
    def new(self, dataset: Any = None, **overrides: Any) -> DataLoader:
        if dataset is not None and not isinstance(dataset, Shards) and hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__"):
            args = {k: v for k, v in self._args.items() if k not in (*self._own, "dataset", "sampler", "shuffle")}
            args |= {"device": self._device, "after_item": self.after_item, "before_batch": self.before_batch,
                     "after_batch": self.after_batch, "bs": min(self.bs, max(1, len(dataset)))}
            return DataLoader(dataset, **{**args, **{k: v for k, v in overrides.items() if k not in self._own}})
        if overrides.get("n_items") is not None or overrides.get("n_batches") is not None:
            overrides = {"n_items": None, "n_batches": None, **overrides}
        return super().new(dataset, **overrides)

    def template(self) -> Recipe:
        made = super().template()
        return Recipe(DataLoader, made.args)


def _takes(seed, start, begin, place, token, ended, full, total, n_batches, bounded, counted):
    """What each batch takes, until `n_batches` where the epoch is `bounded`, or until all lanes have `ended`. Of no loader: an engine keeps
    it, and what refers to the loader would keep both."""
    places = [place._replace(lane=lane) for lane in range(place.lanes)]
    for number in count(start - start % place.lanes):
        if (bounded and number >= n_batches) or len(ended) == place.lanes:
            return
        bs = full if not bounded or total is None else min(full, total - number * full)
        lane = number % place.lanes
        first = number - start < place.lanes and number >= start
        n = None if number < start else divided(bs, place.world, place.rank).mine
        looks = counted and number + place.lanes >= n_batches
        take = Take(n, bs, full, begin.block + number, places[lane], token, begin.epoch, begin.seed,
                    begin.places[lane] if first else None, first, looks, total)
        yield BatchKey(seed, number, take, None, place.rank)
