"""`Frequency`: the step of a time axis, which tells the step number of a time and which times come next.

Steps shorter than a day are counted in UTC, so that the hour that daylight saving repeats is two steps and the one it leaves out is none.
Days, months and business days are counted in local time, whose days may have 23 or 25 hours.
"""
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from ..core.messages import brief

Times: TypeAlias = "pd.DatetimeIndex | pd.Index"
"Times as a `DatetimeIndex`, or whole numbers as an `Index` of int64."
DAY = 86_400 * 10**9            #: in nanoseconds
_UNITS = "'30min', 'h', 'D', 'W', 'B', 'MS', 'QS', 'YS', or a whole number where times are whole numbers"


class Frequency(NamedTuple):
    """The step of a time axis.

    Args:
        unit: 'number' (whole numbers), 'fixed' (nanoseconds), 'days', 'business days' or 'months'.
        n: how many of them a step has.
        ends: months: a step is named by its last day.
    """

    unit: str
    n: int
    ends: bool = False

    @classmethod
    def of(cls, freq: Any) -> "Frequency":
        """The frequency that a user means.

        Args:
            freq: an alias of pandas such as 'h', '15min', 'D', 'MS', an offset or timedelta, a whole number, or a `Frequency`.

        Raises:
            ValueError: it is none.
        """
        if isinstance(freq, Frequency):
            return freq
        if isinstance(freq, (int, np.integer)) and not isinstance(freq, bool) and freq > 0:
            return cls("number", int(freq))
        try:
            offset: Any = pd.tseries.frequencies.to_offset(freq)
        except (ValueError, TypeError):
            offset = None
        name, n = type(offset).__name__, getattr(offset, "n", 0)
        months = {"Month": 1, "Quarter": 3, "Year": 12, "BMonth": 0}
        if name in ("Day", "Week") and n > 0:
            return cls("days", n * (7 if name == "Week" else 1))
        if name in ("BusinessDay", "BDay") and n == 1:
            return cls("business days", 1)
        for part, size in months.items():
            if n > 0 and size and name in (f"{part}Begin", f"{part}End"):
                return cls("months", n * size, name.endswith("End"))
        try:
            return cls("fixed", _positive(pd.Timedelta(offset).value))
        except (ValueError, TypeError):
            raise ValueError(f"freq={brief(freq)}: a step of time, such as {_UNITS}") from None

    @property
    def name(self) -> Any:
        "What `Frequency.of` takes: an alias of pandas, or a whole number."
        if self.unit == "number":
            return self.n
        if self.unit == "fixed":
            return pd.tseries.frequencies.to_offset(pd.Timedelta(self.n, "ns")).freqstr      # type: ignore[union-attr]  # never None
        if self.unit == "months":
            offset = (pd.offsets.MonthEnd if self.ends else pd.offsets.MonthBegin)(self.n)
            return offset.freqstr
        return "B" if self.unit == "business days" else "D" if self.n == 1 else f"{self.n}D"

    @property
    def season(self) -> int | None:
        "Steps of the usual season: a year of months, a week of days, a day of hours or minutes; None where there is none."
        of = {"months": 12, "days": 7, "business days": 5, "fixed": DAY}.get(self.unit, 0)
        return of // self.n if of > self.n and of % self.n == 0 else None

    def numbers(self, times: Times) -> tuple[np.ndarray, np.ndarray]:
        """The step that each time is in, and where in it: times of a regular series all have the same place.

        Args:
            times: of any order.

        Returns:
            Two arrays int64 (n,): a number that grows by 1 from step to step, and the place within the step.
        """
        if self.unit in ("number", "fixed"):
            return np.divmod(_utc(times), self.n)
        local = _local(times)
        if self.unit == "months":
            months = local.astype("datetime64[M]").astype(np.int64)
            return np.divmod(months, self.n)
        days = local.astype("datetime64[D]")
        if self.unit == "days":
            return np.divmod(days.astype(np.int64), self.n)
        number = np.busday_count(np.datetime64("1970-01-01"), days).astype(np.int64)
        return number, (~np.is_busday(days)).astype(np.int64)

    def later(self, times: Times, k: Any) -> Times:
        """Times some steps later.

        Args:
            times: from which to count.
            k: how many steps, a number or one per time.

        Returns:
            As many, of the time zone of `times`.
        """
        k = np.broadcast_to(np.asarray(k, dtype=np.int64), (len(times),))
        if self.unit == "number":
            return pd.Index(times.to_numpy() + k * self.n)
        if self.unit == "fixed":
            moved = pd.DatetimeIndex(_utc(times) + k * self.n)
            return moved if times.tz is None else moved.tz_localize("UTC").tz_convert(times.tz)       # type: ignore[union-attr]
        local, tz = _local(times), times.tz                                                            # type: ignore[union-attr]
        day = local.astype("datetime64[D]")
        of_day = local - day
        if self.unit == "days":
            day = day + k * self.n
        elif self.unit == "business days":
            day = np.busday_offset(day, k, roll="backward")
        else:
            month = day.astype("datetime64[M]")
            last = (month + 1 + k * self.n).astype("datetime64[D]") - 1
            of_month = day - month.astype("datetime64[D]")
            day = last if self.ends else np.minimum((month + k * self.n).astype("datetime64[D]") + of_month, last)
        moved = pd.DatetimeIndex(day.astype("datetime64[ns]") + of_day)
        # an hour that does not exist that day is the one after it, one that exists twice the first of them
        return moved if tz is None else moved.tz_localize(tz, nonexistent="shift_forward", ambiguous=np.ones(len(moved), dtype=bool))

    def beginning(self, numbers: np.ndarray, tz: Any = None) -> Times:
        """When steps begin.

        Args:
            numbers: as `numbers` gives them.
            tz: the time zone; None: times without one.
        """
        if self.unit == "number":
            return pd.Index(numbers * self.n)
        if self.unit == "fixed":
            found = pd.DatetimeIndex(numbers * self.n)
            return found if tz is None else found.tz_localize("UTC").tz_convert(tz)
        if self.unit == "business days":
            day = np.busday_offset(np.datetime64("1970-01-01"), numbers)
        elif self.unit == "days":
            day = (numbers * self.n).astype("datetime64[D]")
        else:
            day = (numbers * self.n).astype("datetime64[M]").astype("datetime64[D]")
            day = (day.astype("datetime64[M]") + self.n).astype("datetime64[D]") - 1 if self.ends else day
        found = pd.DatetimeIndex(day.astype("datetime64[ns]"))
        return found if tz is None else found.tz_localize(tz, nonexistent="shift_forward", ambiguous=np.ones(len(found), dtype=bool))


