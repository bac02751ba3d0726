"""The time axis of a long frame: which rows are a series, in which order, and where steps are missing or come twice."""
import re
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from ..core.arguments import check_choice, listed_in_order
from ..core.messages import brief, describe, did_you_mean, listing, plural
from ..data.rows import as_frame, with_rows
from .frequency import Frequency, Times, inferred

_ISO = re.compile(r"\s*\d{4}(\D?\d\d|$)")
_OFFSET = re.compile(r"\d:\d\d.*(Z|[+-]\d\d(:?\d\d)?)\s*$")
SHOWN = 5               #: how many places a message names
#: What the series is called where no column names it.
_ONLY = "the series"

FillGaps = Literal["linear", "forward", "zero"]


class TimeAxis(NamedTuple):
    """The rows of a long frame in order: by series, within a series by time.

    Args:
        order: the position of each row in the frame.
        ids: what the series are called, in order of appearance.
        series: int64, the number of the series of each row.
        times: of each row.
        steps: int64, the number of the step of each row.
        freq: the step.
        off_grid: bool, which rows lie between steps.
    """

    order: np.ndarray
    ids: list
    series: np.ndarray
    times: Times
    steps: np.ndarray
    freq: Frequency
    off_grid: np.ndarray

    @property
    def duplicates(self) -> pd.DataFrame:
        "Steps with several rows: columns id, time, count."
        first = np.flatnonzero(np.r_[True, self._jumps() != 0])          # the first row of each step
        counts = np.diff(np.r_[first, len(self.series)])
        at = first[counts > 1]
        return pd.DataFrame({"id": self._ids(at), "time": self.times[at], "count": counts[counts > 1]})

    @property
    def gaps(self) -> pd.DataFrame:
        "Steps without a row between two that have one: columns id, time (the first missing one), count."
        jumps = self._jumps()
        at = np.flatnonzero(jumps > 1)
        return pd.DataFrame({"id": self._ids(at), "time": self.freq.later(self.times[at], 1), "count": jumps[at] - 1})

    def _jumps(self):
        "Steps from each row to the next one; -1 where a new series begins."
        return np.where(np.diff(self.series) == 0, np.diff(self.steps), -1)

    def _ids(self, at):
        made = np.empty(len(at), dtype=object)
        made[:] = [self.ids[i] for i in self.series[at]]
        return made


def time_axis(df: pd.DataFrame, time: str, by: str | Sequence[str] | None = None, freq: Any = None, tz: Any = None) -> TimeAxis:
    """Find the series of a long frame, whatever the order of its rows or its index, and number their steps.

    Times may be timestamps with or without a time zone, dates, periods, text as in 2024-01-31 10:00, or whole numbers. `duplicates` and
    `gaps` of the result are what a model should not meet; `resample` makes a frame without them.

    Args:
        df: one row per series and time.
        time: the column of times.
        by: the column(s) that say which series a row belongs to; None: one series.
        freq: the step, such as 'h' or 'MS'; None: the most common one.
        tz: the time zone of times that have none ('Europe/Berlin'), so that the hours that daylight saving repeats or leaves out are
            told apart; of times that have one: to which to convert.

    Raises:
        KeyError: there is no such column.
        TypeError: the column holds no times.
        ValueError: times are missing, or cannot be placed in the time zone, or no step can be found.
    """
    df = with_rows(as_frame(df, "time_axis"), "time_axis")
    columns = [] if by is None else [by] if isinstance(by, str) else listed_in_order("time_axis", "by", by)
    check_columns(df, [time, *columns], "time_axis")
    series, ids = _series_of(df, columns)
    times = read_times(df[time], time, tz, series)
    order = np.lexsort((times.as_unit("ns").asi8 if isinstance(times, pd.DatetimeIndex) else times.to_numpy(), series))
    series, times = series[order], times[order]
    if freq is None:
        found = inferred(times, series)
        if found is None:
            raise ValueError(f"no series has two different times in the column {time!r}, so the step is unknown: give it, such as "
                             f"freq={'D' if isinstance(times, pd.DatetimeIndex) else 1!r}")
    else:
        found = Frequency.of(freq)
        if (found.unit == "number") == isinstance(times, pd.DatetimeIndex):
            raise ValueError(f"freq={brief(found.name)} does not go with the column {time!r}, which holds "
                             + ("timestamps: write freq='D', for instance" if found.unit == "number" else "whole numbers: write freq=1"))
    steps, place = found.numbers(times)
    return TimeAxis(order, ids, series, times, steps, found, place != _usual(place, series))


