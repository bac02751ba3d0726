"""Parts of dates, whatever their unit and time zone, and days since and until events."""
import numpy as np
import pandas as pd
import pytest
from suggestions import told

from minifast.tabular.dates import add_datepart, add_elapsed_times, epoch_seconds, make_date

STAMPS = ["2024-01-01 00:00:00", "2023-12-31 23:59:59", "1969-12-31 23:59:58", "2024-02-29 12:30:15"]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_elapsed_is_epoch_seconds_in_every_unit(unit):
    dates = pd.Series(pd.to_datetime(STAMPS)).astype(f"datetime64[{unit}]")
    expected = [1704067200, 1704067199, -2, 1709209815]
    assert epoch_seconds(dates).tolist() == expected and epoch_seconds(dates).dtype == np.int64
    assert add_datepart(pd.DataFrame({"date": dates}), "date")["Elapsed"].tolist() == expected


@pytest.mark.parametrize("unit", ["s", "ns"])
def test_time_zones(unit):
    dates = pd.Series(pd.to_datetime(STAMPS)).dt.as_unit(unit).dt.tz_localize("America/New_York")
    out = add_datepart(pd.DataFrame({"when": dates}), "when", time=True)
    assert out["whenElapsed"].tolist() == [d.timestamp() for d in dates]
    assert out["whenHour"].tolist() == [0, 23, 23, 12] and out["whenYear"].tolist() == [2024, 2023, 1969, 2024]      # as on the clock there


def test_parts_are_those_of_pandas():
    df = pd.DataFrame({"saleDate": pd.to_datetime(["2024-02-29 12:30:15", "2023-12-31 00:00:00", "2021-01-03 00:00:00"]), "x": [1, 2, 3]})
    out = add_datepart(df, "saleDate", time=True, inplace=False)
    assert list(out) == ["x", *(f"sale{p}" for p in (
        "Year", "Month", "Week", "Day", "Dayofweek", "Dayofyear", "Is_month_end", "Is_month_start", "Is_quarter_end", "Is_quarter_start",
        "Is_year_end", "Is_year_start", "Hour", "Minute", "Second", "Elapsed"))]
    assert out["saleWeek"].tolist() == [9, 52, 53] and out["saleDayofweek"].tolist() == [3, 6, 6]
    assert out["saleMinute"].tolist() == [30, 0, 0]
    for part in ("Year", "Month", "Day", "Dayofyear", "Is_month_end", "Is_quarter_end", "Is_year_end", "Is_year_start"):
        assert out["sale" + part].tolist() == getattr(df["saleDate"].dt, part.lower().replace("dayof", "day_of_")).tolist()
    assert out["saleYear"].dtype == "int64" and out["saleIs_month_end"].dtype == bool
    assert list(df) == ["saleDate", "x"]                                                        # not changed
    prefixed = add_datepart(df, "saleDate", drop=False, prefix="p_", inplace=False)
    assert "saleDate" in prefixed and "p_Year" in prefixed


def test_the_frame_itself_is_changed_and_returned():
    df = pd.DataFrame({"saleDate": ["2024-02-29", "2023-12-31"], "x": [1, 2]}, index=[5, 9])
    assert add_datepart(df, "saleDate", drop=False) is df and df["saleElapsed"].tolist() == [1709164800, 1703980800]
    assert add_datepart(df, "saleDate") is df and "saleDate" not in df                # again, over what it made itself


def test_text_and_missing_dates():
    out = add_datepart(pd.DataFrame({"date": ["2024-01-01", None, "2024-03-01"]}), "date")
    assert out["Elapsed"].tolist()[::2] == [1704067200, 1709251200] and np.isnan(out["Elapsed"][1])
    assert out["Month"].tolist()[::2] == [1, 3] and np.isnan(out["Month"][1]) and out["Is_month_start"].tolist() == [True, False, True]


def test_dates_that_cannot_be_read():
    with pytest.raises(ValueError, match=r"column 'd' cannot be read as dates, see row 1: .*format="):
        add_datepart(pd.DataFrame({"d": ["2024-01-01", "yesterday"]}), "d")
    with pytest.raises(TypeError, match=r"column 'd' holds int64, not dates.*unit='s'"):
        add_datepart(pd.DataFrame({"d": [1, 2]}), "d")
    with pytest.raises(ValueError, match=r"there is no column 'dat'; did you mean 'date'\?"):
        add_datepart(pd.DataFrame({"date": ["2024-01-01"]}), "dat")
    with pytest.raises(ValueError, match=r"has columns \['Year'\] already; give another prefix="):
        add_datepart(pd.DataFrame({"date": ["2024-01-01"], "Year": [1]}), "date")


def test_make_date():
    df = pd.DataFrame({"date": ["2024-01-01"]})
    assert make_date(df, "date", inplace=False)["date"][0] == pd.Timestamp("2024-01-01") and df["date"][0] == "2024-01-01"
    assert make_date(df, "date") is df and df["date"][0] == pd.Timestamp("2024-01-01")


