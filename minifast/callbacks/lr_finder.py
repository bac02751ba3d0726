"""The learning-rate range test, and what to read from it. Source: L. Smith, "Cyclical Learning Rates for Training Neural Networks", 2017.

Everything happens on a copy of the training state kept in memory: afterwards weights, buffers, gradients, optimizer, random streams
and history are as they were, also after Ctrl-C, and nothing is written to disk.
"""
import copy
import math
from collections import namedtuple
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

import numpy as np
import torch

from ..core import Axes, rng_state, set_rng_state, subplots
from ..core.seeds import give_back_loops, undisturbed
from .base import CancelFitException, CancelValidException, Learner, Order, TrainingCallback, restore_states, states_of


class LRFinder(TrainingCallback):
    """Raise the learning rate exponentially and record the smoothed loss; the fit is a dry run.

    Args:
        start_lr, end_lr: the range of learning rates.
        num_it: number of batches, at least 6.
        stop_div: stop when the loss exceeds 4 times its best; it always stops when the loss is no longer finite.

    Attributes:
        lrs, losses: the record.
    """

    order = Order.SCHEDULE

    def __init__(self, start_lr: float = 1e-7, end_lr: float = 10, num_it: int = 100, stop_div: bool = True):
        if not 0 < start_lr < end_lr:
            raise ValueError(f"lr_find needs 0 < start_lr < end_lr; received start_lr={start_lr}, end_lr={end_lr}")
        self.start_lr, self.end_lr, self.num_it, self.stop_div = start_lr, end_lr, max(6, num_it), stop_div
        self.lrs, self.losses, self._average, self._was_dry = [], [], 0.0, False

    def before_fit(self) -> None:
        self._was_dry, self.learn.dry_run = self.learn.dry_run, True

    def before_batch(self) -> None:
        lr = self.start_lr * (self.end_lr / self.start_lr) ** (self.learn.train_iter / self.num_it)
        for group in self.learn.opt.param_groups:
            group["lr"] = lr
        self.lrs.append(lr)

    def after_batch(self) -> None:
        self._average = 0.98 * self._average + 0.02 * float(self.learn.loss.detach())
        smooth = self._average / (1 - 0.98 ** (len(self.losses) + 1))
        self.losses.append(smooth)
        diverged = not math.isfinite(smooth) or (self.stop_div and smooth > 4 * min(self.losses))
        if diverged or self.learn.train_iter >= self.num_it:
            raise CancelFitException

    def before_validate(self) -> None:
        raise CancelValidException

    def cleanup_fit(self) -> None:
        self.learn.dry_run = self._was_dry


@contextmanager
def leaving_no_trace(learn: "Learner") -> Iterator[None]:
    "Within the block the learner may be trained; afterwards its weights, buffers, gradients, optimizer and random streams are as before."
    with learn.pass_lock.for_fit():
        yield from _leaving_no_trace(learn)


def _leaving_no_trace(learn):
    give_back_loops(learn.dls)
    learn.to_device()                  # moving the model later would give it other buffers than those put back below
    tensors = {t: t.detach().clone() for t in (*learn.model.parameters(), *learn.model.buffers())}
    grads = {p: None if p.grad is None else p.grad.clone() for p in learn.model.parameters()}
    kept = [(learn, "opt"), (learn, "freezer"), *((p, "requires_grad") for p in grads), *((m, "training") for m in learn.model.modules()),
            *((dl, "epoch") for dl in learn.dls if hasattr(dl, "epoch"))]
    attributes = [(owner, name, getattr(owner, name)) for owner, name in kept]
    opt_state = copy.deepcopy(learn.opt.state_dict()) if learn.opt is not None else None
    states, rng, learn.dry_run = states_of(learn.cbs), rng_state(), True
    try:
        yield
    finally:
        with undisturbed():
            learn.dry_run = False
            with torch.no_grad():
                for t, before in tensors.items():
                    t.copy_(before)
            for owner, name, value in [*attributes, *((p, "grad", grad) for p, grad in grads.items())]:
                setattr(owner, name, value)
            if opt_state is not None:
                learn.opt.load_state_dict(opt_state)
            restore_states(learn.cbs, states)
            set_rng_state(rng)


# -- suggestions: functions of the recorded learning rates and smoothed losses ------------------------------------------------------
def valley(lrs: Sequence[float], losses: Sequence[float], num_it: int) -> float:
    """A point two thirds into the longest falling stretch of the curve (longest strictly decreasing subsequence): fastai's default.

    Args:
        lrs: learning rates of the range test.
        losses: smoothed losses, one for each rate.
        num_it: number of batches of the range test.
    """
    n = len(losses)
    lengths = [1] * n
    for i in range(1, n):
        lengths[i] = 1 + max((lengths[j] for j in range(i) if losses[i] < losses[j]), default=0)
    end = lengths.index(max(lengths))
    start = end - lengths[end]
    section = (end - start) / 3
    return lrs[max(0, start + int(section) + int(section / 2))]


