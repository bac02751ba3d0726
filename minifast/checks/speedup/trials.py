"""Trials: the learner's own loop for a few steps, with settings that are tried, on its twin; and how trials are compared.

Machines are shared and their clocks vary, so trials take turns: each round runs every one of them, in changing order, and what counts is
the median over the rounds of the ratio within a round.
"""
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ...callbacks.base import Callback, CancelFitException, CancelValidException
from ...core.seeds import fixed_seed
from ...data.loaders import DataLoaders
from ...learner.learner import Learner

#: The learning rate of trials: so small that the weights stay where they are, and the losses of two trials can be compared.
LR = 1e-9
#: Times that differ by less are the same.
NOISE = 0.03
OUT_OF_TIME = "there was no time left"


def now(device: torch.device) -> float:
    "The time when the device has done what it was given."
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).synchronize()
    return time.perf_counter()


@dataclass
class Block:
    "A few steps of a trial. step: seconds for one; wait: of them waiting for data; losses: of all steps; total: seconds, warm-up included."
    step: float
    wait: float
    losses: list[float]
    total: float


@dataclass(frozen=True)
class Trial:
    """Settings to be tried, and the batches they are tried on.

    batches: kept batches, or a loader; a loader begins anew with each block, so that all blocks have the same items. cbs: make the
    callbacks. training: False: a validation pass.
    """
    learn: Learner
    batches: Any
    cbs: Sequence[Callable[[], Callback]] = ()
    opt_func: Callable[..., torch.optim.Optimizer] | None = None
    training: bool = True

    def run(self, n: int, warm_up: int = 1, seed: int = 0, end: float = float("inf")) -> Block:
        "Run `warm_up` steps that do not count, and `n` that do, or as many as there are, or as fit in before `end`."
        twin, data, own, clock = self.learn, self.learn.dls, self.learn.opt_func, _Clock(self.learn.dls.device, n, warm_up, end)
        if hasattr(self.batches, "epoch"):
            self.batches.epoch = 0
        first, last = Callback(before_batch=clock.begins), Callback(after_batch=clock.ends)
        first.order, last.order = -1000, 1000
        began = time.perf_counter()
        with fixed_seed(seed):
            try:
                twin.dls = DataLoaders(self.batches, path=data.path, device=data.device)
                cbs = [make() for make in self.cbs]
                if self.training:
                    twin.opt_func = self.opt_func or own
                    twin.create_opt()
                    with twin.added_cbs([first, last]):
                        twin.fit(1, LR, cbs=cbs)
                else:
                    twin.validation_pass(twin.dls.train, [first, last, *cbs])
            finally:
                twin.dls, twin.opt_func, twin.opt, twin.freezer = data, own, None, None
        return clock.block(time.perf_counter() - began)


class _Clock:
    "Notes when batches begin and end."

    def __init__(self, device, n, warm_up, end):
        self.device, self.n, self.warm_up, self.end = device, n, warm_up, end
        self.done, self.waited, self.losses, self.since, self.start, self.stop = 0, 0.0, [], None, None, None
        self.counted = 0

    def begins(self, cb):
        if not self.warm_up and self.start is None:
            self.start = now(self.device)
        elif self.start is not None:
            self.waited += time.perf_counter() - self.since

    def ends(self, cb):
        learn = cb.learn
        if learn.loss is not None:
            self.losses.append(learn.loss.detach())
        self.done += 1
        over = time.perf_counter() > self.end
        if self.done <= self.warm_up:
            self.start = now(self.device)
            self.counted = 0
        else:
            self.counted += 1
        last = self.counted >= self.n or learn.iter + 1 >= learn.n_iter or over
        self.stop = now(self.device) if last else None
        if last:
            raise CancelFitException if learn.training else CancelValidException
        self.since = time.perf_counter()

    def block(self, total):
        steps = max(self.counted, 1)
        took = (self.stop or 0.0) - (self.start or 0.0) if self.counted else total
        return Block(took / steps, self.waited / steps, [float(loss) for loss in self.losses], total)


def failure(error: BaseException) -> str:
    "What went wrong, in one line."
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:150]}"


