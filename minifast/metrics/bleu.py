"""BLEU, the metric of translation."""
import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from .base import Metric

if TYPE_CHECKING:
    from ..learner.learner import Learner


class CorpusBLEUMetric(Metric):
    """BLEU of the most probable tokens, up to 4-grams, over the whole set (Papineni et al. 2002).

    Args:
        vocab_sz: accepted for old code; n-grams are counted exactly whatever the ids.
        axis: the axis of the vocabulary in the predictions.
    """

    lower_is_better = False
    _name = "corpus_bleu"

    def __init__(self, vocab_sz: int = 5000, axis: int = -1):
        self.vocab_sz, self.axis = vocab_sz, axis
        self.reset()

    def reset(self) -> None:
        self._pairs: list[tuple[torch.Tensor, torch.Tensor]] = []

    def accumulate(self, learn: "Learner") -> None:
        self._pairs.append((learn.pred.detach().argmax(dim=self.axis), learn.yb[0].detach()))

    @property
    def value(self) -> float | None:
        pred_len = targ_len = 0
        right, made = [0] * 4, [0] * 4
        for preds, targs in self._pairs:
            for pred, targ in zip(preds.tolist(), targs.tolist(), strict=True):
                pred_len, targ_len = pred_len + len(pred), targ_len + len(targ)
                for i in range(4):
                    ours = _ngrams(pred, i + 1)
                    right[i] += (ours & _ngrams(targ, i + 1)).total()
                    made[i] += ours.total()
        if not pred_len:
            return None
        if not min(right):
            return 0.0
        brevity = math.exp(1 - targ_len / pred_len) if pred_len < targ_len else 1.0
        return brevity * math.prod(r / m for r, m in zip(right, made, strict=True)) ** 0.25


def _ngrams(tokens: Sequence[int], n: int) -> Counter:
    return Counter(zip(*(tokens[i:] for i in range(n)), strict=False))
