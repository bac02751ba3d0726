"""Splitters: from the items to `(training indices, validation indices)`.

Every splitter is an object that can be called and sent to another process. The random ones are seeded by default with `SPLIT_SEED`,
from a private generator: the same items give the same split every time, so that nothing moves from one side to the other when the
data are built again, and no global random stream is touched.
"""
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import Any
from warnings import warn

import numpy as np
import torch

from ..core.items import L, range_of
from ..core.keywords import KnowsKeywords
from ..core.messages import brief, describe, did_you_mean, listing, plural
from ..core.paths import Path
from ..core.ranks import world_size
from ..core.seeds import draw_seed
from ..core.types import PathLike
from .labels import is_missing

#: Seed of the random splitters unless another is given; `seed=None` asks for a different split each time.
SPLIT_SEED = 42
#: How to do without validation, wherever items are split.
_NO_VALIDATION = ("To train on everything, without validation, split with `lambda items: [range(len(items))]`: give it as splitter=, for "
                  "tables as splits=")
#: What rows for validation are called in a column that tells them apart.
_FOR_VALIDATION = ("valid", "validation", "val", "is_valid", "holdout", "dev", "eval", "test", "true", "yes", "y", "t", "1")


def in_order_of(values: Any, items: Any, where: str) -> Any:
    """A pandas Series of one value per item in the order of the items, where these are a frame; anything else as it is.

    Args:
        values: what the user gave.
        items: what is split.
        where: the call, for messages.

    Raises:
        ValueError: the labels of the Series are not those of the frame.
    """
    if not hasattr(values, "reindex") or not hasattr(items, "iloc") or values.index.equals(items.index):
        return values
    if not values.index.is_unique or len(values) != len(items) or not items.index.isin(values.index).all():
        raise ValueError(f"{where}: the index of this {type(values).__name__} is not that of the rows, so it is not known which value "
                         f"belongs to which row: it has {values.index[:1].tolist()} first, they have {items.index[:1].tolist()}. Take "
                         "it from the same frame, or give an array in the order of the rows, `.to_numpy()`")
    return values.reindex(items.index)


def as_positions(chosen: Any, items: Any, where: str) -> Any:
    """The positions of the items that a pandas Index names, or the mask that a Series is; anything else as it is.

    A pandas Index, such as `df.index[mask]`, holds labels. Of items that are no frame these are their positions.

    Args:
        chosen: what the user gave.
        items: what is split.
        where: the call, for messages.

    Raises:
        ValueError: some labels are not in the index of the items, or the labels of the items are not unique.
        TypeError: a frame was given.
    """
    if hasattr(chosen, "iloc") and hasattr(chosen, "columns"):
        raise TypeError(f"{where} received a frame: give the labels of its rows, `.index`")
    if hasattr(chosen, "reindex") and hasattr(chosen, "iloc"):
        return in_order_of(chosen, items, where).to_numpy() if chosen.dtype == bool else chosen.to_numpy()
    if not hasattr(chosen, "get_indexer") or chosen.dtype == bool or not hasattr(items, "iloc"):
        return chosen
    if not items.index.is_unique:
        raise ValueError(f"{where} received labels of an index, but some rows have the same label: give positions, "
                         "`np.flatnonzero(mask)`, or the mask")
    found = items.index.get_indexer(chosen)
    if (found < 0).any():
        raise ValueError(f"{where} received a pandas Index, which holds labels of rows, and {plural(int((found < 0).sum()), 'label')} "
                         f"{'is' if (found < 0).sum() == 1 else 'are'} not among those of the rows: {chosen[found < 0].tolist()[:5]}. For "
                         "positions give an array, `np.asarray(...)`")
    return found


