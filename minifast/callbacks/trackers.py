"""Callbacks that act on how training goes: save the best model, stop early, lower the learning rate. `TrackerCallback`, their base,
follows one column of the epoch table and knows when it is the best so far."""
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from warnings import warn

import numpy as np

from ..core import PathLike, check_arguments, describe, did_you_mean, is_number, is_whole
from ..core.paths import Path
from ..core.ranks import shared
from ..optim.groups import get_hyper, set_hyper
from .base import CancelFitException, Learner, Order, restore_states, states_of
from .recorder import Recorder
from .scheduler import LRScheduler, ParamScheduler, TorchScheduler
from .training_run import RunCallback, check_folder, new_run


def column_directions(recorder: Recorder, metrics: Sequence) -> dict[str, bool | None]:
    """`{column: lower is better}` for every column of the epoch table that can be monitored; None where the metric does not say.

    Losses are better low. Nothing is concluded from a name.
    """
    known = {prefix + metric.name: getattr(metric, "lower_is_better", None)
             for metric in reversed(metrics) for prefix in ("", "train_", "valid_")}        # of two with one name the first counts
    return {c: c in ("train_loss", "valid_loss") or known.get(c) for c in recorder.metric_names if c not in ("epoch", "time")}


def lower_wins(comp: Callable) -> bool:
    "Whether `comp(new, best)` (np.less, operator.gt ...) says that lower values are better; refuses a function that says neither."
    try:
        down, up = bool(comp(0.0, 1.0)), bool(comp(1.0, 0.0))
    except Exception as e:                          # whatever a function raises that does not compare two numbers
        raise TypeError(f"comp compares two numbers, (new, best) -> bool, such as np.less or np.greater; {describe(comp)} raised "
                        f"{type(e).__name__}: {e}") from e
    if down == up:
        raise ValueError(f"comp={describe(comp)} says {down} both for (0, 1) and for (1, 0), so it cannot tell which is better: use "
                         "np.less (lower is better) or np.greater")
    return down


def known_direction(monitor: str, comp: Callable | None) -> bool | None:
    "Whether lower values of the column `monitor` are better, as far as that is known without a learner: by `comp`, or of a loss."
    if comp is not None:
        return lower_wins(comp)
    return True if monitor in ("train_loss", "valid_loss") else None


def is_better(value: float | None, best: float | None, lower: bool, min_delta: float = 0.0) -> bool:
    "Whether `value` improves on `best` (None: nothing so far) by more than `min_delta`. A NaN or infinite value never does."
    return (value is not None and math.isfinite(value)
            and (best is None or (value < best - min_delta if lower else value > best + min_delta)))


def monitored(learn: "Learner", monitor: str, lower: bool | None, call: str) -> bool:
    """Whether lower values of the column `monitor` are better; refuses a column that cannot be monitored.

    Args:
        learn: a learner with a recorder.
        monitor: name of the column of its epoch table.
        lower: what the user says; None: what the metric says.
        call: what was called, for messages.
    """
    names, directions = learn.recorder.metric_names, column_directions(learn.recorder, learn.metrics)
    if monitor not in directions:
        raise ValueError(f"{call}: there is no such column in the epoch table{did_you_mean(monitor, directions) or '.'} It has: "
                         f"{', '.join(directions)}")
    if names.count(monitor) > 1:
        raise ValueError(f"{call}: {names.count(monitor)} columns have this name. Give one of the metrics another, "
                         "`AvgMetric(f, name='...')`")
    if len(learn.dls) < 2 and not monitor.startswith("train_"):
        raise ValueError(f"{call}: this learner has no validation data, so there is nothing to monitor but "
                         f"{', '.join(n for n in directions if n.startswith('train_'))}")
    lower = directions[monitor] if lower is None else lower
    if lower is None:
        raise ValueError(f"{call}: this metric does not say whether lower or higher is better. Write comp=np.less or comp=np.greater, or "
                         "set `lower_is_better` on the metric")
    return lower


