"""The texts of a split, read for `text_quality`: as items where the loader has items, otherwise from its batches.

Texts are ids: sequences of whole numbers, one per word or piece of a word. Where items are still text as people write it, its words are
looked at instead.
"""
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch

from ...core.nested import split_batch
from ...data.dataloader import DataLoader
from ...data.engine.fetch import Fetcher
from ...data.targets import base_dataset
from ...learner.probe import once
from ..outcomes import in_time
from .probe import DataProbe

MAX_ITEMS, MAX_TOKENS, SECONDS, MAX_BATCHES = 20_000, 5_000_000, 2.0, 20      #: of each split, at most
#: What vocabularies call them, in lower case. Names that can be words of a language count only among the first 8 ids.
UNKNOWN, PADDING = ("xxunk", "<unk>", "[unk]", "<|unk|>", "unk"), ("xxpad", "<pad>", "[pad]", "<|pad|>", "pad")
MARKERS = ("xxbos", "xxeos", "xxfld", "<bos>", "<eos>", "<s>", "</s>", "[cls]", "[sep]", "<cls>", "<sep>", "[bos]", "[eos]",
           "<|endoftext|>")


class Sample(NamedTuple):
    "Some texts of a split, evenly spread over it."
    name: str                       #: of the split
    kind: str                       #: "ids" (rows are arrays of them) or "text" (rows are strings)
    rows: list
    where: list[int] | None         #: which items they are; None: rows of batches
    total: int                      #: how many items there are
    place: int | str = 0            #: which input of the model they are
    name_of: Callable[[int], str] = "item {}".format
    failed: int = 0                 #: items that could not be made
    uncut: np.ndarray | None = None         #: tokens that each row would have, had the tokenizer not cut it

    def item(self, k: int) -> str:
        "What to call row `k`."
        name = f"row {k} of the first batches" if self.where is None else self.name_of(self.where[k])
        return name if len(name) <= 80 else name[:77] + "..."


def as_ids(x: Any) -> np.ndarray | None:
    "A sequence of whole numbers as an int64 array; None for anything else. Bytes and bools are images and masks, not ids."
    if isinstance(x, torch.Tensor):
        x = x.detach().as_subclass(torch.Tensor).cpu().numpy()
    elif isinstance(x, (list, tuple)):
        x = np.array(x) if all(isinstance(o, (int, np.integer)) and not isinstance(o, bool) for o in x) else None
    whole = isinstance(x, np.ndarray) and x.ndim == 1 and (x.size == 0 or (x.dtype.kind in "iu" and x.dtype.itemsize > 1))
    return x.astype(np.int64) if whole else None


def _inputs(sample, n_inp):
    "The inputs of a sample or batch by place or name; of what a tokenizer returns the ids alone."
    if isinstance(sample, (str, np.ndarray)) or (isinstance(sample, list) and as_ids(sample) is not None):
        return {0: sample}
    try:
        xb, kw, _ = split_batch(sample, n_inp)
    except TypeError:                                       # an image, say
        return {}
    return {"input_ids": kw["input_ids"]} if "input_ids" in kw else {**{k: _ids_alone(x) for k, x in enumerate(xb)}, **kw}


def _ids_alone(x):
    return x["input_ids"] if isinstance(x, Mapping) and "input_ids" in x else x


def _mask(sample, ids):
    "A tokenizer's mask of what is not padding, if it fits the ids."
    parts = sample if isinstance(sample, (tuple, list)) else (sample,)
    mask = next((x["attention_mask"] for x in parts if isinstance(x, Mapping) and "attention_mask" in x), None)
    mask = None if mask is None else torch.as_tensor(mask).cpu().numpy().astype(bool)
    return mask if mask is not None and mask.shape == ids.shape else None