def check_positions(splits: Any, n: int, where: str = "splits", item: str = "item", items: Any = None) -> list[np.ndarray]:
    """`splits` as arrays (int64) of positions among `n` items, or an error where they are unusable; no Python loop over the items.

    A split may also be a mask, with one truth value per item, or labels of `items`, see `as_positions`. Refused: an empty split, a
    position that does not exist or occurs twice in a split, an item in two splits. `where` names the call in messages, `item` what is
    split.
    """
    if not isinstance(splits, (list, tuple)) or not splits or not all(hasattr(s, "__len__") for s in splits):
        raise TypeError(f"{where} must give one list of indices per split, such as (train, valid); received {describe(splits)}")
    names = ["training", "validation", *(f"split {i}" for i in range(2, len(splits)))]
    checked: list[np.ndarray] = []
    owner = np.zeros(n, dtype=np.int8)                  # of each item: the number of its split, counted from 1
    for k, (name, indices) in enumerate(zip(names, splits, strict=False), 1):
        found = np.asarray(as_positions(indices, items, where))
        if found.dtype == bool and found.ndim == 1:
            if len(found) != n:
                raise ValueError(f"{where}: the mask of the {name} set has {plural(len(found), 'value')} for {plural(n, item)}; it needs "
                                 "one for each")
            found = np.flatnonzero(found)
        if not len(found):
            raise ValueError(f"{where} leaves the {name} set empty ({plural(n, item)}; sizes {[len(s) for s in splits]}). "
                             f"{_NO_VALIDATION}")
        if found.ndim != 1 or found.dtype.kind not in "iu":
            raise TypeError(f"{where} must hold indices, whole numbers; the {name} set holds {describe(found.flat[0].item())}")
        found = found.astype(np.int64)
        outside = found[(found < 0) | (found >= n)].tolist()
        if outside:
            raise ValueError(f"{where}: the {name} set has {plural(len(outside), 'position')} outside 0..{n - 1}: {outside[:5]}. They are "
                             "positions, counted from 0; labels of rows are given as a pandas Index, `df.index[mask]`")
        both = found[owner[found] > 0].tolist()
        if both:
            raise ValueError(f"{where}: {plural(len(both), item)} would be in the {names[owner[both[0]] - 1]} and in the {name} set "
                             f"(first: {both[:5]}), which makes the validation metrics meaningless")
        owner[found] = k
        repeated = len(found) - int((owner == k).sum())
        if repeated:
            raise ValueError(f"{where}: {plural(repeated, item)} of the {name} set are listed more than once")
        checked.append(found)
    return checked


def check_splits(splits: Any, n: int, where: str = "splits", items: Any = None) -> list[L]:
    "`splits` as lists of indices into `n` items; what is unusable is refused, see `check_positions`."
    return [L(s.tolist(), use_list=True) for s in check_positions(splits, n, where, items=items)]


def _permutation(items: Sized, splitter: Any) -> L:
    "The positions of the items in the random order of `splitter.seed`."
    at_least_two(items, repr(splitter))
    world_size()                        # each of several ranks draws the same
    generator = torch.Generator().manual_seed(draw_seed() if splitter.seed is None else splitter.seed)
    return L(torch.randperm(len(items), generator=generator).tolist(), use_list=True)


def check_fraction(name: str, value: float, where: str) -> float:
    "`value`, refused unless it lies between 0 and 1."
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise ValueError(f"{where}({name}={brief(value)}): {name} is a fraction between 0 and 1 (0.2 is 20% for validation)"
                         + (f". {_NO_VALIDATION}" if value == 0 else ""))
    return value


def at_least_two(items: Sized, where: str) -> None:
    "Refuse items that cannot be split."
    if len(items) < 2:
        raise ValueError(f"{where} cannot split {plural(len(items), 'item')} into a training and a validation set")


class Splitter(KnowsKeywords):
    "What splitters share: a readable name, from the arguments they keep."

    def __repr__(self) -> str:
        texts = [f"{k}={v!r}" for k, v in vars(self).items()]
        return f"{type(self).__name__}({', '.join(t if len(t) <= 70 else t[:67] + '...' for t in texts)})"


