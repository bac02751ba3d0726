"""The learning-rate range test, and what to read from it. Source: L. Smith, "Cyclical Learning Rates for Training Neural Networks", 2017.

Everything happens on a copy of the training state kept in memory: afterwards weights, buffers, gradients, optimizer, random streams
and history are as they were, also after Ctrl-C, and nothing is written to disk.
"""
import copy
import math
from collections import namedtuple
from contextlib import contextmanager

import torch

from ..core.seeds import rng_state, set_rng_state
from .base import Callback, CancelFitException, CancelValidException, Order


class LRFinder(Callback):
    """Raise the learning rate exponentially from `start_lr` to `end_lr` over `num_it` batches and record the smoothed loss.

    Stops early when the loss exceeds 4 times its best (`stop_div`) or is no longer finite. `lrs` and `losses` hold the record.
    """

    order = Order.SCHEDULE

    def __init__(self, start_lr=1e-7, end_lr=10, num_it=100, stop_div=True):
        if not 0 < start_lr < end_lr:
            raise ValueError(f"lr_find needs 0 < start_lr < end_lr; received start_lr={start_lr}, end_lr={end_lr}")
        self.start_lr, self.end_lr, self.stop_div = start_lr, end_lr, stop_div
        self.num_it = max(6, num_it)
        self.lrs, self.losses = [], []
        self._average, self._best, self._outer = 0.0, math.inf, False

    def before_fit(self) -> None:
        self._outer, self.learn.dry_run = self.learn.dry_run, True

    def before_batch(self) -> None:
        if not self.learn.training:
            return
        lr = self.start_lr * (self.end_lr / self.start_lr) ** (self.learn.train_iter / self.num_it)
        for group in self.learn.opt.param_groups:
            group["lr"] = lr
        self.lrs.append(lr)

    def after_batch(self) -> None:
        if not self.learn.training:
            return
        done = len(self.losses) + 1
        self._average = 0.98 * self._average + 0.02 * float(self.learn.loss.detach())
        smooth = self._average / (1 - 0.98 ** done)
        self.losses.append(smooth)
        self._best = min(self._best, smooth)
        diverged = not math.isfinite(smooth) or (self.stop_div and smooth > 4 * self._best)
        if diverged or self.learn.train_iter >= self.num_it:
            raise CancelFitException

    def before_validate(self) -> None:
        raise CancelValidException

    def cleanup_fit(self) -> None:
        self.learn.dry_run = self._outer


@contextmanager
def leaving_no_trace(learn):
    "Within the block the learner may be trained; afterwards its weights, buffers, gradients, optimizer and random streams are as before."
    learn.to_device()                  # moving the model later would give it other buffers than those put back below
    named = [*learn.model.named_parameters(), *learn.model.named_buffers()]
    saved = {name: (t, t.detach().clone()) for name, t in named}
    grads = {name: None if p.grad is None else p.grad.clone() for name, p in learn.model.named_parameters()}
    flags = {name: p.requires_grad for name, p in learn.model.named_parameters()}
    modes = {m: m.training for m in learn.model.modules()}
    opt, freezer = learn.opt, learn.freezer
    opt_state = copy.deepcopy(opt.state_dict()) if opt is not None else None
    loaders = [dl for dl in learn.dls if hasattr(dl, "epoch")]
    epochs = [dl.epoch for dl in loaders]
    stateful = [(cb, cb.state_dict()) for cb in learn.cbs if hasattr(cb, "state_dict")]
    rng, learn.dry_run = rng_state(), True
    try:
        yield
    finally:
        learn.dry_run = False
        with torch.no_grad():
            for t, before in saved.values():
                t.copy_(before)
        for name, p in learn.model.named_parameters():
            p.grad = grads[name]
            p.requires_grad_(flags[name])
        for m, mode in modes.items():
            m.training = mode
        learn.opt, learn.freezer = opt, freezer
        if opt is not None:
            opt.load_state_dict(opt_state)
        for dl, epoch in zip(loaders, epochs, strict=True):
            dl.epoch = epoch
        for cb, state in stateful:
            cb.load_state_dict(state)
        set_rng_state(rng)


