"""Metrics of segmentation masks, over all pixels of the epoch."""
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ..core.messages import describe
from ..nn.loss_traits import ignore_index_of
from .base import Metric, check_tensor, flatten_check
from .classes import class_ids, classes_of
from .functions import check_several_classes

if TYPE_CHECKING:
    from ..learner.learner import Learner


class DiceMulti(Metric):
    """Mean over classes of the Dice coefficient, over all pixels of the epoch; classes that never appear are left out.

    Pixels whose target is no class (such as 255, not labelled) are left out too.

    Args:
        axis: the axis of the classes in the predictions.
        labels: the classes that the mean is over, by name or id, such as all but the background (None: all).
    """

    lower_is_better = False
    _score: Callable[[Any, Any], Any] = staticmethod(lambda both, total: 2 * both / total)
    _classes: slice | list[int] = slice(None)              # that the mean is over

    def __init__(self, axis: int = 1, labels: Sequence[int | str] | None = None):
        self.axis, self.labels = axis, labels
        self.reset()

    def reset(self) -> None:
        #: How many pixels of each target (rows) got each prediction (columns), flattened; then how many have a target that is no class.
        self._counts: torch.Tensor | None = None

    def accumulate(self, learn: "Learner") -> None:
        check_tensor(self, learn.pred)
        check_several_classes(learn.pred, self.axis, type(self).__name__)
        n = learn.pred.shape[self.axis]
        pred, targ = flatten_check(learn.pred.detach().argmax(dim=self.axis), learn.yb[0])
        targ = targ.long()
        cell = torch.where((targ >= 0) & (targ < n), targ * n + pred, n * n)
        if self._counts is None:
            self._counts = torch.zeros(n * n + 1, dtype=torch.long, device=pred.device)
            if self.labels is not None:
                self._classes = class_ids(self.labels, classes_of(learn), n, f"{type(self).__name__}(labels=...)")
        self._counts.scatter_add_(0, cell, torch.ones_like(cell))

    @property
    def value(self) -> float | None:
        if self._counts is None:
            return None
        n = math.isqrt(len(self._counts) - 1)
        table = self._counts[:-1].view(n, n).double().cpu()
        both, total = table.diag()[self._classes], (table.sum(0) + table.sum(1))[self._classes]
        appears = total > 0
        return float(self._score(both[appears], total[appears]).mean()) if appears.any() else None


class JaccardCoeffMulti(DiceMulti):
    """Mean over classes of intersection over union (mIoU), over all pixels of the epoch; classes that never appear are left out.

    Args:
        axis: the axis of the classes in the predictions.
        labels: the classes that the mean is over, by name or id (None: all).
    """

    _score = staticmethod(lambda both, total: both / (total - both))


class Dice(DiceMulti):
    """Dice coefficient of the foreground of a two-class mask, 2*|A and B| / (|A| + |B|), over all pixels of the epoch.

    None where neither masks nor predictions have any foreground. Pixels that the loss ignores (`ignore_index=`) are left out. For more
    classes use `DiceMulti`.

    Args:
        axis: the axis of the classes in the predictions.
    """

    _classes = slice(1, 2)

    def __init__(self, axis: int = 1):
        super().__init__(axis)

    def accumulate(self, learn: "Learner") -> None:
        super().accumulate(learn)
        ignored = ignore_index_of(getattr(learn, "loss_func", None))
        if ignored is not None and ignored not in (0, 1):
            self._counts[-1] -= (learn.yb[0] == ignored).sum()
        if learn.pred.shape[self.axis] != 2:
            raise ValueError(f"{type(self).__name__} is for two classes, background and foreground; the predictions are "
                             f"{describe(learn.pred)}, {learn.pred.shape[self.axis]} along axis {self.axis}: write "
                             f"{type(self).__name__}Multi().")

    @property
    def value(self) -> float | None:
        if self._counts is not None and (other := int(self._counts[-1])):
            raise ValueError(f"{type(self).__name__} takes masks of 0 and 1; {other:,} pixels have other values: convert them, or write "
                             f"{type(self).__name__}Multi().")
        return super().value


class JaccardCoeff(Dice):
    """Intersection over union of the foreground of a two-class mask, over all pixels of the epoch.

    Args:
        axis: the axis of the classes in the predictions.
    """

    _score = staticmethod(JaccardCoeffMulti._score)
