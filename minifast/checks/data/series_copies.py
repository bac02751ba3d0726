"""Copies among series, MF851 and MF852: windows and series of validation that training has seen, as a whole or in part."""
from typing import Any

import numpy as np

from ...core.messages import plural
from ...learner.probe import once
from ..outcomes import Check, graded, require
from .probe import DataProbe
from .series_samples import Series, Windows, require_series, series_of, windows_of

FEWEST_VALUES = 8       #: different values of a series without which it may equal another by chance
SHORTEST = 12           #: steps that two series must have in common to be cut from one
CLOSE = 1e-3            #: standard deviations by which series may differ that are equal up to offset and scale


# -- whole series -------------------------------------------------------------------------------------------------------------------
def equal_series(arrays: list[np.ndarray]) -> list[list[int]]:
    "Groups of series that are equal value for value, as positions; series of few different values are left out."
    found: dict[tuple, list[int]] = {}
    for i, a in enumerate(arrays):
        found.setdefault((a.shape, a.tobytes()), []).append(i)
    return [g for g in found.values() if len(g) > 1 and len(np.unique(arrays[g[0]])) >= FEWEST_VALUES]


def alike_series(arrays: list[np.ndarray]) -> list[list[int]]:
    "Groups of series that are equal once each channel has mean 0 and standard deviation 1, as positions."
    by_length: dict[int, list[int]] = {}
    for i, a in enumerate(arrays):
        by_length.setdefault(a.shape[1], []).append(i)
    pairs = []
    for at in by_length.values():
        x = np.stack([arrays[i] for i in at]).astype(np.float64)
        x -= x.mean(2, keepdims=True)
        std = x.std(2, keepdims=True)
        x = (x / np.where(std > 1e-6 * (np.abs(x).max() + 1e-30), std, np.inf)).reshape(len(at), -1)
        keep = np.array([len(np.unique(arrays[i])) >= FEWEST_VALUES for i in at]) & (x != 0).any(1)
        at, x = np.asarray(at)[keep], x[keep]
        shadow = x @ np.random.Generator(np.random.PCG64(0)).normal(size=x.shape[1])
        order = np.argsort(shadow)
        for step in (1, 2, 3):
            a, b = order[:-step], order[step:]
            near = np.abs(shadow[a] - shadow[b]) < 10 * CLOSE * x.shape[1] ** 0.5
            a, b = a[near], b[near]
            same = np.array([np.abs(x[i] - x[j]).max() < CLOSE for i, j in zip(a, b, strict=True)], dtype=bool)
            pairs += list(zip(at[a[same]].tolist(), at[b[same]].tolist(), strict=True))
    return _joined(pairs)


def _joined(pairs):
    "Groups out of pairs of what is equal."
    of: dict[int, set[int]] = {}
    for a, b in pairs:
        group = of.get(a, {a}) | of.get(b, {b})
        of.update(dict.fromkeys(group, group))
    return [sorted(g) for g in {id(g): g for g in of.values()}.values()]


@once
def groups_of_series(data: DataProbe) -> list[list[int]] | None:
    "The groups of copies, value for value, as indices of items over both splits; None where the items are no series."
    series = series_of(data)
    return None if series is None else [series.items[g].tolist() for g in equal_series(series.arrays)]