def resample(df: pd.DataFrame, freq: Any, time: str, by: str | Sequence[str] | None = None, how: str = "mean",
             fill: FillGaps | None = None, tz: Any = None) -> pd.DataFrame:
    """Make one row per step of irregular times.

    Args:
        df: one row per series and time.
        freq: the step, such as 'h', 'D' or 'MS', or a whole number.
        time: the column of times.
        by: the column(s) that say which series a row belongs to; None: one series.
        how: what a step gets of several rows: 'mean', 'sum', 'min', 'max', 'median', 'first' or 'last'. Columns without numbers get the
            last value. Columns that are the same in all rows of a series, such as its label, stay so (with 'sum' those without numbers).
        fill: steps without a row: 'linear' (between the neighbours: the later one is known too early), 'forward' (the last value) or
            'zero'; None: NaN.
        tz: see `time_axis`.

    Returns:
        The columns `by`, `time` (when the steps begin) and the others, sorted by series and time.
    """
    check_choice("resample", "how", how, ("mean", "sum", "min", "max", "median", "first", "last"))
    check_choice("resample", "fill", fill, (None, "linear", "forward", "zero"))
    axis = time_axis(df, time, by, freq, tz)
    columns = [] if by is None else [by] if isinstance(by, str) else list(by)
    values = as_frame(df, "resample").iloc[axis.order].drop(columns=[time, *columns]).reset_index(drop=True)
    rules: dict[Any, Any] = {c: how if pd.api.types.is_numeric_dtype(values[c]) and not pd.api.types.is_bool_dtype(values[c]) else "last"
                             for c in values.columns}
    at = pd.MultiIndex.from_arrays([axis.series, axis.steps], names=["series", "step"])
    made = values.groupby([at.get_level_values(0), at.get_level_values(1)]).agg(rules)
    firsts = values.groupby(axis.series).nth(0)
    kept = [c for c in values.columns if (how != "sum" or rules[c] == "last")
            and (values.groupby(axis.series)[c].nunique(dropna=False) == 1).all()]
    ends = pd.Series(axis.steps).groupby(axis.series).agg(["min", "max"])
    whole = pd.MultiIndex.from_tuples([(s, k) for s, low, high in ends.itertuples() for k in range(low, high + 1)])
    made = made.reindex(whole)
    if fill is not None:
        made = made.groupby(level=0, group_keys=False).apply(lambda part: _filled(part, fill))
    numbers, of = made.index.get_level_values(1).to_numpy(), made.index.get_level_values(0)
    made = made.reset_index(drop=True)
    for c in kept:
        made[c] = firsts[c].iloc[of].array
    made.insert(0, time, axis.freq.beginning(numbers, getattr(axis.times, "tz", None)))
    for i, c in enumerate(columns):
        found = [axis.ids[s][i] if len(columns) > 1 else axis.ids[s] for s in of]
        made.insert(i, c, pd.Series(found, dtype=None if len(columns) > 1 else as_frame(df, "resample")[c].dtype))
    return made


def refuse_irregular(axis: TimeAxis, time: str, where: str, duplicates: bool = True, gaps: bool = True) -> None:
    """Refuse times between steps, and where asked to, duplicates and gaps: what they are, with id, time and count.

    Args:
        axis: the times.
        time: the name of their column.
        where: what needs regular times.
        duplicates: refuse several rows of a step.
        gaps: refuse steps without a row.
    """
    at = np.flatnonzero(axis.off_grid)
    if len(at):
        places = "; ".join(f"{axis.ids[axis.series[i]]!r} at {axis.times[i]}" for i in at[:SHOWN])
        raise ValueError(f"{where}: the times of {len(at):,} of {plural(len(axis.times), 'row')} are irregular, not a whole number of "
                         f"steps of freq={axis.freq.name!r} from the others of their series: {places}. Give another freq=, or make regular "
                         f"times, df = resample(df, freq={axis.freq.name!r}, time={time!r}, ...)")
    found = axis.duplicates.iloc[:None if duplicates else 0]
    if len(found):
        local = axis.freq.unit == "fixed" and axis.times.tz is None                       # type: ignore[union-attr]  # timestamps
        raise ValueError(f"{where}: {plural(len(found), 'time')} with more than one row: {_places(found)}. Write duplicates='mean', "
                         "'first' or 'last'" + ("; or by=, the column that names the series" if axis.ids == [_ONLY] else "")
                         + ("; where daylight saving repeats an hour, tz='Europe/Berlin' or another time zone" if local else ""))
    found = axis.gaps.iloc[:None if gaps else 0]
    if len(found):
        weekends = axis.freq == Frequency("days", 1) and isinstance(axis.times, pd.DatetimeIndex) and bool(
            (axis.times.day_of_week < 5).all())
        raise ValueError(f"{where}: {plural(len(found), 'gap')} with {plural(int(found['count'].sum()), 'missing step')} of "
                         f"freq={axis.freq.name!r}: {_places(found)}. Write gaps='split' (no window crosses one), or fill them: "
                         "gaps='forward', 'linear' or 'zero'" + ("; or freq='B', there is no row on a weekend" if weekends else ""))


