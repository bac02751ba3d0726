"""Labels of words: one per word to one per token and back, so that a model of tokens learns and predicts words."""
from collections.abc import Sequence
from typing import Any

import torch

from ...core.keywords import knows_keywords
from ...core.messages import plural
from ...core.types import LossFunc
from ...data.block import TransformBlock
from ...data.categories import MultiCategorize, MultiCategory
from ...data.transforms import ItemTransform
from ...nn.losses import CrossEntropyLossFlat
from .batches import IGNORED

#: What stands for the prediction of a word of which the model sees no token, because the text was cut.
CUT = "#cut#"


class WordLabels(MultiCategorize):
    """A list of labels, one per word, to their ids (int64, 1-d) and back.

    Args:
        vocab: the classes in their order; None: the sorted labels of the training items.
    """

    one_each = True

    def __init__(self, vocab: Sequence[Any] | None = None):
        super().__init__(vocab)

    def decodes(self, o: Any) -> MultiCategory:
        vocab = self.vocab or ()
        return MultiCategory((vocab[int(i)] if 0 <= int(i) < len(vocab) else CUT for i in o), use_list=True)

    @property
    def loss_func(self) -> LossFunc:
        "Cross-entropy of the words: what is no first token of a word does not count."
        return CrossEntropyLossFlat()


class AlignWords(ItemTransform):
    """Labels of words to targets of tokens: that of a word at its first token, -100 at the others and at special ones; and back.

    Raises:
        ValueError: a text has another number of labels than of words.
    """

    def encodes(self, sample: tuple) -> tuple:
        if len(sample) < 2:
            return sample
        x, y, *rest = sample
        words, y = torch.as_tensor(x["word_ids"]), torch.as_tensor(y)
        if len(words) and int(words.max()) >= len(y):
            raise ValueError(f"a text of at least {plural(int(words.max()) + 1, 'word')} has {plural(len(y), 'label')}: give one each")
        return (x, torch.where(is_first(words), y[words.clamp(min=0)] if len(y) else IGNORED, IGNORED), *rest)

    def decodes(self, sample: tuple) -> tuple:
        if len(sample) < 2:
            return sample
        x, y, *rest = sample
        return (x, of_words(torch.as_tensor(y), torch.as_tensor(x["word_ids"])), *rest)


def is_first(words: torch.Tensor) -> torch.Tensor:
    "Which tokens are the first ones of a word. words: the number of the word of each token, -1 for none: int64 (T,)."
    before = torch.cat([words.new_full((1,), -1), words[:-1]])
    return (words >= 0) & (words != before)


def of_words(y: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """What belongs to the first token of each word.

    Args:
        y: one value (or row) per token: (T,) or (T, n).
        words: the number of the word of each token, -1 for none: int64 (T,).

    Returns:
        One per word: (n_words,) or (n_words, n); -100 for words without a token.
    """
    first = is_first(words)
    n = int(words.max()) + 1 if len(words) else 0
    out = y.new_full((n, *y.shape[1:]), IGNORED)
    out[words[first]] = y[first]
    return out


@knows_keywords
def WordLabelsBlock(vocab: Sequence[Any] | None = None) -> TransformBlock:
    """One label for each word of a text, as for named entities; the input is a `TransformersBlock(task='words')`.

    Args:
        vocab: the classes in their order; None: the sorted labels of the training items.
    """
    return TransformBlock(type_tfms=[WordLabels(vocab)], item_tfms=[AlignWords()])
