"""Splits of long tables: arrays of row positions, made and checked without a Python loop over the rows."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..core.messages import describe, plural
from ..data.splitters import SPLIT_SEED, ColSplitter, RandomSplitter, as_positions, at_least_two
from ..data.splitters_groups import GroupSplitter, TimeSplitter


def choose_splits(rows: Any, splits: Any, valid_idx: Any, valid_pct: float | None, seed: int | None, where: str,
                  valid_col: Any = None) -> Any:
    """What says which rows are for validation: `splits`, `valid_idx`, `valid_col`, or a random `valid_pct` (0.2) of the rows.

    Args:
        rows: the frame, or a range of as many rows.
        splits, valid_pct: at most one of these four is given; default: a `valid_pct` of 0.2.
        valid_idx: positions, a mask, or labels of rows as a pandas Index.
        valid_col: the column whose true values (or 1) mark them, or a splitter such as `ColSplitter`.
        seed: of the random split; default: that of `RandomSplitter`.
        where: the caller, for messages.
    """
    given = [name for name, value in (("valid_idx", valid_idx), ("splits", splits), ("valid_pct", valid_pct), ("valid_col", valid_col))
             if value is not None]
    if len(given) > 1:
        raise ValueError(f"{where}: {' and '.join(given)} {'both' if len(given) == 2 else 'all'} say which rows are for validation: give "
                         "one of them")
    if valid_col is not None:
        return valid_col if callable(valid_col) else ColSplitter(valid_col)
    if splits is not None:
        return splits
    n = len(rows)
    if valid_idx is None:
        return random_split(n, valid_pct, seed)
    valid = np.asarray(as_positions(valid_idx, rows, f"{where}(valid_idx)"))
    if valid.dtype == bool and valid.ndim == 1:
        if len(valid) != n:
            raise ValueError(f"valid_idx is a mask of {plural(len(valid), 'value')} for {plural(n, 'row')}: it needs one for each")
        valid = np.flatnonzero(valid)
    if valid.ndim != 1 or valid.dtype.kind not in "iu" or not len(valid):
        raise TypeError(f"valid_idx takes positions of rows, a mask or a pandas Index of labels; received {describe(valid_idx)}")
    if valid.min() < 0 or valid.max() >= n:
        raise ValueError(f"valid_idx has positions outside 0..{n - 1}: they are positions, counted from 0; labels of rows are "
                         "given as a pandas Index, `valid_idx=df.index[mask]`")
    return np.delete(np.arange(n), valid), valid


def random_split(n: int, valid_pct: float | None = None, seed: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    "The split that `RandomSplitter` makes, as arrays."
    splitter = RandomSplitter(0.2 if valid_pct is None else valid_pct, SPLIT_SEED if seed is None else seed)
    at_least_two(range(n), "a random split of the rows")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(splitter.seed)).numpy()
    cut = max(1, int(splitter.valid_pct * n))
    return order[cut:], order[:cut]


def deciding_column(splits: Any) -> str | int | None:
    "The column by which a splitter decides, as its user named it; None for any other splitter."
    name: Any = splits.col if isinstance(splits, ColSplitter) else splits.groups if isinstance(splits, GroupSplitter) else \
        splits.key if isinstance(splits, TimeSplitter) else None
    return name if isinstance(name, (str, int)) else None


def deciding_columns(splits: Any, columns: Sequence) -> list:
    "The columns by which a splitter decides: as inputs their validation values would be new to the network, or give the split away."
    name = deciding_column(splits)
    if isinstance(splits, ColSplitter) and isinstance(name, int) and name not in columns:
        return [columns[name]]                              # a position
    return [c for c in columns if c == name]
