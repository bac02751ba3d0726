"""`DataLoader`: batches of a dataset, on the device, ready for the model.

What the user says stands here: which items, which transforms, in which order, on which device. How batches are made of that is the
business of an engine, see `minifast.data.engine`. Longer than 400 lines because every argument of the class and of its public methods
stands on a line of its own.
"""
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, Literal
from warnings import warn

import torch

from ..core import ranks
from ..core.device import default_device, usable_device
from ..core.messages import brief, describe, plural
from ..core.recipe import Recipe
from ..core.seeds import draw_seed, fixed_seed, give_back, item_rng, lend_seed
from ..core.shares import Share, share_of
from ..core.types import PathLike
from ..sources.hugging_face import refuse_lists
from .by_hand import Looks, Taken
from .engine.allocator import keep_freed_memory
from .engine.cache import ImageCache, RamCache, make_cache
from .engine.choice import Engine, Workers, choose_processes, choose_workers, make_engine
from .engine.draws import DrawsGlobally, streams_drawn_from
from .engine.fetch import Batch, BatchKey, Fetcher, Finisher, Order, repeats_of
from .engine.processes import WORKER_TIMEOUT
from .engine.samplers import InOrder, Shuffled
from .loader_args import INSTEAD_OF_HOOKS, LOADER_KEYWORDS, check_bs, check_loader_args, is_empty, reject_unknown_loader_args
from .pipeline import Pipeline
from .rows import Rows
from .show import decode_batch, decode_tensors, show_batch
from .targets import base_dataset
from .template import NoItems

_DECIDED = "shuffle", "split_idx", "on_error", "cache_bytes"
_PIPELINES = "after_item", "before_batch", "after_batch"
_WATCHED = {*_DECIDED, *_PIPELINES, "bs"}
_ALONE = threading.RLock()          # held while a batch of new items is made by functions that may draw from the global random streams


