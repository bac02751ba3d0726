"""Which items a learner holds, and whether it is a new one: what is checked before its predictions are believed."""
import hashlib
import weakref
from collections.abc import Sequence
from typing import Any

import torch

from ..core.messages import describe, plural
from ..core.paths import Path
from ..data.categories import last_vocab
from ..data.targets import base_dataset


def vocab_of(learn: Any) -> list | None:
    """The classes of a learner's data as plain lists of strings, to compare with those of another; None if it has none.

    Words that only the inputs have, such as those of texts, are each learner's own affair.
    """
    vocab, loader = getattr(learn.dls, "vocab", None), learn.dls[0]
    if "vocab" not in getattr(loader, "set_by_hand", ()) and (targets := _pipelines(loader)[1]):
        found = [v for v in map(last_vocab, targets) if v is not None]
        vocab = found[0] if len(found) == 1 else found or None
    if vocab is None or not hasattr(vocab, "__iter__"):
        return None
    return [str(v) if isinstance(v, str) or not hasattr(v, "__iter__") else [str(o) for o in v] for v in vocab]


def _pipelines(loader: Any) -> tuple[Sequence, Sequence]:
    "The pipelines of the inputs of a loader, and those of its targets, where it has any."
    dataset = base_dataset(loader)[0]
    pipelines, n_inp = getattr(dataset, "pipelines", None) or (), getattr(dataset, "n_inp", None) or 0
    return pipelines[:n_inp], pipelines[n_inp:]


def refuse_other_words(dl: Any, learn: Any, i: int) -> None:
    "Refuse a loader whose inputs are numbers of other words than those that learner `i` knows."
    own, given = ([last_vocab(p) for p in _pipelines(loader)[0]] for loader in (learn.dls[0], dl))
    if any(a != b for a, b in zip(own, given, strict=False)):
        raise ValueError(f"the loader dl= makes numbers of words by another vocabulary than that of learner {i}, which would read other "
                         "words. Give the items, items=..., or the same words to all: text_vocab=dls_lm.vocab")


class CannotTell(Exception):
    "These items cannot be told apart without opening each."


def _key(o: Any) -> Any:
    "What tells an item from others, the same for an equal item."
    if isinstance(o, (str, Path)):
        return str(o)
    if isinstance(o, torch.Tensor):
        o = o.detach().cpu().numpy()
    if getattr(o, "ndim", 0) and hasattr(o, "tobytes"):
        return o.shape, hashlib.blake2b(o.tobytes(), digest_size=16).digest()
    if isinstance(o, (tuple, list)):
        return tuple(map(_key, o))
    if isinstance(o, dict):
        return tuple((k, _key(v)) for k, v in o.items())
    if type(o).__hash__ in (None, object.__hash__):           # an object known by its address alone
        raise CannotTell
    return o


def keys_of(items: Any) -> list:
    "What tells the items of a list, array or frame apart, one key per item; raises `CannotTell`."
    if hasattr(items, "iloc"):
        return list(items.index)
    if not isinstance(items, (list, tuple, range)) and not hasattr(items, "dtype"):
        raise CannotTell                                      # a dataset, say, whose items are costly to make
    return [_key(items[i]) for i in range(len(items))]


def item_keys(dataset: Any, items: Any = None) -> Any:
    """What tells the items of `dataset` apart, one key per item in its order; None where it does not say which items it holds.

    Args:
        dataset: of a loader.
        items: all items of the run; then `(keys of the dataset, keys of the items)`, comparable with each other, or None.
    """
    try:
        if isinstance(dataset, torch.utils.data.Subset):
            root, own = base_dataset(dataset)
            if items is None:
                return own
            return (own, list(range(len(items)))) if len(root) == len(items) else None
        labels = getattr(dataset, "row_index", None)                       # a table
        source = getattr(dataset, "items", None) if labels is None else None
        if labels is None and not (hasattr(source, "__len__") and len(source) == len(dataset)):
            return None
        own = keys_of(source) if labels is None else list(labels)
        if items is None:
            return own
        framed = labels is not None or hasattr(source, "iloc")
        return (own, keys_of(items)) if framed == hasattr(items, "iloc") else None
    except CannotTell:
        return None


