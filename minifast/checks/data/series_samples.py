"""The series of both splits as the checks of data see them: as they lie in memory, before they are padded or standardised."""
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ...data.targets import base_dataset
from ...learner.probe import once
from ..outcomes import require
from .probe import DataProbe

MAX_VALUES = 8_000_000          #: of each split, at most
MOST_SERIES = 20_000


class Series(NamedTuple):
    "Series of both splits, evenly spread over them."
    arrays: list[np.ndarray]    #: float32 (channels, steps)
    items: np.ndarray           #: which item each is, of training and validation in one sequence
    sides: np.ndarray           #: 0 training, 1 validation
    lengths: list[np.ndarray]   #: steps of all series, by split
    n_channels: int


class Windows(NamedTuple):
    "Some windows of a long frame, see `minifast.timeseries`."
    windows: Any                #: of which they are
    indices: np.ndarray         #: which of them

    @property
    def starts(self) -> np.ndarray:
        "The first row of each."
        return self.windows.starts[self.indices]

    @property
    def predicted(self) -> np.ndarray:
        "The first row that is predicted of each; of labels the first row."
        return self.starts + (self.windows.window if self.windows.horizon else 0)

    def name(self, k: int) -> str:
        "What to call the window `k`."
        return self.windows.name_of(int(self.indices[k]))


@once
def windows_of(data: DataProbe) -> list[Windows] | None:
    "The windows of each split; None where the items are none."
    found = []
    for dl in data.loaders:
        dataset, chosen = base_dataset(dl)
        windows, indices = getattr(dataset, "windows", None), getattr(dataset, "indices", None)
        if windows is None or indices is None or not hasattr(windows, "row_series"):
            return None
        found.append(Windows(windows, np.asarray(indices)[chosen] if chosen is not None else np.asarray(indices)))
    return found


def require_windows(data: DataProbe, valid: bool = False, horizon: bool = False) -> list[Windows]:
    "The windows of each split; without any (validation, a horizon, where asked for) the check is not applicable."
    found = windows_of(data)
    require(found is not None and len(found[0].indices), "the items are not windows of a long frame")
    require(len(found) > 1 or not valid, "there is no validation set")
    require(found[0].windows.horizon or not horizon, "nothing is forecast")
    return found


@once
def series_of(data: DataProbe) -> Series | None:
    "The series of both splits, as many as memory allows; None where the items are none."
    arrays, items, sides, lengths, first, channels = [], [], [], [], 0, 0
    for side, dl in enumerate(data.loaders):
        dataset, chosen = base_dataset(dl)
        ahead = getattr(dataset, "ahead", None)
        store = ahead[0].values if isinstance(ahead, dict) and 0 in ahead else None
        if not (hasattr(store, "lengths") and hasattr(store, "array")):
            return None
        at = np.arange(len(store)) if chosen is None else np.asarray(chosen)
        lengths.append(store.lengths[at])
        channels = store.n_channels
        n = max(1, min(MOST_SERIES, int(MAX_VALUES / max(float(lengths[-1].mean()) * channels, 1)))) if len(at) else 0
        some = evenly(len(at), n)
        arrays += [store.array(int(i)) for i in at[some]]
        items.append(some + first)
        sides.append(np.full(len(some), side))
        first += len(at)
    return Series(arrays, np.concatenate(items), np.concatenate(sides), lengths, channels)


def is_series(data: DataProbe) -> bool:
    "Whether the items are series, or windows of one."
    return windows_of(data) is not None or series_of(data) is not None


def require_series(data: DataProbe) -> Series:
    "The series of both splits; the check is not applicable where the items are none."
    found = series_of(data)
    require(found is not None and (found.sides == 0).any(), "the items are no series")
    return found


def evenly(n: int, most: int) -> np.ndarray:
    "At most `most` of `n` positions, evenly spread."
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(np.int64)


@once
def channel_values(data: DataProbe, side: int) -> np.ndarray | None:
    "All steps of the series of a split, one after the other, (channels, steps); None where there are none."
    if side >= len(data.loaders):
        return None
    if (windows := windows_of(data)) is not None:
        return windows[side].windows.values.numpy()[:, windows[side].windows.rows_of(windows[side].indices)]
    series = series_of(data)
    arrays = [] if series is None else [a for a, s in zip(series.arrays, series.sides, strict=True) if s == side]
    return np.concatenate(arrays, 1) if arrays else None


def channel_names(data: DataProbe, n: int) -> list[str]:
    "What to call the channels."
    windows = windows_of(data)
    names: Sequence = getattr(windows[0].windows if windows else getattr(data.loaders[0], "dataset", None), "channels", None) or ()
    return [repr(c) for c in names] if len(names) == n else [f"channel {k}" for k in range(n)]


@once
def series_features(data: DataProbe, side: int) -> np.ndarray | None:
    """Numbers for a quick model, (items, columns): of each channel moments, ends, extremes and a profile of 12 parts.

    None where the items are no series, or there are too many to read all.
    """
    if (windows := windows_of(data)) is not None:
        if side >= len(windows) or not len(windows[side].indices):
            return None
        w = windows[side]
        if len(w.indices) * w.windows.window * len(w.windows.channels) > MAX_VALUES:
            return None
        return _features(w.windows.read(w.indices)[0].numpy())
    series = series_of(data)
    if series is None or side >= len(series.lengths) or (series.sides == side).sum() != len(series.lengths[side]):
        return None
    rows = [_features(a[None])[0] for a, s in zip(series.arrays, series.sides, strict=True) if s == side]
    return np.stack(rows) if rows else None


def _features(x):
    "(n, channels, steps) -> (n, channels * 20)."
    t = x.shape[-1]
    parts = np.linspace(0, t, 13).astype(int)
    profile = [x[..., a:max(b, a + 1)].mean(-1) if a < t else x[..., -1] for a, b in pairwise(parts)]
    steps = np.abs(np.diff(x, axis=-1)).mean(-1) if t > 1 else np.zeros(x.shape[:-1])
    found = [x.mean(-1), x.std(-1), x.min(-1), x.max(-1), x[..., 0], x[..., -1], np.median(x, -1), steps, *profile]
    return np.nan_to_num(np.stack(found, -1).reshape(len(x), -1).astype(np.float32))
