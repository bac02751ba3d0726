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
        pairs = [pair for preds, targs in self._pairs for pair in zip(preds.tolist(), targs.tolist(), strict=True)]
        pred_len, targ_len = sum(len(pred) for pred, _ in pairs), sum(len(targ) for _, targ in pairs)
        if not pred_len:
            return None
        precisions = []
        for n in range(1, 5):
            counts = [(_ngrams(pred, n), _ngrams(targ, n)) for pred, targ in pairs]
            made = sum(ours.total() for ours, _ in counts)              # none in sentences of fewer tokens
            precisions.append(sum((ours & theirs).total() for ours, theirs in counts) / max(made, 1))
        brevity = math.exp(1 - targ_len / pred_len) if pred_len < targ_len else 1.0
        return brevity * math.prod(precisions) ** 0.25


def _ngrams(tokens: Sequence[int], n: int) -> Counter:
    return Counter(zip(*(tokens[i:] for i in range(n)), strict=False))
