"""Copies of rows, told from rows that merely agree."""
import pickle

import numpy as np
import pandas as pd
import pytest
from zoo import table_loaders

from minifast.checks.check_loaders import check_loaders
from minifast.checks.data.copies import copies
from minifast.data.block import CategoryBlock
from minifast.data.splitters import RandomSplitter
from minifast.tabular import table as tabular_table
from minifast.tabular.all import Categorify, FillMissing, Normalize, TabularDataLoaders

COLUMNS = (["Pclass", "Sex", "Embarked"], ["Age", "SibSp", "Parch", "Fare"])


def loaders(df, cats, conts, y, block=None, **kw):
    return TabularDataLoaders.from_df(df, procs=[Categorify, FillMissing, Normalize], cat_names=cats, cont_names=conts, y_names=y,
                                      y_block=block, splits=RandomSplitter(seed=0)(df), **kw)


def test_rows_of_coarse_columns_agree_without_being_copies():
    r = np.random.default_rng(0)
    coarse = [r.integers(0, 3, 400) for _ in range(4)]
    fine = r.normal(size=400)
    assert copies(coarse) == [] and copies([*coarse, fine]) == [] and copies([]) == []
    fine[7], coarse = fine[3], [np.where(np.arange(400) == 7, c[3], c) for c in coarse]
    assert copies([*coarse, fine]) == [[3, 7]]
    assert copies([pd.Series([None, "a", None, "b", "c"]), pd.Series([1.0, np.nan, 1.0, 2.0, 3.0])]) == [[0, 2]]
    assert copies([["x", "y", "x"], ["y", "x", "y"]]) == [[0, 2]]           # the same values in two columns are not mixed up


def test_passengers_who_agree_are_not_copies(data_dir):
    df = pd.read_csv(data_dir / "titanic" / "train.csv")
    usual = loaders(df, *COLUMNS, "Survived", CategoryBlock)
    report = check_loaders(usual, fast=True)
    assert report["MF811"].verdict == report["MF826"].verdict == "pass" and report.ok, str(report)
    doubled = pd.concat([df, df.sample(200, random_state=0)], ignore_index=True)
    told = check_loaders(loaders(doubled, *COLUMNS, "Survived", CategoryBlock), fast=True)["MF826"]
    assert told.verdict == "issue" and told.items
    a, b = (int(name.removeprefix("row ")) for name in told.items[0])       # the user's own labels
    assert doubled.Name[a] == doubled.Name[b]


@pytest.mark.parametrize("alive", [True, False])
def test_values_are_compared_as_they_came(alive, monkeypatch):
    monkeypatch.setattr(tabular_table, "SMALL", 10**9 if alive else 0)
    r = np.random.default_rng(0)                # in float32, normalised, 1 apart is equal
    df = pd.DataFrame({"pid": 526_301_100.0 + 1e8 * r.permutation(300), "other": r.normal(size=300), "y": r.normal(size=300)})
    a, b = (part[0] for part in RandomSplitter(seed=0)(df))
    df.loc[b, ["pid", "other"]] = [df.pid[a] + 1, df.other[a]]
    dls = loaders(df, [], ["pid", "other"], "y")
    df["pid"], df["other"] = 1.0, 0.0                       # later, in the user's frame
    del df
    assert pickle.loads(pickle.dumps(dls.train_ds.at([0]))).original is None
    assert (dls.train_ds.original is not None) is alive
    assert (check_loaders(dls, fast=True)["MF826"].verdict == "pass") is alive
    if alive:
        assert dls.train_ds.original.columns.tolist() == ["pid", "other", "y"] and len(dls.train_ds.original) == 240


def test_rows_are_named_by_their_own_label():
    from zoo import table
    df = table()
    df.index = [f"p{i}" for i in range(len(df))]
    for j in range(10):
        df.iloc[-1 - j] = df.iloc[j]
    found = check_loaders(table_loaders(df), fast=True)["MF826"].found
    assert "row p" in found and "= row p" in found
