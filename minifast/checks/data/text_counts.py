"""Counting in ids of texts: lengths without padding, unknown words, truncation. Pure functions of arrays, and `Vocabulary`."""
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

#: What vocabularies call them, in lower case. Names that can be words of a language count only among the first ids.
UNKNOWN, PADDING = ("xxunk", "<unk>", "[unk]", "<|unk|>", "unk"), ("xxpad", "<pad>", "[pad]", "<|pad|>", "pad")
MARKERS = ("xxbos", "xxeos", "<bos>", "<eos>", "<s>", "</s>", "[cls]", "[sep]", "<cls>", "<sep>", "[bos]", "[eos]", "<|endoftext|>")
_FIRST_IDS = 8


class Vocabulary(NamedTuple):
    "What is known of a vocabulary."
    names: list[str] | None         #: the words by id
    size: int | None
    unknown: int | None             #: id of the unknown word
    padding: int | None             #: id of padding
    markers: frozenset[int] = frozenset()       #: ids of beginning and end

    @classmethod
    def of(cls, owner: Any, place: int | str = 0) -> Vocabulary | None:
        """What a transform, dataset, tokenizer or function says about its words, or None.

        It is asked for `vocab`, `get_vocab()`, `unk_id`, `pad_id` and their other names, and so is its `tokenizer`, or the object whose
        method it is.
        """
        if owner is None:
            return None
        whole = getattr(owner, "get_vocab", None)               # of a tokenizer: with the words that were added to its `vocab`
        vocab = whole() if callable(whole) and not isinstance(owner, type) else getattr(owner, "vocab", None)
        names = word_list(vocab, place)
        unknown, padding = (_number((owner, vocab), *(f"{n}{end}" for n in kinds for end in ("_id", "_idx", "_token_id", "_index")))
                            for kinds in (("unk", "unknown"), ("pad", "padding")))
        if names is None and unknown is None and padding is None:
            attributes = vars(owner) if hasattr(owner, "__dict__") else {}
            within = (getattr(owner, "tokenizer", None), getattr(owner, "__self__", None),
                      getattr(attributes.get("encodes"), "__self__", None))
            return next((v for o in within if o is not owner for v in [cls.of(o, place)] if v is not None), None)
        lower = [w.lower() for w in names or ()]
        return cls(names, len(names) if names is not None else _number((owner,), "vocab_size"),
                   _position(lower, UNKNOWN) if unknown is None else unknown, _position(lower, PADDING) if padding is None else padding,
                   frozenset(i for i, w in enumerate(lower) if w in MARKERS))

    def name(self, i: int) -> str:
        "The word with id `i`, for a message."
        return repr(self.names[i]) if self.names is not None and 0 <= i < len(self.names) else "none of its words"


def _number(owners, *names):
    found = [getattr(o, n, None) for o in owners for n in names]
    return next((int(v) for v in found if _is_id(v, -np.inf)), None)


def _position(lower, options):
    "The first id of one of the words `options`."
    found = [lower.index(word) for word in options if word in lower]
    return next((i for i in found if not lower[i].isalpha() or lower[i].startswith("xx") or i < _FIRST_IDS), None)


def word_list(vocab: Any, place: int | str = 0) -> list[str] | None:
    """The words of a vocabulary by id: of a sequence, a dict of ids by word, something with `get_itos()` or `itos`; of a list of
    vocabularies the one at `place`. None for anything else."""
    vocab = vocab.get_itos() if callable(getattr(vocab, "get_itos", None)) else getattr(vocab, "itos", vocab)
    if isinstance(vocab, Mapping):
        pairs = [(i, w) if _is_id(i) else (w, i) for w, i in vocab.items()]
        by_id = {int(i): str(w) for i, w in pairs if _is_id(i)}
        return [by_id.get(i, "") for i in range(max(by_id) + 1)] if by_id and len(by_id) == len(pairs) else None
    if vocab is None or isinstance(vocab, (str, bytes)) or not hasattr(vocab, "__iter__") or not hasattr(vocab, "__len__"):
        return None
    words = list(vocab)
    if words and all(isinstance(o, (Mapping, Sequence)) and not isinstance(o, (str, bytes)) for o in words):
        return word_list(words[place]) if isinstance(place, int) and place < len(words) else None
    return [str(w) for w in words] or None


def _is_id(i, lowest=0):
    return isinstance(i, (int, np.integer)) and not isinstance(i, bool) and i >= lowest


def differing(names: Sequence[str], others: Sequence[str]) -> list[int]:
    "The ids that stand for different words in two vocabularies."
    return [i for i, (a, b) in enumerate(zip(names, others, strict=False)) if a != b]


