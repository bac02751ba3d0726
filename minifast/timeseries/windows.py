"""`SlidingWindows`: parts of the series of a long frame, to forecast what comes after them or to classify them."""
from collections.abc import Sequence
from typing import Any, Literal, get_args
from warnings import warn

import numpy as np
import pandas as pd
import torch

from ..core.arguments import check_arguments, check_choice, is_whole, listed_in_order
from ..core.keywords import KnowsKeywords
from ..core.messages import listing, plural
from ..core.titled import TensorCategory
from ..data.rows import as_frame, with_rows
from .frequency import Frequency, Times
from .store import as_float32
from .tensors import TensorForecast, TensorKnown, TensorSeries
from .timestamps import SHOWN, FillGaps, TimeAxis, check_columns, refuse_irregular, time_axis
from .window_columns import check_numbers, labels_of, without_nan

Labelling = Literal["same", "last", "most"]


class SlidingWindows(KnowsKeywords):
    """Windows of `window` steps that slide over the series of a long frame, each with what is to be predicted: the next `horizon` steps of
    the targets, or the label of the window itself.

    The rows may come in any order and with any index: the series are those of `by`, sorted by time. The first step to predict is the one
    right after the last step of the window. No window reaches over the end of a series, a gap, a missing value or a time that comes twice.
    The last window of a series ends with its last row, so that with a stride it is the oldest rows that may be in none. Rows are held once,
    float32, whatever the number of windows.

    Args:
        df: one row per series and time.
        window: steps that the model sees.
        horizon: steps to predict, 0 with `label`.
        stride: steps from one window to the next.
        by: the column(s) that name the series; None: one series.
        time: the column of times, see `time_axis`.
        target: the column(s) to predict; the model sees their past.
        known: columns that are known for the steps to predict, such as holidays and prices: the model sees them there too.
        past: columns of which the model sees only the past; with `label` the channels (None: all columns of numbers).
        label: the column of the class of each row, to classify windows.
        labelling: which label a window has: 'same' (windows with more than one are left out), 'last' (of its last step) or 'most'.
        freq: the step of time, such as 'h' or 'MS'; None: the most common one.
        tz: the time zone of times that have none, such as 'Europe/Berlin'.
        duplicates: several rows of one time are an error (None), or replaced by 'mean', 'first' or 'last' in the order of the rows.
        gaps: missing rows and values are an error (None), no window crosses them ('split'), or they are filled within their series:
            'forward' (the last value), 'linear' (between the neighbours: the later one is known too early) or 'zero'.
        vocab: the labels; None: those of the column, sorted.

    Raises:
        KeyError: there is no such column.
        ValueError: arguments do not go together; times are irregular, come twice or are missing, values are missing, with the places;
            every series is too short.
    """

    def __init__(self, df: pd.DataFrame, window: int, horizon: int = 0, stride: int = 1, by: str | Sequence[str] | None = None,
                 time: str = "time", target: str | Sequence[str] | None = None, known: str | Sequence[str] | None = None,
                 past: str | Sequence[str] | None = None, label: str | None = None, labelling: Labelling = "same", freq: Any = None,
                 tz: Any = None, duplicates: Literal["mean", "first", "last"] | None = None,
                 gaps: Literal["split", "forward", "linear", "zero"] | None = None, vocab: Sequence[Any] | None = None):
        df = with_rows(as_frame(df, "SlidingWindows"), "SlidingWindows")
        window, horizon, stride = (int(n) if isinstance(n, np.integer) else n for n in (window, horizon, stride))
        self.window, self.horizon, self.stride, self.time, self.label, self.labelling = window, horizon, stride, time, label, labelling
        self.by, self.target, self.known = (_names(name, o) for name, o in (("by", by), ("target", target), ("known", known)))
        if label is not None and past is None:
            used = {time, label, *self.by}
            past = [c for c in df.columns if c not in used and pd.api.types.is_numeric_dtype(df[c])]
        self.past = _names("past", past)
        self._check(duplicates, gaps)
        check_columns(df, [*self.channels, *([] if label is None else [label])], "SlidingWindows")
        check_numbers(df, self.channels, "SlidingWindows")
        self.duplicates, self.gaps, self.tz = duplicates, gaps, tz
        axis = time_axis(df, time, self.by or None, freq, tz)
        refuse_irregular(axis, time, "SlidingWindows", duplicates is None, gaps is None)
        self.freq: Frequency = axis.freq                     #: the step
        self.ids: list = axis.ids                            #: the series, in order of appearance
        self.vocab: list | None = None                       #: the labels, sorted; None for forecasts
        columns = df[self.channels].to_numpy(dtype=np.float64, na_value=np.nan)[axis.order]
        labels = None
        if label is not None:
            self.vocab, labels = labels_of(df[label], label, vocab)
            labels = labels[axis.order]
        self._hold(axis, columns, labels)
        self._cut()
        if not len(self.starts):
            longest = int(self.run_lengths().max(initial=0))
            if longest < self.size:
                raise ValueError(f"SlidingWindows: {self._need}, and no series has so many rows without a gap (the most are "
                                 f"{longest:,}): no window. Give more rows, or make windows with a smaller window="
                                 + (" or horizon=" if horizon else ""))
            none = {"same": "one label throughout. Write a smaller window=, or labelling='last' or 'most'",
                    "last": "a label in its last row. Write a smaller window=, or labelling='most'",
                    "most": "a label. Write a smaller window=, or put labels into more rows"}
            raise ValueError(f"SlidingWindows: no window of {plural(window, 'step')} has {none[labelling]}")

    # -- what it holds ----------------------------------------------------------------------------------------------------------
    values: torch.Tensor        #: float32 (channels, rows): targets, past, known, sorted by series and time
    times: Times                #: of the rows
    row_series: np.ndarray      #: the series of the rows
    starts: np.ndarray          #: the first row of each window
    series: np.ndarray          #: the series of each window
    too_short: dict             #: {series without a window: its rows}
    n_filled: int = 0           #: values that were filled in

    @property
    def channels(self) -> list[str]:
        "The columns that a window shows: targets, past, known."
        return [*self.target, *self.past, *self.known]

    @property
    def c(self) -> int:
        "Numbers to predict per window; with labels the number of classes."
        return len(self.vocab) if self.vocab is not None else len(self.target) * self.horizon

    @property
    def size(self) -> int:
        "Rows of a window and of what comes after it."
        return self.window + self.horizon

    @property
    def settings(self) -> dict[str, Any]:
        "The arguments that make such windows of another frame, as plain values."
        return {"window": self.window, "horizon": self.horizon, "stride": self.stride, "by": self.by or None, "time": self.time,
                "target": self.target or None, "known": self.known or None, "past": self.past or None, "label": self.label,
                "labelling": self.labelling, "freq": self.freq.name, "tz": None if self.tz is None else str(self.tz),
                "duplicates": self.duplicates, "gaps": self.gaps, "vocab": self.vocab}

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, i: int) -> tuple:
        return self.sample(range(len(self))[i])

    @property
    def n_inp(self) -> int:
        "How many elements of a sample are inputs of the model: the window, and where there is one the known future."
        return 1 + bool(self.known)

    def sample(self, i: int, with_target: bool = True) -> tuple:
        """Window `i`, as what it is.

        Args:
            i: which.
            with_target: with what is to be predicted.
        """
        kinds: list[Any] = [TensorSeries, *([TensorKnown] if self.known else []), TensorForecast if self.horizon else TensorCategory]
        return tuple(kind(t[0]) for kind, t in zip(kinds, self.read(np.array([i]), with_target), strict=False))

    def __repr__(self) -> str:
        classes = None if self.vocab is None else f"classes {listing(map(str, self.vocab), 6)}"
        what = classes or f"the next {self.horizon} of {listing(self.target)}"
        return (f"SlidingWindows: {plural(len(self), 'window')} of {plural(self.window, 'step')} of {self.freq.name!r} in "
                f"{len(self.ids) - len(self.too_short)} of {len(self.ids)} series, {plural(len(self.channels), 'channel')}, {what}")

    def read(self, indices: np.ndarray, with_targets: bool = True) -> tuple[torch.Tensor, ...]:
        """A batch of windows.

        Args:
            indices: which.
            with_targets: with what is to be predicted.

        Returns:
            (B, channels, window), with known columns (B, known, horizon), and the targets (B, targets, horizon) or classes (B,).
        """
        starts = torch.from_numpy(self.starts[indices])
        parts = [self._strided(0, len(self.channels), 0, self.window, starts)]
        if self.known:
            parts.append(self._strided(len(self.target) + len(self.past), len(self.known), self.window, self.horizon, starts))
        if with_targets:
            parts.append(torch.from_numpy(self.labels[indices]) if self.labels is not None else
                         self._strided(0, len(self.target), self.window, self.horizon, starts))
        return tuple(parts)

    def _strided(self, channel, n_channels, offset, steps, starts):
        "`steps` rows from `offset` after each start on, (B, n_channels, steps): one read of a view of the rows."
        n_rows = self.values.shape[1]
        view = torch.as_strided(self.values, (max(n_rows - offset - steps + 1, 0), n_channels, steps), (1, n_rows, 1),
                                channel * n_rows + offset)
        return view.index_select(0, starts)

    def rows_of(self, indices: np.ndarray) -> np.ndarray:
        """Which rows some windows cover, with what comes after them.

        Args:
            indices: which windows.

        Returns:
            bool (rows,).
        """
        n = self.values.shape[1]
        ends = np.bincount(self.starts[indices], minlength=n + 1) - np.bincount(self.starts[indices] + self.size, minlength=n + 1)
        return np.cumsum(ends[:n]) > 0

    def season_errors(self, season: int, rows: np.ndarray) -> torch.Tensor:
        """For each series and target the mean of |value - value a season before| over some rows.

        Args:
            season: steps of a season.
            rows: bool (rows,): those that count.

        Returns:
            float64 (series, targets); NaN where there are no two such rows.
        """
        n = self.values.shape[1]
        found = torch.full((len(self.ids), len(self.target)), torch.nan, dtype=torch.float64)
        if season >= n:
            return found
        pair = rows[season:] & rows[:n - season] & (self._segment[season:] == self._segment[:n - season])
        targets = self.values[:len(self.target)].double().numpy()
        errors = np.abs(targets[:, season:] - targets[:, :n - season])[:, pair]
        counts = np.bincount(self.row_series[season:][pair], minlength=len(self.ids))
        for k in range(len(self.target)):
            sums = np.bincount(self.row_series[season:][pair], weights=errors[k], minlength=len(self.ids))
            found[:, k] = torch.from_numpy(np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0))
        return found

    def warn_of_short(self, where: str) -> None:
        """Warn of series without a window, which nobody sees in a loader.

        Args:
            where: who leaves them out.
        """
        if self.too_short:
            told = listing([f"{name!r} ({plural(n, 'row')})" for name, n in self.too_short.items()], SHOWN)
            warn(f"{where}: {len(self.too_short):,} of {len(self.ids):,} series have no {plural(self.size, 'row')} in a row, as a window "
                 f"needs, and are left out: {told}. All of them are in windows.too_short", stacklevel=4)

    def name_of(self, i: int) -> str:
        "What to call window `i` in a message: its series and its first time."
        return f"the window{f' of {self.ids[self.series[i]]!r}' if self.by else ''} from {self.times[self.starts[i]]}"

    def of(self, df: pd.DataFrame, with_targets: bool = True) -> "SlidingWindows":
        """Such windows of another frame.

        Args:
            df: with the same columns, those of labels aside where there are none.
            with_targets: False: windows without what comes after them; of forecasts only the last one of each series.
        """
        settings = self.settings
        if with_targets:
            return SlidingWindows(df, **settings)
        if self.known:
            raise ValueError(f"windows with known columns, {listing(self.known)}, need their values for the steps to predict: write "
                             "learn.forecast(df=df, known=future), with a frame of them, also instead of a Predictor, after learn = "
                             "load_learner(file)")
        stride = self.stride if self.label is not None else max(1, len(df))
        made = self._unlabelled(df, stride)
        made.vocab = self.vocab
        if self.label is None:                              # a series with gaps has several
            lasts = np.r_[np.diff(made.series) != 0, True]
            made.starts, made.series = made.starts[lasts], made.series[lasts]
        return made

    def rows_alone(self, df: pd.DataFrame) -> "SlidingWindows":
        """The rows of another frame with the same columns, in order, for what comes after them.

        Args:
            df: the frame.
        """
        return self._unlabelled(df, max(1, len(df)))

    def _unlabelled(self, df, stride):
        "Windows of another frame, of the same channels, without anything after them."
        return SlidingWindows(df, **{**self.settings, "horizon": 0, "stride": stride, "label": None, "vocab": None, "target": None,
                                     "past": [*self.target, *self.past], "labelling": "last"})

    def run_lengths(self) -> np.ndarray:
        "For each row, how many rows without a gap end with it, itself counted; 0 where a value is missing."
        n = len(self._segment)
        first = np.flatnonzero(np.r_[True, np.diff(self._segment) != 0]) if n else np.zeros(0, np.int64)
        lengths = np.diff(np.r_[first, n])
        return np.where(self._empty, 0, np.arange(n) - np.repeat(first, lengths) + 1)

    @classmethod
    def without_rows(cls, settings: dict[str, Any]) -> "SlidingWindows":
        """Windows of no series, for a learner without data.

        Args:
            settings: see `settings`.
        """
        made = object.__new__(cls)
        vars(made).update({k: v for k, v in settings.items() if k != "freq"})
        for name in ("by", "target", "known", "past"):
            setattr(made, name, settings[name] or [])
        made.freq, made.ids, made.too_short, made.labels = Frequency.of(settings["freq"]), [], {}, None
        made.values, made.times = torch.zeros(len(made.channels), 0), pd.Index([], dtype=np.int64)
        made.row_series = made.starts = made.series = np.zeros(0, np.int64)
        return made

    # -- how it is made ---------------------------------------------------------------------------------------------------------
    def _check(self, duplicates, gaps):
        where = "SlidingWindows"
        check_arguments(where, window=(self.window, is_whole(self.window), "steps that the model sees, a whole number of at least 1"),
                        horizon=(self.horizon, is_whole(self.horizon, 0), "steps to predict, a whole number"),
                        stride=(self.stride, is_whole(self.stride), "steps from one window to the next, a whole number of at least 1"))
        check_choice(where, "duplicates", duplicates, (None, "mean", "first", "last"))
        check_choice(where, "gaps", gaps, (None, "split", *get_args(FillGaps)))
        check_choice(where, "labelling", self.labelling, get_args(Labelling))
        if self.label is not None and (self.target or self.known or self.horizon):
            raise ValueError("SlidingWindows(label=...) classifies windows, and target=, known= and horizon= are for forecasts: give the "
                             "channels as past=, or leave out label=")
        if self.target and not self.horizon:
            raise ValueError(f"SlidingWindows(target={self.target}): write horizon=, how many steps to predict")
        if self.horizon and not self.target:
            raise ValueError(f"SlidingWindows(horizon={self.horizon}): write target=, the column(s) to predict")
        if not self.channels:
            raise ValueError("SlidingWindows: write target= and horizon= to forecast, or label= to classify windows")
        seen, twice = set(), []
        for c in [*self.channels, self.time, *self.by, *([] if self.label is None else [self.label])]:
            if c in seen:
                twice.append(c)
            seen.add(c)
        if twice:
            raise ValueError(f"SlidingWindows: {listing(map(repr, twice))} is named twice among time=, by=, target=, known=, past= and "
                             "label=: a column has one of these roles (the past of a target and of a known column is shown anyway)")

    @property
    def _need(self):
        return f"window={self.window}" + (f" and horizon={self.horizon}" if self.horizon else "")

    def _hold(self, axis: TimeAxis, columns: np.ndarray, labels: np.ndarray | None) -> None:
        "The rows in order, one per step, with gaps filled where asked for."
        series, steps, times = axis.series, axis.steps, axis.times
        new = np.r_[True, (np.diff(series) != 0) | (np.diff(steps) != 0)]
        if not new.all():
            first = np.flatnonzero(new)
            last = np.r_[first[1:], len(new)] - 1
            at = last if self.duplicates == "last" else first
            if self.duplicates == "mean":
                counts = np.add.reduceat(~np.isnan(columns), first, axis=0)
                with np.errstate(invalid="ignore"):
                    columns = np.add.reduceat(np.nan_to_num(columns), first, axis=0) / np.where(counts, counts, np.nan)
            else:
                columns = columns[at]
            series, steps, times, labels = series[at], steps[at], times[at], None if labels is None else labels[at]
        if self.gaps not in (None, "split"):
            jump = np.r_[np.where(np.diff(series) == 0, np.diff(steps), 1), 1] if len(series) else np.zeros(0, np.int64)
            if (jump > 1).any():
                at = np.repeat(np.arange(len(series)), jump)            # the row before each
                k = np.arange(len(at)) - np.repeat(np.cumsum(jump) - jump, jump)
                times = axis.freq.later(times[at], k)
                made = columns[at]
                made[k > 0] = np.nan
                columns, series, steps, labels = made, series[at], steps[at] + k, None if labels is None else labels[at]
            n_missing = int(np.isnan(columns).sum())
            columns = without_nan(columns, series, self.gaps)
            self.n_filled = n_missing - int(np.isnan(columns).sum())
        missing = np.isnan(columns)
        if missing.any() and self.gaps is None:
            rows, channels = np.nonzero(missing)
            places = "; ".join(f"[{self.ids[series[r]]!r}, {times[r]}, {self.channels[c]!r}]" for r, c in
                               zip(rows[:SHOWN], channels, strict=False))
            raise ValueError(f"SlidingWindows: {plural(len(rows), 'value')} missing (NaN), at [series, time, column] {places}"
                             + (f" and {len(rows) - SHOWN:,} more" if len(rows) > SHOWN else "") + ". Write gaps='split' (no window "
                             "crosses one), or fill them: gaps='forward', 'linear' or 'zero'")
        broken = np.r_[True, (np.diff(series) != 0) | (np.diff(steps) != 1)]
        empty = missing.any(1)
        self._segment = np.cumsum(broken | empty | np.r_[False, empty[:-1]])            # an empty row is one of its own
        self._empty = empty
        self.values = torch.empty(columns.shape[1], len(columns))
        for row, c, column in zip(self.values, self.channels, columns.T, strict=True):
            row.copy_(torch.from_numpy(as_float32(column, f"df[{c!r}]")))
        self.times, self.row_series, self._row_labels = times, series, labels

    def _cut(self) -> None:
        "The first rows of the windows."
        size, n = self.size, len(self._segment)
        firsts = np.flatnonzero(np.r_[True, np.diff(self._segment) != 0]) if n else np.zeros(0, np.int64)
        lengths = np.diff(np.r_[firsts, n])
        counts = np.where(self._empty[firsts], 0, np.maximum(0, (lengths - size) // self.stride + 1))
        counts[lengths < size] = 0
        at = np.repeat(np.arange(len(firsts)), counts)
        k = np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts)
        starts = firsts[at] + (lengths[at] - size) % self.stride + k * self.stride
        rows = np.bincount(self.row_series, minlength=len(self.ids))
        has = np.bincount(self.row_series[starts], minlength=len(self.ids))
        self.too_short = {self.ids[i]: int(rows[i]) for i in np.flatnonzero(has == 0)}
        self.labels: np.ndarray | None = None       #: the class of each window
        if self._row_labels is not None and self.vocab is not None:
            codes = self._row_labels
            if self.labelling == "last":
                made = codes[starts + self.window - 1]
            else:
                sums = np.stack([np.r_[0, np.cumsum(codes == c)] for c in range(len(self.vocab))])
                counts_of = sums[:, starts + self.window] - sums[:, starts]
                made = np.where(counts_of.max(0) > 0, counts_of.argmax(0), -1)
                if self.labelling == "same":
                    same = counts_of.max(0) == self.window if len(starts) else np.zeros(0, bool)
                    starts, made = starts[same], made[same]
            keep = made >= 0
            starts, self.labels = starts[keep], made[keep].astype(np.int64)
        self.starts, self.series = starts, self.row_series[starts]


def _names(name, given):
    return [] if given is None else [given] if isinstance(given, (str, int)) else listed_in_order("SlidingWindows", name, given)
