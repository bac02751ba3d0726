"What the messages about splits, targets and files say to write, in the factories of tables and ratings."
import warnings

import numpy as np
import pandas as pd
import pytest
from suggestions import told

from minifast.collab import CollabDataLoaders
from minifast.tabular.all import *


def table(n=40, **columns):
    return pd.DataFrame({"c": ["a", "b"] * (n // 2), "x": np.linspace(0, 1, n)} | columns)


def dls_of(df, y_names="y", **kwargs):
    return TabularDataLoaders.from_df(df, cat_names="c", cont_names="x", y_names=y_names, bs=8, **kwargs)


def rated(n=40, **columns):
    return pd.DataFrame({"user": np.arange(n) % 5, "item": np.arange(n) % 7, "rating": np.arange(n) % 3 + 1.0} | columns)


# -- targets ---------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("values", [[0, 1, 1, 0], [0.0, 1.0, 1.0, 0.0]])
def test_several_targets_of_zeros_and_ones(values):
    df = table(p=values * 10, q=values[::-1] * 10)
    with told("tabular/targets.py", "if each says whether a row is of a class write y_block=MultiCategoryBlock(encoded=True)"):
        assert isinstance(dls_of(df, ["p", "q"]).loss_func, MSELossFlat)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dls = dls_of(df, ["p", "q"], y_block=MultiCategoryBlock(encoded=True))
        assert dls_of(df, ["p", "q"], y_block=RegressionBlock).c == 2
        dls_of(df.assign(p=np.linspace(0, 9, 40)), ["p", "q"])                                  # numbers among them: no word
    assert isinstance(dls.loss_func, BCEWithLogitsLossFlat) and dls.vocab == ["p", "q"]
    with pytest.warns(UserWarning, match="the targets 'p', 'q' hold whole numbers with few different values"):
        dls_of(df.assign(p=np.arange(40) % 3 - 1, q=np.arange(40) % 4), ["p", "q"])


def test_a_column_of_lists_of_zeros_and_ones():
    df = table(y=[[0, 1, 0], [1, 1, 0]] * 20)
    with told("data/indicators.py", "if the values are the labels, MultiCategoryBlock(vocab=[…])"):
        dls_of(df, y_block=MultiCategoryBlock)
    assert dls_of(df, y_block=MultiCategoryBlock(vocab=[0, 1])).vocab == [0, 1]
    names = ["name 0", "name 1", "name 2"]
    df[names] = df.y.tolist()
    assert dls_of(df, y_names=["name 0", "name 1", "name 2"], y_block=MultiCategoryBlock(encoded=True)).vocab == names
    assert dls_of(table(y=[["a", None], ["b"]] * 20), y_block=MultiCategoryBlock).vocab == ["a", "b"]


def test_one_class_in_a_table():
    with pytest.warns(UserWarning, match="the target 'y' is 'a' in every training row: there is nothing to tell apart"):
        dls_of(table(y="a"))


# -- splits ----------------------------------------------------------------------------------------------------------------------------
def entries():
    df = table(year=np.arange(40), y=np.arange(40) / 7.0).sample(frac=1, random_state=1)
    stars = rated(year=np.arange(40)).sample(frac=1, random_state=1)
    return [(df, lambda **k: dls_of(df, **k)), (stars, lambda **k: CollabDataLoaders.from_df(stars, **k))]


@pytest.mark.parametrize("entry", [0, 1])
def test_rows_by_their_labels(entry):
    df, make = entries()[entry]
    mask = df.year >= 35
    expected = set(df.index[mask])

    def valid(**split):
        return set(make(**split).valid.dataset.row_index)

    with told("tabular/splits.py", "labels of rows are given as a pandas Index, `valid_idx=df.index[mask]`"):
        make(valid_idx=[35, 77])
    assert valid(valid_idx=df.index[mask]) == expected
    for given in (np.flatnonzero(mask), np.flatnonzero(mask).tolist(), mask, mask.to_numpy(), mask.tolist(), mask.sort_index(),
                  pd.Series(np.flatnonzero(mask)), pd.Index(mask)):
        assert valid(valid_idx=given) == expected
    for splits in ((df.index[~mask], df.index[mask]), (~mask, mask), IndexSplitter(df.index[mask]), (mask[~mask].index, mask.sort_index())):
        assert valid(splits=splits) == expected
    with pytest.raises(ValueError, match=r"received a pandas Index, which holds labels of rows, and 1 label is not among .*: \[77\]"):
        make(valid_idx=pd.Index([3, 77]))
    with pytest.raises(ValueError, match="valid_idx is a mask of 3 values for 40 rows"):
        make(valid_idx=[True, False, True])
    with pytest.raises(TypeError, match="received a frame: give the labels of its rows"):
        make(valid_idx=df[mask])
    assert valid(valid_idx=df[mask].index) == expected


@pytest.mark.parametrize("entry", [0, 1])
def test_a_column_that_splits(entry):
    df, make = entries()[entry]
    df["valid"] = np.where(df.year >= 35, "valid", "train")
    with told("data/splitters.py", "Name the one that marks validation rows: ColSplitter(…, on=…)"):
        make(valid_col="valid")
    for split in ({"valid_col": ColSplitter("valid", on="valid")}, {"splits": ColSplitter("valid", on="valid")}):
        assert len(make(**split).valid.dataset) == 5
    df["valid"] = df.year >= 35
    assert set(make(valid_col="valid").valid.dataset.row_index) == set(df.index[df.year >= 35])
    with pytest.raises(ValueError, match="valid_idx and valid_col both say which rows are for validation"):
        make(valid_col="valid", valid_idx=[1])
    with pytest.raises(ValueError, match=r"split with `lambda items: \[range\(len\(items\)\)\]`: .* for tables as splits="):
        make(valid_pct=0)
    assert len(make(splits=lambda items: [range(len(items))])) == 1


def test_a_splitter_without_parentheses():
    for _, make in entries():
        with told("core/arguments.py", "not one that is made: write …(…)"):
            make(splits=RandomSplitter)
        make(splits=RandomSplitter())


def test_classes_that_are_set():
    dls = dls_of(table(y=["a", "b"] * 20))
    with told("core/arguments.py", "Write …=sorted(...), or list them"):
        dls.vocab = {"no", "yes"}
    dls.vocab = sorted({"no", "yes"})
    assert dls.vocab == ["no", "yes"]


def test_the_column_that_splits_is_no_input():
    df = table(y=np.arange(40) / 7.0, v=[True] + [False] * 39)
    assert TabularDataLoaders.from_df(df, y_names="y", valid_col="v").train.dataset.x_names == ["c", "x"]


def test_the_column_that_splits_a_parquet_file(tmp_path):
    pytest.importorskip("pyarrow")
    table(y=np.arange(40) / 7.0, v=[True] * 3 + [False] * 37).to_parquet(tmp_path / "a.parquet")
    dls = TabularDataLoaders.from_parquet(tmp_path / "a.parquet", cat_names="c", cont_names="x", y_names="y", valid_col="v")
    assert dls.valid.dataset.row_index.tolist() == [0, 1, 2]

    def split(splits):
        return TabularDataLoaders.from_parquet(tmp_path / "a.parquet", cat_names="c", cont_names="x", y_names="y", splits=splits)

    train, valid = list(range(3, 40)), [0, 1, 2]
    with told("tabular/parquet.py", "a splitter must go by one: ColSplitter('is_valid'), GroupSplitter('group') or TimeSplitter('time'); "
              "otherwise give positions, splits=(train, valid)"):
        split(lambda df: (train, valid))
    for splits in (ColSplitter("v"), GroupSplitter("c"), TimeSplitter("x"), (train, valid)):
        assert len(split(splits).valid.dataset)


# -- files -----------------------------------------------------------------------------------------------------------------------------
def test_ratings_with_a_decimal_comma(tmp_path):
    df = rated().assign(rating=[f"{r:.1f}".replace(".", ",") for r in rated().rating])
    df.to_csv(tmp_path / "a.csv", index=False, sep=";")
    with told("data/csv_files.py", "Read the file with delimiter=…"):
        CollabDataLoaders.from_csv(tmp_path / "a.csv")
    with told("collab/loaders.py", "Read a decimal comma with from_csv(decimal=','), or write df[…] = df[…].str.replace(',', '.')"):
        CollabDataLoaders.from_csv(tmp_path / "a.csv", delimiter=";")
    dls = CollabDataLoaders.from_csv(tmp_path / "a.csv", delimiter=";", decimal=",", valid_idx=[0, 1])
    assert dls.valid.one_batch()[1].tolist() == [1.0, 2.0]
    df["rating"] = df["rating"].str.replace(",", ".").astype(float)
    assert CollabDataLoaders.from_df(df, valid_idx=[0, 1]).valid.one_batch()[1].tolist() == [1.0, 2.0]
    assert CollabDataLoaders.from_df(df.astype({"rating": str}), valid_idx=[0, 1]).valid.one_batch()[1].tolist() == [1.0, 2.0]


def test_ratings_that_are_words():
    df = rated().astype({"rating": object})
    df.loc[3, "rating"] = "n/a"
    with told("collab/loaders.py", "Leave these rows out: df[pd.to_numeric(df[…], errors='coerce').notna()]"):
        CollabDataLoaders.from_df(df)
    assert CollabDataLoaders.from_df(df[pd.to_numeric(df["rating"], errors="coerce").notna()]).train.n == 32


def test_how_a_csv_file_is_read(tmp_path):
    table(y=["NA", "Bär"] * 20, k=["007", "7"] * 20).to_csv(tmp_path / "a.csv", index=False, encoding="latin-1")
    with told("data/csv_files.py", "often are in encoding='cp1252', older ones in encoding='latin-1'"):
        TabularDataLoaders.from_csv(tmp_path / "a.csv", y_names="y")
    dls = TabularDataLoaders.from_csv(tmp_path / "a.csv", y_names="y", encoding="latin-1", keep_default_na=False, dtype={"k": str})
    assert dls.vocab == ["Bär", "NA"] and dls.train.dataset.classes["k"] == ["#na#", "007", "7"]
    assert TabularDataLoaders.from_csv(tmp_path / "a.csv", y_names="y", encoding="cp1252", keep_default_na=False).c == 2
    rated(user="Bär").to_csv(tmp_path / "b.csv", index=False, encoding="latin-1")
    with pytest.raises(ValueError, match="is not written in UTF-8"):
        CollabDataLoaders.from_csv(tmp_path / "b.csv")
    assert "Bär" in CollabDataLoaders.from_csv(tmp_path / "b.csv", encoding="latin-1", dtype={"item": str}).classes["user"]
    with pytest.raises(FileNotFoundError, match=r"there is no file .*c\.csv'; did you mean 'a\.csv'|there is no file"):
        TabularDataLoaders.from_csv(tmp_path / "c.csv", y_names="y")
