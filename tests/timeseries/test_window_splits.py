"""Splits of windows: by time within each series, and nothing that is validated was trained on."""
import numpy as np
import pandas as pd
import pytest

from minifast.timeseries.all import SlidingWindows, check_window_splits, walk_forward_splits, window_splits


def windows(sizes=(60, 40), window=4, horizon=2, **kwargs):
    df = pd.concat([pd.DataFrame({"id": i, "time": np.arange(n), "v": np.arange(n) * 1.0}) for i, n in enumerate(sizes)])
    return SlidingWindows(df, window, horizon, by="id", target="v", **kwargs)


def rows(w, i, first=0):
    return set(range(w.starts[i] + first, w.starts[i] + w.size))


@pytest.mark.parametrize(("settings", "first"), [({}, 0), ({"gap": 2}, 0), ({"history": True}, 4), ({"n_valid": 7, "gap": 1}, 0),
                                                 ({"cutoff": 30, "history": True}, 4), ({"valid_pct": 0.5}, 0)])
def test_no_row_of_validation_is_in_a_training_window(settings, first):
    w = windows()
    train, valid = window_splits(w, **settings)
    seen = set().union(*(rows(w, i) for i in train))
    assert len(train) and len(valid) and not any(rows(w, i, first) & seen for i in valid)
    for s in (0, 1):                                    # within each series, later
        mine, later = train[w.series[train] == s], valid[w.series[valid] == s]
        assert len(mine) and len(later)
        assert w.starts[later].min() + first >= w.starts[mine].max() + w.size + settings.get("gap", 0)
    check_window_splits(w, [train, valid], history=first > 0)


def test_with_history_every_row_after_the_cut_is_predicted():
    w = windows()
    _, valid = window_splits(w, n_valid=10, history=True)
    predicted = set().union(*(rows(w, i, 4) for i in valid))
    assert predicted == {*range(50, 60), *range(90, 100)}


def test_the_cut_may_be_a_time():
    days = pd.date_range("2024-01-01", periods=30)
    w = SlidingWindows(pd.DataFrame({"time": days.tz_localize("Europe/Berlin"), "v": np.arange(30.0)}), 3, 1, target="v")
    train, valid = window_splits(w, cutoff="2024-01-20")
    assert w.values[0, w.starts[train].max() + 3] == 18 and w.values[0, w.starts[valid].min()] == 19


def test_a_split_of_the_users_that_leaks_is_refused_and_the_advice_works():
    w = windows((30,))
    mixed = np.random.default_rng(0).permutation(len(w))
    with pytest.raises(ValueError, match=r"validation windows have rows that are in training windows.*the window of 0 from \d+ has \d of "
                                         r"them\. Split by time with window_splits\(windows\); or .*history=True"):
        check_window_splits(w, [mixed[5:], mixed[:5]])
    check_window_splits(w, window_splits(w))
    back = [np.arange(10), np.arange(12, 20)]
    with pytest.raises(ValueError, match="history=True"):
        check_window_splits(w, back)
    assert len(check_window_splits(w, back, history=True)) == 2
    with pytest.raises(ValueError, match="predict rows that are in training"):
        check_window_splits(w, [np.arange(8), np.arange(8, 20)], history=True)


def test_what_leaves_nothing_is_refused_and_the_advice_works():
    w = windows((14,))
    with pytest.raises(ValueError, match=r"no window is left for validation: a window has 6 rows.*Write history=True"):
        window_splits(w)
    assert len(window_splits(w, history=True)[1])
    with pytest.raises(ValueError, match="no window is left for training: .*Write a smaller window= or horizon=, or another valid_pct=$"):
        window_splits(w, valid_pct=0.9)                                     # looking back leaves nothing to train on either
    with pytest.raises(ValueError, match="14. Write a smaller window= or horizon= or stride=, or another valid_pct=$"):
        window_splits(windows((14,), stride=30))                            # the one window is the last
    assert all(map(len, window_splits(windows((14,), stride=4), history=True)))
    with pytest.raises(ValueError, match="Write a smaller window=, or another valid_pct=$"):
        window_splits(classes := SlidingWindows(pd.DataFrame({"time": np.arange(14), "v": 1.0, "kind": "x"}), 4, label="kind"))
    assert all(map(len, window_splits(classes, valid_pct=0.4)))
    with pytest.raises(ValueError, match="valid_pct and n_valid are several ways"):
        window_splits(w, valid_pct=0.2, n_valid=3)
    with pytest.raises(ValueError, match="valid_pct=1.5"):
        window_splits(w, valid_pct=1.5)


