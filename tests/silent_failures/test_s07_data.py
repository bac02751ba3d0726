"""Rows S7 to S15 of docs/silent-failures.md: tables."""
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.data.categories import RegressionSetup
from minifast.data.loaders import DataLoaders
from minifast.learner.learner import Learner
from minifast.tabular.all import (
    Categorify,
    CrossEntropyLossFlat,
    FillMissing,
    MSELossFlat,
    Normalize,
    TabularDataLoaders,
    TabularPandas,
    add_datepart,
    df_shrink,
    fixed_seed,
    tabular_learner,
)

PROCS = [Categorify, FillMissing, Normalize]


def small(n=40, **columns):
    rng = np.random.default_rng(0)
    df = pd.DataFrame({"k": rng.choice(["a", "b", "d"], n), "x": rng.normal(size=n), "z": rng.normal(size=n)})
    return df.assign(**{"y": np.where(df["x"] > 0, "yes", "no"), **columns})


def learner(dls, **kwargs):
    with fixed_seed(1):
        return tabular_learner(dls, [8], **kwargs)


@pytest.mark.parametrize(("y", "loss"), [([0, 1] * 20, CrossEntropyLossFlat), ([True, False] * 20, CrossEntropyLossFlat),
                                         ([0.0, 0.5] * 20, MSELossFlat)])
