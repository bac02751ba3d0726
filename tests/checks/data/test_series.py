"""Channels, lengths and padding of series, as `dls.check()` sees them."""
import numpy as np
import pytest
from zoo_series import sales, series_loaders, standardised, waves, window_loaders, windows

from minifast.checks.data.batches import normalised_inputs
from minifast.checks.data.probe import DataProbe
from minifast.checks.data.series import channel_scales, constant_channels, padded_by_hand, series_lengths
from minifast.checks.outcomes import NotApplicable


def test_constant_channels():
    x, y = waves(80, 3)
    assert constant_channels(DataProbe(series_loaders(x, y))).verdict == "pass"
    for a in x:
        a[2] = 7
    found = constant_channels(DataProbe(series_loaders(x, y)))
    assert found.verdict == "tip" and found.items == ["channel 2"]
    x[-1][2, 5] = 8
    found = constant_channels(DataProbe(series_loaders(x, y)))
    assert found.verdict == "issue" and "7, and others in validation, 7 to 8" in found.found


def test_a_mask_of_nothing_missing_is_no_constant_channel():
    from minifast.timeseries.all import FillSteps
    x, y = waves(40)
    assert constant_channels(DataProbe(series_loaders(x, y, fill=FillSteps(add_mask=True)))).verdict == "pass"


def test_constant_columns_of_windows_are_named():
    df = sales().assign(holiday=0.0)
    found = constant_channels(DataProbe(window_loaders(windows(df, known=["promo", "holiday"]))))
    assert found.verdict == "tip" and found.items == ["'holiday'"]


@pytest.mark.parametrize(("factor", "verdict"), [(1, "pass"), (100, "tip"), (5000, "issue")])
def test_channel_scales(factor, verdict):
    x, y = waves(80, shortest=20)
    x = [a * np.array([[factor], [1]], np.float32) for a in x]
    assert channel_scales(DataProbe(series_loaders(x, y))).verdict == verdict
    assert channel_scales(DataProbe(series_loaders(x, y, batch_tfms=standardised()))).verdict == "pass"


def test_marks_of_0_and_1_may_be_rare():
    x, y = waves(80)
    for i, a in enumerate(x):
        a[1] = 0
        a[1, 0] = i == 5
    with pytest.raises(NotApplicable, match="fewer than two channels vary"):
        channel_scales(DataProbe(series_loaders(x, y)))


def test_normalisation_does_not_count_padding():
    x, y = waves(80, shortest=10)
    found = normalised_inputs(DataProbe(series_loaders(x, y)))
    assert found.verdict == "pass" and np.isfinite(found.evidence["mean"]) and np.isfinite(found.evidence["channel_stds"]).all()
    found = normalised_inputs(DataProbe(series_loaders([100 + 50 * a for a in x], y)))
    assert found.verdict == "issue" and found.advice == "standardise them: batch_tfms=TSStandardize()"


def test_lengths_are_told():
    x, y = waves(80, shortest=20)
    found = series_lengths(DataProbe(series_loaders(x, y)))
    assert found.verdict == "pass" and "training: 60 series of 20 to 40 steps" in found.found


@pytest.mark.parametrize(("max_len", "verdict"), [(10, "issue"), (36, "tip"), (40, "pass")])
def test_what_max_len_cuts(max_len, verdict):
    x, y = waves(80, shortest=20)
    found = series_lengths(DataProbe(series_loaders(x, y, max_len=max_len)))
    assert found.verdict == verdict, found
    if verdict != "pass":           # what it says to write works
        p95 = int(found.advice.split()[0].removeprefix("max_len="))
        assert series_lengths(DataProbe(series_loaders(x, y, max_len=p95))).verdict == "pass"


def test_batches_that_are_mostly_padding():
    x, y = waves(64)
    x = [a if i == 0 else a[:, :6] for i, a in enumerate(x)]
    assert "the rest is padding" in series_lengths(DataProbe(series_loaders(x, y, bs=48, shuffle=False))).found


@pytest.mark.parametrize(("value", "found"), [(0, True), (-1, True), (None, False)])
def test_padding_by_hand(value, found):
    x, y = waves(80, shortest=20)
    x = np.stack([np.pad(a, ((0, 0), (0, 40 - a.shape[1])), constant_values=float(a[0, -1]) if value is None else value) for a in x])
    assert (padded_by_hand(DataProbe(series_loaders(x, y))) is not None) == found           # a sensor at rest has a value of its own
