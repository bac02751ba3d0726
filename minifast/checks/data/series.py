"""Checks of series: constant channels, channels of other scales, lengths and padding."""
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.finite import not_finite
from ...core.messages import listing, plural
from ...learner.probe import once
from ..outcomes import Check, graded, passed, require
from .probe import DataProbe
from .series_samples import channel_names, channel_values, require_series, series_of, windows_of

FAR, TOO_FAR = 30, 1000         #: how many times as large a channel may be as the changes of another


# -- channels -----------------------------------------------------------------------------------------------------------------------
def require_channels(data: DataProbe) -> np.ndarray:
    "The values of the channels in training; without series, the check is not applicable."
    values = channel_values(data, 0)
    require(values is not None and values.size, "the items are no series")
    return values


def _mask_channels(data: DataProbe) -> int:
    "How many of the last channels are masks of missing values, which may well be constant."
    pipelines = getattr(getattr(data.loaders[0], "dataset", None), "pipelines", None) or [[]]
    fill = next((f.fill for f in pipelines[0] if getattr(f, "fill", None) is not None), None)
    return 0 if not getattr(fill, "add_mask", False) else channel_values(data, 0).shape[0] // 2


def constant_channels(data: DataProbe) -> Check:
    "Channels that have one value in all of training, whether they vary in validation or not."
    train, valid = require_channels(data), channel_values(data, 1)
    n_masks = _mask_channels(data)
    names = channel_names(data, len(train))
    constant = [k for k in range(len(train) - n_masks) if float(train[k].min()) == float(train[k].max())]
    varying = [k for k in constant if valid is not None and valid.size and (valid[k] != train[k, 0]).any()]
    if varying:
        k = varying[0]
        return graded(f"{listing([names[k] for k in varying], 3)} {'has' if len(varying) == 1 else 'have'} one value in training, "
                      f"{train[k, 0]:.4g}, and others in validation, {valid[k].min():.4g} to {valid[k].max():.4g}: the model never sees "
                      "what they mean", True, advice="split so that training has the values that will come, or drop the channel",
                      items=[names[k] for k in varying], constant=len(constant), channels=len(train))
    return graded(f"{plural(len(constant), 'channel')} with a single value: {listing([names[k] for k in constant], 5)}",
                  tip=constant, items=[names[k] for k in constant], constant=len(constant), channels=len(train))


def channel_scales(data: DataProbe) -> Check:
    "Channels of a batch, as the model gets it, of which one is many times as large as what changes in another."
    require_channels(data)
    windows = windows_of(data)
    require(not (windows and windows[0].windows.horizon), "models of forecasts scale each channel themselves")
    floats = [t.float().cpu() for t in data.batch().float_inputs if t.ndim == 3]
    require(floats, "no input of a batch is series")
    x = floats[0]
    require(x.shape[1] > 1, "there is a single channel")
    parts = [c[~c.isnan()] for c in x.movedim(1, 0)]
    sizes, stds = (np.array([f(p) if len(p) else 0.0 for p in parts]) for f in (lambda p: float(p.square().mean().sqrt()),
                                                                              lambda p: float(p.std(correction=0))))
    moving = [k for k in np.flatnonzero(stds > 0) if len(parts[k].unique()) > 2]           # marks of 0 and 1 are rare
    require(len(moving) > 1, "fewer than two channels vary")
    names = channel_names(data, len(parts))
    large, small = max(moving, key=lambda k: sizes[k]), min(moving, key=lambda k: stds[k])
    ratio = float(sizes[large] / stds[small])
    return graded(f"{names[large]} is of size {sizes[large]:.3g}, and {names[small]} varies by {stds[small]:.3g}: next to the one a model "
                  "hardly sees the other", large != small and ratio > TOO_FAR, large != small and ratio > FAR,
                  fine=f"standard deviations {stds[moving].min():.3g} to {stds[moving].max():.3g}", largest=float(sizes[large]),
                  smallest=float(stds[small]), ratio=ratio)


# -- lengths ------------------------------------------------------------------------------------------------------------------------
@once
def lengths_without_tail(data: DataProbe) -> np.ndarray:
    "The steps of each series that was looked at before the run of equal steps at its end, such as zeros that pad it."
    found = []
    for a in require_series(data).arrays:
        same = (a[:, 1:] == a[:, :-1]).all(0)
        tail = int(np.argmin(same[::-1])) if not same.all() else a.shape[1] - 1
        found.append(a.shape[1] - tail)
    return np.array(found)


