"""Kinds of metric: averaged over batches, computed once on everything, or read off the loss.

A metric has four methods and attributes: `reset()` before an epoch, `accumulate(learn)` after each batch, then `value`, a number or
None where nothing was seen, under `name`. `lower_is_better` is True, False or, where nobody said, None. `accumulate` reads
`learn.pred` (raw output of the model), `learn.yb` (tuple of targets), `learn.loss` and `learn.loss_func`.
Nothing here waits for the device before `value` is asked for.
"""
import math
import re
from functools import partial

import torch

from ..core.messages import describe
from ..core.nested import find_bs
from ..nn.loss_traits import kind_of, loss_name, needs_same_shape


def func_name(func):
    "The name of a function, also inside `functools.partial`."
    while isinstance(func, partial):
        func = func.func
    return getattr(func, "__name__", None) or type(func).__name__


def func_attr(func, attr, default=None):
    "`func.attr`, also inside `functools.partial`."
    while isinstance(func, partial):
        func = func.func
    return getattr(func, attr, default)


def batch_size(learn):
    "Items in the batch `learn` is at: the length of its targets, else of its predictions."
    return find_bs(learn.yb) if len(learn.yb) else find_bs(learn.pred)


class _Sum:
    "A weighted sum kept on the device of what is added, in double precision where the device has it."

    def __init__(self):
        self.total, self.count = None, 0

    def add(self, x, n):
        if isinstance(x, torch.Tensor):
            x = x.detach()
            if self.total is None:
                self.total = torch.zeros((), dtype=torch.float32 if x.device.type == "mps" else torch.float64, device=x.device)
            self.total.add_(x.reshape(()), alpha=n)
        else:
            self.total = (0.0 if self.total is None else self.total) + x * n
        self.count += n

    def mean(self):
        return float(self.total) / self.count if self.count else None


class Metric:
    "Base of all metrics: subclass it and write `reset`, `accumulate` and `value`."

    lower_is_better: bool | None = None       #: True, False, or None when undeclared
    _name: str | None = None

    def reset(self):
        "Forget everything: called before each epoch."

    def accumulate(self, learn):
        "Take in the batch `learn` is at."
        raise NotImplementedError(f"{type(self).__name__} must define accumulate(self, learn)")

    @property
    def value(self):
        "The metric over everything since `reset`, as a number; None if there was nothing."
        raise NotImplementedError(f"{type(self).__name__} must define the property value")

    @property
    def name(self):
        "What it is called in tables and by `monitor=`: by default the class in small letters with underscores."
        return self._name or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", re.sub("Metric$", "", type(self).__name__) or "Metric").lower()

    @name.setter
    def name(self, value):
        self._name = value

    def __repr__(self):
        return f"{type(self).__name__}({self.name})"


class AvgMetric(Metric):
    """The mean of `func(pred, *yb)` over batches, each weighted by its number of items: sum(metric_b * bs_b) / sum(bs_b).

    func returns one number per batch. Right for what is a mean over items (accuracy); a metric such as F1 or R2 needs `AccumMetric`.
    """

    def __init__(self, func, name=None, lower_is_better=None):
        if not callable(func):
            raise TypeError(f"AvgMetric takes a function of (predictions, targets); received {describe(func)}")
        if func_attr(func, "accumulated", False):
            raise ValueError(f"the mean of {func_name(func)} over batches is not its value on the whole set: "
                             f"write metrics=[{func_name(func)}], or AccumMetric({func_name(func)}).")
        self.func, self._name = func, name or func_name(func)
        if lower_is_better is None:                        # every loss is better low
            lower_is_better = True if kind_of(func) else func_attr(func, "lower_is_better")
        self.lower_is_better = lower_is_better
        self._same_shape = needs_same_shape(func)
        self.reset()

    def reset(self):
        self._sum = _Sum()

    def accumulate(self, learn):
        if self._same_shape and learn.pred.shape != learn.yb[0].shape:
            raise ValueError(f"metric {self.name} compares element by element, but predictions {describe(learn.pred)} and targets "
                             f"{describe(learn.yb[0])} differ in shape and would be broadcast: use mse, mae or a ...Flat loss.")
        with torch.no_grad():
            m = self.func(learn.pred, *learn.yb)
        if isinstance(m, torch.Tensor) and m.numel() != 1:
            raise ValueError(f"metric {self.name} must return one number per batch; it returned {describe(m)}. Write .mean() at its end.")
        self._sum.add(m, batch_size(learn))

    @property
    def value(self):
        return self._sum.mean()