class RandomSplitter(Splitter):
    """A random part of the items is for validation: the first `int(valid_pct * n)` of a permutation, at least one.

    Args:
        valid_pct: fraction for validation, between 0 and 1.
        seed: of the permutation; None: another split each time.
    """

    def __init__(self, valid_pct: float = 0.2, seed: int | None = SPLIT_SEED):
        self.valid_pct, self.seed = check_fraction("valid_pct", valid_pct, "RandomSplitter"), seed

    def __call__(self, items: Sized) -> tuple[L, ...]:
        order = _permutation(items, self)
        cut = max(1, int(self.valid_pct * len(items)))
        return order[cut:], order[:cut]


class TrainTestSplitter(Splitter):
    """scikit-learn's `train_test_split`.

    Args:
        test_size: fraction or number of the validation items.
        random_state: seed; None: another split each time.
        stratify: one label per item; both sides get the same shares of the labels.
        train_size: fraction or number of the training items; None: the rest.
        shuffle: False: the last items are for validation.
    """

    def __init__(self, test_size: float | int = 0.2, random_state: int | None = SPLIT_SEED, stratify: Sequence | None = None,
                 train_size: float | int | None = None, shuffle: bool = True):
        self.test_size, self.random_state, self.stratify = test_size, random_state, stratify
        self.train_size, self.shuffle = train_size, shuffle

    def __call__(self, items: Any) -> tuple[L, ...]:
        from sklearn.model_selection import train_test_split
        if self.stratify is not None and len(self.stratify) != len(items):
            raise ValueError(f"TrainTestSplitter(stratify=...) needs one label per item: received {len(self.stratify)} for {len(items)} "
                             "items")
        train, valid = train_test_split(range_of(items), test_size=self.test_size, random_state=self.random_state,
                                        stratify=in_order_of(self.stratify, items, "TrainTestSplitter(stratify)"),
                                        train_size=self.train_size, shuffle=self.shuffle)
        return L(train), L(valid)


class IndexSplitter(Splitter):
    """The items at given positions are for validation.

    Args:
        valid_idx: the positions, counted from 0, or a mask; for a DataFrame also labels of rows, as a pandas Index: `df.index[mask]`.
    """

    def __init__(self, valid_idx: Iterable[int]):
        self.valid_idx = valid_idx

    def __call__(self, items: Sized) -> tuple[L, ...]:
        if isinstance(self.valid_idx, (str, bytes)) or not hasattr(self.valid_idx, "__iter__"):
            raise TypeError(f"IndexSplitter(valid_idx) takes a list of indices; received {describe(self.valid_idx)}")
        given: Any = as_positions(self.valid_idx, items, "IndexSplitter(valid_idx)")
        valid = given.tolist() if hasattr(given, "tolist") else list(given)
        if valid and all(isinstance(o, (bool, np.bool_)) for o in valid):
            return MaskSplitter(valid)(items, "IndexSplitter(valid_idx)")
        chosen = set(valid)
        return tuple(check_splits(([i for i in range(len(items)) if i not in chosen], valid), len(items), "IndexSplitter(valid_idx)"))


class EndSplitter(Splitter):
    """The last items, in their order, are for validation: for data ordered in time.

    Args:
        valid_pct: fraction for validation, between 0 and 1.
        valid_last: False: the first items are for validation.
    """

    def __init__(self, valid_pct: float = 0.2, valid_last: bool = True):
        self.valid_pct, self.valid_last = check_fraction("valid_pct", valid_pct, "EndSplitter"), valid_last

    def __call__(self, items: Any) -> tuple[L, ...]:
        at_least_two(items, repr(self))
        idxs, cut = L.range(items), max(1, int(self.valid_pct * len(items)))
        return (idxs[:-cut], idxs[-cut:]) if self.valid_last else (idxs[cut:], idxs[:cut])


