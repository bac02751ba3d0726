"""A batch from its key to the model: which items it has, how its samples are made and collated, and its last steps on the device.

`Order` gives the keys, a `Fetcher` makes the batches, in this process or in a worker, and a `Finisher` does the rest where training runs.
"""
import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch.utils.data import ConcatDataset, Subset, TensorDataset, get_worker_info

from ...core.messages import add_note, brief, describe, ended, plural
from ...core.nested import leaves, map_nested, plain, to_device
from ...core.ranks import shared
from ...core.seeds import item_rng, item_rngs, seed_of, seed_streams, seeded_streams
from ...core.shares import Share
from ..pipeline import Pipeline
from ..transforms import Transform
from .cache import ImageCache, current_cache
from .collate import GivePlace, Places, collate, image_writer, is_plain, kinds_after, kinds_of, with_tensors, wrap_kinds
from .sending import packed, unpacked


class BatchKey(NamedTuple):
    "All that a batch depends on, besides the data and the transforms: whoever makes it, and when, it is the same."

    seed: int                           #: of the epoch
    number: int                         #: of the batch within the epoch
    indices: Any                        #: of its items: a list, or a tensor where the data are tensors
    repeats: list[int] | None           #: how often each index came before in the epoch; None: never
    rank: int = 0                       #: of several processes that each make a part of the batch, the one that makes this part

    def part(self, share: Share) -> "BatchKey":
        "The part of the batch that this rank makes."
        repeats = None if self.repeats is None else self.repeats[share.held]
        return self._replace(indices=self.indices[share.held], repeats=repeats, rank=share.rank)


class Order:
    """The batches of an epoch as `BatchKey`s: the items of `sampler`, `bs` at a time.

    drop_last: drop an incomplete last batch; None: only if it is a single item and the sampler shuffles.
    """

    def __init__(self, sampler: Any, bs: int, drop_last: bool | None):
        self.sampler, self.bs, self.drop_last = sampler, bs, drop_last

    def __len__(self) -> int:
        full, rest = divmod(len(self.sampler), self.bs)
        drop = (rest == 1 and full > 0 and self.shuffles) if self.drop_last is None else self.drop_last
        return full + (rest > 0 and not drop)

    @property
    def shuffles(self) -> bool:
        "Whether the order differs from epoch to epoch."
        return bool(getattr(self.sampler, "shuffles", True))

    @property
    def is_known(self) -> bool:
        "Whether the order is a function of the epoch's seed, so that it can be asked for again."
        return hasattr(self.sampler, "order")

    def indices(self, seed: int, number: int) -> list[int]:
        "The indices of batch `number` of the epoch with this seed."
        return self.drawn(seed)[number * self.bs:(number + 1) * self.bs].tolist()

    def drawn(self, seed: int) -> torch.Tensor:
        "The indices of an epoch with this seed, as a tensor."
        return self.sampler.order(seed) if self.is_known else torch.as_tensor(list(self.sampler), dtype=torch.int64)

    def keys(self, seed: int, start: int = 0) -> Iterator[BatchKey]:
        "The batches of the epoch with this seed, from batch `start` on."
        order, repeats = self.drawn(seed) if self.is_known else shared(self.drawn(seed)), None
        if getattr(self.sampler, "repeats", not self.is_known):
            repeats = repeats_of(order.tolist())
        for number in range(start, len(self)):
            part = slice(number * self.bs, (number + 1) * self.bs)
            yield BatchKey(seed, number, order[part].tolist(), None if repeats is None else repeats[part])


def repeats_of(indices: Sequence[int]) -> list[int] | None:
    "For each index how often it came before, or None if no index comes twice."
    seen, repeats = {}, []
    for i in indices:
        repeats.append(seen.get(i, 0))
        seen[i] = repeats[-1] + 1
    return repeats if any(repeats) else None


# Third part of the key of a batch's generator: items have (epoch seed, index) or (epoch seed, index, repeat), and never come to this.
_BATCH = 2**32 - 1
_REPLACING = 2**32 - 2      # the same for an item that takes the place of one that cannot be made


