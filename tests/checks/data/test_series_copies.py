"""Copies among series and windows: which are found, and what is none."""
import numpy as np
import pytest
from zoo_series import by_hand, sales, series_loaders, waves, window_loaders, windows

from minifast.checks.data.probe import DataProbe
from minifast.checks.data.series_copies import alike_series, duplicate_series, equal_series, overlapping_windows, overlaps
from minifast.checks.data.series_samples import Series


def series(train, valid):
    "Arrays as `Series` of two splits."
    arrays = [np.atleast_2d(np.asarray(a, np.float32)) for a in (*train, *valid)]
    sides = np.r_[np.zeros(len(train), int), np.ones(len(valid), int)]
    return Series(arrays, np.arange(len(arrays)), sides, [np.array([a.shape[1] for a in arrays])[sides == k] for k in (0, 1)],
                  len(arrays[0]))


def noise(steps=200, channels=1, seed=0):
    return np.random.default_rng(seed).normal(size=(channels, steps)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shift", [1, 7, 20, 28, -1, -20])
def test_windows_that_overlap_by_a_quarter_are_found(channels, shift):
    long = noise(100, channels)
    found = overlaps(series([noise(40, channels, 1), long[:, 40:80]], [long[:, 40 + shift:80 + shift], noise(40, channels, 2)]))
    assert [f[:2] for f in found] == [(2, 1)]
    assert found[0][2] == 40 - abs(shift)


def test_windows_of_several_lengths_and_one_within_another():
    long = noise(100)
    assert overlaps(series([long[:, :60], noise(30, 1, 1)], [long[:, 20:50], noise(25, 1, 3)])) == [(2, 0, 30)]


def test_windows_that_only_touch_are_no_copies():
    long = noise(120)
    assert overlaps(series([long[:, :40], long[:, 80:]], [long[:, 40:80]])) == []


def test_what_joins_two_training_series_is_no_part_of_one():
    a, b = noise(40, 1, 1), noise(40, 1, 2)
    assert overlaps(series([a, b], [np.concatenate([a[:, 32:], b[:, :8], noise(24, 1, 4)], 1)])) == []


def test_flat_series_and_counts_are_no_copies():
    counts = np.random.default_rng(0).integers(0, 3, (1, 400)).astype(np.float32)
    train, valid = [counts[:, i:i + 40] for i in range(0, 160, 40)], [counts[:, i:i + 40] for i in range(160, 320, 40)]
    assert overlaps(series([np.zeros(40), *train], [np.zeros(40), *valid])) == []
    assert equal_series([np.zeros((1, 40)), np.zeros((1, 40))]) == [] == alike_series([np.ones((1, 40)), np.zeros((1, 40))])


def test_equal_and_alike_series():
    a, b = noise(30, 2, 1), noise(30, 2, 2)
    assert equal_series([a, b, a.copy(), noise(31, 2, 1)]) == [[0, 2]]
    assert alike_series([a, b, 100 * a + 5, noise(30, 2, 3), a * np.array([[2], [3]]), b]) == [[0, 2, 4], [1, 5]]


def test_copies_within_a_split_are_a_tip():
    x, y = waves(80)
    found = duplicate_series(DataProbe(series_loaders([*x[:50], *x[:10], *x[50:]], [*y[:50], *y[:10], *y[50:]], n_train=60)))
    assert found.verdict == "tip" and found.evidence["copies_within"] == 10 and not found.evidence["copies_across"]
    assert duplicate_series(DataProbe(series_loaders(x, y))).verdict == "pass"


def test_windows_split_by_hand():
    w = windows()
    order = np.random.default_rng(0).permutation(len(w))
    found = overlapping_windows(DataProbe(by_hand(w, order[:200], order[200:])))
    assert found.verdict == "issue" and "predict rows that are in training windows" in found.found
    early, late = np.flatnonzero(w.starts % 200 < 100), np.flatnonzero(w.starts % 200 >= 128)
    assert overlapping_windows(DataProbe(by_hand(w, early, late))).verdict == "pass"


def test_windows_that_look_back_are_fine_and_told():
    found = overlapping_windows(DataProbe(window_loaders(history=True)))
    assert found.verdict == "pass" and "look back at training rows" in found.found
    assert overlapping_windows(DataProbe(window_loaders())).found == ""


def test_windows_of_two_frames():
    from minifast.data.loaders import DataLoaders
    from minifast.timeseries.window_loader import WindowDL
    from minifast.timeseries.window_set import WindowSet
    df = sales()
    day = df.groupby("shop").cumcount()

    def check(train, valid):
        sets = [WindowSet(windows(d), None, k) for k, d in enumerate((train, valid))]
        return overlapping_windows(DataProbe(DataLoaders.from_dsets(*sets, dl_type=WindowDL, bs=32)))
    assert check(df[day < 150], df[day >= 120]).verdict == "issue"
    assert check(df[day < 150], df[day >= 150]).verdict == "pass"
    other = sales(seed=5)                                   # of other shops that are called the same
    assert check(df[day < 150], other[day >= 120]).verdict == "pass"
