"""A table read from Parquet column by column is the one that the same frame gives in memory."""
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from suggestions import told

from minifast.data.splitters import ColSplitter, RandomSplitter
from minifast.data.splitters_groups import GroupSplitter, TimeSplitter
from minifast.metrics.functions import accuracy
from minifast.tabular.frames import TabularPandas
from minifast.tabular.learner import tabular_learner
from minifast.tabular.loaders import TabularDataLoaders
from minifast.tabular.parquet import table_from_parquet
from minifast.tabular.procs import Categorify, FillMissing, Normalize, TabularProc
from minifast.tabular.splits import random_split

PROCS = [Categorify, FillMissing, Normalize]
COLUMNS = {"cat_names": ["k", "i"], "cont_names": ["x", "z", "n"]}


@pytest.fixture
def df():
    rng = np.random.default_rng(0)
    n = 1000
    df = pd.DataFrame({"k": rng.choice(["a", "b", "c"], n), "i": rng.integers(0, 40, n), "x": rng.normal(1e6, 3, n),
                       "z": rng.normal(size=n),
                       "n": rng.integers(0, 100, n)})
    df["y"] = np.where((df["k"] == "a") ^ (df["z"].fillna(0) > 0), "yes", "no")
    df.loc[rng.random(n) < 0.1, ["z", "k"]] = None
    return df


def test_parquet_is_the_frame(df, tmp_path):
    pytest.importorskip("pyarrow")
    for i, part in enumerate((df.iloc[:400], df.iloc[400:])):
        part.to_parquet(tmp_path / f"part{i}.parquet")
    splits = random_split(len(df))
    memory = TabularPandas(df, PROCS, **COLUMNS, y_names="y", splits=splits)
    files = table_from_parquet(tmp_path, **COLUMNS, y_names="y", folder=tmp_path / "codes")
    assert files.cat_names == memory.cat_names and files.classes == memory.classes and files.missing == memory.missing
    assert files.state_dict() == memory.state_dict() | {"reduce_memory": True}
    pd.testing.assert_frame_equal(files.items, memory.items)
    assert [s.tolist() for s in files.splits] == [s.tolist() for s in memory.splits] and (tmp_path / "codes" / "codes.npy").is_file()
    dls = TabularDataLoaders.from_parquet(tmp_path / "part0.parquet", **COLUMNS, y_names="y", bs=32)
    assert dls.path == tmp_path
    torch.manual_seed(0)
    learn = tabular_learner(dls, layers=[20], metrics=accuracy)
    learn.fit_one_cycle(4, 2e-2)
    assert learn.validate()[1] > 0.7
    torch.testing.assert_close(learn.predict(df.iloc[0])[2], learn.predict(df.iloc[:1])[2][0])


def test_what_parquet_refuses(df, tmp_path):
    pytest.importorskip("pyarrow")
    df.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(FileNotFoundError, match="there is no Parquet file"):
        table_from_parquet(tmp_path / "b.parquet", cat_names=["k"])
    with pytest.raises(ValueError, match=r"there is no column 'kk'; did you mean 'k'\?"):
        table_from_parquet(tmp_path, cat_names=["kk"])
    with pytest.raises(ValueError, match="give cat_names= and cont_names="):
        table_from_parquet(tmp_path)
    with pytest.raises(TypeError, match="learns column by column, which Own cannot"):
        table_from_parquet(tmp_path, procs=[type("Own", (TabularProc,), {})], cont_names=["x"])
    with pytest.raises(ValueError, match=r"needs procs=\[Categorify"):
        table_from_parquet(tmp_path, procs=[], cat_names=["k"])
    df.drop(columns="z").to_parquet(tmp_path / "b.parquet")
    with pytest.raises(ValueError, match="must have the same columns; those of b.parquet and a.parquet differ"):
        table_from_parquet(tmp_path, cat_names=["k"])


def test_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match="reading Parquet needs pyarrow: pip install pyarrow"):
        table_from_parquet(tmp_path / "a.parquet", cat_names=["k"])


def test_arguments_that_contradict_each_other(df, tmp_path):
    pytest.importorskip("pyarrow")
    df.to_parquet(tmp_path / "all.parquet")
    with pytest.raises(ValueError, match="from_parquet: valid_idx and splits both say"):
        table_from_parquet(tmp_path, **COLUMNS, valid_idx=[0], splits=([1], [2]))
    with pytest.raises(ValueError, match="'k' is in cat_names and in y_names"):
        table_from_parquet(tmp_path, **COLUMNS, y_names="k")


@pytest.mark.parametrize("where", ["valid_col", "splits"])
def test_splitters_of_a_column(df, tmp_path, where):
    pytest.importorskip("pyarrow")
    df["old"] = np.arange(len(df)) < 100
    df.to_parquet(tmp_path / "a.parquet")
    for splitter in (ColSplitter("old"), GroupSplitter("i"), TimeSplitter("n")):
        files = table_from_parquet(tmp_path, cat_names=["k"], cont_names=["x"], y_names="y", **{where: splitter})
        assert all(np.array_equal(a, list(b)) for a, b in zip(files.splits, splitter(df), strict=True))
    with told("tabular/parquet.py", "a splitter must go by one: ColSplitter('is_valid'), GroupSplitter('group') or TimeSplitter('time')"):
        table_from_parquet(tmp_path, cat_names=["k"], **{where: RandomSplitter()})
    with pytest.raises(ValueError, match=f"{where}: there is no column 'odl'; did you mean 'old'"):
        table_from_parquet(tmp_path, cat_names=["k"], **{where: ColSplitter("odl")})
