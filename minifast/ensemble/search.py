"""Random search: train with hyper-parameters drawn at random, one line of a CSV file per trial, and see which matter.

Source: J. Bergstra, Y. Bengio, "Random Search for Hyper-Parameter Optimization", 2012.
"""
import gc
import hashlib
import math
import time
import traceback
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ..callbacks.trackers import known_direction, monitored
from ..core.arguments import check_arguments, is_number, is_whole
from ..core.checkpoint import replacing
from ..core.csv_cells import from_cell, to_cell
from ..core.keywords import knows_keywords
from ..core.messages import add_note, describe, listing, plural
from ..core.paths import Path
from ..core.plots import get_grid
from ..core.ranks import is_main, shared
from ..core.seeds import fixed_seed, item_rng
from ..core.types import PathLike
from ..learner.learner import Learner

__all__ = ["SearchResult", "Trial", "choice", "loguniform", "randint", "random_search", "trial_params", "uniform"]

#: This many failures at the beginning, without one success, are a mistake in the call.
GIVE_UP_AFTER = 3


# -- what to search ---------------------------------------------------------------------------------------------------------------
#: How each distribution is made from its ends, which scipy.stats takes differently.
_SCIPY = {"uniform": lambda stats, lo, hi: stats.uniform(lo, hi - lo), "loguniform": lambda stats, lo, hi: stats.loguniform(lo, hi),
          "randint": lambda stats, lo, hi: stats.randint(lo, hi + 1)}


class Range:
    """A distribution between two numbers.

    Args:
        lo, hi: the ends, `lo < hi`.
    """

    log = False

    def __init__(self, lo: float, hi: float):
        name = type(self).__name__
        if not all(is_number(end) and math.isfinite(end) for end in (lo, hi)):
            raise TypeError(f"{name}(lo, hi) takes two numbers; received lo={describe(lo)}, hi={describe(hi)}")
        if not lo < hi:
            raise ValueError(f"{name}({lo}, {hi}): the first must be less than the second")
        if self.log and not lo > 0:
            raise ValueError(f"{name}({lo}, {hi}): both must be above 0, which has no logarithm")
        if name == "randint" and (lo != int(lo) or hi != int(hi)):
            raise TypeError(f"randint({lo}, {hi}) takes whole numbers: for others write uniform({lo}, {hi})")
        self.lo, self.hi = lo, hi

    def rvs(self, random_state: Any = None) -> float | int:
        "A value drawn at random; the name is that of scipy.stats, so that scikit-learn can draw too."
        from scipy import stats
        return np.asarray(_SCIPY[type(self).__name__](stats, self.lo, self.hi).rvs(random_state=random_state)).item()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.lo}, {self.hi})"


class uniform(Range):
    "A number between `lo` and `hi`, all equally likely."


class loguniform(Range):
    "A number between `lo` and `hi`, both above 0, whose logarithm is uniform: for learning rates and weight decay."

    log = True


class randint(Range):
    "A whole number from `lo` to `hi`, both included."


class choice(list):
    """One of several values, all equally likely.

    Args:
        values: anything that has a name, such as numbers, strings, tuples, functions and classes.
    """

    log = False

    def __init__(self, values: Iterable):
        if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
            raise TypeError(f"choice takes a list of values; received {describe(values)}")
        super().__init__(values)
        if not self or len(set(self.texts)) < len(self):
            raise ValueError(f"choice({self.texts}): at least one value, each once")
        nameless = next((t for t in self.texts if " at 0x" in t), None)
        if nameless:
            raise ValueError(f"choice: {nameless} has no name that means the same next time, so a search could not resume. Choose among "
                             "names, and look the object up in learner_fn")

    @property
    def texts(self) -> list[str]:
        "The values as text."
        return [value_text(v) for v in self]

    def __repr__(self) -> str:
        return f"choice([{', '.join(self.texts)}])"


def value_text(value: Any) -> str:
    "A hyper-parameter as it stands in the CSV."
    if isinstance(value, str):
        return value
    if callable(value) and hasattr(value, "__qualname__") and "<lambda>" not in value.__qualname__:
        return value.__qualname__
    return repr(value)


