"Rows S118 to S120: times and values that mean something else than they seem to."
import numpy as np
import pandas as pd
import pytest

from minifast.timeseries.forecasting.learner import ts_forecaster
from minifast.timeseries.loaders import TSDataLoaders
from minifast.timeseries.timestamps import time_axis
from minifast.timeseries.windows import SlidingWindows


def test_s118_masked_values_are_read():
    """Series come as a masked array of numpy, whose invalid values are masked.

    Elsewhere: the mask is dropped on the way to a tensor, and the fillers below it, -999 or zero, are trained on as values.
    Here: masked values are missing ones: they are counted, placed and refused, "X has 1 missing values (NaN)", or filled as told.
    """
    x = np.ma.masked_equal(np.where(np.arange(60).reshape(10, 1, 6) == 33, -999.0, 1.0), -999.0)
    with pytest.raises(ValueError, match=r"1 missing values \(NaN\) in 1 series, at \[sample, channel, step\] \[5, 0, 3\]"):
        TSDataLoaders.from_array(x, list("ab" * 5))


def test_s119_an_hour_that_comes_twice_in_rows_of_no_order():
    """Times of a local clock are given a time zone, in rows that were shuffled; daylight saving ends among them.

    Elsewhere: of the two rows at 02:00 one is called the earlier, by chance, and two values of the series are exchanged.
    Here: rows in order tell which is which, and others are refused: "the rows are in no order that says which of the two is which".
    """
    hours = pd.date_range("2024-10-26 20:00", periods=8, freq="h", tz="UTC").tz_convert("Europe/Berlin").tz_localize(None)
    df = pd.DataFrame({"time": hours, "v": range(8)})
    assert df.iloc[time_axis(df, "time", tz="Europe/Berlin").order]["v"].tolist() == list(range(8))
    with pytest.raises(ValueError, match="the rows are in no order that says which of the two is which"):
        time_axis(df[::-1], "time", tz="Europe/Berlin")


def test_s120_what_is_known_of_the_future_is_of_another_clock():
    """A forecast reads known values, such as prices of each hour, whose times have a time zone; those of the series have none.

    Elsewhere: times are compared as they stand in memory, in UTC: the known values are those of other hours.
    Here: "the times in 'time' have the zone Asia/Tokyo, those of the series none, so that it is not known which belong together".
    """
    df = pd.DataFrame({"time": pd.date_range("2024-01-01", periods=60, freq="h"), "v": np.arange(60.0), "price": np.arange(60) % 24})
    dls = TSDataLoaders.from_windows(SlidingWindows(df[:40], 6, 2, target="v", known="price"), bs=8, n_valid=10)
    with pytest.raises(ValueError, match="have the zone Asia/Tokyo, those of the series none"):
        ts_forecaster(dls).forecast(known=df.assign(time=df["time"].dt.tz_localize("Asia/Tokyo")))