class GrandparentSplitter(Splitter):
    """Split by the name of the folder two levels up: `.../train/cat/1.jpg` and `.../valid/cat/2.jpg`.

    Args:
        train_name: name, or list of names, of the folders for training.
        valid_name: name, or list of names, of the folders for validation.
    """

    def __init__(self, train_name: str | Sequence[str] = "train", valid_name: str | Sequence[str] = "valid"):
        self.train_name, self.valid_name = train_name, valid_name

    def __call__(self, items: Any) -> tuple[L, ...]:
        folders = [Path(o).parent.parent.name for o in items]
        found = sorted(set(folders))
        sides = []
        for side, name in (("train_name", self.train_name), ("valid_name", self.valid_name)):
            names = [name] if isinstance(name, str) else list(name)
            sides.append(L(i for i, folder in enumerate(folders) if folder in names))
            if not sides[-1]:
                raise ValueError(f"GrandparentSplitter({side}={name!r}): no item lies two levels below a folder "
                                 f"{' or '.join(map(repr, names))}"
                                 f"{did_you_mean(names[0], found) or '.'} Folders there: {', '.join(map(repr, found[:20])) or 'none'}"
                                 + (f" (first item: {str(next(iter(items)))!r})" if len(items) else ""))
        return tuple(check_splits(sides, len(items), repr(self)))


class FuncSplitter(Splitter):
    """The items for which a function is true are for validation.

    Args:
        func: function of one item; of a DataFrame: of one row.
    """

    def __init__(self, func: Callable[[Any], Any]):
        self.func = func

    def __call__(self, items: Any) -> tuple[L, ...]:
        return MaskSplitter([bool(self.func(o)) for o in rows_of(items)])(items, repr(self))


class MaskSplitter(Splitter):
    """The items where a mask is true are for validation.

    Args:
        mask: one truth value (or 0 or 1) per item.
    """

    def __init__(self, mask: Sequence):
        self.mask = mask

    def __call__(self, items: Sized, where: str = "MaskSplitter") -> tuple[L, ...]:
        mask = self.mask if hasattr(self.mask, "__len__") else list(self.mask)
        if len(mask) != len(items):
            raise ValueError(f"{where} needs one value per item: received {len(mask)} for {len(items)} items")
        given = in_order_of(mask, items, where)
        mask = given.tolist() if hasattr(given, "tolist") else list(given)
        odd = [o for o in mask if is_missing(o) or o not in (0, 1)]
        if odd:
            raise ValueError(f"{where} takes true or false for each item; received {describe(odd[0])}")
        sides = [i for i, o in enumerate(mask) if not o], [i for i, o in enumerate(mask) if o]
        return tuple(check_splits(sides, len(items), where))


class FileSplitter(Splitter):
    """The items whose file names are listed in a text file, one a line, are for validation.

    Args:
        fname: the text file.
    """

    def __init__(self, fname: PathLike):
        self.fname = fname

    def __call__(self, items: Any) -> tuple[L, ...]:
        listed = {line.strip() for line in Path(self.fname).expanduser().read_text(encoding="utf-8").splitlines() if line.strip()}
        names = [Path(o).name for o in items]
        unknown = sorted(listed - set(names))
        if len(unknown) == len(listed):
            raise ValueError(f"none of the {plural(len(listed), 'name')} in {str(self.fname)!r} is the name of an item: "
                             f"the file has {', '.join(map(repr, unknown[:3]))}, the items {', '.join(map(repr, names[:3]))}")
        if unknown:
            warn(f"{len(unknown)} of the {len(listed)} names in {str(self.fname)!r} belong to no item (first: "
                 f"{', '.join(map(repr, unknown[:3]))})",
                 stacklevel=2)
        return MaskSplitter([o in listed for o in names])(items, repr(self))


