"""Texts: how long they are, what is cut, empty or only padding, and which words the vocabulary does not know, in both splits.

Texts are ids: sequences of whole numbers, one per word or piece of a word. Where items are still text as people write it, its words are
looked at instead. Columns of tables are not: names and addresses are no texts, and MF823 speaks of them.
"""
import re
import time
from collections.abc import Callable, Mapping
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch

from ...core.messages import plural
from ...core.nested import split_batch
from ...data.sequences import PadSequences
from ...data.targets import base_dataset
from ..report import issue, not_applicable, passed, tip
from .text_counts import Words, count, differing, filled, padding_of, pile_at_the_end, tokens_cut, within

MAX_ITEMS, MAX_TOKENS, SECONDS, MAX_BATCHES = 4000, 5_000_000, 2.0, 20      #: of each split, at most


# -- reading: items, else batches ---------------------------------------------------------------------------------------------------
class Sample(NamedTuple):
    """Some items of a split. kind: 'ids' (rows are arrays) or 'text' (strings). where: which items they are; None: rows of batches.
    total: how many there are. place: which input. name_of: what to call an item. failed: items that could not be made."""
    name: str
    kind: str
    rows: list
    where: list | None
    total: int
    place: int | str = 0
    name_of: Callable = "item {}".format
    failed: int = 0

    def item(self, k):
        "What to call row `k`."
        name = f"row {k} of the first batches" if self.where is None else self.name_of(self.where[k])
        return name if len(name) <= 80 else name[:77] + "..."


def as_ids(x):
    "A sequence of whole numbers as an int64 array, else None. Bytes and truth values are pictures and masks, not ids."
    if isinstance(x, torch.Tensor):
        is_one = x.ndim == 1 and (x.numel() == 0 or x.dtype in (torch.int64, torch.int32, torch.int16))
        return x.detach().as_subclass(torch.Tensor).cpu().numpy().astype(np.int64) if is_one else None
    if isinstance(x, (list, tuple)):
        is_one = all(isinstance(o, (int, np.integer)) and not isinstance(o, bool) for o in x)
        return np.array(x, dtype=np.int64) if is_one else None
    if isinstance(x, np.ndarray) and x.ndim == 1 and (x.size == 0 or (x.dtype.kind in "iu" and x.dtype.itemsize > 1)):
        return x.astype(np.int64)
    return None


def _parts(sample, n_inp):
    "The inputs of a sample or batch by place or name; of what a tokenizer returns the ids alone."
    if isinstance(sample, (str, np.ndarray)) or (isinstance(sample, list) and as_ids(sample) is not None):
        return {0: sample}
    try:
        xb, kw, _ = split_batch(sample, n_inp)
    except TypeError:                                       # a picture, say
        return {}
    return {"input_ids": kw["input_ids"]} if "input_ids" in kw else {**dict(enumerate(xb)), **kw}


def _mask(sample, like):
    "A tokenizer's mask of what is no padding, if it fits the ids `like`."
    mask = sample.get("attention_mask") if isinstance(sample, Mapping) else None
    if mask is None:
        return None
    mask = (mask.detach().cpu().numpy() if isinstance(mask, torch.Tensor) else np.asarray(mask)).astype(bool)
    return mask if mask.shape == like.shape else None


def _items_of(dl):
    "`(how many, function of a number)` that gives items as `before_batch` gets them; None where there are only batches."
    fetcher, dataset = getattr(dl, "_fetcher", None), getattr(dl, "dataset", None)
    if hasattr(fetcher, "item"):
        return len(dataset), lambda i: fetcher.item(i, 0)
    if dataset is None or isinstance(dataset, torch.utils.data.IterableDataset) or not hasattr(dataset, "__getitem__"):
        return None
    try:
        n = len(dataset)
        dataset[0]
    except Exception:                                       # it has no length, or its items are asked for in another way
        return None
    return n, dataset.__getitem__


def _made(get, numbers):
    "Those of the items that can be made: the others are for the loader to complain of."
    made = []
    for i in numbers:
        try:
            made.append(get(i))
        except Exception:
            continue
    return made


