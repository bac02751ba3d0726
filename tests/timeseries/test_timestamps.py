"""The time axis: any order of rows, steps in UTC or on the calendar, duplicates and gaps with id, time and count."""
import numpy as np
import pandas as pd
import pytest

from minifast.timeseries.frequency import Frequency, inferred
from minifast.timeseries.timestamps import read_times, refuse_irregular, resample, time_axis


def frame(times, **columns):
    return pd.DataFrame({"t": times, **columns})


@pytest.mark.parametrize(("times", "name", "later"), [
    (["1949-01", "1949-02", "1949-03"], "MS", "1949-05-01"),
    (pd.date_range("2024-01-31", periods=4, freq=pd.offsets.MonthEnd()), pd.offsets.MonthEnd().freqstr, "2024-06-30"),
    (pd.date_range("2023-01-01", periods=5, freq=pd.offsets.QuarterBegin(startingMonth=1)), "3MS", "2024-07-01"),
    (pd.date_range("2000-06-15", periods=3, freq=pd.DateOffset(years=1)), "12MS", "2004-06-15"),
    (pd.date_range("2024-01-01", periods=4, freq="7D"), "7D", "2024-02-05"),
    (pd.date_range("2024-01-01 09:00", periods=4, freq="15min"), "15min", "2024-01-01 10:15"),
    ([3, 5, 7], 2, 11), (pd.period_range("2024-01", periods=3, freq="M"), "MS", "2024-05-01")])
def test_the_step_is_found_and_the_times_after(times, name, later):
    axis = time_axis(frame(times), "t")
    assert axis.freq.name == name and Frequency.of(name) == axis.freq
    assert np.diff(axis.steps).tolist() == [1] * (len(times) - 1) and not axis.off_grid.any()
    assert axis.freq.later(axis.times[-1:], 2)[0] == (later if isinstance(later, int) else pd.Timestamp(later))


def test_the_order_of_the_rows_and_the_index_do_not_matter():
    df = frame(pd.date_range("2024-01-01", periods=6).tolist() * 2, s=["b"] * 6 + ["a"] * 6, v=np.arange(12.0))
    mixed = df.sample(frac=1, random_state=1).set_index(pd.Index(np.zeros(12)))
    axis = time_axis(mixed, "t", "s")
    ordered = mixed.iloc[axis.order]
    assert [axis.ids[i] for i in axis.series] == ordered["s"].tolist()
    for name in "ab":
        assert ordered[ordered["s"] == name]["v"].tolist() == df[df["s"] == name]["v"].tolist()


def test_duplicates_and_gaps_are_named_with_id_time_and_count():
    days = pd.date_range("2024-01-01", periods=10)
    df = pd.concat([frame(days.delete([4, 5]), s="a"), frame(days.append(days[[2, 2]]), s="b")])
    axis = time_axis(df, "t", "s")
    assert axis.duplicates.to_dict("records") == [{"id": "b", "time": days[2], "count": 3}]
    assert axis.gaps.to_dict("records") == [{"id": "a", "time": days[4], "count": 2}]
    with pytest.raises(ValueError, match=r"1 time with more than one row: 'b' at 2024-01-03 00:00:00 \(3\)\. Write duplicates='mean'"):
        refuse_irregular(axis, "t", "X")
    with pytest.raises(ValueError, match=r"1 gap with 2 missing steps of freq='D': 'a' at 2024-01-05 00:00:00 \(2\)\. Write gaps='split'"):
        refuse_irregular(axis, "t", "X", duplicates=False)


def test_weekends_are_no_gaps_of_business_days():
    df = frame(pd.bdate_range("2024-01-01", periods=12))
    with pytest.raises(ValueError, match="or freq='B', there is no row on a weekend"):
        refuse_irregular(time_axis(df, "t"), "t", "X")
    axis = time_axis(df, "t", freq="B")
    refuse_irregular(axis, "t", "X")
    assert axis.freq.later(axis.times[4:5], 1)[0] == pd.Timestamp("2024-01-08")
    assert time_axis(frame([*df["t"], pd.Timestamp("2024-01-06")]), "t", freq="B").off_grid.sum() == 1