# -- rows of ids --------------------------------------------------------------------------------------------------------------------
class Counts(NamedTuple):
    "Counts of some texts."
    lengths: np.ndarray             #: tokens without padding, (texts,)
    empty: np.ndarray               #: indices of texts without a word
    unknown: int                    #: ids of the unknown word
    outside: int                    #: ids that the vocabulary does not have
    lowest: int                     #: the lowest of these
    highest: int
    first_outside: int | None       #: the first text with one
    negative: int                   #: negative ids


def count(rows: Sequence[np.ndarray], words: Vocabulary | None = None, padding: int | None = None) -> Counts:
    "The `Counts` of `rows` of ids. Ids equal to `padding` are not tokens; an id is outside if it is negative or not below the size."
    flat, row = np.concatenate([np.zeros(0, np.int64), *rows]), np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    real = slice(None) if padding is None else flat != padding
    flat, row = flat[real], row[real]
    words = words or Vocabulary(None, None, None, None)
    bad = (flat < 0) | (flat >= (words.size or np.inf))
    lowest, highest, first = (int(flat[bad].min()), int(flat[bad].max()), int(row[bad][0])) if bad.any() else (0, 0, None)
    n_words = np.bincount(row[~np.isin(flat, list(words.markers))], minlength=len(rows))
    unknown = 0 if words.unknown is None else int((flat == words.unknown).sum())
    return Counts(np.bincount(row, minlength=len(rows)), np.flatnonzero(n_words == 0), unknown, int(bad.sum()), lowest, highest, first,
                  int((flat < 0).sum()))


def padding_of(rows: Sequence[np.ndarray]) -> int | None:
    "The id that rows are padded with, or None: it ends rows (or begins them), several times over, and stands nowhere else."
    rows = [r for r in rows if len(r)]
    for turn in (1, -1) if len(rows) > 1 else ():
        turned = [r[::-turn] for r in rows]
        value = Counter(int(r[0]) for r in turned).most_common(1)[0][0]
        runs = [int(np.cumprod(r == value).sum()) for r in turned]
        rests = {len(r) - k for r, k in zip(turned, runs, strict=True)}
        if max(runs) > 1 and len(rests) > 1 and all((r == value).sum() == k for r, k in zip(turned, runs, strict=True)):
            return value
    return None


def tokens_cut(rows: Sequence[np.ndarray], max_len: int, padding: int | None = None) -> tuple[int, int, int]:
    "`(texts that lose something, tokens lost, all tokens)` if only the first `max_len` of each row stay."
    lost, tokens = count([r[max_len:] for r in rows], padding=padding).lengths, count(rows, padding=padding).lengths
    return int((lost > 0).sum()), int(lost.sum()), int(tokens.sum())


def within(lengths: np.ndarray, share: float = 0.95) -> int:
    "The smallest length that is enough for this share of the texts."
    return int(np.sort(lengths)[max(int(np.ceil(share * len(lengths))) - 1, 0)])


def pile_at_the_end(lengths: Sequence[int] | np.ndarray) -> float:
    """The share of the texts that have exactly the longest length, if something seems to have truncated them there; otherwise 0.

    It seems so if they are over 10% of the texts and three times as many as have any other length near it, of which there are at least
    three; but not if (almost) all have it, for these are windows.
    """
    *counts, at_longest = np.bincount(lengths) if len(lengths) else [0]
    longest, share = len(counts), at_longest / max(len(lengths), 1)
    near = [n for n in counts[int(0.8 * longest):] if n]
    unclear = len(lengths) < 20 or longest < 8 or not 0.1 < share < 0.98
    return 0.0 if unclear or len(near) < 3 or at_longest < 3 * max(near) else float(share)


def real_share(batches: Sequence[tuple[np.ndarray, np.ndarray | None]], padding: int | None = None, first: bool | None = None) -> float:
    """The share of `batches` that is not padding.

    Args:
        batches: A list of `(ids (n, t), mask or None)`. The mask, if there is one, says what is not padding.
        padding: The id of padding; what counts is the run of it that ends a row.
        first: Whether it begins rows instead (None: whichever run is longer).
    """
    def real(ids, mask):
        if mask is not None or padding is None:
            return ids.size if mask is None else mask.sum()
        turns = {True: (1,), False: (-1,), None: (1, -1)}[first]
        return ids.size - np.max([np.cumprod(ids[:, ::turn] == padding, 1).sum(1) for turn in turns], 0).sum()

    return float(sum(real(ids, mask) for ids, mask in batches) / max(sum(ids.size for ids, _ in batches), 1))
