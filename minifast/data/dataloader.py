"""`DataLoader`: batches of a dataset, on the device, ready for the model.

One batch goes through: indices -> `dataset[i]` -> after_item -> before_batch -> collate (all this in a worker, where there are any)
-> the device -> after_batch (in this process, on the device) -> plain tensors.
"""
import os
import weakref
from warnings import warn

import torch

from ..core.device import default_device
from ..core.messages import add_note, plural
from ..core.nested import leaves, plain, to_device
from ..core.seeds import draw_seed, fixed_seed, item_rng
from .engine.allocator import keep_freed_memory
from .engine.buffers import BufferPool
from .engine.cache import RamCache, make_cache
from .engine.collate import kinds_after, wrap_kinds
from .engine.fetch import Fetcher, batch_rng
from .engine.processes import WORKER_TIMEOUT, Failure, InWorker, end_workers_of, explain_dead_worker
from .engine.samplers import Batches, InOrder, Shuffled, repeats_of
from .engine.threads import BatchThreads
from .engine.worker_choice import choose_processes, choose_workers, draws_from_global_streams, may_draw_globally
from .loader_args import LOADER_KEYWORDS, check_loader_args, reject_unknown_loader_args
from .pipeline import Pipeline

_DECIDED = "bs", "shuffle", "split_idx", "on_error", "cache_bytes"


