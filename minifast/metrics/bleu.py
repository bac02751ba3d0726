"""BLEU, the metric of translation."""
import math
from collections import Counter

from .base import Metric


class CorpusBLEUMetric(Metric):
    """BLEU of the most probable tokens, up to 4-grams, over the whole set (Papineni et al. 2002).

    axis: the vocabulary in the predictions. vocab_sz: accepted for old code; n-grams are counted exactly whatever the ids.
    """

    lower_is_better = False
    _name = "corpus_bleu"

    def __init__(self, vocab_sz=5000, axis=-1):
        self.vocab_sz, self.axis = vocab_sz, axis
        self.reset()

    def reset(self):
        self._pairs = []

    def accumulate(self, learn):
        self._pairs.append((learn.pred.detach().argmax(dim=self.axis), learn.yb[0].detach()))

    @property
    def value(self):
        pred_len = targ_len = 0
        right, made = [0] * 4, [0] * 4
        for preds, targs in self._pairs:
            for pred, targ in zip(preds.tolist(), targs.tolist(), strict=True):
                pred_len, targ_len = pred_len + len(pred), targ_len + len(targ)
                for i in range(4):
                    mine, theirs = _ngrams(pred, i + 1), _ngrams(targ, i + 1)
                    right[i] += sum((mine & theirs).values())
                    made[i] += sum(mine.values())
        if not pred_len:
            return None
        if not min(right):
            return 0.0
        brevity = math.exp(1 - targ_len / pred_len) if pred_len < targ_len else 1.0
        return brevity * math.exp(sum(math.log(r / m) for r, m in zip(right, made, strict=True)) / 4)


def _ngrams(tokens, n):
    return Counter(tuple(tokens[i:i + n]) for i in range(len(tokens) - n + 1))
