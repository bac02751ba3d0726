"""Windows: what they show and predict, where there are none, and that they are read, not copied."""
import numpy as np
import pandas as pd
import pytest
import torch

from minifast.timeseries.all import SlidingWindows, TensorForecast, TensorKnown, TensorSeries, WindowSet, smape, time_axis


def long(n=10, names="a", **columns):
    "Value of step k of the first series: k; of the second: 100 + k."
    k = np.arange(n)
    parts = [pd.DataFrame({"id": name, "time": k, "v": 100.0 * i + k, "p": -1.0 * k, "w": k % 7}) for i, name in enumerate(names)]
    return pd.concat(parts, ignore_index=True)


def test_the_first_step_to_predict_is_right_after_the_window():
    w = SlidingWindows(long(), 4, 2, target="v", past="p", known="w")
    assert len(w) == 5 and w.channels == ["v", "p", "w"] and w.c == 2
    x, known, y = w[1]
    assert type(x) is TensorSeries and type(y) is TensorForecast and type(known) is TensorKnown
    assert x.tolist() == [[1, 2, 3, 4], [-1, -2, -3, -4], [1, 2, 3, 4]] and known.tolist() == [[5, 6]] and y.tolist() == [[5, 6]]


def test_no_window_crosses_series_whatever_the_order_of_rows_and_index():
    df = long(7, "ab").sample(frac=1, random_state=0).set_index(pd.Index([1] * 14))
    w = SlidingWindows(df, 3, 2, by="id", target="v")
    assert len(w) == 6 and sorted(w.ids) == ["a", "b"]
    for i in range(len(w)):
        x, y = w[i]
        assert np.diff(np.r_[x[0], y[0]]).tolist() == [1] * 4 and (x[0, 0] >= 100) == (w.ids[w.series[i]] == "b")


def test_a_batch_is_one_read_of_the_rows():
    w = SlidingWindows(long(50, "ab"), 8, 3, by="id", target="v", past=["p", "w"])
    whole = w.values.untyped_storage().data_ptr()
    at = np.array([5, 0, 70])
    x, y = w.read(at)
    assert x.shape == (3, 3, 8) and y.shape == (3, 1, 3) and x.is_contiguous() and w.values.untyped_storage().data_ptr() == whole
    for k, i in enumerate(at):
        assert torch.equal(x[k], w[i][0].as_subclass(torch.Tensor)) and torch.equal(y[k], w[i][1].as_subclass(torch.Tensor))
    assert w.values.shape == (3, 100), "rows are held once"


@pytest.mark.parametrize(("stride", "first"), [(1, [0, 1, 2, 3, 4]), (3, [1, 4]), (9, [4])])
def test_with_a_stride_the_last_window_ends_with_the_last_row(stride, first):
    w = SlidingWindows(long(), 4, 2, stride=stride, target="v")
    assert w.starts.tolist() == first and w[len(w) - 1][1][0, -1] == 9


def test_gaps_are_refused_and_the_advice_works():
    df = long(12, "ab").drop(index=[5, 6])
    with pytest.raises(ValueError, match=r"1 gap with 2 missing steps of freq=1: 'a' at 5 \(2\)\. Write gaps='split'.*'forward'"):
        SlidingWindows(df, 3, 1, by="id", target="v")
    w = SlidingWindows(df, 3, 1, by="id", target="v", gaps="split")
    assert len(w) == 2 + 2 + 9
    assert all(np.diff(np.r_[w[i][0][0], w[i][1][0]]).tolist() == [1] * 3 for i in range(len(w)))
    filled = {how: SlidingWindows(df, 3, 1, by="id", target="v", gaps=how).values[0, :12].tolist() for how in ("linear", "forward", "zero")}
    assert filled == {"linear": list(range(12)), "forward": [0, 1, 2, 3, 4, 4, 4, 7, 8, 9, 10, 11],
                      "zero": [0, 1, 2, 3, 4, 0, 0, 7, 8, 9, 10, 11]}


def test_missing_values_are_counted_and_placed_and_the_advice_works():
    df = long(12, "ab")
    df.loc[[5, 14], "v"] = np.nan
    with pytest.raises(ValueError, match=r"2 values missing \(NaN\), at \[series, time, column\] \['a', 5, 'v'\]; \['b', 2, 'v'\]\. "
                                         "Write gaps="):
        SlidingWindows(df, 3, 1, by="id", target="v")
    w = SlidingWindows(df, 3, 1, by="id", target="v", gaps="split")
    x, y = w.read(np.arange(len(w)))
    assert len(w) == 2 + 3 + 6 and not x.isnan().any() and not y.isnan().any()
    assert SlidingWindows(df, 3, 1, by="id", target="v", gaps="linear").values[0].tolist() == long(12, "ab")["v"].tolist()