def test_elapsed_times_by_hand():
    df = pd.DataFrame({"date": pd.to_datetime(["2019-12-04", "2019-11-29", "2019-11-15", "2019-10-24"]),
                       "event": [False, True, False, True],
                       "base": [1, 1, 2, 2]}, index=[7, 7, 3, 1])
    out = add_elapsed_times(df, "event", "date", "base")
    assert out["Afterevent"].tolist() == [5, 0, 22, 0] and out["Beforeevent"].tolist() == [0, 0, 0, 0]
    assert out["event_bw"].tolist() == [1, 1, 1, 1] and out["event_fw"].tolist() == [0, 1, 0, 1]
    read = add_elapsed_times(df.astype({"date": str}), "event", "date", "base")
    assert read.equals(out) and out["date"].equals(df["date"])                       # text becomes dates
    assert list(out.index) == [7, 7, 3, 1] and list(df) == ["date", "event", "base"]
    rows = pd.DataFrame({"d": pd.date_range("2024-01-01", periods=9), "e": [0, 1, 0, 0, 0, 0, 0, 0, 1], "b": ["x"] * 9})
    out = add_elapsed_times(rows.sample(frac=1, random_state=1), ["e"], "d", "b").sort_index()
    assert out["Aftere"].tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 0] and out["Beforee"].tolist() == [-1, 0, -6, -5, -4, -3, -2, -1, 0]
    assert out["e_bw"].tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 1] and out["e_fw"].tolist() == [1, 1, 1, 1, 1, 1, 1, 1, 1]


def test_elapsed_times_refuse():
    df = pd.DataFrame({"d": pd.to_datetime(["2024-01-01", None]), "e": [1, 0], "b": [1, 1]})
    with pytest.raises(ValueError, match=r"'d' has missing dates in rows 1"):
        add_elapsed_times(df, "e", "d", "b")
    with pytest.raises(ValueError, match=r"'e' must hold true and false \(or 1 and 0\); received 3"):
        add_elapsed_times(df.assign(d=pd.Timestamp("2024-01-01"), e=[3, 0]), "e", "d", "b")


def arrow(values, kind):
    pa = pytest.importorskip("pyarrow")
    kinds = {"date": pa.date32(), "time": pa.timestamp("us"), "zone": pa.timestamp("ns", "Europe/Berlin")}
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.array([None if v is pd.NaT else v for v in pd.to_datetime(values)], kinds[kind])))


@pytest.mark.parametrize("kind", ["date", "time", "zone"])
@pytest.mark.parametrize("last", ["2020-02-01", None])
def test_arrow_dates_are_those_of_pandas(kind, last):
    values = ["2020-01-31", "2019-12-30", last]
    plain, column = pd.Series(pd.to_datetime(values)), arrow(values, kind)
    if kind == "zone":
        plain = plain.dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    made, wanted = (add_datepart(pd.DataFrame({"d": o}), "d", time=True) for o in (column, plain))
    assert made.equals(wanted) and make_date(pd.DataFrame({"d": column}), "d")["d"].tolist()[:2] == plain.tolist()[:2]
    table = pd.DataFrame({"d": column, "shop": 1, "promo": pd.Series([True, False, True]).astype("bool[pyarrow]")})
    if last is None:
        with pytest.raises(ValueError, match="'d' has missing dates in rows 2"):
            add_elapsed_times(table, "promo", "d", "shop")
    else:
        assert add_elapsed_times(table, "promo", "d", "shop")["Afterpromo"].tolist() == [0, 0, 0]
        assert add_elapsed_times(table, "promo", "d", "shop")["Beforepromo"].tolist() == [0, -32, 0]


@pytest.mark.parametrize("values", [["2020-01-01T00:00+01:00", "2020-07-01T00:00+02:00"],
                                    [pd.Timestamp("2020-01-01", tz="Europe/Berlin"), pd.Timestamp("2020-07-01", tz="America/New_York")],
                                    [pd.Timestamp("2020-01-01", tz="Europe/Berlin"), pd.Timestamp("2020-07-01")]])
def test_several_utc_offsets_name_the_column(values):
    df = pd.DataFrame({"when": pd.Series(values, dtype=object), "shop": 1, "promo": [True, False]})
    for call in (lambda df: add_datepart(df, "when", inplace=False), lambda df: make_date(df, "when", inplace=False),
                 lambda df: add_elapsed_times(df, "promo", "when", "shop")):
        with pytest.raises(ValueError, match="column 'when' holds dates of several UTC offsets"):
            call(df)
        with told("tabular/dates.py", "Write df[…] = pd.to_datetime(df[…], utc=True) to have them all in UTC"):
            call(df)
        assert len(call(df.assign(when=pd.to_datetime(df["when"], utc=True)))) == 2


def test_durations_are_no_dates():
    for values in (pd.to_timedelta([1, 2], "h"), pd.Series([pd.Timedelta(1, "h")] * 2, dtype=object)):
        with pytest.raises(TypeError, match="column 'd' holds .*, not dates"):
            add_datepart(pd.DataFrame({"d": values}), "d")