def test_irregular_times_are_refused_and_resampled():
    times = pd.Timestamp("2024-01-01") + pd.to_timedelta([0, 60, 120, 133, 180, 300], "min")
    df = frame(times, v=[1.0, 2, 3, 5, 6, 8], kind=list("xxxyyy"))
    axis = time_axis(df, "t")
    with pytest.raises(ValueError, match=r"1 of 6 rows are irregular.* at 2024-01-01 02:13:00\. .*df = resample\(df, freq='h', time='t'"):
        refuse_irregular(axis, "t", "X")
    made = resample(df, freq="h", time="t")
    refuse_irregular(time_axis(made, "t"), "t", "X")
    assert made["v"].tolist()[:4] == [1, 2, 4, 6] and np.isnan(made["v"][4]) and made["v"][5] == 8 and made["kind"][2] == "y"
    assert resample(df, "h", "t", how="sum", fill="linear")["v"].tolist() == [1, 2, 8, 6, 7, 8]
    assert resample(df, "h", "t", fill="forward")["v"].tolist() == [1, 2, 4, 6, 6, 8]
    assert resample(df, "h", "t", fill="zero")["v"][4] == 0


def test_resample_keeps_series_apart():
    df = frame([1, 3, 10, 12], s=["a", "a", "b", "b"], v=[1.0, 3, 5, 7])
    made = resample(df, 1, "t", "s", fill="linear")
    assert made.to_dict("list") == {"s": list("aaabbb"), "t": [1, 2, 3, 10, 11, 12], "v": [1, 2, 3, 5, 6, 7]}


@pytest.mark.parametrize("aware", [True, False])
def test_daylight_saving_goes_through_utc(aware):
    "Hours in Berlin over both changes: 02:00 is left out in March, and comes twice in October."
    for day in ("2024-03-30", "2024-10-26"):
        times = pd.date_range(day, periods=48, freq="h", tz="Europe/Berlin")
        df = frame(times if aware else times.tz_localize(None))
        axis = time_axis(df, "t", tz=None if aware else "Europe/Berlin")
        refuse_irregular(axis, "t", "X")
        assert axis.freq.name == "h" and axis.times.tz is not None and list(axis.times) == list(times)
        assert axis.freq.later(axis.times[:1], 47)[0] == times[-1]
    local = frame(pd.date_range("2024-10-26", periods=48, freq="h", tz="Europe/Berlin").tz_localize(None))
    with pytest.raises(ValueError, match="where daylight saving repeats an hour, tz='Europe/Berlin'"):
        refuse_irregular(time_axis(local, "t"), "t", "X")


def test_days_are_counted_on_the_clock():
    times = pd.date_range("2024-03-29 09:00", periods=5, freq="D", tz="Europe/Berlin")
    axis = time_axis(frame(times), "t")
    assert axis.freq.name == "D" and np.diff(axis.steps).tolist() == [1] * 4
    later = axis.freq.later(axis.times[1:2].repeat(2), [1, 2])
    assert [str(t) for t in later] == ["2024-03-31 09:00:00+02:00", "2024-04-01 09:00:00+02:00"]


def test_an_hour_that_cannot_be_told_or_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="1 time in 't' come twice there.*give times in UTC"):
        read_times(pd.Series(pd.to_datetime(["2024-10-27 01:00", "2024-10-27 02:00", "2024-10-27 04:00"])), "t", "Europe/Berlin")
    with pytest.raises(ValueError, match="1 time in 't' do not exist there, because daylight saving begins: 2024-03-31 02:30:00"):
        read_times(pd.Series(pd.to_datetime(["2024-03-31 02:30"])), "t", "Europe/Berlin")
    for utc in (False, True):                               # with a zone too
        with pytest.raises(ValueError, match="^tz='Berlin': .*Berlin.*Write the name of a time zone"):
            read_times(pd.Series(pd.to_datetime(["2024-03-31 02:30"], utc=utc)), "t", "Berlin")


def test_text_with_offsets_is_one_axis():
    axis = time_axis(frame(["2024-03-31T01:00+01:00", "2024-03-31T03:00+02:00", "2024-03-31T04:00+02:00"]), "t")
    assert axis.freq.name == "h" and np.diff(axis.steps).tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"with a time zone \(1\) and without one \(1\)"):
        time_axis(frame(["2024-03-31T01:00+01:00", "2024-03-31T03:00"]), "t")


