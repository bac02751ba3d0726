"""`TabularPandas`: columns, splits, targets, what it refuses; the frame given is never changed."""
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from minifast.data.block import CategoryBlock, MultiCategoryBlock, RegressionBlock, TransformBlock
from minifast.data.splitters import RandomSplitter
from minifast.nn.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat
from minifast.tabular.frames import TabularPandas
from minifast.tabular.procs import Categorify, FillMissing, Normalize, TabularProc

PROCS = [Normalize, Categorify, FillMissing]
SPLITS = ([0, 2, 3, 5], [4, 1])


def test_columns_and_parts(to, df):
    assert to.cat_names == ["city", "size_na"] and to.cont_names == ["size", "rooms"] and to.x_names == ["city", "size_na", "size", "rooms"]
    assert list(to.items) == ["city", "size_na", "size", "rooms", "y"] and list(to.xs) == to.x_names and list(to.ys) == ["y"]
    assert to.cats["city"].tolist() == [3, 2, 3, 1, 2, 2] and to.y.tolist() == [0, 1, 0, 1, 0, 0]
    assert len(to) == 6 and len(to.train) == 4 and len(to.valid) == 2
    assert to.train.xs.index.tolist() == [10, 30, 30, 50] and to.valid.items.index.tolist() == [40, 20]
    assert to.valid.y.tolist() == [0, 1] and to.n_subsets == 2
    train = df.iloc[SPLITS[0]]
    filled = df["size"].fillna(train["size"].median())
    np.testing.assert_allclose(to.conts["size"], (filled - filled.iloc[SPLITS[0]].mean()) / filled.iloc[SPLITS[0]].std(ddof=0), rtol=1e-6)
    assert to.c == 2 and list(to.vocab) == ["no", "yes"] and isinstance(to.loss_func, CrossEntropyLossFlat) and to.n_inp == 2


def test_the_frame_stays_as_it_is(df):
    before = df.copy()
    to = TabularPandas(df, PROCS, ["city"], ["size", "rooms"], "y", splits=SPLITS)
    xs, conts = to.xs, to.conts
    xs.iloc[:] = 0
    conts.iloc[:] = 7
    assert to.conts["rooms"].abs().max() < 3
    pd.testing.assert_frame_equal(df, before)
    TabularPandas(df, PROCS, ["city"], ["size", "rooms"], "y", splits=SPLITS, inplace=True)
    assert df["city"].tolist() == [3, 2, 3, 1, 2, 2] and "size_na" in df and df["price"].tolist() == before["price"].tolist()


def test_other_frames(to, df):
    new = to.new(df.drop(columns=["y", "price"]).iloc[::-1])
    assert not new.processed and list(new.items) == ["city", "size", "rooms"]
    new.process()
    np.testing.assert_array_equal(new.xs, to.xs.iloc[::-1])
    assert len(new.tensors) == 2
    with pytest.raises(ValueError, match="this table has no targets"):
        new.ys
    with pytest.raises(RuntimeError, match="processed already"):
        new.process()
    assert to.new(df).process().y.tolist() == to.y.tolist() and to.train.new(df).process().y.tolist() == to.y.tolist()
    with pytest.raises(ValueError, match=r"the frame lacks 2 columns of the training data: 'city'; did you mean 'citty'\?, 'rooms'"):
        to.new(pd.DataFrame({"citty": ["Rome"], "size": [1.0]}))
    with pytest.raises(ValueError, match="the frame is empty"):
        to.new(df.iloc[:0])
    with pytest.raises(ValueError, match=r"the target 'y' has labels in this frame .*'no','yes'\]: \(#1\) \['maybe'\] in 1 row \(10\)"):
        to.new(df.assign(y=["maybe"] + ["no"] * 5)).process()
    with pytest.raises(ValueError, match=r"y_names: there is no column 'y'"):
        to.new(df.drop(columns="y")).process(with_labels=True)
    with pytest.raises(ValueError, match=r"with_labels=True, but the training data has no target"):
        TabularPandas(df, PROCS, ["city"]).new(df).process(with_labels=True)


def test_columns_in_another_order_and_type_are_the_same_rows(to, df):
    retyped = df[["price", "rooms", "y", "size", "city"]].astype({"city": "category", "rooms": "Int64", "y": "category"})
    np.testing.assert_array_equal(to.new(retyped).process().xs, to.xs)
    assert to.new(retyped).process().y.tolist() == to.y.tolist()


def test_before_setup(df):
    to = TabularPandas(df, PROCS, ["city"], ["size"], "y", do_setup=False)
    assert list(to.items) == ["city", "size", "y"] and not to.processed and "not set up" in to.report
    with pytest.raises(RuntimeError, match=r"to.xs needs|to.cats needs processed columns: call setup\(\) first"):
        to.xs
    assert to.setup() is to and to.cats["city"].tolist() == [3, 2, 3, 1, 2, 2]


