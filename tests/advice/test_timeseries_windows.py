"What the messages about times and windows of `minifast.timeseries` say to write."
import numpy as np
import pandas as pd
import pytest
import torch
from suggestions import told

from minifast.timeseries.all import *


def rows(times=range(24), ids="a", **columns):
    "One row per series and time; the series have different values."
    parts = [pd.DataFrame({"id": name, "time": times, "v": 100.0 * i + np.arange(len(times))}) for i, name in enumerate(ids)]
    return pd.concat(parts, ignore_index=True).assign(**columns)


def windows(df=None, window=3, horizon=2, **options):
    return SlidingWindows(rows() if df is None else df, window, horizon, **{"by": "id", "target": "v"} | options)


def classified(df=None, window=3, **options):
    return SlidingWindows(rows(kind=list("x" * 12 + "y" * 12)) if df is None else df, window, **{"label": "kind", "past": "v"} | options)


def clock(*hours):
    "Times of a clock without a zone."
    return pd.to_datetime(list(hours))


# -- times
def test_the_step_of_time():
    days = pd.to_datetime(["2024-01-01"])
    for times, freq in ((days, "D"), ([7], 1)):
        with told("timeseries/timestamps.py", "so the step is unknown: give it, such as freq="):
            time_axis(rows(times, "ab"), "time", "id")
        assert time_axis(rows(times, "ab"), "time", "id", freq=freq).freq.name == freq
    with told("timeseries/timestamps.py", "timestamps: write freq='D', for instance"):
        windows(rows(pd.date_range("2024", periods=24)), freq=1)
    windows(rows(pd.date_range("2024", periods=24)), freq='D')
    with told("timeseries/timestamps.py", "whole numbers: write freq=1"):
        windows(freq="D")
    windows(freq=1)


def test_irregular_times():
    times = pd.date_range("2024", periods=24, freq="h").to_list()
    times[5] += pd.Timedelta("20min")
    df = rows(times)
    with told("timeseries/timestamps.py", "Give another freq=, or make regular times, df = resample(df, freq=…, time=…, ...)"):
        windows(df)
    assert len(windows(df, freq="20min", gaps="forward")) == 23 * 3 + 1 - 5 + 1
    df = resample(df, freq='h', time='time', by="id")
    assert len(windows(df)) == 20


def test_times_that_come_twice_and_gaps():
    df = pd.concat([rows(), rows(range(2))])
    with told("timeseries/timestamps.py", "Write duplicates='mean', 'first' or 'last'"):
        windows(df)
    assert {len(windows(df, duplicates=how)) for how in ('mean', 'first', 'last')} == {20}
    both = rows(ids="ab")
    with told("timeseries/timestamps.py", "or by=, the column that names the series"):
        windows(both, by=None)
    assert len(windows(both, by="id")) == 40
    local = rows(pd.date_range("2024-10-26 20:00", periods=24, freq="h", tz="Europe/Berlin").tz_localize(None))
    with told("timeseries/timestamps.py", "where daylight saving repeats an hour, tz='Europe/Berlin' or another time zone"):
        windows(local)
    assert len(windows(local, tz='Europe/Berlin')) == 20
    workdays = rows(pd.bdate_range("2024-01-01", periods=24))
    with told("timeseries/timestamps.py", "or freq='B', there is no row on a weekend"):
        windows(workdays)
    assert len(windows(workdays, freq='B')) == 20
    df = rows().drop(index=[8, 9])
    with told("timeseries/timestamps.py", "Write gaps='split' (no window crosses one), or fill them: gaps='forward', 'linear' or 'zero'"):
        windows(df)
    assert len(windows(df, gaps='split')) == 4 + 10 and {len(windows(df, gaps=how)) for how in ('forward', 'linear', 'zero')} == {20}
    df = rows()
    df.loc[8, "v"] = np.nan
    with told("timeseries/windows.py", "Write gaps='split' (no window crosses one), or fill them: gaps='forward', 'linear' or 'zero'"):
        windows(df)
    assert len(windows(df, gaps='split')) == 4 + 11 and {len(windows(df, gaps=how)) for how in ('forward', 'linear', 'zero')} == {20}


