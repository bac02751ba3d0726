"""`WholeBatches`: batches that are read at once, of data that are there for all items: texts as ids, series in an array."""
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from .collate import collate, kinds_of, with_tensors
from .fetch import Batch, BatchKey, Fetcher, Making


class WholeBatches(Fetcher):
    """Makes batches of one input per item, which lies in memory or in a file as it goes into a batch, by one read, and of targets, which
    are made once.

    Args:
        plain: what makes the samples one by one.
        read: indices -> the input of these items, as the batch has it; of several inputs a tuple.
        sample: the first one, as `plain` makes it.
    """

    def __init__(self, plain: Fetcher, read: Callable[[np.ndarray], Any], sample: tuple):
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
