"""Columns made of dates: parts of a date, and days since and until an event."""
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..core.keywords import knows_keywords
from ..data.rows import as_frame
from .columns import check_columns, listed_names, rows_of
from .kinds import column_kind, is_date

__all__ = ["add_datepart", "add_elapsed_times", "make_date"]

PARTS = ("Year", "Month", "Week", "Day", "Dayofweek", "Dayofyear", "Is_month_end", "Is_month_start", "Is_quarter_end", "Is_quarter_start",
         "Is_year_end", "Is_year_start")
TIME_PARTS = ("Hour", "Minute", "Second")


def as_dates(column: pd.Series, name: str) -> pd.Series:
    "A column as dates; text is read, and what cannot be read is refused with its row."
    if column.dtype == object:
        column = column.infer_objects()
    if isinstance(column.dtype, pd.PeriodDtype):
        return column.dt.to_timestamp()
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return pd.to_datetime(column.astype(object)) if isinstance(column.dtype, pd.ArrowDtype) else column
    if is_date(column) or pd.api.types.is_numeric_dtype(column.dtype) or column_kind(column) in ("duration", "time of day"):
        raise TypeError(f"column {name!r} holds {column.dtype}, not dates: convert it first, for example with "
                        f"pd.to_datetime(df[{name!r}], unit='s')")
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    try:
        return pd.to_datetime(column)
    except (TypeError, ValueError) as e:
        bad = pd.to_datetime(column, errors="coerce", utc=True).isna() & column.notna()
        if not bad.any():
            raise ValueError(f"column {name!r} holds dates of several UTC offsets or time zones, whose parts cannot be compared. Write "
                             f"df[{name!r}] = pd.to_datetime(df[{name!r}], utc=True) to have them all in UTC") from None
        raise ValueError(f"column {name!r} cannot be read as dates, see row {rows_of(column.index, bad.to_numpy(), 3)}: "
                         f"{str(e).splitlines()[0].split(' You might')[0]} Give the format yourself, pd.to_datetime(df[{name!r}], "
                         "format=...)") from None


def epoch_seconds(dates: pd.Series) -> np.ndarray:
    """Whole seconds since 1970-01-01 UTC: int64, or float64 with NaN where a date is missing.

    The unit of the column (s, ms, us, ns) and its time zone do not matter; dates without a time zone are taken as UTC.
    """
    naive = dates.dt.tz_convert("UTC").dt.tz_localize(None) if dates.dt.tz is not None else dates
    missing = naive.isna().to_numpy()
    seconds = naive.to_numpy().astype("datetime64[s]").astype(np.int64)
    return np.where(missing, np.nan, seconds.astype(np.float64)) if missing.any() else seconds


def make_date(df: pd.DataFrame, date_field: str, inplace: bool = True) -> pd.DataFrame:
    """Convert a column to dates, in `df` itself, as fastai does. Returns the frame.

    Args:
        df: the frame.
        date_field: the column.
        inplace: False: leave `df` as it is and return a copy.
    """
    df = as_frame(df, "make_date")
    check_columns(df, {"date_field": [date_field]}, "make_date")
    out = df if inplace else df.copy()
    out[date_field] = as_dates(df[date_field], date_field)
    return out


