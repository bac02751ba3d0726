"""Counting in ids of texts: lengths without padding, unknown words, cuts. Pure functions of arrays, and `Words`, a vocabulary."""
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

#: What vocabularies call them, in lower case; the plain ones, which can be words of a language, only among the first ids.
UNKNOWN, PADDING = ("xxunk", "<unk>", "[unk]", "<|unk|>", "unk"), ("xxpad", "<pad>", "[pad]", "<|pad|>", "pad")
MARKERS = ("xxbos", "xxeos", "<bos>", "<eos>", "<s>", "</s>", "[cls]", "[sep]", "<cls>", "<sep>", "[bos]", "[eos]", "<|endoftext|>")
_FIRST_IDS = 8


class Words(NamedTuple):
    "A vocabulary. names: the words by id, or None; size; the ids of the unknown word and of padding, or None; markers: of begin and end."
    names: list | None
    size: int | None
    unknown: int | None
    padding: int | None
    markers: frozenset = frozenset()

    @classmethod
    def of(cls, owner, place=0):
        """What a transform, dataset, tokenizer or function says about its words, or None: `vocab`, `get_vocab()`, `unk_id`, `pad_id` and
        what else they are called; its `tokenizer`, or the object whose method it is."""
        if owner is None:
            return None
        whole = getattr(owner, "get_vocab", None)               # of a tokenizer: with the words that were added to its `vocab`
        vocab = whole() if callable(whole) and not isinstance(owner, type) else getattr(owner, "vocab", None)
        names = word_list(vocab, place)
        unknown, padding = (_number((owner, vocab), *(f"{n}{end}" for n in kinds for end in ("_id", "_idx", "_token_id", "_index")))
                            for kinds in (("unk", "unknown"), ("pad", "padding")))
        if names is None and unknown is None and padding is None:
            within = [getattr(owner, "tokenizer", None), getattr(owner, "__self__", None),
                      getattr(vars(owner).get("encodes") if hasattr(owner, "__dict__") else None, "__self__", None)]
            return next((w for o in within if o is not None and o is not owner for w in [cls.of(o, place)] if w is not None), None)
        lower = [w.lower() for w in names or ()]
        unknown = _position(lower, UNKNOWN) if unknown is None else unknown
        padding = _position(lower, PADDING) if padding is None else padding
        size = len(names) if names is not None else _number((owner,), "vocab_size")
        return cls(names, size, unknown, padding, frozenset(i for i, w in enumerate(lower) if w in MARKERS))

    def name(self, i):
        "The word with id `i`, for a message."
        return repr(self.names[i]) if self.names is not None and 0 <= i < len(self.names) else "none of its words"


def _number(owners, *names):
    found = [getattr(o, n, None) for o in owners for n in names]
    return next((int(v) for v in found if isinstance(v, (int, np.integer)) and not isinstance(v, bool)), None)


def _position(lower, options):
    for word in options:
        if word in lower:
            i = lower.index(word)
            if not word.isalpha() or word.startswith("xx") or i < _FIRST_IDS:
                return i
    return None


def word_list(vocab, place=0):
    """The words of a vocabulary by id, as strings, or None: of a sequence, a dict of ids by word, something with `get_itos()` or `itos`; of
    a list of vocabularies the one at `place`."""
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


def _is_id(i):
    return isinstance(i, (int, np.integer)) and not isinstance(i, bool) and i >= 0


def differing(names, others):
    "The ids that stand for one word in one vocabulary and for another in the other."
    return [i for i, (a, b) in enumerate(zip(names, others, strict=False)) if a != b]


# -- rows of ids --------------------------------------------------------------------------------------------------------------------
class Counts(NamedTuple):
    "Of some texts. lengths: without padding (n,); empty: which have no word; the others count ids, but for `first_outside`, a text."
    lengths: np.ndarray
    empty: np.ndarray
    unknown: int
    outside: int
    lowest: int
    highest: int
    first_outside: int | None
    negative: int