class TrackerCallback(RunCallback):
    """Follow a column of the epoch table: base of the callbacks that save, stop or slow down by it. A NaN is never the best.

    Args:
        monitor: name of the column.
        comp: np.less or np.greater (operator.lt, gt), where they override what the metric says (`lower_is_better`); losses are better
            low.
        min_delta: the smallest change that counts.
        reset_on_fit: when to forget the best. None: when a new training starts, but not between the phases of `fine_tune`; True: at
            every fit; False: never.

    Attributes:
        new_best: whether the latest epoch was the best so far.
        best, best_epoch: value and epoch of the best; None before the first.
        n_seen: epochs of this training, over all of its fits.
    """

    order: int = Order.DECIDE
    saved: tuple[str, ...] = ("best", "best_epoch", "n_seen")

    def __init__(self, monitor: str = "valid_loss", comp: Callable | None = None, min_delta: float = 0.0,
                 reset_on_fit: bool | None = None):
        who = type(self).__name__
        if not isinstance(monitor, str):
            raise TypeError(f"{who}(monitor=...) takes the name of a column of the epoch table, such as 'valid_loss'; "
                            f"received {describe(monitor)}" + (f": write {monitor.__name__!r}" if hasattr(monitor, "__name__") else ""))
        check_arguments(who, min_delta=(min_delta, is_number(min_delta, 0) and min_delta < math.inf,
                                        "the smallest change that counts, a number from 0 up, whatever the direction"))
        self.monitor, self._comp, self.min_delta, self.reset_on_fit = monitor, comp, min_delta, reset_on_fit
        self.lower = known_direction(monitor, comp)
        self.reset()

    @property
    def comp(self) -> Callable | None:
        "`comp(new, best)`: as given, or np.less or np.greater; None before the first fit where only the metric says which."
        return self._comp or (None if self.lower is None else np.less if self.lower else np.greater)

    def reset(self) -> None:
        "Forget what was best: a new training starts."
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.new_best, self.n_seen = False, 0

    def start_fit(self, is_new: bool) -> None:
        self.check_recorder()
        call = f"{type(self).__name__}(monitor={self.monitor!r})"
        self.lower = monitored(self.learn, self.monitor, None if self._comp is None else self.lower, call)
        self._column = self.learn.recorder.metric_names.index(self.monitor)
        if self.reset_on_fit or (is_new and self.reset_on_fit is None):
            self.reset()
        self.n_seen = self.n_seen or self.learn.start_epoch
        self.new_best = False

    def after_epoch(self) -> None:
        value = self.learn.recorder.log[self._column]
        self.value = None if value is None else float(value)
        self.new_best = is_better(self.value, self.best, self.lower, self.min_delta)
        if self.new_best:
            self.best, self.best_epoch = self.value, self.n_seen
        self.n_seen += 1

    def load_state_dict(self, state: dict) -> None:
        "Continue from `state_dict`; the next fit is given `start_epoch=`."
        super().load_state_dict(state)
        self.training_run = self.training_run or new_run()       # so that the next fit continues what was loaded


class PatientTracker(TrackerCallback):
    """A tracker that calls `out_of_patience` after `patience` epochs without improvement; `wait` counts them.

    The count starts at 0 with every fit, the best does not: unfreezing the body is a new chance. An epoch without the value (validation
    was skipped) does not count.

    Args:
        monitor, comp, min_delta, reset_on_fit: see `TrackerCallback`.
        patience: number of epochs.
    """

    saved = (*TrackerCallback.saved, "wait")

    def __init__(self, monitor: str = "valid_loss", comp: Callable | None = None, min_delta: float = 0.0, patience: int = 1,
                 reset_on_fit: bool | None = None):
        check_arguments(type(self).__name__, patience=(patience, is_whole(patience),
                                                       "how many epochs without improvement to wait, at least 1"))
        super().__init__(monitor, comp, min_delta, reset_on_fit)
        self.patience = patience

    def reset(self) -> None:
        super().reset()
        self.wait = 0

    def start_fit(self, is_new: bool) -> None:
        super().start_fit(is_new)
        if not self.learn.start_epoch:
            self.wait = 0

    def after_epoch(self) -> None:
        super().after_epoch()
        if self.new_best:
            self.wait = 0
        elif self.value is not None:
            self.wait += 1
            if self.wait >= self.patience:
                self.out_of_patience()

    def out_of_patience(self) -> None:
        "There was no improvement for `patience` epochs."