def test_without_categorify_or_normalize(df):
    to = TabularPandas(df, FillMissing, ["city"], ["size", "rooms"], "y", splits=SPLITS)
    assert to.cats["city"].tolist() == df["city"].tolist() and to.train.cats["size_na"].tolist() == [False, True, False, False]
    assert to.conts["rooms"].dtype == np.float64 and to.decode()["city"].tolist() == df["city"].tolist()
    with pytest.raises(ValueError, match=r"\['city', 'size_na'\] are no codes yet: a network needs procs=\[Categorify"):
        to.dataloaders()
    with pytest.raises(ValueError, match=r"missing values, which a network cannot take: 'size' in 1 row \(30\). Add FillMissing"):
        TabularPandas(df, Categorify, ["city"], ["size"], "y").dataloaders(bs=2)
    big = TabularPandas(df.assign(rooms=1_700_000_000 + df["rooms"]), Categorify, ["city"], ["rooms"])
    assert big.conts["rooms"].tolist() == (1_700_000_000 + df["rooms"]).tolist()                   # for trees, every second counts
    small = TabularPandas(df, Categorify, ["city"], ["rooms"], reduce_memory=True)
    assert small.conts["rooms"].dtype == np.float32


def test_a_column_named_like_an_attribute(df):
    to = TabularPandas(df.rename(columns={"city": "c", "rooms": "vocab"}), PROCS, ["c"], ["vocab", "size"], "y", splits=SPLITS)
    assert to.c == 2 and list(to.vocab) == ["no", "yes"]
    assert to.dataloaders(bs=2).c == 2 and to.cats["c"].tolist() == [3, 2, 3, 1, 2, 2]


def test_names_of_columns(df):
    assert TabularPandas(df, Categorify, {"rooms", "city", "size"}).cat_names == ["city", "size",
                                                                                  "rooms"]     # a set has no order: the frame's
    assert TabularPandas(df, Categorify, ["rooms", "city"]).cat_names == ["rooms", "city"]
    with pytest.raises(ValueError,
                       match=r"cat_names: there is no column 'citi'; did you mean 'city'\?; cont_names: there is no column 'z'"):
        TabularPandas(df, PROCS, ["citi"], ["z"])
    with pytest.raises(ValueError, match=r"'rooms' is in cat_names and in cont_names; 'y' is in cat_names and in y_names"):
        TabularPandas(df, PROCS, ["rooms", "y"], ["rooms"], "y")
    with pytest.raises(ValueError, match=r"'city' is listed twice in cat_names"):
        TabularPandas(df, PROCS, ["city", "city"])
    with pytest.raises(ValueError, match=r"several columns named 'city'"):
        TabularPandas(pd.concat([df, df[["city"]]], axis=1), PROCS, ["city"])
    with pytest.raises(ValueError, match=r"needs columns to predict from"):
        TabularPandas(df, PROCS)
    with pytest.raises(ValueError, match=r"a frame without rows"):
        TabularPandas(df.iloc[:0], PROCS, ["city"])
    with pytest.raises(TypeError, match=r"TabularPandas takes a DataFrame; received dict"):
        TabularPandas({"city": [1]}, PROCS, ["city"])


def test_splits(df):
    assert len(TabularPandas(df, PROCS, ["city"], splits=RandomSplitter(0.5)).valid) == 3                # a splitter
    alone = TabularPandas(df, PROCS, ["city"])
    assert len(alone.train) == 6 and alone.n_subsets == 1
    with pytest.raises(IndexError, match=r"there is no subset 1: the table has no splits"):
        alone.valid
    for splits, error, text in (
            (([0, 1], []), ValueError, "leaves the validation set empty"), (([0, 7], [1]), ValueError,
                                                                        r"1 position outside 0..5.*7.*labels of rows"),
            (([0, 1], [1, 2]), ValueError, "1 row would be in the training and in the validation set"),
            (([0, 0], [1]), ValueError, "training set are listed more than once"), (([0.5], [1]), TypeError, "whole numbers"),
            ((np.array([True] * 6), [1]), ValueError, "1 row would be in the training and"),
            ("abc", TypeError, "one list of indices per split"),
            (0.2, TypeError, "one list of indices per split")):
        with pytest.raises(error, match=text):
            TabularPandas(df, PROCS, ["city"], splits=splits)


# -- targets -----------------------------------------------------------------------------------------------------------------------
def target(y, block=None, splits=SPLITS):
    df = pd.DataFrame({"x": np.arange(6.0), "y": y})
    return TabularPandas(df, Normalize, [], ["x"], "y", block, splits)


