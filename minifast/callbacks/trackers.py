"""Callbacks that act on how training goes: save the best, stop early, lower the learning rate."""
import math
import os
from pathlib import Path
from typing import NamedTuple
from warnings import warn

import torch

from .base import CancelFitException, Order
from .scheduler import ParamScheduler, TorchScheduler, is_torch_scheduler
from .trackers_base import PatientTracker, TrackerCallback
from .training_run import RunCallback, check_folder


class SaveModelCallback(TrackerCallback):
    """Save the model whenever `monitor` is the best so far, and put the best back when training ends, also when it ends early.

    fname: file in `path/model_dir`. every_epoch: True, or n: instead save every epoch (every n-th) as `fname_0`, `fname_1` ..., and
    load nothing. at_end: also save the last weights, as `fname_end`. with_opt: with the optimizer's state. monitor, comp, min_delta,
    reset_on_fit: see `TrackerCallback`. Over the phases of one `fine_tune` there is one best. Only what this callback saved in this
    training is ever loaded; after an error nothing is. `file` is the best one (None: nothing was saved).
    """

    order = Order.DECIDE + 1

    def __init__(self, monitor="valid_loss", comp=None, min_delta=0.0, fname="model", every_epoch=False, at_end=False, with_opt=False,
                 reset_on_fit=None):
        if not isinstance(every_epoch, (bool, int)) or every_epoch < 0:
            raise ValueError(f"SaveModelCallback(every_epoch={every_epoch!r}): True, False, or n to save every n-th epoch")
        if not isinstance(fname, (str, Path)) or not Path(fname).name or Path(fname).suffix in (".pth", ".pt", ".pkl"):
            raise ValueError(f"SaveModelCallback(fname={fname!r}): a file name without a suffix, such as 'model'; weights are saved as "
                             "safetensors")
        fname = Path(fname)
        self.fname = str(fname.with_suffix("") if fname.suffix == ".safetensors" else fname)
        self.every_epoch, self.at_end, self.with_opt = every_epoch, at_end, with_opt
        super().__init__(monitor, comp, min_delta, reset_on_fit)

    def reset(self):
        super().reset()
        self.file, self._stamp = None, None

    def begin_fit(self, is_new):
        super().begin_fit(is_new)
        if any(cb.fname == self.fname for cb in self.others(SaveModelCallback)):
            raise ValueError(f"two SaveModelCallbacks save to {self.fname!r}, and each would overwrite the best of the other: give one of "
                             f"them another fname, such as fname='{self.fname}_{self.monitor}'")
        check_folder((self.learn.path / self.learn.model_dir / self.fname).parent, "SaveModelCallback")

    def after_epoch(self) -> None:
        number = self.n_seen
        super().after_epoch()
        if self.every_epoch:
            if number % int(self.every_epoch) == 0:
                self.learn.save(f"{self.fname}_{number}", with_opt=self.with_opt)
        elif self.new_best:
            self.file = self.learn.save(self.fname, with_opt=self.with_opt)
            self._stamp = _stamp(self.file)

    def after_fit(self) -> None:
        if not self.active:                         # another callback cancelled the fit before this one had begun
            return
        if self.at_end:
            self.learn.save(f"{self.fname}_end", with_opt=self.with_opt)
        if not self.every_epoch:
            self._load_best()

    def _load_best(self):
        if self.file is None:
            warn(f"SaveModelCallback saved nothing, because {self.monitor} was never a finite number at the end of an epoch: the model is "
                 "as training left it", stacklevel=2)
        elif self._stamp is None or _stamp(self.file) != self._stamp:
            warn(f"{self.file} was changed or removed by somebody else since SaveModelCallback saved the best model to it (do two runs "
                 "share it?), so it is not loaded: the model is as training left it", stacklevel=2)
        else:
            histories = [(cb, cb.state_dict()) for cb in self.learn.cbs if isinstance(cb, RunCallback) and hasattr(cb, "state_dict")]
            self.learn.load(self.fname, with_opt=self.with_opt)
            for cb, state in histories:             # a file with the optimizer also has the states of callbacks
                cb.load_state_dict(state)

    def state_dict(self) -> dict:
        return {**super().state_dict(), "file": None if self.file is None else str(self.file)}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.file = None if state["file"] is None else Path(state["file"])
        self._stamp = None if self.file is None else _stamp(self.file)


def _stamp(file):
    "What tells one version of a file from another; None if there is no file."
    try:
        stat = os.stat(file)
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


