"""`TransformersBlock`: texts, pairs of texts or words for a pretrained model, in a `DataBlock`."""
from typing import Any

import torch

from ...core.arguments import check_choice
from ...core.keywords import knows_keywords
from ...core.recipe import Recipe
from ...core.types import LossFunc
from ...data.block import TransformBlock
from ...data.transforms import ItemTransform
from ...nn.losses import CrossEntropyLossFlat
from .batches import IGNORED, MaskTokens, NextTokens, PadTokens
from .encoding import EncodeText, Task
from .loader import TransformersDL
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
