"Rows S110 to S112: windows over series."
import numpy as np
import pandas as pd
import pytest

from minifast.timeseries.all import Scale, SlidingWindows, TSDataLoaders


def rows(n=60, **columns):
    return pd.DataFrame({"time": pd.date_range("2024", periods=n, freq="h"), "y": np.arange(n) * 1.0, **columns})


def test_s110_windows_split_at_random():
    """Windows of a series, split at random into training and validation.

    Elsewhere: they overlap: most rows that are validated were trained on, and the metrics are as good as on the training set.
    Here: an error: "... validation windows have rows that are in training windows ... Split by time with window_splits(windows)"; without
    splits the rows are split by time.
    """
    windows = SlidingWindows(rows(), 6, 2, target="y")
    order = np.random.default_rng(0).permutation(len(windows))
    with pytest.raises(ValueError, match=r"have rows that are in training windows.*Split by time with window_splits\(windows\)"):
        TSDataLoaders.from_windows(windows, splits=(order[10:], order[:10]))
    dls = TSDataLoaders.from_windows(windows)
    train, valid = (d.windows.rows_of(d.indices) for d in (dls.train_ds, dls.valid_ds))
    assert valid.any() and not (train & valid).any()


def test_s111_windows_over_gaps():
    """Windows over a series with missing hours, whose rows come in any order.

    Elsewhere: windows are so many neighbouring rows: hours that lie a day apart follow each other, and a frame that is not sorted gives
    windows of rows at random.
    Here: rows are sorted by series and time; a gap is an error, with where it is and how long: "1 gap with 3 missing steps".
    """
    df = rows().drop(index=[20, 21, 22]).sample(frac=1, random_state=0)
    with pytest.raises(ValueError, match=r"1 gap with 3 missing steps.*2024-01-01 20:00:00 \(3\).*gaps='split'"):
        SlidingWindows(df, 6, 2, target="y")
    windows = SlidingWindows(df, 6, 2, target="y", gaps="split")
    x, y = windows.read(np.arange(len(windows)))
    assert len(windows) == 13 + 30 and (x.diff() == 1).all() and (y[:, 0, 0] == x[:, 0, -1] + 1).all()


def test_s112_series_scaled_by_their_future():
    """Scaling a series before it is cut into windows for training and validation.

    Elsewhere: mean and spread are those of all rows: training knows the level that comes, and the metrics are better than in use.
    Here: the model of a forecast holds the mean and the spread of the training rows alone, and gives forecasts in the units of the data.
    """
    scales = []
    for future in (0.0, 1e6):
        df = rows()
        df.loc[48:, "y"] = future
        dls = TSDataLoaders.from_windows(SlidingWindows(df, 6, 2, target="y"), n_valid=12)
        scales.append(Scale.of(dls.train_ds))
    assert scales[0].mean.equal(scales[1].mean) and scales[0].std.equal(scales[1].std) and scales[0].mean.item() == pytest.approx(23.5)
