"""Missing values: counted and placed when loaders are made, and filled as told, or refused."""
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..core.arguments import check_arguments, check_choice, is_number
from ..core.messages import plural
from .store import EqualSeries, SeriesStore, UnequalSeries

METHODS = ("linear", "forward", "mean", "zero")
#: About how many values are looked at together.
CHUNK = 1 << 22


class Missing(NamedTuple):
    """The values of series that are not there.

    Args:
        n_missing: NaN in all.
        n_infinite: infinite values in all.
        series: positions of the series that have some.
        channels: NaN of each channel, int64 (channels,).
        first: where the first few are, as [sample, channel, step].
        at_ends: whether all NaN are at the ends of series, in all channels.
    """

    n_missing: int
    n_infinite: int
    series: list[int]
    channels: np.ndarray
    first: list[list[int]]
    at_ends: bool

    @property
    def places(self) -> str:
        "Where the first ones are, in words."
        more = self.n_missing + self.n_infinite - len(self.first)
        return f"{', '.join(map(str, self.first))}{f' and {more:,} more' if more else ''}"


def find_missing(store: SeriesStore) -> Missing:
    """Look for missing values.

    Args:
        store: the series.

    Returns:
        How many there are, and where.
    """
    count = infinite = inside = 0
    channels = np.zeros(store.n_channels, np.int64)
    series: list[int] = []
    first: list[list[int]] = []
    for numbers, x in _blocks(store):
        bad = ~np.isfinite(x)
        if not bad.any():
            continue
        nan = np.isnan(x)
        count, infinite = count + int(nan.sum()), infinite + int(bad.sum() - nan.sum())
        channels += nan.sum((0, 2))
        series += [int(numbers[i]) for i in np.flatnonzero(bad.any((1, 2)))]
        ends = np.logical_and.accumulate(nan.all(1)[:, ::-1], axis=1)[:, ::-1]
        inside += int((nan & ~ends[:, None]).sum())
        if len(first) < 3:
            first += [[int(numbers[i]), int(c), int(t)] for i, c, t in np.argwhere(bad)[:3 - len(first)]]
    return Missing(count, infinite, series, channels, first, inside == 0 and count > 0)


