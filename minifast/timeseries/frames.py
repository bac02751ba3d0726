"""Tables of series: long, one row per series and step, or wide, one row per series; as items, one row each, that a loader reads."""
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..core.messages import brief, describe, listing, plural
from ..data.labels import column_name, column_names
from .reading import SERIES
from .store import EqualSeries, SeriesAt, SeriesStore, UnequalSeries, as_float32
from .timestamps import refuse_irregular, time_axis


class LongTable:
    """A table with one row per series and step, in any order.

    Args:
        id_col: says which series a row belongs to.
        time_col: its time; None: the rows of each series are in order.
        value_cols: the channels.
        label_cols: say something of the whole series, the same in all its rows.
        freq: the step, such as 'h'; None: the most common one.
        gaps: steps without a row are missing values; False: they are refused.
    """

    def __init__(self, id_col: Any, time_col: Any, value_cols: Sequence[Any], label_cols: Sequence[Any] = (), freq: Any = None,
                 gaps: bool = False):
        self.id_col, self.time_col, self.value_cols, self.label_cols = id_col, time_col, list(value_cols), list(label_cols)
        self.freq, self.gaps = freq, gaps

    def items(self, df: pd.DataFrame, where: str = "test_dl") -> pd.DataFrame:
        """The series of a table.

        Args:
            df: the table.
            where: who asks, for messages.

        Returns:
            One row per series, in the order in which they appear, by id: its values, its first time, and what is the same in all its
            rows.

        Raises:
            ValueError: times are irregular or come twice, an id is missing, or a label differs within a series.
        """
        needed = [c for c in (self.id_col, self.time_col, *self.value_cols) if c is not None]
        _refuse_absent(df, needed, where)
        n_missing = int(df[self.id_col].isna().sum())
        if n_missing:
            raise ValueError(f"{where}: {plural(n_missing, 'row')} have no id in the column {self.id_col!r}: leave them out, "
                             f"df.dropna(subset=[{self.id_col!r}])")
        if self.time_col is None:
            codes, found = pd.factorize(df[self.id_col])
            order, ids = np.argsort(codes, kind="stable"), found.tolist()
            series = codes[order]
            steps = np.arange(len(series)) - np.searchsorted(series, series)
        else:
            order, series, steps, ids = self._in_time(df, where)
        starts = np.searchsorted(series, np.arange(len(ids)))
        values = _numbers(df, self.value_cols, where)[order]
        store = _stored(values, series, steps - steps[starts][series], len(ids))
        first = df.iloc[order[starts]]
        frame = pd.DataFrame({SERIES: pd.Series([SeriesAt(store, i) for i in range(len(ids))], dtype=object)})
        for column in [c for c in (self.id_col, self.time_col) if c is not None]:
            frame[column] = first[column].array
        for column in [c for c in df.columns if c not in needed]:
            own = df[column].iloc[order]
            same = (own.to_numpy() == first[column].to_numpy()[series]) | (own.isna().to_numpy() & first[column].isna().to_numpy()[series])
            if np.all(same):
                frame[column] = first[column].array
            elif column in self.label_cols:
                at = int(np.flatnonzero(~np.asarray(same, bool))[0])
                raise ValueError(f"{where}: the label {column!r} is not the same in all rows of series {ids[series[at]]!r}: "
                                 f"{first[column].iloc[series[at]]!r}, {own.iloc[at]!r}. A series has one label; where it differs from "
                                 "step to step, cut series into windows, SlidingWindows")
        frame.index = pd.Index(ids)
        return frame

    def _in_time(self, df, where):
        "Rows in the order of time: positions, number of the series, of the step, and the ids."
        axis = time_axis(df, self.time_col, self.id_col, self.freq)
        refuse_irregular(axis, self.time_col, where, duplicates=False, gaps=False)
        ids = [o[0] if isinstance(o, tuple) and len(o) == 1 else o for o in axis.ids]
        again = f"resample(df, freq={axis.freq.name!r}, time={self.time_col!r}, by={self.id_col!r}"
        if len(found := axis.duplicates):
            raise ValueError(f"{where}: {plural(len(found), 'time')} with more than one row, {_places(found)}. Make one row of them, "
                             f"df = {again}), or leave them out, df.drop_duplicates([{self.id_col!r}, {self.time_col!r}])")
        if not self.gaps and len(found := axis.gaps):
            raise ValueError(f"{where}: {plural(len(found), 'gap')} with {plural(int(found['count'].sum()), 'missing step')}, "
                             f"{_places(found)}. Say how to fill them, fill=FillSteps('linear')"
                             ", or give another freq=")
        return axis.order, axis.series, axis.steps, ids

    def __repr__(self) -> str:
        return f"LongTable(id_col={self.id_col!r}, time_col={self.time_col!r}, value_cols={brief(self.value_cols)})"


class WideTable:
    """A table with one row per series.

    Args:
        channels: of each channel the columns of its steps, in order.
        label_cols: say something of the series.
    """

    def __init__(self, channels: Sequence[Sequence[Any]], label_cols: Sequence[Any] = ()):
        self.channels, self.label_cols = [list(c) for c in channels], list(label_cols)

    def items(self, df: pd.DataFrame, where: str = "test_dl") -> pd.DataFrame:
        """The series of a table.

        Args:
            df: the table.
            where: who asks, for messages.

        Returns:
            One row per series: its values and the other columns.
        """
        columns = [c for channel in self.channels for c in channel]
        _refuse_absent(df, columns, where)
        values = _numbers(df, columns, where)
        store = EqualSeries([as_float32(values.reshape(len(df), len(self.channels), -1), "the table")])
        series = pd.Series([SeriesAt(store, i) for i in range(len(df))], index=df.index, dtype=object, name=SERIES)
        return pd.concat([series, df.drop(columns=columns)], axis=1)

    def __repr__(self) -> str:
        return f"WideTable({plural(len(self.channels), 'channel')} of {plural(len(self.channels[0]), 'step')})"


