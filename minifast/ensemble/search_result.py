"""The trials of a random search: what each found, in a CSV file that a search resumes from, and looked at together."""
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ..core.messages import plural
from ..core.plots import get_grid
from ..core.types import PathLike
from .search_space import choice, trial_params, value_text

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