@pytest.mark.parametrize(("y", "loss", "c", "encoded"), [
    ([0, 1, 0, 1, 0, 0], CrossEntropyLossFlat, 2, [0, 1, 0, 1, 0, 0]),
    ([True, False] * 3, CrossEntropyLossFlat, 2, [1, 0] * 3),
    (pd.array([True, False] * 3, dtype="boolean"), CrossEntropyLossFlat, 2, [1, 0] * 3),
    (["b", "a"] * 3, CrossEntropyLossFlat, 2, [1, 0] * 3),
    (pd.Categorical([3, 1] * 3, categories=[3, 2, 1]), CrossEntropyLossFlat, 2, [0, 1] * 3),
    ([0.5, 1, 2, 3, 4, 5], MSELossFlat, 1, [0.5, 1, 2, 3, 4, 5]),
    (np.array([0.5, 1, 2, 3, 4, 5], dtype="float32"), MSELossFlat, 1, [0.5, 1, 2, 3, 4, 5]),
    (np.array([0.5, 1, 2, 3, 4, 5], dtype=object), MSELossFlat, 1, [0.5, 1, 2, 3, 4, 5]),
    (pd.array([0.5, 1, 2, 3, 4, 5], dtype="Float64"), MSELossFlat, 1, [0.5, 1, 2, 3, 4, 5]),
], ids=["int", "bool", "boolean", "text", "category", "float", "float32", "object", "Float64"])
def test_the_kind_of_target_is_told_from_all_labels(y, loss, c, encoded):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to = target(y)
    assert type(to.loss_func) is loss and to.c == c and to.y.tolist() == encoded
    assert to.tensors[1 + 1].dtype == (torch.int64 if loss is CrossEntropyLossFlat else torch.float32)


def test_what_could_be_either_is_said_once():
    with pytest.warns(UserWarning, match=r"'y' holds whole numbers with 6 different values: taken for classes; .*y_block=RegressionBlock"):
        assert target([1, 2, 3, 4, 5, 6], splits=None).c == 6
    df = pd.DataFrame({"x": np.arange(50.0), "y": range(50)})
    with pytest.warns(UserWarning, match=r"50 different values: taken for a number to predict; for classes write y_block=CategoryBlock"):
        assert isinstance(TabularPandas(df, Normalize, [], ["x"], "y").loss_func, MSELossFlat)
    with pytest.warns(UserWarning, match=r"holds floats with 2 different values: taken for a number"):
        target([0.0, 1.0] * 3)
    assert target([1, 2, 3, 4, 5, 6], RegressionBlock).y.tolist() == [1, 2, 3, 4, 5, 6]
    assert "6 classes (y_block says so)" in target([1, 2, 3, 4, 5, 6], CategoryBlock(), None).report


def test_several_targets():
    df = pd.DataFrame({"x": np.arange(4.0), "a": [1.0, 2, 3, 4], "b": [5, 6, 7, 8], "p": [True, False, True, True],
                       "q": [False] * 3 + [True]})
    two = TabularPandas(df, Normalize, [], ["x"], ["a", "b"])
    assert two.c == 2 and two.tensors[2].tolist() == [[1, 5], [2, 6], [3, 7], [4, 8]] and list(two.ys) == ["a", "b"]
    assert two.y.shape == (4, 2)
    many = TabularPandas(df, Normalize, [], ["x"], ["p", "q"])
    assert isinstance(many.loss_func, BCEWithLogitsLossFlat) and many.tensors[2].tolist() == [[1, 0], [0, 0], [1, 0], [1, 1]]
    assert many.decode()["q"].tolist() == [False] * 3 + [True] and list(many.vocab) == ["p", "q"]
    encoded = TabularPandas(df, Normalize, [], ["x"], ["p", "q"], MultiCategoryBlock(encoded=True, vocab=["p", "q"]))
    assert encoded.c == 2 and TabularPandas(df, Normalize, [], ["x"], ["p", "q"], MultiCategoryBlock).c == 2
    lists = TabularPandas(df.assign(tags=[["u"], ["v", "u"], [], ["v"]]), Normalize, [], ["x"], "tags", MultiCategoryBlock)
    assert lists.tensors[2].tolist() == [[1, 0], [1, 1], [0, 0], [0, 1]] and list(lists.ys) == ["u", "v"]
    assert lists.decode()["tags"].tolist() == [["u"], ["u", "v"], [], ["v"]]
    with pytest.raises(ValueError, match=r"has the label 'w' in this frame \(row 0\)"):
        lists.new(pd.DataFrame({"x": [1.0], "tags": [["w"]]})).process()
    with pytest.raises(TypeError, match=r"a list of labels in each row of the training rows; row 0 holds str 'u'"):
        TabularPandas(df.assign(tags="u"), Normalize, [], ["x"], "tags", MultiCategoryBlock)
    with pytest.raises(ValueError, match=r"several targets are predicted as numbers, but 't' holds"):
        TabularPandas(df.assign(t="u"), Normalize, [], ["x"], ["a", "t"])
    with pytest.raises(ValueError, match=r"CategoryBlock takes one target column; received y_names=\['a', 'b'\]"):
        TabularPandas(df, Normalize, [], ["x"], ["a", "b"], CategoryBlock)
    with pytest.raises(ValueError, match=r"n_out=3\), but y_names has 2 columns"):
        TabularPandas(df, Normalize, [], ["x"], ["a", "b"], RegressionBlock(n_out=3))
    with pytest.raises(ValueError, match=r"'a' must hold true and false \(or 1 and 0\), one column per label; received"):
        TabularPandas(df, Normalize, [], ["x"], ["a", "p"], MultiCategoryBlock)


