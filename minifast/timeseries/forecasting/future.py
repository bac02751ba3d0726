"""What comes after the last row of each series: the windows that end there, the times to forecast, and the known columns for them."""
from typing import Any, NamedTuple
from warnings import warn

import numpy as np
import pandas as pd
import torch

from ...core.messages import listing, plural
from ...data.rows import as_frame
from ..frequency import Times
from ..timestamps import SHOWN, check_columns, time_axis
from ..window_columns import check_numbers
from ..windows import SlidingWindows


class LastWindows:
    """The last window of each series, as the dataset of a loader.

    Args:
        x: (series, channels, window).
        known: the known future (series, known, horizon); None: there is none.
    """

    labelled = False

    def __init__(self, x: torch.Tensor, known: torch.Tensor | None):
        self.parts = (x,) if known is None else (x, known)
        self.n_inp = len(self.parts)

    def __len__(self) -> int:
        return len(self.parts[0])

    def __getitem__(self, i: int) -> tuple:
        return tuple(t[i] for t in self.parts)

    def read(self, indices: np.ndarray) -> tuple[torch.Tensor, ...]:
        """A batch.

        Args:
            indices: which series.
        """
        return tuple(t[torch.from_numpy(indices)] for t in self.parts)


class Ends(NamedTuple):
    """Where series end.

    Args:
        ids: the series.
        x: their last windows (series, channels, window).
        times: their last times.
        steps: the numbers of these steps.
    """

    ids: list
    x: torch.Tensor
    times: Times
    steps: np.ndarray


def ends_of(windows: SlidingWindows, window: int) -> Ends:
    """The last windows of all series; a warning lists those that have none.

    Args:
        windows: their rows.
        window: steps of a window.

    Raises:
        ValueError: no series has one.
    """
    lasts = np.flatnonzero(np.r_[np.diff(windows.row_series) != 0, True])
    fits = windows.run_lengths()[lasts] >= window
    if not fits.all():
        told = listing([f"{windows.ids[windows.row_series[i]]!r} (until {windows.times[i]})" for i in lasts[~fits]], SHOWN)
        problem = f"forecast: {(~fits).sum()} of {len(lasts)} series without {plural(window, 'step')} in a row at the end: {told}"
        if not fits.any():
            raise ValueError(f"{problem}. Give more rows, or fill gaps, SlidingWindows(..., gaps='forward')")
        warn(f"{problem}. They are left out", stacklevel=3)
    lasts = lasts[fits]
    at = torch.from_numpy(lasts[:, None] + np.arange(1 - window, 1))
    return Ends([windows.ids[s] for s in windows.row_series[lasts]], windows.values[:, at].transpose(0, 1).contiguous(),
                windows.times[lasts], windows.freq.numbers(windows.times[lasts])[0])


