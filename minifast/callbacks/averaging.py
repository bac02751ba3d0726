"""Averages of the weights over training: `EMA`, an exponential moving average, and `SWA`, the mean over the last epochs.

Sources: B. Polyak, A. Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992; P. Izmailov et al., "Averaging Weights
Leads to Wider Optima and Better Generalization", 2018.
"""
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import get_swa_multi_avg_fn

from ..core import check_arguments, is_number, is_whole, split_batch, to_device
from ..core.ranks import mean_over_ranks
from ..core.sharded import is_sharded, local, locals_of, sharded_like, whole
from ..core.torch_internals import copy_, lerp_
from ..nn.model_info import eval_mode
from ..optim import SchedCos, get_hyper, hyper_setter, layer_group_count, spread
from .base import Order
from .rank_parts import average_norm_statistics
from .training_run import RunCallback

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


# -- functions of tensors and models ------------------------------------------------------------------------------------------------
@torch.no_grad()
def ema_update(averaged: Sequence[torch.Tensor], current: Sequence[torch.Tensor], decay: float) -> None:
    "Move each tensor of `averaged`, in place, to `decay * averaged + (1 - decay) * current`."
    lerp_(averaged, current, 1 - decay)


def ema_decay(t: int, decay: float) -> float:
    "The decay of update `t` (from 0): `min(decay, (1 + t) / (10 + t))`, so that the first weights are soon forgotten."
    return min(decay, (1 + t) / (10 + t))


#: `swa_update(averaged, current, n)`: the mean of `n + 1` sets of weights from the mean of the first `n`, in place; torch's own.
swa_update = get_swa_multi_avg_fn()


def update_norm_statistics(model: nn.Module, batches: Iterable[tuple[Sequence, dict]], norms: Sequence[nn.Module] | None = None) -> None:
    """Recompute the running statistics of batch-norm layers as their mean over `batches`.

    The model is run as it is, so put it into training mode. Afterwards, also after an error, the layers have their momentum back. Ranks
    that share out the batches get the means of what they have seen.

    Args:
        model: any model.
        batches: pairs `(args, kwargs)` to call the model with.
        norms: which layers; None: all.
    """
    layers: list[Any] = [m for m in (model.modules() if norms is None else norms) if isinstance(m, BATCH_NORMS) and m.track_running_stats]
    momenta = [m.momentum for m in layers]
    try:
        for m in layers:
            m.reset_running_stats()
            m.momentum = None                       # a plain mean over all batches
        with torch.no_grad():
            for args, kwargs in batches if layers else ():
                model(*args, **kwargs)
        average_norm_statistics(model)
    finally:
        for m, momentum in zip(layers, momenta, strict=True):
            m.momentum = momentum