def count(rows, words=None, padding=None):
    "The `Counts` of `rows`, a list of int64 arrays. Ids equal to `padding` are no tokens; an id is outside if negative or >= the size."
    sizes = np.array([len(r) for r in rows])
    flat, row = np.concatenate([np.zeros(0, np.int64), *rows]), np.repeat(np.arange(len(rows)), sizes)
    real = np.ones(len(flat), bool) if padding is None else flat != padding
    flat, row = flat[real], row[real]
    marks = np.isin(flat, list(words.markers)) if words is not None and words.markers else np.zeros(len(flat), bool)
    unknown = int((flat == words.unknown).sum()) if words is not None and words.unknown is not None else 0
    bad = flat < 0
    negative = int(bad.sum())
    if words is not None and words.size:
        bad = bad | (flat >= words.size)
    outside = flat[bad]
    return Counts(np.bincount(row, minlength=len(rows)), np.flatnonzero(np.bincount(row[~marks], minlength=len(rows)) == 0), unknown,
                  len(outside), int(outside.min()) if len(outside) else 0, int(outside.max()) if len(outside) else 0,
                  int(row[bad][0]) if len(outside) else None, negative)


def padding_of(rows):
    """The id that rows are filled up with, or None: it ends rows (or begins them), several times over, and stands nowhere else."""
    rows = [r for r in rows if len(r)]
    for turn in (1, -1):
        turned = [r[::turn] for r in rows]
        if len(turned) < 2:
            return None
        last, times = np.unique([r[-1] for r in turned], return_counts=True)
        value = last[times.argmax()]
        runs = np.array([_run(r, value) for r in turned])
        if runs.max() > 1 and len({len(r) - k for r, k in zip(turned, runs, strict=True)}) > 1 and all(
                int((r == value).sum()) == k for r, k in zip(turned, runs, strict=True)):
            return int(value)
    return None


def _run(row, value):
    "How many times `value` stands at the end of `row`."
    other = np.flatnonzero(row != value)
    return len(row) - 1 - int(other[-1]) if len(other) else len(row)


def tokens_cut(rows, max_len, padding=None):
    "`(texts that lose something, tokens lost, all tokens)` where only the first `max_len` of each row stay."
    def tokens(r):
        return len(r) if padding is None else int((r != padding).sum())

    lost = [tokens(r[max_len:]) for r in rows]
    return sum(n > 0 for n in lost), sum(lost), sum(map(tokens, rows))


def within(lengths, share=0.95):
    "The smallest length that is enough for this share of the texts."
    return int(np.sort(lengths)[max(int(np.ceil(share * len(lengths))) - 1, 0)])


def pile_at_the_end(lengths):
    """The share of the texts that have exactly the longest length, if these are a pile at the end of a slope: over 10%, three times as many
    as have any other length near it, and at least three such lengths; else 0. Nor where (almost) all have it: these are windows."""
    lengths = np.asarray(lengths)
    longest = int(lengths.max()) if len(lengths) else 0
    share = float((lengths == longest).mean()) if len(lengths) else 0.0
    if len(lengths) < 20 or longest < 8 or not 0.1 < share < 0.98:
        return 0.0
    near = np.bincount(lengths, minlength=longest + 1)[int(0.8 * longest):longest]
    return share if (near > 0).sum() >= 3 and (lengths == longest).sum() >= 3 * near.max() else 0.0


def filled(batches, padding=None, first=None):
    """The share of the numbers in `batches`, a list of `(ids (n, t), mask or None)`, that is no padding: by the mask, else none of the run
    of `padding` that ends a row (first: that begins it; None: whichever is longer)."""
    real = size = 0
    for ids, mask in batches:
        size += ids.size
        if mask is not None:
            real += int(mask.sum())
        elif padding is not None:
            runs = [np.cumprod(ids[:, ::turn] == padding, 1).sum(1) for turn in {True: (1,), False: (-1,), None: (1, -1)}[first]]
            real += ids.size - int(np.max(runs, 0).sum())
        else:
            real += ids.size
    return real / max(size, 1)
