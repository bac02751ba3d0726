"""`speedup`: what makes training faster here, found by trying it: the cheap and telling settings first, within a budget of time.

First the model alone, on batches that are there already: half precision, channels-last, both, a fused optimizer, `torch.compile` where its
warm-up can pay off. Then the data, in the whole loop, with what was best for the model: images kept in memory, workers. At last everything
that was best, together, against the learner as it is.
"""
import copy
import math
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

import torch

from ...core import ranks
from ...core.arguments import is_number, is_whole
from ...core.durations import seconds_in
from ...core.messages import brief, plural
from ...core.nested import find_bs, to_device
from ...core.torch_internals import forget_workers
from ...learner.inference import Batches
from ...learner.learner import Learner
from ...learner.probe import independent_loader, probing
from . import options
from .options import AS_IT_IS, OTHER_BS, ROUNDING, LeftOut, Option
from .report import Row, SpeedReport
from .trials import NOISE, OUT_OF_TIME, Comparison, Ratio, Trial, compare, differ, failure, steps_for

#: When, as fractions of the budget, each part ends.
_BATCHES, _LOOP, _MODEL, _COMPILE, _DATA, _SIZE, _ALL = 0.1, 0.2, 0.5, 0.6, 0.75, 0.82, 1.0
N_KEPT = 6                                  # batches that the model alone is timed on
_AS_IT_IS = "as it is"
_SLOW = 0.1                                 # seconds
_HIDDEN = 0.05                              # a share of the step below which the data are no matter


def seconds_of(budget: Any) -> float:
    "The argument `budget=` in seconds."
    seconds = float(budget) if is_number(budget) else seconds_in(budget)
    if seconds is None or not math.isfinite(seconds) or seconds < 1:
        raise ValueError(f"speedup(budget={brief(budget)}): how long to measure, at least a second, such as budget='30s', '2min' or a "
                         "number of seconds")
    return seconds


def speedup(learn: Learner, budget: str | float = "30s", apply: bool = False, epochs: int = 5) -> SpeedReport:
    """See `Learner.speedup`.

    Args:
        learn: The learner.
        budget: How long to measure.
        apply: Set what makes training faster and changes no more than rounding.
        epochs: How many epochs are planned.
    """
    seconds = seconds_of(budget)
    if not is_whole(epochs):
        raise ValueError(f"speedup(epochs={brief(epochs)}): the number of epochs that you plan to train, at least 1")
    if learn.loss_func is None:
        raise ValueError("speedup() measures training steps, and this learner has no loss function: write "
                         "`Learner(dls, model, loss_func=...)`")
    if ranks.world_size() > 1:
        raise RuntimeError(f"speedup() measures in one process, and {ranks.world_size()} run here, which would decide differently: run it "
                           "once without a launcher, `python script.py`, and write into the script what it says")
    adviser = Adviser(learn, seconds, epochs)
    report = adviser.run()
    if apply and report.best:
        for setter in adviser.chosen.set_on:
            setter(learn)
        report.applied = True
        for row in report.rows:
            row.applied = row.verdict == "faster" and bool(row.write) and set(row.write.split("; ")) <= set(report.best)
    return report


