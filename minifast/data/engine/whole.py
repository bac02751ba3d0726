"""`WholeBatches`: batches that are read at once, of data that are there for all items: texts as ids, series in an array."""
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ...core.seeds import fixed_seed
from .collate import collate, kinds_of, with_tensors
from .fetch import Batch, BatchKey, Fetcher, Making

Read = Callable[[np.ndarray], Any]
"Indices -> the inputs of these items, as a batch has them: one, or a tuple of several."


def whole_batches(plain: Fetcher, reader: Callable[[tuple], Read | None]) -> Fetcher:
    """A `WholeBatches`, or `plain` where items have to be made one by one: they are not there ahead, transforms of items or a `collate_fn`
    have a say, an error is to be skipped, targets are drawn anew each time or differ in shape.

    Args:
        plain: what makes the samples one by one.
        reader: the first sample -> what reads the inputs of several items; None: nothing can.
    """
    dataset = plain.dataset
    n_inp, ahead = getattr(dataset, "n_inp", 0), getattr(dataset, "ahead", {})
    if not n_inp or not len(dataset) or any(k not in ahead for k in range(n_inp)) or len(plain.before_batch) != 1 or len(plain.after_item) \
            or plain.collate_fn is not None or plain.on_error != "raise" or any(f.varies for p in dataset.pipelines[n_inp:] for f in p):
        return plain
    with fixed_seed():
        sample = plain.item(0, 0)
    one_size = all(np.ndim(o) == 0 or isinstance(o, torch.Tensor) for o in sample[n_inp:])
    read = reader(sample) if one_size else None
    return plain if read is None else WholeBatches(plain, read, sample)


class WholeBatches(Fetcher):
    """Makes batches of one input per item, which lies in memory or in a file as it goes into a batch, by one read, and of targets, which
    are made once.

    Args:
        plain: what makes the samples one by one.
        read: indices -> the input of these items, as the batch has it; of several inputs a tuple.
        sample: the first one, as `plain` makes it.
    """

    def __init__(self, plain: Fetcher, read: Read, sample: tuple):
        vars(self).update(vars(plain))
        self.read, self.in_memory, self.is_quiet = read, True, True
        self._known = np.zeros(len(self.dataset), dtype=bool)
        self._targets: list[torch.Tensor] | None = None
        self._kinds = kinds_of(sample)

    @property
    def may_draw_globally(self) -> bool:
        "No: nothing here draws random numbers."
        return False

    def make(self, key: BatchKey) -> Batch:
        "The batch `key`."
        indices = np.asarray(key.indices, dtype=np.int64)
        inputs = self.read(indices)
        return Batch((*(inputs if isinstance(inputs, tuple) else (inputs,)), *self._targets_of(indices)), self._kinds)

    def _targets_of(self, indices):
        new = indices[~self._known[indices]]
        if len(new):
            samples = with_tensors([self.dataset.targets(i) for i in new.tolist()])
            try:
                made = collate(samples)
            except (TypeError, ValueError, RuntimeError):
                collate(samples, [self.name_of(i) for i in new.tolist()])        # once more, for a message with names
                raise
            if self._targets is None:
                self._targets = [torch.empty((len(self._known), *t.shape[1:]), dtype=t.dtype) for t in made]
            for column, t in zip(self._targets, made, strict=True):
                column[new] = t.as_subclass(torch.Tensor)
            self._known[new] = True
        return [column[indices] for column in self._targets or ()]

    def fill(self, making: Making, positions: Any, stopped: Any = None) -> None:
        "Nothing: a batch is read at once."

    def finish(self, making: Making) -> Batch:
        "The batch of `making`."
        return self.make(making.key)
