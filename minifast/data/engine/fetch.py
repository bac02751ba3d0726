"""What runs for one batch, in this process or in a worker: get the samples, transform them, stack them."""
import random
from collections.abc import Mapping
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch.utils.data import ConcatDataset, Subset, TensorDataset, get_worker_info

from ...core.messages import add_note, plural
from ...core.nested import map_nested, plain
from ...core.seeds import item_rng, item_rngs
from ..pipeline import Pipeline
from .collate import collate, kinds_of
from .loading import Places, current, loading
from .threads import one_torch_thread

# Third part of the key of a batch's generator: items have (epoch seed, index) or (epoch seed, index, repeat), and never come to this.
_BATCH = 2**32 - 1
_REPLACING = 2**32 - 2      # as that, of an item that takes the place of one that cannot be made


def batch_rng(epoch_seed, number):
    "The generator of the batch transforms of batch `number`."
    return item_rng(epoch_seed, number, _BATCH)


def is_in_memory(dataset):
    "Whether `dataset` consists of tensors, arrays or numbers that need no work to get at, so that workers would only cost time."
    if isinstance(dataset, (TensorDataset, torch.Tensor, np.ndarray)):
        return True
    if isinstance(dataset, Subset):
        return is_in_memory(dataset.dataset)
    if isinstance(dataset, ConcatDataset):
        return all(map(is_in_memory, dataset.datasets))
    if isinstance(dataset, (list, tuple)) and len(dataset):
        plain = (torch.Tensor, np.ndarray, np.generic, int, float, bool, str)
        one = dataset[0]
        return isinstance(one, plain) or (isinstance(one, (tuple, list)) and all(isinstance(o, plain) for o in one))
    return False


class Batch:
    """A collated batch of plain tensors on its way, and what its tensors were before (see `collate.kinds_of`). skipped: the items that
    could not be made and were replaced, index -> why."""
    __slots__ = ("data", "kinds", "skipped")

    def __init__(self, data, kinds=None, skipped=None):
        self.data, self.kinds, self.skipped = data, kinds, skipped

    def pin_memory(self):
        def pin(x):
            return x.pin_memory() if isinstance(x, torch.Tensor) and x.device.type == "cpu" else x

        return Batch(map_nested(pin, self.data), self.kinds, self.skipped)


@contextmanager
def _private_streams(epoch_seed, number):
    """The global random streams seeded for batch `number`, for datasets and transforms that draw from them: the batch is the same in any
    process. Outside a worker the streams are put back afterwards, so that loading data takes nothing from what training draws."""
    in_worker = get_worker_info() is not None
    state = None if in_worker else (random.getstate(), np.random.get_state(), torch.get_rng_state())
    seed = int(batch_rng(epoch_seed, number).integers(2**63))
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        if state is not None:
            random.setstate(state[0])
            np.random.set_state(state[1])
            torch.set_rng_state(state[2])


class Samples(list):
    "The `n` samples of a batch in the making. places: the `Places` that their pictures go to, or None."

    def __init__(self, n, places=None):
        super().__init__([None] * n)
        self.places = places