@pytest.mark.parametrize(("times", "error", "told"), [
    (["01/02/2024", "02/02/2024"], ValueError, "may be read in several ways: make timestamps.*format='%d/%m/%Y'"),
    ([1.0, 1.5], ValueError, "holds fractions, such as 1.5"), ([True, False], TypeError, "True and False"),
    (["2024-01-01", None], ValueError, r"no time in 1 row, first at positions \[1\]: .*dropna\(subset=\['t'\]\)"),
    ([object(), object()], TypeError, "holds no times"), ([1, 1], ValueError, r"no series has two different times.*freq=1$"),
    (["2024-01-99", "2024-01-02"], TypeError, "holds no times: the text '2024-01-99'|holds no times")])
def test_what_is_no_time_is_refused(times, error, told):
    with pytest.raises(error, match=told):
        time_axis(frame(times), "t")


def test_frequencies_that_do_not_go_with_the_times_are_refused():
    with pytest.raises(ValueError, match="freq=1 does not go with the column 't', which holds timestamps: write freq='D'"):
        time_axis(frame(pd.date_range("2024", periods=3)), "t", freq=1)
    with pytest.raises(ValueError, match="freq='D' does not go with the column 't', which holds whole numbers: write freq=1"):
        time_axis(frame([1, 2]), "t", freq="D")
    with pytest.raises(ValueError, match="freq='fortnight': a step of time, such as '30min'"):
        time_axis(frame([1, 2]), "t", freq="fortnight")
    with pytest.raises(ValueError, match="whole numbers, which have no time zone"):
        time_axis(frame([1, 2]), "t", tz="UTC")
    for freq in ("30min", "h", "D", "W", "B", "MS", "QS", "YS", 3):             # those that the message names
        assert Frequency.of(freq) == Frequency.of(Frequency.of(freq).name)


def test_a_column_that_is_not_there_may_be_in_the_index():
    df = frame([1, 2]).set_index("t")
    with pytest.raises(KeyError, match=r"no column 't'.*It is in the index: write df = df.reset_index\(\)"):
        time_axis(df, "t")
    assert len(time_axis(df.reset_index(), "t").steps) == 2
    with pytest.raises(ValueError, match=r"the column 's' has no value in 1 row, first at positions \[1\].*dropna\(subset=\['s'\]\)"):
        time_axis(frame([1, 2], s=["a", None]), "t", "s")


def test_nothing_to_infer():
    assert inferred(pd.Index([1, 1]), np.array([0, 1])) is None


def test_infinite_times_are_refused():
    df = frame([0.0, 1.0, np.inf, 3.0])
    with pytest.raises(ValueError, match=r"holds infinite times, first at positions \[2\].*df\[np.isfinite\(df\['t'\]\)\]"):
        time_axis(df, "t")
    assert time_axis(df[np.isfinite(df["t"])], "t").times.tolist() == [0, 1, 3]


def test_an_hour_that_comes_twice_needs_rows_in_order():
    hours = pd.date_range("2024-10-26 20:00", periods=16, freq="30min", tz="UTC").tz_convert("Europe/Berlin")
    df = frame(hours.tz_localize(None), v=np.arange(16))
    for one in (df, df.sort_values("t", kind="stable")):            # in order of time, or of the clock
        axis = time_axis(one, "t", tz="Europe/Berlin")
        assert one.iloc[axis.order]["v"].tolist() == list(range(16))
    with pytest.raises(ValueError, match="the rows are in no order that says which of the two is which.*utc=True"):
        time_axis(df[::-1], "t", tz="Europe/Berlin")
    utc = frame(pd.to_datetime(hours.tz_convert("UTC").tz_localize(None), utc=True), v=np.arange(16))[::-1]
    assert utc.iloc[time_axis(utc, "t", tz="Europe/Berlin").order]["v"].tolist() == list(range(16))


def test_months_whose_day_differs_between_series_or_is_cut_off():
    first = pd.Timestamp("2023-01-30")
    months = [first + pd.DateOffset(months=k) for k in range(14)]
    axis = time_axis(pd.concat([frame(months, s="a"), frame(pd.date_range("2023-01-01", periods=14, freq="MS"), s="b")]), "t", "s")
    assert axis.freq.name == "MS" and not axis.off_grid.any() and not len(axis.gaps)
    four_weeks = pd.date_range("2023-01-30", periods=14, freq="28D")
    assert time_axis(frame(four_weeks), "t").freq.name == "28D"