class SaveModelCallback(TrackerCallback):
    """Save the model whenever `monitor` is the best so far, and load the best when training ends, also when it ends early.

    Over the phases of one `fine_tune` there is one best. Only what this callback saved in this training is ever loaded; after an error
    nothing is.

    Args:
        monitor, comp, min_delta, reset_on_fit: see `TrackerCallback`.
        fname: file in `path/model_dir`, without a suffix (it is written as safetensors, and read by `learn.load(fname)`).
        every_epoch: True, or n: instead save every epoch (every n-th) as `fname_0`, `fname_1` ..., and load nothing.
        at_end: also save the last weights, as `fname_end`.
        with_opt: save the optimizer's state too.

    Attributes:
        file: the best model so far; None before anything was saved.
    """

    order = Order.DECIDE + 1

    def __init__(self, monitor: str = "valid_loss", comp: Callable | None = None, min_delta: float = 0.0, fname: PathLike = "model",
                 every_epoch: bool | int = False, at_end: bool = False, with_opt: bool = False, reset_on_fit: bool | None = None):
        named = isinstance(fname, (str, Path)) and Path(fname).name and Path(fname).suffix != ".pkl"
        check_arguments("SaveModelCallback",
                        every_epoch=(every_epoch, isinstance(every_epoch, bool) or is_whole(every_epoch, 0),
                                     "True, False, or n to save every n-th epoch"),
                        fname=(fname, named, "a file name without a suffix, such as 'model'; weights are saved as safetensors"))
        fname = Path(fname).expanduser()
        self.fname = str(fname.with_suffix("") if fname.suffix in (".safetensors", ".pth", ".pt") else fname)
        self.every_epoch, self.at_end, self.with_opt = every_epoch, at_end, with_opt
        super().__init__(monitor, comp, min_delta, reset_on_fit)

    def reset(self) -> None:
        super().reset()
        self.file: Path | None = None
        self._stamp: tuple | None = None

    def start_fit(self, is_new: bool) -> None:
        super().start_fit(is_new)
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
            self._stamp = shared(_stamp(self.file))         # that of rank 0, which wrote it

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
        elif shared(self._stamp is None or _stamp(self.file) != self._stamp):
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
        self._stamp = None if self.file is None else shared(_stamp(self.file))


def _stamp(file: Path) -> tuple | None:
    "What tells one version of a file from another; None if there is no file."
    stat = file.stat() if file.exists() else None
    return stat and (stat.st_ino, stat.st_size, stat.st_mtime_ns)


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

    def start_fit(self, is_new: bool) -> None:
        super().start_fit(is_new)
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

    The lower rate holds for this fit only. Beside a learning-rate schedule, which would overwrite the rate, it warns and does nothing.

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

    def start_fit(self, is_new: bool) -> None:
        super().start_fit(is_new)
        self._expected, self._warned, self._idle = None, False, False
        for cb in self.learn.cbs:
            scheduled = isinstance(cb, ParamScheduler) and "lr" in cb.scheds
            if scheduled or isinstance(cb, TorchScheduler) or any(isinstance(o, LRScheduler) for o in vars(cb).values()):
                rival = ("a learning-rate schedule (fit_one_cycle, fit_flat_cos, fit_sgdr and fine_tune have one)" if scheduled else
                         f"a scheduler of torch ({cb!r})")
                warn(f"ReduceLROnPlateau together with {rival} does nothing: the schedule sets the learning rate again at every batch, so "
                     "lowering it would have no effect. Use it with fit(), whose learning rate is constant, or leave it out", stacklevel=2)
                self._idle = True
                break

    def after_epoch(self) -> None:
        if self._expected is not None and self._rates() != self._expected and not self._warned:
            self._warned = True
            warn(f"something else has set the learning rate to {self._rates()[-1]:.3g} after ReduceLROnPlateau lowered it to "
                 f"{self._expected[-1]:.3g}: one of the two has no effect", stacklevel=2)
        super().after_epoch()

    def out_of_patience(self) -> None:
        self.wait = 0
        if self._idle:
            return
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
