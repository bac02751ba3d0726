"""The last steps of a batch, in the process that trains: to the device, through the batch transforms, plain tensors."""
from typing import Any

import torch

from ...core.messages import add_note
from ...core.nested import leaves, plain, to_device
from ..pipeline import Pipeline
from ..transforms import Transform
from .collate import kinds_after, wrap_kinds
from .fetch import Batch, batch_rng


class Finisher:
    """Brings batches to `device` and sends them through `after_batch`.

    The first batch goes through one transform at a time, to learn what they do to it: then `is_first` is False, `kinds` says what each
    element is, and `idle` which transforms applied to nothing. All others go through the fused pipeline, see `Pipeline.fused`.
    """

    def __init__(self, after_batch: Pipeline, device: torch.device):
        self.after_batch, self.device = after_batch, device
        self.is_first = True
        self.kinds: Any = None
        self.idle: list[Transform] = []
        self._fused, self._moves = after_batch.fused(), device.type != "cpu"

    def __call__(self, batch: Batch, seed: int, number: int) -> Any:
        "What the model sees of `batch`, number `number` of the epoch with this seed."
        data = batch.data
        if self.is_first:
            self._moves = self._moves or any(isinstance(t, torch.Tensor) and t.device != self.device for t in leaves(data))
        if self._moves:
            data = to_device(data, self.device, non_blocking=True)
        if len(self.after_batch):
            data = self._transformed(wrap_kinds(data, batch.kinds), batch.kinds, seed, number)
        elif self.is_first:
            self.kinds = batch.kinds
        self.is_first = False
        return data

    def _transformed(self, data, kinds, seed, number):
        rng = batch_rng(seed, number)
        try:
            if self.is_first:
                data = self._trace(data, rng)
                self.kinds = kinds_after(data, kinds)
            else:
                data = self._fused(data, rng)
        except Exception as e:
            add_note(e, f"in after_batch, batch {number}")
            raise
        return plain(data)

    def _trace(self, data, rng):
        steps, split_idx = self._fused.trace(data, rng), self.after_batch.split_idx
        idle = [g for f, _, applied in steps for g in ([] if applied else [f]) + getattr(f, "idle_members", lambda x: [])(data)]
        self.idle = [f for f in idle if f.split_idx is None or split_idx is None or f.split_idx == split_idx]
        return steps[-1][1]