def read_times(column: pd.Series, name: str, tz: Any = None, series: np.ndarray | None = None) -> Times:
    """The times of a column as a `DatetimeIndex`, or whole numbers.

    Args:
        column: timestamps, dates, periods, text that begins as in 2024-01, or whole numbers.
        name: what to call it in messages.
        tz: see `time_axis`.
        series: the number of the series of each row, to tell the hours that come twice apart.
    """
    missing = np.flatnonzero(column.isna().to_numpy())
    if len(missing):
        raise ValueError(f"the column {name!r} has no time in {plural(len(missing), 'row')}, first at positions "
                         f"{missing[:SHOWN].tolist()}: fill them in, or leave them out, df.dropna(subset=[{name!r}])")
    if pd.api.types.is_bool_dtype(column):
        raise TypeError(f"the column {name!r} holds True and False, not times")
    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy()
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ValueError(f"the column {name!r} holds infinite times, first at positions "
                             f"{np.flatnonzero(~np.isfinite(values))[:SHOWN].tolist()}: fill them in, or leave them out, "
                             f"df[np.isfinite(df[{name!r}])]")
        if values.dtype.kind == "f" and not (values == np.floor(values)).all():
            raise ValueError(f"the column {name!r} holds fractions, such as {values[values != np.floor(values)][0]}: number the steps with "
                             "whole numbers, or make timestamps of seconds, pd.to_datetime(df[...], unit='s')")
        if tz is not None:
            raise ValueError(f"tz={brief(tz)}: the times in {name!r} are whole numbers, which have no time zone. Leave it out, or make "
                             "timestamps of seconds, pd.to_datetime(df[...], unit='s', utc=True)")
        return pd.Index(values.astype(np.int64))
    found = _timestamps(column, name)
    if tz is None:
        return found
    try:
        pd.Timestamp(0, tz="UTC").tz_convert(tz)
    except Exception as e:
        raise ValueError(f"tz={brief(tz)}: {e}. Write the name of a time zone, such as 'Europe/Berlin'") from e
    return found.tz_convert(tz) if found.tz is not None else _localised(found, name, tz, series)


def _timestamps(column, name):
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    utc = text = False
    if not pd.api.types.is_datetime64_any_dtype(column):
        words = [v for v in column if isinstance(v, str)]
        odd = next((v for v in words if not _ISO.match(v)), None)
        if odd is not None:
            raise ValueError(f"times as text, such as {odd!r} in the column {name!r}, may be read in several ways: make timestamps of them "
                             "first, df[...] = pd.to_datetime(df[...], format='%d/%m/%Y')")
        zoned = sum(bool(_OFFSET.search(v)) for v in words)
        if zoned not in (0, len(words)):
            raise ValueError(f"the column {name!r} holds times with a time zone ({zoned:,}) and without one ({len(words) - zoned:,}): "
                             "give all of them one, or none")
        text = len(words) == len(column)
        utc = zoned > 0 or any(getattr(v, "tzinfo", None) is not None for v in column)
    try:
        return pd.DatetimeIndex(pd.to_datetime(column, utc=utc, format="ISO8601" if text else None))
    except (TypeError, ValueError) as e:
        raise TypeError(f"the column {name!r} holds no times: {describe(column.iloc[0])} ({e})") from e