def duplicate_series(data: DataProbe) -> Check:
    "Validation series that training has too, value for value or up to offset and scale; series that come twice within a split."
    series, names = require_series(data), data.names()
    groups = groups_of_series(data)
    pairs, within = _across(groups, data.sides)
    n_valid = max(1, sum(side == 1 for side in data.sides))
    numbers: dict[str, Any] = {"copies_across": len(pairs), "copies_within": within}
    if pairs:
        share = len(pairs) / n_valid
        found = (f"{len(pairs):,} of {n_valid:,} validation series {'is' if len(pairs) == 1 else 'are'} also in training, value for value: "
                 + ", ".join(f"{names[i]} = {names[j]}" for i, j in pairs[:3]))
        return graded(found, share > 0.005 and len(pairs) > 2, True, items=[(names[i], names[j]) for i, j in pairs], **numbers)
    alike, _ = _across([series.items[g].tolist() for g in alike_series(series.arrays)], data.sides)
    if alike:
        found = (f"{len(alike):,} of {n_valid:,} validation series {'is' if len(alike) == 1 else 'are'} also in training, up to offset and "
                 f"scale: " + ", ".join(f"{names[i]} = {names[j]}" for i, j in alike[:3]))
        return graded(found, tip=True, items=[(names[i], names[j]) for i, j in alike], alike_across=len(alike), **numbers)
    first = next((g for g in groups if len(g) > 1), [])
    return graded(f"{within:,} series come more than once within their split: {' = '.join(names[i] for i in first[:3])}",
                  tip=within > 0.01 * len(data.sides), advice="remove the copies, unless they are a deliberate weighting", **numbers)


def _across(groups, sides):
    "Pairs (validation item, training item) of copies, and how many items are copies within a split."
    pairs, within = [], 0
    for g in groups:
        by_side = [[i for i in g if sides[i] == side] for side in (0, 1)]
        pairs += [(i, by_side[0][0]) for i in by_side[1]] if by_side[0] else []
        within += sum(max(0, len(part) - 1) for part in by_side)
    return pairs, within


# -- parts of series ----------------------------------------------------------------------------------------------------------------
_BASE = np.uint64(0x9E3779B97F4A7C15 | 1)


def _step_hashes(flat):
    "A number for each step of (channels, steps), from the bits of its values."
    bits = np.ascontiguousarray(flat).view(np.uint32).astype(np.uint64)
    factors = np.random.Generator(np.random.PCG64(1)).integers(1, 2**63, len(flat), dtype=np.uint64) | np.uint64(1)
    mixed = (bits * factors[:, None]).sum(0, dtype=np.uint64)
    return (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)


def _run_hashes(flat, n):
    "A number for each `n` steps in a row of (channels, steps), by the first of them."
    powers = np.cumprod(np.full(flat.shape[1], _BASE, dtype=np.uint64))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(_step_hashes(flat) * powers)])
    inverse = np.uint64(pow(int(_BASE), -1, 2**64))
    return (sums[n:] - sums[:-n]) * np.cumprod(np.full(flat.shape[1] - n + 1, inverse, dtype=np.uint64))


