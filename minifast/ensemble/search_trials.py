"""Hyper-parameters to search, drawn by scikit-learn, and trials: what each found, in a CSV file from which a search resumes."""
import hashlib
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..core.messages import describe, plural
from ..core.plots import get_grid
from ..core.seeds import item_rng
from ..core.types import PathLike

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
        for end, value in (("lo", lo), ("hi", hi)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise TypeError(f"{name}(lo, hi) takes two numbers; received {end}={describe(value)}")
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


class TrialFile:
    "The CSV file of a search; without a path nothing is written. goal: what an earlier run was told to look for, ('lower', monitor)."

    def __init__(self, path: Path | None, space: Mapping[str, Any], seed: int):
        self.path, self.space, self.seed = path, space, seed
        self.goal: tuple[str, ...] = ()
        self.id = hashlib.sha256(repr((sorted((k, repr(v)) for k, v in space.items()), seed)).encode()).hexdigest()[:12]

    def write(self, trials: list[Trial], lower: bool | None, monitor: str) -> None:
        "All trials; the file is replaced as a whole."
        if self.path is None:
            return
        goal = "" if lower is None else f"{'lower' if lower else 'higher'} {monitor}"
        names = list(dict.fromkeys(k for t in trials for k in t.values))
        rows = [{"trial": t.number, **{k: value_text(v) for k, v in t.params.items()}, **{k: t.values.get(k) for k in names},
                 "seconds": t.seconds, "seed": t.seed, "search": self.id, "goal": goal, "error": t.error} for t in trials]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(self.path.name + ".part")
        pd.DataFrame(rows, dtype=object).to_csv(part, index=False)
        part.replace(self.path)

    def read(self) -> list[Trial]:
        "The trials of the file; refuses a file of another search."
        if self.path is None or not self.path.exists():
            return []
        frame = pd.read_csv(self.path, dtype=str, keep_default_na=False)
        other = f"{self.path} holds the trials of another search"
        advice = "Make the call as it was then, or give another file, csv=..."
        if len(frame) and not {"trial", "search", "seed", "error", *self.space} <= set(frame):
            raise ValueError(f"{other}: it has the columns {', '.join(map(str, frame))}; the space here has {', '.join(self.space)}. "
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
            self.goal = tuple(row["goal"].split(" ", 1)) if row["goal"] else self.goal
            values = {k: _value(text) for k, text in row.items() if k not in FIXED_COLUMNS and k not in self.space and text != ""}
            trials.append(Trial(i, params, int(row["seed"]), values, float(row["seconds"]), row["error"]))
        return trials


def _value(text: str) -> Any:
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return text