class ColSplitter(Splitter):
    """Split a DataFrame by a column: rows where it is true, or 1, are for validation.

    Args:
        col: name or position of the column.
        on: value, or list of values, that marks validation rows, for columns that do not hold true and false.
    """

    def __init__(self, col: str | int = "is_valid", on: Any = None):
        self.col, self.on = col, on

    def __call__(self, items: Any) -> tuple[L, ...]:
        if not hasattr(items, "iloc") or not hasattr(items, "columns"):
            raise TypeError(f"ColSplitter({self.col!r}) splits a DataFrame; the items are {describe(items)}")
        columns = list(items.columns)
        if self.col not in columns and not isinstance(self.col, int):
            raise KeyError(f"ColSplitter: there is no column {self.col!r}{did_you_mean(self.col, columns) or '.'} Columns: "
                           f"{listing(columns)}")
        values = (items[self.col] if self.col in columns else items.iloc[:, self.col]).tolist()
        where = f"ColSplitter({self.col!r}{'' if self.on is None else f', on={self.on!r}'})"
        if self.on is not None:
            wanted = list(self.on) if isinstance(self.on, (list, tuple, set)) or hasattr(self.on, "tolist") else [self.on]
            missing = [w for w in wanted if w not in values]
            if missing:
                found = sorted(set(map(str, values)))
                raise ValueError(f"{where}: no row has the value {missing[0]!r}{did_you_mean(missing[0], found) or '.'} Values: "
                                 f"{', '.join(found[:20])}")
            return MaskSplitter([v in wanted for v in values])(items, where)
        self._check_true_and_false(values, where)
        return MaskSplitter(values)(items, where)

    def _check_true_and_false(self, values, where):
        odd = [v for v in values if is_missing(v) or v not in (0, 1)]
        if not odd:
            return
        wrong = f"{where}: the column must hold true and false (or 1 and 0); {plural(len(odd), 'row')} hold something else, such as " \
                f"{describe(odd[0])}. "
        there = list(dict.fromkeys(v for v in values if not is_missing(v)))
        if all(v in (0, 1) for v in there):
            raise ValueError(f"{wrong}Say what the rows without a value are: df[{self.col!r}].fillna(False)")
        by_text = {str(v).strip().lower(): v for v in reversed(there)}
        likely = [by_text[name] for name in _FOR_VALIDATION if name in by_text][:1]
        raise ValueError(f"{wrong}The values are {listing(map(repr, there))}. Name the one that marks validation rows: ColSplitter("
                         f"{self.col!r}, on={likely[0]!r})" if likely else
                         f"{wrong}Say which of its values mark validation rows, ColSplitter({self.col!r}, on=...): "
                         f"{listing(map(repr, there))}")


class RandomSubsetSplitter(Splitter):
    """Random parts of the items are for training and for validation; the rest is not used.

    Args:
        train_sz: fraction for training, between 0 and 1.
        valid_sz: fraction for validation, between 0 and 1.
        seed: of the permutation; None: another split each time.
    """

    def __init__(self, train_sz: float, valid_sz: float, seed: int | None = SPLIT_SEED):
        self.train_sz = check_fraction("train_sz", train_sz, "RandomSubsetSplitter")
        self.valid_sz = check_fraction("valid_sz", valid_sz, "RandomSubsetSplitter")
        if train_sz + valid_sz > 1 + 1e-9:
            raise ValueError(f"RandomSubsetSplitter(train_sz={train_sz}, valid_sz={valid_sz}): together more than all items")
        self.seed = seed

    def __call__(self, items: Any) -> tuple[L, ...]:
        n_train, n_valid = max(1, int(self.train_sz * len(items))), max(1, int(self.valid_sz * len(items)))
        order = _permutation(items, self)
        return order[:n_train], order[n_train:n_train + n_valid]


def rows_of(items: Any) -> Iterator:
    "The items one by one: the rows of a DataFrame, else what iterating gives."
    return (items.iloc[i] for i in range(len(items))) if hasattr(items, "iloc") else iter(items)
