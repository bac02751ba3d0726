"""Missing values: placed, refused, filled."""
import numpy as np
import pytest

from minifast.timeseries.all import FillSteps, TSDataLoaders, find_missing, series_shape
from minifast.timeseries.layout import as_store

X = np.arange(60, dtype=np.float32).reshape(5, 2, 6)
N = np.nan


def with_nan(*places):
    x = X.copy()
    for place in places:
        x[place] = N
    return x


def test_values_that_are_missing_are_counted_and_placed_at_build():
    x = with_nan((3, 0, 4), (3, 1, 2), (4, 1, slice(1, 4)))
    with pytest.raises(ValueError, match=r"has 5 missing values \(NaN\) in 2 series, at \[sample, channel, step\] \[3, 0, 4\], \[3, 1, "
                                         r"2\], \[4, 1, 1\] and 2 more.*fill=FillSteps\('linear'\)"):
        TSDataLoaders.from_array(x, list("ababa"))
    dls = TSDataLoaders.from_array(x, list("ababa"), fill=FillSteps("linear"), bs=2)
    assert all(b[0].isfinite().all() for dl in dls for b in dl)
    found = find_missing(as_store(x))
    assert found.n_missing == 5 and found.series == [3, 4] and found.channels.tolist() == [1, 4] and not found.at_ends


def test_in_series_of_several_lengths_too():
    x = [X[0], X[1][:, :4], with_nan((2, 1, 3))[2]]
    with pytest.raises(ValueError, match=r"1 missing values \(NaN\) in 1 series, at \[sample, channel, step\] \[2, 1, 3\]"):
        TSDataLoaders.from_array(x, list("aba"))
    dls = TSDataLoaders.from_array(x, list("aba"), splits=([0, 1], [2]), fill=FillSteps(), bs=2)
    assert dls.valid.one_batch()[0][0].tolist() == X[2].tolist(), "between its neighbours"


def test_infinite_values_are_refused():
    x = X.copy()
    x[1, 0, 0] = np.inf
    with pytest.raises(ValueError, match=r"has 1 infinite values in 1 series, at .*\[1, 0, 0\].*\[~np.isfinite"):
        TSDataLoaders.from_array(x, list("ababa"), fill=FillSteps())
    x[~np.isfinite(x)] = np.nan
    assert len(TSDataLoaders.from_array(x, list("ababa"), fill=FillSteps("linear"), bs=2).train) == 2


@pytest.mark.parametrize(("method", "expected"), [
    ("linear", [2, 2, 3, 4, 5, 5]), ("forward", [2, 2, 2, 2, 5, 5]), ("mean", [3.5, 2, 3.5, 3.5, 5, 3.5]), ("zero", [0, 2, 0, 0, 5, 0]),
    (-1.5, [-1.5, 2, -1.5, -1.5, 5, -1.5])])
def test_what_is_put_in_place(method, expected):
    x = np.array([[[N, 2, N, N, 5, N], [1, 2, 3, 4, 5, 6]]], np.float32)
    kept = x.copy()
    filled = FillSteps(method)(x)
    assert filled[0, 0].tolist() == expected and filled[0, 1].tolist() == [1, 2, 3, 4, 5, 6] and np.array_equal(x, kept, equal_nan=True)
    masked = FillSteps(method, add_mask=True)(x)
    assert masked.shape == (1, 4, 6) and masked[0, 2].tolist() == [1, 0, 1, 1, 0, 1] and masked[0, 3].tolist() == [0] * 6


def test_linear_is_what_numpy_interpolates():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 3, 40)).astype(np.float32)
    x[rng.random(x.shape) < 0.4] = N
    steps = np.arange(40)
    for row, filled in zip(x.reshape(-1, 40), FillSteps()(x).reshape(-1, 40), strict=True):
        there = ~np.isnan(row)
        assert np.allclose(filled, np.interp(steps, steps[there], row[there]), atol=1e-5)


def test_a_channel_without_any_value():
    x = with_nan((3, 1, slice(None)))
    with pytest.raises(ValueError, match=r"no value at all, first channel 1 of sample 3.*FillSteps\('mean', empty=0\)"):
        TSDataLoaders.from_array(x, list("ababa"), fill=FillSteps("mean"))
    dls = TSDataLoaders.from_array(x, list("ababa"), fill=FillSteps("mean", empty=0), splits=(range(3), [3, 4]), bs=2)
    assert dls.valid.one_batch()[0][0, 1].tolist() == [0] * 6
    assert FillSteps(7)(x)[3, 1].tolist() == [7] * 6


def test_the_mask_is_a_channel_of_each_channel():
    x = with_nan((4, 1, 3))
    dls = TSDataLoaders.from_array(x, list("ababa"), fill=FillSteps(add_mask=True), splits=(range(4), [4]), bs=2)
    batch = dls.valid.one_batch()[0]
    assert batch.shape == (1, 4, 6) and batch[0, 3].tolist() == [0, 0, 0, 1, 0, 0] and series_shape(dls).n_channels == 4
    assert dls.test_dl(X[:3]).one_batch()[0][:, 2:].abs().sum() == 0, "nothing is missing there"
    assert dls.test_dl(X[0][None]).one_batch()[0].shape == (1, 4, 6)


def test_new_series_with_missing_values():
    dls = TSDataLoaders.from_array(X, list("ababa"), bs=2)
    with pytest.raises(ValueError, match=r"1 missing values \(NaN\) in 1 series.*\[0, 1, 3\]"):
        dls.test_dl(with_nan((4, 1, 3))[4:]).one_batch()
    dls = TSDataLoaders.from_array(X, list("ababa"), bs=2, fill=FillSteps())
    assert dls.test_dl(with_nan((4, 1, 3))[4:]).one_batch()[0][0].tolist() == X[4].tolist()


def test_what_does_not_say_how_is_refused():
    with pytest.raises(ValueError, match="'liner'.*'linear'"):
        FillSteps("liner")
    with pytest.raises(TypeError, match=r"write fill=FillSteps\('linear'\)"):
        TSDataLoaders.from_array(X, list("ababa"), fill="linear")