def valid_positions(learn: Any, items: Any, splits: Sequence[Sequence[int]], what: str) -> list[int] | None:
    """The positions among `items` of the validation items of `learn`, in the order of its dataset.

    Args:
        learn: what `learner_fn(splits)` returned; refused if it holds other items.
        items: all items of the run.
        splits: (training positions, validation positions), or (training positions,) without validation; then the result is None.
        what: which learner this is, for messages.
    """
    how = "Write splitter=FixedSplitter(splits) in the DataBlock, TabularPandas(..., splits=splits), or Subset(ds, splits[i])"
    if hasattr(items, "iloc"):
        how += " (rows are told by the labels of the frame's index: do not reset it)"
    if len(learn.dls) != len(splits):
        raise ValueError(f"{what}: learner_fn received {plural(len(splits), 'list')} of positions and returned a learner with "
                         f"{plural(len(learn.dls), 'loader')}. {how}")
    sets = [getattr(dl, "dataset", None) for dl in learn.dls]
    if any(s is None or not hasattr(s, "__len__") for s in sets):
        raise TypeError(f"{what}: which items the loaders hold cannot be told, because they have no dataset: "
                        f"{', '.join(describe(dl) for dl in learn.dls)}")
    known, own, keys = [item_keys(s, items) for s in sets], None, None
    if all(known) and set(known[0][1]) & {k for held, _ in known for k in held}:
        own, keys = [held for held, _ in known], known[0][1]
    # else the items are of another kind than those of the run, and their number is all there is to compare
    if len(splits) == 1:
        if len(sets[0]) < len(splits[0]) or (own and not {keys[i] for i in splits[0]} <= set(own[0])):
            raise ValueError(f"{what}: the training set has {plural(len(sets[0]), 'item')} and is to hold all {len(splits[0]):,}. "
                             f"{how}")
        return None
    n_train, n_valid = len(sets[0]), len(sets[1])
    if n_valid != len(splits[1]):
        raise ValueError(f"{what}: learner_fn was given {plural(len(splits[1]), 'position')} for validation, but the validation set of its "
                         f"learner has {plural(n_valid, 'item')}. {how}")
    if own is None and n_train > len(splits[0]):
        raise ValueError(f"{what}: learner_fn was given {plural(len(splits[0]), 'position')} for training, but the training set of its "
                         f"learner has {plural(n_train, 'item')}: some of them may be those of validation. {how}")
    if own is None:
        return list(splits[1])
    expected = [keys[i] for i in splits[1]]
    if own[1] != expected and (set(own[1]) != set(expected) or len(set(expected)) < len(expected)):
        raise ValueError(f"{what}: {plural(len(set(own[1]) - set(expected)), 'item')} of the validation set of the learner are not those "
                         f"that learner_fn was given (splits[1]). {how}")
    leaked = set(own[0]) & set(expected)
    if leaked and len(set(keys)) == len(keys):
        raise ValueError(f"{what}: {plural(len(leaked), 'item')} of the training set of the learner are for validation (splits[1]), which "
                         f"makes the validation metrics meaningless. {how}")
    place = dict(zip(expected, splits[1], strict=True))
    return list(splits[1]) if own[1] == expected else [place[k] for k in own[1]]


class FreshWeights:
    "Refuses a learner whose trainable parameters were trained before: by an earlier learner, on what is now validation."

    def __init__(self):
        self._seen = {}

    def check(self, learn: Any, what: str) -> None:
        "Refuse `learn` if an earlier learner trained its parameters."
        for name, p in learn.model.named_parameters():
            known = self._seen.get(id(p))
            if p.requires_grad and known is not None and known() is p:
                raise ValueError(f"{what}: the model has parameters that an earlier learner has trained already ({name}), on items that "
                                 "are now for validation. Make the model inside of learner_fn, so that each call gives a new one")
        self._seen.update({id(p): weakref.ref(p) for p in learn.model.parameters()})
