"""Leaks: whatever the share of the classes and the number of columns."""
import numpy as np
import pandas as pd
import pytest

from minifast.checks.check_loaders import check_loaders
from minifast.checks.data.tables import balanced_rows, most_telling, single_column_score
from minifast.data.block import CategoryBlock
from minifast.data.splitters import RandomSplitter
from minifast.tabular.all import Categorify, FillMissing, Normalize, TabularDataLoaders


def leak(df, cats=(), block=CategoryBlock):
    conts = [c for c in df if c not in (*cats, "y")]
    dls = TabularDataLoaders.from_df(df, procs=[Categorify, FillMissing, Normalize], cat_names=list(cats), cont_names=conts, y_names="y",
                                     y_block=block, splits=RandomSplitter(seed=0)(df))
    return check_loaders(dls, fast=True)["MF821"]


@pytest.mark.parametrize("wide", [1, pytest.param(500, marks=pytest.mark.slow)])
def test_a_column_that_gives_a_rare_target_away(wide):
    r = np.random.default_rng(0)
    y = r.random(3000) < 0.02                           # accuracy without the column: 98%
    df = pd.DataFrame(r.normal(size=(3000, wide)), columns=[f"c{j}" for j in range(wide)])
    df["case"], df["y"] = r.normal(size=3000) + 5 * y, np.where(y, "fraud", "fine")
    found = leak(df)
    assert found.verdict == "issue" and found.items == ["case"] and "'fraud' from 'fine' with AUC" in found.found
    assert leak(df.drop(columns="case")).verdict == "pass"
    df["case"] = r.normal(size=3000) + 2.6 * y          # AUC 0.97
    assert leak(df).verdict == "tip"


def test_several_classes_and_numbers():
    r = np.random.default_rng(0)
    y = r.integers(0, 4, 1000)
    names = np.array(["a", "b", "c", "d"])[y]
    assert leak(pd.DataFrame({"one": names, "x": r.normal(size=1000), "y": names}), ["one"]).verdict == "issue"
    one_class = pd.DataFrame({"one": (y == 2).astype(float) + 0.01 * r.normal(size=1000), "x": r.normal(size=1000), "y": names})
    assert leak(one_class).verdict == "pass"                    # as the length of a petal tells one iris of three
    price = np.exp(r.normal(12, 0.5, 1000))
    assert leak(pd.DataFrame({"tax": price * 0.01, "x": r.normal(size=1000), "y": np.log(price)}), block=None).verdict == "issue"


def test_the_most_telling_columns_of_many():
    r = np.random.default_rng(0)
    values, y = r.normal(size=(500, 300)), r.normal(size=500)
    values[:, 17], values[:, 40], values[:, 60] = np.exp(y), np.round(y * 3) % 7, np.abs(y)
    categorical = np.arange(300) == 40
    values[:, 41] = np.digitize(y, np.quantile(y, np.linspace(0, 1, 21)[1:-1])) * 9 % 20          # of which no rank says anything
    categorical[41] = True
    chosen = most_telling(values, y, False, categorical, 5).tolist()
    assert {17, 41} <= set(chosen) and len(chosen) == 5
    u = np.where(np.abs(values[:, 3]) > 1, 1, 0)                # a class at both ends
    assert 3 in most_telling(values, u, True, categorical, 5)
    assert most_telling(values[:, :4], y, False, categorical[:4], 5).tolist() == [0, 1, 2, 3]


def test_rows_with_all_of_a_rare_class():
    y = np.r_[np.zeros(9000, int), np.ones(40, int)]
    chosen = balanced_rows(y, 1000)
    assert (y[chosen] == 1).sum() == 40 and (y[chosen] == 0).sum() == 500 and len(set(chosen)) == 540
    assert sorted(balanced_rows(y, 10_000)) == list(range(9040))
    assert single_column_score(np.arange(60.0), np.zeros(60, int), True) == 0


def test_advice_for_what_is_missing_fits_the_column():
    r = np.random.default_rng(0)
    df = pd.DataFrame({"pool": np.where(r.random(200) < 0.9, None, "good"), "depth": np.where(r.random(200) < 0.9, np.nan, 2.0),
                       "x": r.normal(size=200), "y": r.integers(0, 2, 200)})

    def advice(*names):
        dls = TabularDataLoaders.from_df(df, procs=[Categorify, FillMissing, Normalize], cat_names=[n for n in names if n == "pool"],
                                         cont_names=["x", *(n for n in names if n == "depth")], y_names="y", y_block=CategoryBlock,
                                         splits=RandomSplitter(seed=0)(df))
        return check_loaders(dls, fast=True)["MF824"].advice
    assert "'none'" in advice("pool") and "FillMissing" not in advice("pool")
    assert "FillMissing" in advice("depth") and "'none'" not in advice("depth")