class EarlyStoppingCallback(PatientTracker):
    """Stop training when `monitor` has not improved by more than `min_delta` for `patience` epochs. `stopped` says after which (None:
    it did not stop). The weights are those of the last epoch: for the best ones add `SaveModelCallback`. monitor, comp, min_delta,
    reset_on_fit: see `TrackerCallback`."""

    order = Order.DISPLAY + 10           # after everybody: it ends the epoch for those that come later

    def __init__(self, monitor="valid_loss", comp=None, min_delta=0.0, patience=1, reset_on_fit=None):
        super().__init__(monitor, comp, min_delta, patience, reset_on_fit)
        self.stopped, self._warned = None, False

    def begin_fit(self, is_new):
        super().begin_fit(is_new)
        self.stopped = None
        needed = max((patience_for(sched, self.learn.n_epoch) for sched in _lr_schedules(self.learn)), default=0)
        if self.patience < needed and not self._warned:
            self._warned = True
            warn(f"EarlyStoppingCallback(patience={self.patience}) with a schedule that raises the learning rate: while it is high, "
                 f"{self.monitor} often does not improve, and training would stop before the rate falls again. Use patience={needed} or "
                 "more, or fit_flat_cos, whose rate only falls", stacklevel=2)

    def out_of_patience(self):
        self.stopped = self.learn.epoch
        raise CancelFitException


def patience_for(schedule, n_epoch):
    """The least sensible patience, in epochs, under a learning-rate schedule (a function of progress 0..1): 0 if it never rises, else
    the time it spends above half of its peak."""
    rates = [_last(schedule(i / 100)) for i in range(100)]
    lowest, rises = math.inf, False
    for rate in rates:
        lowest = min(lowest, rate)
        rises = rises or rate > 2 * lowest
    high = sum(rate > max(rates) / 2 for rate in rates)
    return math.ceil(n_epoch * high / 100) if rises else 0


def _last(value):
    return float(value[-1] if hasattr(value, "__len__") else value)


def _lr_schedules(learn):
    return [cb.scheds["lr"] for cb in learn.cbs if isinstance(cb, ParamScheduler) and "lr" in cb.scheds]


class Reduction(NamedTuple):
    "That the learning rate (of the last layer group) was lowered from `before` to `after` at the end of `epoch`."
    epoch: int
    before: float
    after: float


class ReduceLROnPlateau(PatientTracker):
    """Divide the learning rate of every layer group by `factor`, down to `min_lr`, when `monitor` has not improved by more than
    `min_delta` for `patience` epochs. `reductions` lists what it did. The lower rate holds for this fit only. monitor, comp, min_delta,
    reset_on_fit: see `TrackerCallback`. A learning-rate schedule beside it is refused: it would overwrite the rate."""

    order = Order.DECIDE + 2

    def __init__(self, monitor="valid_loss", comp=None, min_delta=0.0, patience=1, factor=10.0, min_lr=0, reset_on_fit=None):
        if not isinstance(factor, (int, float)) or not factor > 1:
            raise ValueError(f"ReduceLROnPlateau(factor={factor!r}): the learning rate is divided by factor, so it must be above 1"
                             + (f": write factor={1 / factor:g}" if isinstance(factor, float) and 0 < factor < 1 else ""))
        if not isinstance(min_lr, (int, float)) or min_lr < 0:
            raise ValueError(f"ReduceLROnPlateau(min_lr={min_lr!r}): the lowest learning rate, a number from 0 up")
        self.factor, self.min_lr = factor, min_lr
        super().__init__(monitor, comp, min_delta, patience, reset_on_fit)

    def reset(self):
        super().reset()
        self.reductions = []

    def begin_fit(self, is_new):
        super().begin_fit(is_new)
        self._expected, self._warned = None, False
        if rival := _who_schedules(self.learn):
            raise ValueError(f"ReduceLROnPlateau together with {rival}: the schedule sets the learning rate anew at every batch, so that "
                             "lowering it would have no effect. Use it with fit(), whose learning rate is constant, or leave it out")

    def after_epoch(self) -> None:
        if self._expected is not None and self._rates() != self._expected and not self._warned:
            self._warned = True
            warn(f"something else has set the learning rate to {self._rates()[-1]:.3g} after ReduceLROnPlateau lowered it to "
                 f"{self._expected[-1]:.3g}: one of the two is without effect", stacklevel=2)
        super().after_epoch()

    def out_of_patience(self):
        self.wait = 0
        before = self._rates()
        for group in self.learn.opt.param_groups:
            rate = max(float(group["lr"]) / self.factor, min(self.min_lr, float(group["lr"])))
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        after = self._expected = self._rates()
        if after != before:
            self.reductions.append(Reduction(self.n_seen - 1, before[-1], after[-1]))

    def _rates(self):
        return [float(group["lr"]) for group in self.learn.opt.param_groups]

    def state_dict(self) -> dict:
        return {**super().state_dict(), "reductions": [list(r) for r in self.reductions]}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.reductions = [Reduction(*r) for r in state["reductions"]]


def _who_schedules(learn):
    "A phrase for the callback that moves the learning rate during training; None if there is none."
    for cb in learn.cbs:
        if isinstance(cb, ParamScheduler) and "lr" in cb.scheds:
            return "a learning-rate schedule (fit_one_cycle, fit_flat_cos, fit_sgdr and fine_tune have one)"
        if isinstance(cb, TorchScheduler) or any(map(is_torch_scheduler, vars(cb).values())):
            return f"a scheduler of torch ({cb!r})"
    return None