def _blocks(store: SeriesStore) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    "Series with their numbers, several of one length at a time: (n,), (n, channels, steps)."
    if isinstance(store, EqualSeries):
        step = max(1, CHUNK // (store.n_channels * int(store.lengths[0])))
        whole = len(store.parts) == 1 and len(store) == len(store.parts[0]) and not store.on_disk and (np.diff(store.at) == 1).all()
        for a in range(0, len(store), step):
            numbers = np.arange(a, min(a + step, len(store)))
            yield numbers, store.parts[0][a:a + step] if whole else store.read(numbers, int(store.lengths[0])).numpy()
    else:
        for i in range(len(store)):
            yield np.array([i]), store.array(i)[None]


class FillSteps:
    """How missing values are filled, in each series and channel separately.

    Args:
        method: 'linear' between the steps before and after it, 'forward': the last value before it ('linear' and 'forward' hold the
            outermost values at the ends), 'mean' of the channel in this series, 'zero', or a number.
        add_mask: add a channel for each channel, which is 1 where a value was missing and 0 elsewhere.
        empty: what a channel without any value is filled with; None: refused, unless the method is a number.

    Raises:
        ValueError: there is no such method.
    """

    def __init__(self, method: str | float = "linear", add_mask: bool = False, empty: float | None = None):
        if not is_number(method):
            check_choice("FillSteps", "method", method, METHODS)
        check_arguments("FillSteps", empty=(empty, empty is None or is_number(empty), "a number, or None"))
        self.method, self.add_mask, self.empty = method, add_mask, empty

    def __call__(self, x: np.ndarray, numbers: Any = None) -> np.ndarray:
        """Fill series of one length.

        Args:
            x: float32 (series, channels, steps); stays as it is.
            numbers: of the series, for messages.

        Returns:
            The same without NaN, (series, channels, steps), with `add_mask` (series, 2 * channels, steps).
        """
        nan = np.isnan(x)
        if nan.any():
            x = x.copy()
            rows, there = x.reshape(-1, x.shape[-1]), ~nan.reshape(-1, x.shape[-1])
            some = np.flatnonzero(~there.all(1))
            rows[some] = self._filled(rows[some], there[some], lambda k: self._name(int(some[k]), x.shape[1], numbers))
        return np.concatenate([x, nan.astype(np.float32)], axis=1) if self.add_mask else x

    def _filled(self, rows, there, name_of):
        "Rows (n, steps) without their NaN."
        constant = 0.0 if self.method == "zero" else self.method
        if not isinstance(constant, str):
            return np.where(there, rows, np.float32(constant))
        has = there.any(1)
        if not has.all() and self.empty is None:
            none = np.flatnonzero(~has)
            raise ValueError(f"FillSteps({self.method!r}): {plural(len(none), 'channel')} of series have no value at all, first "
                             f"{name_of(none[0])}: say what these are filled with, FillSteps({self.method!r}, empty=0)")
        if self.method == "mean":
            total = np.where(there, rows, 0).sum(1, dtype=np.float64) / np.maximum(there.sum(1), 1)
            out = np.where(there, rows, total[:, None].astype(np.float32))
        else:
            steps = np.arange(rows.shape[1])
            before = np.maximum.accumulate(np.where(there, steps, -1), axis=1)
            after = np.minimum.accumulate(np.where(there, steps, rows.shape[1])[:, ::-1], axis=1)[:, ::-1]
            before, after = np.where(before < 0, after, before), np.where(after == rows.shape[1], before, after)
            before, after = (np.minimum(o, rows.shape[1] - 1) for o in (before, after))
            low = np.take_along_axis(rows, before, 1)
            if self.method == "forward":
                out = low
            else:
                part = (steps - before) / np.maximum(after - before, 1)
                out = low + (np.take_along_axis(rows, after, 1) - low) * part.astype(np.float32)
        return out if has.all() else np.where(has[:, None], out, np.float32(self.empty))

    @staticmethod
    def _name(row, n_channels, numbers):
        i, channel = divmod(row, n_channels)
        return f"channel {channel} of sample {i if numbers is None else int(numbers[i])}"

    def __repr__(self) -> str:
        return f"FillSteps({self.method!r}, add_mask={self.add_mask})"


class CheckedOnRead:
    """Refuses or fills missing values of series that were read from a file.

    Args:
        fill: how missing values are filled; None: they are refused.
        where: what to call the series in a message.
    """

    def __init__(self, fill: FillSteps | None, where: str):
        self.fill, self.where = fill, where

    def __call__(self, x: np.ndarray, at: np.ndarray) -> np.ndarray:
        if not np.isfinite(x).all():
            refuse_missing(find_missing(EqualSeries([x])), self.fill, self.where, at)
        return x if self.fill is None else self.fill(x, at)


def without_missing(store: SeriesStore, fill: FillSteps | None, where: str = "X") -> SeriesStore:
    """Series without missing values; those that stay on disk are checked and filled when they are read.

    Args:
        store: the series.
        fill: how missing values are filled; None: they are refused.
        where: what to call them in a message.

    Raises:
        ValueError: there are some and `fill` is None, or some values are infinite.
    """
    if store.on_disk and isinstance(store, EqualSeries):
        n = store.n_channels if fill is None or not fill.add_mask else 2 * store.n_channels
        return EqualSeries(store.parts, store.at, CheckedOnRead(fill, where), n)
    missing = find_missing(store)
    refuse_missing(missing, fill, where)
    if fill is None or not (missing.n_missing or fill.add_mask):
        return store
    if isinstance(store, EqualSeries):
        x = store.read(np.arange(len(store)), int(store.lengths[0])).numpy()
        return EqualSeries([fill(x)])
    return UnequalSeries.of([fill(store.array(i)[None], [i])[0] for i in range(len(store))])


def refuse_missing(missing: Missing, fill: FillSteps | None, where: str, numbers: Any = None) -> None:
    """Refuse values that are infinite, or missing where `fill` is None.

    Args:
        missing: what was found.
        fill: how missing values are filled, if at all.
        where: what to call the series in a message.
        numbers: of the series; None: their positions.

    Raises:
        ValueError: there are some.
    """
    if numbers is not None:
        missing = missing._replace(first=[[int(numbers[i]), c, t] for i, c, t in missing.first])
    n = len(missing.series)
    places = f"in {n:,} series, at [sample, channel, step] {missing.places}"
    if missing.n_infinite:
        nan = f"and {missing.n_missing:,} NaN " if missing.n_missing else ""
        raise ValueError(f"{where} has {missing.n_infinite:,} infinite values {nan}{places}. Make them missing, x[~np.isfinite(x)] = "
                         "np.nan of each array x, df.replace([np.inf, -np.inf], np.nan) of a table, and say how to fill those, "
                         "fill=FillSteps('linear')")
    if missing.n_missing and fill is None:
        ends = (". All of them are at the ends of series: if these are of unequal lengths, write X = trim_padding(X), which makes a list "
                "of them") if missing.at_ends else ""
        raise ValueError(f"{where} has {missing.n_missing:,} missing values (NaN) {places}: no network can compute with them. Say how "
                         f"to fill them when loaders are made, fill=FillSteps('linear'){ends}")