class Fetcher:
    """`fetcher[epoch_seed, batch number, indices, repeats]` is that `Batch`: the dataset that the workers of a loader see.

    Each item has its own generator, a function of the epoch seed and its index: it goes to `dataset.sample(i, rng)`, where the
    dataset has that method, and to the item transforms. on_error: 'raise', or 'skip' to put another item of the batch in the place of
    one that cannot be made. cache, channels_last: what pictures are opened with, see `loading`. buffers: a `BufferPool` to collate
    into; it does not travel to worker processes.
    """

    def __init__(self, dataset, after_item, before_batch, collate_fn=None, on_error="raise", cache=None, channels_last=False, buffers=None):
        self.dataset, self.after_item, self.before_batch, self.collate_fn = dataset, after_item, before_batch, collate_fn
        self.on_error, self.cache, self.channels_last, self.buffers = on_error, cache, channels_last, buffers
        self.draws = hasattr(dataset, "sample")
        self.pictures = any(getattr(f, "loads_images", False) for f in after_item)
        untouched = not len(after_item) and not len(before_batch) and collate_fn is None
        self.tensors = _tensors_of(dataset) if untouched else None
        self.quiet = is_in_memory(dataset) and not len(after_item) and not len(before_batch)     # nothing here draws random numbers

    def __len__(self):
        return len(self.dataset)

    def __getstate__(self):
        return {**self.__dict__, "buffers": None}

    def __getitem__(self, key):
        epoch_seed, number, indices, _ = key
        if self.tensors is not None:
            return Batch(_index_all(self.tensors, indices))
        with nullcontext() if self.quiet else _private_streams(epoch_seed, number):
            samples, skipped = self.begin(key), {}
            with one_torch_thread() if self.pictures else nullcontext():
                self.fill(key, range(len(indices)), samples, skipped)
                return self.finish(key, samples, skipped)

    def begin(self, key):
        "The `Samples` of the batch `key`, none of which is made yet."
        n = len(key[2])
        return Samples(n, Places(n, self.buffers) if self.channels_last and self.buffers is not None else None)

    def fill(self, key, positions, samples, skipped, stopped=None):
        """Make the samples at these `positions` of the batch `key` and put them into the list `samples`; what could not be made is noted in
        the dict `skipped`. stopped: a function that says when to give up."""
        epoch_seed, _, indices, repeats = key
        draws = self.draws or len(self.after_item)
        with loading(self.cache, self.channels_last):
            if not (draws or self.on_error == "skip"):
                for k, sample in zip(positions, self._as_they_are([indices[k] for k in positions]), strict=True):
                    samples[k] = sample
                return
            rngs = item_rngs(epoch_seed, [indices[k] for k in positions]) if draws and not repeats else None
            for n, k in enumerate(positions):
                if stopped is not None and stopped():
                    return
                current.begin(samples.places, k)
                try:
                    samples[k] = self.item(indices[k], epoch_seed, repeats[k] if repeats else 0, rngs and rngs[n])
                except Exception as e:
                    if self.on_error != "skip" or isinstance(e, MemoryError):
                        raise
                    skipped[indices[k]] = _reason(e)
                    samples[k] = self._another(indices, indices[k], epoch_seed, skipped, e)

    def _another(self, indices, failed, epoch_seed, skipped, error):
        "A sample in the place of item `failed`: of another item of its batch, which one is a function of the seed."
        others = sorted(set(indices) - {failed}) or [i for i in range(min(len(self.dataset), 64)) if i != failed]
        for j in item_rng(epoch_seed, failed, _REPLACING).permutation(others).tolist():
            current.begin(None, current.row)            # somebody may hold what was made of the one that failed
            try:
                return self.item(j, epoch_seed, _REPLACING)
            except Exception as e:
                skipped[j] = _reason(e)
        add_note(error, f"on_error='skip' found no item to take its place: {plural(len(others), 'other')} of its batch cannot be made "
                        "either, so the fault is hardly with single files")
        raise error

    def finish(self, key, samples, skipped=None):
        "The `Batch` of the `samples` made for `key`."
        (epoch_seed, _, indices, _), places = key, samples.places
        if len(self.before_batch):
            samples = self.before_batch(list(samples), item_rng(epoch_seed, indices[0], _BATCH))
        if self.collate_fn is not None:
            data = self.collate_fn(list(samples))
            if isinstance(data, Mapping) and not isinstance(data, dict):       # such as what a tokenizer returns
                data = dict(data)
            return Batch(plain(data), kinds_of(data), skipped)
        try:
            return Batch(collate(samples, buffers=places or self.buffers), kinds_of(samples[0]), skipped)
        except (TypeError, ValueError, RuntimeError):
            collate(samples, [self.name_of(i) for i in indices])        # once more, for a message with names
            raise

    def _as_they_are(self, indices):
        samples, dataset = [], self.dataset
        try:
            for i in indices:
                samples.append(dataset[i])
        except Exception as e:
            add_note(e, f"while getting item {indices[len(samples)]} of {type(dataset).__name__}")
            raise
        return samples

    def item(self, i, epoch_seed, repeat=0, rng=None):
        "Sample `i` after the item transforms. rng: its generator, where it is there already."
        if rng is None and (self.draws or len(self.after_item)):
            rng = item_rng(epoch_seed, i, repeat) if repeat else item_rng(epoch_seed, i)
        if self.draws:
            sample = self.dataset.sample(i, rng)
        else:
            sample, = self._as_they_are([i])
        if not len(self.after_item):
            return sample
        try:
            return self.after_item(sample, rng)
        except Exception as e:
            add_note(e, f"while transforming {self.name_of(i)}")
            raise

    def name_of(self, i):
        "What to call item `i` in a message."
        return self.dataset.item_name(i) if hasattr(self.dataset, "item_name") else f"item {i}"

    def idle(self, epoch_seed=0):
        "Of the transforms that make a sample, those that apply to nothing in the first one."
        dataset_idle = self.dataset.idle(0, item_rng(epoch_seed, 0)) if hasattr(self.dataset, "idle") else []
        if not len(self.after_item):
            return dataset_idle
        bare = Fetcher(self.dataset, Pipeline(), Pipeline())
        return dataset_idle + self.after_item.idle(bare.item(0, epoch_seed), item_rng(epoch_seed, 0))


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