def test_rows_without_a_time_or_a_series():
    df = rows().astype({"time": float})
    df.loc[23, "time"] = np.nan
    with told("timeseries/timestamps.py", "fill them in, or leave them out, df.dropna(subset=[…])"):
        windows(df)
    windows(df.dropna(subset=['time']))
    df.loc[23, "time"] = np.inf
    with told("timeseries/timestamps.py", "fill them in, or leave them out, df[np.isfinite(df[…])]"):
        windows(df)
    windows(df[np.isfinite(df['time'])])
    df = rows(ids="ab")
    df.loc[47, "id"] = None
    with told("timeseries/timestamps.py", "which series they belong to: fill them in, or leave them out, df.dropna(subset=[…])"):
        windows(df)
    windows(df.dropna(subset=['id']))
    df = rows().set_index("time")
    with told("timeseries/timestamps.py", "It is in the index: write df = df.reset_index()."):
        windows(df)
    df = df.reset_index()
    windows(df)


def test_numbers_and_text_as_times():
    df = rows(np.arange(24) / 2)
    with told("timeseries/timestamps.py", "whole numbers, or make timestamps of seconds, pd.to_datetime(df[...], unit='s')"):
        windows(df)
    assert windows(df.assign(time=pd.to_datetime(df["time"], unit='s'))).freq == Frequency.of("500ms")
    windows(df.assign(time=(2 * df["time"]).astype(int)))
    df = rows(np.arange(24) * 3600)
    with told("timeseries/timestamps.py", "Leave it out, or make timestamps of seconds, pd.to_datetime(df[...], unit='s', utc=True)"):
        windows(df, tz="Europe/Berlin")
    assert windows(df).freq.name == 3600
    assert windows(df.assign(time=pd.to_datetime(df["time"], unit='s', utc=True)), tz="Europe/Berlin").freq.name == "h"
    df = rows(pd.date_range("2024-01-25", periods=24).strftime("%d/%m/%Y"))
    with told("timeseries/timestamps.py", "make timestamps of them first, df[...] = pd.to_datetime(df[...], format='%d/%m/%Y')"):
        windows(df)
    df["time"] = pd.to_datetime(df["time"], format='%d/%m/%Y')
    assert windows(df).freq.name == "D"


def test_time_zones():
    df = rows(clock("2024-03-31 01:30", "2024-03-31 02:30", "2024-03-31 03:30"))
    with told("timeseries/timestamps.py", "Write the name of a time zone, such as 'Europe/Berlin'"):
        time_axis(df, "time", tz="Berlin")
    time_axis(df.drop(index=1), "time", tz='Europe/Berlin')
    utc = rows(pd.date_range("2024", periods=24, freq="h", tz="UTC"))
    with told("timeseries/timestamps.py", "Write the name of a time zone, such as 'Europe/Berlin'"):
        windows(utc, tz="Berlin")
    windows(utc, tz='Europe/Berlin')
    with told("timeseries/timestamps.py", "Where the times are in UTC, write pd.to_datetime(df[...], utc=True)"):
        time_axis(df, "time", tz="Europe/Berlin")
    assert time_axis(df.assign(time=pd.to_datetime(df["time"], utc=True)), "time", tz="Europe/Berlin").times[0].hour == 3


def test_the_hour_that_comes_twice():
    df = rows(clock("2024-10-27 01:00", "2024-10-27 02:00", "2024-10-27 04:00"))
    with told("timeseries/timestamps.py", "give times in UTC, pd.to_datetime(df[...], utc=True), or text with the offset"):
        time_axis(df, "time", tz="Europe/Berlin")
    time_axis(df.assign(time=pd.to_datetime(df["time"], utc=True)), "time", tz="Europe/Berlin")
    time_axis(df.assign(time=["2024-10-27T01:00+02:00", "2024-10-27T02:00+01:00", "2024-10-27T04:00+01:00"]), "time", tz="Europe/Berlin")
    df = rows(pd.date_range("2024-10-27", periods=6, freq="h", tz="Europe/Berlin").tz_localize(None)[[4, 2, 0, 3, 1, 5]])
    with told("timeseries/timestamps.py", "Give the rows in order of time, or times in UTC, pd.to_datetime(df[...], utc=True)"):
        windows(df, tz="Europe/Berlin", window=2)
    assert len(windows(df.sort_values("time", kind="stable"), tz="Europe/Berlin", window=2)) == 3
    utc = pd.date_range("2024-10-26 22:00", periods=6, freq="h")[[4, 2, 0, 3, 1, 5]]
    assert len(windows(df.assign(time=pd.to_datetime(utc, utc=True)), tz="Europe/Berlin", window=2)) == 3


