"""`TrackerCallback`: follow one column of the epoch table and know when it is the best so far."""
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..core.arguments import check_arguments, is_number, is_whole
from ..core.messages import describe, did_you_mean
from .base import Order
from .recorder import Recorder
from .training_run import RunCallback, new_run

if TYPE_CHECKING:
    from ..learner.learner import Learner



def column_directions(recorder: Recorder, metrics: Sequence) -> dict[str, bool | None]:
    """`{column: lower is better}` for every column of the epoch table that can be monitored; None where the metric does not say.

    Losses are better low. Nothing is concluded from a name.
    """
    columns = [c for c in recorder.metric_names if c not in ("epoch", "time")]
    known: dict[str, bool | None] = {"train_loss": True, "valid_loss": True}
    for metric in metrics:
        for prefix in ("", "train_", "valid_"):
            known.setdefault(prefix + metric.name, getattr(metric, "lower_is_better", None))
    return {c: known.get(c) for c in columns}


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


def is_better(value: float | None, best: float | None, lower: bool, min_delta: float = 0.0) -> bool:
    "Whether `value` improves on `best` (None: nothing so far) by more than `min_delta`. A NaN or infinite value never does."
    if value is None or not math.isfinite(value):
        return False
    return best is None or (value < best - min_delta if lower else value > best + min_delta)


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
        self.monitor, self.comp, self.min_delta, self.reset_on_fit = monitor, comp, min_delta, reset_on_fit
        self.lower = None if comp is None else lower_wins(comp)
        self.reset()

    def reset(self) -> None:
        "Forget what was best: a new training starts."
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.new_best, self.n_seen = False, 0

    def begin_fit(self, is_new: bool) -> None:
        self.check_recorder()
        call = f"{type(self).__name__}(monitor={self.monitor!r})"
        self.lower = monitored(self.learn, self.monitor, None if self.comp is None else self.lower, call)
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

    def begin_fit(self, is_new: bool) -> None:
        super().begin_fit(is_new)
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