def test_series_without_a_validation_window_are_told():
    w = windows((60, 10))
    with pytest.warns(UserWarning, match="1 of 2 series without a validation window.*: 1"):
        window_splits(w)


def test_windows_of_labels_are_validated_whole():
    df = pd.DataFrame({"time": range(40), "v": np.arange(40.0), "kind": ["a", "b"] * 20})
    w = SlidingWindows(df, 4, label="kind", labelling="last")
    train, valid = window_splits(w, valid_pct=0.3)
    assert not set().union(*(rows(w, i) for i in train)) & set().union(*(rows(w, i) for i in valid))
    with pytest.raises(ValueError, match="validated whole: leave it out"):
        window_splits(w, history=True)


@pytest.mark.parametrize("history", [False, True])
def test_walk_forward(history):
    w = windows((60, 40))
    splits = walk_forward_splits(w, 3, n_valid=9, gap=1, history=history)
    seen = []
    for training, valid in splits:
        check_window_splits(w, [training, valid], history)
        assert len(training) and len(valid) and not set(valid) & set(seen)
        for s in (0, 1):
            assert max(w.starts[training[w.series[training] == s]]) < min(w.starts[valid[w.series[valid] == s]])
        seen += valid.tolist()
    sizes = [len(training) for training, _ in splits]
    assert sizes == sorted(sizes) and len(set(sizes)) == 3
    ends = [int(w.starts[i] + w.size) for i in splits[-1][1]]
    assert {60, 100} <= set(ends), "the last stretch ends with each series"
    assert (splits[-1][0] == window_splits(w, n_valid=9, gap=1, history=history)[0]).all()


def test_walk_forward_that_leaves_nothing_is_refused_and_the_advice_works():
    w = windows((40,))
    with pytest.raises(ValueError, match=r"walk_forward_splits\(k=3\): no window is left .* of 4 rows: a window has 6 rows.*Write a "
                                         r"larger n_valid=, or history=True$"):
        walk_forward_splits(w, 3, n_valid=4)
    assert len(walk_forward_splits(w, 3, n_valid=4, history=True)) == len(walk_forward_splits(w, 3, n_valid=8)) == 3
    assert len(walk_forward_splits(w)) == 5
    with pytest.raises(ValueError, match=r"walk_forward_splits\(k=25\).*Write a smaller k=$"):
        walk_forward_splits(w, 25, history=True)
    assert len(walk_forward_splits(w, 6, history=True)) == 6


def test_a_cut_of_another_kind_is_refused():
    days = pd.date_range("2024-01-01", periods=30)
    w = SlidingWindows(pd.DataFrame({"time": days, "v": np.arange(30.0)}), 3, 1, target="v")
    with pytest.raises(TypeError, match="are timestamps: write one, such as cutoff='2024-01-16 00:00:00'"):
        window_splits(w, cutoff=5)
    assert len(window_splits(w, cutoff="2024-01-16 00:00:00")[1])
    with pytest.raises(ValueError, match="have none: write cutoff='2024-01-16 00:00:00'"):
        window_splits(w, cutoff=pd.Timestamp("2024-01-16", tz="UTC"))
    with pytest.raises(TypeError, match="are whole numbers: write one, such as cutoff=25"):
        window_splits(windows(), cutoff="2024-01-16")
    assert len(window_splits(windows(), cutoff=25)[1])
    pair = windows((30, 30))                                                # their times follow each other
    with pytest.raises(TypeError, match="such as cutoff=15"):
        window_splits(pair, cutoff="2024-01-16")
    assert all(map(len, window_splits(pair, cutoff=15)))


def test_a_gap_that_leaves_nothing_is_named():
    with pytest.raises(ValueError, match="no window is left for validation.*Write a smaller gap= than 100"):
        window_splits(windows(), gap=100)
