"""Which items a learner holds, and whether it is a new one: what is looked at before its predictions are believed."""
import hashlib
import weakref
from pathlib import Path

import torch

from ..core.messages import describe, plural


def vocab_of(learn):
    "The classes of a learner's data as plain lists of strings, to compare with those of another; None if it has none."
    vocab = getattr(learn.dls, "vocab", None)
    if vocab is None or not hasattr(vocab, "__iter__"):
        return None
    return [str(v) if isinstance(v, str) or not hasattr(v, "__iter__") else [str(o) for o in v] for v in vocab]


class CannotTell(Exception):
    "These items cannot be told apart without looking into each."


def _key(o):
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


def keys_of(items):
    "What tells the items of a list, array or frame apart, one key per item; raises `CannotTell`."
    if hasattr(items, "iloc"):
        return list(items.index)
    if not isinstance(items, (list, tuple, range)) and not hasattr(items, "dtype"):
        raise CannotTell                                      # a dataset, say, whose items are costly to make
    return [_key(items[i]) for i in range(len(items))]


def item_keys(dataset, items=None):
    """What tells the items of `dataset` apart, one key per item in its order; None where it does not say which items it holds.

    With `items`, all those of the run: `(keys of the dataset, keys of the items)`, comparable with each other, or None.
    """
    try:
        if isinstance(dataset, torch.utils.data.Subset):
            root, own = dataset, list(range(len(dataset)))
            while isinstance(root, torch.utils.data.Subset):
                indices = list(root.indices)
                root, own = root.dataset, [int(indices[i]) for i in own]
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


def valid_positions(learn, items, splits, what):
    """The positions among `items` of the validation items of `learn`, in the order of its dataset; refuses a learner that was not built on
    `splits`, (training positions, validation positions), or on one list, (training positions,), without validation."""
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
    known = [item_keys(s, items) for s in sets]
    if all(known) and set(known[0][1]) & {k for own, _ in known for k in own}:
        own, keys = [k for k, _ in known], known[0][1]
    else:                                             # of other kinds than the items of the run: their number is all there is to compare
        own = keys = None
    if len(splits) == 1:
        if len(sets[0]) < len(splits[0]) or (own and not {keys[i] for i in splits[0]} <= set(own[0])):
            raise ValueError(f"{what}: the training set has {plural(len(sets[0]), 'item')} and is to hold all {len(splits[0]):,}. "
                             f"{how}")
        return None
    if len(sets[1]) != len(splits[1]):
        raise ValueError(f"{what}: learner_fn was given {plural(len(splits[1]), 'position')} for validation, but the validation set of its "
                         f"learner has {plural(len(sets[1]), 'item')}. {how}")
    if own is None:
        if len(sets[0]) > len(splits[0]):
            raise ValueError(f"{what}: learner_fn was given {plural(len(splits[0]), 'position')} for training, but the training set of its "
                             f"learner has {plural(len(sets[0]), 'item')}: some of them may be those of validation. {how}")
        return list(splits[1])
    wanted = [keys[i] for i in splits[1]]
    if own[1] != wanted and (set(own[1]) != set(wanted) or len(set(wanted)) < len(wanted)):
        wrong = len(set(own[1]) - set(wanted))
        raise ValueError(f"{what}: {plural(wrong, 'item')} of the validation set of the learner are not those that learner_fn was given "
                         f"(splits[1]). {how}")
    leaked = set(own[0]) & set(wanted)
    if leaked and len(set(keys)) == len(keys):
        raise ValueError(f"{what}: {plural(len(leaked), 'item')} of the training set of the learner are for validation (splits[1]), so "
                         f"that the figures would say nothing. {how}")
    if own[1] == wanted:
        return list(splits[1])
    place = dict(zip(wanted, splits[1], strict=True))
    return [place[k] for k in own[1]]


class FreshWeights:
    "Refuses a learner whose trainable parameters were trained before: by an earlier learner, on what is now validation."

    def __init__(self):
        self.seen = {}

    def check(self, learn, what):
        for name, p in learn.model.named_parameters():
            known = self.seen.get(id(p))
            if p.requires_grad and known is not None and known() is p:
                raise ValueError(f"{what}: the model has parameters that an earlier learner has trained already ({name}), on items that "
                                 "are now for validation. Make the model inside of learner_fn, so that each call gives a new one")
        self.seen.update({id(p): weakref.ref(p) for p in learn.model.parameters()})