def batch_rng(seed: int, number: int, rank: int = 0) -> np.random.Generator:
    "The generator of the batch transforms of batch `number` in the epoch with this seed; each of several ranks has its own."
    return item_rng(seed, number, _BATCH, rank) if rank else item_rng(seed, number, _BATCH)


def is_in_memory(dataset: Any) -> bool:
    "Whether `dataset` consists of tensors, arrays or numbers that need no work to get at, so that workers would only cost time."
    if isinstance(dataset, Subset):
        return is_in_memory(dataset.dataset)
    if isinstance(dataset, ConcatDataset):
        return all(map(is_in_memory, dataset.datasets))
    if isinstance(dataset, (list, tuple)) and len(dataset):
        values = (torch.Tensor, np.ndarray, np.generic, int, float, bool, str)
        one = dataset[0]
        return isinstance(one, values) or (isinstance(one, (tuple, list)) and all(isinstance(o, values) for o in one))
    return isinstance(dataset, (TensorDataset, torch.Tensor, np.ndarray))


class Batch:
    """A collated batch of plain tensors on its way to the device.

    kinds: what its tensors were before, see `collate.kinds_of`. skipped: the items that could not be made and were replaced, index -> why.
    """
    __slots__ = ("data", "kinds", "skipped")

    def __init__(self, data: Any, kinds: Any = None, skipped: dict[int, str] | None = None):
        self.data, self.kinds, self.skipped = data, kinds, skipped

    def __getstate__(self) -> tuple:
        return packed(self.data), self.kinds, self.skipped

    def __setstate__(self, state: tuple) -> None:
        data, self.kinds, self.skipped = state
        self.data = unpacked(data)

    def pin_memory(self) -> "Batch":
        "The same in page-locked memory."
        def pin(x):
            return x.pin_memory() if isinstance(x, torch.Tensor) and x.device.type == "cpu" else x

        return Batch(map_nested(pin, self.data), self.kinds, self.skipped)


def _private_streams(key):
    """The global random streams seeded for batch `key`, for datasets and transforms that draw from them: the batch is the same in any
    process. Outside a worker the streams are put back afterwards, so that loading data takes nothing from what training draws."""
    seed = seed_of(key.seed, key.number, _BATCH, key.rank)
    if get_worker_info() is None:
        return seeded_streams(seed)
    seed_streams(seed)
    return nullcontext()


class Making:
    "A batch in the making: its samples so far, the items that had to be replaced, and the memory that its images go to."

    def __init__(self, key: BatchKey, places: Places | None = None):
        self.key, self.places = key, places
        self.samples: list = [None] * len(key.indices)
        self.skipped: dict[int, str] = {}

    def place(self, k: int) -> GivePlace | None:
        "Where the images of sample `k` go."
        return None if self.places is None else self.places.of_sample(k)