# -- averaged weights of a model ----------------------------------------------------------------------------------------------------
@dataclass(eq=False)
class WeightAverage:
    """Averages of a model's tensors, and swapping them with the model's own. Half-precision weights are averaged in float32.

    Args:
        buffers: whether floating buffers (batch-norm statistics) are averaged too.

    Attributes:
        values: the averages by name; None before there are any.
        raw: the model's own weights, while the averages are in the model.
        seen: a fingerprint of the weights, as last noted by `note`.
    """

    buffers: bool = True
    values: dict[str, torch.Tensor] | None = None
    raw: list[torch.Tensor] | None = None
    seen: torch.Tensor | None = None

    def _tensors(self, model: nn.Module) -> dict[str, torch.Tensor]:
        return {**dict(model.named_parameters()), **(dict(model.named_buffers()) if self.buffers else {})}

    def start(self, model: nn.Module) -> None:
        "Begin with the present weights. Integers and buffers with infinite entries (attention masks) are not averaged."
        self.values = {n: t.detach().to(torch.float32 if t.dtype.itemsize < 4 else t.dtype, copy=True)
                       for n, t in self._tensors(model).items()
                       if t.is_floating_point() and (isinstance(t, nn.Parameter) or bool(torch.isfinite(t).all()))}

    def current(self, model: nn.Module) -> list[torch.Tensor]:
        "The model's own tensors, in the order of `values`."
        tensors = self._tensors(model)
        return [tensors[n] for n in self.values]

    def belongs_to(self, model: nn.Module) -> bool:
        "Whether names and shapes fit `model`, and its weights are those last noted."
        tensors = self._tensors(model)
        fits = all(n in tensors and tensors[n].shape == v.shape for n, v in self.values.items())
        return fits and (self.seen is None or _same(self.seen, self._fingerprint(model)))

    def align(self, model: nn.Module) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Bring the averages to where the model is, and divide them among ranks as it is; returns the lists (averaged, current), of what
        is divided the rows of this rank."""
        current = self.current(model)
        self.values = {n: sharded_like(v.to(t.device), t) for (n, v), t in zip(self.values.items(), current, strict=True)}
        return locals_of(self.values.values()), locals_of(current)

    def agree(self, model: nn.Module) -> None:
        "Put the averages together, if they are divided among ranks; those of buffers, which each rank has of its own, become the means."
        self.values = whole(self.values)
        own = dict(model.named_buffers())
        mean_over_ranks([v for n, v in (self.values or {}).items() if n in own])

    @torch.no_grad()
    def load_into(self, model: nn.Module) -> None:
        "Copy the averages into the model."
        averaged, current = self.align(model)
        copy_(current, averaged)

    def swap_in(self, model: nn.Module) -> None:
        "Put the averages into the model, and keep its own weights."
        self.raw = [local(t).detach().clone() for t in self.current(model)]
        self.load_into(model)

    @torch.no_grad()
    def swap_out(self, model: nn.Module) -> None:
        "Put the model's own weights back, bit by bit."
        if self.raw is not None:                    # kept until all is back, so that an interruption can be repaired
            copy_(locals_of(self.current(model)), self.raw)
            self.raw = None

    def state(self, model: nn.Module) -> dict[str, torch.Tensor]:
        "Like `model.state_dict()` with the averages in it; what is not averaged is as in the model. Copies."
        names, state = {id(t): n for n, t in self._tensors(model).items()}, model.state_dict(keep_vars=True)
        for name, t in state.items():
            if isinstance(t, torch.Tensor):         # else what a module adds to its state
                state[name] = self.values.get(names.get(id(t), ""), t.detach()).to(t.device, t.dtype, copy=True)
        return state

    def note(self, model: nn.Module) -> None:
        "Remember what the model's weights are now."
        self.seen = self._fingerprint(model)

    @torch.no_grad()
    def _fingerprint(self, model):
        "Of the parameters; buffers of several ranks change once more at the end of a fit."
        return torch.stack([whole(t.double().norm()).cpu() for n, t in model.named_parameters() if n in self.values] or [torch.zeros(())])


def _same(a, b):
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-12, atol=0)


# -- the callbacks ------------------------------------------------------------------------------------------------------------------
class AveragingCallback(RunCallback):
    "What `EMA` and `SWA` share: access to the averages they hold."

    order = Order.DECIDE + 5            # after the schedule, after those that save what was validated or load the best weights
    run_valid = False
    is_history = False
    _average: WeightAverage | None = None
    _model: Callable[[], nn.Module | None] = staticmethod(lambda: None)

    def start_fit(self, is_new: bool) -> None:
        others = [cb for cb in self.learn.cbs if isinstance(cb, AveragingCallback) and cb is not self]
        if others:
            raise ValueError(f"{self!r} and {others[0]!r} would each leave their own average in the model, and the last one would win: "
                             "keep one of them")
        if self._average is not None and self._average.raw is not None:
            raise RuntimeError(f"{self!r}: the model holds averaged weights now, which are not those to train: end the block "
                               "`with ...averaged():` first")
        self._model = weakref.ref(self.learn.model)

    def after_fit(self) -> None:
        if self.active and self._average is not None:
            self._average.agree(self.learn.model)

    def _averaged_model(self) -> nn.Module:
        model = self._model()
        if self._average.values is None or model is None:
            raise RuntimeError(f"{self!r} has no averaged weights yet: they begin with training"
                               + ("" if self._average.values is None else ", and the model they belong to is gone"))
        return model

    def state_dict(self) -> dict[str, Any]:
        "The averages by name (copies), what tells whether the weights were changed since, and the attributes named in `saved`."
        values = self._average.values
        return {"averaged": None if values is None else {n: v.clone() for n, v in values.items()}, "seen": self._average.seen,
                **super().state_dict()}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self._average.values, self._average.seen = state["averaged"], state.get("seen")
        if self.learn is not None:                  # they can be asked for at once, before any training
            self._model = weakref.ref(self.learn.model)

    def averaged_state(self) -> dict[str, torch.Tensor]:
        """The averaged weights as a state dict of the model (copies); what is not averaged is as in the model.

        The model itself is not touched, so that it may be asked for between forward and backward pass, by a mean teacher for example.
        """
        return self._average.state(self._averaged_model())

    def apply(self) -> None:
        "Put the averaged weights into the model for good; its own are lost."
        model = self._averaged_model()
        self._average.load_into(model)
        self._average.raw = None
        self._average.note(model)

    @contextmanager
    def averaged(self) -> "Iterator[AveragingCallback]":
        "Within the block the model has the averaged weights: `with learn.ema.averaged(): learn.get_preds()`."
        model = self._averaged_model()
        inside = self._average.raw is not None
        if not inside:
            self._average.swap_in(model)
        try:
            yield self
        finally:
            if not inside:
                self._average.swap_out(model)


class EMA(AveragingCallback):
    """Keep an exponential moving average of the weights, validate with it, and end with it.

    Parameters and floating buffers (batch-norm statistics) are averaged. The average continues from fit to fit, unless the weights were
    changed in between, for example by `learn.load`: then it starts again. It costs one copy of the weights, and one more in validation.

    Args:
        decay: at each update `average = d * average + (1 - d) * weights`, with d = min(decay, (1 + t) / (10 + t)) at update t.
        start_epoch: the average begins with this epoch.
        every: steps between updates.
        validate: validation, and everything up to the end of `after_epoch` (saving the best model, say), uses the averaged weights.
        load_at_end: after a fit that ended, or was stopped by a callback, the model holds the averaged weights; after an error or
            Ctrl-C it always holds its own.
    """

    shown = ("decay",)
    saved = ("updates", "steps")
    _live: tuple[list, list] | None = None

    def __init__(self, decay: float = 0.999, start_epoch: int = 0, every: int = 1, validate: bool = True, load_at_end: bool = True):
        check_arguments("EMA", decay=(decay, is_number(decay, 0) and decay < 1, "from 0 to below 1, such as 0.999"),
                        start_epoch=(start_epoch, is_whole(start_epoch, 0), "0 or more"),
                        every=(every, is_whole(every), "a whole number of steps, 1 or more"))
        self.decay, self.start_epoch, self.every, self.validate, self.load_at_end = decay, start_epoch, every, validate, load_at_end
        self._average, self.updates, self.steps, self._live = WeightAverage(), 0, 0, None
        self._cast = self._ended = self._skipped = False

    def start_fit(self, is_new: bool) -> None:
        super().start_fit(is_new)
        average = self._average
        if average.values is not None and not average.belongs_to(self.learn.model):
            average.values, self.updates = None, 0
        self._ended = self._skipped = False

    def before_train(self) -> None:
        model, average = self.learn.model, self._average
        if average.values is None and self.learn.epoch >= self.start_epoch:
            average.start(model)
        self._live = None if average.values is None else average.align(model)
        self._cast = self._live is not None and any(a.dtype is not c.dtype for a, c in zip(*self._live, strict=True))

    def after_cancel_step(self) -> None:
        self._skipped = True

    def after_step(self) -> None:
        own = vars(self)
        if own["_live"] is None or own["_skipped"]:
            own["_skipped"] = False
            return
        own["steps"] += 1
        if own["steps"] % own["every"]:
            return
        averaged, current = own["_live"]
        if own["_cast"]:
            current = [c.to(a.dtype) for a, c in zip(averaged, current, strict=True)]
        ema_update(averaged, current, ema_decay(own["updates"], own["decay"]))
        own["updates"] += 1

    def after_train(self) -> None:
        self._live = None
        if self.validate and self._average.values is not None:
            self._average.swap_in(self.learn.model)

    def after_epoch(self) -> None:
        if self.learn.epoch >= self.learn.n_epoch - 1:
            self._end(self.load_at_end)
        else:
            self._average.swap_out(self.learn.model)

    def after_cancel_fit(self) -> None:
        self._end(self.load_at_end)

    def _end(self, load: bool, agreed: bool = True) -> None:
        """Leave the model with the weights it is to keep: before `after_fit`, in which another callback may load the best ones. agreed: all
        ranks do so."""
        if self._ended or self._average.values is None:
            return
        if load:
            self.apply()
        else:
            self._average.swap_out(self.learn.model)
            if agreed or not any(map(is_sharded, self._average.values.values())):        # else it takes all ranks
                self._average.note(self.learn.model)
        self._ended = True

    def cleanup_fit(self) -> None:
        if self.active:
            self._end(load=False, agreed=False)
        self._live = None
        super().cleanup_fit()


class SWA(AveragingCallback):
    """End with the mean of the weights at the end of the last epochs.

    After the last epoch the averaged weights are put into the model, and one pass over the training data recomputes its batch-norm
    statistics. Validation during training uses the current weights: call `learn.validate()` afterwards. After an error or Ctrl-C the
    model keeps its own weights. Source: P. Izmailov et al., 2018.

    Args:
        start: the fraction of training after which averaging begins.
        lr: from `start` on the learning rate (a number, list or slice) moves by a cosine to this value and stays there, whatever the
            schedule says; None leaves the schedule alone.
        anneal_epochs: the length of that cosine, in epochs.
    """

    shown = ("start",)
    saved = ("n_averaged", "start_lr")

    def __init__(self, start: float = 0.75, lr: float | slice | Sequence[float] | None = None, anneal_epochs: float = 1):
        check_arguments("SWA", start=(start, is_number(start, 0) and start < 1,
                                      "the fraction of training after which averaging begins, from 0 to below 1"),
                        anneal_epochs=(anneal_epochs, is_number(anneal_epochs, 0), "a number of epochs, 0 or more"))
        self.start, self.lr, self.anneal_epochs = start, lr, anneal_epochs
        self._average, self.n_averaged = WeightAverage(buffers=False), 0
        self.start_lr: list[float] | None = None

    def start_fit(self, is_new: bool) -> None:
        super().start_fit(is_new)
        learn = self.learn
        self._average.values, self.n_averaged, self.start_lr, self._modes = None, 0, None, []
        self._first = int(self.start * learn.n_epoch)
        if self.lr is not None:
            self._target, self._set_lr = spread(self.lr, layer_group_count(learn.opt)), hyper_setter(learn.opt, "lr")

    def before_batch(self) -> None:
        learn = self.learn
        if self.lr is None or learn.epoch < self._first:
            return
        self.start_lr = self.start_lr or get_hyper(learn.opt, "lr")
        done = learn.start_epoch - self._first + learn.train_iter / learn.n_iter
        progress = min(1.0, done / self.anneal_epochs) if self.anneal_epochs else 1.0
        self._set_lr(SchedCos(self.start_lr, self._target)(progress))

    def after_train(self) -> None:
        model, average = self.learn.model, self._average
        if self.learn.epoch < self._first:
            return
        if average.values is None:
            average.start(model)
        averaged, current = average.align(model)            # the first weights are their own mean, bit by bit
        swa_update(averaged, [c.detach().to(a.dtype) for a, c in zip(averaged, current, strict=True)], self.n_averaged)
        self.n_averaged += 1
        self._modes = [m.training for m in model.modules()]            # frozen norm layers are in evaluation mode

    def after_fit(self) -> None:
        super().after_fit()
        if not self.n_averaged:
            return
        learn, model, dl = self.learn, self.learn.model, self.learn.dls.train
        tensors = locals_of((*model.parameters(), *model.buffers()))
        before = [t.detach().clone() for t in tensors]
        with eval_mode(model):                      # each module gets its mode back
            try:
                self._average.load_into(model)
                for m, training in zip(model.modules(), self._modes, strict=False):      # none before the first epoch of a resumed fit
                    m.training = training
                batches = (split_batch(to_device(b, learn.dls.device), getattr(dl, "n_inp", None))[:2] for b in dl)
                update_norm_statistics(model, batches, [m for m in model.modules() if m.training])
            except BaseException:
                copy_(tensors, before)
                raise