def trial_params(space: Mapping[str, Any], seed: int, i: int) -> dict[str, Any]:
    "The parameters of trial `i`: a pure function of (seed, i), for each name on its own, whatever the order or number of the others."
    from sklearn.model_selection import ParameterSampler
    found = {}
    for name, dist in space.items():
        state = int(item_rng(seed, i, zlib.crc32(name.encode())).integers(2**32))
        found.update(next(iter(ParameterSampler({name: dist}, 1, random_state=state))))
    return found


# -- what was found ---------------------------------------------------------------------------------------------------------------
#: Columns of the file beside the parameters and the values of a trial.
FIXED_COLUMNS = ("trial", "search", "goal", "seed", "seconds", "error")


@dataclass
class Trial:
    "One trial: its number, parameters, the last row of its epoch table (`values`), seconds, and the error, if it failed."

    number: int
    params: dict[str, Any]
    seed: int
    values: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""


class SearchResult:
    """What `random_search` found.

    Args:
        trials: the `Trial`s.
        space: what was searched.
        monitor: the value that is to be best.
        lower: whether lower is better.
        csv: the file with the trials.
    """

    def __init__(self, trials: list[Trial], space: Mapping[str, Any], monitor: str, lower: bool | None, csv: PathLike | None = None):
        self.trials, self.space, self.monitor, self.lower, self.csv = trials, space, monitor, lower, csv

    def _done(self) -> list[Trial]:
        return [t for t in self.trials if not t.error and math.isfinite(t.values.get(self.monitor, math.nan))]

    @property
    def best(self) -> Trial:
        "The trial whose `monitor` was best; failed trials and values that are not finite do not count."
        done = self._done()
        if not done:
            errors = sorted({t.error.split("\n")[0] for t in self.trials if t.error})
            raise ValueError(f"none of the {plural(len(self.trials), 'trial')} has a finite {self.monitor}"
                             + (f"; errors: {'; '.join(errors[:3])}" if errors else ""))
        return (min if self.lower else max)(done, key=lambda t: t.values[self.monitor])

    def frame(self) -> pd.DataFrame:
        "A row per trial."
        return pd.DataFrame([{"trial": t.number, **t.params, "seed": t.seed, **t.values, "seconds": t.seconds, "error": t.error}
                             for t in self.trials])

    def plot(self, figsize: tuple[float, float] | None = None) -> Any:
        "For each hyper-parameter a plot of `monitor` against it, the best trial in another colour; returns the axes."
        done, best, ncols = self._done(), self.best, min(3, len(self.space))
        axes = get_grid(len(self.space), figsize=figsize or (4 * ncols, 3.5 * math.ceil(len(self.space) / 3)), ncols=ncols)
        for ax, (name, dist) in zip(axes, self.space.items(), strict=False):
            ax.axis("on")
            by_name = isinstance(dist, choice)
            if by_name:
                ax.xaxis.update_units(dist.texts)
            for trials, colour in ((done, "C0"), ([best], "C1")):
                ax.scatter([value_text(t.params[name]) if by_name else t.params[name] for t in trials],
                           [t.values[self.monitor] for t in trials], color=colour)
            ax.set(xlabel=name, ylabel=self.monitor, **({"xscale": "log"} if dist.log else {}))
        return axes

    def __repr__(self) -> str:
        failed = sum(bool(t.error) for t in self.trials)
        counts = f"{plural(len(self.trials), 'trial')}" + (f" ({failed} failed)" if failed else "")
        try:
            best = self.best
        except ValueError:
            return counts
        return f"{counts}, best {self.monitor}={best.values[self.monitor]:.6g} in trial {best.number} with " + ", ".join(
            f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={value_text(v)}" for k, v in best.params.items())


# -- the search -------------------------------------------------------------------------------------------------------------------
@knows_keywords
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
    trials = [t for t in search.read() if not (retry_failed and t.error)]
    for i in sorted(set(range(n)) - {t.number for t in trials}):
        try:
            trials = sorted([*trials, search.run(learner_fn, fit, i)], key=lambda t: t.number)
        except KeyboardInterrupt as e:
            if csv is not None and trials:
                add_note(e, f"{plural(len(trials), 'trial')} are in {csv}: the same call resumes from there")
            raise
        search.write(trials)
        all_failed = all(t.error for t in trials)
        if len(trials) == GIVE_UP_AFTER and all_failed and search.exception is not None:
            add_note(search.exception, f"the first {GIVE_UP_AFTER} trials of the search failed, so the search was stopped: fix this, then "
                     "call it again with retry_failed=True")
            raise search.exception
    if search.lower is None and not all(t.error for t in trials):
        raise ValueError(f"random_search(monitor={monitor!r}): the trials in the file do not say whether lower or higher wins: "
                         "write comp=np.less or comp=np.greater")
    return SearchResult(trials, space, monitor, search.lower, csv)


class _Search:
    "What a search looks for, and the CSV file of its trials. lower: whether lower is better; None: no trial and no file has told yet."

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
        self.file = None if csv is None else Path(csv).expanduser()
        self.id = hashlib.sha256(repr((sorted((k, repr(v)) for k, v in space.items()), seed)).encode()).hexdigest()[:12]
        self.lower = known_direction(monitor, comp)
        self.exception: Exception | None = None

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
                    if not learn.recorder.history:
                        raise RuntimeError("fit(learn, params) trained no epoch")
                    trial.values = {k: float(v) if isinstance(v, (int, float)) and k != "epoch" else v
                                    for k, v in learn.recorder.history[-1].items() if k not in ("fit", "time")}
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

    def write(self, trials: list[Trial]) -> None:
        "Write all trials; the file is replaced as a whole."
        if self.file is None or not is_main():
            return
        goal = "" if self.lower is None else f"{'lower' if self.lower else 'higher'} {self.monitor}"
        names = list(dict.fromkeys(k for t in trials for k in t.values))
        rows = [{"trial": t.number, **{k: value_text(v) for k, v in t.params.items()}, **{k: t.values.get(k) for k in names},
                 "seconds": t.seconds, "seed": t.seed, "search": self.id, "goal": goal, "error": t.error} for t in trials]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.file) as part:
            pd.DataFrame(rows, dtype=object).map(to_cell).rename(columns=to_cell).to_csv(part, index=False)

    def read(self) -> list[Trial]:
        "The trials of the file; refuses a file of another search."
        if self.file is None or not shared(self.file.exists()):
            return []
        frame = pd.read_csv(self.file, dtype=str, keep_default_na=False).map(from_cell).rename(columns=from_cell)
        other = f"{self.file} holds the trials of another search"
        advice = "Make the call as it was then, or give another file, csv=..."
        if len(frame) and not {"trial", "search", "seed", "error", *self.space} <= set(frame):
            raise ValueError(f"{other}: it has the columns {listing(frame)}; the space here has {listing(self.space)}. "
                             f"{advice}")
        trials = []
        for row in frame.to_dict("records"):
            i = int(row["trial"])
            params = trial_params(self.space, self.seed, i)
            wrong = [k for k, v in params.items() if row[k] != value_text(v)]
            if row["search"] != self.id or wrong:
                why = f"trial {i} has {wrong[0]}={row[wrong[0]]} there, {value_text(params[wrong[0]])} here" if wrong else \
                    "the space is another"
                raise ValueError(f"{other}: with this space and seed={self.seed}, {why}. {advice}")
            if self.lower is None and row["goal"] in (f"lower {self.monitor}", f"higher {self.monitor}"):
                self.lower = row["goal"].startswith("lower")
            values = {k: _value(text) for k, text in row.items() if k not in FIXED_COLUMNS and k not in self.space and text != ""}
            trials.append(Trial(i, params, int(row["seed"]), values, float(row["seconds"]), row["error"]))
        return trials


def _value(text: str) -> Any:
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return text
