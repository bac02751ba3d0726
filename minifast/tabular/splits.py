"""Splits of long tables: arrays of row positions, made and checked without a Python loop over the rows."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ..core.messages import describe
from ..data.splitters import SPLIT_SEED, RandomSplitter, at_least_two


def choose_splits(n: int, splits: Any, valid_idx: Sequence[int] | None, valid_pct: float | None, seed: int | None, where: str) -> Any:
    """What says which of `n` rows are for validation: `splits`, the positions `valid_idx`, or a random `valid_pct` (0.2) of the rows.

    Args:
        n: number of rows.
        splits, valid_idx, valid_pct: at most one of them is given; default: a `valid_pct` of 0.2.
        seed: of the random split; default: that of `RandomSplitter`.
        where: the caller, for messages.
    """
    given = [name for name, value in (("valid_idx", valid_idx), ("splits", splits), ("valid_pct", valid_pct)) if value is not None]
    if len(given) > 1:
        raise ValueError(f"{where}: {' and '.join(given)} {'both' if len(given) == 2 else 'all'} say which rows are for validation: give "
                         "one of them")
    if splits is not None:
        return splits
    if valid_idx is None:
        return random_split(n, valid_pct, seed)
    valid = np.asarray(valid_idx)
    if valid.ndim != 1 or valid.dtype.kind not in "iu" or not len(valid):
        raise TypeError(f"valid_idx takes a list of row positions; received {describe(valid_idx)}")
    if valid.min() < 0 or valid.max() >= n:
        raise ValueError(f"valid_idx has positions outside 0..{n - 1}: they are positions, counted from 0, not labels of the index")
    return np.delete(np.arange(n), valid), valid


def random_split(n: int, valid_pct: float | None = None, seed: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    "The split that `RandomSplitter` makes, as arrays."
    splitter = RandomSplitter(0.2 if valid_pct is None else valid_pct, SPLIT_SEED if seed is None else seed)
    at_least_two(range(n), "a random split of the rows")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(splitter.seed)).numpy()
    cut = max(1, int(splitter.valid_pct * n))
    return order[cut:], order[:cut]
