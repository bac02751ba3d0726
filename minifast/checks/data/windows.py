"""Checks of windows over a long frame: the order of time, and gaps in it."""
import numpy as np

from ...core.messages import listing, plural
from ..outcomes import Check, graded, require
from .probe import DataProbe
from .series_samples import require_windows


def _moments(w, rows):
    "The times of rows as whole numbers."
    times = w.windows.times[rows]
    return np.asarray(times.as_unit("ns").asi8 if hasattr(times, "as_unit") else times)


def order_of_time(data: DataProbe) -> Check:
    "Forecasts that are validated at times after which, in the same series, training windows lie."
    train, valid = require_windows(data, valid=True, horizon=True)
    require(len(valid.indices), "there are no validation windows")
    last: dict[str, int] = {}
    ends = _moments(train, train.starts + train.windows.size - 1)
    for s in np.unique(train.windows.series[train.indices]):
        last[str(train.windows.ids[s])] = int(ends[train.windows.series[train.indices] == s].max())
    ids = [str(valid.windows.ids[s]) for s in valid.windows.series[valid.indices]]
    limit = np.array([last.get(i, np.iinfo(np.int64).min) for i in ids])
    late = np.flatnonzero(limit > _moments(valid, valid.predicted))
    share = len(late) / len(valid.indices)
    found = (f"{len(late):,} of {plural(len(valid.indices), 'validation window')} predict what comes before training rows of the same "
             f"series: the model has seen the future" + (f", of {valid.name(int(late[0]))} for instance" if len(late) else ""))
    return graded(found, len(late), items=[valid.name(int(k)) for k in late[:50]], windows=len(late), share=share)


def gaps_in_time(data: DataProbe) -> Check:
    "Rows that are in no window, because of gaps or short series, and values that were filled in."
    w = require_windows(data)[0].windows
    covered = w.rows_of(np.arange(len(w)))
    # by a stride, or labels that differ within a window, rows are in none as well
    lost = float(1 - covered.mean()) if w.stride <= w.size and (w.label is None or w.labelling != "same") else 0.0
    filled = getattr(w, "n_filled", 0) / max(1, w.values.numel())
    short = w.too_short
    parts = [f"{lost:.0%} of the rows are in no window, because it would cross a gap or their series is too short"] * (lost > 0.2)
    parts += [f"{filled:.0%} of the values were filled in (gaps={w.gaps!r})"] * (filled > 0.05)
    parts += [f"{len(short):,} of {len(w.ids):,} series have no window, such as {listing([repr(i) for i in list(short)[:3]], 3)} with "
              f"{plural(next(iter(short.values())), 'row')}, of {w.size} needed"] * (len(short) > 0.2 * len(w.ids)) if short else []
    advice = ("a smaller window= or horizon= needs fewer rows without a gap" if lost > 0.2 or short else
              "gaps='split' leaves them out; look at what was filled in before you trust the errors")
    return graded("; ".join(parts), lost > 0.5 or filled > 0.3, parts, advice, fine=f"{1 - lost:.0%} of the rows are in a window",
                  rows_in_no_window=lost, values_filled=filled, series_without_window=len(short))
