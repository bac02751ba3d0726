import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import train_test_split

from minifast.data.splitters import (
    SPLIT_SEED,
    ColSplitter,
    EndSplitter,
    FileSplitter,
    FuncSplitter,
    GrandparentSplitter,
    IndexSplitter,
    MaskSplitter,
    RandomSplitter,
    RandomSubsetSplitter,
    TrainTestSplitter,
    check_splits,
)
from minifast.data.splitters_groups import FixedSplitter, GroupSplitter

ITEMS = [f"item{i}" for i in range(50)]


def is_partition(splits, n=50):
    return sorted([*splits[0], *splits[1]]) == list(range(n))


def test_random_splitter_takes_the_first_of_a_permutation():
    train, valid = RandomSplitter(0.3, seed=7)(ITEMS)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(7)).tolist()
    assert valid == order[:15] and train == order[15:]


def test_random_splitter_is_seeded_and_leaves_the_global_streams_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    splits = RandomSplitter()(ITEMS)
    assert torch.equal(torch.rand(1), expected)
    assert RandomSplitter()(ITEMS) == splits == RandomSplitter(seed=SPLIT_SEED)(ITEMS) and is_partition(splits)
    assert RandomSplitter(seed=1)(ITEMS) != splits
    assert RandomSplitter(seed=None)(ITEMS) != RandomSplitter(seed=None)(ITEMS)


@pytest.mark.parametrize("pct", [0, 1, 20, -0.1, "0.2", True])
def test_a_fraction_is_a_fraction(pct):
    for cls in (RandomSplitter, EndSplitter):
        with pytest.raises(ValueError, match="valid_pct is a fraction between 0 and 1"):
            cls(pct)


def test_train_test_splitter_is_sklearns():
    labels = [i % 5 == 0 for i in range(50)]
    got = TrainTestSplitter(0.2, stratify=labels)(ITEMS)
    assert list(got) == train_test_split(list(range(50)), test_size=0.2, random_state=SPLIT_SEED, stratify=labels)
    assert sum(labels[i] for i in got[1]) == 2
    with pytest.raises(ValueError, match="one label per item: received 3 for 50"):
        TrainTestSplitter(stratify=[1, 2, 3])(ITEMS)


def test_index_splitter():
    assert IndexSplitter([1, 3])(range(5)) == ([0, 2, 4], [1, 3])
    assert IndexSplitter(np.array([4]))(range(5))[1] == [4]
    with pytest.raises(ValueError, match=r"1 position outside 0..4: \[7\]"):
        IndexSplitter([1, 7])(range(5))
    with pytest.raises(ValueError, match="validation set empty"):
        IndexSplitter([])(range(5))
    with pytest.raises(ValueError, match="training set empty"):
        IndexSplitter(range(5))(range(5))
    with pytest.raises(ValueError, match="1 item of the validation set are listed more than once"):
        IndexSplitter([1, 1])(range(5))
    with pytest.raises(ValueError, match="one value per item: received 2 for 5"):
        IndexSplitter([True, False])(range(5))
    for mask in ([True, False, False, False], np.array([True, False, False, False]), torch.tensor([True, False, False, False])):
        assert IndexSplitter(mask)(range(4)) == ([1, 2, 3], [0])
    assert IndexSplitter(torch.tensor([1, 3]))(range(5)) == ([0, 2, 4], [1, 3])
    with pytest.raises(TypeError, match="takes a list of indices; received int 3"):
        IndexSplitter(3)(range(5))


def test_end_splitter():
    assert EndSplitter(0.4)(range(5)) == ([0, 1, 2], [3, 4]) and EndSplitter(0.4, valid_last=False)(range(5)) == ([2, 3, 4], [0, 1])
    assert EndSplitter(0.1)(range(5))[1] == [4]


def test_grandparent_splitter():
    files = [Path(f"{a}/{b}/{i}.jpg") for a in ("train", "valid", "test") for b in ("x", "y") for i in range(2)]
    assert GrandparentSplitter()(files) == ([0, 1, 2, 3], [4, 5, 6, 7])
    assert GrandparentSplitter(valid_name=["valid", "test"])(files)[1] == [4, 5, 6, 7, 8, 9, 10, 11]
    with pytest.raises(ValueError, match=r"valid_name='vali'.*did you mean 'valid'\? Folders there: 'test', 'train', 'valid'"):
        GrandparentSplitter(valid_name="vali")(files)
    with pytest.raises(ValueError, match="train_name='training'"):
        GrandparentSplitter(train_name="training")(files)