class Fetcher:
    """Makes batches of a dataset: `make(key)`; or `begin`, `fill` (by several threads, each some of the samples) and `finish`.

    Each item has its own generator, a function of the epoch's seed and its index. It goes to `dataset.sample(i, rng)`, where the
    dataset has that method, and to the item transforms. on_error: 'raise', or 'skip' to put another item of the batch in the place of
    one that cannot be made. cache: where decoded images are kept. pin: collate into page-locked memory where that saves a copy.
    """

    most_workers: int = 8           #: that are of use, unless the user asks for more

    def __init__(self, dataset: Any, after_item: Pipeline, before_batch: Pipeline, after_batch: Sequence[Transform] | Pipeline = (),
                 collate_fn: Callable[[list], Any] | None = None, on_error: Literal["raise", "skip"] = "raise",
                 cache: ImageCache | None = None):
        self.dataset, self.after_item, self.before_batch, self.collate_fn = dataset, after_item, before_batch, collate_fn
        self.on_error, self.cache, self.pin = on_error, cache, False
        self.draws = hasattr(dataset, "sample")
        self.loads_images = any(getattr(f, "loads_images", False) for f in after_item)
        self._writer: Any = image_writer(after_item, before_batch, after_batch, collate_fn)
        self._before_writer = Pipeline(after_item.fs[:-1], after_item.split_idx) if self._writer is not None else after_item
        self._transforms_items = len(after_item) > 0
        self._uses_rng = self.draws or self._transforms_items
        untouched = not len(after_item) and not len(before_batch) and collate_fn is None
        self.tensors = _tensors_of(dataset) if untouched else None
        self.in_memory = is_in_memory(dataset)          #: whether workers would only cost time
        self._as_stored = self.in_memory and not len(after_item) and not len(before_batch)
        known = after_item.split_idx == 1 and collate_fn is None and all(f.is_builtin for f in before_batch) and not self.may_draw_globally
        self.is_quiet = self._as_stored or known          #: whether nothing here draws from the global random streams

    @property
    def pipelines(self) -> tuple[Pipeline, ...]:
        "What items go through: the pipelines of the dataset that make its samples, and the item transforms."
        return *getattr(self.dataset, "pipelines_in_use", ()), self.after_item

    @property
    def may_draw_globally(self) -> bool:
        "Whether something of unknown origin takes part in making items: a dataset of the user's, or a function."
        ours = hasattr(self.dataset, "pipelines") and type(self.dataset).__module__.partition(".")[0] == __name__.partition(".")[0]
        return not ours or not all(f.is_builtin for p in self.pipelines for f in p)

    def make(self, key: BatchKey) -> Batch:
        "The batch `key`."
        if self.tensors is not None:
            return Batch(_index_all(self.tensors, key.indices))
        if self.is_quiet and not self.loads_images:
            return self._made_of(key)
        with nullcontext() if self.is_quiet else _private_streams(key), one_torch_thread() if self.loads_images else nullcontext():
            return self._made_of(key)

    def _made_of(self, key):
        making = self.begin(key)
        self.fill(making, range(len(key.indices)))
        return self.finish(making)

    def begin(self, key: BatchKey) -> Making:
        "The batch `key`, with none of its samples made yet."
        return Making(key, None if self._writer is None else Places(len(key.indices), self.pin and get_worker_info() is None))

    def fill(self, making: Making, positions: Sequence[int], stopped: Callable[[], bool] | None = None) -> None:
        "Make the samples at these `positions`. stopped: a function that says when to give up."
        seed, _, indices, repeats, _ = making.key
        rngs = item_rngs(seed, [indices[k] for k in positions]) if self._uses_rng and not repeats else None
        token = current_cache.set(self.cache)
        try:
            if not self._uses_rng and self.on_error == "raise":
                for k in positions:
                    making.samples[k] = self._as_it_is(indices[k])
                return
            for n, k in enumerate(positions):
                if stopped is not None and stopped():
                    return
                try:
                    rng = None if rngs is None else rngs[n]
                    making.samples[k] = self.item(indices[k], seed, repeats[k] if repeats else 0, rng, making.place(k))
                except Exception as e:
                    if self.on_error != "skip" or isinstance(e, MemoryError):
                        raise
                    making.skipped[indices[k]] = _reason(e)
                    making.samples[k] = self._another(making, k, e)
        finally:
            current_cache.reset(token)

    def _another(self, making, k, error):
        "Sample `k` made of another item of the batch; of which one is a function of the seed."
        seed, failed = making.key.seed, making.key.indices[k]
        others = sorted(set(making.key.indices) - {failed}) or [i for i in range(min(len(self.dataset), 64)) if i != failed]
        for j in item_rng(seed, failed, _REPLACING).permutation(others).tolist():
            try:
                return self.item(j, seed, _REPLACING, None, making.place(k))
            except Exception as e:
                making.skipped[j] = _reason(e)
        add_note(error, f"on_error='skip' found no item to take its place: {plural(len(others), 'other')} of its batch cannot be made "
                        "either, so the fault is hardly with single files")
        try:
            raise error
        finally:
            del error               # else it would hold itself, by its traceback, and all else that this holds

    def finish(self, making: Making) -> Batch:
        "The batch of the samples made."
        key, samples = making.key, making.samples
        if len(self.before_batch):
            samples = self.before_batch(samples, item_rng(key.seed, key.indices[0], _BATCH))
        if self.collate_fn is not None:
            try:
                data = self.collate_fn(list(samples))
            except StopIteration as e:
                raise ended(f"collate_fn {brief(self.collate_fn)}") from e
            if isinstance(data, Mapping) and not isinstance(data, dict):       # such as what a tokenizer returns
                data = dict(data)
            return Batch(plain(data), kinds_of(data), making.skipped)
        plainly = is_plain(samples[0])
        if not plainly and not self.loads_images and not self._as_stored:        # else there is nothing left to do
            samples = with_tensors(samples)
        try:
            return Batch(collate(samples), None if plainly else kinds_of(samples[0]), making.skipped)
        except (TypeError, ValueError, RuntimeError):
            collate(samples, [self.name_of(i) for i in key.indices])        # once more, for a message with names
            raise

    def _as_it_is(self, i):
        try:
            return self.dataset[i]
        except StopIteration as e:
            raise ended(f"item {i} of {type(self.dataset).__name__}") from e
        except Exception as e:
            add_note(e, f"while getting item {i} of {type(self.dataset).__name__}")
            raise

    def item(self, i: int, seed: int, repeat: int = 0, rng: np.random.Generator | None = None, place: GivePlace | None = None) -> Any:
        "Sample `i` after the item transforms. rng: its generator, where it is there already. place: where its images are written."
        if rng is None and self._uses_rng:
            rng = item_rng(seed, i, repeat) if repeat else item_rng(seed, i)
        try:
            sample = self.dataset.sample(i, rng) if self.draws else self._as_it_is(i)
        except StopIteration as e:              # of a `sample` of the user's
            raise ended(f"item {i} of {type(self.dataset).__name__}") from e
        return self.transformed(sample, i, rng, place) if self._transforms_items else sample

    def transformed(self, sample: Any, i: int, rng: np.random.Generator | None, place: GivePlace | None) -> Any:
        "`sample`, which is item `i`, after the item transforms."
        try:
            if place is None:
                return self.after_item(sample, rng)
            sample = self._before_writer(sample, rng)
            try:
                return self._writer.into(sample, place)
            except Exception as e:
                add_note(e, f"in transform {brief(self._writer)} on {describe(sample)}")
                raise
        except Exception as e:
            add_note(e, f"while transforming {self.name_of(i)}")
            raise

    def name_of(self, i: int) -> str:
        "What to call item `i` in a message."
        return self.dataset.item_name(i) if hasattr(self.dataset, "item_name") else f"item {i}"

    def idle(self, seed: int = 0) -> list:
        "Of the transforms that make a sample, those that apply to nothing in the first one."
        if not self._uses_rng:
            return []
        idle = self.dataset.idle(0, item_rng(seed, 0)) if hasattr(self.dataset, "idle") else []
        if len(self.after_item):
            sample = self.dataset.sample(0, item_rng(seed, 0)) if self.draws else self.dataset[0]
            idle = idle + self.after_item.idle(sample, item_rng(seed, 0))
        return idle


