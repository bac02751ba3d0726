"""Random search: train with hyper-parameters drawn at random, one line of a CSV file per trial, and see which matter.

Source: J. Bergstra, Y. Bengio, "Random Search for Hyper-Parameter Optimization", 2012.
"""
import gc
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..callbacks.trackers import lower_wins, monitored
from ..core.arguments import check_arguments, is_whole
from ..core.messages import add_note, describe, plural
from ..core.seeds import fixed_seed, item_rng
from ..core.types import PathLike
from ..learner.learner import Learner
from .search_trials import FIXED_COLUMNS, Range, SearchResult, Trial, TrialFile, choice, loguniform, randint, trial_params, uniform

__all__ = ["SearchResult", "Trial", "choice", "loguniform", "randint", "random_search", "trial_params", "uniform"]

#: This many failures at the beginning, without one success, are a mistake in the call.
GIVE_UP_AFTER = 3


def random_search(learner_fn: Callable[[dict[str, Any]], Learner], space: Mapping[str, Any], n: int = 20, *,
                  fit: Callable[[Learner, dict[str, Any]], Any], monitor: str = "valid_loss",
                  comp: Callable[[float, float], bool] | None = None, seed: int = 42, csv: PathLike | None = "search.csv",
                  retry_failed: bool = False) -> SearchResult:
    """Train `n` learners, each with parameters drawn from `space`.

    A trial that fails is written down with its error. Ctrl-C loses the running trial only; the same call resumes from `csv`, also with a
    larger `n`, and a file of another space or seed is refused.

    Args:
        learner_fn: `learner_fn(params)` returns a new Learner for the dict of a trial.
        space: `{name: loguniform(lo, hi) | uniform(lo, hi) | randint(lo, hi) | choice([...])}`.
        n: number of trials.
        fit: `fit(learn, params)` trains it.
        monitor: the column of the epoch table that is to be best at the end of the training.
        comp: np.less or np.greater, where the metric does not say which is better.
        seed: of the draws and the trainings.
        csv: where each trial is written once it is done; None: nowhere.
        retry_failed: run failed trials of the file again.

    Source: J. Bergstra, Y. Bengio, "Random Search for Hyper-Parameter Optimization", 2012.
    """
    search = _Search(space, n, monitor, comp, seed, csv)
    trials = [t for t in search.file.read() if not (retry_failed and t.error)]
    for i in sorted(set(range(n)) - {t.number for t in trials}):
        try:
            trials = sorted([*trials, search.run(learner_fn, fit, i)], key=lambda t: t.number)
        except KeyboardInterrupt as e:
            if csv is not None and trials:
                add_note(e, f"{plural(len(trials), 'trial')} are in {csv}: the same call resumes from there")
            raise
        search.file.write(trials, search.lower, monitor)
        search.give_up_on(trials)
    return SearchResult(trials, space, monitor, search.direction(trials), csv)


class _Search:
    def __init__(self, space: Mapping[str, Any], n: int, monitor: str, comp: Callable | None, seed: int, csv: PathLike | None):
        if not isinstance(space, dict) or not space:
            raise TypeError(f"space is a dict such as {{'lr': loguniform(1e-4, 1e-1)}}; received {describe(space)}")
        odd = [f"{k}={describe(v)}" for k, v in space.items() if not isinstance(v, (Range, choice)) or not isinstance(k, str)]
        if odd:
            raise TypeError(f"space: {', '.join(odd)}: each is a name with loguniform, uniform, randint or choice([...]). What is the "
                            "same in all trials belongs in learner_fn")
        taken = [k for k in space if k in (*FIXED_COLUMNS, "epoch", "time", "fit") or k.endswith("_loss")]
        if taken:
            raise ValueError(f"space: {taken[0]!r} is a column of its own in the table of trials: use another name")
        check_arguments("random_search", n=(n, is_whole(n), "how many trials, a whole number from 1"),
                        seed=(seed, is_whole(seed, 0), "what a resumed search draws from, a whole number from 0"))
        self.space, self.monitor, self.seed = space, monitor, seed
        self.exception: Exception | None = None
        self.file = TrialFile(None if csv is None else Path(csv), space, seed)
        self.lower = lower_wins(comp) if comp is not None else True if monitor in ("train_loss", "valid_loss") else None

    def direction(self, trials: list[Trial]) -> bool | None:
        "Whether lower is better: what was asked, what a trial told, what the file says; None where no trial has a value."
        if self.lower is None and self.file.goal[1:] == (self.monitor,):
            self.lower = self.file.goal[0] == "lower"
        if self.lower is None and not all(t.error for t in trials):
            raise ValueError(f"random_search(monitor={self.monitor!r}): the trials in the file do not say whether lower or higher wins: "
                             "write comp=np.less or comp=np.greater")
        return self.lower

    def run(self, learner_fn: Callable, fit: Callable, i: int) -> Trial:
        trial = Trial(i, trial_params(self.space, self.seed, i), int(item_rng(self.seed, i).integers(2**31)))
        start, learn = time.perf_counter(), None
        with fixed_seed(trial.seed):
            try:
                learn = learner_fn(dict(trial.params))
            except Exception as e:
                self._failed(trial, e)
            else:
                self._check(learn)
                try:
                    fit(learn, dict(trial.params))
                    trial.values = self._values(learn)
                except Exception as e:
                    self._failed(trial, e)
        trial.seconds, learn = round(time.perf_counter() - start, 3), None
        gc.collect()                                # models refer to themselves in circles: make room before the next
        return trial

    def _failed(self, trial: Trial, e: Exception) -> None:
        where = traceback.extract_tb(e.__traceback__)[-1]
        trial.error = f"{type(e).__name__}: {e} ({Path(where.filename).name}, line {where.lineno})"
        self.exception = e.with_traceback(None)     # a traceback would keep the model alive

    def _check(self, learn: Any) -> None:
        "Raise what is wrong in every trial, instead of writing it down."
        if not hasattr(learn, "fit") or not hasattr(learn, "recorder"):
            raise TypeError(f"learner_fn(params) must return a Learner; it returned {describe(learn)}")
        if learn.recorder is None:
            raise ValueError("random_search reads the results from the Recorder, and this learner has none: create it with "
                             "default_cbs=True")
        self.lower = monitored(learn, self.monitor, self.lower, f"random_search(monitor={self.monitor!r})")
        clash = [k for k in self.space if k in learn.recorder.metric_names]
        if clash:
            raise ValueError(f"space: {clash[0]!r} is a column of the epoch table too: use another name")

    @staticmethod
    def _values(learn: Any) -> dict[str, Any]:
        if not learn.recorder.history:
            raise RuntimeError("fit(learn, params) trained no epoch")
        row = {k: v for k, v in learn.recorder.history[-1].items() if k not in ("fit", "time")}
        return {k: float(v) if isinstance(v, (int, float)) and k != "epoch" else v for k, v in row.items()}

    def give_up_on(self, trials: list[Trial]) -> None:
        if len(trials) == GIVE_UP_AFTER and all(t.error for t in trials) and self.exception is not None:
            add_note(self.exception, f"the first {GIVE_UP_AFTER} trials of the search failed, so the search was stopped: fix this, then "
                     "call it again with retry_failed=True")
            raise self.exception