def test_filling_does_not_reach_into_another_series():
    df = long(6, "ab")
    df.loc[6, "v"] = np.nan                                     # the first of b
    w = SlidingWindows(df, 2, 1, by="id", target="v", gaps="forward")
    assert len(w) == 4 + 3 and w.values[0, 6].isnan()


def test_times_that_come_twice_are_refused_and_the_advice_works():
    df = pd.concat([long(), long().iloc[[3]].assign(v=7.0)])
    with pytest.raises(ValueError, match=r"1 time with more than one row: 'the series' at 3 \(2\)\. Write duplicates='mean', 'first' "
                                         "or 'last'; or by="):
        SlidingWindows(df, 3, 1, target="v")
    for how, value in (("mean", 5), ("first", 3), ("last", 7)):
        w = SlidingWindows(df, 3, 1, target="v", duplicates=how)
        assert len(w) == 7 and w.values[0].tolist() == [0, 1, 2, value, 4, 5, 6, 7, 8, 9]
    with pytest.raises(ValueError, match=r"'first' or 'last'$"):
        SlidingWindows(df, 3, 1, target="v", by="id")
    both = long(10, "ab")
    with pytest.raises(ValueError, match="or by=, the column that names the series"):
        SlidingWindows(both, 3, 1, target="v")
    assert len(SlidingWindows(both, 3, 1, target="v", by="id")) == 14


def test_series_that_are_too_short_are_listed():
    df = pd.concat([long(10), long(4).assign(id="short"), long(3).assign(id="shorter")])
    w = SlidingWindows(df, 4, 2, by="id", target="v")
    assert w.too_short == {"short": 4, "shorter": 3} and "in 1 of 3 series" in repr(w)
    with pytest.raises(ValueError, match=r"window=9 and horizon=2, and no series has so many rows without a gap \(the most are 10\).*"
                                         "Give more rows, or make windows with a smaller window= or horizon=$"):
        SlidingWindows(df, 9, 2, by="id", target="v")
    assert len(SlidingWindows(df, 8, 2, by="id", target="v")) == 1
    df = long(12).drop(index=[5]).assign(kind="x")
    with pytest.raises(ValueError, match=r"the most are 6\): no window. Give more rows, or make windows with a smaller window=$"):
        SlidingWindows(df, 7, label="kind", gaps="split")
    assert len(SlidingWindows(df, 6, label="kind", gaps="split")) == 1
    with pytest.raises(ValueError, match="^SlidingWindows received a table without rows, of the columns id, time, v, p, w and 1 more"):
        SlidingWindows(df[:0], 3, label="kind", freq=1, vocab=["x"])
    few = long(12).assign(kind=["x"] + [None] * 11)
    with pytest.raises(ValueError, match="has a label in its last row. Write a smaller window=, or labelling='most'$"):
        SlidingWindows(few, 3, label="kind", labelling="last")
    assert len(SlidingWindows(few, 3, label="kind", labelling="most")) == len(SlidingWindows(few, 1, label="kind")) == 1


def test_windows_of_labels():
    df = long(12).assign(kind=list("yyyyyxxxxxxx"))
    w = SlidingWindows(df, 3, label="kind", past=["v", "p"], stride=1)
    assert w.vocab == ["x", "y"] and w.labels.tolist() == [1] * 3 + [0] * 5 and w.c == 2
    x, y = w.read(np.array([0, 7]))
    assert x.shape == (2, 2, 3) and y.tolist() == [1, 0] and y.dtype == torch.int64
    assert SlidingWindows(df, 3, label="kind", labelling="last").labels.tolist() == [1, 1, 1, *[0] * 7]
    assert SlidingWindows(df, 3, label="kind", labelling="most").labels.tolist() == [1, 1, 1, 1, *[0] * 6]
    assert SlidingWindows(df, 3, label="kind").channels == ["v", "p", "w"], "all numbers, of which time and label are none"
    mixed = df.assign(kind=list("xy" * 6))
    with pytest.raises(ValueError, match="no window of 3 steps has one label throughout.*labelling='last' or 'most'"):
        SlidingWindows(mixed, 3, label="kind")
    assert len(SlidingWindows(mixed, 3, label="kind", labelling="most")) == 10


@pytest.mark.parametrize(("wrong", "told"), [
    ({"window": 0}, "window=0"), ({"stride": 0}, "stride=0"), ({"horizon": -1}, "horizon=-1"), ({"target": None}, "write target="),
    ({"horizon": 0}, "write horizon="), ({"past": "v"}, "'v' is named twice"), ({"gaps": "drop"}, "gaps is one of"),
    ({"label": "id"}, "leave out label="), ({"target": "id"}, "holds no numbers"), ({"target": "sales"}, "no column 'sales'"),
    ({"known": {"w"}}, "names in order")])
def test_arguments_that_do_not_go_together(wrong, told):
    with pytest.raises((ValueError, TypeError, KeyError), match=told):
        SlidingWindows(long(), **{"window": 3, "horizon": 2, "target": "v", **wrong})


