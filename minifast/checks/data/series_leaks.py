"""Targets that series give away, MF857 and MF858: by a covariate or a channel, by how long they are, or by what is missing."""

import numpy as np

from ...core.messages import plural
from ..outcomes import Check, graded, passed, require
from .probe import DataProbe
from .series import lengths_without_tail
from .series_samples import Windows, channel_names, evenly, require_series, series_of, windows_of
from .tables import SURE, SUSPICIOUS, single_column_score

SAME, NEAR = 0.995, 0.97        #: correlation of changes with those of the target
MOST_SHIFT = 48


# -- covariates of forecasts --------------------------------------------------------------------------------------------------------
class _Changes:
    "Changes of a column from step to step within each series, and their ranks, to be compared with those of others."

    def __init__(self, values: np.ndarray, series: np.ndarray):
        from scipy.stats import rankdata
        changes = np.diff(values)
        self.there = np.diff(series) == 0
        self.varies = len(np.unique(changes[self.there])) >= 8
        ranks = np.zeros(len(changes))
        ranks[self.there] = rankdata(changes[self.there])
        self.forms = changes, ranks

    def correlation(self, other: "_Changes", shift: int, series: np.ndarray) -> float:
        "With the changes of another column `shift` rows later: of values or of ranks, the larger one by size; 0 where either is constant."
        n = len(self.there)
        a, b = (slice(0, n - shift), slice(shift, n)) if shift >= 0 else (slice(-shift, n), slice(0, n + shift))
        both = self.there[a] & other.there[b] & (series[:-1][a] == series[:-1][b])
        if both.sum() < 20 or not self.varies or not other.varies:
            return 0.0
        found = [0.0]
        for x, y in zip(self.forms, other.forms, strict=True):
            x, y = x[a][both], y[b][both]
            x, y = x - x.mean(), y - y.mean()
            size = float(np.sqrt((x @ x) * (y @ y)))
            found.append(abs(float(x @ y)) / size if size > 0 else 0.0)
        return max(found)


def telling_covariates(w: Windows) -> list[tuple[float, str, str, int]]:
    """Known and past columns that say what a target will be: (correlation of changes, column, target, rows that it is ahead).

    A known column is seen for the steps to predict: it must not go with the target at any step up to the horizon. A past column, which is
    seen up to the last step of the window, must not go with a later one, unless the target itself does as well (a smooth series).
    """
    windows = w.windows
    rows = windows.rows_of(w.indices)
    values, series = windows.values.numpy()[:, rows].astype(np.float64), windows.row_series[rows]
    if values.shape[1] > 50_000:
        values, series = values[:, :50_000], series[:50_000]
    n_targets, n_past = len(windows.target), len(windows.past)
    most = min(windows.horizon, MOST_SHIFT)
    changes = [_Changes(v, series) for v in values]
    found = []
    for k, name in enumerate([*windows.past, *windows.known], n_targets):
        for t, target in enumerate(windows.target):
            for shift in range(1 - most if k >= n_targets + n_past else 1, most + 1):
                r = changes[k].correlation(changes[t], shift, series)
                own = changes[t].correlation(changes[t], abs(shift), series) if shift and r >= NEAR else 0.0
                if r >= NEAR and 1 - r <= 0.25 * (1 - own):
                    found.append((r, str(name), str(target), shift))
    return sorted(found, key=lambda o: (-round(o[0], 3), abs(o[3])))


def _covariate_leakage(w):
    if not (w.windows.past or w.windows.known):
        return passed()
    found = telling_covariates(w)
    if not found:
        return passed(columns=len(w.windows.past) + len(w.windows.known))
    r, name, target, shift = found[0]
    known = name in map(str, w.windows.known)
    when = ("at the same step" if shift == 0 else f"{plural(abs(shift), 'step')} {'later' if shift > 0 else 'earlier'}")
    seen = "is given for the steps to predict" if known else "is seen up to the last step of the window"
    return graded(f"{name!r} {seen}, and its changes are those of {target!r} {when} (correlation {r:.3f}): it gives the answer away",
                  r >= SAME, True, "leave it out, unless it will be known by then: a forecast of it, say, and not what was measured; where "
                  "it was made of the target, shift it by the horizon", items=list(dict.fromkeys(o[1] for o in found)), column=name,
                  target=target, steps_ahead=shift, correlation=r)


# -- labels -------------------------------------------------------------------------------------------------------------------------
def _labels(data: DataProbe, n: int) -> tuple[np.ndarray, bool]:
    "The targets of training, and whether they are classes."
    y = data.labels(0)
    require(y is not None and len(y) == n and (y.ndim == 1 or y.shape[1:] == (1,)), "there is no target of one number or class per item")
    values = y.reshape(-1).numpy()
    require(len(np.unique(values)) > 1, "all targets are the same")
    return values, not y.is_floating_point()


def _coded_channel(x, y, classes):
    """Columns of few values that alone tell the class: `(score, channel)` of the best one, by its value at the last step or most steps.

    Args:
        x: (items, channels): the values at the last step; and in the middle, (items, channels).
    """
    best = (0.0, 0)
    for values in x:
        for k in range(values.shape[1]):
            n = len(np.unique(values[:, k]))
            if 1 < n <= max(12, 2 * len(np.unique(y))):
                best = max(best, (single_column_score(values[:, k].astype(float), y, classes), k))
    return best