def _reason(error):
    return f"{type(error).__name__}: {error}"


def _tensors_of(dataset):
    "The tensors of a dataset that is nothing but tensors, so that whole batches can be indexed at once; else None."
    if type(dataset) is TensorDataset and all(type(t) is torch.Tensor for t in dataset.tensors):
        return dataset.tensors, None
    if type(dataset) is Subset and type(dataset.dataset) is TensorDataset:
        return dataset.dataset.tensors, torch.as_tensor(dataset.indices, dtype=torch.int64)
    return None


def _index_all(tensors, indices):
    tensors, chosen = tensors
    indices = torch.as_tensor(indices)
    if chosen is not None:
        indices = chosen[indices]
    return tuple(t.index_select(0, indices) if t.device.type == "cpu" else t[indices] for t in tensors)


class InlineEngine:
    "Makes batches in the thread that asks for them. pin: in page-locked memory."

    def __init__(self, fetcher: Fetcher, pin: bool = False):
        self.fetcher, self.pin = fetcher, pin

    def batches(self, keys: Iterator[BatchKey]) -> Iterator[Batch]:
        "The batches for `keys`, in their order."
        for key in keys:
            batch = self.fetcher.make(key)
            yield batch.pin_memory() if self.pin else batch

    def close(self, error: BaseException | None = None) -> None:
        "Nothing to end."


