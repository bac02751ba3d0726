"""Splits of windows by time: within each series the first ones are for training, and what is validated was in no training window."""
from collections.abc import Sequence
from typing import Any
from warnings import warn

import numpy as np
import pandas as pd

from ..core.arguments import check_arguments, is_number, is_whole
from ..core.messages import brief, listing, plural
from ..core.types import Splits
from ..data.splitters import check_splits
from .timestamps import SHOWN, read_times
from .windows import SlidingWindows


def window_splits(windows: SlidingWindows, valid_pct: float | None = None, n_valid: int | None = None, cutoff: Any = None, gap: int = 0,
                  history: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Split by time within each series: rows before a cut are for training, and the rows from `gap` steps after it on for validation.

    A training window lies before the cut with what comes after it. A validation window lies behind cut and gap: its rows are in no
    training window. With `history` that is so of the rows it predicts alone, and the model may look back at earlier ones, as it does when
    it is used: short series have no validation otherwise.

    Args:
        windows: of forecasts or of labels.
        valid_pct: fraction of the rows of each series for validation; None: 0.2, unless another is given.
        n_valid: instead, how many rows.
        cutoff: instead, a time, the same in all series: what is not before it is for validation.
        gap: steps left out between the two.
        history: a validation window may begin before the cut. Not with labels, which belong to the window itself.

    Returns:
        Two arrays of indices, training and validation.

    Raises:
        ValueError: no windows are left on a side.
    """
    chosen = {k: v for k, v in (("valid_pct", valid_pct), ("n_valid", n_valid), ("cutoff", cutoff)) if v is not None}
    if len(chosen) > 1:
        raise ValueError(f"window_splits: {' and '.join(chosen)} are several ways to say where to cut: give one of them")
    valid_pct = 0.2 if not chosen else valid_pct
    check_arguments("window_splits",
                    valid_pct=(valid_pct, valid_pct is None or (is_number(valid_pct, 0, 1) and 0 < valid_pct < 1), "a fraction between 0 "
                               "and 1"),
                    n_valid=(n_valid, n_valid is None or is_whole(n_valid), "rows per series, a whole number of at least 1"),
                    gap=(gap, is_whole(gap, 0), "steps, a whole number"),
                    history=(history, not (history and windows.label is not None), "windows with labels are validated whole: leave it out"))
    n = np.bincount(windows.row_series, minlength=len(windows.ids))
    first = np.r_[0, np.cumsum(n)[:-1]] if len(n) else n
    if cutoff is not None:
        before = windows.times < _time_as(cutoff, windows.times)
        cut = first + np.bincount(windows.row_series[before], minlength=len(n))
    else:
        rows = np.full(len(n), n_valid) if n_valid is not None else np.maximum(1, np.round(n * float(valid_pct or 0))).astype(np.int64)
        cut = first + np.maximum(n - rows, 0)
    cut = cut[windows.series]
    seen_first = windows.starts + (windows.window if history else 0)
    training = np.flatnonzero(windows.starts + windows.size <= cut)
    valid = np.flatnonzero(seen_first >= cut + gap)
    short = [side for side, found in (("training", training), ("validation", valid)) if not len(found)]
    if short:
        longest = int(n.max()) if len(n) else 0
        advice = ""
        if short == ["validation"]:                         # what leaves training as it is
            advice = f"a smaller gap= than {gap}, " if gap else ""
            if windows.label is None and not history and (windows.starts + windows.window >= cut + gap).any():
                advice += "history=True (validation windows may look back at training rows), "
        smaller = " or ".join(f"{name}=" for name, given in (("window", True), ("horizon", windows.horizon), ("stride", windows.stride > 1))
                              if given)
        raise ValueError(f"window_splits: no window is left for {' and '.join(short)}: a window has {plural(windows.size, 'row')} with "
                         f"what comes after it, and the longest series {longest}. Write {advice}a smaller {smaller}, or another "
                         f"{next(iter(chosen), 'valid_pct')}=")
    absent = sorted(set(np.unique(windows.series).tolist()) - set(np.unique(windows.series[valid]).tolist()))
    if absent:
        warn(f"window_splits: {len(absent)} of {len(windows.ids)} series without a validation window, because too few rows come "
             f"after the cut: {listing([repr(windows.ids[i]) for i in absent], SHOWN)}", stacklevel=2)
    return training, valid


def walk_forward_splits(windows: SlidingWindows, k: int = 5, n_valid: int | None = None, gap: int = 0,
                        history: bool = False) -> list[tuple[np.ndarray, np.ndarray]]:
    """Several splits by time: in each the rows of one stretch are for validation and those before it for training, see `window_splits`.

    The stretches are equally long and follow each other, up to the end of each series; an earlier one is trained on in later splits.

    Give them to `kfold(make_learner, windows, splits=walk_forward_splits(windows, 5, history=True), fit=...)`.

    Args:
        windows: of forecasts or of labels.
        k: how many.
        n_valid: rows of a stretch, of each series; None: the longest series is cut into k + 1 of them.
        gap: steps left out between training and validation.
        history: see `window_splits`.

    Returns:
        k pairs of arrays of indices, training and validation, the earliest first.

    Raises:
        ValueError: no windows are left on a side of one of them.
    """
    check_arguments("walk_forward_splits", k=(k, is_whole(k), "how many splits, a whole number of at least 1"),
                    n_valid=(n_valid, n_valid is None or is_whole(n_valid), "rows per series, a whole number of at least 1"))
    lengths = np.bincount(windows.row_series, minlength=len(windows.ids))
    longer = "a smaller k=" if n_valid is None else "a larger n_valid="
    n_valid = max(1, int(lengths.max()) // (k + 1)) if n_valid is None else n_valid
    from_end = np.cumsum(lengths)[windows.series] - (windows.starts + windows.size)         # rows after what a window predicts
    splits = []
    for i in range(k, 0, -1):
        training, valid = window_splits(windows, n_valid=i * n_valid, gap=gap, history=history)
        valid = valid[from_end[valid] >= (i - 1) * n_valid]
        if not len(valid):
            raise ValueError(f"walk_forward_splits(k={k}): no window is left for validation in stretch {k - i} of {plural(n_valid, 'row')}"
                             f": a window has {plural(windows.size, 'row')} with what comes after it. Write {longer}"
                             + ("" if history or windows.label is not None else ", or history=True"))
        splits.append((training, valid))
    return splits


def _time_as(cutoff: Any, times: Any) -> Any:
    "A time as those of the series are."
    at, stamps = read_times(pd.Series([cutoff]), "cutoff"), isinstance(times, pd.DatetimeIndex)
    if stamps != isinstance(at, pd.DatetimeIndex):
        middle = times.sort_values()[len(times) // 2]
        raise TypeError(f"window_splits(cutoff={brief(cutoff)}): the times of these series are "
                        + (f"timestamps: write one, such as cutoff={str(middle)!r}" if stamps else
                           f"whole numbers: write one, such as cutoff={middle}"))
    if stamps and times.tz is not None and at.tz is None:
        return at.tz_localize(times.tz)[0]
    if stamps and times.tz is None and at.tz is not None:
        raise ValueError(f"window_splits(cutoff={brief(cutoff)}): it has a time zone, and the times of these series have none: write "
                         f"cutoff={str(at.tz_localize(None)[0])!r}")
    return at[0]


def check_window_splits(windows: SlidingWindows, splits: Splits | Sequence, history: bool = False) -> list[np.ndarray]:
    """Refuse splits in which rows of validation are in training windows.

    Args:
        windows: those that are split.
        splits: indices of windows: training, validation.
        history: what a validation window looks at may be in training windows, what it predicts may not.

    Returns:
        The indices as arrays.

    Raises:
        ValueError: with the first of these windows, by series and time.
    """
    checked = [np.asarray(list(s), dtype=np.int64) for s in check_splits(splits, len(windows), "splits")]
    if len(checked) < 2:
        return checked
    covered = np.r_[0, np.cumsum(windows.rows_of(checked[0]))]
    begin = windows.starts[checked[1]] + (windows.window if history else 0)
    shared = covered[windows.starts[checked[1]] + windows.size] - covered[begin]
    at = np.flatnonzero(shared)
    if len(at):
        i = int(checked[1][at[0]])
        what = "predict rows" if history else "have rows"
        more = "" if history or windows.label is not None else ("; or where validation windows look back at training rows, and predict "
                                                                "later ones, history=True")
        raise ValueError(f"splits: {len(at):,} of {plural(len(checked[1]), 'validation window')} {what} that are in training windows, so "
                         f"that the metrics say nothing about new data: {windows.name_of(i)} has {int(shared[at[0]])} of them. Split by "
                         f"time with window_splits(windows){more}")
    return checked
