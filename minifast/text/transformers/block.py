"""`TransformersBlock`: texts, pairs of texts or words for a pretrained model, in a `DataBlock`. Labels of words become one per token and
back, so that a model of tokens learns and predicts words."""
from collections.abc import Sequence
from typing import Any

import torch

from ...core.arguments import check_choice, knows_keywords
from ...core.messages import plural
from ...core.recipe import Recipe
from ...core.types import LossFunc
from ...data.block import TransformBlock
from ...data.categories import MultiCategorize, MultiCategory
from ...data.transforms import ItemTransform
from ...nn.losses import CrossEntropyLossFlat
from .encoding import EncodeText, Task
from .loader import IGNORED, MaskTokens, NextTokens, PadTokens, TransformersDL
from .pretrained import load_config, positions_of
from .tokenizer import capped, is_tokenizer, load_tokenizer, restored_tokenizer, saved_tokenizer, token_limit

TASKS = ("classify", "words", "mlm", "clm")


@knows_keywords
def TransformersBlock(model: Any, max_len: int | None = None, task: Task = "classify", mlm_prob: float = 0.15) -> TransformBlock:
    """Texts, or pairs of texts, as a pretrained model takes them: dicts of `input_ids`, `attention_mask` (and `token_type_ids`).

    The texts are tokenised once, when the loaders are made, in all threads. Batches are of texts of similar length, padded to the longest.

    Args:
        model: the folder or the name of the model, whose tokenizer is used; or a tokenizer.
        max_len: texts are cut to this many tokens, special ones included, of a pair the longer one; None: to what the model takes.
        task: 'classify' for a target per text (classes, several classes, numbers); 'words' for a target per word, with
            `WordLabelsBlock`; 'mlm' and 'clm' for language models, masked and causal, with `TokenTargetsBlock`.
        mlm_prob: the share of the tokens that a masked language model is to find.
    """
    check_choice("TransformersBlock", "task", task, TASKS)
    tokenizer = load_tokenizer(model, task == "words")
    limit = token_limit(tokenizer)
    if not is_tokenizer(model):
        config = load_config(model)
        n = getattr(config, "max_position_embeddings", None)
        if isinstance(n, int) and (limit is None or limit >= n):          # else the tokenizer knows it
            limit = token_limit(tokenizer, config, positions_of(config))
    encode = EncodeText(tokenizer, capped(max_len, limit), task)
    before_batch: list[Any] = [PadTokens(encode.pad_id, targets=task == "words")]
    if task == "clm":
        before_batch.append(NextTokens())
    if task == "mlm":
        if tokenizer.mask_token_id is None:
            raise ValueError(f"TransformersBlock(task='mlm'): {type(tokenizer).__name__} has no mask token, so its model is no masked "
                             "language model: write task='clm' for a causal one")
        before_batch.append(MaskTokens(tokenizer.mask_token_id, sorted(set(tokenizer.all_special_ids)), len(tokenizer), mlm_prob))
    return TransformBlock(type_tfms=[encode], dl_type=TransformersDL, dls_kwargs={"before_batch": before_batch})


class TokenTargets(ItemTransform):
    """The place of the targets of a language model, which are made of a whole batch; of their ids, and of predicted ones, the text.

    Args:
        tokenizer: of transformers.
    """

    def __init__(self, tokenizer: Any):
        super().__init__()
        self.tokenizer = tokenizer

    @property
    def recipe(self) -> Recipe:
        "How to make this transform."
        return Recipe(token_targets, {"tokenizer": saved_tokenizer(self.tokenizer)})

    def encodes(self, x: Any) -> int:
        return IGNORED

    def decodes(self, y: Any) -> str:
        ids = torch.as_tensor(y).flatten()
        return self.tokenizer.decode(ids[ids != IGNORED].tolist(), skip_special_tokens=True)

    @property
    def loss_func(self) -> LossFunc:
        "Cross-entropy of the tokens that have a target."
        return CrossEntropyLossFlat()


def token_targets(tokenizer: dict[str, Any]) -> TokenTargets:
    """A `TokenTargets` with a tokenizer that was written into a file.

    Args:
        tokenizer: what `saved_tokenizer` returned.
    """
    return TokenTargets(restored_tokenizer(tokenizer))


def TokenTargetsBlock(model: Any) -> TransformBlock:
    """The targets of a language model, beside a `TransformersBlock(model, task='mlm')` or `task='clm'`, which makes them.

    Args:
        model: as for `TransformersBlock`.
    """
    return TransformBlock(type_tfms=[TokenTargets(load_tokenizer(model))])


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