def inferred(times: Times, series: np.ndarray) -> Frequency | None:
    """The step that is most common between neighbours in time; None: no series has two times.

    Args:
        times: sorted by series, then by time.
        series: the number of the series of each.
    """
    utc = _utc(times)
    steps = np.diff(utc)[(np.diff(series) == 0)]
    steps = steps[steps > 0]
    if not len(steps):
        return None
    found, counts = np.unique(steps, return_counts=True)
    step = int(found[counts.argmax()])
    if not isinstance(times, pd.DatetimeIndex):
        return Frequency("number", step)
    if step % DAY:
        return Frequency("fixed", step)
    day = _local(times).astype("datetime64[D]")
    if step >= 28 * DAY:
        month = day.astype("datetime64[M]")
        is_end = (month + 1).astype("datetime64[D]") - day == np.timedelta64(1, "D")
        of_month, ends = day - month.astype("datetime64[D]"), bool(is_end.all())
        change = np.diff(of_month).astype(np.int64)             # short months end before the 29th, 30th or 31st
        same = (change == 0) | (is_end[1:] & (change < 0)) | (is_end[:-1] & (change > 0)) | (np.diff(series) != 0)
        if ends or same.all():
            return Frequency("months", max(1, round(step / DAY / 30.437)), ends)
    return Frequency("days", step // DAY)


def _positive(n):
    if n <= 0:
        raise ValueError("not positive")
    return int(n)


def _utc(times: Any) -> np.ndarray:
    "Nanoseconds since 1970 in UTC; of times without a zone, of their clock; whole numbers as they are."
    return times.as_unit("ns").asi8 if isinstance(times, pd.DatetimeIndex) else times.to_numpy(dtype=np.int64)


def _local(times: Any) -> np.ndarray:
    "What the clock shows, datetime64[ns]."
    return times.tz_localize(None).as_unit("ns").to_numpy()
