"""`EncodeText`: texts, pairs of texts and lists of words as the ids that a pretrained model was trained with, by its own tokenizer."""
import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal
from warnings import warn

import numpy as np
import torch

from ...core.items import L
from ...core.messages import describe, listing, plural, shortened
from ...core.recipe import Recipe
from ...data.categories import item_name
from ...data.labels import is_missing
from ...data.pipeline import Pipeline
from ...data.rows import Rows
from ...data.transforms import ItemTransform
from ..text_sources import SEVERAL_TEXTS, text_of
from .library import fork_safely
from .tokenizer import pad_id_of, restored_tokenizer, saved_tokenizer

Task = Literal["classify", "words", "mlm", "clm"]
#: How many texts go to the tokenizer at once: its threads share them, and no more of them are in memory twice.
CHUNK = 2048
_SURROGATE = re.compile("[\ud800-\udfff]")


class EncodedTexts:
    """Texts as ids, in flat arrays.

    Args:
        flat: what there is of each token: 'input_ids', and 'token_type_ids' or 'word_ids': int32 (tokens of all texts,).
        starts: where each text begins.
        lengths: tokens of each text.
        uncut: tokens that each would have, were it not cut.
    """

    def __init__(self, flat: dict[str, np.ndarray], starts: np.ndarray, lengths: np.ndarray, uncut: np.ndarray):
        self.flat, self.starts, self.lengths, self.uncut = flat, starts, lengths, uncut

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        start = self.starts[i]
        stop = start + self.lengths[i]
        return {k: v[start:stop] for k, v in self.flat.items()}

    def subset(self, indices: Sequence[int]) -> "EncodedTexts":
        "Some of the texts, which are not copied."
        chosen = np.asarray(indices, np.int64)
        return EncodedTexts(self.flat, self.starts[chosen], self.lengths[chosen], self.uncut[chosen])


def texts_of(items: Any) -> list[Any]:
    "The values of items as a list; those of columns of a frame without a detour over its rows."
    rows, pipe = getattr(items, "items", None), getattr(items, "f", None)
    if isinstance(rows, Rows) and rows.columns is not None and isinstance(pipe, Pipeline) and len(pipe) == 1:
        columns = getattr(vars(pipe[0]).get("encodes"), "columns_of", None)
        if columns is not None:
            return columns(rows.source)
    return list(items)


def is_sequence(x: Any) -> bool:
    "Whether `x` holds several texts or words."
    return isinstance(x, (list, tuple, L)) or (isinstance(x, np.ndarray) and x.ndim == 1)


def value_problem(x: Any, words: bool, pairs: bool | None = None) -> str | None:
    """What is wrong with a value; None: nothing.

    Args:
        x: the value.
        words: it is to be a list of words.
        pairs: it is to be a pair of texts; False: one text; None: either.
    """
    if type(x) is str:
        return "one text, not a list of its words" if words else "a single text, where a pair is expected" if pairs else None
    several = is_sequence(x)
    parts = list(x) if several else [x]
    if several and not words and len(parts) != 2:
        return f"{plural(len(parts), 'text')}, where {'one' if pairs is False else 'a pair' if pairs else 'one or a pair'} is expected"
    if several and not words and pairs is False:
        return "a pair of texts, where one is expected"
    for part in parts:
        if not isinstance(part, str):
            missing = not isinstance(part, (list, tuple, dict)) and is_missing(part)
            return "missing (None or NaN)" if missing else f"not a text but {describe(part)}"
    return "one text, not a list of its words" if words and not several else None


def _advice(problem: str, value: Any) -> str:
    "What to write where this is the problem of a value."
    if problem.startswith("missing"):
        return "Leave these items out, or fill them in: of a frame df[column] = df[column].fillna('')"
    if problem.startswith("one text"):
        return "Split texts into words: of a frame df[column] = df[column].str.split()"
    if problem.startswith("not a text"):
        part = next((o for o in value if not isinstance(o, str)), value) if is_sequence(value) else value
        return f"Of a frame {text_of(part, 'df[column]')}"
    if problem.startswith("a single text"):
        return "Give both texts of each, (text, other)"
    return f"Take two of them at most, for a pair; {SEVERAL_TEXTS}"