def described_table(df: pd.DataFrame, value_cols: Any, label_col: Any, id_col: Any, time_col: Any, others: Sequence[Any], freq: Any,
                    gaps: bool, where: str) -> "LongTable | WideTable":
    """How a table holds series.

    Args:
        df: the table.
        value_cols: long: the channels; wide: the columns of the steps, or of each channel a list of them. None: all columns of numbers that
            nothing else is said of.
        label_col: the column of the label, or several.
        id_col: says which series a row belongs to; None: the table is wide.
        time_col: the time of a row.
        others: columns that hold no values.
        freq: see `LongTable`.
        gaps: see `LongTable`.
        where: who asks, for messages.

    Raises:
        ValueError: these do not go together, or there are no values.
    """
    named = [column_name(c, df.columns) for c in ([] if label_col is None else column_names(label_col))]
    id_col, time_col = (c if c is None else column_name(c, df.columns) for c in (id_col, time_col))
    taken = {*named, *(c for c in (id_col, time_col) if c is not None), *others}
    if id_col is None and time_col is not None:
        raise ValueError(f"{where}: time_col={time_col!r} says that each row is a step: say which series it belongs to, id_col=. Of one "
                         "long series make windows, SlidingWindows")
    channels: list[list[Any]]
    if value_cols is None:
        found = [c for c in df.columns if c not in taken and pd.api.types.is_numeric_dtype(df[c])]
        left = [c for c in df.columns if c not in taken and c not in found]
        if not found or (left and id_col is None):
            raise ValueError(f"{where}: say which columns hold the values, value_cols=[...]: columns of numbers are {listing(found, 5)}"
                             + (f", and {listing(map(repr, left), 5)} hold something else" if left else ""))
        channels = [found]
    else:
        groups = list(value_cols.values()) if isinstance(value_cols, Mapping) else column_names(value_cols)
        nested = [isinstance(g, (list, pd.Index)) or (isinstance(g, tuple) and g not in df.columns) for g in groups]
        channels = [[column_name(c, df.columns) for c in g] for g in groups] if all(nested) else [
            [column_name(c, df.columns) for c in groups]]
    both = sorted({c for g in channels for c in g if c in taken}, key=str)
    if both:
        raise ValueError(f"{where}: the columns {listing(map(repr, both))} are given as values and as label, id or time: a model would "
                         "read the answer. Leave them out of value_cols")
    if id_col is not None:
        return LongTable(id_col, time_col, [c for g in channels for c in g], named, freq, gaps)
    if len({*map(len, channels)}) > 1:
        raise ValueError(f"{where}: the channels of value_cols have {listing(map(len, channels))} columns; each has one for each step")
    return WideTable(channels, named)


def _numbers(df, columns, where):
    "The values of columns, (rows, columns)."
    odd = [c for c in columns if not (pd.api.types.is_numeric_dtype(df[c]) or pd.api.types.is_bool_dtype(df[c]))]
    if odd:
        raise TypeError(f"{where}: {listing((f'{c!r} ({describe(df[c].iloc[0])})' for c in odd), 5)} hold no numbers: leave them out of "
                        "value_cols, or make numbers of them, df[column] = pd.to_numeric(df[column], errors='coerce')")
    short = all(df[c].dtype.itemsize <= (4 if df[c].dtype.kind == "f" else 2) for c in columns)     # float32 holds them as they are
    return df[columns].to_numpy(dtype=np.float32 if short else np.float64, na_value=np.nan)


def _stored(values: np.ndarray, series: np.ndarray, steps: np.ndarray, n: int) -> SeriesStore:
    "The series whose rows `values` (rows, channels) are, in order; steps without a row are NaN."
    lengths = np.zeros(n, np.int64)
    np.maximum.at(lengths, series, steps + 1)
    starts = np.cumsum(lengths) - lengths
    flat = np.full((values.shape[1], int(lengths.sum()) + 1), np.nan, np.float32)
    flat[:, starts[series] + steps] = as_float32(np.ascontiguousarray(values.T), "the table")
    if (lengths == lengths[0]).all():
        return EqualSeries([np.ascontiguousarray(flat[:, :-1].reshape(values.shape[1], n, -1).transpose(1, 0, 2))])
    return UnequalSeries(flat, starts, lengths)


def _places(found):
    "The first of some places, as a message names them: id, time (count)."
    shown = (f"{(o[0] if isinstance(o, tuple) and len(o) == 1 else o)!r} at {t} ({n})"
             for o, t, n in zip(found["id"][:3], found["time"], found["count"], strict=False))
    return "; ".join(shown) + (f" and {len(found) - 3:,} more" if len(found) > 3 else "")


def _refuse_absent(df, columns, where):
    absent = [c for c in columns if c not in df.columns]
    if absent:
        raise KeyError(f"{where}: the table has no column {listing(map(repr, absent))}, which the training table had. Columns: "
                       f"{listing(df.columns)}")
