"""The check of texts, MF836: how long they are; which are truncated, empty or padding; which words the vocabulary does not know.

Columns of tables are not looked at: names and addresses are no texts, and MF823 is about them.
"""
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...core.messages import plural
from ...data.sequences import PadSequences
from ...data.targets import base_dataset
from ..outcomes import VERDICTS, Check, graded, issue, passed, require, tip
from .probe import DataProbe
from .text_samples import Sample, Vocabulary, batches_of_ids, read_texts, vocabulary_of


# -- counting in rows of ids: pure functions of arrays ------------------------------------------------------------------------------
class Counts(NamedTuple):
    "Counts of some texts."
    lengths: np.ndarray             #: tokens without padding, (texts,)
    empty: np.ndarray               #: indices of texts without a word
    unknown: int                    #: ids of the unknown word
    outside: np.ndarray             #: the ids that the vocabulary does not have
    first_outside: int | None       #: the first text with one


def count(rows: Sequence[np.ndarray], words: Vocabulary | None = None, padding: int | None = None) -> Counts:
    "The `Counts` of `rows` of ids. Ids equal to `padding` are not tokens; an id is outside if it is negative or not below the size."
    flat, row = np.concatenate([np.zeros(0, np.int64), *rows]), np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    real = slice(None) if padding is None else flat != padding
    flat, row = flat[real], row[real]
    words = words or Vocabulary(None, None, None, None)
    bad = (flat < 0) | (flat >= (words.size or np.inf))
    n_words = np.bincount(row[~np.isin(flat, list(words.markers))], minlength=len(rows))
    unknown = 0 if words.unknown is None else int((flat == words.unknown).sum())
    return Counts(np.bincount(row, minlength=len(rows)), np.flatnonzero(n_words == 0), unknown, flat[bad],
                  int(row[bad][0]) if bad.any() else None)


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


def differing(names: Sequence[str], others: Sequence[str]) -> list[int]:
    "The ids that stand for different words in two vocabularies."
    return [i for i, (a, b) in enumerate(zip(names, others, strict=False)) if a != b]


def are_flags(samples: Sequence[Sample]) -> bool:
    "Whether rows, all of one length, hold no more than two different numbers: one that only ends rows is then not padding but 'no'."
    rows = [r for s in samples for r in s.rows]
    return len({len(r) for r in rows}) == 1 and len(np.unique(np.concatenate(rows))) <= 2


# -- the check ----------------------------------------------------------------------------------------------------------------------
def text_quality(data: DataProbe) -> Check:
    "Lengths, truncation, empty texts and unknown words of both splits: what is wrong, issues first, or the statistics."
    dataset, _ = base_dataset(data.loaders[0])
    require(not hasattr(dataset, "x_names") and not isinstance(getattr(dataset, "classes", None), dict), "the inputs are rows of a table")
    read = [] if data.facts else [read_texts(data, side) for side in range(len(data.loaders))]
    require(read and read[0] is not None and read[0].rows, "the inputs are neither ids of words nor text")
    samples = [s for s in read if s is not None and s.rows and s.kind == read[0].kind]
    found = list(_check_text(samples) if samples[0].kind == "text" else _check_ids(data, samples))
    bad = sorted((c for c in found if c.verdict != "pass"), key=lambda c: VERDICTS.index(c.verdict))
    sentences, advice = ("; ".join(dict.fromkeys(texts)) for texts in ([c.found for c in bad], [c.advice for c in bad]))
    return graded(sentences, any(c.verdict == "issue" for c in bad), bad, advice, "; ".join(c.found for c in found if c.found),
                  [item for c in bad for item in c.items], **{name: value for c in found for name, value in c.evidence.items()})


def _check_ids(data: DataProbe, samples: list[Sample]) -> Iterator[Check]:
    sides = [data.side_names.index(s.name) for s in samples]
    loaders = [data.loaders[side] for side in sides]
    pads = [next((f for f in getattr(dl, "before_batch", ()) if isinstance(f, PadSequences)), None) for dl in loaders]
    words = vocabulary_of(loaders[0], samples[0].place)
    padding = words.padding if words is not None and words.padding is not None else padding_of([r for s in samples for r in s.rows])
    counts = [count(s.rows, words, padding) for s in samples]
    lengths = np.concatenate([c.lengths for c in counts])
    if words is None:
        require(any(pads) or not ((lengths == lengths[0]).all() or are_flags(samples)),
                "the inputs are equally many whole numbers in every item, and nothing says that they are words")
        require(sum((c.outside < 0).sum() for c in counts) <= 0.2 * lengths.sum(),
                "the inputs are whole numbers, many of them negative, so not ids")
    for side, s, c, pad in zip(sides, samples, counts, pads, strict=True):
        yield _lengths(s, c.lengths, c.empty, "token")
        yield from _truncated(s, c, pad, padding, within(counts[0].lengths if samples[0].uncut is None else samples[0].uncut))
        yield from _padding_share(s.name, batches_of_ids(data, side), pad, padding)
        yield from _outside(s, c, words)
    if words is not None:
        yield passed(vocabulary=words.size or 0)
        yield from _unknown({s.name: c.unknown / max(int(c.lengths.sum()), 1) for s, c in zip(samples, counts, strict=True)}, words)
        for s, dl in zip(samples[1:], loaders[1:], strict=True):
            yield from _two_vocabularies(words, vocabulary_of(dl, s.place))
        yield from _wrong_padding(pads, words)