class EncodeText(ItemTransform):
    """A text, a pair of texts or a list of words to the inputs of a model, and back.

    They are cut to `max_len` tokens (of a pair the longer text), and a warning says how many were.

    Args:
        tokenizer: of `transformers`.
        max_len: at most this many tokens, special ones included; None: all.
        task: 'words' takes lists of words.
        pairs: whether the items are pairs of texts; None: as the first of the items that are tokenised together.
    """

    def __init__(self, tokenizer: Any, max_len: int | None = None, task: Task = "classify", pairs: bool | None = None):
        super().__init__()
        self.tokenizer, self.max_len, self.task, self.pairs = tokenizer, max_len, task, pairs
        self.pad_id: int = pad_id_of(tokenizer)
        self.has_types = "token_type_ids" in tokenizer.model_input_names
        self._begins = {i for i in (tokenizer.bos_token_id, tokenizer.cls_token_id) if i is not None}
        self._empty = next(i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id, self.pad_id) if i is not None)
        self._is_fast = getattr(tokenizer, "is_fast", False)
        if task == "words" and not self._is_fast:
            raise TypeError(f"{type(tokenizer).__name__} cannot say which word a token is of: labels of words need a fast tokenizer, one "
                            "with a tokenizer.json")

    @property
    def recipe(self) -> Recipe:
        "How to make this transform, with the whole tokenizer."
        return Recipe(encode_text, {"tokenizer": saved_tokenizer(self.tokenizer), "max_len": self.max_len, "task": self.task,
                                    "pairs": self.pairs})

    @property
    def keys(self) -> list[str]:
        "What there is of each token."
        return ["input_ids", *(["token_type_ids"] if self.has_types else []), *(["word_ids"] if self.task == "words" else [])]

    def encode_ahead(self, items: Any) -> EncodedTexts:
        """The texts of all items of a dataset, tokenised at once, in all threads of the tokenizer.

        Args:
            items: the texts, pairs or lists of words, as the transforms before this one leave them.

        Raises:
            ValueError: values that are no texts; names the first ones.
        """
        texts = texts_of(items)
        if self.pairs is None and self.task != "words":
            self.pairs = not isinstance(texts[0], str) and is_sequence(texts[0])
        self._refuse_others(texts, partial(item_name, items))
        parts: dict[str, list[np.ndarray]] = {k: [] for k in self.keys}
        lengths: list[int] = []
        uncut: list[int] = []
        for start in range(0, len(texts), CHUNK):
            try:
                encoded, whole = self._encode(texts[start:start + CHUNK])
            except TypeError:
                _refuse_surrogates(texts, partial(item_name, items))
                raise
            for k, arrays in parts.items():
                arrays.append(np.fromiter((v for e in encoded for v in e[k]), np.int32))
            lengths += [len(e["input_ids"]) for e in encoded]
            uncut += whole
        if self.max_len is not None and (cut := sum(n > self.max_len for n in uncut)):
            warn(f"{cut:,} of {plural(len(texts), 'text')} have more than max_len={self.max_len} tokens (the longest {max(uncut):,}) and "
                 "are cut: the model does not see the rest", stacklevel=2)
        ends = np.cumsum(lengths, dtype=np.int64)
        return EncodedTexts({k: np.concatenate(v) for k, v in parts.items()}, ends - lengths, np.array(lengths, np.int64),
                            np.array(uncut, np.int64))

    def _refuse_others(self, texts, name_of):
        words = self.task == "words"
        problems = [(i, p) for i, x in enumerate(texts) if type(x) is not str or words or self.pairs
                    if (p := value_problem(x, words, self.pairs)) is not None]
        if problems:
            first = problems[0][1]
            alike = [i for i, p in problems if p == first]
            more = len(problems) - len(alike)
            raise ValueError(f"{plural(len(alike), 'item')} of {len(texts):,} {'is' if len(alike) == 1 else 'are'} {first}: "
                             f"{listing([name_of(i) for i in alike[:3]], 3)}{', ...' if len(alike) > 3 else ''}"
                             + (f"; {more:,} more are not what is expected either" if more else "")
                             + f". {_advice(first, texts[problems[0][0]])}")

    def _encode(self, texts):
        "Texts as a list of dicts of lists, and how many tokens each would have uncut."
        fork_safely()
        pairs, words = not isinstance(texts[0], str) and self.task != "words", self.task == "words"
        texts = [x if isinstance(x, str) else list(x) for x in texts]
        first = [x[0] for x in texts] if pairs else texts
        second = [x[1] for x in texts] if pairs else None
        options = {"add_special_tokens": True, "return_attention_mask": False, "return_token_type_ids": self.has_types, "verbose": False,
                   "is_split_into_words": words, "padding": False}
        limit = {} if self.max_len is None else {"truncation": "longest_first", "max_length": self.max_len}
        if words:
            first = [o or [""] for o in first]
        out = self.tokenizer(first, second, **options, **(limit if self._is_fast else {}))
        if self._is_fast:
            lengths = [len(e.ids) + sum(_own_length(o) for o in e.overflowing) for e in out.encodings]
        else:
            lengths = [len(o) for o in out["input_ids"]]
            if limit and max(lengths) > self.max_len:
                out = self.tokenizer(first, second, **options, **limit)
        encoded = []
        for i, ids in enumerate(out["input_ids"]):
            one = {"input_ids": list(ids)}
            if self.has_types:
                one["token_type_ids"] = list(out["token_type_ids"][i])
            if words:
                one["word_ids"] = [-1 if w is None else w for w in out.word_ids(i)]
            if len(ids) > 1 and ids[0] == ids[1] and ids[0] in self._begins:         # the text brought its own
                one = {k: v[1:] for k, v in one.items()}
            if not ids:
                one = {k: [self._empty if k == "input_ids" else -1 if k == "word_ids" else 0] for k in self.keys}
            encoded.append(one)
        return encoded, lengths

    def encodes(self, x: Any) -> dict[str, np.ndarray]:
        if isinstance(x, dict) and "input_ids" in x:
            return x
        self._refuse_others([x], lambda i: describe(x))
        try:
            encoded, _ = self._encode([x])
        except TypeError:
            _refuse_surrogates([x], lambda i: repr(shortened(x)) if isinstance(x, str) else describe(x))
            raise
        return {k: np.array(v, np.int32) for k, v in encoded[0].items()}

    def decodes(self, x: Any) -> str:
        ids, mask = torch.as_tensor(x["input_ids"]), x.get("attention_mask")
        ids = ids if mask is None else ids[torch.as_tensor(mask).bool()]
        if "word_ids" in x:
            words = torch.as_tensor(x["word_ids"])
            ids = ids[words[:len(ids)] >= 0] if mask is None else torch.as_tensor(x["input_ids"])[words >= 0]
        types = x.get("token_type_ids")
        is_pair = types is not None and bool(torch.as_tensor(types).any())
        return self.tokenizer.decode(ids.tolist(), skip_special_tokens=not is_pair and self.task != "mlm")

    def __repr__(self) -> str:
        return f"EncodeText({type(self.tokenizer).__name__} of {len(self.tokenizer):,} tokens, max_len={self.max_len})"


