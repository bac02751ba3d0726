"""Metrics of segmentation masks, over all pixels of the epoch."""
import math
from typing import TYPE_CHECKING

import torch

from ..core.messages import describe
from .accumulate import flatten_check
from .base import Metric
from .functions import check_several_classes

if TYPE_CHECKING:
    from ..learner.learner import Learner


def _dice(inter, total):
    return 2 * inter / total


def _jaccard(inter, total):
    return inter / (total - inter)


class Dice(Metric):
    """Dice coefficient of the foreground of a two-class mask, 2*|A and B| / (|A| + |B|), over all pixels of the epoch.

    None where neither masks nor predictions have any foreground. For more classes use `DiceMulti`.

    Args:
        axis: the axis of the classes in the predictions.
    """

    lower_is_better = False
    _more = "DiceMulti"
    _score = staticmethod(_dice)

    def __init__(self, axis: int = 1):
        self.axis = axis
        self.reset()

    def reset(self) -> None:
        self._counts: torch.Tensor | None = None

    def accumulate(self, learn: "Learner") -> None:
        name = type(self).__name__
        check_several_classes(learn.pred, self.axis, name)
        if learn.pred.shape[self.axis] != 2:
            raise ValueError(f"{name} is for two classes, background and foreground; the predictions are {describe(learn.pred)}, "
                             f"{learn.pred.shape[self.axis]} along axis {self.axis}: write {self._more}().")
        pred, targ = flatten_check(learn.pred.detach().argmax(dim=self.axis), learn.yb[0])
        pred, targ = pred.bool(), targ.long()
        truth = targ > 0
        counts = torch.stack([(pred & truth).sum(), pred.sum() + truth.sum(), ((targ != 0) & (targ != 1)).sum()])
        self._counts = counts if self._counts is None else self._counts + counts

    @property
    def value(self) -> float | None:
        inter, total, other = (0, 0, 0) if self._counts is None else self._counts.tolist()
        if other:
            raise ValueError(f"{type(self).__name__} takes masks of 0 and 1; {other:,} pixels have other values: convert them, or write "
                             f"{self._more}().")
        return self._score(inter, total) if total else None


class JaccardCoeff(Dice):
    """Intersection over union of the foreground of a two-class mask, over all pixels of the epoch.

    Args:
        axis: the axis of the classes in the predictions.
    """

    _more = "JaccardCoeffMulti"
    _score = staticmethod(_jaccard)


class DiceMulti(Metric):
    """Mean over classes of the Dice coefficient, over all pixels of the epoch; classes that never appear are left out.

    Pixels whose target is no class (such as 255, not labelled) are left out too.

    Args:
        axis: the axis of the classes in the predictions.
    """

    lower_is_better = False
    _score = staticmethod(_dice)

    def __init__(self, axis: int = 1):
        self.axis = axis
        self.reset()

    def reset(self) -> None:
        self._confusion: torch.Tensor | None = None

    def accumulate(self, learn: "Learner") -> None:
        check_several_classes(learn.pred, self.axis, type(self).__name__)
        n = learn.pred.shape[self.axis]
        pred, targ = flatten_check(learn.pred.detach().argmax(dim=self.axis), learn.yb[0])
        targ = targ.long()
        cell = torch.where((targ >= 0) & (targ < n), targ * n + pred, n * n)            # the last cell takes what does not count
        if self._confusion is None:
            self._confusion = torch.zeros(n * n + 1, dtype=torch.long, device=pred.device)
        self._confusion.scatter_add_(0, cell, torch.ones_like(cell))

    @property
    def value(self) -> float | None:
        if self._confusion is None:
            return None
        n = math.isqrt(len(self._confusion) - 1)
        table = self._confusion[:-1].view(n, n).double().cpu()
        total = table.sum(0) + table.sum(1)                     # per class: its pixels in the predictions plus those in the targets
        appears = total > 0
        return float(self._score(table.diag()[appears], total[appears]).mean()) if appears.any() else None


class JaccardCoeffMulti(DiceMulti):
    """Mean over classes of intersection over union (mIoU), over all pixels of the epoch; classes that never appear are left out.

    Args:
        axis: the axis of the classes in the predictions.
    """

    _score = staticmethod(_jaccard)