def minimum(lrs: Sequence[float], losses: Sequence[float], num_it: int) -> float:
    """A tenth of the learning rate at the lowest loss: one order of magnitude before it rises again.

    Args:
        lrs, losses, num_it: see `valley`.
    """
    return lrs[losses.index(min(losses))] / 10


def steep(lrs: Sequence[float], losses: Sequence[float], num_it: int) -> float:
    """The learning rate at which the loss falls fastest per decade.

    Args:
        lrs, losses, num_it: see `valley`.
    """
    return lrs[int(np.gradient(losses, np.log(lrs)).argmin())]


def slide(lrs: Sequence[float], losses: Sequence[float], num_it: int, lr_diff: int = 15, thresh: float = 0.005,
          adjust: float = 1.0) -> float:
    """Slide a window leftwards from the end until the slopes at its two ends differ by less than `thresh`.

    Args:
        lrs, losses, num_it: see `valley`.
        lr_diff: width of the window, in points.
        thresh: difference of the slopes.
        adjust: factor on the result.
    """
    slopes = np.gradient(losses)
    right, left = -1, -1 - lr_diff
    chosen = lrs[left] if len(lrs) >= -left else lrs[0]
    while left >= -len(slopes) and abs(slopes[right] - slopes[left]) > thresh:
        chosen = lrs[left]
        right, left = right - 1, left - 1
    return chosen * adjust


class LRFindResult:
    """The record of one range test.

    Attributes:
        lrs, losses: learning rates and smoothed losses.
        suggestions: learning rates by name.
    """

    def __init__(self, lrs: list[float], losses: list[float], suggestions: dict[str, float]):
        self.lrs, self.losses, self.suggestions = lrs, losses, suggestions

    def plot(self, skip_end: int = 5, ax: "Axes | None" = None) -> "Axes":
        "Loss over learning rate (log axis) without the last `skip_end` points, each suggestion marked; returns the axes."
        ax = subplots(figsize=(6, 4))[1][0] if ax is None else ax
        end = len(self.lrs) - skip_end if len(self.lrs) > skip_end else len(self.lrs)
        ax.plot(self.lrs[:end], self.losses[:end])
        for i, (name, lr) in enumerate(self.suggestions.items()):
            nearest = min(range(len(self.lrs)), key=lambda j: abs(math.log(self.lrs[j] / lr)))
            ax.plot(lr, self.losses[nearest], "o", color=f"C{i + 1}", label=f"{name}: {lr:.2e}")
        ax.set(xscale="log", xlabel="learning rate", ylabel="loss (smoothed)")
        if self.suggestions:
            ax.legend()
        return ax


def range_test(learn: "Learner", start_lr: float, end_lr: float, num_it: int, stop_div: bool,
               suggest_funcs: Callable | Sequence[Callable] | None) -> LRFindResult:
    "Run the range test on `learn` without leaving a trace."
    finder = LRFinder(start_lr, end_lr, num_it, stop_div)
    n_epoch = finder.num_it // len(learn.dls.train) + 1
    with leaving_no_trace(learn), learn.temporary_recorder(), learn.no_logging():
        learn.fit(n_epoch, cbs=finder)
    n = len(finder.losses)
    start = finder.num_it // 10                # suggestions leave out the first tenth and the last 5, and stop at a loss that is not finite
    losses = list(takewhile(math.isfinite, finder.losses[start:-5]))
    lrs = finder.lrs[start:start + len(losses)]
    functions: Any = () if suggest_funcs is None else suggest_funcs if isinstance(suggest_funcs, (list, tuple)) else [suggest_funcs]
    if functions and len(losses) < 2:
        raise ValueError(f"lr_find(num_it={num_it}): suggestions leave out the first tenth and the last 5 batches, so give at least 8; or "
                         "suggest_funcs=None" if n >= finder.num_it else
                         f"lr_find stopped after {n} batches because the loss diverged at once (from {finder.losses[0]:.3g}): too short "
                         f"to suggest anything. Start lower, `start_lr={start_lr / 100:g}`, or look at the data with `dls.show_batch()`")
    suggestions = {getattr(f, "__name__", None) or f.func.__name__: f(lrs, losses, finder.num_it) for f in functions}
    return LRFindResult(finder.lrs[:n], finder.losses, suggestions)


def as_named_tuple(suggestions: dict[str, float]) -> Any:
    "`SuggestedLRs(valley=..., slide=...)`."
    return namedtuple("SuggestedLRs", suggestions)(**suggestions)


class SuggestionMethod:
    "fastai's names for the four suggestions."
    Valley, Slide, Minimum, Steep = staticmethod(valley), staticmethod(slide), staticmethod(minimum), staticmethod(steep)