def _refuse_surrogates(texts, name_of):
    "Name texts with halves of surrogate pairs, which have no UTF-8: tokenizers say of them that they are of a wrong type."
    bad = [i for i, x in enumerate(texts) if _SURROGATE.search(x if isinstance(x, str) else "".join(x))]
    if bad:
        raise ValueError(f"{plural(len(bad), 'item')} of {len(texts):,} {'has' if len(bad) == 1 else 'have'} halves of surrogate pairs, "
                         f"which are no characters: {listing([name_of(i) for i in bad[:3]], 3)}. Replace them: of a frame "
                         "df[column] = df[column].map(lambda t: t.encode('utf-8', 'replace').decode('utf-8'))")


def _own_length(overflow: Any) -> int:
    "The tokens of a piece that was cut off which are no special ones, which each piece has again."
    return len(overflow.ids) - sum(overflow.special_tokens_mask)


def encode_text(tokenizer: dict[str, Any], max_len: int | None = None, task: Task = "classify", pairs: bool | None = None) -> EncodeText:
    """An `EncodeText` with a tokenizer that was written into a file.

    Args:
        tokenizer: what `saved_tokenizer` returned.
        max_len: see `EncodeText`.
        task: see `EncodeText`.
        pairs: see `EncodeText`.
    """
    return EncodeText(restored_tokenizer(tokenizer), max_len, task, pairs)
