"""Targets that a covariate, a channel, a length or missing values give away; and what merely goes with them."""
import numpy as np
import pytest
from zoo_series import sales, series_loaders, waves, window_loaders, windows

from minifast.checks.data.probe import DataProbe
from minifast.checks.data.series_leaks import channel_leakage, length_leakage
from minifast.checks.outcomes import NotApplicable


def leak(df, **kw):
    return channel_leakage(DataProbe(window_loaders(windows(df, **kw))))


def shifted(df, k):
    return df.groupby("shop").sold.shift(k).fillna(100)


LEAKS = {
    "itself": (lambda df: df.sold, "known", 0),
    "in other units": (lambda df: 3 * df.sold - 7, "known", 0),
    "its logarithm": (lambda df: np.log(df.sold), "known", 0),
    "the day before": (lambda df: shifted(df, 1), "known", -1),
    "the day after": (lambda df: shifted(df, -1), "known", 1),
    "the day after, as a past column": (lambda df: shifted(df, -1), "past", 1),
    "three days later, as a past column": (lambda df: shifted(df, -3), "past", 3),
}
FINE = {
    "as far back as the horizon": (lambda df: shifted(df, 7), "known"),
    "the target seen so far": (lambda df: df.sold, "past"),
    "the week before, as a past column": (lambda df: shifted(df, 7), "past"),
    "the day of the week": (lambda df: df.day.dt.day_of_week, "known"),
    "the time": (lambda df: df.groupby("shop").cumcount(), "known"),
    "a season": (lambda df: np.sin(2 * np.pi * df.day.dt.day_of_week / 7), "known"),
    "what goes with it": (lambda df: df.sold + 12 * np.random.default_rng(1).normal(size=len(df)), "known"),
}


@pytest.mark.parametrize("name", LEAKS)
def test_covariates_that_tell_the_target(name):
    make, role, shift = LEAKS[name]
    df = sales()
    found = leak(df.assign(column=make(df)), **{role: "column"})
    assert found.verdict == ("tip" if "logarithm" in name else "issue"), found
    assert (found.evidence["column"], found.evidence["steps_ahead"]) == ("column", shift)


@pytest.mark.parametrize("name", FINE)
def test_covariates_that_do_not(name):
    make, role = FINE[name]
    df = sales()
    assert leak(df.assign(column=make(df).astype(float)), **{role: "column"}).verdict == "pass"


def test_a_smooth_target_is_not_told_by_its_past():
    df = sales()
    df["sold"] = 100 + 20 * np.sin(np.arange(len(df)) / 30)
    assert leak(df.assign(column=df.sold * 2), past="column").verdict == "pass"


def test_the_answer_is_a_step_of_the_series():
    x, _ = waves(80)
    y = np.array([float(a[1, -3]) for a in x])
    found = channel_leakage(DataProbe(series_loaders(x, y)))
    assert found.verdict == "issue" and "channel 1 at the step 3 from the end of 100% of the series" in found.found
    assert channel_leakage(DataProbe(series_loaders(x, y + np.random.default_rng(0).normal(size=80)))).verdict == "pass"


def test_channels_that_code_the_class():
    x, y = waves(80, 3)
    for a, label in zip(x, y, strict=True):
        a[2] = 4 if label == "fast" else 1
    assert channel_leakage(DataProbe(series_loaders(x, y))).verdict == "issue"
    for a in x:
        a[2] = np.random.default_rng(int(a[0, 0] * 1e4) % 997).integers(0, 3)
    assert channel_leakage(DataProbe(series_loaders(x, y))).verdict == "pass"


@pytest.mark.parametrize("pad", [False, True])
def test_lengths_that_tell_the_class(pad):
    x, y = waves(120)
    told = [a[:, :24 + i % 5 + 9 * (label == "fast")] for i, (a, label) in enumerate(zip(x, y, strict=True))]
    not_told = [a[:, :24 + (i // 2) % 15] for i, a in enumerate(x)]
    for series, verdict in ((told, "issue"), (not_told, "pass")):
        made = np.stack([np.pad(a, ((0, 0), (0, 40 - a.shape[1]))) for a in series]) if pad else series
        assert length_leakage(DataProbe(series_loaders(made, y))).verdict == verdict


@pytest.mark.parametrize(("of", "verdict"), [(2, "issue"), (3, "pass")])
def test_missing_values_that_tell_the_class(of, verdict):
    from minifast.timeseries.all import FillSteps
    x, y = waves(120)
    for i in range(0, 120, of):
        x[i][1, 3:5] = np.nan
    assert length_leakage(DataProbe(series_loaders(x, y, fill=FillSteps("zero")))).verdict == verdict


def test_no_lengths_to_tell():
    with pytest.raises(NotApplicable, match="all series are of one length, and none has missing values"):
        length_leakage(DataProbe(series_loaders(*waves(80))))


@pytest.mark.parametrize(("site", "age", "verdict"), [("label", "noise", "issue"), ("noise", "label", "issue"), ("noise", "noise", "pass")])
def test_columns_beside_series(site, age, verdict):
    import pandas as pd

    from minifast.timeseries.all import TSDataLoaders
    r, label = np.random.default_rng(0), np.arange(100) % 2
    columns = {"label": label, "noise": r.integers(0, 2, 100)}
    df = pd.DataFrame({"id": np.repeat(np.arange(100), 12), "t": np.tile(np.arange(12), 100), "a": r.normal(size=1200),
                       "site": np.repeat(np.where(columns[site], "u", "v"), 12), "age": np.repeat(columns[age] + 0.1 * r.random(100), 12),
                       "label": np.repeat(label, 12)})
    dls = TSDataLoaders.from_df(df, ["a"], "label", "id", "t", cat_names=["site"], cont_names=["age"], bs=8)
    assert channel_leakage(DataProbe(dls)).verdict == verdict