def _item_maker(dl):
    "`(how many, function of an index, names)` that makes items as `before_batch` gets them; None where there are only batches."
    dataset = getattr(dl, "dataset", None)
    if isinstance(dl, DataLoader):
        fetcher, ahead = Fetcher(dataset, dl.after_item, dl.before_batch), getattr(dataset, "ahead", {}).get(0)
        if ahead is not None and not len(dl.after_item):            # texts that were made of all items at once
            return len(dataset), lambda i: (ahead.rest(ahead.values[i]),), fetcher.name_of
        return len(dataset), lambda i: fetcher.item(i, 0), fetcher.name_of
    try:
        dataset[0]
        return len(dataset), dataset.__getitem__, "item {}".format
    except Exception:                                       # a stream, or it has no length, or takes no indices
        return None


def _made(make, i):
    "An item; None if it cannot be made, of which the loader complains."
    with suppress(Exception):
        return make(i)


def _row(sample, kind, place, n_inp):
    "The text of a sample, without what a tokenizer masks; None where there is no such text."
    value = _inputs(sample, n_inp).get(place)
    if kind == "text":
        return value if isinstance(value, str) else None
    ids = as_ids(value)
    mask = None if ids is None else _mask(sample, ids)
    return ids if mask is None else ids[mask]


@once
def read_texts(data: DataProbe, side: int) -> Sample | None:
    "The texts of a split; None if its inputs are not texts."
    dl, name = data.loaders[side], data.side_names[side]
    maker, n_inp = _item_maker(dl), getattr(dl, "n_inp", None)
    if maker is not None:
        n, make, name_of = maker
        first = _made(make, 0)
        found = [(kind, place) for kind in ("ids", "text") for place in _inputs(first, n_inp)
                 if _row(first, kind, place, n_inp) is not None]
        others = [_made(make, i) for i in (n // 2, n - 1)] if found else []         # of what is not text a single item is made
        found = [way for way in found if all(_row(s, *way, n_inp) is not None for s in others if s is not None)]
        if not found:
            return None
        kind, place = found[0]
        if kind == "ids" or not batches_of_ids(data, side):     # otherwise the text becomes ids where the batch is made
            spread = np.unique(np.linspace(0, n - 1, min(n, MAX_ITEMS // (8 if data.fast else 1))).round().astype(np.int64))
            indices = np.random.Generator(np.random.PCG64(0)).permutation(spread).tolist()      # what there is time for is spread too
            rows, failed = _rows(make, indices, kind, place, n_inp, SECONDS / (4 if data.fast else 1))
            where = [i for i, _ in rows]
            uncut = getattr(getattr(getattr(dl.dataset, "ahead", {}).get(place), "values", None), "uncut", None)
            return Sample(name, kind, [r for _, r in rows], where, n, place, name_of, failed, None if uncut is None else uncut[where])
    rows = [r if mask is None else r[mask[k]] for ids, mask in batches_of_ids(data, side) for k, r in enumerate(ids)]
    return Sample(name, "ids", rows, None, len(rows)) if rows else None


def _rows(make, indices, kind, place, n_inp, seconds):
    "`([(index, row)] in order, how many could not be made)` of as many of the items as there is time for."
    found, tokens = {}, 0
    for i in in_time(indices, seconds):
        found[i] = _row(_made(make, i), kind, place, n_inp)
        tokens += 0 if found[i] is None else len(found[i])
        if tokens > MAX_TOKENS:
            break
    rows = [(i, found[i]) for i in sorted(found) if found[i] is not None]
    return rows, len(found) - len(rows)


@once
def batches_of_ids(data: DataProbe, side: int) -> list[tuple[np.ndarray, np.ndarray | None]]:
    "`[(ids (n, t), mask or None)]` of the first batches of a split, as the model gets them; [] where batches hold no such thing."
    dl, found = data.inline_loader(side), []
    try:
        for batch in in_time(islice(iter(dl), MAX_BATCHES // (4 if data.fast else 1)), SECONDS / (8 if data.fast else 2)):
            ids = next((t for t in _inputs(batch, getattr(dl, "n_inp", None)).values() if isinstance(t, torch.Tensor) and t.ndim == 2
                        and t.dtype in (torch.int64, torch.int32)), None)
            if ids is None:
                break
            rows = ids.detach().cpu().numpy().astype(np.int64)
            found.append((rows, _mask(batch, rows)))
    except Exception:                                       # no batch can be made of these items: MF831 says why
        return []
    return found


# -- vocabularies -------------------------------------------------------------------------------------------------------------------
class Vocabulary(NamedTuple):
    "What is known of a vocabulary."
    names: list[str] | None         #: the words by id
    size: int | None
    unknown: int | None             #: id of the unknown word
    padding: int | None             #: id of padding
    markers: frozenset[int] = frozenset()       #: ids of beginning and end

    @classmethod
    def of(cls, owner: Any, place: int | str = 0) -> "Vocabulary | None":
        """What a transform, dataset, tokenizer or function says about its words, or None.

        It is asked for `vocab`, `get_vocab()`, `unk_id`, `pad_id` and their other names, and so is its `tokenizer`, or the object whose
        method it is.
        """
        whole = getattr(owner, "get_vocab", None)               # of a tokenizer: with the words that were added to its `vocab`
        vocab = whole() if callable(whole) and not isinstance(owner, type) else getattr(owner, "vocab", None)
        names = word_list(vocab, place)
        unknown, padding = (_number((owner, vocab), *(f"{n}{end}" for n in kinds for end in ("_id", "_idx", "_token_id", "_index")))
                            for kinds in (("unk", "unknown"), ("pad", "padding")))
        if names is None:
            within = (getattr(owner, "tokenizer", None), getattr(owner, "__self__", None),
                      getattr(getattr(owner, "encodes", None), "__self__", None))
            found = next((v for o in within if o is not owner for v in [cls.of(o, place)] if v is not None), None)
            if found is not None or (unknown is None and padding is None):
                return found
        lower = [w.lower() for w in names or ()]
        markers = frozenset(i for i, w in enumerate(lower) if w in MARKERS)
        unknown = _position(lower, UNKNOWN) if unknown is None else unknown
        return cls(names, len(names) if names is not None else _number((owner,), "vocab_size"),
                   None if unknown in markers else unknown,                     # a tokenizer of bytes knows every word
                   _position(lower, PADDING) if padding is None else padding, markers)

    def name(self, i: int) -> str:
        "The word with id `i`, for a message."
        return repr(self.names[i]) if self.names is not None and 0 <= i < len(self.names) else "none of its words"


def _number(owners, *names):
    found = [getattr(o, n, None) for o in owners for n in names]
    return next((int(v) for v in found if _is_id(v, -np.inf)), None)


def _position(lower, options):
    "The first id of one of the words `options`."
    found = [lower.index(word) for word in options if word in lower]
    return next((i for i in found if not lower[i].isalpha() or lower[i].startswith("xx") or i < 8), None)


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


def vocabulary_of(loader: Any, place: int | str = 0) -> Vocabulary | None:
    """The `Vocabulary` of the ids at `place`: that of the pipeline that makes this input.

    Otherwise that of an item transform, of the dataset, or of the function that makes batches, if it has a word for unknown words or
    padding: without one, it may hold labels.
    """
    dataset, _ = base_dataset(loader)
    pipes = list(getattr(dataset, "pipelines", None) or ())
    makers = list(pipes[place]) if isinstance(place, int) and place < len(pipes) else []
    alone = getattr(dataset, "tfms", None)                  # of a TfmdLists
    others = [*(list(alone)[::-1] if not pipes and hasattr(alone, "__iter__") else ()), *list(getattr(loader, "after_item", ()))[::-1],
              dataset, getattr(loader, "collate_fn", None)]
    own = [v for v in (Vocabulary.of(maker) for maker in reversed(makers)) if v is not None]
    found = [v for v in (Vocabulary.of(o, place) for o in others) if v is not None and (v.unknown is not None or v.padding is not None)]
    return next(iter(own + found), None)