def test_s07_a_target_of_zeros_and_ones_is_classes_and_the_choice_is_shown(y, loss):
    """An integer target.

    Elsewhere: a column of 0 and 1 becomes a regression with squared error unless the kind of target is given, without a word.
    Here: bools, text and a few distinct integers are classes, floats are numbers, and `dls.train_ds.report` says which and why:
    "target: y: 2 classes (...)".
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        dls = TabularDataLoaders.from_df(small(y=y), y_names="y", bs=8)
    assert isinstance(dls.loss_func, loss) and dls.c == (2 if loss is CrossEntropyLossFlat else 1)
    assert ("target: y: 2 classes (" if loss is CrossEntropyLossFlat else "target: y: regression (floats)") in dls.train_ds.report


def test_s08_columns_have_the_order_of_the_frame_and_are_found_by_name(tmp_path):
    """Column order.

    Elsewhere: columns that are not listed come out of a set, in a different order in each process: weights saved in one and loaded in
    another get permuted inputs.
    Here: columns keep the order of the frame, which `to.save(file)` stores; new rows are read by column name, whatever their order.
    """
    names = list("zxwvutsrqpon")
    rng = np.random.default_rng(0)
    numbers = {n: rng.normal(size=24) for n in names}
    df = pd.DataFrame({**numbers, **{"k" + n: rng.choice(["a", "b"], 24) for n in names}, "y": ["p", "q"] * 12})
    to = TabularDataLoaders.from_df(df, y_names="y", bs=8).train_ds
    assert list(to.cont_names) == names and list(to.cat_names) == ["k" + n for n in names]
    again = TabularPandas.load(to.save(tmp_path / "table.safetensors"))
    shuffled = df[sorted(df.columns)]
    assert list(again.x_names) == list(to.x_names)
    assert all(torch.equal(a, b) for a, b in zip(to.new(df).process().tensors, again.test_set(shuffled).tensors, strict=False))


def test_s09_categories_are_looked_up_by_value_whatever_type_arrives():
    """Columns of pandas' category dtype.

    Elsewhere: the codes of the new frame are used instead of those of training: `['b', 'd']` means something else at prediction time
    than it would as text.
    Here: values are looked up in the training vocabulary, whatever their dtype: text, category, nullable or plain numbers.
    """
    df = pd.DataFrame({"a": ["b", "a", "d"], "n": [10, 20, 30]})
    to = TabularPandas(df, Categorify, ["a", "n"])
    for a in (["b", "d"], pd.Categorical(["b", "d"]), pd.Categorical(["b", "d"], ["d", "zz", "b"]), pd.array(["b", "d"], "string")):
        for n in ([10, 30], [10.0, 30.0], pd.Categorical([10, 30]), pd.array([10, 30], "Int64"), np.array([10, 30], object)):
            assert to.new(pd.DataFrame({"n": n, "a": a})).process().cats.to_numpy().tolist() == [[2, 1], [3, 3]]


def test_s10_unseen_categories_are_counted_and_said_and_an_unseen_label_is_an_error():
    """Unseen categories and labels.

    Elsewhere: unseen categories silently become "missing", and an unseen label the class id -1.
    Here: they are counted and reported by column: "'k' has 20 (50.0%), such as 'zz'", and listed in `dl.dataset.unseen`; an unseen
    label is an error that names it.
    """
    dls = TabularDataLoaders.from_df(small(), y_names="y", bs=8)
    new = small().assign(k=["a", "zz"] * 20)
    with pytest.warns(UserWarning, match=r"'k' has 20 \(50.0%\), such as 'zz'"):
        assert dls.test_dl(new).dataset.unseen == {"k": (20, "zz")}
    with pytest.raises(ValueError, match=r"'y' has labels in this frame that are not among the 2 classes of training, .*\['maybe'\]"):
        dls.test_dl(small().assign(y=["maybe"] + ["yes"] * 39), with_labels=True)


@pytest.mark.parametrize("reduce_memory", [False, True])
def test_s11_ids_are_never_rounded(reduce_memory):
    """Large ids stored as floats.

    Elsewhere: to save memory they are converted to 32-bit floats before they become categories: 180 different ids near 20 million
    become 91.
    Here: categories keep all their digits, also with `reduce_memory`; `df_shrink` narrows a column only if nothing is lost.
    """
    ids = 20_000_000.0 + np.arange(180)                               # float32 has 91 of them
    df = pd.DataFrame({"id": ids, "x": np.arange(180.0), "y": ["a", "b"] * 90})
    to = TabularPandas(df, PROCS, ["id"], ["x"], "y", reduce_memory=reduce_memory)
    assert len(to.classes["id"]) == 181 and to.cats["id"].nunique() == 180
    assert df_shrink(df)["id"].nunique() == 180
    big = pd.DataFrame({"id": [2**60, 2**60 + 1, 2**60 + 2]})
    assert TabularPandas(big, Categorify, ["id"]).cats["id"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_s12_epoch_seconds_are_unit_safe(unit):
    """Epoch seconds of dates.

    Elsewhere: dates are assumed to be stored in nanoseconds; pandas now has other units as well, so the column is 1000 times too small
    and days coincide.
    Here: `add_datepart` returns seconds, whatever the unit of the dates.
    """
    df = pd.DataFrame({"when": pd.to_datetime(["2024-01-01", "1970-01-02"]).astype(f"datetime64[{unit}]")})
    assert add_datepart(df, "when")["whenElapsed"].tolist() == [1_704_067_200, 86_400]


def test_s13_a_constant_column_does_not_explode():
    """A column that is constant in training.

    Elsewhere: it is divided by a tiny number in place of its standard deviation: 1.5 instead of 1.0 becomes five million.
    Here: it is not scaled, and it is named: "constant columns in the training rows, which carry no information and are not scaled:
    'c'".
    """
    df = pd.DataFrame({"c": [1.0] * 6, "x": np.arange(6.0)})
    with pytest.warns(UserWarning, match="constant columns in the training rows, which carry no information and are not scaled: 'c'"):
        to = TabularPandas(df, Normalize, [], ["c", "x"])
    assert to.new(pd.DataFrame({"c": [1.5], "x": [2.5]})).process().conts.iloc[0].tolist() == [0.5, 0.0]


def test_s14_missing_targets_stop_before_training_and_name_their_rows():
    """Missing targets.

    Elsewhere: a single NaN among the targets turns the loss and then every weight into NaN, and training runs to the end.
    Here: refused when the data are built, with the rows: "target 'y' is missing ... in 2 rows of the frame: 3, 17. Leave these rows
    out"; one that gets through anyway stops the fit: "the training loss became nan at batch 2 of epoch 0 ...".
    """
    df = small(y=[0.5] * 40)
    df.loc[[3, 17], "y"] = np.nan
    with pytest.raises(ValueError, match=r"target 'y' is missing .* in 2 rows of the frame: 3, 17. Leave these rows out"):
        TabularDataLoaders.from_df(df, y_names="y")
    with pytest.raises(ValueError, match=r"1 of 3 targets of the training set are missing, NaN or infinite: item 1"):
        RegressionSetup().setup([0.5, float("nan"), 1.0])
    y = torch.randn(24, 1)
    y[20] = float("nan")
    ds = TensorDataset(torch.randn(24, 4), y)
    learn = Learner(DataLoaders.from_dsets(ds, ds, bs=8, shuffle=False), nn.Linear(4, 1), MSELossFlat())
    with learn.no_bar(), learn.no_logging(), pytest.raises(FloatingPointError, match="the training loss became nan at batch 2 of epoch 0"):
        learn.fit(5)
    assert learn.epoch == 0


@pytest.mark.parametrize("name", ["c", "vocab", "loss_func", "n_inp", "train", "items", "device", "classes"])
def test_s15_a_column_may_be_named_like_anything(name):
    """A column named like an attribute.

    Elsewhere: loaders forward unknown attributes to the dataset and from there to its columns, so a column named `c` is taken for the
    number of classes.
    Here: attributes are explicit, nothing is forwarded, and a column may have any name.
    """
    df = small().rename(columns={"k": name})
    dls = TabularDataLoaders.from_df(df, y_names="y", bs=8)
    assert dls.c == 2 and list(dls.vocab) == ["no", "yes"] and dls.n_inp == 2 and list(dls.classes) == [name]
    row, _, probs = learner(dls).predict(df.iloc[0])
    assert row[name] == df[name][0] and probs.shape == (2,)
