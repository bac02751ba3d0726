"""Parquet in chunks gives what the same frame in memory gives."""
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from minifast.metrics.functions import accuracy
from minifast.tabular.frames import TabularPandas
from minifast.tabular.learner import tabular_learner
from minifast.tabular.loaders import TabularDataLoaders
from minifast.tabular.parquet import Summary, table_from_parquet
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


def test_chunks_learn_what_a_frame_teaches(df):
    "The same without pyarrow: chunk by chunk against all at once."
    whole = TabularPandas(df, PROCS, **COLUMNS)
    summary = Summary(COLUMNS["cat_names"], COLUMNS["cont_names"])
    for start in range(0, len(df), 130):
        part = df.iloc[start:start + 130]
        for name in COLUMNS["cat_names"]:
            summary.add_categories(name, part[name])
        for name in COLUMNS["cont_names"]:
            summary.add_numbers(name, part[name].to_numpy(dtype="float64"), np.ones(len(part), dtype=bool))
    procs = [FillMissing(), Categorify(), Normalize()]
    summary.teach(procs)
    for mine, theirs in zip(procs, whole.procs, strict=True):
        for name in ("na_dict", "na_cols", "classes", "had_missing"):
            assert getattr(mine, name, None) == getattr(theirs, name, None)
    for name in COLUMNS["cont_names"]:
        assert procs[2].means[name] == pytest.approx(whole.procs[2].means[name], rel=1e-12)
        assert procs[2].stds[name] == pytest.approx(whole.procs[2].stds[name], rel=1e-9)


def test_parquet_is_the_frame(df, tmp_path):
    pytest.importorskip("pyarrow")
    for i, part in enumerate((df.iloc[:400], df.iloc[400:])):
        part.to_parquet(tmp_path / f"part{i}.parquet")
    splits = random_split(len(df))
    memory = TabularPandas(df, PROCS, **COLUMNS, y_names="y", splits=splits)
    files = table_from_parquet(tmp_path, **COLUMNS, y_names="y", chunk=130, folder=tmp_path / "codes")
    assert files.cat_names == memory.cat_names and files.classes == memory.classes and files.missing == memory.missing
    pd.testing.assert_frame_equal(files.items, memory.items, atol=1e-5)
    assert [s.tolist() for s in files.splits] == [s.tolist() for s in memory.splits] and (tmp_path / "codes" / "codes.npy").is_file()
    dls = TabularDataLoaders.from_parquet(tmp_path / "part0.parquet", **COLUMNS, y_names="y", bs=32)
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
    with pytest.raises(TypeError, match="learns from chunks, which Own cannot"):
        table_from_parquet(tmp_path, procs=[type("Own", (TabularProc,), {})], cont_names=["x"])
    with pytest.raises(ValueError, match=r"needs procs=\[Categorify"):
        table_from_parquet(tmp_path, procs=[], cat_names=["k"])
    df.drop(columns="z").to_parquet(tmp_path / "b.parquet")
    with pytest.raises(ValueError, match="must have the same columns; b.parquet and a.parquet have not"):
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