def padded_by_hand(data: DataProbe) -> tuple[float, float, float] | None:
    """Whether series of one length seem to have been padded: many end in a run of one value, the same in all of them.

    Returns:
        The share of series that do, the share of steps in such runs, and the value; None where there are none.
    """
    series, bare = require_series(data), lengths_without_tail(data)
    whole = np.array([a.shape[1] for a in series.arrays])
    tails = whole - bare
    long = (tails >= 3) & (tails >= 0.05 * whole) & (bare > 1)
    if len(np.unique(whole)) > 1 or long.mean() < 0.1 or len(np.unique(tails[long])) < 3:
        return None
    last = np.stack([series.arrays[i][:, -1] for i in np.flatnonzero(long)])
    if len(np.unique(last)) > 1:            # a sensor at rest, whose value is another each time
        return None
    return float(long.mean()), float(tails[long].sum() / whole.sum()), float(last.flat[0])


def series_lengths(data: DataProbe) -> Check:
    "The lengths of series: what max_len= cuts off, how much of the batches is padding, padding that was written as values."
    require_series(data)
    checks = list(_of_lengths(data))
    order = ("issue", "tip", "pass")
    worst = min(checks, key=lambda c: order.index(c.verdict))
    found = [c.found for c in checks if c.found and c.verdict == worst.verdict]
    evidence: dict[str, Any] = {k: v for c in checks for k, v in c.evidence.items()}
    return replace(worst, found="; ".join(found), evidence=evidence)


def _of_lengths(data: DataProbe) -> Iterator[Check]:
    series = series_of(data)
    assert series is not None
    for name, lengths in zip(data.side_names, series.lengths, strict=False):
        if len(lengths):
            numbers = {f"{name}_shortest": int(lengths.min()), f"{name}_longest": int(lengths.max())}
            yield passed(f"{name}: {len(lengths):,} series of {_steps(lengths)}, {plural(series.n_channels, 'channel')}", **numbers)
    pad = next((f for f in getattr(data.loaders[0], "before_batch", ()) if hasattr(f, "max_len") and hasattr(f, "multiple_of")), None)
    lengths = np.concatenate(series.lengths)
    if pad is not None and pad.max_len is not None:
        cut = lengths > pad.max_len
        lost = int((lengths[cut] - pad.max_len).sum())
        p95 = int(np.quantile(lengths, 0.95))
        yield graded(f"max_len={pad.max_len} cuts {cut.mean():.0%} of the series: {lost:,} of {lengths.sum():,} steps "
                     f"({lost / lengths.sum():.0%}) are lost", cut.mean() > 0.5, cut.mean() > 0.1,
                     f"max_len={p95} leaves 95% of the series whole" if p95 > pad.max_len else "leave out max_len=, or cut the series into "
                     "windows, several to a series", cut=float(cut.mean()), steps_lost=lost / int(lengths.sum()))
    x = next((t for t in data.batch().float_inputs if t.ndim == 3), None)
    if x is not None and len(np.unique(lengths)) > 1:
        filled = 1 - float(x.isnan().all(1).float().mean())
        yield graded(f"only {filled:.0%} of a training batch is series, the rest is padding", tip=filled < 0.3, filled=filled,
                     advice="cut the few long ones (max_len=), or into windows")
    if found := padded_by_hand(data):
        share, steps, value = found
        yield graded(f"{share:.0%} of the series end in a run of {value:.4g} ({steps:.0%} of all steps), in which nothing changes: padding "
                     "that a model takes for values", tip=True, padded=share, padded_steps=steps, advice="give the series in their own "
                     "lengths, a list of arrays: models that take several lengths then ignore what is padded")


def _steps(lengths):
    low, high = int(lengths.min()), int(lengths.max())
    return plural(low, "step") if low == high else f"{low:,} to {high:,} steps, median {np.median(lengths):,.0f}"


def real_values(x: Any) -> Any:
    "The values of a float tensor without those that pad series; of others all of them."
    keep = ~(x.isnan() & ~not_finite(x))
    return x if bool(keep.all()) else x[keep]
