"""Random search: train with hyper-parameters drawn at random, one line of a CSV per trial, and see which matter.

Source: J. Bergstra, Y. Bengio, "Random Search for Hyper-Parameter Optimization", 2012.
"""
import csv as csv_module
import gc
import hashlib
import math
import os
import time
import traceback
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from ..callbacks.trackers_base import column_directions, is_better, lower_wins
from ..core.messages import add_note, describe, did_you_mean, plural
from ..core.seeds import fixed_seed, item_rng


# -- what a hyper-parameter can be; named as they are written in a space --------------------------------------------------------------
class _Range:
    log = False

    def __init__(self, lo, hi):
        for name, value in (("lo", lo), ("hi", hi)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise TypeError(f"{type(self).__name__}(lo, hi) takes two numbers; received {name}={describe(value)}")
        if not lo < hi:
            raise ValueError(f"{type(self).__name__}({lo}, {hi}): the first must be less than the second")
        self.lo, self.hi = lo, hi

    def draw(self, rng):
        raise NotImplementedError

    def __repr__(self):
        return f"{type(self).__name__}({self.lo}, {self.hi})"


class uniform(_Range):
    "A number between `lo` and `hi`, all equally likely."

    def draw(self, rng):
        return float(self.lo + (self.hi - self.lo) * rng.random())


class loguniform(_Range):
    "A number between `lo` and `hi`, both above 0, whose logarithm is uniform: for learning rates and weight decay."

    log = True

    def __init__(self, lo, hi):
        super().__init__(lo, hi)
        if not lo > 0:
            raise ValueError(f"loguniform({lo}, {hi}): both must be above 0, which has no logarithm")

    def draw(self, rng):
        return float(math.exp(math.log(self.lo) + (math.log(self.hi) - math.log(self.lo)) * rng.random()))


class randint(_Range):
    "A whole number from `lo` to `hi`, both included."

    def __init__(self, lo, hi):
        super().__init__(lo, hi)
        if lo != int(lo) or hi != int(hi):
            raise TypeError(f"randint({lo}, {hi}) takes whole numbers: for others write uniform({lo}, {hi})")

    def draw(self, rng):
        return int(rng.integers(self.lo, self.hi + 1))


class choice:
    "One of `values`, all equally likely: anything that has a name, such as numbers, strings, tuples, functions and classes."

    log = False

    def __init__(self, values):
        if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
            raise TypeError(f"choice takes a list of values; received {describe(values)}")
        self.values = list(values)
        texts = [_text(v) for v in self.values]
        if not texts or len(set(texts)) < len(texts):
            raise ValueError(f"choice({texts}): at least one value, each once")
        nameless = next((t for t in texts if " at 0x" in t), None)
        if nameless:
            raise ValueError(f"choice: {nameless} has no name that means the same next time, so a search could not go on. Choose among "
                             "names, and look the object up in learner_fn")

    def draw(self, rng):
        return self.values[int(rng.integers(len(self.values)))]

    def __repr__(self):
        return f"choice([{', '.join(map(_text, self.values))}])"


def _text(value):
    "`value` as it stands in the CSV."
    if isinstance(value, str):
        return value
    if callable(value) and hasattr(value, "__qualname__") and "<lambda>" not in value.__qualname__:
        return value.__qualname__
    return repr(value)


def trial_params(space, seed, i):
    "The parameters of trial `i`: a pure function of (seed, i), for each name on its own, whatever the order or number of the others."
    return {name: dist.draw(item_rng(seed, i, zlib.crc32(name.encode()))) for name, dist in space.items()}


# -- results ------------------------------------------------------------------------------------------------------------------------
@dataclass
class Trial:
    "One trial: its number, parameters, the last row of its epoch table (`values`), seconds, and the error, if it failed."

    number: int
    params: dict
    seed: int
    values: dict = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""


class SearchResult:
    "What `random_search` found: `trials`, `best`, `frame()`, `plot()`."

    def __init__(self, trials, space, monitor, lower, csv=None):
        self.trials, self.space, self.monitor, self.lower, self.csv = trials, space, monitor, lower, csv

    @property
    def best(self):
        "The `Trial` whose `monitor` was best; failed trials and values that are not finite do not count."
        found, best = None, None
        for t in self.trials:
            value = t.values.get(self.monitor)
            if not t.error and is_better(value, best, self.lower):
                found, best = t, value
        if found is None:
            errors = sorted({t.error.split("\n")[0] for t in self.trials if t.error})
            raise ValueError(f"none of the {plural(len(self.trials), 'trial')} has a finite {self.monitor}"
                             + (f"; errors: {'; '.join(errors[:3])}" if errors else ""))
        return found

    def frame(self):
        "A DataFrame with a row per trial."
        import pandas as pd
        return pd.DataFrame([{"trial": t.number, **t.params, "seed": t.seed, **t.values, "seconds": t.seconds, "error": t.error}
                             for t in self.trials])

    def plot(self, figsize=None):
        "For each hyper-parameter a picture of `monitor` against it, the best trial in another colour; returns the axes."
        from ..core.plots import get_grid
        done = [t for t in self.trials if not t.error and math.isfinite(t.values.get(self.monitor) or math.nan)]
        best = self.best
        axes = get_grid(len(self.space), figsize=figsize or (4 * min(3, len(self.space)), 3.5 * math.ceil(len(self.space) / 3)),
                        ncols=min(3, len(self.space)))
        for ax, (name, dist) in zip(axes, self.space.items(), strict=False):
            ax.axis("on")
            places = {_text(v): i for i, v in enumerate(dist.values)} if isinstance(dist, choice) else None
            for trials, colour in ((done, "C0"), ([best], "C1")):
                xs = [t.params[name] if places is None else places[_text(t.params[name])] for t in trials]
                ax.scatter(xs, [t.values[self.monitor] for t in trials], color=colour)
            if places is not None:
                ax.set_xticks(range(len(places)), list(places))
            if dist.log:
                ax.set_xscale("log")
            ax.set(xlabel=name, ylabel=self.monitor)
        return axes

    def __repr__(self):
        failed = sum(bool(t.error) for t in self.trials)
        said = f"{plural(len(self.trials), 'trial')}" + (f" ({failed} failed)" if failed else "")
        try:
            best = self.best
        except ValueError:
            return said
        return f"{said}, best {self.monitor}={best.values[self.monitor]:.6g} in trial {best.number} with " + ", ".join(
            f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={_text(v)}" for k, v in best.params.items())


# -- the search ---------------------------------------------------------------------------------------------------------------------
FIXED = ("trial", "search", "goal", "seed", "seconds", "error")
#: So many failures at the beginning, with not one success, are a mistake in the call.
GIVE_UP_AFTER = 3


def random_search(learner_fn, space, n=20, *, fit, monitor="valid_loss", comp=None, seed=42, csv="search.csv", retry_failed=False):
    """`n` trials, each with parameters drawn from `space`: a `SearchResult`.

    learner_fn: `learner_fn(params)` returns a new Learner; fit: `fit(learn, params)` trains it; params is the dict of the trial. space:
    `{name: loguniform(lo, hi) | uniform(lo, hi) | randint(lo, hi) | choice([...])}`. monitor: the column of the epoch table that is to
    be best at the end of the training; comp: np.less or np.greater, where the metric does not say which way. csv: where each trial is
    written once it is done (None: nowhere); the same call goes on from there, also with a larger n, and a file of another space or seed
    is refused. A trial that fails is written with its error; retry_failed: try these again. Ctrl-C loses the running trial only.
    """
    search = _Search(space, n, monitor, comp, seed, csv)
    trials = [t for t in search.read() if not (retry_failed and t.error)]
    there = {t.number for t in trials}
    for i in range(n):
        if i not in there:
            try:
                trials = sorted([*trials, search.run(learner_fn, fit, i)], key=lambda t: t.number)
            except KeyboardInterrupt as e:
                if csv is not None and trials:
                    add_note(e, f"{plural(len(trials), 'trial')} are in {csv}: the same call goes on from there")
                raise
            search.write(trials)
            search.give_up_on(trials)
    return SearchResult(trials, space, monitor, search.direction(trials), csv)


class _Search:
    def __init__(self, space, n, monitor, comp, seed, csv):
        if not isinstance(space, dict) or not space:
            raise TypeError(f"space is a dict such as {{'lr': loguniform(1e-4, 1e-1)}}; received {describe(space)}")
        odd = [f"{k}={describe(v)}" for k, v in space.items() if not isinstance(v, (_Range, choice)) or not isinstance(k, str)]
        if odd:
            raise TypeError(f"space: {', '.join(odd)}: each is a name with loguniform, uniform, randint or choice([...]). What is the "
                            "same in all trials belongs into learner_fn")
        taken = [k for k in space if k in (*FIXED, "epoch", "time", "fit") or k.endswith("_loss")]
        if taken:
            raise ValueError(f"space: {taken[0]!r} is a column of its own in the table of trials: use another name")
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"random_search(n={n!r}): how many trials, at least 1")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ValueError(f"random_search(seed={seed!r}): a whole number >= 0, so that the search can go on where it stopped")
        self.space, self.monitor, self.seed, self.csv = space, monitor, seed, None if csv is None else Path(csv)
        self.lower = None if comp is None else lower_wins(comp)
        self.columns, self.known = [], None
        self.id = hashlib.sha256(repr((sorted((k, repr(v)) for k, v in space.items()), seed)).encode()).hexdigest()[:12]

    def direction(self, trials):
        "Whether lower is better: what was asked, what a trial told, what the file says; None where no trial has a value."
        if self.lower is None and self.monitor in ("train_loss", "valid_loss"):
            self.lower = True
        if self.lower is None and self.known and self.known[1] == self.monitor:
            self.lower = self.known[0] == "lower"
        if self.lower is None and not all(t.error for t in trials):
            raise ValueError(f"random_search(monitor={self.monitor!r}): the trials in the file do not say whether lower or higher wins: "
                             "write comp=np.less or comp=np.greater")
        return self.lower

    # -- one trial --------------------------------------------------------------------------------------------------------------
    def run(self, learner_fn, fit, i):
        trial = Trial(i, trial_params(self.space, self.seed, i), int(item_rng(self.seed, i).integers(2**31)))
        start = time.perf_counter()
        self.exception, learn = None, None
        with fixed_seed(trial.seed):
            try:
                learn = learner_fn(dict(trial.params))
            except Exception as e:
                self._failed(trial, e)
            if learn is not None or not trial.error:
                self._check(learn)
                try:
                    fit(learn, dict(trial.params))
                    trial.values = self._values(learn)
                except Exception as e:
                    self._failed(trial, e)
        trial.seconds = round(time.perf_counter() - start, 3)
        learn = None
        gc.collect()                                # models refer to themselves in circles: make room before the next
        return trial

    def _failed(self, trial, e):
        where = traceback.extract_tb(e.__traceback__)[-1]
        trial.error = f"{type(e).__name__}: {e} ({Path(where.filename).name}, line {where.lineno})"
        self.exception = e.with_traceback(None)     # a traceback would keep the model alive

    def _check(self, learn):
        "What is wrong in every trial is raised, not written down."
        if not hasattr(learn, "fit") or not hasattr(learn, "recorder"):
            raise TypeError(f"learner_fn(params) must return a Learner; it returned {describe(learn)}")
        if learn.recorder is None:
            raise ValueError("random_search reads the results from the Recorder, and this learner has none: create it with "
                             "default_cbs=True")
        directions = column_directions(learn.recorder, learn.metrics)
        if self.monitor not in directions:
            raise ValueError(f"random_search(monitor={self.monitor!r}): there is no such column in the epoch table"
                             f"{did_you_mean(self.monitor, directions) or '.'} It has: {', '.join(directions)}")
        if len(learn.dls) < 2 and not self.monitor.startswith("train_"):
            raise ValueError(f"random_search(monitor={self.monitor!r}): this learner has no validation data")
        if self.lower is None:
            self.lower = directions[self.monitor]
        if self.lower is None:
            raise ValueError(f"random_search(monitor={self.monitor!r}): this metric does not say whether lower or higher is better. Write "
                             "comp=np.less or comp=np.greater, or set `lower_is_better` on the metric")
        clash = [k for k in self.space if k in directions]
        if clash:
            raise ValueError(f"space: {clash[0]!r} is a column of the epoch table too: use another name")

    def _values(self, learn):
        if not learn.recorder.history:
            raise RuntimeError("fit(learn, params) trained no epoch")
        row = {k: v for k, v in learn.recorder.history[-1].items() if k not in ("fit", "time")}
        return {k: float(v) if isinstance(v, (int, float)) and k != "epoch" else v for k, v in row.items()}

    def give_up_on(self, trials):
        if len(trials) == GIVE_UP_AFTER and all(t.error for t in trials) and self.exception is not None:
            add_note(self.exception, f"the first {GIVE_UP_AFTER} trials of the search failed, so the search was stopped: mend this, then "
                     "call it again with retry_failed=True")
            raise self.exception

    # -- the file ---------------------------------------------------------------------------------------------------------------
    def write(self, trials):
        "All trials; the file is replaced as a whole."
        if self.csv is None:
            return
        names = list(dict.fromkeys(k for t in trials for k in t.values))
        goal = "" if self.lower is None else f"{'lower' if self.lower else 'higher'} {self.monitor}"
        self.csv.parent.mkdir(parents=True, exist_ok=True)
        part = self.csv.with_name(self.csv.name + ".part")
        with open(part, "w", newline="", encoding="utf-8") as f:
            rows = csv_module.writer(f)
            rows.writerow(["trial", *self.space, *names, "seconds", "seed", "search", "goal", "error"])
            for t in trials:
                rows.writerow([t.number, *(_text(v) for v in t.params.values()), *(_cell(t.values.get(k)) for k in names),
                               t.seconds, t.seed, self.id, goal, t.error])
        os.replace(part, self.csv)

    def read(self):
        "The trials of the file; one that is of another search is refused."
        if self.csv is None or not self.csv.exists():
            return []
        with open(self.csv, newline="", encoding="utf-8") as f:
            rows = list(csv_module.DictReader(f))
            columns = list(rows[0]) if rows else []
        other = f"{self.csv} holds the trials of another search"
        advice = "Make the call as it was then, or give another file, csv=..."
        if rows and not {"trial", "search", "seed", "error", *self.space} <= set(columns):
            raise ValueError(f"{other}: it has the columns {', '.join(map(str, columns))}; the space here has {', '.join(self.space)}. "
                             f"{advice}")
        trials = []
        for row in rows:
            i = int(row["trial"])
            params = trial_params(self.space, self.seed, i)
            wrong = [k for k, v in params.items() if row[k] != _text(v)]
            if row["search"] != self.id or wrong:
                said = "the space is another"
                if wrong:
                    said = f"trial {i} has {wrong[0]}={row[wrong[0]]} there, {_text(params[wrong[0]])} here"
                raise ValueError(f"{other}: with this space and seed={self.seed}, {said}. {advice}")
            if row["goal"]:
                self.known = tuple(row["goal"].split(" ", 1))
            values = {k: _value(row[k]) for k in columns if k not in FIXED and k not in self.space and row[k] != ""}
            trials.append(Trial(i, params, int(row["seed"]), values, float(row["seconds"]), row["error"]))
        return trials


def _cell(value):
    return "" if value is None else repr(value) if isinstance(value, float) else value


def _value(text):
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except ValueError:
        return text