def _step_is_target(arrays, y):
    "The channel and step (from the end) whose value is the target of nearly every series; None where there is none."
    n = min(min(a.shape[1] for a in arrays), 512)
    ends = np.stack([a[:, -n:] for a in arrays])
    same = np.isclose(ends, y[:, None, None].astype(np.float32), rtol=1e-5, atol=1e-6 * float(np.abs(y).max())).mean(0)
    k, t = np.unravel_index(int(same.argmax()), same.shape)
    return (int(k), n - int(t), float(same[k, t])) if same[k, t] > 0.95 else None


def channel_leakage(data: DataProbe) -> Check:
    """A channel that gives the target away: of forecasts a covariate that is the target, itself or shifted; of classes a channel that codes
    them; of numbers a step of the series that is the target."""
    windows = windows_of(data)
    if windows is not None and windows[0].windows.horizon:
        return _covariate_leakage(windows[0])
    if windows is not None:
        w = windows[0]
        y, x = w.windows.labels[w.indices], w.windows.values.numpy()
        require(len(y) >= 20, "fewer than 20 windows")
        some = np.linspace(0, len(y) - 1, min(len(y), 3000)).astype(int)
        at, y = w.starts[some], y[some]
        require(len(np.unique(y)) > 1, "all windows are of one class")
        score, k = _coded_channel([x[:, at + w.windows.window - 1].T, x[:, at + w.windows.window // 2].T], y, True)
        return _coded(data, score, k, x.shape[0])
    series = require_series(data)
    train = [a for a, side in zip(series.arrays, series.sides, strict=True) if side == 0]
    y, classes = _labels(data, len(series.lengths[0]))
    require(len(train) >= 20, "fewer than 20 series")
    if beside := _told_beside(data, y, classes):
        return beside
    y = y[series.items[series.sides == 0]]
    if not classes:
        found = _step_is_target(train, y)
        if not found:
            return passed()
        k, back, share = found
        name = channel_names(data, series.n_channels)[k]
        where = "last step" if back == 1 else f"step {back} from the end"
        return graded(f"the target is the value of {name} at the {where} of {share:.0%} of the series: the model only has "
                      "to copy it", True, advice="cut the series before what is to be predicted", share=share, steps_from_end=back)
    values = [np.stack([a[:, -1] for a in train]), np.stack([a[:, a.shape[1] // 2] for a in train])]
    score, k = _coded_channel(values, y, True)
    return _coded(data, score, k, series.n_channels)


def _told_beside(data, y, classes):
    "A column beside the series (a category or a number per item) that is as good as the target; None where there is none."
    dataset = data.loaders[0].dataset
    some = evenly(len(y), 3000)
    if len(some) < 60:
        return None
    scores = {}
    for k in sorted(k for k in getattr(dataset, "ahead", ()) if 0 < k < dataset.n_inp):
        names = next((f.names for f in dataset.pipelines[k] if hasattr(f, "names")), [])
        values = np.stack([np.asarray(dataset.ahead[k].values[int(i)], dtype=np.float64).reshape(-1) for i in some])
        scores.update({str(name): single_column_score(v, y[some], classes) for name, v in zip(names, values.T, strict=False)
                       if len(np.unique(v)) > 1})
    name = max(scores, key=scores.__getitem__, default="")
    if not name or scores[name] < SUSPICIOUS:
        return None
    return graded(f"the column {name!r} beside the series alone tells the target (score {scores[name]:.3f} of 1), on rows that were not "
                  "fitted", scores[name] >= SURE, True, "drop the column if it will not be known at prediction time", column=name,
                  score=scores[name])


def _coded(data, score, k, n_channels):
    name = channel_names(data, n_channels)[k]
    return graded(f"{name} has few values, and one of them at a single step tells the class (score {score:.3f} of 1): it codes what is "
                  "to be predicted", score >= SURE, score >= SUSPICIOUS, "leave the channel out", channel=name, score=score)


def length_leakage(data: DataProbe) -> Check:
    "Classes or numbers that the length of a series alone tells, the run of equal steps at its end, or how many values were missing."
    series = require_series(data)
    y, classes = _labels(data, len(series.lengths[0]))
    require(len(y) >= 20, "fewer than 20 series")
    here = series.sides == 0
    looked_at = series.items[here]
    columns: dict[str, tuple[np.ndarray, np.ndarray]] = {"the length of a series": (series.lengths[0], y),
                                                         "the step at which a constant end of a series begins":
                                                         (lengths_without_tail(data)[here], y[looked_at])}
    missing = missing_counts(data)
    if missing is not None:
        columns["how many of its values are missing"] = missing, y
    varying = {name: (x.astype(float), t) for name, (x, t) in columns.items() if len(np.unique(x)) > 1}
    require(varying, "all series are of one length, and none has missing values")
    scores = {name: single_column_score(*o, classes) for name, o in varying.items()}
    best = max(scores, key=scores.__getitem__)
    score = scores[best]
    says = (f"has AUC {score:.3f}" if classes and len(np.unique(y)) == 2 else
            f"has a balanced accuracy of {score:.1%} above chance" if classes else f"explains {score:.1%} of the target")
    return graded(f"{best} alone tells the {'class' if classes else 'target'}: it {says}", score >= SURE, score >= SUSPICIOUS,
                  fine=f"{best} alone {says}", score=score, series=len(y))


def missing_counts(data: DataProbe) -> np.ndarray | None:
    "How many values of each training series were missing before they were filled; None where none were, or that is not known."
    dataset = getattr(data.loaders[0], "dataset", None)
    pipelines = getattr(dataset, "pipelines", None)
    count = next((f.count_missing for f in (pipelines[0] if pipelines else ()) if hasattr(f, "count_missing")), None)
    if count is None or series_of(data) is None:
        return None
    found = np.asarray(count(dataset.items))
    return found if found.any() else None