@knows_keywords
def add_datepart(df: pd.DataFrame, field_name: str, prefix: str | None = None, drop: bool = True, time: bool = False,
                 inplace: bool = True) -> pd.DataFrame:
    """Add columns made of a date to `df` itself, as fastai does. Returns the frame.

    They are Year, Month, Week (ISO), Day, Dayofweek (Monday is 0), Dayofyear, Is_month_end and _start, the same of quarter and year, and
    Elapsed, seconds since 1970 UTC. Parts are in the time zone of the column; where the date is missing they are NaN (Is_...: False).

    Args:
        df: the frame.
        field_name: the column with the date.
        prefix: of the new names; default: `field_name` without "Date" or "date" at its end.
        drop: leave out `field_name`.
        time: add Hour, Minute and Second too.
        inplace: False: leave `df` as it is and return a copy.

    Raises:
        ValueError: `df` has columns of these names that hold something else.
    """
    df = as_frame(df, "add_datepart")
    check_columns(df, {"field_name": [field_name]}, "add_datepart")
    dates = as_dates(df[field_name], field_name)
    prefix = re.sub("[Dd]ate$", "", str(field_name)) if prefix is None else prefix
    new = {}
    for part in PARTS + (TIME_PARTS if time else ()):
        values = dates.dt.isocalendar().week if part == "Week" else getattr(dates.dt, part.lower().replace("dayof", "day_of_"))
        new[prefix + part] = _plain_numbers(values)
    new[prefix + "Elapsed"] = epoch_seconds(dates)
    taken = [c for c in new if c in df.columns and c != field_name and not df[c].equals(pd.Series(new[c], index=df.index, name=c))]
    if taken:
        raise ValueError(f"add_datepart: the frame has columns {taken} already; give another prefix=")
    out = df if inplace else df.copy()
    if drop:
        out.pop(field_name)
    for name, values in new.items():
        out[name] = values
    return out


def _plain_numbers(values: pd.Series) -> np.ndarray:
    "bool as it is, numbers as int64, or as float64 with NaN where some are missing."
    if pd.api.types.is_bool_dtype(values.dtype):
        return values.to_numpy(dtype=bool)
    return values.to_numpy(dtype="float64", na_value=np.nan) if values.isna().any() else values.to_numpy(dtype="int64")


def add_elapsed_times(df: pd.DataFrame, field_names: Sequence | str, date_field: str, base_field: str) -> pd.DataFrame:
    """A copy of the frame with the days since and until events, and `date_field` as dates.

    `After{event}`: days since the latest event; `Before{event}`: days to the next one, as a number <= 0; both 0 on the day itself and where
    there is none. `{event}_bw` and `{event}_fw`: how many of the seven rows up to here, and from here on, in the order of `date_field`,
    have the event.

    Args:
        df: the frame.
        field_names: events, columns of truth values.
        date_field: the column with the date.
        base_field: what events belong to, a shop, for example; each of its values has its own.
    """
    df = as_frame(df, "add_elapsed_times")
    events = listed_names(field_names, df)
    check_columns(df, {"field_names": events, "date_field": [date_field], "base_field": [base_field]}, "add_elapsed_times")
    dates = as_dates(df[date_field], date_field)
    if dates.isna().any():
        raise ValueError(f"add_elapsed_times: {date_field!r} has missing dates in rows {rows_of(df.index, dates.isna().to_numpy())}")
    naive = dates.dt.tz_localize(None) if dates.dt.tz is not None else dates
    table = pd.DataFrame({"base": pd.factorize(df[base_field], use_na_sentinel=False)[0], "day": epoch_seconds(naive) // 86400})
    table = table.sort_values(["base", "day"], kind="stable")
    base, day = table["base"], table["day"]
    columns: dict[str, Any] = {kind.format(event): None for kind in ("After{}", "Before{}", "{}_bw", "{}_fw") for event in events}
    for event in events:
        happened = df[event]
        if happened.isna().any() or not set(happened.unique()) <= {0, 1}:
            odd = next(v for v in happened.unique().tolist() if v is None or v not in (0, 1))
            raise ValueError(f"add_elapsed_times: {event!r} must hold true and false (or 1 and 0); received {odd!r}")
        flags = pd.Series(happened.to_numpy(dtype=bool))[table.index]
        event_days, counts = day.where(flags).groupby(base), flags.astype("int64")
        columns[f"After{event}"] = day - event_days.ffill()
        columns[f"Before{event}"] = day - event_days.bfill()
        columns[f"{event}_bw"] = counts.groupby(base).rolling(7, min_periods=1).sum().droplevel(0)
        columns[f"{event}_fw"] = counts[::-1].groupby(base[::-1]).rolling(7, min_periods=1).sum().droplevel(0)
    out = df.assign(**{name: values.fillna(0).astype("int64").sort_index().to_numpy() for name, values in columns.items()})
    out[date_field] = dates
    return out
