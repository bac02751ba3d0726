"""`GatherPreds`: what one pass over a loader produces."""
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..core import PathLike, describe, to_concat, to_detach
from ..nn.loss_traits import lost_batch_axis, reduction_none
from .base import Callback, Order
from .training_run import check_folder


class GatherPreds(Callback, check_keywords=False):         # one is made for every prediction
    """Collect predictions, targets and, if asked, inputs and per-item losses of a validation pass, on the CPU.

    The lists `inputs, preds, targets, losses` hold one entry per batch.

    Args:
        with_input, with_loss, with_preds, with_targs: what to collect.
        act: activation of the predictions; None collects the raw outputs.
        save_preds, save_targs: a folder to also write those of batch i to, as `i.npy`; they are then collected.
    """

    only_watches = True
    order = Order.RECORD
    run_train = False

    def __init__(self, with_input: bool = False, with_loss: bool = False, with_preds: bool = True, with_targs: bool = True,
                 act: Callable | None = None, save_preds: PathLike | None = None, save_targs: PathLike | None = None):
        self.with_input, self.with_loss, self.act = with_input, with_loss, act
        self.with_preds, self.with_targs = with_preds or save_preds is not None, with_targs or save_targs is not None
        self.inputs, self.preds, self.targets, self.losses = [], [], [], []
        folders = {"save_preds": save_preds, "save_targs": save_targs}
        self._folders = {name: check_folder(folder, f"get_preds({name}=)") for name, folder in folders.items() if folder is not None}
        self._loss_per_item: Callable | None = None

    def after_batch(self) -> None:
        learn = self.learn
        if self.with_preds:
            self.preds.append(to_detach(learn.pred if self.act is None else self.act(learn.pred)))
        if self.with_targs:
            self.targets.append(to_detach(learn.y))
        if self.with_input:
            self.inputs.append(to_detach(learn.kw or learn.x))
        if self.with_loss and learn.yb:
            self._loss_per_item = self._loss_per_item or reduction_none(learn.loss_func)
            loss = self._loss_per_item(learn.pred, *learn.yb)
            self.losses.append(to_detach(loss.reshape(len(learn.yb[0]), -1).mean(1)))
        for name, folder in self._folders.items():
            self._write(folder / f"{learn.iter}.npy", (self.preds if name == "save_preds" else self.targets)[-1])

    def _write(self, file, batch):
        if not isinstance(batch, torch.Tensor):
            raise TypeError(f"get_preds writes one tensor per batch to {file.parent}; this batch has {describe(batch)}")
        np.save(file, (batch.float() if batch.dtype is torch.bfloat16 else batch).numpy())

    def joined(self, parts: list, dim: int = 0) -> Any:
        "All batches of one list as one tensor (or nested tensors); None if there are no targets."
        parts = [p for p in parts if not (isinstance(p, tuple) and not p)]
        if len({p.ndim for p in parts if isinstance(p, torch.Tensor)} - {0}) > 1:
            raise ValueError(f"batches of {describe(parts[0])} and {describe(parts[-1])} cannot be joined: "
                             + lost_batch_axis(min(parts, key=lambda p: p.ndim)))
        return to_concat(parts, dim) if parts else None
