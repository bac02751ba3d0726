"""`TrackerCallback`: follow one column of the epoch table and know when it is the best so far."""
import math

from ..core.messages import describe, did_you_mean
from .base import Order
from .training_run import RunCallback, new_run


def column_directions(recorder, metrics):
    """`{column: lower is better}` for every column of the epoch table that can be monitored; None where the metric does not say.

    Losses are better low. Nothing is concluded from a name.
    """
    columns = [c for c in recorder.metric_names if c not in ("epoch", "time")]
    known = {"train_loss": True, "valid_loss": True}
    for metric in metrics:
        for prefix in ("", "train_", "valid_"):
            known.setdefault(prefix + metric.name, getattr(metric, "lower_is_better", None))
    return {c: known.get(c) for c in columns}


def lower_wins(comp):
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


def is_better(value, best, lower, min_delta=0.0):
    "Whether `value` improves on `best` (None: nothing so far) by more than `min_delta`. A NaN or infinite value never does."
    if value is None or not math.isfinite(value):
        return False
    if best is None:
        return True
    return value < best - min_delta if lower else value > best + min_delta


class TrackerCallback(RunCallback):
    """Follow the column `monitor` of the epoch table: base of the callbacks that save, stop or slow down by it.

    comp: np.less or np.greater (operator.lt, gt) overrides which direction is better; by default the metric says
    (`lower_is_better`), and losses are better low. min_delta: the least change that counts. reset_on_fit: None: forget the best when
    a new training begins, not between the phases of `fine_tune`; True: at every fit; False: never. After each epoch `new_best` says
    whether it was the best so far; `best` and `best_epoch` (None: there is none yet) which that was. A NaN is never the best.
    """

    order = Order.DECIDE

    def __init__(self, monitor="valid_loss", comp=None, min_delta=0.0, reset_on_fit=None):
        if not isinstance(monitor, str):
            raise TypeError(f"{type(self).__name__}(monitor=...) takes the name of a column of the epoch table, such as 'valid_loss'; "
                            f"received {describe(monitor)}" + (f": write {monitor.__name__!r}" if hasattr(monitor, "__name__") else ""))
        if not isinstance(min_delta, (int, float)) or not 0 <= min_delta < math.inf:
            raise ValueError(f"{type(self).__name__}(min_delta={min_delta!r}): the least change that counts, a number from 0 up, whatever "
                             "the direction")
        self.monitor, self.comp, self.min_delta, self.reset_on_fit = monitor, comp, min_delta, reset_on_fit
        self.lower = None if comp is None else lower_wins(comp)
        self.reset()

    def reset(self):
        "Forget what was best: a new training begins."
        self.best, self.best_epoch, self.new_best = None, None, False
        self.n_seen = 0                             # epochs of this training, over all of its fits

    def begin_fit(self, is_new):
        self._column = self._checked_column()
        if self.reset_on_fit or (is_new and self.reset_on_fit is None):
            self.reset()
        if not self.n_seen:
            self.n_seen = self.learn.start_epoch
        self.new_best = False

    def after_epoch(self) -> None:
        self.value = self.learn.recorder.log[self._column]
        self.value = None if self.value is None else float(self.value)
        self.new_best = is_better(self.value, self.best, self.lower, self.min_delta)
        if self.new_best:
            self.best, self.best_epoch = self.value, self.n_seen
        self.n_seen += 1

    def others(self, kind):
        "The other callbacks of class `kind` on this learner."
        return [cb for cb in self.learn.cbs if isinstance(cb, kind) and cb is not self]

    def _checked_column(self):
        "The place of `monitor` in the recorder's rows; what cannot be monitored is refused before anything is trained."
        who, recorder = type(self).__name__, self.learn.recorder
        if recorder is None:
            raise ValueError(f"{who} reads {self.monitor} from the Recorder, and this learner has none: create it with default_cbs=True, "
                             "or `learn.add_cb(Recorder())`")
        names, directions = recorder.metric_names, column_directions(recorder, self.learn.metrics)
        if self.monitor not in directions:
            hint = did_you_mean(self.monitor, directions) or "."
            raise ValueError(f"{who}(monitor={self.monitor!r}): there is no such column in the epoch table{hint} It has: "
                             f"{', '.join(directions)}")
        if names.count(self.monitor) > 1:
            raise ValueError(f"{who}(monitor={self.monitor!r}): {names.count(self.monitor)} columns have this name. Give one of the "
                             "metrics another, `AvgMetric(f, name='...')`")
        if len(self.learn.dls) < 2 and not self.monitor.startswith("train_"):
            raise ValueError(f"{who}(monitor={self.monitor!r}): this learner has no validation data, so there is nothing to monitor but "
                             f"{', '.join(n for n in directions if n.startswith('train_'))}")
        if self.comp is None:
            self.lower = directions[self.monitor]
            if self.lower is None:
                raise ValueError(f"{who}(monitor={self.monitor!r}): this metric does not say whether lower or higher is better. Write "
                                 f"comp=np.less or comp=np.greater, or set `lower_is_better` on the metric")
        return names.index(self.monitor)

    def state_dict(self) -> dict:
        "What is needed to go on in another process: plain values."
        return {"best": self.best, "best_epoch": self.best_epoch, "n_seen": self.n_seen}

    def load_state_dict(self, state: dict) -> None:
        "Go on from `state_dict`; the fit that follows says so with `start_epoch=`."
        self.best, self.best_epoch, self.n_seen = state["best"], state["best_epoch"], state["n_seen"]
        self.training_run = self.training_run or new_run()       # the fit that follows continues what was loaded


class PatientTracker(TrackerCallback):
    """A tracker that counts, in `wait`, the epochs since the last improvement, and calls `out_of_patience` when there were `patience`.

    The count begins at 0 with every fit, the best does not: unfreezing the body is a new chance. An epoch without the value (validation
    was skipped) does not count.
    """

    def __init__(self, monitor="valid_loss", comp=None, min_delta=0.0, patience=1, reset_on_fit=None):
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
            raise ValueError(f"{type(self).__name__}(patience={patience!r}): how many epochs without improvement to wait, at least 1")
        super().__init__(monitor, comp, min_delta, reset_on_fit)
        self.patience = patience

    def reset(self):
        super().reset()
        self.wait = 0

    def begin_fit(self, is_new):
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

    def out_of_patience(self):
        "There was no improvement for `patience` epochs."

    def state_dict(self) -> dict:
        return {**super().state_dict(), "wait": self.wait}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.wait = state["wait"]