def _check_text(samples: list[Sample]) -> Iterator[Check]:
    "Of items that are text as people write it."
    lengths = [np.array([len(text.split()) for text in s.rows]) for s in samples]
    require(np.median(lengths[0]) >= 3 and len(set(samples[0].rows)) >= 0.5 * len(samples[0].rows),
            "the inputs are strings, but names or labels rather than texts")
    yield from (_lengths(s, n, np.flatnonzero(n == 0), "word") for s, n in zip(samples, lengths, strict=True))
    train, valid, *_ = [Counter(w for t in s.rows for w in re.findall(r"\w+", t.lower())) for s in samples] + [Counter()]
    if valid and sum(len(w) * n for w, n in valid.items()) / valid.total() < 15:           # otherwise spaces do not separate words
        new = sum(n for w, n in valid.items() if w not in train) / valid.total()
        which = "training" if len(samples[0].rows) == samples[0].total else "those training texts"
        sentence = f"{new:.1%} of the words in validation do not occur in {which}"
        yield graded(sentence, tip=new > 0.5, advice="is validation of the same language and kind? A vocabulary built from training will "
                     "not have these words", fine=sentence, validation_words_new=new)


# -- what is looked at: each yields checks without a code, which `text_quality` joins -----------------------------------------------
def _numbers_of(name: str, **numbers: Any) -> dict[str, Any]:
    "Numbers of the split `name` as evidence."
    return {f"{name}_{key}": value for key, value in numbers.items()}


def _lengths(s: Sample, lengths: np.ndarray, empty: np.ndarray, unit: str) -> Check:
    "The lengths of texts, and those that are empty."
    numbers: dict[str, Any] = {
        "items": len(s.rows), "shortest": int(lengths.min()), "median": float(np.median(lengths)), "p95": within(lengths),
        "longest": int(lengths.max()), "empty": len(empty), **({"not_made": s.failed} if s.failed else {})}
    some = "" if len(s.rows) == s.total else f" of {s.total:,}"
    names, share = [s.item(k) for k in empty[:50]], len(empty) / len(s.rows)
    return graded(f"{plural(len(empty), 'text')} of {len(s.rows):,} in {s.name} {'is' if len(empty) == 1 else 'are'} empty "
                  f"({share:.1%}): {', '.join(names[:3])}" + (", ..." if len(empty) > 3 else ""), share > 0.02 and len(empty) >= 3, names,
                  "drop empty texts, or find the step that empties them",
                  f"{s.name}: {len(s.rows):,}{some} texts of {numbers['shortest']:,} to {plural(numbers['longest'], unit)}, "
                  f"median {numbers['median']:,.0f}, 95% have at most {numbers['p95']:,}", names,
                  **_numbers_of(s.name, **numbers))


def _truncated(s: Sample, c: Counts, pad: PadSequences | None, padding: int | None, p95: int) -> Iterator[Check]:
    "What `PadSequences(max_len=...)` cuts off, and a limit applied before: many texts of exactly the longest length."
    if pad is not None and pad.max_len is not None and s.where is not None:
        cut, lost, tokens = tokens_cut(s.rows, pad.max_len, padding)
        share = cut / len(s.rows)
        yield graded(f"{type(pad).__name__}(max_len={pad.max_len}) truncates {share:.0%} of the texts in {s.name}: {lost:,} of {tokens:,} "
                     f"tokens ({lost / max(tokens, 1):.0%}) are lost", share > 0.5, share > 0.1,
                     f"max_len={p95} leaves 95% of the training texts whole; or split them into several items, if memory does not allow "
                     "that", **_numbers_of(s.name, cut=share, tokens_lost=lost))
    if s.uncut is not None and (s.uncut > c.lengths).any():
        is_cut = s.uncut > c.lengths
        share, lost = float(is_cut.mean()), int((s.uncut - c.lengths)[is_cut].sum())
        yield graded(f"{share:.0%} of the texts in {s.name} are cut to {c.lengths[is_cut].max():,} tokens: {lost:,} of {s.uncut.sum():,} "
                     f"tokens ({lost / s.uncut.sum():.0%}) are lost", share > 0.5, share > 0.1,
                     f"max_len={p95} leaves 95% of the training texts whole, if the model takes so many; or split them into several items",
                     **_numbers_of(s.name, cut=share, tokens_lost=lost))
    elif share := pile_at_the_end(c.lengths):
        yield tip(f"{share:.0%} of the texts in {s.name} have exactly the longest length, {c.lengths.max():,} tokens: something truncates "
                  "them there, before the loader", "raise that limit, unless the items are windows of longer texts",
                  **_numbers_of(s.name, at_longest=share))