class DataLoader:
    """Batches of a dataset. They are a function of the seed and the epoch: whoever makes them, in this process or in workers.

    Args:
        dataset: any object with `len` and indices whose samples are tuples, dicts or dataclasses; a method `sample(i, rng)` is preferred.
        bs: items per batch.
        shuffle: take the items in a new order in each epoch.
        num_workers: workers that prepare batches, at most two batches each in advance. None: 0 for data in memory and for a single batch,
            else one per core up to 8. The attribute is the number in use.
        drop_last: drop an incomplete last batch. None: only if it is a single item and the loader shuffles (batch norm cannot train on it).
        after_item: transforms of each sample.
        before_batch: transforms of the list of samples.
        after_batch: transforms of the batch, on the device.
        device: where batches are put. None: `default_device()` when first needed.
        n_inp: how many elements of a batch are inputs of the model. None: what the dataset says, else all but the last.
        seed: order and augmentation are a function of (seed, epoch). None: of a seed drawn from torch's global stream when an epoch
            begins, so that `set_seed` before training is enough.
        sampler: which items in which order, instead of `shuffle`: see `minifast.data.engine.samplers`; torch's samplers work too.
        collate_fn: makes a batch of a list of samples.
        pin_memory: put batches into page-locked memory. None: if the device is a GPU.
        persistent_workers: keep worker processes between epochs. None: yes.
        timeout: seconds to wait for a worker, 0: for ever. None: 300.
        multiprocessing_context: how worker processes are started. None: forked on Linux, else started afresh.
        split_idx: 0 for training items, 1 for validation items: which transforms apply, see `Transform`. A loader with 1 that does not
            shuffle gives the same batches each time. None: what the dataset says.
        verbose: print one line about what was chosen.
        batch_size: torch's name for `bs`.
        worker_type: 'thread' or 'process'. None: threads for images, which are decoded outside of Python's lock, else processes (where
            they cannot be forked, on Windows and macOS, none). The attribute is what is in use.
        on_error: 'raise', or 'skip' to put another item of the batch in the place of one that cannot be made; `skipped` lists them.
        cache: keep decoded images in memory ('ram') or on disk ('disk', or a folder), see `minifast.data.engine.cache`.
        cache_bytes: size limit of the cache. None: until a fifth of the memory (1 GB of the disk) is left free.
        **unknown: refused, with the keyword that was probably meant.
    """

    def __init__(self, dataset: Any, bs: int = 64, shuffle: bool = False, num_workers: int | None = None, drop_last: bool | None = None,
                 after_item: Any = None, before_batch: Any = None, after_batch: Any = None, device: torch.device | str | None = None,
                 n_inp: int | None = None, seed: int | None = None, sampler: Any = None, collate_fn: Callable[[list], Any] | None = None,
                 pin_memory: bool | None = None, persistent_workers: bool | None = None, timeout: float | None = None,
                 multiprocessing_context: Any = None, split_idx: int | None = None, verbose: bool = False, batch_size: int | None = None,
                 worker_type: Literal["thread", "process"] | None = None, on_error: Literal["raise", "skip"] = "raise",
                 cache: ImageCache | PathLike | None = None, cache_bytes: int | None = None, **unknown: Any):
        reject_unknown_loader_args(unknown, f"{type(self).__name__}(...)", self.own_keywords)
        bs = bs if batch_size is None else batch_size
        check_loader_args(self._has_no_items(dataset), bs, shuffle, num_workers, seed, sampler, timeout, persistent_workers, worker_type,
                          on_error, multiprocessing_context)
        bs, num_workers, seed = (None if n is None else n.__index__() for n in (bs, num_workers, seed))     # numpy's numbers are numbers
        ranks.world_size()                              # the ranks meet before a batch is made
        self._args = {"dataset": dataset, "bs": bs, "shuffle": shuffle, "num_workers": num_workers, "drop_last": drop_last, "n_inp": n_inp,
                      "seed": seed, "sampler": sampler, "collate_fn": collate_fn, "pin_memory": pin_memory, "timeout": timeout,
                      "persistent_workers": persistent_workers, "multiprocessing_context": multiprocessing_context, "split_idx": split_idx,
                      "worker_type": worker_type, "on_error": on_error, "cache": cache, "cache_bytes": cache_bytes}
        split_idx = getattr(base_dataset(dataset)[0], "split_idx", None) if split_idx is None else split_idx
        self.dataset, self.bs, self.seed, self.split_idx, self.collate_fn = dataset, bs, seed, split_idx, collate_fn
        self.sampler = self._make_sampler(shuffle) if sampler is None else sampler
        self.after_item, self.before_batch, self.after_batch = (Pipeline(f, split_idx) for f in (after_item, before_batch, after_batch))
        self.set_by_hand: dict[str, Any] = {}   #: `vocab` and `c`, where they were assigned
        self._report_split()
        if collate_fn is None and not len(self.after_item) and not len(self.before_batch):
            refuse_lists(dataset)
        self._device, self._n_inp = None if device is None else usable_device(device), n_inp
        self._fetcher = self._make_fetcher()
        self._order = self._make_order()
        if not getattr(dataset, "is_template", False):
            check_bs(bs, self.n, self.drop_last)
        self._use(choose_workers(self._fetcher, len(self), num_workers, worker_type, multiprocessing_context,
                                 isinstance(self.cache, RamCache)))
        self.timeout = (WORKER_TIMEOUT if timeout is None else timeout) if self.num_workers else 0
        self.persistent_workers = self.worker_type == "process" and persistent_workers is not False
        self.epoch: int = 0                     #: how many epochs have begun
        self.epoch_seed: int | None = None      #: of the epoch in progress, or of the latest one
        self.peeks: int = 0                     #: how many batches were made only to be looked at
        self.share: Share | None = None         #: of several ranks: how the items of the latest batch are divided among them
        self.skipped: dict[int, tuple[str, str]] = {}       #: with on_error='skip': what could not be made, index -> (its name, why)
        self._resume: tuple[int, int] | None = None
        self._looks, self._for_fit, self._fits_epochs = Looks(), False, 0
        self._taken: Taken | None = None                # by the latest iteration by hand
        self._before_loops: tuple | None = None         # the position before the first of them since the last fit
        self._handed_out, self._reported, self._keeps_memory = 0, False, False
        self._engine: Engine | None = None
        self._engine_key: Any = None
        self._finisher: Finisher | None = None
        self._new_finisher: Finisher | None = None
        self._threads_are_safe = worker_type == "thread"
        if verbose:
            method = f" ({self.multiprocessing_context.get_start_method()})" if self.multiprocessing_context else ""
            how = f"{plural(self.num_workers, self.worker_type)}{method}" if self.num_workers else "no workers"
            print(f"{type(self).__name__}: {plural(self.n, 'item')} in {plural(len(self), 'batch')} of {bs}, {how}")

    own_keywords: tuple[str, ...] = ()      #: of a subclass: its arguments besides those of `DataLoader`

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in INSTEAD_OF_HOOKS:
            if name in vars(cls):
                raise TypeError(f"{cls.__name__}.{name} is never called, because here workers make whole batches without the loader: "
                                f"{INSTEAD_OF_HOOKS[name]}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _WATCHED or "_threads_are_safe" not in vars(self):          # the last one of a new loader
            super().__setattr__(name, value)
        elif name in _DECIDED:
            raise AttributeError(f"{name} is decided when a loader is made, setting it would change nothing: write "
                                 f"`dl = dl.new({name}=...)`, or `dls = dls.new({name}=...)`")
        elif name == "bs":
            check_bs(value, self.n, self.drop_last)
            super().__setattr__(name, value.__index__())
            self._args["bs"], self._order = self.bs, self._make_order()
        else:
            before = getattr(self, name)
            super().__setattr__(name, value if isinstance(value, Pipeline) else Pipeline(value, self.split_idx))
            try:
                self._fetcher = self._make_fetcher()
            except ValueError:                          # this kind of loader has no such pipeline
                super().__setattr__(name, before)
                raise
            self._order = self._make_order()
            self.end_workers()
            self._finisher, self._reported, self._keeps_memory = None, False, False

    def _has_no_items(self, dataset):
        return is_empty(dataset)

    def _make_sampler(self, shuffle):
        return (Shuffled if shuffle else InOrder)(len(self.dataset))

    def _report_split(self):
        "Warn where transforms are for one split only, and nobody says which one the items belong to."
        pipes = *(getattr(self, name) for name in _PIPELINES), *getattr(base_dataset(self.dataset)[0], "pipelines", ())
        tied = [f for p in pipes for f in p if f.split_idx is not None] if self.split_idx is None else []
        if tied:
            split = "validation" if tied[0].split_idx == 1 else "training"
            warn(f"{tied[0]!r} is for {split} items only, and this loader is not told which its items are, so that it applies to all of "
                 "them (fastai leaves it out). Write DataLoader(..., split_idx=0) for training items, split_idx=1 for validation",
                 stacklevel=4)

    def _make_fetcher(self):
        "What makes the samples and collates them."
        args = self._args
        self.cache = args["cache"] = make_cache(args["cache"], self.after_item, self.split_idx, args["cache_bytes"])
        return Fetcher(self.dataset, self.after_item, self.before_batch, self.after_batch, self.collate_fn, args["on_error"], self.cache)

    def _make_order(self):
        "Which items come into which batch."
        return Order(self.sampler, self.bs, self._args["drop_last"])

    # -- what it holds ----------------------------------------------------------------------------------------------------------
    def __len__(self) -> int:
        "Number of batches in an epoch."
        return len(self._order)

    @property
    def n(self) -> int:
        "Number of items in an epoch."
        return len(self.sampler)

    @property
    def batch_size(self) -> int:
        "torch's name for `bs`."
        return self.bs

    @property
    def drop_last(self) -> bool:
        "Whether an incomplete last batch is always dropped."
        return bool(self._args["drop_last"])

    @property
    def device(self) -> torch.device:
        "Where the batches are put."
        if self._device is None:
            self._device = default_device()
        if self._device.type == "cuda" and self._device.index is None:
            self._device = torch.device("cuda", torch.cuda.current_device())
        return self._device

    @device.setter
    def device(self, device: torch.device | str) -> None:
        self.to(device)

    def to(self, device: torch.device | str) -> "DataLoader":
        """Put the batches on another device from now on.

        Args:
            device: where to.

        Returns:
            This loader.
        """
        self._device, self._finisher = usable_device(device), None
        return self

    @property
    def shuffles(self) -> bool:
        "Whether the order of the items differs from epoch to epoch."
        return self._order.shuffles

    @property
    def is_plain_pass(self) -> bool:
        "Whether every item comes once, in the order of the dataset and with the transforms of validation."
        return self.split_idx == 1 and not self.shuffles and not self.drop_last

    @property
    def pass_order(self) -> torch.Tensor | None:
        "The indices in the order in which a plain pass takes the items, where that is not the order of the dataset; else None."
        return None

    @property
    def kinds(self) -> Any:
        """What each element of a batch is: the batch's nesting with a `Kind` (a tensor subclass such as `tv_tensors.Image`, and its
        metadata) or None for each tensor; None if there are plain tensors only. Asked before the first batch, it makes one."""
        if self._current_finisher().is_first:
            if getattr(self.dataset, "is_template", False):
                return getattr(self.dataset, "batch_kinds", None)
            self.one_batch()
        return self._current_finisher().kinds

    @property
    def n_inp(self) -> int | None:
        "How many elements of a batch are inputs of the model (None: the batch decides, see `split_batch`)."
        if self._n_inp is None:
            self._n_inp = getattr(self.dataset, "n_inp", None)
        if self._n_inp is None and self.collate_fn is None:
            with fixed_seed():
                sample = self._fetcher.item(0, 0)
            self._n_inp = max(1, len(sample) - 1) if isinstance(sample, (tuple, list)) else None
        return self._n_inp

    @n_inp.setter
    def n_inp(self, n: int) -> None:
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"n_inp={n!r}: a number of inputs, at least 1")
        self._n_inp = self._args["n_inp"] = n

    @property
    def items(self) -> Any:
        "The items of the dataset (with a `Subset`: the chosen ones), in the container they came in."
        dataset, chosen = base_dataset(self)
        items = getattr(dataset, "items", None)
        if items is None or callable(items):
            raise AttributeError(f"this loader has no items, because its dataset has none: {describe(dataset)}. What it gives is "
                                 "`dl.dataset[i]`")
        return items if chosen is None else Rows(items).at(chosen).source

    @property
    def vocab(self) -> Any:
        "The classes: those set by hand, else those of the dataset, if it has `vocab` (or torchvision's `classes`), else None."
        if "vocab" in self.set_by_hand:
            return self.set_by_hand["vocab"]
        found = getattr(self.dataset, "vocab", None)
        return getattr(self.dataset, "classes", None) if found is None else found

    @vocab.setter
    def vocab(self, vocab: Any) -> None:
        self.set_by_hand["vocab"] = vocab

    @property
    def c(self) -> int | list[int] | None:
        """The number of outputs that the targets ask for (a list: of each of several): what was set by hand, else the dataset's `c`, else
        the number of classes; None if there is neither."""
        c, vocab = self.set_by_hand.get("c", getattr(self.dataset, "c", None)), self.vocab
        return c if isinstance(c, (int, list)) else len(vocab) if vocab is not None and hasattr(vocab, "__len__") else None

    @c.setter
    def c(self, c: int) -> None:
        self.set_by_hand["c"] = c

    @property
    def loss_func(self) -> Callable | None:
        "The loss that belongs to the targets of the dataset, or None."
        return getattr(self.dataset, "loss_func", None)

    def __repr__(self) -> str:
        return (f"{type(self).__name__}: {plural(self.n, 'item')} in {plural(len(self), 'batch')} of {self.bs}, "
                f"{'shuffled' if self.shuffles else 'in order'}, num_workers={self.num_workers}"
                + (" (threads)" if self.worker_type == "thread" else ""))

    # -- iterating --------------------------------------------------------------------------------------------------------------
    def __iter__(self) -> Iterator[Any]:
        self._refuse_template()
        for_fit, self._for_fit = self._for_fit, False
        if for_fit:
            self.give_back_loops()
        resume, drawn, taken, start = self._resume, None, None, 0
        always_the_same = self.split_idx == 1 and not self.shuffles
        if resume is not None:
            seed, start = resume
        elif always_the_same:
            seed = 0
        elif self.seed is not None:
            seed = int(item_rng(self.seed, self.epoch).integers(2**63))
        else:
            drawn = None if for_fit else lend_seed()
            seed = draw_seed() if drawn is None else drawn.seed
            seed = ranks.shared_int(seed) if ranks.initialized() else seed
        if not for_fit and not always_the_same:
            position = self.epoch, self._resume, self.epoch_seed, self._handed_out
            self._taken = taken = Taken(position, drawn, seed)
            self._before_loops = self._before_loops or position
            seed = self._looks.seed(seed) if resume is None else seed
        self.epoch, self._resume, self.epoch_seed, self._handed_out = self.epoch + (resume is None), None, seed, start
        self._prepare()
        shares: dict[int, Share] | None = {} if ranks.initialized() and ranks.world_size() > 1 else None
        batches = self._batches(seed, start, shares)
        if self.worker_type == "thread":
            batches = self._made_elsewhere(batches, seed, shares)
        return self._epoch(batches, seed, start, taken, shares)

    def _batches(self, seed, start, shares):
        "The batches of the epoch with this seed, from batch `start` on, as the engine makes them; `shares` as for `_keys`."
        return self._current_engine().batches(self._keys(seed, start, shares))

    def _keys(self, seed, start, shares):
        "The batches of an epoch; with `shares`, where these are noted by the number of the batch, this rank's part of each."
        keys = self._order.keys(seed, start)
        return keys if shares is None else _parts(keys, shares)

    def _made_elsewhere(self, batches, seed, shares):
        "The batches of threads, and of another engine from the first one on that draws from the global random streams."
        try:
            yield from batches
        except DrawsGlobally as e:
            e.put_back()                        # the threads have ended
            if self._args["worker_type"] == "thread":
                raise
            self._leave_threads()
            yield from self._batches(seed, e.number, shares)

    def _epoch(self, batches, seed, start, taken, shares):
        number, rank = start - 1, 0
        try:
            self._fits_epochs += taken is None
            for number, batch in enumerate(batches, start):
                if shares is not None:
                    self.share = shares.pop(number)
                    rank = self.share.rank
                finished = [self._finish(batch, seed, number, rank)]
                self._handed_out = number + 1
                del batch                       # nor is what was handed out held here: its memory may be used again soon
                yield finished.pop()
        except GeneratorExit:                   # left early: after one batch, it was a look
            if taken is self._taken and number == start and not sys.is_finalizing():
                self._give_back()
            raise
        finally:                                # also when the loop is left early
            self._fits_epochs -= taken is None
            if hasattr(batches, "close"):
                batches.close()

    # -- by hand, see `minifast.data.by_hand` -------------------------------------------------------------------------------------
    def for_fit(self) -> "DataLoader":
        """Say that the next iteration is an epoch of a fit, which keeps what it takes from the random streams.

        Returns:
            This loader.
        """
        self._for_fit = True
        return self

    def _give_back(self):
        "Give back what the latest iteration by hand took from the random streams: it was a look."
        taken, self._taken = self._taken, None
        if taken is not None and (taken.drawn is None or give_back(taken.drawn)):
            self.epoch, self._resume, *progress = taken.position
            if self._fits_epochs:                               # one goes on
                self.epoch_seed, self._handed_out = progress
            self._looks.count(taken.seed)
            if self._before_loops is taken.position:
                self._before_loops = None

    def give_back_loops(self) -> None:
        "Be where this loader would be if it had not been iterated by hand since the last fit, or the last epoch of a fit."
        if self._before_loops is not None:
            self.epoch, self._resume, *_ = self._before_loops
        self._before_loops = self._taken = None

    def _refuse_template(self):
        if getattr(self.dataset, "is_template", False):
            raise ValueError("this learner was loaded without data: it predicts what it is given, `learn.predict(item)` or "
                             "`learn.get_preds(dl=learn.dls.test_dl(items))`. To train or validate it, assign loaders: learn.dls = dls")

    def _prepare(self):
        "What is to be done before batches are made."
        self._fetcher.pin = self._pins()
        if self._keeps_memory or len(self) == 1:
            return
        self._keeps_memory = True
        if self._fetcher.loads_images or self.device.type == "cpu":
            keep_freed_memory()

    def _pins(self):
        asked = self._args["pin_memory"]
        return self.device.type == "cuda" if asked is None else bool(asked) and torch.cuda.is_available()

    # -- the engine -------------------------------------------------------------------------------------------------------------
    def _use(self, workers):
        self.num_workers, self.worker_type, self.multiprocessing_context = workers

    def _current_engine(self):
        "The engine for `num_workers` of `worker_type`, which may have been changed by hand."
        if self.num_workers and self.worker_type is None:
            self._use(choose_workers(self._fetcher, len(self), self.num_workers, self._args["worker_type"], None,
                                     isinstance(self.cache, RamCache)))
        if self.num_workers and self.worker_type == "thread" and not self._threads_are_safe:
            self._threads_are_safe = True                   # looked at once
            if self._fetcher.may_draw_globally and streams_drawn_from(self._fetcher, 0, self.epoch_seed):
                self._leave_threads()
        key = self.num_workers, self.worker_type, self._pins()
        if self._engine is None or key != self._engine_key:
            self.end_workers()
            workers = Workers(self.num_workers, self.worker_type, self.multiprocessing_context)
            self._engine = make_engine(self._fetcher, workers, self._pins(), self.timeout, self.persistent_workers)
            self._engine_key = key
        return self._engine

    def _leave_threads(self):
        "Use processes from now on: for functions that draw from the global random streams, which threads share."
        self._use(Workers() if isinstance(self.cache, RamCache) else
                  choose_processes(self._fetcher, len(self), self.num_workers, stacklevel=7))
        self.persistent_workers = self._args["persistent_workers"] is not False

    def end_workers(self, error: BaseException | None = None) -> None:
        """End the workers kept between epochs, if there are any; the next epoch starts new ones.

        Args:
            error: what went wrong in an epoch under way: its workers end too, at once. An error of torch, which does not say more than
                that a worker died, is made to say which one, and of what.
        """
        if self._engine is not None:
            self._engine.close(error)
        self._engine = None

    # -- the last steps ---------------------------------------------------------------------------------------------------------
    def _current_finisher(self):
        if self._finisher is None or self._finisher.after_batch is not self.after_batch:
            self._finisher = Finisher(self.after_batch, self.device)
        return self._finisher

    def _finisher_of_new_items(self):
        "One of its own: items without targets say nothing of the `kinds` of the others."
        if self._new_finisher is None or self._new_finisher.after_batch is not self.after_batch or self._new_finisher.device != self.device:
            self._new_finisher = Finisher(self.after_batch, self.device, moves=True)
        return self._new_finisher

    def _finish(self, batch, seed, number, rank=0):
        "To the device, batch transforms, plain tensors; warnings of what went wrong on the way."
        if batch.skipped:
            self._note_skipped(batch.skipped)
        finisher = self._current_finisher()
        data = finisher(batch, seed, number, rank)
        if not self._reported:
            self._reported = True
            self._report_idle(finisher.idle)
        return data

    def _note_skipped(self, skipped):
        if not self.skipped:
            i, why = next(iter(skipped.items()))
            warn(f"on_error='skip': {self._fetcher.name_of(i)} could not be made, and another item is in its place ({why}). All of them "
                 "are in `loader.skipped`" + ("; what is predicted for them is of other items" if self.split_idx == 1 else ""),
                 stacklevel=4)
        self.skipped.update((i, (self._fetcher.name_of(i), why)) for i, why in skipped.items())

    def _report_idle(self, batch_idle):
        "Warn of transforms that applied to nothing."
        with fixed_seed():
            idle = self._fetcher.idle() + batch_idle
        if idle:
            takes = [", ".join(t.__name__ for t in f.handled_types() or ()) for f in idle]
            named = "; ".join(f"{brief(f)} (it takes {types})" if types else brief(f) for f, types in zip(idle, takes, strict=True))
            cures = list(dict.fromkeys(f.where_idle for f in idle if f.where_idle)) or ["Put them where such values are, or leave them out"]
            warn(f"these transforms applied to nothing in the first sample: {named}. {'. '.join(cures)}", stacklevel=5)

    # -- single batches ---------------------------------------------------------------------------------------------------------
    def one_batch(self) -> Any:
        """Make one batch in this process; no workers are started. It takes nothing from the random streams that training draws from.

        Returns:
            The batch, on the device: another one with each call, unless the loader always gives the same.
        """
        self._refuse_template()
        with fixed_seed():
            seed = self.peek_seed()
            self._prepare()
            return self._make(next(self._order.keys(0 if self.split_idx == 1 and not self.shuffles else seed)))

    def make_batch(self, indices: Sequence[int], seed: int = 0, dataset: Any = None) -> Any:
        """Make the batch of some items in this process. It takes nothing from the random streams that training draws from.

        Args:
            indices: of the items in the dataset; one that comes again is augmented anew.
            seed: of the epoch, on which augmentation depends.
            dataset: another one to take the items from, such as one of new items without targets. None: the loader's.

        Returns:
            The batch, on the device.
        """
        key = BatchKey(seed, 0, list(indices), repeats_of(indices))
        if dataset is not None:
            fetcher = Fetcher(dataset, self.after_item, self.before_batch, self.after_batch, self.collate_fn)
            known = fetcher.is_quiet and all(f.is_builtin for f in self.after_batch)
            # threads that seed and restore the same streams would restore each other's
            with nullcontext() if known else _ALONE, nullcontext() if known else fixed_seed():
                return self._finisher_of_new_items()(fetcher.make(key), seed, 0)
        with fixed_seed():
            self._prepare()
            return self._make(key)

    def _make(self, key):
        return self._finish(self._fetcher.make(key), key.seed, key.number)

    def collate_items(self, indices: Sequence[int], seed: int = 0) -> Batch:
        """Make what the workers hand over.

        Args:
            indices: of the items in the dataset.
            seed: of the epoch, on which augmentation depends.

        Returns:
            A `Batch`, whose `data` is not on the device yet and went through no batch transforms.
        """
        return self._fetcher.make(BatchKey(seed, 0, list(indices), repeats_of(indices)))

    def peek_seed(self) -> int:
        """Draw a seed for something to look at, without effect on the random streams of training.

        Returns:
            Another seed each time; `peeks` counts them.
        """
        with fixed_seed():
            self.peeks += 1
            return int(item_rng(draw_seed() if self.seed is None else self.seed, self.peeks, 1).integers(2**63))

    # -- which items a batch was made of ----------------------------------------------------------------------------------------
    def indices_of_batch(self, n: int = -1) -> list[int] | None:
        """Look up the items of one batch of the epoch in progress, or of the latest one.

        Args:
            n: the batch's number from the beginning of the epoch; negative numbers count back from the batch handed out last (-1).

        Returns:
            The indices in the dataset; None if they are not known (torch's own samplers, and before the first epoch).

        Raises:
            IndexError: the epoch has fewer batches.
        """
        if self.epoch_seed is None or not self._order.is_known:
            return None
        number = n + self._handed_out if n < 0 else n
        if not 0 <= number < len(self):
            raise IndexError(f"batch {n}: {self._handed_out} of {len(self)} batches of this epoch have been handed out")
        return self._order.indices(self.epoch_seed, number)

    def items_of_batch(self, n: int = -1) -> list | None:
        """Look up the items of one batch, such as its files.

        Args:
            n: which batch, as for `indices_of_batch`.

        Returns:
            The items, or indices where the dataset has no `items`; None if they are not known.
        """
        dataset, indices = self._located(n)
        items = getattr(dataset, "items", None)
        return indices if indices is None or items is None or callable(items) else [Rows(items)[i] for i in indices]

    def names_of_batch(self, n: int = -1) -> list[str] | None:
        """Name the items of one batch in a message, for example "item 17, 'cats/17.jpg'".

        Args:
            n: which batch, as for `indices_of_batch`.

        Returns:
            One text per item; None if they are not known.
        """
        dataset, indices = self._located(n)
        return None if indices is None else [dataset.item_name(i) if hasattr(dataset, "item_name") else f"item {i}" for i in indices]

    def _located(self, n):
        "The dataset under torch's `Subset`s, and the indices of batch `n` in it."
        indices, (dataset, chosen) = self.indices_of_batch(n), base_dataset(self)
        return dataset, indices if indices is None or chosen is None else [chosen[i] for i in indices]

    # -- resuming in the middle of an epoch -------------------------------------------------------------------------------------
    @property
    def forgets(self) -> str | None:
        "Why the loader cannot continue in the middle of an epoch, and what to write; None: it can."
        return None if hasattr(self.sampler, "order") else (
            f"the order that {type(self.sampler).__name__} draws cannot be drawn again: give minifast's, such as "
            "`minifast.data.engine.samplers.WeightedSampler(weights)`")

    def state_dict(self) -> dict[str, int | None]:
        """Say where the loader is.

        Returns:
            Plain numbers, from which `load_state_dict` continues with the next batch.
        """
        return {"epoch": self.epoch, "epoch_seed": self.epoch_seed, "batch": self._handed_out}

    def load_state_dict(self, state: dict[str, int | None]) -> None:
        """Begin the next epoch where `state` was taken: same order, same augmentation, without the batches that were handed out.

        Args:
            state: from `state_dict`.
        """
        self.epoch = state["epoch"]
        unfinished = state["epoch_seed"] is not None and state["batch"] < len(self)
        self._resume = (state["epoch_seed"], state["batch"]) if unfinished else None
        self._before_loops = self._taken = None

    # -- others like it ---------------------------------------------------------------------------------------------------------
    def new(self, dataset: Any = None, **overrides: Any) -> "DataLoader":
        """Make a loader like this one with other arguments.

        Args:
            dataset: another dataset. None: the same.
            **overrides: arguments of `DataLoader`. `shuffle=` replaces a sampler; `split_idx=1` on a training loader gives its items with
                the transforms of validation items.

        Returns:
            The new loader; this one stays as it is.
        """
        unknown = {k: v for k, v in overrides.items() if k not in (*LOADER_KEYWORDS, *self.own_keywords)}
        reject_unknown_loader_args(unknown, "loader.new(...)", self.own_keywords)
        args = {**self._args, "device": self._device, "after_item": self.after_item, "before_batch": self.before_batch,
                "after_batch": self.after_batch}
        if dataset is not None:
            args["dataset"] = dataset
        elif "split_idx" in overrides and hasattr(self.dataset, "with_split_idx"):
            args["dataset"] = self.dataset.with_split_idx(overrides["split_idx"])
        if dataset is not None or "shuffle" in overrides:
            args["sampler"] = None
        if overrides.get("num_workers") == 0:               # there is nothing to keep
            args["persistent_workers"] = None
        new = type(self)(**{**args, **overrides})
        new.set_by_hand = dict(self.set_by_hand)
        new._reported = self._reported and not any(k in overrides for k in ("after_item", "before_batch", "after_batch"))
        return new

    def template(self) -> Recipe:
        "How to make a loader like this one for validation items, without any items."
        of_dataset = getattr(self.dataset, "template", None)
        plain = {"n_inp": self.n_inp, "vocab": self.vocab, "c": self.c, "batch_kinds": self.kinds}
        return Recipe(type(self), {
            "dataset": of_dataset(self.kinds) if of_dataset is not None else Recipe(NoItems, plain), "bs": self.bs,
            "n_inp": self._n_inp, "split_idx": 1, "collate_fn": self.collate_fn, "after_item": self.after_item.at_validation(),
            "before_batch": self.before_batch.at_validation(), "after_batch": self.after_batch.at_validation()})

    def add_tfms(self, tfms: Any, event: Literal["after_item", "before_batch", "after_batch"]) -> None:
        """Add transforms to a pipeline of this loader.

        Args:
            tfms: a transform, function or list of them.
            event: the pipeline.

        Raises:
            ValueError: there is no such pipeline.
        """
        if event not in ("after_item", "before_batch", "after_batch"):
            raise ValueError(f"add_tfms(event={event!r}): the events are 'after_item', 'before_batch' and 'after_batch'")
        setattr(self, event, getattr(self, event).with_tfms(tfms))

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_engine": None}

    # -- looking ----------------------------------------------------------------------------------------------------------------
    def decode(self, b: Any) -> Any:
        """Undo the batch transforms of a batch.

        Args:
            b: a batch of this loader, or the inputs of one.

        Returns:
            A batch on the CPU, of images, masks and so on, as it was before the batch transforms.
        """
        return decode_tensors(self, b)

    def decode_batch(self, b: Any, max_n: int = 9) -> list:
        """Undo every transform of a batch.

        Args:
            b: a batch of this loader, or the inputs of one.
            max_n: of how many of its items, the first ones.

        Returns:
            A list of samples that can be shown.
        """
        return decode_batch(self, b, max_n)

    def show_batch(self, b: Any = None, max_n: int = 9, ctxs: Sequence | None = None, show: bool = True, unique: bool = False,
                   nrows: int | None = None, ncols: int | None = None, figsize: tuple[float, float] | None = None, **kwargs: Any) -> Any:
        """Draw items of a batch in a grid.

        Args:
            b: the batch. None: a new one.
            max_n: how many items at most.
            ctxs: matplotlib axes to draw on. None: new ones.
            show: False: return the decoded samples instead.
            unique: show one item again and again, to see the augmentation.
            nrows: rows of the grid.
            ncols: columns of the grid.
            figsize: (width, height) of the figure in inches.
            **kwargs: for the functions that draw, such as `cmap=`.

        Returns:
            None; a DataFrame where the items have nothing to draw; the samples with `show=False`.
        """
        return show_batch(self, b, max_n, ctxs, show, unique, nrows, ncols, figsize, **kwargs)


def _parts(keys, shares):
    "This rank's parts of the batches `keys`. Of no loader, as are all iterators over keys: an engine keeps them."
    for key in keys:
        share = shares[key.number] = share_of(len(key.indices))
        yield key.part(share)