# -- windows
def test_what_windows_are_for():
    with told("timeseries/windows.py", "give the channels as past=, or leave out label="):
        SlidingWindows(rows(kind="x"), 3, label="kind", target="v")
    SlidingWindows(rows(kind="x"), 3, label="kind", past="v")
    with told("timeseries/windows.py", "write horizon=, how many steps to predict"):
        SlidingWindows(rows(kind="x"), 3, target="v")
    SlidingWindows(rows(kind="x"), 3, target="v", horizon=2)
    with told("timeseries/windows.py", "write target=, the column(s) to predict"):
        SlidingWindows(rows(), 3, horizon=2)
    SlidingWindows(rows(), 3, horizon=2, target="v")
    with told("timeseries/windows.py", "write target= and horizon= to forecast, or label= to classify windows"):
        SlidingWindows(rows(kind="x"), 3)
    SlidingWindows(rows(kind="x"), 3, target="v", horizon=1)
    SlidingWindows(rows(kind="x"), 3, label="kind")
    df = rows(y=np.arange(24) / 7)
    with told("timeseries/window_columns.py", "To predict numbers that come after a window write target=…, horizon=1"):
        SlidingWindows(df, 3, label="y")
    SlidingWindows(df, 3, target='y', horizon=1)


def test_windows_that_are_too_long():
    with told("timeseries/windows.py", "no window. Give more rows, or make windows with a smaller window="):
        windows(window=23)
    assert len(windows(window=22)) == len(windows(window=23, horizon=1)) == len(windows(rows(range(25)), window=23)) == 1
    with told("timeseries/windows.py", "no window. Give more rows, or make windows with a smaller window="):
        classified(window=25)
    classified(window=12)
    learn = ts_forecaster(TSDataLoaders.from_windows(windows(), bs=4), Naive)
    for use in (lambda df: learn.forecast(df=df), learn.dls.test_dl):
        with told("timeseries/windows.py", "no window. Give more rows, or make windows with a smaller window="):
            use(rows(range(2)))
        assert len(use(rows(range(3))))
    with told("timeseries/windows.py", "one label throughout. Write a smaller window=, or labelling='last' or 'most'"):
        classified(window=13)
    assert {len(classified(window=13, labelling=how)) for how in ('last', 'most')} == {12} and len(classified(window=12)) == 2
    df = rows(kind=["x", "y"] + [None] * 22)
    with told("timeseries/windows.py", "a label in its last row. Write a smaller window=, or labelling='most'"):
        classified(df, labelling="last")
    assert len(classified(df, 2, labelling="last")) == 1 and len(classified(df, labelling='most')) == 2
    df = rows(list(range(4)) + [5, *range(7, 26)], kind=[None] * 4 + ["x"] + [None] * 19)
    with told("timeseries/windows.py", "a label. Write a smaller window=, or put labels into more rows"):
        classified(df, labelling="most", gaps="split")
    assert len(classified(df, 1, labelling="most", gaps="split")) == 1
    assert len(classified(df.fillna({"kind": "x"}), labelling="most", gaps="split")) == 19


def test_columns_without_numbers():
    df = rows().astype({"v": str})
    with told("timeseries/window_columns.py", "of text that shows some, pd.to_numeric(df[…], errors='coerce')"):
        windows(df)
    windows(df.assign(v=pd.to_numeric(df['v'], errors='coerce')))
    df = rows(shop=list("xyz") * 8)
    with told("timeseries/window_columns.py", "of categories a column of 0 and 1 for each, pd.get_dummies(df, columns=[…])"):
        windows(df, past="shop")
    windows(pd.get_dummies(df, columns=['shop']), past=["shop_x", "shop_y", "shop_z"])
    df = rows()
    df.loc[8, "v"] = -np.inf
    with told("timeseries/window_columns.py", "holds infinite values: write df = df.replace([np.inf, -np.inf], np.nan), and "):
        windows(df)
    with told("timeseries/window_columns.py", "gaps='split' or how to fill them"):
        windows(df)
    df = df.replace([np.inf, -np.inf], np.nan)
    assert len(windows(df, gaps='split')) == 15 and len(windows(df, gaps='linear')) == 20


