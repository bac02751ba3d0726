"""What runs for one batch, in this process or in a worker: get the samples, transform them, stack them."""
import random
from collections.abc import Mapping
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch.utils.data import ConcatDataset, Subset, TensorDataset, get_worker_info

from ..messages import add_note
from ..nested import map_nested, plain
from ..seeds import item_rng
from ..transform import Pipeline
from .collate import collate, kinds_of

# Third part of the key of a batch's generator: items have (epoch seed, index) or (epoch seed, index, repeat), and never come to this.
_BATCH = 2**32 - 1


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
    "A collated batch of plain tensors on its way, and what its tensors were before (see `collate.kinds_of`)."
    __slots__ = ("data", "kinds")

    def __init__(self, data, kinds=None):
        self.data, self.kinds = data, kinds

    def pin_memory(self):
        def pin(x):
            return x.pin_memory() if isinstance(x, torch.Tensor) and x.device.type == "cpu" else x

        return Batch(map_nested(pin, self.data), self.kinds)


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


class Fetcher:
    """`fetcher[epoch_seed, batch number, indices, repeats]` is that `Batch`: the dataset that the workers of a loader see.

    Each item has its own generator, a function of the epoch seed and its index: it goes to `dataset.sample(i, rng)`, where the
    dataset has that method, and to the item transforms.
    """

    def __init__(self, dataset, after_item, before_batch, collate_fn=None):
        self.dataset, self.after_item, self.before_batch, self.collate_fn = dataset, after_item, before_batch, collate_fn
        self.draws = hasattr(dataset, "sample")
        untouched = not len(after_item) and not len(before_batch) and collate_fn is None
        self.tensors = _tensors_of(dataset) if untouched else None
        self.quiet = is_in_memory(dataset) and not len(after_item) and not len(before_batch)     # nothing here draws random numbers

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, key):
        epoch_seed, number, indices, repeats = key
        if self.tensors is not None:
            return Batch(_index_all(self.tensors, indices))
        with nullcontext() if self.quiet else _private_streams(epoch_seed, number):
            return self._batch(epoch_seed, indices, repeats)

    def _batch(self, epoch_seed, indices, repeats):
        samples = self._samples(epoch_seed, indices, repeats)
        if len(self.before_batch):
            samples = self.before_batch(samples, item_rng(epoch_seed, indices[0], _BATCH))
        if self.collate_fn is not None:
            data = self.collate_fn(samples)
            if isinstance(data, Mapping) and not isinstance(data, dict):       # such as what a tokenizer returns
                data = dict(data)
            return Batch(plain(data), kinds_of(data))
        try:
            return Batch(collate(samples), kinds_of(samples[0]))
        except (TypeError, ValueError, RuntimeError):
            collate(samples, [self.name_of(i) for i in indices])        # once more, for a message with names
            raise

    def _samples(self, epoch_seed, indices, repeats):
        if self.draws or len(self.after_item):
            return [self.item(i, epoch_seed, repeats[k] if repeats else 0) for k, i in enumerate(indices)]
        return self._as_they_are(indices)

    def _as_they_are(self, indices):
        samples, dataset = [], self.dataset
        try:
            for i in indices:
                samples.append(dataset[i])
        except Exception as e:
            add_note(e, f"while getting item {indices[len(samples)]} of {type(dataset).__name__}")
            raise
        return samples

    def item(self, i, epoch_seed, repeat=0):
        "Sample `i` after the item transforms."
        rng = None
        if self.draws or len(self.after_item):
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
