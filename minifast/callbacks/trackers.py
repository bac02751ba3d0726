"""Callbacks that act on how training goes: save the best model, stop early, lower the learning rate."""
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from warnings import warn

import numpy as np

from ..core.arguments import check_arguments, is_number, is_whole
from ..core.types import PathLike
from ..optim.groups import get_hyper, set_hyper
from .base import CancelFitException, Order, restore_states, states_of
from .scheduler import ParamScheduler, TorchScheduler, is_torch_scheduler
from .trackers_base import PatientTracker, TrackerCallback
from .training_run import RunCallback, check_folder


class SaveModelCallback(TrackerCallback):
    """Save the model whenever `monitor` is the best so far, and load the best when training ends, also when it ends early.

    Over the phases of one `fine_tune` there is one best. Only what this callback saved in this training is ever loaded; after an error
    nothing is.

    Args:
        monitor, comp, min_delta, reset_on_fit: see `TrackerCallback`.
        fname: file in `path/model_dir`, without a suffix.
        every_epoch: True, or n: instead save every epoch (every n-th) as `fname_0`, `fname_1` ..., and load nothing.
        at_end: also save the last weights, as `fname_end`.
        with_opt: save the optimizer's state too.

    Attributes:
        file: the best model so far; None before anything was saved.
    """

    order = Order.DECIDE + 1

    def __init__(self, monitor: str = "valid_loss", comp: Callable | None = None, min_delta: float = 0.0, fname: PathLike = "model",
                 every_epoch: bool | int = False, at_end: bool = False, with_opt: bool = False, reset_on_fit: bool | None = None):
        named = isinstance(fname, (str, Path)) and Path(fname).name and Path(fname).suffix not in (".pth", ".pt", ".pkl")
        check_arguments("SaveModelCallback",
                        every_epoch=(every_epoch, isinstance(every_epoch, bool) or is_whole(every_epoch, 0),
                                     "True, False, or n to save every n-th epoch"),
                        fname=(fname, named, "a file name without a suffix, such as 'model'; weights are saved as safetensors"))
        fname = Path(fname)
        self.fname = str(fname.with_suffix("") if fname.suffix == ".safetensors" else fname)
        self.every_epoch, self.at_end, self.with_opt = every_epoch, at_end, with_opt
        super().__init__(monitor, comp, min_delta, reset_on_fit)

    def reset(self) -> None:
        super().reset()
        self.file: Path | None = None
        self._stamp: tuple | None = None

    def begin_fit(self, is_new: bool) -> None:
        super().begin_fit(is_new)
        if any(isinstance(cb, SaveModelCallback) and cb.fname == self.fname and cb is not self for cb in self.learn.cbs):
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

    def _load_best(self) -> None:
        if self.file is None:
            warn(f"SaveModelCallback saved nothing, because {self.monitor} was never a finite number at the end of an epoch: the model is "
                 "as training left it", stacklevel=2)
        elif self._stamp is None or _stamp(self.file) != self._stamp:
            warn(f"{self.file} was changed or removed since SaveModelCallback saved the best model to it (do two runs "
                 "share it?), so it is not loaded: the model is as training left it", stacklevel=2)
        else:
            histories = [cb for cb in self.learn.cbs if isinstance(cb, RunCallback) and cb.is_history]
            states = states_of(histories)           # a file with the optimizer also has the states of callbacks
            self.learn.load(self.fname, with_opt=self.with_opt)
            restore_states(histories, states)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "file": self.file and str(self.file)}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.file = None if state["file"] is None else Path(state["file"])
        self._stamp = None if self.file is None else _stamp(self.file)


def _stamp(file: Path) -> tuple | None:
    "What tells one version of a file from another; None if there is no file."
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


class EarlyStoppingCallback(PatientTracker):
    """Stop training when `monitor` has not improved by more than `min_delta` for `patience` epochs.

    The weights are those of the last epoch: for the best ones add `SaveModelCallback`.

    Args:
        monitor, comp, min_delta, reset_on_fit: see `TrackerCallback`.
        patience: number of epochs.

    Attributes:
        stopped: the epoch after which it stopped; None if it did not.
    """

    order = Order.DISPLAY + 10           # after all others: it ends the epoch for those that come later

    def __init__(self, monitor: str = "valid_loss", comp: Callable | None = None, min_delta: float = 0.0, patience: int = 1,
                 reset_on_fit: bool | None = None):
        super().__init__(monitor, comp, min_delta, patience, reset_on_fit)
        self.stopped: int | None = None
        self._warned = False

    def begin_fit(self, is_new: bool) -> None:
        super().begin_fit(is_new)
        self.stopped = None
        schedules = [cb.scheds["lr"] for cb in self.learn.cbs if isinstance(cb, ParamScheduler) and "lr" in cb.scheds]
        needed = max((patience_for(schedule, self.learn.n_epoch) for schedule in schedules), default=0)
        if self.patience < needed and not self._warned:
            self._warned = True
            warn(f"EarlyStoppingCallback(patience={self.patience}) with a schedule that raises the learning rate: while it is high, "
                 f"{self.monitor} often does not improve, and training would stop before the rate falls again. Use patience={needed} or "
                 "more, or fit_flat_cos, whose rate only falls", stacklevel=2)

    def out_of_patience(self) -> None:
        self.stopped = self.learn.epoch
        raise CancelFitException