def known_future(windows: SlidingWindows, ends: Ends, known: Any, horizon: int) -> torch.Tensor:
    """The known columns of the steps to forecast.

    Args:
        windows: what is known, and the names of the columns.
        ends: where the series end.
        known: a frame with the columns of id and time and the known ones; further rows are left aside.
        horizon: steps to forecast.

    Returns:
        float32 (series, known, horizon), the horizon rounded up to whole ones of the windows.

    Raises:
        ValueError: it does not reach far enough: which series, the last time needed, the last one given.
    """
    names = f"the known columns {listing(map(repr, windows.known))}"
    need = windows.freq.later(ends.times, horizon)
    if known is None:
        raise ValueError(f"forecast: {names} are needed for the steps to forecast, until {need[0]} for {ends.ids[0]!r}: write "
                         f"learn.forecast({horizon}, known=future), a frame with "
                         f"{listing(map(repr, [*windows.by, windows.time, *windows.known]))}")
    frame = as_frame(known, "forecast(known=...)")
    check_columns(frame, [*windows.by, windows.time, *windows.known], "forecast(known=...)")
    check_numbers(frame, windows.known, "forecast(known=...)")
    axis = time_axis(frame, windows.time, windows.by or None, windows.freq, windows.tz)
    zone, given = getattr(ends.times, "tz", None), getattr(axis.times, "tz", None)
    if (zone is None) != (given is None):
        alike = "tz_localize(None), if both are of one clock" if zone is None else f"tz_localize({str(zone)!r})"
        theirs = "no time zone" if given is None else f"the zone {given}"
        raise ValueError(f"forecast(known=...): the times in {windows.time!r} have {theirs}, those of the series {zone or 'none'}, "
                         "so that it is not known which belong together: write "
                         f"known[{windows.time!r}] = pd.to_datetime(known[{windows.time!r}]).dt.{alike}")
    if len(found := axis.duplicates):
        raise ValueError(f"forecast(known=...): {plural(len(found), 'time')} with more than one row, first {found['id'][0]!r} at "
                         f"{found['time'][0]}: leave one row per series and time, known.drop_duplicates(...)")
    values = frame[windows.known].to_numpy(dtype=np.float64, na_value=np.nan)[axis.order]
    number, place = ({name: i for i, name in enumerate(ids)} for ids in (axis.ids, ends.ids))
    whole = -(-horizon // windows.horizon) * windows.horizon        # the model reads whole horizons, of which the rest is cut off
    made = np.full((len(ends.ids), whole, len(windows.known)), np.nan)
    at = np.array([place.get(name, -1) for name in axis.ids], dtype=np.int64)[axis.series]
    k = axis.steps - ends.steps[at] - 1
    inside = (at >= 0) & (k >= 0) & (k < whole)
    made[at[inside], k[inside]] = values[inside]
    absent = np.isnan(made[:, :horizon]).any(2)
    if absent.any():
        told = []
        for i in np.flatnonzero(absent.any(1))[:SHOWN]:
            rows = np.flatnonzero(axis.series == number.get(ends.ids[i], -1))
            first = windows.freq.later(ends.times[i:i + 1], int(absent[i].argmax()) + 1)[0]
            given = f"the last given is {axis.times[rows[-1]]}" if len(rows) else "none is given"
            told.append(f"{ends.ids[i]!r}: the last needed is {need[i]}, {given}, the first missing {first}")
        n = int(absent.any(1).sum())
        raise ValueError(f"forecast(known=...): {names} do not reach over the steps to forecast in {n} of "
                         f"{len(ends.ids)} series: {'; '.join(told)}" + (f"; and {n - SHOWN:,} more" if n > SHOWN else "")
                         + ". Add these rows, or forecast fewer steps")
    for j in range(horizon, whole):                                 # nobody has to know these: as the step before where they are missing
        made[:, j] = np.where(np.isnan(made[:, j]), made[:, j - 1], made[:, j])
    return torch.from_numpy(made.transpose(0, 2, 1).astype(np.float32))


def as_table(windows: SlidingWindows, ends: Ends, y: torch.Tensor, quantiles: tuple[float, ...] | None) -> pd.DataFrame:
    """Forecasts as a frame of one row per series and step.

    Args:
        windows: the names of the columns.
        ends: where the series end.
        y: (series, targets, horizon), of quantiles (series, targets, horizon, quantiles).
        quantiles: which ones.
    """
    n, horizon = len(ends.ids), y.shape[2]
    at = np.repeat(np.arange(n), horizon)
    times = windows.freq.later(ends.times[at], np.tile(np.arange(1, horizon + 1), n))
    table: dict[str, Any] = {}
    for j, column in enumerate(windows.by):
        table[column] = [ends.ids[i] if len(windows.by) == 1 else ends.ids[i][j] for i in at]
    table[windows.time] = times
    for k, name in enumerate(windows.target):
        if quantiles is None:
            table[name] = y[:, k].flatten().numpy()
        else:
            table.update({f"{name}_{q:g}": y[:, k, :, i].flatten().numpy() for i, q in enumerate(quantiles)})
    return pd.DataFrame(table)