# -- suggestions: functions of the recorded learning rates and smoothed losses ------------------------------------------------------
def _usable(lrs, losses, num_it):
    "The part of the record that suggestions look at: without the first tenth and the last 5, cut at the first non-finite loss."
    lrs, losses = lrs[num_it // 10:-5], losses[num_it // 10:-5]
    end = next((i for i, v in enumerate(losses) if not math.isfinite(v)), len(losses))
    return lrs[:end], losses[:end]


def valley(lrs, losses, num_it):
    "A point two thirds into the longest falling stretch of the curve (longest strictly decreasing subsequence): fastai's default."
    n = len(losses)
    lengths = [1] * n
    for i in range(1, n):
        lengths[i] = 1 + max((lengths[j] for j in range(i) if losses[i] < losses[j]), default=0)
    end = lengths.index(max(lengths))
    start = end - lengths[end]
    section = (end - start) / 3
    return lrs[max(0, start + int(section) + int(section / 2))]


def minimum(lrs, losses, num_it):
    "A tenth of the learning rate at the lowest loss: one order of magnitude before it turns."
    return lrs[losses.index(min(losses))] / 10


def steep(lrs, losses, num_it):
    "The learning rate where the loss falls fastest per decade."
    slopes = _gradient(losses, [math.log(lr) for lr in lrs])
    return lrs[slopes.index(min(slopes))]


def slide(lrs, losses, num_it, lr_diff=15, thresh=0.005, adjust=1.0):
    "Slide a window of `lr_diff` points leftwards from the end until the slopes at its two ends differ by less than `thresh`."
    slopes = _gradient(losses, None)
    right, left = -1, -1 - lr_diff
    chosen = lrs[left] if len(lrs) >= -left else lrs[0]
    while left >= -len(slopes) and abs(slopes[right] - slopes[left]) > thresh:
        chosen = lrs[left]
        right, left = right - 1, left - 1
    return chosen * adjust


def _gradient(values, at):
    import numpy as np
    return (np.gradient(values) if at is None else np.gradient(values, at)).tolist()


class LRFindResult:
    "The record of one range test: `lrs`, `losses` and the `suggestions` by name."

    def __init__(self, lrs, losses, suggestions):
        self.lrs, self.losses, self.suggestions = lrs, losses, suggestions

    def plot(self, skip_end=5, ax=None):
        "Loss over learning rate (log axis) without the last `skip_end` points, each suggestion marked; returns the axes."
        from ..core.plots import subplots
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


def range_test(learn, start_lr, end_lr, num_it, stop_div, suggest_funcs):
    "Run the range test on `learn`, leaving no trace, and return an `LRFindResult`."
    finder = LRFinder(start_lr, end_lr, num_it, stop_div)
    n_epoch = finder.num_it // len(learn.dls.train) + 1
    with leaving_no_trace(learn), learn.temporary_recorder(), learn.no_logging():
        learn.fit(n_epoch, cbs=finder)
    n = len(finder.losses)
    lrs, losses = _usable(finder.lrs[:n], finder.losses, finder.num_it)
    functions = [] if suggest_funcs is None else list(suggest_funcs) if isinstance(suggest_funcs, (list, tuple)) else [suggest_funcs]
    if functions and len(losses) < 2 and n >= finder.num_it:
        raise ValueError(f"lr_find(num_it={num_it}): suggestions leave out the first tenth and the last 5 batches, so give at least 8; or "
                         "suggest_funcs=None")
    if functions and len(losses) < 2:
        raise ValueError(f"lr_find stopped after {n} batches because the loss diverged at once (from {finder.losses[0]:.3g}): too short "
                         f"to suggest anything. Start lower, `start_lr={start_lr / 100:g}`, or look at the data with `dls.show_batch()`")
    names = [f.__name__ if hasattr(f, "__name__") else f.func.__name__ for f in functions]
    values = [f(lrs, losses, finder.num_it) for f in functions]
    return LRFindResult(finder.lrs[:n], finder.losses, dict(zip(names, values, strict=True)))


def as_named_tuple(suggestions):
    "`SuggestedLRs(valley=..., slide=...)`."
    return namedtuple("SuggestedLRs", suggestions)(*suggestions.values())


class SuggestionMethod:
    "fastai's names for the four suggestions."
    Valley, Slide, Minimum, Steep = staticmethod(valley), staticmethod(slide), staticmethod(minimum), staticmethod(steep)