def test_known_columns():
    df = rows(sale=[0, 1] * 12)
    learn = ts_forecaster(TSDataLoaders.from_windows(windows(df, known="sale"), n_valid=8, bs=4))
    with told("timeseries/windows.py", "write learn.forecast(df=df, known=future), with a frame of them"):
        learn.predict(df)
    future = rows(range(24, 26), sale=1).drop(columns="v")
    assert len(learn.forecast(df=df, known=future)) == 2


# -- splits
def test_splits_that_leave_nothing():
    w = windows(rows(range(20)), 4)
    with told("timeseries/window_splits.py", "Write …a smaller …, or another …="):
        window_splits(w, gap=1)
    for found in (window_splits(w, gap=1, history=True), window_splits(windows(rows(range(14)), 1, 1), gap=1),
                  window_splits(w, gap=1, valid_pct=0.5)):
        assert all(map(len, found))
    w = windows(stride=30)
    with told("timeseries/window_splits.py", "Write …a smaller …, or another …="):
        window_splits(w)
    assert all(map(len, window_splits(windows(stride=2))))


def test_walking_forward():
    w = windows(rows(range(40)), 4)
    with told("timeseries/window_splits.py", "with what comes after it. Write "):
        walk_forward_splits(w, k=8)
    assert len(walk_forward_splits(w, k=5)) == 5 and len(walk_forward_splits(w, k=8, history=True)) == 8
    with told("timeseries/window_splits.py", "with what comes after it. Write "):
        walk_forward_splits(w, k=3, n_valid=4)
    assert len(walk_forward_splits(w, k=3, n_valid=8)) == len(walk_forward_splits(w, k=3, n_valid=4, history=True)) == 3


def test_where_to_cut():
    w = windows(rows(pd.date_range("2024-01-01", periods=24), "ab"))
    with told("timeseries/window_splits.py", "timestamps: write one, such as cutoff=…"):
        window_splits(w, cutoff=12)
    assert all(map(len, window_splits(w, cutoff='2024-01-13 00:00:00')))
    with told("timeseries/window_splits.py", "the times of these series have none: write cutoff=…"):
        window_splits(w, cutoff="2024-01-13 00:00+01:00")
    assert all(map(len, window_splits(w, cutoff='2024-01-13 00:00:00')))
    with told("timeseries/window_splits.py", "whole numbers: write one, such as cutoff=…"):
        window_splits(windows(rows(ids="ab")), cutoff="2024-01-13")
    assert all(map(len, window_splits(windows(rows(ids="ab")), cutoff=12)))


def test_splits_that_share_rows():
    w = windows()
    splits = np.arange(15), np.arange(15, 20)
    with told("timeseries/window_splits.py", "Split by time with window_splits(windows)"):
        TSDataLoaders.from_windows(w, splits=splits, bs=4)
    TSDataLoaders.from_windows(w, splits=window_splits(w), bs=4)
    with told("timeseries/window_loader.py", "says which windows are for validation, and so does …: give one of them"):
        TSDataLoaders.from_windows(w, splits=window_splits(w), valid_pct=0.3)
    TSDataLoaders.from_windows(w, splits=window_splits(w), bs=4)
    TSDataLoaders.from_windows(w, valid_pct=0.3, bs=4)


# -- learners
def test_tta_and_mase():
    w = windows(rows(range(40)))
    learn = ts_forecaster(TSDataLoaders.from_windows(w, bs=8), Naive, metrics=MASE())
    with told("timeseries/window_loader.py", "Add one, such as `batch_tfms=[Jitter()]`, or use get_preds()"):
        learn.tta()
    learn.get_preds()
    ts_forecaster(TSDataLoaders.from_windows(w, bs=8, batch_tfms=[Jitter()]), Naive).tta()
    new = rows(range(24), "z")
    with told("timeseries/window_set.py", "Leave it out, metrics=[mae], or write mase(pred, target, history, season)"):
        learn.validate(dl=learn.dls.test_dl(new, with_labels=True))
    learn = ts_forecaster(learn.dls, Naive, metrics=[mae])
    learn.validate(dl=learn.dls.test_dl(new, with_labels=True))
    pred, target = learn.get_preds(dl=learn.dls.test_dl(new[10:], with_labels=True))
    history = torch.arange(10.0).expand(len(pred), 1, 10)
    assert mase(pred, target, history, 1) == pytest.approx(1.5)