class Adviser:
    "One run of trials on the twin of a learner. chosen: the settings found best so far."

    def __init__(self, learn: Learner, seconds: float, epochs: int = 5):
        self.learn, self.seconds, self.epochs = learn, seconds, epochs
        self.began = time.perf_counter()
        self.n_train, self.n_valid = len(learn.dls.train), len(learn.dls.valid) if len(learn.dls) > 1 else 0
        self.chosen, self.kept_rows = AS_IT_IS, list[Row]()
        self.report = SpeedReport(f"speedup() of {type(learn.model).__name__}", budget=seconds, epochs=epochs)
        self._loaders: list[Any] = []

    def end(self, share: float) -> float:
        "When a part ends that has the budget up to this `share` of it."
        return self.began + share * self.seconds

    def run(self) -> SpeedReport:
        "Try everything; the learner is as it was afterwards, whatever happens."
        with self.trying():
            self.keep_batches()
            self._loop()
            for part in (self.model_settings, self._optimizer, self._compile, self._data, self._batch_size):
                self.report.rows += [Row(name, "not tried", note=why) for name, why in part()]
            self._together()
        self.report.seconds = time.perf_counter() - self.began
        return self.report

    @contextmanager
    def trying(self) -> Iterator[None]:
        "Within the block there is a twin to try on; afterwards its loaders' workers have ended."
        with probing(self.learn) as probe:
            self.twin = probe.twin
            self.shares_model = probe.model is self.learn.model
            try:
                yield
            finally:
                self._end_workers()

    # -- the parts --------------------------------------------------------------------------------------------------------------
    def keep_batches(self) -> None:
        "Keep a few batches, and time a step of the model on them."
        quick = self._loader(num_workers=0)
        batches, end = [], self.end(_BATCHES)
        for batch in islice(iter(quick), N_KEPT):
            batches.append(to_device(batch, self.twin.dls.device))
            if time.perf_counter() > end:
                break
        self.batches = self._kept(batches, quick)
        first = self._trial(AS_IT_IS).run(2, 1)                     # an error here is one of training, for the caller to see
        self.n, self.first_step = steps_for(first.step), first.step
        self.again = int(first.step < _SLOW)                        # what a first step costs besides is little of a slow one

    def _loop(self) -> None:
        "Time a step without and with the data."
        self.loop = self._loader()
        model, loop = self._trial(AS_IT_IS), self._trial(AS_IT_IS, self.loop)
        n, took, rounds = self._n_loop(self.first_step), 0.0, list[tuple[float, float, float]]()
        while not rounds or (len(rounds) < 3 and time.perf_counter() + took < self.end(_LOOP)):
            began = time.perf_counter()
            alone, whole = model.run(self.n, self.again), loop.run(n, self._warm_up(), end=self.end(_MODEL))
            rounds.append((alone.step, whole.step, whole.wait))
            took = time.perf_counter() - began
        times = dict(zip(("model", "step", "wait"), map(statistics.median, zip(*rounds, strict=True)), strict=True))
        self.report.times = {**times, "model": min(times["model"], times["step"]), "wait": min(times["wait"], times["step"])}
        times = self.report.times
        if times["wait"] > 0.5 * times["step"]:
            self.report.notes.append("the loop waits for data most of the time: settings of the model bring next to nothing until the data "
                                     "are faster")

    def model_settings(self) -> LeftOut:
        "Half precision and the memory format, and both."
        found, left = options.precision_options(self.learn)
        layouts, more = options.layout_options(self.learn, self.batches[0])
        both = [half & layout for half in found for layout in layouts]
        tries_compile = "step" in self.report.times and not self._why_not_compile()[0]
        self._choose([*layouts, *found, *both], self.end(_MODEL if tries_compile else _COMPILE))
        return left + more

    def _optimizer(self) -> LeftOut:
        "The optimizer's fused kernel."
        found, left = options.optimizer_options(self.learn, self.twin.create_opt())
        self.twin.opt = self.twin.freezer = None
        self._choose(found, max(self.end(_MODEL), min(time.perf_counter() + 0.1 * self.seconds, self.end(_DATA))))
        return left

    def _compile(self) -> LeftOut:
        "`torch.compile`, where the planned steps can make up for its warm-up."
        why_not, expected = self._why_not_compile()
        if why_not:
            return [("compile", why_not)]
        if time.perf_counter() + expected > self.end(_DATA):
            needed = math.ceil(2 * (expected + 5) / (_DATA - _MODEL) / 60)
            return [("compile", f"its warm-up takes about {expected:.0f} s: learn.speedup(budget='{needed}min') tries it")]
        steps, step = self.epochs * self.n_train, self.report.times["model"]
        twin = self.twin.twin()
        twin.model.compile()
        option = Option("compile", ROUNDING, ("learn.compile()",), set_on=(Learner.compile,))
        began = time.perf_counter()
        base, trial = self._trial(self.chosen), self._trial(self.chosen, twin=twin)
        try:
            trial.run(1, 1)
        except Exception as e:
            return [("compile", failure(e))]
        warm_up = time.perf_counter() - began
        found = compare({_AS_IT_IS: base, "compile": trial}, self.n, self.end(_DATA))
        row = self._row(option, found, "model")
        if row.ratio is not None and row.verdict == "faster":
            total = warm_up + steps * step / row.ratio.value
            row.note = f"after a warm-up of {warm_up:.0f} s: {steps * step / total:.2f}x over the planned {plural(steps, 'step')}"
            if total > steps * step / (1 + 2e-2):
                row.verdict = "no difference"
            else:
                self.twin, self.compile_seconds = twin, warm_up
                self.chosen = self.chosen & option
        return []

    def _why_not_compile(self) -> tuple[str, float]:
        "Why `torch.compile` is not tried, or nothing; and how many seconds its warm-up is expected to take."
        layers = sum(1 for m in self.learn.model.modules() if not any(True for _ in m.children()))
        expected = 5.0 + (0.4 if self.learn.dls.device.type == "cpu" else 0.25) * layers
        steps, step = self.epochs * self.n_train, self.report.times["model"]
        if self.learn.compiled_with is not None:
            return "it is on already, and off in these trials", expected
        if self.shares_model:
            return "this model cannot be copied, so it cannot be tried without changing it", expected
        if steps * step / 2 < expected:
            return (f"its warm-up, about {expected:.0f} s, is more than it could save in the planned {plural(steps, 'step')} of "
                    f"{1e3 * step:.3g} ms (epochs={self.epochs})"), expected
        return "", expected

    compile_seconds = 0.0

    def _data(self) -> LeftOut:
        "What the batches are made by, in the whole loop."
        train, share = self.learn.dls.train, self.report.data_share
        if not all(map(options.is_ours, self.learn.dls)):
            return [("workers, cache", "a loader that is not minifast's is used as it is: with DataLoader(dataset, ...) of "
                                                      "minifast they can be tried")]
        no_pins = [] if self.learn.dls.device.type == "cuda" else [("pinned memory", "there is no GPU here")]
        if share < _HIDDEN and self.report.times["wait"] < _HIDDEN * self.report.times["step"]:
            return [("workers, cache", f"the data cost {share:.0%} of a step: there is nothing to gain"), *no_pins]
        end = self.end(_DATA)
        found, left = options.cache_options(train)
        if found:
            sample = self._loader(cache="ram")
            for _ in zip(range(2), sample, strict=False):
                pass
            found, left = options.cache_options(train, sample.cache)
        self._choose(found, time.perf_counter() + 0.6 * (end - time.perf_counter()), "loop")
        workers, more = options.worker_options(train)
        pinned = [options.loader_option("pinned memory", options.SAME, pin_memory=True)] if self.learn.dls.device.type == "cuda" else []
        if dict(self.chosen.loader).get("cache") == "ram":
            workers = [o for o in workers if dict(o.loader).get("worker_type") != "process"]
        self._choose(pinned, end, "loop")
        before = self.chosen
        self._choose(workers[:2], time.perf_counter() + 0.6 * (end - time.perf_counter()), "loop")      # each kind, and then other numbers
        kind = dict(self.chosen.loader).get("worker_type")
        rest = [o for o in workers[2:] if kind is None or dict(o.loader).get("worker_type") == kind]
        self._choose(rest, end, "loop", before)
        return left + more + no_pins

    def _batch_size(self) -> LeftOut:
        "Larger batches: what they are worth for each item. Never applied."
        bs = getattr(self.learn.dls, "bs", None)
        name = f"batch size {2 * bs}" if isinstance(bs, int) else "batch size"
        if not options.is_ours(self.learn.dls.train) or not isinstance(bs, int):
            return [(name, "a loader that is not minifast's cannot be made again with another one")]
        try:
            quick = self._loader(num_workers=0, bs=2 * bs)
            per_batch = self.report.times["step"] * 4
            if time.perf_counter() + per_batch * 8 > self.end(_SIZE):
                return [(name, self._no_time())]
            batches = [to_device(b, self.twin.dls.device) for b in islice(iter(quick), 2)]
            factor = find_bs(batches[0]) / max(find_bs(self.batches[0]), 1)
        except ValueError as e:
            return [(name, (str(e).splitlines() or [""])[0])]
        trials = {_AS_IT_IS: self._trial(self.chosen), name: self._trial(self.chosen, self._kept(batches, quick))}
        found = compare(trials, max(1, self.n // 2), self.end(_SIZE))
        row = self._row(Option(name, OTHER_BS, (f"learn.dls.bs = {2 * bs}",), math.inf), found, "an item", per_item=factor)
        if row.verdict == "faster":
            row.note = "never applied: it is another training, to be tuned anew (learning rate, epochs)"
        return []

    def _together(self) -> None:
        "All that was chosen, in the whole loop and in validation, against the learner as it is."
        report, chosen, times = self.report, self.chosen, self.report.times
        if not chosen.name:
            return
        n, warm_up = self._n_loop(times["step"]), self._warm_up()
        loop = self._loader(**dict(chosen.loader)) if chosen.loader else self.loop
        now, best = self._trial(AS_IT_IS, self.loop, self.plain_twin), self._trial(chosen, loop)
        end = self.end(_ALL)
        left = max(end - time.perf_counter(), 0.0)
        found = compare({_AS_IT_IS: now, "best": best}, n, time.perf_counter() + (0.75 if self.n_valid else 1) * left, warm_up)
        if found.failed.get("best", OUT_OF_TIME) != OUT_OF_TIME:
            report.notes.append(f"all settings together: it failed: {found.failed['best']}")
            self.chosen = AS_IT_IS
            return
        if len(found.steps["best"]) > 1:
            steps = found.ratio("best", _AS_IT_IS)
        else:                               # of each setting there were enough
            steps = self.expected()
            report.notes.append("there was no time to measure all settings together, so what they bring is computed from what each brings; "
                                f"learn.speedup(budget='{self._more()}') measures it")
        if "best" in found.first and differ(found.losses["best"], found.losses[_AS_IT_IS]) > chosen.tolerance:
            report.notes.append("all settings together change the loss by more than rounding explains, so none is applied")
            self.chosen = AS_IT_IS
            return
        valid = Ratio(1.0, 1.0, 1.0, 0)
        v_now = 0.0
        if self.n_valid:
            dl = self.learn.dls.valid
            plain, other = (independent_loader(dl, **kw) for kw in ({}, dict(chosen.loader)))
            self._loaders += [plain, other]
            passes = compare({_AS_IT_IS: replace(now, batches=plain, training=False), "best": replace(best, batches=other, training=False)},
                             max(1, min(n, self.n_valid - 1)), end, rounds=5)
            if {"best", _AS_IT_IS} <= passes.first.keys():
                valid, v_now = passes.ratio("best", _AS_IT_IS), passes.seconds(_AS_IT_IS)
        step = found.seconds(_AS_IT_IS) if found.first else times["step"]
        times["best step"] = step / steps.value

        def over_all(step_ratio: float, valid_ratio: float) -> float:
            before = self.epochs * (self.n_train * step + self.n_valid * v_now)
            later = self.epochs * (self.n_train * step / step_ratio + self.n_valid * v_now / valid_ratio)
            # the first epoch fills the cache
            filling = self.n_train * step * (1 / self.without_cache - 1 / step_ratio) if dict(chosen.loader).get("cache") else 0.0
            return before / (later + max(filling, 0.0) + self.compile_seconds)

        report.step_ratio, report.ratio = steps.value, over_all(steps.value, valid.value)
        report.spread = over_all(steps.low, valid.low), over_all(steps.high, valid.high)
        if steps.value > 1 + NOISE and report.ratio > 1 + NOISE and not steps.is_slower:
            report.best = chosen.write
        else:
            report.notes.append(f"{chosen.name}: together no difference in the whole loop"
                                + (", which waits for its data" if report.bottleneck == "data" else "") + ", so nothing is applied")
            report.step_ratio, report.ratio, report.spread = 1.0, 1.0, (1.0, 1.0)

    def expected(self) -> Ratio:
        "How many times as fast a step is by what the chosen settings brought one by one."
        share, value = {"model": 1 - self.report.data_share, "loop": 1.0}, 1.0
        for row in self.report.rows:
            chosen = row.verdict == "faster" and not row.note and set(row.write.split("; ")) <= set(self.chosen.write)
            if chosen and row.ratio is not None and row.of in share:
                value *= 1 / (1 - share[row.of] + share[row.of] / row.ratio.value)
        return Ratio(value, value, value, 1)

    without_cache = 1.0         # how many times as fast a step was before a cache was chosen

    # -- trying options -----------------------------------------------------------------------------------------------------------
    def _choose(self, candidates: list[Option], end: float, of: str = "model", onto: Option | None = None) -> None:
        "Compare what was chosen so far with each candidate added to it (or to `onto`); the fastest that is sound is chosen."
        if not candidates:
            return
        onto = self.chosen if onto is None else onto
        if of == "model":
            trials = {o.name: self._trial(onto & o) for o in candidates}
            found = compare({_AS_IT_IS: self._trial(self.chosen), **trials}, self.n, end, again=self.again)
        else:
            loaders = {o.name: self._loader(**dict((onto & o).loader)) for o in candidates}
            base = self._loader(**dict(self.chosen.loader)) if self.chosen.loader else self.loop
            found = compare({_AS_IT_IS: self._trial(self.chosen, base),
                             **{o.name: self._trial(onto & o, loaders[o.name]) for o in candidates}},
                            self._n_loop(self.report.times["step"]), end, self._warm_up())
        rows = [self._row(o, found, of) for o in candidates]
        unsound = {o.write[0] for row, o in zip(rows, candidates, strict=True) if len(o.write) == 1 and row.verdict == "refused"}
        for row, o in zip(rows, candidates, strict=True):
            if row.verdict == "faster" and unsound.intersection(o.write):       # rounding of the other part may hide it
                row.verdict, row.note = "refused", f"a part of it is: {', '.join(unsound.intersection(o.write))}"
        sound = sorted((o for row, o in zip(rows, candidates, strict=True) if row.verdict == "faster"),
                       key=lambda o: (len(o.write), -found.ratio(o.name, _AS_IT_IS).value))
        if not sound:
            return
        best = sound[0]                     # the fastest of those that change least, unless one that changes more is faster yet
        for option in sound[1:]:
            if len(option.write) == len(best.write) or found.ratio(option.name, best.name).low > 1 + NOISE:
                best = max(option, best, key=lambda o: found.ratio(o.name, _AS_IT_IS).value)
        if any(k == "cache" for k, _ in best.loader):
            self.without_cache = max(1.0, self.report.times["step"] / found.seconds(_AS_IT_IS))
        for row, o in zip(rows, candidates, strict=True):
            if row.verdict == "faster" and o is not best:
                row.note = row.note or f"{best.name} is better"
        self.chosen = onto & best

    def _row(self, option: Option, found: Comparison, of: str, per_item: float = 1.0) -> Row:
        "What was found of one option, as a row of the report."
        row = Row(option.name, "not tried", None, of, option.changes, "", "; ".join(option.write))
        self.report.rows.append(row)
        if option.name in found.failed or _AS_IT_IS not in found.first:
            why = found.failed.get(option.name, OUT_OF_TIME)
            row.note = self._no_time() if why == OUT_OF_TIME else f"it failed: {why}"
            return row
        row.ratio = found.ratio(option.name, _AS_IT_IS).per_item(per_item)
        gap = differ(found.losses[option.name], found.losses[_AS_IT_IS])
        row.verdict = "faster" if row.ratio.is_faster else "slower" if row.ratio.is_slower else "no difference"
        if row.ratio.n < 3 and row.verdict == "no difference":
            row.verdict = "not judged"
            row.note = f"only {plural(row.ratio.n, 'round')}: more with budget='{self._more()}'"
        if gap > option.tolerance:
            row.note = ("the outputs or losses are no longer finite" if gap == math.inf else
                        f"the loss changes by {gap:.1%}, more than rounding explains ({option.tolerance:.1%})")
            row.verdict = "refused" if row.verdict == "faster" else row.verdict
        return row

    # -- loaders and trials -------------------------------------------------------------------------------------------------------
    def _trial(self, option: Option, batches: Any = None, twin: Any = None) -> Trial:
        return Trial(twin or self.twin, self.batches if batches is None else batches, option.cbs, option.opt_func)

    @property
    def plain_twin(self) -> Any:
        "A twin that is not compiled."
        return self.twin if not self.compile_seconds else self.learn.twin()

    def _kept(self, batches: list, loader: Any) -> Batches:
        "Batches in place of a loader, again and again."
        n = max(1, -(-64 // len(batches)))
        return Batches(batches * n, getattr(loader, "n_inp", None))

    def _loader(self, **overrides: Any) -> Any:
        "A loader of the training items for trials alone."
        train = self.learn.dls.train
        if options.is_ours(train):
            if train.cache is not None and "cache" not in overrides:
                overrides["cache"] = copy.copy(train.cache)             # an empty one
            made = independent_loader(train, seed=0, **overrides)
        else:
            made = copy.copy(train) if isinstance(train, torch.utils.data.DataLoader) else train
        self._loaders.append(made)
        return made

    def _end_workers(self) -> None:
        for loader in self._loaders:
            if hasattr(loader, "end_workers"):
                loader.end_workers()
            else:
                forget_workers(loader)
        self._loaders.clear()

    def _warm_up(self) -> int:
        "Steps of a loop before its workers are in step with it."
        workers = getattr(self.learn.dls.train, "num_workers", 0) or 0
        return max(1, min(2 + workers, self.n_train // 3))

    def _n_loop(self, step: float) -> int:
        "Steps of a loop that are timed: enough for the workers to be in step."
        return max(1, min(steps_for(step, least=4, seconds=0.25), self.n_train - self._warm_up() - 1))

    def _more(self) -> str:
        return f"{math.ceil(3 * self.seconds)}s"

    def _no_time(self) -> str:
        return f"there was no time left for it: learn.speedup(budget='{self._more()}') tries it"


def first_of(learn: Learner, seconds: float) -> Row | None:
    "The setting of the model that is worth most, measured for about so many `seconds`; None where none helps."
    adviser = Adviser(learn, seconds / _MODEL)
    with adviser.trying():
        adviser.keep_batches()
        adviser.model_settings()
    rows = [row for row in adviser.report.rows if row.verdict == "faster" and row.write == "; ".join(adviser.chosen.write)]
    return rows[0] if rows else None