@pytest.mark.parametrize(("y", "block"), [([0.5, np.nan, 1, 2, np.inf, 3], None), (["a", None, "b", "a", None, "b"], None),
                                          ([0, np.nan, 1, 1, np.nan, 0], CategoryBlock), (pd.array([1, None, 1, 0, None, 1], "Int64"),
                                                                                          None),
                                          (pd.array([1, None, 1, 0, None, 1], "Int64"), RegressionBlock)])
def test_missing_targets_are_refused_with_their_rows(y, block):
    with pytest.raises(ValueError,
                       match=r"target 'y' is missing \(NaN or None\) or infinite in 2 rows of the frame: 1, 4. Leave these rows out"):
        target(y, block)


def test_labels_that_training_lacks():
    with pytest.raises(ValueError,
                       match=r"'y' has labels in the frame that are not among the 2 classes of training, .*\['c'\] in 1 row \(4\)"):
        target(["a", "a", "b", "a", "c", "b"])
    assert target(["a", "a", "b", "a", "c", "b"], CategoryBlock(vocab=["c", "b", "a"])).y.tolist() == [2, 2, 1, 2, 0, 1]
    assert target(pd.Categorical(["a", "a", "b", "a", "c", "b"], ["c", "b", "x", "a"])).y.tolist() == [2, 2, 1, 2, 0, 1]


def test_targets_that_cannot_be():
    with pytest.raises(TypeError, match=r"'y' holds datetime64.*add_datepart\(df, 'y'\), and predict one of them"):
        target(pd.to_datetime(["2020-01-01"] * 6))
    with pytest.raises(TypeError,
                       match=r"to be predicted as a number, but holds .* such as str 'a'. For classes write y_block=CategoryBlock"):
        target(["a"] * 6, RegressionBlock)
    with pytest.raises(TypeError, match=r"y_block takes CategoryBlock, RegressionBlock or MultiCategoryBlock; received int 3"):
        target([1.5] * 6, 3)
    with pytest.raises(ValueError, match=r"y_block is given, but no target: name its column"):
        TabularPandas(pd.DataFrame({"x": [1.0]}), Normalize, [], ["x"], y_block=CategoryBlock)


def test_numbers_that_float32_cannot_hold_are_refused():
    df = pd.DataFrame({"k": list("abab"), "x": [1.0, 2.0, 1e300, 3.0], "y": [1.0, 2.0, 1e300, 3.0]}, index=list("pqrs"))
    with pytest.raises(ValueError, match="too large for float32: 'x' in 1 row .*r"):
        TabularPandas(df, [Categorify], ["k"], ["x"]).tensors
    with pytest.raises(ValueError, match="the target 'y' is too large for float32 in 1 row of the frame: 'r'"):
        TabularPandas(df, [Categorify], ["k"], [], "y")


def test_a_proc_of_the_user_may_write_into_its_columns():
    class Plus(TabularProc):
        def encodes(self, table):
            for name in table.conts:
                table.conts[name] += 100

    df = pd.DataFrame({"x": [1.0, 2.0]})
    assert TabularPandas(df, [Plus], [], ["x"]).conts["x"].tolist() == [101, 102]
    assert df["x"].tolist() == [1, 2]


def test_setup_and_process_say_which_of_them_is_meant():
    df = pd.DataFrame({"k": list("ab"), "x": [1.0, 2.0]})
    to = TabularPandas(df, [Categorify], ["k"], ["x"], do_setup=False)
    with pytest.raises(RuntimeError, match="has not learnt anything yet: call setup"):
        to.process()
    assert to.setup().new(df).process().cats["k"].tolist() == [1, 2]
    with pytest.raises(RuntimeError, match="this table is set up already"):
        to.setup()


def test_a_plain_block_takes_numbers_as_they_are(df):
    to = TabularPandas(df, PROCS, ["city"], ["size"], "rooms", y_block=TransformBlock())
    assert to.tensors[2].tolist() == [[1], [2], [3], [4], [5], [6]] and to.c == 1