def _localised(times, name, tz, series):
    "Times of a clock that daylight saving turns: the first row of an hour that comes twice is the earlier one."
    series = np.zeros(len(times), dtype=np.int64) if series is None else series
    rows = pd.DataFrame({"series": series, "time": times})
    seen = rows.groupby(["series", "time"]).cumcount().to_numpy()
    found = times.tz_localize(tz, ambiguous=seen == 0, nonexistent="NaT")
    none = np.flatnonzero(found.isna())
    if len(none):
        raise ValueError(f"tz={brief(tz)}: {plural(len(none), 'time')} in {name!r} do not exist there, because daylight saving begins: "
                         f"{', '.join(map(str, times[none[:SHOWN]]))}. Where the times are in UTC, write "
                         "pd.to_datetime(df[...], utc=True)")
    twice = np.flatnonzero((found != times.tz_localize(tz, ambiguous=np.zeros(len(times), dtype=bool), nonexistent="NaT")) & (seen == 0))
    complete = {(series[i], times[i]) for i in np.flatnonzero(seen == 1)}
    single = [i for i in twice if (series[i], times[i]) not in complete]
    if single:
        raise ValueError(f"tz={brief(tz)}: {plural(len(single), 'time')} in {name!r} come twice there, because daylight saving ends, "
                         f"and the series has one row for them: {', '.join(str(times[i]) for i in single[:SHOWN])}. Say which of the "
                         "two it is: give times in UTC, pd.to_datetime(df[...], utc=True), or text with the offset")
    if len(twice):
        rows["utc"] = found
        of_rows = rows[rows["series"].isin(series[twice])].groupby("series")
        mixed = [i for i, part in of_rows if not (part["time"].is_monotonic_increasing or part["utc"].is_monotonic_increasing)]
        if mixed:
            raise ValueError(f"tz={brief(tz)}: times in {name!r} come twice there, because daylight saving ends, first "
                             f"{times[twice[np.isin(series[twice], mixed)][0]]}, and the rows are in no order that says which of the two "
                             "is which. Give the rows in order of time, or times in UTC, pd.to_datetime(df[...], utc=True)")
    return found


def check_columns(df: pd.DataFrame, columns: Sequence[Any], where: str) -> None:
    """Refuse names of columns that a frame does not have.

    Args:
        df: the frame.
        columns: the names.
        where: who asks for them.
    """
    absent = [c for c in columns if c not in df.columns]
    if absent:
        in_index = [c for c in absent if c in df.index.names]
        advice = " It is in the index: write df = df.reset_index()." if in_index else ""
        raise KeyError(f"{where}: there is no column {listing(map(repr, absent))}{did_you_mean(absent[0], df.columns)}.{advice} Columns: "
                       f"{listing(df.columns)}")


def _series_of(df, columns):
    "The number of the series of each row, and what the series are called, in order of appearance."
    if not columns:
        return np.zeros(len(df), dtype=np.int64), [_ONLY]
    for c in columns:
        if df[c].isna().any():
            at = np.flatnonzero(df[c].isna().to_numpy())
            raise ValueError(f"the column {c!r} has no value in {plural(len(at), 'row')}, first at positions {at[:SHOWN].tolist()}, so "
                             "it is unknown which series they belong to: fill them in, or leave them out, "
                             f"df.dropna(subset=[{c!r}])")
    groups = df.groupby(columns[0] if len(columns) == 1 else columns, sort=False, observed=True)
    numbers = groups.ngroup().to_numpy().astype(np.int64)
    firsts = np.unique(numbers, return_index=True)[1]
    of_rows = list(zip(*(df[c].iloc[firsts] for c in columns), strict=True))
    return numbers, [name[0] for name in of_rows] if len(columns) == 1 else of_rows


def _usual(place, series):
    "The place within a step that most rows of each series have, for each row."
    if not len(place) or (place == place[0]).all():
        return place
    frame = pd.DataFrame({"series": series, "place": place})
    usual = frame.groupby("series")["place"].agg(lambda p: p.value_counts().index[0])
    return usual.loc[series].to_numpy()


def _filled(part, fill):
    numbers = part.select_dtypes("number").columns
    part = part.copy()
    if fill == "linear":
        part[numbers] = part[numbers].interpolate(limit_area="inside")
    elif fill == "zero":
        part[numbers] = part[numbers].fillna(0)
    return part.ffill()


def _places(found):
    "The first of some places, as a message names them: id, time (count)."
    rows = zip(found["id"][:SHOWN], found["time"], found["count"], strict=False)
    more = len(found) - SHOWN
    return "; ".join(f"{name!r} at {time} ({count})" for name, time, count in rows) + (f"; and {more:,} more" if more > 0 else "")
