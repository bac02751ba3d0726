"""`TransformersDL`: batches of texts that were tokenised once, all of them together; padded to the longest, with the targets of language
models."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...core.messages import brief
from ...data.datasets import Datasets
from ...data.engine.whole import Read
from ...data.labels import ColReader
from ...data.targets import base_dataset
from ...data.transforms import ItemTransform, RandTransform
from ..sorted_loader import SortedDL
from ..text_sources import SEVERAL_TEXTS
from .encoding import EncodedTexts, EncodeText

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


def encoder_in(source: Any) -> EncodeText | None:
    "What tokenises the texts of a dataset, loader or `DataLoaders`; None where nothing does."
    dataset, _ = base_dataset(getattr(source, "train", source))
    pipes = dataset.pipelines_in_use if isinstance(dataset, Datasets) else ()
    return next((f for p in pipes for f in p if isinstance(f, EncodeText)), None)


class TextReader:
    """The text of a row of a frame, or a pair of texts; a text, or a pair, as it is.

    Args:
        cols: the names of the columns.
    """

    def __init__(self, cols: Sequence[Any]):
        self.cols = list(cols)
        self._read = ColReader(self.cols)

    def __call__(self, o: Any) -> Any:
        if isinstance(o, (str, tuple, list)):
            return o
        if getattr(o, "ndim", 1) > 1:
            raise TypeError(f"one text is expected; received a table of {len(o):,}: {SEVERAL_TEXTS}")
        return tuple(self._read(o)) if len(self.cols) > 1 else self._read(o)

    def columns_of(self, frame: Any) -> list[Any]:
        "The texts of all rows of a frame."
        columns = [frame[c].tolist() for c in self.cols]
        return list(zip(*columns, strict=True)) if len(columns) > 1 else columns[0]

    def __repr__(self) -> str:
        return f"TextReader({self.cols!r})"


def n_tokens(sample: tuple) -> int:
    "The tokens of the text of a sample."
    return len(sample[0]["input_ids"])


class EncodedBatches:
    """Encoded texts read and padded together: indices -> the dict of a batch.

    Args:
        texts: all of a dataset.
        pad: what pads them.
    """

    def __init__(self, texts: EncodedTexts, pad: PadTokens):
        self.texts, self.pad = texts, pad

    def __call__(self, indices: np.ndarray) -> dict[str, torch.Tensor]:
        return self.pad.padded([self.texts[i] for i in indices.tolist()])


class TransformersDL(SortedDL):
    """Batches of texts of similar length. The texts were tokenised once, when the dataset was made, and lie as ids in memory.

    Args:
        dataset: as for `DataLoader`.
        **kwargs: other arguments of `SortedDL`.
    """

    def __init__(self, dataset: Any, **kwargs: Any):
        if kwargs.get("num_workers") is None and _encoded(dataset) is not None:
            kwargs["num_workers"] = 0                       # there is nothing left to do for them
        kwargs["sort_func"] = kwargs.get("sort_func") or n_tokens
        super().__init__(dataset, **kwargs)

    def _reader(self, sample: tuple) -> Read | None:
        texts, pad = _encoded(self.dataset), self.before_batch[0]
        if self.dataset.n_inp != 1 or texts is None or len(self.dataset.ahead[0].rest) or type(pad) is not PadTokens or pad.targets:
            return None
        return EncodedBatches(texts, pad)

    def _found_lengths(self) -> np.ndarray:
        texts = _encoded(self.dataset) if self.sort_func is n_tokens else None
        return super()._found_lengths() if texts is None else texts.lengths


def _encoded(dataset: Any) -> EncodedTexts | None:
    "The texts of a dataset, where they were tokenised already."
    ahead = getattr(dataset, "ahead", {}).get(0)
    return ahead.values if ahead is not None and isinstance(ahead.values, EncodedTexts) else None