class AvgLoss(Metric):
    "The mean of the loss over batches, each weighted by its number of items."
    lower_is_better = True
    _name = "loss"

    def __init__(self):
        self.reset()

    def reset(self):
        self._sum = _Sum()

    def accumulate(self, learn):
        loss = learn.loss.detach()
        self._sum.add(loss.mean() if loss.ndim else loss, batch_size(learn))

    @property
    def value(self):
        return self._sum.mean()


class Perplexity(AvgLoss):
    "exp of the mean loss: for a language model, among how many words it hesitates."
    _name = "perplexity"

    @property
    def value(self):
        mean = self._sum.mean()
        if mean is None:
            return None
        return math.exp(mean) if not mean > 709 else math.inf


class AvgSmoothLoss(Metric):
    "Exponential average of the batch losses, v <- beta*v + (1-beta)*loss, shown as v / (1 - beta**t)."
    lower_is_better = True
    _name = "smooth_loss"

    def __init__(self, beta=0.98):
        if not 0 <= beta < 1:
            raise ValueError(f"AvgSmoothLoss(beta={beta}): beta is from 0 (the last loss) to just under 1")
        self.beta = beta
        self.reset()

    def reset(self):
        self.count, self.val = 0, None

    def accumulate(self, learn):
        loss = learn.loss.detach()
        loss = (loss.mean() if loss.ndim else loss).float()
        self.val = loss * (1 - self.beta) if self.val is None else self.val.lerp_(loss, 1 - self.beta)
        self.count += 1

    @property
    def value(self):
        return float(self.val) / (1 - self.beta ** self.count) if self.count else None


class LossMetric(Metric):
    "The mean over batches of `learn.loss_func.<attr>`, a part of the loss that the loss function stores at each call."
    lower_is_better = True

    def __init__(self, attr, name=None):
        self.attr, self._name = attr, name or attr
        self.reset()

    def reset(self):
        self._sum = _Sum()

    def accumulate(self, learn):
        if not hasattr(learn.loss_func, self.attr):
            raise AttributeError(f"LossMetric({self.attr!r}): the loss {loss_name(learn.loss_func)} has no attribute {self.attr!r}. "
                                 f"Set self.{self.attr} = ... where it computes the loss.")
        part = getattr(learn.loss_func, self.attr)
        self._sum.add(part.detach().mean() if isinstance(part, torch.Tensor) else part, batch_size(learn))

    @property
    def value(self):
        return self._sum.mean()


def LossMetrics(attrs, names=None):
    "A list of `LossMetric`, one for each of `attrs`: a list, or a text such as 'recon,kl'."
    attrs = [a.strip() for a in attrs.split(",")] if isinstance(attrs, str) else list(attrs)
    names = attrs if names is None else [n.strip() for n in names.split(",")] if isinstance(names, str) else list(names)
    if len(names) != len(attrs):
        raise ValueError(f"LossMetrics: {len(attrs)} attributes {attrs} but {len(names)} names {names}")
    return [LossMetric(a, n) for a, n in zip(attrs, names, strict=True)]


class ValueMetric(Metric):
    "A metric computed elsewhere, such as in a callback: its value is whatever `func()` returns."

    def __init__(self, func, name=None, lower_is_better=None):
        if not callable(func):
            raise TypeError(f"ValueMetric takes a function without arguments; received {describe(func)}")
        self.func, self._name, self.lower_is_better = func, name or func_name(func), lower_is_better

    def accumulate(self, learn):
        pass

    @property
    def value(self):
        return self.func()