@dataclass
class Comparison:
    "What trials that took turns took: seconds of a step by name and round, losses of the first block, and why those failed that did."
    steps: dict[str, list[float]] = field(default_factory=dict)
    losses: dict[str, list[float]] = field(default_factory=dict)
    waits: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def seconds(self, name: str) -> float:
        "The median time of a step; of the first block where there was no time for more."
        return statistics.median(self.steps[name] or [self.first[name]])

    def ratio(self, name: str, base: str) -> "Ratio":
        "How many times as fast as `base` a trial is; by the first blocks alone where there was no time for more."
        pairs = [*zip(self.steps[base], self.steps[name], strict=False)] or [(self.first[base], self.first[name])]
        return Ratio.of([b / o for b, o in pairs])


@dataclass(frozen=True)
class Ratio:
    "A median over `n` rounds, with its spread: the quartiles, of fewer than six rounds the extremes."
    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, ratios: Sequence[float]) -> "Ratio":
        "The median and the spread of these."
        values = sorted(ratios)
        out = 0 if len(values) < 6 else round(0.25 * (len(values) - 1))
        return cls(statistics.median(values), values[out], values[-1 - out], len(values))

    @property
    def margin(self) -> float:
        "How far from 1 it must be to count: further after few rounds; after a single one nothing counts."
        return NOISE if self.n >= 6 else 2 * NOISE if self.n >= 3 else 5 * NOISE if self.n == 2 else float("inf")

    @property
    def is_faster(self) -> bool:
        "Whether it is faster beyond the noise."
        return self.value > 1 + self.margin and self.low > 1

    @property
    def is_slower(self) -> bool:
        "Whether it is slower beyond the noise."
        return self.value < 1 - self.margin and self.high < 1

    def per_item(self, factor: float) -> "Ratio":
        "The ratio where each step does `factor` times as much."
        return Ratio(self.value * factor, self.low * factor, self.high * factor, self.n)


def compare(trials: dict[str, Trial], n: int, end: float, warm_up: int = 1, rounds: int = 11, again: int | None = None) -> Comparison:
    """Let `trials` take turns until `end` (`time.perf_counter()`), at most for so many `rounds`; after the first block each warms up for
    `again` steps (None: `warm_up`).

    The first trial is what the others are compared with. The first block of each warms up; where there is no time for three rounds of
    all, those that were slowest in it have no more. A trial that fails is left out from then on.
    """
    base = next(iter(trials))
    found, lengths = Comparison({name: [] for name in trials}), dict[str, float]()
    for name, trial in trials.items():
        if found.losses and time.perf_counter() > end:
            found.failed[name] = OUT_OF_TIME
            continue
        try:
            block = trial.run(min(n, 3), warm_up, end=end)
            found.losses[name], found.waits[name], found.first[name] = block.losses, block.wait, block.step
            lengths[name] = block.total
        except Exception as e:
            found.failed[name] = failure(e)
    names = [name for name in trials if name not in found.failed]
    rounds = rounds if base in names else 0
    while len(names) > 2 and time.perf_counter() + 3 * sum(lengths[name] for name in names) > end:
        names.remove(max(names[1:], key=lambda name: found.first[name]))        # the slowest one; not the first, the base
    for r in range(rounds):
        if time.perf_counter() + sum(lengths[name] for name in names) > end:
            break
        row = {}
        for name in names[r % len(names):] + names[:r % len(names)]:
            try:
                block = trials[name].run(n, warm_up if again is None else again)
            except Exception as e:
                found.failed[name] = failure(e)
                continue
            row[name], lengths[name], found.waits[name] = block.step, block.total, block.wait
        names = [name for name in names if name not in found.failed]
        if names and names[0] != base:
            break                                           # nothing to compare with
        for name in names:
            found.steps[name].append(row[name])
    return found


def steps_for(step: float, least: int = 1, most: int = 60, seconds: float = 0.12) -> int:
    "How many steps make a block that is long enough to be timed."
    return max(least, min(most, round(seconds / max(step, 1e-6))))


def differ(losses: Iterable[float], others: Iterable[float]) -> float:
    "By which fraction the mean losses of two trials of the same batches differ; infinite where one of them is not finite."
    pairs = list(zip(losses, others, strict=False))
    gap = sum(abs(a - b) for a, b in pairs)
    size = sum(abs(b) for _, b in pairs)
    return gap / max(size, 1e-2 * len(pairs), 1e-12) if gap == gap and size == size and gap != float("inf") else float("inf")
