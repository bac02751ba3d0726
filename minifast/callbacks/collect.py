"""Keep what passes by: the outputs of layers (`HookCallback`), whole batches of training (`CollectDataCallback`), or what one pass over a
loader produces (`GatherPreds`)."""
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..core import L, PathLike, describe, to_concat, to_detach
from ..nn import Hooks, flatten_model, has_params
from ..nn.loss_traits import lost_batch_axis, reduction_none
from .base import Callback, Order, TrainingCallback
from .training_run import check_folder


class HookCallback(TrainingCallback):
    """Base of callbacks that look at the outputs of layers: override `hook`, whose results are in `self.hooks.stored`.

    Args:
        modules: the layers (default: all without children that have parameters).
        every: hook only every so many training batches (default: all the time).
        remove_end: take the hooks off at the end of the fit.
        is_forward: False: hook the backward pass.
        detach: give `hook` detached values.
        cpu: move them to the CPU.
        include_paramless: take layers without parameters too.
        hook: the function `hook(module, input, output)`, instead of overriding it.
    """

    def __init__(self, modules: Sequence[nn.Module] | None = None, every: int | None = None, remove_end: bool = True,
                 is_forward: bool = True, detach: bool = True, cpu: bool = True, include_paramless: bool = False, hook: Any = None):
        self.modules, self.every, self.remove_end, self.include_paramless = modules, every, remove_end, include_paramless
        self._options = {"is_forward": is_forward, "detach": detach, "cpu": cpu}
        self.hooks = Hooks((), self.hook)
        if hook is not None:
            self.hook = hook  # type: ignore[method-assign]  # a function of the caller's in place of the method

    def hook(self, m: nn.Module, i: Any, o: Any) -> Any:
        """Override: what is kept of one call of a layer.

        Args:
            m: the layer.
            i: its inputs, a tuple.
            o: its output.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `hook`: define `def hook(self, m, i, o)`, or pass hook=")

    def before_fit(self) -> None:
        if self.modules is None:
            self.modules = [m for m in flatten_model(self.learn.model) if self.include_paramless or has_params(m)]
        if self.every is None:
            self._put_on()

    def before_batch(self) -> None:
        if self.every is not None and self.learn.train_iter % self.every == 0:
            self._put_on()

    def after_batch(self) -> None:
        if self.every is not None:
            self.hooks.remove()

    def cleanup_fit(self) -> None:
        if self.remove_end:
            self.hooks.remove()

    def _put_on(self):
        self.hooks.remove()
        self.hooks = Hooks(self.modules, self.hook, **self._options)


class CollectDataCallback(Callback):
    "Keep every batch of a fit with its predictions and loss: `data` is a list of (inputs, targets, predictions, loss), on the CPU."

    only_watches = True

    def before_fit(self) -> None:
        self.data = L()

    def after_batch(self) -> None:
        learn = self.learn
        self.data.append(to_detach((learn.xb, learn.yb, learn.pred, learn.loss)))


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
