"""Splitters that keep groups, and past and future, apart."""
import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from minifast.data.block import CategoryBlock, DataBlock, TransformBlock
from minifast.data.splitters_groups import FixedSplitter, GroupSplitter, TimeSplitter, check_groups, values_of

FILES = [Path(f"video{v}/{i}.jpg") for v in range(10) for i in range(5)]


def video(path):
    return path.parent.name


def sides_of(splitter, items):
    train, valid = splitter(items)
    assert sorted([*train, *valid]) == list(range(len(items)))
    return train, valid


@pytest.mark.parametrize("groups", [video, [video(f) for f in FILES], np.array([video(f) for f in FILES])])
def test_groups_stay_together(groups):
    train, valid = sides_of(GroupSplitter(groups), FILES)
    assert len(valid) == 10
    assert not {video(FILES[i]) for i in train} & {video(FILES[i]) for i in valid}


def test_seed_and_global_stream():
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    first, again, other = (GroupSplitter(video, seed=s)(FILES)[1] for s in (1, 1, 2))
    assert first == again and first != other
    assert (np.random.get_state()[1] == before).all()
    assert pickle.loads(pickle.dumps(GroupSplitter(video)))(FILES)[1] == GroupSplitter(video)(FILES)[1]


def test_groups_of_a_column_and_a_datablock():
    df = pd.DataFrame({"x": range(20), "patient": [i // 4 for i in range(20)], "y": list("ab") * 10})
    _, valid = sides_of(GroupSplitter("patient", 0.2), df)
    assert len(valid) == 4 and df.patient.iloc[valid].nunique() == 1
    db = DataBlock((TransformBlock, CategoryBlock), get_x=lambda r: r["x"], get_y=lambda r: r["y"], splitter=GroupSplitter("patient"))
    ds = db.datasets(df)
    assert not set(ds.train.items.patient) & set(ds.valid.items.patient)
    with pytest.raises(KeyError, match="no such column; did you mean 'patient'"):
        GroupSplitter("patients")(df)


def test_big_groups_stay_in_training():
    groups = ["big"] * 80 + ["a"] * 10 + ["b"] * 10
    for seed in range(10):
        _, valid = sides_of(GroupSplitter(groups, 0.2, seed), list(range(100)))
        assert len(valid) == 20 and 0 not in valid


def test_share_that_cannot_be_met_is_said():
    with pytest.warns(UserWarning, match=r"50% of the items \(10 of 20\)"):
        sides_of(GroupSplitter([0] * 10 + [1] * 10, 0.2), list(range(20)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sides_of(GroupSplitter(video, 0.25), FILES)


def test_group_errors():
    with pytest.raises(ValueError, match="nothing to split"):
        GroupSplitter(["a"] * 3)([1, 2, 3])
    with pytest.raises(ValueError, match="received 2 for 3 items"):
        GroupSplitter(["a", "b"])([1, 2, 3])
    with pytest.raises(ValueError, match=r"1 item have no value .* positions \[1\]"):
        GroupSplitter(["a", None, "b"])([1, 2, 3])
    with pytest.raises(TypeError, match="names a column, but the items are no DataFrame"):
        GroupSplitter("patient")([1, 2, 3])
    with pytest.raises(ValueError, match="fraction between 0 and 1"):
        GroupSplitter(video, 20)
    with pytest.raises(TypeError, match="takes one value per item"):
        values_of([1, 2], 3, "groups")


def test_check_groups():
    check_groups(([0, 1], [2]), ["a", "a", "b"])
    with pytest.raises(ValueError, match="the group 'a' has items on both sides"):
        check_groups(([0], [1, 2]), ["a", "a", "b"])


def test_time():
    rng = np.random.default_rng(0)
    days = pd.date_range("2024-01-01", periods=50)[rng.permutation(50)]
    df = pd.DataFrame({"day": days, "x": range(50)})
    train, valid = sides_of(TimeSplitter("day", 0.2), df)
    assert len(valid) == 10 and df.day.iloc[train].max() < df.day.iloc[valid].min()
    assert df.day.iloc[train].is_monotonic_increasing
    train, valid = sides_of(TimeSplitter(list(days), cutoff=pd.Timestamp("2024-02-01")), df)
    assert len(train) == 31 and len(valid) == 19


def test_items_of_one_time_stay_together():
    _, valid = sides_of(TimeSplitter(lambda o: o, 0.2), [1, 2, 3, 4, 5, 5, 5, 5, 6, 7])
    assert valid == [8, 9]
    _, valid = sides_of(TimeSplitter(lambda o: o, 0.3), [1, 2, 3, 4, 5, 5, 5, 5, 6, 7])
    assert valid == [4, 5, 6, 7, 8, 9]


def test_time_errors():
    with pytest.raises(ValueError, match=r"'9\.1\.2024', would be sorted as text"):
        TimeSplitter(["9.1.2024", "10.1.2024"])([0, 1])
    assert TimeSplitter(["2024-02-01", "2024-01-31"])([0, 1]) == ([1], [0])
    with pytest.raises(ValueError, match="no item before 3"):
        TimeSplitter([3, 3, 3])([0, 1, 2])
    with pytest.raises(ValueError, match="no item at or after 9"):
        TimeSplitter([1, 2, 3], cutoff=9)([0, 1, 2])
    with pytest.raises(TypeError, match="cannot be compared"):
        TimeSplitter([1, "2024-01-01"])([0, 1])


def test_fixed():
    assert FixedSplitter(([2, 0], [1]))([0, 1, 2]) == ([2, 0], [1])
    assert FixedSplitter(([0, 1, 2],))([0, 1, 2]) == ([0, 1, 2],)
    with pytest.raises(ValueError, match="outside 0..1"):
        FixedSplitter(([0, 1], [2]))([0, 1])


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_frames_and_columns_of_other_libraries(library):
    module = pytest.importorskip(library)
    columns = {"patient": [i // 3 for i in range(30)], "when": pd.date_range("2020", periods=30)[::-1], "y": ["a", "b"] * 15}
    frame = pd.DataFrame(columns)
    other = module.from_pandas(frame) if library == "polars" else module.Table.from_pandas(frame)
    column = other["patient"]
    for splitter in (lambda c: GroupSplitter(c), lambda c: TimeSplitter("when")):
        assert splitter("patient")(other) == splitter(column)(other) == splitter("patient")(frame)
    assert values_of(other, lambda row: row["y"], "f") == columns["y"]
    with pytest.raises(KeyError, match="no such column; did you mean 'patient'"):
        GroupSplitter("patien")(other)
