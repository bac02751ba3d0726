"""Splitters that keep apart what must not be on both sides: the items of one group (video, patient, user), and past and future."""
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any
from warnings import warn

import numpy as np

from ..core.items import L
from ..core.messages import describe, did_you_mean, listing, plural
from ..core.seeds import draw_seed, item_rng
from ..core.types import Splits
from .labels import is_missing
from .rows import as_pandas
from .splitters import SPLIT_SEED, MaskSplitter, Splitter, at_least_two, check_fraction, check_splits, in_order_of, rows_of


def values_of(items: Any, source: Any, where: str) -> list:
    """One value per item, as a list: `source` is such a list (array, Series), the name of a column of a DataFrame, or a function of an
    item (of a frame: of a row). Missing values are refused; `where` names the call in messages. Frames and columns of polars and Arrow
    are read as those of pandas."""
    items, source = as_pandas(items), as_pandas(source)
    if isinstance(source, str):
        if not hasattr(items, "columns"):
            raise TypeError(f"{where}={source!r} names a column, but the items are no DataFrame: {describe(items)}. Give one value per "
                            "item, or a function of an item")
        if source not in items.columns:
            raise KeyError(f"{where}={source!r}: there is no such column{did_you_mean(source, items.columns) or '.'} Columns: "
                           f"{listing(items.columns)}")
        values = items[source].tolist()
    elif callable(source):
        values = [source(o) for o in rows_of(items)]
    elif hasattr(source, "__len__"):
        source = in_order_of(source, items, where) if len(source) == len(items) else source
        values = source.tolist() if hasattr(source, "tolist") else list(source)
    else:
        raise TypeError(f"{where} takes one value per item, the name of a column or a function of an item; received {describe(source)}")
    if len(values) != len(items):
        raise ValueError(f"{where} needs one value per item: received {len(values):,} for {plural(len(items), 'item')}")
    missing = [i for i, v in enumerate(values) if is_missing(v)]
    if missing:
        raise ValueError(f"{where}: {plural(len(missing), 'item')} have no value (None or NaN), first at positions {missing[:5]}. Fill "
                         "them in, or leave these items out")
    return values


def check_groups(splits: Splits, groups: Sequence, where: str = "the splits") -> None:
    """Raise `ValueError` if a group has items in more than one of `splits` (lists of positions); groups: one value per item.

    Items of one video or patient are nearly copies of each other: with some of them on each side the validation figures say nothing.
    """
    owner: dict[Any, int] = {}
    for k, indices in enumerate(splits):
        for i in indices:
            other = owner.setdefault(groups[i], k)
            if other != k:
                raise ValueError(f"{where}: the group {groups[i]!r} has items on both sides (split {other} and split {k}), which "
                                 "makes the validation metrics meaningless. Split by groups: GroupSplitter(groups), or kfold(groups=...)")


class FixedSplitter(Splitter):
    """Lists of positions, as they are given.

    Args:
        splits: (training, validation), or one list only, to train on without validation.
    """

    def __init__(self, splits: Splits):
        self.splits = splits

    def __call__(self, items: Any) -> tuple[L, ...]:
        return tuple(check_splits(self.splits, len(items), "FixedSplitter(splits)", items))


class GroupSplitter(Splitter):
    """Whole groups are for validation, chosen at random.

    A group that alone holds much more than `valid_pct` of the items stays in training; a warning says so where `valid_pct` cannot be
    met to within half of it.

    Args:
        groups: the group of each item: a list, the name of a column of a DataFrame, or a function of an item.
        valid_pct: fraction of the items for validation, between 0 and 1, as nearly as whole groups allow.
        seed: of the choice; None: another split each time.
    """

    def __init__(self, groups: Any, valid_pct: float = 0.2, seed: int | None = SPLIT_SEED):
        self.groups, self.valid_pct, self.seed = groups, check_fraction("valid_pct", valid_pct, "GroupSplitter"), seed

    def __call__(self, items: Any) -> tuple[L, ...]:
        at_least_two(items, repr(self))
        groups = values_of(items, self.groups, "GroupSplitter(groups)")
        sizes = Counter(groups)
        if len(sizes) < 2:
            raise ValueError(f"GroupSplitter: all {plural(len(items), 'item')} are of one group, {groups[0]!r}: nothing to split. "
                             "groups gives the video, patient or user of each item")
        names, target = list(sizes), self.valid_pct * len(items)
        order = item_rng(draw_seed() if self.seed is None else self.seed).permutation(len(names))
        chosen: set = set()
        n = 0
        for name in (names[i] for i in order):
            if len(chosen) < len(names) - 1 and abs(n + sizes[name] - target) < abs(n - target):
                chosen.add(name)
                n += sizes[name]
        if not chosen:
            n, chosen = min(sizes.values()), {min((names[i] for i in order), key=sizes.__getitem__)}
        if abs(n - target) > 0.5 * target:
            warn(f"GroupSplitter(valid_pct={self.valid_pct}): {n / len(items):.0%} of the items ({n:,} of {len(items):,}) are for "
                 f"validation. Whole groups allow nothing nearer: there are {len(names)}, of {min(sizes.values()):,} to "
                 f"{max(sizes.values()):,} items",
                 stacklevel=2)
        return MaskSplitter([g in chosen for g in groups])(items, "GroupSplitter")


_SORTS_AS_A_DATE = re.compile(r"\d{4}-\d\d-\d\d")


class TimeSplitter(Splitter):
    """The last items in the order of time are for validation; both sides are sorted by time.

    Items of the same time are never on both sides: those at the border are all for validation.

    Args:
        key: the time of each item: a list, the name of a column of a DataFrame, or a function of an item. Dates, timestamps, numbers,
            or strings that begin as in 2024-01-31.
        valid_pct: fraction for validation, between 0 and 1.
        cutoff: a time, instead of `valid_pct`: what is not before it is for validation.
    """

    def __init__(self, key: Any, valid_pct: float = 0.2, cutoff: Any = None):
        self.key, self.valid_pct, self.cutoff = key, check_fraction("valid_pct", valid_pct, "TimeSplitter"), cutoff

    def __call__(self, items: Any) -> tuple[L, ...]:
        at_least_two(items, repr(self))
        times = values_of(items, self.key, "TimeSplitter(key)")
        odd = next((t for t in times if isinstance(t, str) and not _SORTS_AS_A_DATE.match(t)), None)
        if odd is not None:
            raise ValueError(f"TimeSplitter: times that are text, such as {odd!r}, would be sorted as text and not as times. Make dates of "
                             "them first, pd.to_datetime(...), or write them as 2024-01-31")
        try:
            order = sorted(range(len(times)), key=times.__getitem__)
            cutoff = times[order[-max(1, int(self.valid_pct * len(times)))]] if self.cutoff is None else self.cutoff
            n_train = int(np.sum([bool(t < cutoff) for t in times]))
        except TypeError as e:
            raise TypeError(f"TimeSplitter: these times cannot be compared ({e}): received {describe(times[0])}"
                            + (f", cutoff={self.cutoff!r}" if self.cutoff is not None else "")) from None
        if not 0 < n_train < len(times):
            side = "before" if n_train == 0 else "at or after"
            raise ValueError(f"TimeSplitter: there is no item {side} {cutoff!r}; the times go from {times[order[0]]!r} to "
                             f"{times[order[-1]]!r}" + ("" if self.cutoff is not None else ", and items of one time stay together"))
        return L(order[:n_train]), L(order[n_train:])
