"""Batches of encoded texts: padded to the longest, with the targets of language models."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...core.messages import brief
from ...data.transforms import ItemTransform, RandTransform

#: The target that a loss leaves out, as torch's losses do.
IGNORED = -100
_FILL = {"token_type_ids": 0, "word_ids": -1}


class PadTokens(ItemTransform):
    """The samples of a batch, padded to the longest text, with an `attention_mask` that is 1 for tokens and 0 for padding.

    Targets that are ids, one per token, are padded with -100, which losses ignore.

    Args:
        pad_id: the id of padding.
        targets: whether there is one target per token.
    """

    def __init__(self, pad_id: int = 0, targets: bool = False):
        super().__init__()
        self.pad_id, self.targets = pad_id, targets

    def padded(self, texts: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        """Texts as one dict of tensors, int64 (B, T).

        Args:
            texts: what there is of each token of each text.
        """
        lengths = [len(d["input_ids"]) for d in texts]
        is_token = np.arange(max(lengths)) < np.array(lengths)[:, None]
        made = {}
        for k in texts[0]:
            if k != "attention_mask":
                made[k] = torch.from_numpy(out := np.full(is_token.shape, _FILL.get(k, self.pad_id), np.int64))
                out[is_token] = np.concatenate([d[k] for d in texts])
        made["attention_mask"] = torch.from_numpy(is_token.astype(np.int64))
        return made

    def encodes(self, samples: list) -> list:
        made, rest = self.padded([s[0] for s in samples]), [s[1:] for s in samples]
        if self.targets and rest[0]:
            lengths = [len(s[0]["input_ids"]) for s in samples]
            rest = [(y, *r[1:]) for y, r in zip(filled([r[0] for r in rest], lengths, IGNORED), rest, strict=True)]
        return [({k: v[i] for k, v in made.items()}, *r) for i, r in enumerate(rest)]


def filled(rows: Sequence[Any], lengths: Sequence[int], value: int) -> torch.Tensor:
    "Sequences of numbers of these lengths as int64 (B, T), padded with `value`."
    out = np.full((len(rows), max(lengths)), value, np.int64)
    for i, (row, n) in enumerate(zip(rows, lengths, strict=True)):
        out[i, :n] = row
    return torch.from_numpy(out)


class NextTokens(ItemTransform):
    """The targets of a causal language model: of each token the next one, shifted here and nowhere else; -100 where there is none.

    What is padding is told by its position: an end-of-text token that also serves as padding is a target where it ends a text.
    """

    order = 1

    def encodes(self, samples: list) -> list:
        made = []
        for x, *_ in samples:
            y, mask = torch.full_like(x["input_ids"], IGNORED), x["attention_mask"]
            y[:-1] = torch.where(mask[1:].bool(), x["input_ids"][1:], IGNORED)
            made.append((x, y))
        return made


class MaskTokens(RandTransform):
    """The targets of a masked language model: of a share of the tokens, drawn anew for each batch, what they were; -100 for the others.

    Of those drawn 80 % become the mask token, 10 % another one and 10 % stay (J. Devlin et al., "BERT", 2018, section 3.1). In a text that
    has mask tokens already none is drawn: these are to be filled in.

    Args:
        mask_id: the id of the mask token.
        special: ids that are never drawn, such as those of beginning and end.
        n_tokens: how many tokens there are, for the other ones.
        mlm_prob: the share.
    """

    order, split_idx, whole = 1, None, True
    draws_targets = True                #: so that validation differs by the seed, too: no augmentation

    def __init__(self, mask_id: int, special: Sequence[int], n_tokens: int, mlm_prob: float = 0.15):
        super().__init__()
        if not 0 < mlm_prob < 1:
            raise ValueError(f"MaskTokens(mlm_prob={brief(mlm_prob)}): a share of the tokens, between 0 and 1")
        self.mask_id, self.special, self.n_tokens, self.mlm_prob = mask_id, tuple(special), n_tokens, mlm_prob

    def handles(self, x: Any) -> bool:
        "True: it handles lists of samples. x: not looked at."
        return True

    def draw(self, sample: Any, rng: np.random.Generator, split_idx: int | None) -> dict[str, Any]:
        "The generator of the batch."
        return {"rng": rng}

    def encodes(self, samples: list, rng: np.random.Generator) -> list:
        made = []
        for x, *_ in samples:
            ids = x["input_ids"].numpy()
            may = x["attention_mask"].numpy().astype(bool) & ~np.isin(ids, self.special)
            may &= self.mask_id not in ids              # a text with a mask of its own, to be filled in
            drawn = may & (rng.random(len(ids)) < self.mlm_prob)
            if may.any() and not drawn.any():                       # each text has a target
                drawn[rng.choice(np.flatnonzero(may))] = True
            how, others = rng.random(len(ids)), rng.integers(self.n_tokens, size=len(ids))
            masked = np.where(drawn & (how < 0.8), self.mask_id, np.where(drawn & (how >= 0.9), others, ids))
            y = np.where(drawn, ids, IGNORED)
            made.append(({**x, "input_ids": torch.from_numpy(masked)}, torch.from_numpy(y)))
        return made