def overlaps(series: Series) -> list[tuple[int, int, int]]:
    """Validation series that begin or end with what a training series ends or begins with, as windows of one series do that overlap.

    They must have a quarter of their steps in common, at least 12, all channels value for value, of which at least 8 different.

    Returns:
        (validation series, training series, steps in common), positions in `series.arrays`, each validation series once.
    """
    train, valid = (np.flatnonzero(series.sides == side) for side in (0, 1))
    lengths = np.array([a.shape[1] for a in series.arrays])
    if not len(train) or not len(valid):
        return []
    n = max(SHORTEST, int(np.median(lengths)) // 4)
    train, valid = train[lengths[train] > n], valid[lengths[valid] > n]
    if not len(train) or not len(valid):
        return []
    flat = np.concatenate([series.arrays[i] for i in train], 1)
    ends = np.cumsum(lengths[train])
    runs = _run_hashes(flat, n)
    inside = np.ones(len(runs), bool)
    for k in range(1, n):
        inside[(ends[:-1] - k)[ends[:-1] - k < len(runs)]] = False         # runs that reach over the end of a series
    order = np.argsort(runs, kind="stable")
    ordered, found = runs[order], []
    heads = np.concatenate([_run_hashes(series.arrays[i][:, :n], n) for i in valid])
    tails = np.concatenate([_run_hashes(series.arrays[i][:, -n:], n) for i in valid])
    for k, i in enumerate(valid):
        a = series.arrays[i]
        for key, offset in ((heads[k], 0), (tails[k], a.shape[1] - n)):
            low, high = np.searchsorted(ordered, key, "left"), np.searchsorted(ordered, key, "right")
            common = next((c for at in order[low:min(high, low + 8)] if inside[at]
                           for c in [_common(a, series.arrays, train, ends, lengths, int(at), offset)] if c[1] >= n), None)
            if common is not None:
                found.append((int(i), *common))
                break
    return found


def _common(a, arrays, train, ends, lengths, at, offset):
    "The training series at the step `at` of all, and how many steps it has in common with `a`, whose step `offset` lies there."
    j = int(np.searchsorted(ends, at, "right"))
    b, place = arrays[train[j]], at - (ends[j] - lengths[train[j]])
    shift = place - offset                                  # of the beginning of `a` within `b`
    if shift == 0 and a.shape == b.shape:
        return int(train[j]), 0                             # a whole copy is another matter
    low, high = max(0, -shift), min(a.shape[1], b.shape[1] - shift)
    one, two = a[:, low:high], b[:, low + shift:high + shift]
    same = np.array_equal(one, two) and len(np.unique(one)) >= FEWEST_VALUES
    return int(train[j]), high - low if same else 0


# -- windows of a long frame --------------------------------------------------------------------------------------------------------
def seen_rows(train: Windows, valid: Windows) -> np.ndarray:
    "Which rows of the validation windows' frame are in training windows, bool (rows,)."
    covered = train.windows.rows_of(train.indices)
    if train.windows is valid.windows:
        return covered
    import pandas as pd
    if [str(c) for c in train.windows.channels] != [str(c) for c in valid.windows.channels]:
        return np.zeros(valid.windows.values.shape[1], bool)
    a, b = ([pd.MultiIndex.from_arrays([[str(w.ids[s]) for s in w.row_series], w.times])] for w in (train.windows, valid.windows))
    at = a[0][covered].get_indexer(b[0])
    same = np.zeros(len(at), bool)
    known = np.flatnonzero(at >= 0)
    ours, theirs = valid.windows.values.numpy()[:, known], train.windows.values.numpy()[:, covered][:, at[known]]
    same[known] = (ours == theirs).all(0)
    return same


def overlapping_windows(data: DataProbe) -> Check:
    "Validation windows whose rows (of forecasts: those that they predict) training windows have too; series that are parts of one."
    data.require_validation()
    windows = windows_of(data)
    if windows is None:
        return _overlapping_series(data)
    train, valid = windows
    require(len(train.indices) and len(valid.indices), "a split has no windows")
    w = valid.windows
    sums = np.r_[0, np.cumsum(seen_rows(train, valid))]
    shared = sums[valid.starts + w.size] - sums[valid.predicted]
    at = np.flatnonzero(shared)
    looks_back = int((sums[valid.predicted] > sums[valid.starts]).sum()) if w.horizon else 0
    found = (f"{len(at):,} of {plural(len(valid.indices), 'validation window')} "
             f"{'predict rows' if w.horizon else 'have rows'} that are in training windows: "
             + (f"{valid.name(int(at[0]))} has {int(shared[at[0]])} of them" if len(at) else ""))
    return graded(found, len(at), advice="split by time before windows are cut: TSDataLoaders.from_windows(windows) does, within each "
                  "series", fine=f"{looks_back:,} of {plural(len(valid.indices), 'validation window')} look back at training rows, and "
                  "predict later ones" if looks_back else "", items=[valid.name(int(k)) for k in at[:50]], windows=len(at),
                  looking_back=looks_back)


def _overlapping_series(data):
    series, names = require_series(data), data.names()
    found = overlaps(series)
    share = len(found) / max(1, int((series.sides == 1).sum()))
    pairs = [(names[series.items[i]], names[series.items[j]], n) for i, j, n in found]
    sentence = (f"{len(found):,} of {int((series.sides == 1).sum()):,} validation series are cut from the same rows as training series: "
                + ", ".join(f"{a} has {n} steps in common with {b}" for a, b, n in pairs[:2]))
    return graded(sentence, share > 0.005 and len(found) > 2, found, items=[p[:2] for p in pairs], series=len(found), share=share)