def test_infinite_values_are_refused_and_the_advice_works():
    df = long(12)
    df.loc[5, "v"] = np.inf
    with pytest.raises(ValueError, match=r"infinite values: write df = df.replace\(\[np.inf, -np.inf\], np.nan\), and gaps='split'"):
        SlidingWindows(df, 3, 1, target="v")
    assert len(SlidingWindows(df.replace([np.inf, -np.inf], np.nan), 3, 1, target="v", gaps="split")) == 2 + 3


def test_hours_over_the_end_of_daylight_saving():
    times = pd.date_range("2024-10-26 20:00", periods=12, freq="h", tz="Europe/Berlin")
    df = pd.DataFrame({"time": times.tz_localize(None), "v": np.arange(12.0)})
    w = SlidingWindows(df, 3, 1, target="v", tz="Europe/Berlin")
    assert len(w) == 9 and w.values[0].tolist() == list(range(12))
    with pytest.raises(ValueError, match="tz='Europe/Berlin'"):
        SlidingWindows(df, 3, 1, target="v")


def test_rows_of_windows_and_errors_of_a_season():
    w = SlidingWindows(long(10, "ab"), 3, 1, by="id", target="v")
    assert np.flatnonzero(w.rows_of(np.array([1, 2, 7]))).tolist() == [1, 2, 3, 4, 5, 10, 11, 12, 13]
    df = long(10, "ab")
    df["v"] = [1.0, 2, 4, 7, 11, 16, 22, 29, 37, 46, *([5.0, 8.0] * 5)]
    w = SlidingWindows(df, 3, 1, by="id", target="v")
    rows = np.r_[np.arange(10) < 5, np.arange(10) < 5]
    assert w.season_errors(1, rows).flatten().tolist() == [2.5, 3.0] and w.season_errors(2, rows).flatten().tolist() == [5.0, 0.0]
    assert w.season_errors(30, rows).isnan().all()
    assert WindowSet(w, [8]).naive_errors(1, WindowSet(w, [0, 1, 7, 8])).tolist() == [[3.0]]


def test_names_are_those_of_the_star_import():
    assert callable(smape) and callable(time_axis)


def test_what_float32_loses_is_said():
    with pytest.warns(UserWarning, match=r"df\['v'\] holds numbers as large as 1.7e\+09.*such as df\['v'\] - df\['v'\].min\(\)"):
        SlidingWindows(long().assign(v=1.7e9 + np.arange(10)), 4, 2, target="v")
    df = long().assign(v=1.7e9 + np.arange(10))
    df["v"] = df["v"] - df["v"].min()
    assert SlidingWindows(df, 4, 2, target="v")[0][1].tolist() == [[4, 5]]
    with pytest.raises(ValueError, match=r"df\['v'\] holds numbers up to 1e\+39, which float32 cannot hold"):
        SlidingWindows(long().assign(v=1e39), 4, 2, target="v")


def test_windows_without_any_label_are_left_out():
    df = long().assign(kind=[None] * 5 + ["b", "b", "a", "b", "b"])
    w = SlidingWindows(df, 3, label="kind", past="v", labelling="most")
    assert w.series.size == 5 and [w.vocab[i] for i in w.labels] == ["b"] * 5 and w.values[0, w.starts[0] + 2] == 5
    with pytest.raises(ValueError, match="the column has no label in any row"):
        SlidingWindows(df.assign(kind=None), 3, label="kind", past="v")
    with pytest.raises(TypeError, match="labels of mixed types"):
        SlidingWindows(df.assign(kind=[1, "a"] * 5), 3, label="kind", past="v")
    kinds = pd.Categorical(["low", "high"] * 5, categories=["low", "middle", "high"])
    assert SlidingWindows(df.assign(kind=kinds), 3, label="kind", past="v", labelling="last").vocab == ["low", "high"], "in their own order"


def test_text_is_made_numbers_as_the_message_says():
    df = long().assign(v=lambda d: d["v"].map(str), p="x")
    with pytest.raises(TypeError, match=r"pd.to_numeric\(df\['v'\], errors='coerce'\); of categories.*pd.get_dummies\(df, columns"):
        SlidingWindows(df, 4, 2, target="v")
    df["v"] = pd.to_numeric(df["v"], errors="coerce")
    df = pd.get_dummies(df, columns=["p"])
    assert SlidingWindows(df, 4, 2, target="v", known="p_x")[0][1].tolist() == [[1, 1]]


def test_numbers_of_numpy_and_names_that_are_numbers():
    df = long(10, "ab").rename(columns={"v": 0, "id": 1})
    w = SlidingWindows(df, np.int64(4), np.int32(2), np.int8(1), by=1, target=0)
    assert len(w) == 10 and w[0][1].tolist() == [[4, 5]] and {type(w.settings[k]) for k in ("window", "horizon", "stride")} == {int}