class Finisher:
    """Brings batches to `device` and sends them through `after_batch`.

    The first batch goes through one transform at a time, to learn what they do to it: then `is_first` is False, `kinds` says what each
    element is, and `idle` which transforms applied to nothing. All others go through the fused pipeline, see `Pipeline.fused`. moves: any
    batch may lie on another device than the first.
    """

    def __init__(self, after_batch: Pipeline, device: torch.device, moves: bool = False):
        self.after_batch, self.device = after_batch, device
        self.is_first = True
        self.kinds: Any = None
        self.idle: list[Transform] = []
        self._fused, self._moves = after_batch.fused(), moves or device.type != "cpu"

    def __call__(self, batch: Batch, seed: int, number: int, rank: int = 0) -> Any:
        "What the model sees of `batch`, number `number` of the epoch with this seed, or of the part of it that `rank` has."
        data = batch.data
        if self.is_first:
            self._moves = self._moves or any(isinstance(t, torch.Tensor) and t.device != self.device for t in leaves(data))
        if self._moves:
            data = to_device(data, self.device, non_blocking=True)
        if len(self.after_batch):
            data = self._transformed(wrap_kinds(data, batch.kinds), batch.kinds, seed, number, rank)
        elif self.is_first:
            self.kinds = batch.kinds
        self.is_first = False
        return data

    def _transformed(self, data, kinds, seed, number, rank):
        rng = batch_rng(seed, number, rank)
        try:
            if self.is_first:
                data = self._trace(data, rng)
                self.kinds = kinds_after(data, kinds)
            else:
                data = self._fused(data, rng)
        except Exception as e:
            add_note(e, f"in after_batch, batch {number}")
            raise
        if type(data) is tuple:                         # nearly always one level: past the recursion where it is
            return tuple(o.as_subclass(torch.Tensor) if isinstance(o, torch.Tensor) else plain(o) for o in data)
        return plain(data)

    def _trace(self, data, rng):
        steps, split_idx = self._fused.trace(data, rng), self.after_batch.split_idx
        idle = [g for f, _, applied in steps for g in ([] if applied else [f]) + getattr(f, "idle_members", lambda x: [])(data)]
        self.idle = [f for f in idle if f.split_idx is None or split_idx is None or f.split_idx == split_idx]
        return steps[-1][1]


@cache
def _symbols() -> ctypes.CDLL:
    "What this process has loaded."
    return ctypes.CDLL(None)


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Within the block torch's operations that this thread starts run in this thread alone.

    An image is too small to be shared out, and where several threads make batches each would start helpers of its own. OpenMP keeps the
    number per thread; where torch does not use it, or the system does not show it, nothing happens. (`torch.set_num_threads` may change
    other libraries' threads as well, and for all threads.)
    Measured (2026-11, 2 cores, two worker threads, cache='ram'): 24 to 26 % of the time; more where there are more cores.
    """
    torch.get_num_threads()                     # the first operation of a thread sets its number to that of `torch.set_num_threads`
    try:
        openmp = _symbols()
        before = openmp.omp_get_max_threads()
        openmp.omp_set_num_threads(1)
    except (AttributeError, OSError, TypeError):
        before = None
    try:
        yield
    finally:
        if before is not None:
            openmp.omp_set_num_threads(before)