def _kind(samples, n_inp):
    "`('ids' or 'text', place)` of the first input that is a text in all these samples, else `(None, None)`."
    for kind, is_one in (("ids", lambda x: as_ids(x) is not None), ("text", lambda x: isinstance(x, str))):
        for place in _parts(samples[0], n_inp) if samples else ():
            if all(is_one(_parts(s, n_inp).get(place)) for s in samples):
                return kind, place
    return None, None


def read(data, side):
    "A `Sample` of the texts of a split, evenly spread over it; None if its inputs are no texts."
    dl, name = data.loaders[side], data.side_names[side]
    source, n_inp = _items_of(dl), getattr(dl, "n_inp", None)
    if source is not None:
        n, get = source
        kind, place = _kind(_made(get, [0]), n_inp)
        if kind is not None:                                # of what is no text a single item is made
            kind, place = _kind(_made(get, sorted({0, n // 2, n - 1})), n_inp)
        if kind is None:
            return None
        if kind == "ids" or not _batches(data, side):       # else the text becomes ids where the batch is made
            spread = np.unique(np.linspace(0, n - 1, min(n, MAX_ITEMS // (8 if data.fast else 1))).round().astype(np.int64))
            numbers = np.random.Generator(np.random.PCG64(0)).permutation(spread).tolist()      # what there is time for is spread too
            rows, failed = _rows(get, numbers, kind, place, n_inp, SECONDS / (4 if data.fast else 1))
            name_of = getattr(getattr(dl, "_fetcher", None), "name_of", "item {}".format)
            return Sample(name, kind, [r for _, r in rows], [i for i, _ in rows], n, place, name_of, failed)
    rows = [r if mask is None else r[mask[k]] for ids, mask in _batches(data, side) for k, r in enumerate(ids)]
    return Sample(name, "ids", rows, None, len(rows)) if rows else None


def _rows(get, numbers, kind, place, n_inp, seconds):
    "`([(number, row)] in order, how many could not be made)` of as many of the items `numbers` as there is time for."
    rows, tokens, failed, began = [], 0, 0, time.perf_counter()
    for i in numbers:
        made = _made(get, [i])
        value = _parts(made[0], n_inp).get(place) if made else None
        row = as_ids(value) if kind == "ids" else value if isinstance(value, str) else None
        if row is None:
            failed += 1
            continue
        mask = _mask(made[0], row) if kind == "ids" else None
        rows.append((i, row if mask is None else row[mask]))
        tokens += len(row)
        if time.perf_counter() - began > seconds or tokens > MAX_TOKENS:
            break
    return sorted(rows, key=lambda o: o[0]), failed


def _batches(data, side):
    "`[(ids (n, t), mask or None)]` of the first batches of a split, as the model gets them; [] where batches hold no such thing."
    return data.once(f"batches of ids {side}", lambda: _read_batches(data, side))


def _read_batches(data, side):
    dl, found, began = data.loaders[side], [], time.perf_counter()
    if hasattr(dl, "after_batch"):
        dl = dl.new(num_workers=0, **({"seed": 0} if side == 0 else {}))
    try:
        for batch in islice(iter(dl), MAX_BATCHES // (4 if data.fast else 1)):
            ids = next((t for t in _parts(batch, getattr(dl, "n_inp", None)).values() if isinstance(t, torch.Tensor) and t.ndim == 2
                        and t.dtype in (torch.int64, torch.int32)), None)
            if ids is None:
                break
            ids = ids.detach().cpu().numpy().astype(np.int64)
            found.append((ids, _mask(batch, ids)))
            if time.perf_counter() - began > SECONDS / (8 if data.fast else 2):
                break
    except Exception:                                       # no batch can be made of these items: MF831 says why
        return []
    return found


# -- the vocabulary -----------------------------------------------------------------------------------------------------------------
def words_of(loader, place=0):
    """The `Words` that the ids at `place` are of, or None. Of the pipeline that makes this input; else of an item transform, of the
    dataset, or of the function that makes batches, if these name a word for unknown words or padding: else they may be labels."""
    dataset, _ = base_dataset(loader)
    pipes = list(getattr(dataset, "pipelines", None) or ())
    if isinstance(place, int) and place < len(pipes):
        own = next((w for w in map(Words.of, reversed(list(pipes[place]))) if w is not None), None)
        if own is not None:
            return own
    alone = getattr(dataset, "tfms", None)                  # of a TfmdLists
    others = list(alone)[::-1] if not pipes and hasattr(alone, "__iter__") else []
    others += [*list(getattr(loader, "after_item", ()))[::-1], dataset, getattr(loader, "collate_fn", None)]
    found = (Words.of(owner, place) for owner in others)
    return next((w for w in found if w is not None and (w.unknown is not None or w.padding is not None)), None)


# -- the check ----------------------------------------------------------------------------------------------------------------------
def texts(data):
    "Lengths, cuts, empty texts and unknown words of both splits."
    dataset, _ = base_dataset(data.loaders[0])
    if hasattr(dataset, "x_names") or isinstance(getattr(dataset, "classes", None), dict):
        return not_applicable("MF836", "the inputs are rows of a table")
    samples = [] if data.facts else [read(data, side) for side in range(len(data.loaders))]
    if not samples or samples[0] is None or not samples[0].rows:
        return not_applicable("MF836", "the inputs are neither ids of words nor text")
    samples = [s for s in samples if s is not None and s.rows and s.kind == samples[0].kind]
    return _of_text(samples) if samples[0].kind == "text" else _of_ids(data, samples)


def _of_ids(data, samples):
    sides = [data.side_names.index(s.name) for s in samples]
    loaders = [data.loaders[side] for side in sides]
    pads = [next((f for f in getattr(dl, "before_batch", ()) if isinstance(f, PadSequences)), None) for dl in loaders]
    words = words_of(loaders[0], samples[0].place)
    padding = words.padding if words is not None and words.padding is not None else padding_of([r for s in samples for r in s.rows])
    counts = [count(s.rows, words, padding) for s in samples]
    lengths = np.concatenate([c.lengths for c in counts])
    if words is None and not any(pads) and ((lengths == lengths[0]).all() or _are_flags(samples)):
        return not_applicable("MF836", "the inputs are whole numbers, as many in each item, and nothing says that they are words")
    if words is None and sum(c.negative for c in counts) > 0.2 * lengths.sum():
        return not_applicable("MF836", "the inputs are whole numbers, many of them negative: no ids")
    found, numbers, said, items = [], {}, [], []            # found: (0 for an issue, 1 for a tip; the sentence; the advice)
    for side, s, c, pad in zip(sides, samples, counts, pads, strict=True):
        said.append(_about_lengths(s, c.lengths, "token", numbers))
        items += _empty(s, c.empty, found, numbers)
        _cut(s, pad, padding, within(counts[0].lengths), found, numbers)
        _piled(s, c.lengths, found, numbers)
        _filled(s.name, _batches(data, side), pad, padding, found, numbers)
        _outside(s, c, words, found, numbers)
    if words is not None:
        numbers["vocabulary"] = words.size or 0
        said += _unknown(samples, counts, words, found, numbers)
        for other in [words_of(dl, s.place) for s, dl in zip(samples[1:], loaders[1:], strict=True)]:
            _two_vocabularies(words, other, found, numbers)
        _wrong_padding(pads, words, found)
    return _verdict(found, said, items, numbers)


def _are_flags(samples):
    "Whether rows, all as long, hold no more than two different numbers: one that only ends rows is then not padding but 'no'."
    rows = [r for s in samples for r in s.rows]
    return len({len(r) for r in rows}) == 1 and len(np.unique(np.concatenate(rows))) <= 2


def _verdict(found, said, items, numbers):
    if not found:
        return passed("MF836", "; ".join(said), items=items, **numbers)
    worst = min(rank for rank, _, _ in found)
    found.sort(key=lambda o: o[0])
    make = issue if worst == 0 else tip
    advice = list(dict.fromkeys(a for _, _, a in found))
    return make("MF836", "; ".join(dict.fromkeys(sentence for _, sentence, _ in found)), "; ".join(advice), items=items, **numbers)


def _about_lengths(s, lengths, unit, numbers):
    median, p95 = float(np.median(lengths)), within(lengths)
    if s.failed:
        numbers[f"{s.name}_not_made"] = s.failed
    numbers.update({f"{s.name}_items": len(s.rows), f"{s.name}_shortest": int(lengths.min()), f"{s.name}_median": median,
                    f"{s.name}_p95": p95, f"{s.name}_longest": int(lengths.max())})
    some = "" if len(s.rows) == s.total else f" of {s.total:,}"
    return (f"{s.name}: {len(s.rows):,}{some} texts of {int(lengths.min()):,} to {plural(int(lengths.max()), unit)}, median {median:,.0f}, "
            f"95% have at most {p95:,}")


def _empty(s, empty, found, numbers):
    "Texts without a word; returns their names."
    numbers[f"{s.name}_empty"] = len(empty)
    if not len(empty):
        return []
    names, share = [s.item(k) for k in empty[:50]], len(empty) / len(s.rows)
    shown = ", ".join(names[:3]) + (", ..." if len(empty) > 3 else "")
    found.append((0 if share > 0.02 and len(empty) >= 3 else 1,
                  f"{plural(len(empty), 'text')} of {len(s.rows):,} in {s.name} {'is' if len(empty) == 1 else 'are'} empty ({share:.1%}): "
                  f"{shown}", "leave out empty texts, or find the step that empties them"))
    return names


def _cut(s, pad, padding, p95, found, numbers):
    "What `PadSequences(max_len=...)` takes away of the items."
    if pad is None or pad.max_len is None or s.where is None:
        return
    cut, lost, tokens = tokens_cut(s.rows, pad.max_len, padding)
    share = cut / len(s.rows)
    numbers.update({f"{s.name}_cut": share, f"{s.name}_tokens_lost": lost})
    if share > 0.1:
        found.append((0 if share > 0.5 else 1,
                      f"PadSequences(max_len={pad.max_len}) cuts {share:.0%} of the texts in {s.name}: {lost:,} of {tokens:,} tokens "
                      f"({lost / tokens:.0%}) are lost", f"max_len={p95} leaves 95% of the training texts whole; or cut them into several "
                      "items, if memory does not allow that"))


def _piled(s, lengths, found, numbers):
    "A cut that was made before: many texts of exactly the longest length."
    share = pile_at_the_end(lengths)
    if share:
        numbers[f"{s.name}_at_longest"] = share
        found.append((1, f"{share:.0%} of the texts in {s.name} have exactly the longest length, {lengths.max():,} tokens: something cuts "
                         "them there, before the loader", "raise that limit, unless the items are windows of longer texts"))


def _filled(name, batches, pad, padding, found, numbers):
    "How much of the batches are words."
    padding = pad.pad_value if pad is not None else padding if padding is not None else padding_of([r for ids, _ in batches for r in ids])
    if not batches or (padding is None and all(mask is None for _, mask in batches)):
        return
    share = filled(batches, padding, None if pad is None else pad.pad_first)
    numbers[f"{name}_filled"] = share
    if share < 0.3:
        one_length = pad is None and len(batches) > 1 and len({ids.shape[1] for ids, _ in batches}) == 1
        found.append((1, f"only {share:.0%} of the numbers in the {name} batches are words, the others padding",
                      "fill up each batch to its own longest text (before_batch=PadSequences()) instead of all to one length" if one_length
                      else "put texts of similar length into one batch (a sampler that sorts by length), or cut the longest (max_len=)"))


def _outside(s, c, words, found, numbers):
    if not c.outside:
        return
    size = None if words is None else words.size
    numbers[f"{s.name}_outside"] = c.outside
    limit = f"the vocabulary has {size:,} words, ids 0 to {size - 1:,}" if size else "an id is at least 0"
    which = f"is outside the vocabulary: {c.lowest:,}" if c.outside == 1 else (
        f"are outside the vocabulary, from {c.lowest:,} to {c.highest:,}")
    found.append((0, f"{plural(c.outside, 'id')} in {s.name} {which}, first in {s.item(c.first_outside)}; {limit}",
                  "an embedding fails on such ids, on a GPU with a device-side assert: make ids and vocabulary with the same tokenizer, "
                  "special words that were added included"))


def _unknown(samples, counts, words, found, numbers):
    if words.unknown is None:
        return []
    rates = {s.name: c.unknown / max(int(c.lengths.sum()), 1) for s, c in zip(samples, counts, strict=True)}
    numbers.update({f"{name}_unknown": rate for name, rate in rates.items()})
    said = "unknown words: " + ", ".join(f"{rate:.1%} of the tokens in {name}" for name, rate in rates.items())
    train, valid = next(iter(rates.values())), list(rates.values())[-1]
    worst = max(rates.values())
    if worst > 0.1:
        found.append((0 if worst > 0.3 else 1, said, "make the vocabulary from these texts with the tokenizer that makes the ids (lower "
                      "case? punctuation?), with rarer words (min_freq), or use pieces of words"))
    if valid > 3 * train and valid - train > 0.05:
        found.append((1, said if worst > 0.1 else f"{said}: far more in validation",
                      "see whether validation goes through the same tokenizer; if so, new texts will have as many words that training "
                      "does not have, and pieces of words (subwords) help"))
    return [said]


def _two_vocabularies(words, other, found, numbers):
    if other is None or other.names is None or words.names is None:
        return
    differ = differing(words.names, other.names)
    if not differ:
        return
    i = differ[0]
    numbers["ids_that_differ"] = len(differ)
    found.append((0, f"training and validation have vocabularies of their own: {plural(len(differ), 'id')} stand{'s' * (len(differ) == 1)} "
                     f"for another word, {i} for {words.names[i]!r} in training and {other.names[i]!r} in validation",
                  "make one vocabulary from the training texts and use it for both"))


def _wrong_padding(pads, words, found):
    for pad in dict.fromkeys(p for p in pads if p is not None):
        value = pad.pad_value
        if words.padding is not None and value != words.padding:
            found.append((1, f"PadSequences fills up with {value}, which is {words.name(value)}; the vocabulary's word for padding is "
                             f"{words.padding}", f"PadSequences(pad_value={words.padding})"))
        elif words.size and not 0 <= value < words.size:
            found.append((1, f"PadSequences fills up with {value}, which is no id of the vocabulary",
                          "use a pad_value that an embedding has a row for, unless the model looks for this one"))


def _of_text(samples):
    "Items that are text as people write it."
    words = [[t.split() for t in s.rows] for s in samples]
    lengths = [np.array([len(w) for w in split]) for split in words]
    if np.median(lengths[0]) < 3 or len(set(samples[0].rows)) < 0.5 * len(samples[0].rows):
        return not_applicable("MF836", "the inputs are strings, but names or labels rather than texts")
    found, numbers, said, items = [], {}, [], []
    for s, n in zip(samples, lengths, strict=True):
        said.append(_about_lengths(s, n, "word", numbers))
        items += _empty(s, np.flatnonzero(n == 0), found, numbers)
    if len(samples) > 1:
        train, valid = ([w for t in s.rows for w in re.findall(r"\w+", t.lower())] for s in samples)
        if valid and sum(map(len, valid)) / len(valid) < 15:           # else words are not separated by spaces
            known = set(train)
            new = sum(w not in known for w in valid) / len(valid)
            numbers["validation_words_new"] = new
            said.append(f"{new:.1%} of the words in validation do not occur in " + (
                "training" if len(samples[0].rows) == samples[0].total else "those training texts"))
            if new > 0.5:
                found.append((1, said[-1], "is validation of the same language and kind? A vocabulary made of training will not have them"))
    return _verdict(found, said, items, numbers)