def patience_for(schedule: Callable, n_epoch: int) -> int:
    """The least sensible patience, in epochs, under a learning-rate schedule (a function of progress, 0 to 1).

    0 if the rate never rises, otherwise the time it spends above half of its peak.
    """
    rates = np.array([np.atleast_1d(schedule(i / 100))[-1] for i in range(100)], dtype=float)
    rises = (rates > 2 * np.minimum.accumulate(rates)).any()
    return math.ceil(n_epoch * (rates > rates.max() / 2).sum() / 100) if rises else 0


class Reduction(NamedTuple):
    "At the end of `epoch` the learning rate (of the last layer group) was lowered from `before` to `after`."
    epoch: int
    before: float
    after: float


class ReduceLROnPlateau(PatientTracker):
    """Divide the learning rate of every layer group by `factor` when `monitor` has not improved for `patience` epochs.

    The lower rate holds for this fit only. A learning-rate schedule beside it is refused: it would overwrite the rate.

    Args:
        monitor, comp, min_delta, reset_on_fit: see `TrackerCallback`.
        patience: number of epochs.
        factor: what the rate is divided by, above 1.
        min_lr: the lowest learning rate.

    Attributes:
        reductions: a `Reduction` for each time the rate was lowered.
    """

    order = Order.DECIDE + 2
    saved = (*PatientTracker.saved, "reductions")
    _expected: list[float] | None = None

    def __init__(self, monitor: str = "valid_loss", comp: Callable | None = None, min_delta: float = 0.0, patience: int = 1,
                 factor: float = 10.0, min_lr: float = 0, reset_on_fit: bool | None = None):
        inverse = f": write factor={1 / factor:g}" if isinstance(factor, float) and 0 < factor < 1 else ""
        check_arguments("ReduceLROnPlateau",
                        factor=(factor, is_number(factor) and factor > 1,
                                f"the learning rate is divided by factor, so it must be above 1{inverse}"),
                        min_lr=(min_lr, is_number(min_lr, 0), "the lowest learning rate, a number from 0 up"))
        self.factor, self.min_lr = factor, min_lr
        super().__init__(monitor, comp, min_delta, patience, reset_on_fit)

    def reset(self) -> None:
        super().reset()
        self.reductions: list[Reduction] = []

    def begin_fit(self, is_new: bool) -> None:
        super().begin_fit(is_new)
        self._expected, self._warned = None, False
        for cb in self.learn.cbs:
            scheduled = isinstance(cb, ParamScheduler) and "lr" in cb.scheds
            if scheduled or isinstance(cb, TorchScheduler) or any(map(is_torch_scheduler, vars(cb).values())):
                rival = ("a learning-rate schedule (fit_one_cycle, fit_flat_cos, fit_sgdr and fine_tune have one)" if scheduled else
                         f"a scheduler of torch ({cb!r})")
                raise ValueError(f"ReduceLROnPlateau together with {rival}: the schedule sets the learning rate again at every batch, so "
                                 "lowering it would have no effect. Use it with fit(), whose learning rate is constant, or leave it out")

    def after_epoch(self) -> None:
        if self._expected is not None and self._rates() != self._expected and not self._warned:
            self._warned = True
            warn(f"something else has set the learning rate to {self._rates()[-1]:.3g} after ReduceLROnPlateau lowered it to "
                 f"{self._expected[-1]:.3g}: one of the two has no effect", stacklevel=2)
        super().after_epoch()

    def out_of_patience(self) -> None:
        self.wait = 0
        before = self._rates()
        set_hyper(self.learn.opt, "lr", [max(rate / self.factor, min(self.min_lr, rate)) for rate in before])
        after = self._expected = self._rates()
        if after != before:
            self.reductions.append(Reduction(self.n_seen - 1, before[-1], after[-1]))

    def _rates(self) -> list[float]:
        return [float(rate) for rate in get_hyper(self.learn.opt, "lr")]

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.reductions = [Reduction(*r) for r in self.reductions]       # they were stored as plain tuples