class DataLoader(torch.utils.data.DataLoader):
    """Batches of `dataset`, any object with `len` and indices whose samples are tuples, dicts or dataclasses (an own `sample(i, rng)` is
    preferred).

    bs: items per batch (torch's name `batch_size` works too). shuffle: a new order each epoch. num_workers: how many workers prepare
    batches, at most two batches each in advance. None: 0 for data in memory and for a single batch, else one per core up to 8; the
    attribute `num_workers` is the number in use. worker_type: 'thread', 'process', or None: threads for pictures, which are decoded and
    resized outside of Python's lock, else processes (kept between epochs; where they cannot be forked, on Windows and macOS, none, because
    there a script must protect itself with `if __name__ == '__main__'`); the attribute `worker_type` is what is in use.
    drop_last: drop an incomplete last batch; None: only if it is a single item and the loader shuffles, because batch norm cannot train
    on it. after_item: transforms of each sample. before_batch: transforms of the list of samples. after_batch: transforms of the batch,
    on the device. device: None: `default_device()` when first needed. n_inp: how many elements of a batch are inputs. seed: order and
    augmentation become a function of (seed, epoch); None: of a seed drawn
    from torch's global stream when an epoch begins, so that `set_seed` before training is enough. They do not depend on
    `num_workers`. sampler: which items and in which order, instead of `shuffle` (see `samplers`). collate_fn: a list of samples to a
    batch. pin_memory: None: if the device is a GPU. timeout: seconds to wait for a worker; None: 300. multiprocessing_context: None:
    chosen, see `workers.start_method`. split_idx: 0 for training, 1 for validation items: which transforms apply, see `Transform`; a loader
    with 1 that does not shuffle gives the same batches each time. verbose: print one line about what was chosen.
    on_error: 'raise', or 'skip' to put another item of the batch in the place of one that cannot be made; `skipped` says which. cache:
    keep decoded pictures in memory ('ram') or on disk ('disk', or a folder), see `data.cache`. cache_bytes: at most so many.
    """

    def __init__(self, dataset, bs=64, shuffle=False, num_workers=None, drop_last=None, after_item=None, before_batch=None,
                 after_batch=None, device=None, n_inp=None, seed=None, sampler=None, collate_fn=None, pin_memory=None,
                 persistent_workers=None, timeout=None, multiprocessing_context=None, split_idx=None, verbose=False, batch_size=None,
                 worker_type=None, on_error="raise", cache=None, cache_bytes=None, **unknown):
        reject_unknown_loader_args(unknown)
        bs = bs if batch_size is None else batch_size
        check_loader_args(dataset, bs, shuffle, num_workers, seed, sampler, timeout, persistent_workers, worker_type, on_error,
                          multiprocessing_context)
        bs, num_workers, seed = (None if n is None else n.__index__() for n in (bs, num_workers, seed))     # numpy's numbers are numbers
        self._args = {"dataset": dataset, "bs": bs, "shuffle": shuffle, "num_workers": num_workers, "drop_last": drop_last, "n_inp": n_inp,
                      "seed": seed, "sampler": sampler, "collate_fn": collate_fn, "pin_memory": pin_memory, "timeout": timeout,
                      "persistent_workers": persistent_workers, "multiprocessing_context": multiprocessing_context, "split_idx": split_idx,
                      "worker_type": worker_type, "on_error": on_error, "cache": cache, "cache_bytes": cache_bytes}
        self.after_item, self.before_batch, self.after_batch = (Pipeline(f, split_idx) for f in (after_item, before_batch, after_batch))
        self.bs, self.seed, self.split_idx = bs, seed, split_idx
        self._device, self._n_inp = None if device is None else torch.device(device), n_inp
        self._fetcher = self._new_fetcher(dataset)
        sampler = (Shuffled if shuffle else InOrder)(len(dataset)) if sampler is None else sampler
        self._batches = Batches(sampler, bs, drop_last)
        if not len(self._batches):
            raise ValueError(f"the dataset is smaller than one batch: drop_last=True with {plural(len(sampler), 'item')} and bs={bs} "
                             f"leaves no batch at all, and nothing would be trained. Use bs={len(sampler)} or less, or drop_last=False")
        workers, self.worker_type, context = choose_workers(self._fetcher, len(self._batches), num_workers, worker_type,
                                                            multiprocessing_context, isinstance(self.cache, RamCache))
        processes = workers if self.worker_type == "process" else 0           # all that torch shall know of, and warn about
        super().__init__(dataset, batch_size=bs, sampler=sampler, num_workers=processes, collate_fn=collate_fn, pin_memory=bool(pin_memory),
                         drop_last=bool(drop_last), timeout=(WORKER_TIMEOUT if timeout is None else timeout) if workers else 0,
                         multiprocessing_context=context, persistent_workers=bool(processes) and persistent_workers is not False)
        self.num_workers = workers
        self.epoch, self.epoch_seed = 0, None
        self.peeks = 0              #: how many batches were made only to be looked at
        self._stock, self._resume, self._handed_out, self._turn, self._kinds = None, None, 0, 0, None
        self._kinds_known, self._reported, self._moves, self._buffers, self._fused = False, False, None, None, None
        self._finalizer = None
        self._threads_are_safe = worker_type == "thread" or not may_draw_globally(self._fetcher)
        self.skipped = {}           #: with on_error='skip': what could not be made, index -> (its name, why)
        if verbose:
            how = f"{plural(workers, self.worker_type)}{f' ({context})' if context else ''}" if workers else "no workers"
            print(f"{type(self).__name__}: {plural(self.n, 'item')} in {plural(len(self), 'batch')} of {bs}, {how}")

    def __setattr__(self, name, value):
        if name in _DECIDED and "skipped" in vars(self):            # made already: it would change nothing
            raise AttributeError(f"{name} is decided when a loader is made, setting it would change nothing: write "
                                 f"`dl = dl.new({name}=...)`, or `dls = dls.new({name}=...)`")
        super().__setattr__(name, value)

    def _new_fetcher(self, dataset):
        args = self._args
        self.cache = args["cache"] = make_cache(args["cache"], self.after_item, self.split_idx, args["cache_bytes"])
        # pictures may keep the layout they are decoded in where nothing but the transform that makes floats of them sees it
        any_layout = (not len(self.before_batch) and args["collate_fn"] is None and len(self.after_item) > 0 and len(self.after_batch) > 0
                      and getattr(self.after_item[-1], "loads_images", False) and getattr(self.after_batch[0], "any_layout", False))
        return Fetcher(dataset, self.after_item, self.before_batch, args["collate_fn"], args["on_error"], self.cache, any_layout)

    # -- what it holds ----------------------------------------------------------------------------------------------------------
    def __len__(self):
        "Number of batches in an epoch."
        return len(self._batches)

    @property
    def n(self):
        "Number of items in an epoch."
        return len(self.sampler)

    @property
    def device(self):
        "Where the batches are put."
        if self._device is None:
            self._device = default_device()
        if self._device.type == "cuda" and self._device.index is None:
            self._device = torch.device("cuda", torch.cuda.current_device())
        return self._device

    def to(self, device):
        "From now on put the batches on `device`."
        self._device, self._moves = torch.device(device), None
        return self

    @property
    def is_plain_pass(self):
        "Whether every item comes once, in the order of the dataset and with the transforms of validation."
        return self.split_idx == 1 and not self.shuffles and not self._args["drop_last"]

    @property
    def shuffles(self):
        "Whether the order of the items differs from epoch to epoch."
        return bool(self._batches.sampler_shuffles)

    @property
    def kinds(self):
        """What each element of a batch is: the batch's nesting with a `Kind` (a tensor subclass such as `tv_tensors.Image`, and its
        metadata) or None for each tensor; None if there are plain tensors only. Asked before the first batch, it makes one."""
        if not self._kinds_known:
            self.one_batch()
        return self._kinds

    @property
    def n_inp(self):
        "How many elements of a batch are inputs of the model (None: the batch decides, see `split_batch`)."
        if self._n_inp is None:
            self._n_inp = getattr(self.dataset, "n_inp", None)
        if self._n_inp is None and self._args["collate_fn"] is None:
            with fixed_seed():
                sample = self._fetcher.item(0, 0)
            self._n_inp = max(1, len(sample) - 1) if isinstance(sample, (tuple, list)) else None
        return self._n_inp

    @property
    def vocab(self):
        "The classes of the dataset, if it has `vocab` (or torchvision's `classes`), else None."
        found = getattr(self.dataset, "vocab", None)
        return getattr(self.dataset, "classes", None) if found is None else found

    @property
    def c(self):
        "The number of outputs the dataset asks for: its `c`, else the number of its classes; None if it has neither."
        c, vocab = getattr(self.dataset, "c", None), self.vocab
        return c if isinstance(c, int) else len(vocab) if vocab is not None and hasattr(vocab, "__len__") else None

    @property
    def loss_func(self):
        "The loss that belongs to the targets of the dataset, or None."
        return getattr(self.dataset, "loss_func", None)

    def __repr__(self):
        return (f"{type(self).__name__}: {plural(self.n, 'item')} in {plural(len(self), 'batch')} of {self.bs}, "
                f"{'shuffled' if self.shuffles else 'in order'}, num_workers={self.num_workers}"
                + (" (threads)" if self.worker_type == "thread" else ""))

    # -- iterating --------------------------------------------------------------------------------------------------------------
    def __iter__(self):
        resume, self._resume = self._resume, None
        if resume is None:
            self.epoch_seed, start = self._new_epoch_seed(), 0
            self.epoch += 1
        else:
            self.epoch_seed, start = resume
        self._turn += 1
        self._handed_out = start
        self._batches.epoch_seed, self._batches.start = self.epoch_seed, start
        if getattr(self._fetcher, "pictures", False):
            keep_freed_memory()
        if self.num_workers and self.worker_type is None:           # the number was changed by hand
            _, self.worker_type, self.multiprocessing_context = choose_workers(
                self._fetcher, len(self), self.num_workers, self._args["worker_type"], None, isinstance(self.cache, RamCache))
        if self.num_workers and self.worker_type == "thread" and not self._threads_are_safe:
            self._look_for_global_draws()
        if self.num_workers and self.worker_type == "process":
            fetched = iter(self._workers())
        elif self.num_workers:
            self._give_buffers()
            fetched = BatchThreads(self._fetcher, iter(self._batches), self.num_workers, self._pins(), self.timeout)
        else:
            self._give_buffers()
            fetched = self._in_this_process(iter(self._batches))
        return self._epoch(fetched, self.epoch_seed, start, self._turn)

    def _new_epoch_seed(self):
        if self.split_idx == 1 and not self.shuffles:
            return 0
        return draw_seed() if self.seed is None else int(item_rng(self.seed, self.epoch).integers(2**63))

    def _in_this_process(self, keys):
        pins = self._pins()
        for key in keys:
            batch = self._fetcher[key]
            yield batch.pin_memory() if pins else batch

    def _pins(self):
        return self.device.type == "cuda" if self._args["pin_memory"] is None else self._args["pin_memory"] and torch.cuda.is_available()

    def _give_buffers(self):
        "Memory for batches made in this process, used again when nobody holds them any more."
        if hasattr(self._fetcher, "buffers"):
            pins = self._pins()
            if self._buffers is None or self._buffers.pin != pins:
                self._buffers = BufferPool(pin=pins)
            self._fetcher.buffers = self._buffers

    def _look_for_global_draws(self):
        "Threads share the global random streams: functions that draw from these get processes instead. Looked at once, on one item."
        self._threads_are_safe = True
        if not draws_from_global_streams(self._fetcher, 0, self.epoch_seed):
            return
        if isinstance(self.cache, RamCache):
            self.num_workers, self.worker_type = 0, None
        else:
            self.num_workers, self.worker_type, context = choose_processes(self._fetcher, len(self), self.num_workers, stacklevel=6)
            self.multiprocessing_context = context if self.num_workers else None

    def _workers(self):
        "torch's loader, whose workers make whole batches; kept, so that they are."
        pins = self._pins()
        if self._stock is None or (self._stock.num_workers, self._stock.pin_memory) != (self.num_workers, pins):
            self.end_workers()
            self._stock = torch.utils.data.DataLoader(
                InWorker(self._fetcher), batch_size=None, sampler=self._batches, num_workers=self.num_workers, collate_fn=_as_it_is,
                pin_memory=pins, timeout=self.timeout, multiprocessing_context=self.multiprocessing_context,
                persistent_workers=self.persistent_workers,
                generator=torch.Generator())        # its own: torch would draw from the global stream, and only where there are workers
            # when this loader goes: those left to the garbage collector are waited for, each for seconds
            self._finalizer = weakref.finalize(self, end_workers_of, self._stock, os.getpid())
        return self._stock

    def end_workers(self):
        "End the worker processes kept between epochs, if there are any; the next epoch starts new ones."
        self._stock = None
        if self._finalizer is not None:
            self._finalizer()

    def _epoch(self, fetched, epoch_seed, start, turn):
        try:
            yield from self._handing_out(fetched, epoch_seed, start, turn)
        finally:                                # also when the loop is left early
            if hasattr(fetched, "close"):
                fetched.close()

    def _handing_out(self, fetched, epoch_seed, start, turn):
        number = start
        while True:
            try:
                batch = next(fetched, None)
            except RuntimeError as e:
                explain_dead_worker(e, self)
                raise
            if batch is None:
                return
            if isinstance(batch, Failure):
                add_note(batch.error, f"in a worker, where the traceback was:\n{batch.trace}")
                error = batch.error
                fetched._shutdown_workers()     # also those that are not kept
                self.end_workers()              # now, while that takes no time: what a traceback keeps alive ends later, slowly
                try:
                    raise error
                finally:
                    del error, batch
            finished = [self._finish(batch, epoch_seed, number)]
            number += 1
            self._handed_out = number
            del batch                           # nor is what was handed out held here: its memory may be used again soon
            yield finished.pop()
            if turn != self._turn and self.num_workers and self.worker_type == "process":
                raise RuntimeError("this loader was iterated again before its epoch was over: its workers now serve the new loop. To "
                                   "look at a batch during training use one_batch(), for another pass loader.new()")

    def _finish(self, batch, epoch_seed, number):
        "The last steps: to the device, batch transforms, plain tensors."
        data, first = batch.data, not self._kinds_known
        if batch.skipped:
            self._note_skipped(batch.skipped)
        if self._moves is None:
            self._moves = self.device.type != "cpu" or any(isinstance(t, torch.Tensor) and t.device != self.device for t in leaves(data))
        if self._moves:
            data = to_device(data, self.device, non_blocking=True)
        if not len(self.after_batch):
            if first:
                self._kinds, self._kinds_known = batch.kinds, True
                self._report_idle([])
            return data
        data, rng = wrap_kinds(data, batch.kinds), batch_rng(epoch_seed, number)
        try:
            if self._fused is None or self._fused[0] is not self.after_batch:
                self._fused = self.after_batch, self.after_batch.fused()
            if first:
                steps = self._fused[1].trace(data, rng)
                idle = [g for f, _, applied in steps for g in ([] if applied else [f]) + getattr(f, "idle_members", lambda x: [])(data)]
                data = steps[-1][1]
                self._kinds, self._kinds_known = kinds_after(data, batch.kinds), True
                self._report_idle(list(filter(self._is_meant, idle)))
            else:
                data = self._fused[1](data, rng)
        except Exception as e:
            add_note(e, f"in after_batch, batch {number}")
            raise
        return plain(data)

    def _note_skipped(self, skipped):
        if not self.skipped:
            i, why = next(iter(skipped.items()))
            warn(f"on_error='skip': {self._fetcher.name_of(i)} could not be made, and another item is in its place ({why}). All of them "
                 "are in `loader.skipped`" + ("; what is predicted for them is of other items" if self.split_idx == 1 else ""),
                 stacklevel=4)
        self.skipped.update((i, (self._fetcher.name_of(i), why)) for i, why in skipped.items())

    def _is_meant(self, transform):
        return transform.split_idx is None or self.split_idx is None or transform.split_idx == self.split_idx

    def _report_idle(self, batch_idle):
        "Warn, once, of transforms that applied to nothing."
        if self._reported:
            return
        self._reported = True
        with fixed_seed():
            idle = (self._fetcher.idle() if self._fetcher.draws or len(self.after_item) else []) + batch_idle
        if idle:
            def takes(f):
                types = f._handled_types()
                return f"{f!r} (it takes {', '.join(t.__name__ for t in types)})" if types else repr(f)

            warn(f"these transforms applied to nothing in the first sample: {'; '.join(map(takes, idle))}. "
                 "Put them where such values are, or leave them out", stacklevel=5)

    def one_batch(self):
        """One batch, made in this process (no workers are started); each call gives another one, unless the loader always gives the
        same. It takes nothing from the random streams that training draws from."""
        with fixed_seed():
            seed = self.peek_seed()
            self._batches.epoch_seed, self._batches.start = 0 if self.split_idx == 1 and not self.shuffles else seed, 0
            return self._make(next(iter(self._batches)))

    def make_batch(self, indices, seed=0):
        """The batch of the items `indices` of the dataset, made in this process as an epoch of this seed makes it; an index that comes
        again is augmented anew. It takes nothing from the random streams that training draws from."""
        with fixed_seed():
            return self._make((seed, 0, list(indices), repeats_of(indices)))

    def collate_items(self, indices, seed=0):
        "What the workers hand over for the items `indices`: a `Batch`, its `data` not yet on the device nor through `after_batch`."
        return self._fetcher[seed, 0, list(indices), repeats_of(indices)]

    def peek_seed(self):
        "A seed for something to look at: another one each time (`peeks` counts them), without effect on the streams of training."
        with fixed_seed():
            self.peeks += 1
            return int(item_rng(draw_seed() if self.seed is None else self.seed, self.peeks, 1).integers(2**63))

    def _make(self, key):
        return self._finish(self._fetcher[key], key[0], key[1])

    def indices_of_batch(self, n=-1):
        """The indices, in the dataset, of the items of one batch of the epoch in progress, or of the latest one, as a list.

        n: the batch's number from the beginning of the epoch; negative numbers count back from the batch handed out last (-1). Known
        without asking the workers, because the order is a function of the epoch's seed; None where it is not (samplers of torch's own,
        and before the first epoch).
        """
        if self.epoch_seed is None or not self._batches.is_known:
            return None
        number = n + self._handed_out if n < 0 else n
        if not 0 <= number < len(self):
            raise IndexError(f"batch {n}: {self._handed_out} of {len(self)} batches of this epoch have been handed out")
        return self._batches.indices(self.epoch_seed, number)

    def items_of_batch(self, n=-1):
        "The items of batch `n` of the epoch in progress (negative: back from the batch handed out last); None if not known."
        from .batch_items import items_of_batch
        return items_of_batch(self, n)

    def names_of_batch(self, n=-1):
        "What to call the items of batch `n` in a message, such as \"item 17, 'cats/17.jpg'\": see `items_of_batch`."
        from .batch_items import names_of_batch
        return names_of_batch(self, n)

    # -- resuming in the middle of an epoch -------------------------------------------------------------------------------------
    def state_dict(self):
        "Where the loader is: plain numbers, from which `load_state_dict` goes on with the next batch."
        return {"epoch": self.epoch, "epoch_seed": self.epoch_seed, "batch": self._handed_out}

    def load_state_dict(self, state):
        "The next epoch begins where `state` was taken: same order, same augmentation, the batches that were handed out left out."
        self.epoch = state["epoch"]
        unfinished = state["epoch_seed"] is not None and state["batch"] < len(self)
        self._resume = (state["epoch_seed"], state["batch"]) if unfinished else None

    # -- others like it ---------------------------------------------------------------------------------------------------------
    def new(self, dataset=None, **overrides):
        """A loader like this one with other arguments. `shuffle=` replaces a sampler; `split_idx=1` on a training loader gives its items
        with the transforms of validation items."""
        reject_unknown_loader_args({k: v for k, v in overrides.items() if k not in LOADER_KEYWORDS}, "loader.new(...)")
        if "batch_size" in overrides:
            overrides["bs"] = overrides.pop("batch_size")
        args = {**self._args, "device": self._device, "after_item": self.after_item, "before_batch": self.before_batch,
                "after_batch": self.after_batch}
        if dataset is not None:
            args["dataset"] = dataset
        elif "split_idx" in overrides and hasattr(self.dataset, "with_split_idx"):
            args["dataset"] = self.dataset.with_split_idx(overrides["split_idx"])
        if dataset is not None or "shuffle" in overrides:
            args["sampler"] = None
        new = type(self)(**{**args, **overrides})
        new._reported = self._reported and not any(k in overrides for k in ("after_item", "before_batch", "after_batch"))
        return new

    def add_tfms(self, tfms, event):
        "Add transforms to the pipeline `event`: 'after_item', 'before_batch' or 'after_batch'."
        if event not in ("after_item", "before_batch", "after_batch"):
            raise ValueError(f"add_tfms(event={event!r}): the events are 'after_item', 'before_batch' and 'after_batch'")
        setattr(self, event, getattr(self, event).add(tfms))
        self._fetcher = self._new_fetcher(self.dataset)
        self.end_workers()
        self._kinds_known, self._reported, self._fused = False, False, None

    def __getstate__(self):
        return {**self.__dict__, "_stock": None, "_iterator": None, "_finalizer": None}

    # -- looking ----------------------------------------------------------------------------------------------------------------
    def decode_batch(self, b, max_n=9):
        "The first `max_n` items of batch `b` as a list of samples with every transform undone: what can be shown."
        from .show import decode_batch
        return decode_batch(self, b, max_n)

    def show_batch(self, b=None, max_n=9, ctxs=None, show=True, unique=False, nrows=None, ncols=None, figsize=None, **kwargs):
        """Draw up to `max_n` items of batch `b` (None: a new one) in a grid; items without a picture come back as a table.

        unique: one item again and again, to see the augmentation. show=False: return the decoded samples instead. kwargs: for the
        functions that draw.
        """
        from .show import show_batch
        return show_batch(self, b, max_n, ctxs, show, unique, nrows, ncols, figsize, **kwargs)


def _as_it_is(batch):
    return batch