def _padding_share(name: str, batches: list, pad: PadSequences | None, padding: int | None) -> Iterator[Check]:
    padding = (int(pad.pad_value) if pad is not None else
               padding if padding is not None else padding_of([r for ids, _ in batches for r in ids]))
    if batches and (padding is not None or any(mask is not None for _, mask in batches)):
        share = real_share(batches, padding, None if pad is None else pad.pad_first)
        one_length = pad is None and len(batches) > 1 and len({ids.shape[1] for ids, _ in batches}) == 1
        yield graded(f"only {share:.0%} of the {name} batches are words, the rest is padding", tip=share < 0.3, advice=
                     "pad each batch to its own longest text (before_batch=PadSequences()) instead of all to one length" if one_length
                     else "batch texts of similar length together (a sampler that sorts by length), or truncate the longest (max_len=)",
                     **_numbers_of(name, filled=share))


def _outside(s: Sample, c: Counts, words: Vocabulary | None) -> Iterator[Check]:
    limit = f"the vocabulary has {words.size:,} words, ids 0 to {words.size - 1:,}" if words and words.size else "an id is at least 0"
    if n := len(c.outside):
        which = (f"is outside the vocabulary: {c.outside[0]:,}" if n == 1
                 else f"are outside the vocabulary, from {c.outside.min():,} to {c.outside.max():,}")
        yield issue(f"{plural(n, 'id')} in {s.name} {which}, first in {s.item(c.first_outside)}; {limit}",
                    "an embedding fails on such ids, on a GPU with a device-side assert: make ids and vocabulary with the same tokenizer, "
                    "special tokens that were added included", **_numbers_of(s.name, outside=n))


def _unknown(rates: dict[str, float], words: Vocabulary) -> Iterator[Check]:
    "Words that the vocabulary does not know, by split."
    if words.unknown is not None:
        sentence = "unknown words: " + ", ".join(f"{rate:.1%} of the tokens in {name}" for name, rate in rates.items())
        (train, *_), (*_, valid) = rates.values(), rates.values()
        worst = max(train, valid)
        numbers: dict[str, Any] = {f"{name}_unknown": rate for name, rate in rates.items()}
        yield graded(sentence, worst > 0.3, worst > 0.1,
                     "build the vocabulary from these texts with the tokenizer that makes the ids (lower case? punctuation?), keep rarer "
                     "words (min_freq), or use subwords", sentence, **numbers)
        yield graded(sentence if worst > 0.1 else f"{sentence}: far more in validation", tip=valid > 3 * train and valid - train > 0.05,
                     advice="see whether validation goes through the same tokenizer; if it does, new texts will have as many words that "
                     "training does not have, and subwords help")


def _two_vocabularies(words: Vocabulary, other: Vocabulary | None) -> Iterator[Check]:
    if differ := differing(words.names or (), other.names or () if other else ()):
        i = differ[0]
        yield issue(f"training and validation have different vocabularies: {plural(len(differ), 'id')} "
                    f"stand{'s' * (len(differ) == 1)} for another word, {i} for {words.names[i]!r} in training and {other.names[i]!r} in "
                    "validation", "build one vocabulary from the training texts and use it for both", ids_that_differ=len(differ))


def _wrong_padding(pads: Sequence[PadSequences | None], words: Vocabulary) -> Iterator[Check]:
    for value in dict.fromkeys(p.pad_value for p in pads if p is not None):
        if words.padding is not None and value != words.padding:
            yield tip(f"batches are padded with {value}, which is {words.name(int(value))}; the vocabulary's padding is {words.padding}",
                      f"PadSequences(pad_value={words.padding})")
        elif words.size and not 0 <= value < words.size:
            yield tip(f"batches are padded with {value}, which is not an id of the vocabulary",
                      "use a pad_value that an embedding has a row for, unless the model looks for this one")