def test_func_and_mask_splitters():
    assert FuncSplitter(lambda o: o % 2)(range(5)) == ([0, 2, 4], [1, 3])
    assert MaskSplitter(np.array([True, False, True]))(range(3)) == ([1], [0, 2])
    assert MaskSplitter(i != 1 for i in range(3))(range(3)) == ([1], [0, 2])
    frame = pd.DataFrame({"year": [2019, 2020, 2021]})
    assert FuncSplitter(lambda row: row.year > 2020)(frame) == ([0, 1], [2])
    with pytest.raises(ValueError, match="received 2 for 3 items"):
        MaskSplitter([True, False])(range(3))
    with pytest.raises(ValueError, match="takes true or false for each item; received int 2"):
        MaskSplitter([0, 2, 1])(range(3))
    with pytest.raises(ValueError, match="received NoneType None"):
        MaskSplitter([0, None, 1])(range(3))
    with pytest.raises(ValueError, match="validation set empty"):
        FuncSplitter(lambda o: False)(range(3))


def test_file_splitter(tmp_path):
    names = tmp_path / "valid.txt"
    names.write_text("b.jpg\n\nc.jpg\n")
    files = [Path("x/a.jpg"), Path("x/b.jpg"), Path("y/c.jpg")]
    assert FileSplitter(names)(files) == ([0], [1, 2])
    with pytest.warns(UserWarning, match="1 of the 2 names .* belong to no item"):
        FileSplitter(names)(files[:2])
    with pytest.raises(ValueError, match=r"none of the 2 names.*the file has 'b.jpg', 'c.jpg', the items 'a.jpg'"):
        FileSplitter(names)(files[:1])


def test_col_splitter():
    frame = pd.DataFrame({"is_valid": [True, False, True], "part": ["a", "b", "c"], "text": ["True", "False", "True"], "gap": [1, None, 0]})
    assert ColSplitter()(frame) == ([1], [0, 2]) and ColSplitter(0)(frame) == ([1], [0, 2])
    assert ColSplitter("part", on="b")(frame) == ([0, 2], [1]) and ColSplitter("part", on=["a", "b"])(frame) == ([2], [0, 1])
    assert ColSplitter("text", on="True")(frame) == ([1], [0, 2])
    with pytest.raises(ValueError, match=r"3 rows hold something else, such as str 'True'.*on='True'"):
        ColSplitter("text")(frame)
    with pytest.raises(ValueError, match="1 row hold something else"):
        ColSplitter("gap")(frame)
    with pytest.raises(KeyError, match="no column 'isvalid'; did you mean 'is_valid'"):
        ColSplitter("isvalid")(frame)
    with pytest.raises(ValueError, match="no row has the value 'd'"):
        ColSplitter("part", on="d")(frame)
    with pytest.raises(TypeError, match="splits a DataFrame"):
        ColSplitter()(ITEMS)


def test_random_subset_splitter():
    train, valid = RandomSubsetSplitter(0.4, 0.2)(ITEMS)
    assert (len(train), len(valid)) == (20, 10) and not set(train) & set(valid) and RandomSubsetSplitter(0.4, 0.2)(ITEMS) == (train, valid)
    with pytest.raises(ValueError, match="together more than all items"):
        RandomSubsetSplitter(0.8, 0.4)


def test_check_splits():
    assert check_splits(([0, 1], (2,), np.array([3])), 4) == [[0, 1], [2], [3]]
    with pytest.raises(ValueError, match="1 item would be in the training and in the validation set"):
        check_splits(([0, 1], [1, 2]), 3)
    with pytest.raises(TypeError, match="must hold indices, whole numbers; the training set holds float 0.5"):
        check_splits(([0.5], [1]), 3)
    with pytest.raises(TypeError, match="one list of indices per split"):
        check_splits(None, 3)
    with pytest.raises(ValueError, match="To train on everything"):
        check_splits(([0, 1], []), 2)
    assert check_splits([range(3)], 3) == [[0, 1, 2]]


def test_all_can_be_sent_and_read():
    for s in (RandomSplitter(0.3), IndexSplitter([1]), EndSplitter(), GrandparentSplitter(), MaskSplitter([1]), ColSplitter("a", on=1)):
        assert repr(pickle.loads(pickle.dumps(s))) == repr(s)
    assert repr(RandomSplitter(0.3)) == "RandomSplitter(valid_pct=0.3, seed=42)"


def test_series_are_matched_by_their_index():
    df = pd.DataFrame({"k": list("aabbccddee")}).sample(frac=1, random_state=3)
    groups = df.k.sort_index()
    _, valid = GroupSplitter(groups, 0.2)(df)
    assert len(set(df.k.iloc[list(valid)])) == 1 and len(valid) == 2
    assert TrainTestSplitter(0.5, stratify=groups)(df) == TrainTestSplitter(0.5, stratify=df.k)(df)
    assert MaskSplitter(groups == "a")(df) == MaskSplitter((df.k == "a").tolist())(df) == FixedSplitter((groups != "a", groups == "a"))(df)
    for split in (lambda s: GroupSplitter(s), lambda s: MaskSplitter(s == "a"), lambda s: TrainTestSplitter(stratify=s)):
        with pytest.raises(ValueError, match="the index of this Series is not that of the rows"):
            split(groups.set_axis(range(50, 60)))(df)
    assert IndexSplitter(df.index[:2])(list("abcdefghij"))[1] == df.index[:2].tolist()          # of a list, which has no labels
