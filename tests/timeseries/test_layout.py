"""What is taken for series, and what is refused."""
import warnings

import numpy as np
import pytest
import torch

from minifast.timeseries.all import TSDataLoaders, trim_padding
from minifast.timeseries.layout import as_store
from minifast.timeseries.store import as_float32

X = np.arange(24.0).reshape(4, 2, 3)


@pytest.mark.parametrize("given", [X, X.tolist(), torch.from_numpy(X), list(X), tuple(X.tolist()),
                                   X.astype(">f4"), X.astype(int), np.asfortranarray(X)])
def test_samples_channels_steps(given):
    store = as_store(given)
    assert len(store) == 4 and store.n_channels == 2 and store.lengths.tolist() == [3] * 4 and store.is_equal
    assert store[2].dtype == torch.float32 and store[2].tolist() == X[2].tolist() and store[-1].tolist() == X[3].tolist()
    with pytest.raises(IndexError):
        store[4]


def test_two_axes_are_series_of_one_channel():
    assert as_store(X[:, 0])[1].tolist() == [X[1, 0].tolist()]
    assert as_store([[1, 2], [3, 4, 5]])[1].tolist() == [[3, 4, 5]]


@pytest.mark.parametrize(("given", "message"), [
    (X[0, 0], r"X has the shape \(3,\): expected \(samples, channels, steps\), or \(samples, steps\).*X\[None\].*SlidingWindows"),
    (X[None], r"shape \(1, 4, 2, 3\): expected.*X.reshape\(len\(X\), -1, X.shape\[-1\]\)"),
    (X[:, :, :0], "2 channels and 0 steps"), (X[:0], "0 samples"), ([], "empty list"),
    ([X[0], X[0, :, :0]], r"1 series of X has no steps or no channels, at 1"), ([X[0], X], r"X\[1\] has the shape \(4, 2, 3\)"),
    ([np.ones((5, 3)), np.ones((7, 3))], r"X\[0\] has the shape \(5, 3\), X\[1\] \(7, 3\).*X = \[x.T for x in X\]"),
    ([np.ones((5, 3)), np.ones((7, 4))], r"X\[1\] \(7, 4\); each series of a list is \(channels, steps\)$"),
    ([[1, 2], [[1, 2], [3]]], "X.1. is not an array of numbers.*list of arrays")])
def test_other_shapes_are_refused_with_both_shapes(given, message):
    with pytest.raises(ValueError, match=message):
        as_store(given)


def test_what_the_messages_say_works():
    assert len(as_store(X[0, 0][None])) == 1 and as_store(X[None].reshape(1, -1, 3)).n_channels == 8
    assert as_store([x.T for x in [np.ones((5, 3)), np.ones((7, 3))]]).lengths.tolist() == [5, 7]


@pytest.mark.parametrize("given", [np.array([["a", "b"]]), X + 1j, np.array(["2024-01-01"], "datetime64[D]")[None],
                                   np.array([[None, "x"]]), "text"])
def test_what_is_no_number_is_refused(given):
    with pytest.raises((TypeError, ValueError), match=r"X (holds|has)"):
        as_store(given)


def test_a_table_is_told_its_own_door():
    import pandas as pd
    with pytest.raises(TypeError, match=r"TSDataLoaders.from_df\(df, ...\)"):
        TSDataLoaders.from_array(pd.DataFrame({"a": [1.0]}))


def test_axes_that_look_turned_are_said():
    with pytest.warns(UserWarning, match=r"shape \(5, 100, 6\).*6 steps.*X.transpose\(0, 2, 1\)"):
        as_store(np.ones((5, 100, 6)))
    as_store(np.ones((5, 200, 30)))             # InsectWingbeat
    as_store(np.ones((5, 12, 7)))               # JapaneseVowels


def test_what_float32_cannot_hold_is_said():
    with pytest.raises(ValueError, match=r"up to 1e\+39.*divide them by 1e\+39"):
        as_store(np.array([[1e39, 1.0]]))
    assert as_store(np.array([[1e39, 1.0]]) / 1e39)[0][0, 0] == 1
    times = np.arange(1_700_000_000, 1_700_000_050)[None]
    for given in (times, times.astype(float)):
        with pytest.warns(UserWarning, match="float32.*has 7 digits.*X - X.min()"):
            as_store(given)
        as_store(given - given.min())
    as_store(np.random.default_rng(0).integers(0, 10**9, (3, 50)))           # large, but its differences are kept


def test_series_are_not_those_of_the_caller():
    x = np.ones((2, 1, 3), np.float32)
    store = as_store(x)
    store[0].add_(1)
    assert (x == 1).all()
    x.setflags(write=False)
    as_store(x).read(np.array([0, 1]), 3).add_(1)
    assert (x == 1).all()


def test_padding_that_an_array_brings_is_trimmed():
    x = np.full((3, 2, 5), np.nan)
    x[0], x[1, :, :3], x[2, 1, :2] = 1, 2, 3
    assert [o.shape for o in trim_padding(x)] == [(2, 5), (2, 3), (2, 2)]
    with pytest.raises(ValueError, match=r"All of them are at the ends of series.*X = trim_padding\(X\)"):
        TSDataLoaders.from_array(x[:2], [0, 1])
    assert TSDataLoaders.from_array(trim_padding(x[:2]), [0, 0], splits=([0], [1]), bs=1, vocab=[0, 1]).valid.one_batch()[0].shape[1] == 2


def test_series_of_nothing_but_nan_warn_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(as_float32(np.full((2, 3), np.nan), "X")).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, int])
def test_masked_values_are_missing(dtype):
    x = np.ma.masked_equal(X.astype(dtype), 7)
    assert as_store(x)[1].isnan().tolist() == [[False, True, False], [False] * 3]
    assert as_store([*x])[1].isnan().sum() == 1
