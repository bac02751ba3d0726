"""Metrics of segmentation masks, over all pixels of the epoch."""
import math

import torch

from ..core.messages import describe
from .accumulate import flatten_check
from .base import Metric
from .functions import several_classes


class Dice(Metric):
    """Dice coefficient of the foreground of a two-class mask, 2*|A and B| / (|A| + |B|), over all pixels of the epoch.

    axis: the classes in the predictions. None where neither masks nor predictions have any foreground. More classes: `DiceMulti`.
    """

    lower_is_better = False
    _more = "DiceMulti"

    def __init__(self, axis=1):
        self.axis = axis
        self.reset()

    def reset(self):
        self._counts = None

    def accumulate(self, learn):
        name = type(self).__name__
        several_classes(learn.pred, self.axis, name)
        if learn.pred.shape[self.axis] != 2:
            raise ValueError(f"{name} is for two classes, background and foreground; the predictions are {describe(learn.pred)}, "
                             f"{learn.pred.shape[self.axis]} along axis {self.axis}: write {self._more}().")
        pred, targ = flatten_check(learn.pred.detach().argmax(dim=self.axis), learn.yb[0])
        pred, targ = pred.bool(), targ.long()
        truth = targ > 0
        counts = torch.stack([(pred & truth).sum(), pred.sum() + truth.sum(), ((targ != 0) & (targ != 1)).sum()])
        self._counts = counts if self._counts is None else self._counts + counts

    def _inter_total(self):
        if self._counts is None:
            return 0, 0
        inter, total, other = self._counts.tolist()
        if other:
            raise ValueError(f"{type(self).__name__} takes masks of 0 and 1; {other:,} pixels have other values: convert them, or write "
                             f"{self._more}().")
        return inter, total

    @property
    def value(self):
        inter, total = self._inter_total()
        return 2 * inter / total if total else None


class JaccardCoeff(Dice):
    "Intersection over union of the foreground of a two-class mask, over all pixels of the epoch."
    _more = "JaccardCoeffMulti"

    @property
    def value(self):
        inter, total = self._inter_total()
        return inter / (total - inter) if total else None


class DiceMulti(Metric):
    """Mean over classes of the Dice coefficient, over all pixels of the epoch; classes that never appear are left out.

    Pixels whose target is no class (such as 255, not labelled) are left out too.
    """

    lower_is_better = False

    def __init__(self, axis=1):
        self.axis = axis
        self.reset()

    def reset(self):
        self._confusion = None

    def accumulate(self, learn):
        several_classes(learn.pred, self.axis, type(self).__name__)
        n = learn.pred.shape[self.axis]
        pred, targ = flatten_check(learn.pred.detach().argmax(dim=self.axis), learn.yb[0])
        targ = targ.long()
        cell = torch.where((targ >= 0) & (targ < n), targ * n + pred, n * n)            # the last cell takes what does not count
        if self._confusion is None:
            self._confusion = torch.zeros(n * n + 1, dtype=torch.long, device=pred.device)
        self._confusion.scatter_add_(0, cell, torch.ones_like(cell))

    def _inter_total(self):
        "Per class: pixels of it in both, and pixels in the one plus pixels in the other, for the classes that appear."
        if self._confusion is None:
            return None, None
        n = math.isqrt(len(self._confusion) - 1)
        table = self._confusion[:-1].view(n, n).double().cpu()
        inter, total = table.diag(), table.sum(0) + table.sum(1)
        return inter[total > 0], total[total > 0]

    @property
    def value(self):
        inter, total = self._inter_total()
        return None if inter is None or not len(inter) else float((2 * inter / total).mean())


class JaccardCoeffMulti(DiceMulti):
    "Mean over classes of intersection over union (mIoU), over all pixels of the epoch; classes that never appear are left out."

    @property
    def value(self):
        inter, total = self._inter_total()
        return None if inter is None or not len(inter) else float((inter / (total - inter)).mean())
