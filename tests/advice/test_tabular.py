"What the messages of `minifast.tabular` say to write."
import warnings
from datetime import time

import numpy as np
import pandas as pd
import pytest
from suggestions import told
from workshop import quiet

import minifast.tabular.all
from minifast.tabular.all import *
from minifast.tabular.baseline import tabular_baseline
from minifast.tabular.interpret import permutation_importance

N = 20


def frame(**columns):
    return pd.DataFrame({"a": np.linspace(0, 1, N), "c": ["x", "y"] * (N // 2), "y": np.linspace(1, 2, N), **columns})


def table(df=None, procs=(Categorify, Normalize), splits=(range(15), range(15, N)), **kwargs):
    options = {"cat_names": ["c"], "cont_names": ["a"], "y_names": "y"} | kwargs
    return TabularPandas(frame() if df is None else df, procs=list(procs), splits=splits, **options)


def tab_learner(to=None, **kwargs):
    return quiet(tabular_learner((to or table()).dataloaders(bs=4), layers=[4], **kwargs))


def fitted(to):
    tab_learner(to).fit(1)


# -- columns
def test_repeated_columns():
    df = frame()
    df = pd.concat([df, df[["a"]]], axis=1)
    with told("tabular/columns.py", "To keep the first of each write df.loc[:, ~df.columns.duplicated()]"):
        cont_cat_split(df)
    df = df.loc[:, ~df.columns.duplicated()]
    assert cont_cat_split(df) == (["a", "y"], ["c"])


def test_columns_that_are_no_numbers():
    df = frame(when=pd.date_range("2024-01-01", periods=N), lasted=pd.to_timedelta(np.arange(N), unit="s"))
    df["at"], df["tags"], df["wave"] = [time(i, 30) for i in range(N)], [[1] * i for i in range(N)], np.arange(N) * 1j
    with told("tabular/kinds.py", "make columns of it with add_datepart(df, …)"):
        table(df, cont_names=["a", "when"])
    with told("tabular/kinds.py", "make a number of it, df[…] = pd.to_timedelta(df[…]).dt.total_seconds()"):
        table(df, cont_names=["a", "lasted"])
    with told("tabular/kinds.py", "make a number of it, df[…] = pd.to_timedelta(df[…].astype(str)).dt.total_seconds()"):
        table(df, cont_names=["a", "at"])
    with told("tabular/kinds.py", "make a number of it, for example df[…] = df[…].map(len)"):
        table(df, cont_names=["a", "tags"])
    with told("tabular/kinds.py", "make a number of it, for example df[…] = df[…].map(abs)"):
        table(df, cont_names=["a", "wave"])
    add_datepart(df, "when")
    df["lasted"] = pd.to_timedelta(df["lasted"]).dt.total_seconds()
    df["at"] = pd.to_timedelta(df["at"].astype(str)).dt.total_seconds()
    df["tags"] = df["tags"].map(len)
    df["wave"] = df["wave"].map(abs)
    fitted(table(df, cont_names=["a", "whenElapsed", "lasted", "at", "tags", "wave"]))


def test_dates_are_left_out():
    df = frame(when=pd.date_range("2024-01-01", periods=N))
    with told("tabular/kinds.py", "make columns of it with add_datepart(df, …)"):
        cont_cat_split(df, dep_var="y")
    df = add_datepart(df, "when")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cont_names, cat_names = cont_cat_split(df, dep_var="y")
    fitted(table(df, cont_names=cont_names, cat_names=cat_names))


def test_reading_dates():
    df = frame(when=np.arange(N) * 86400)
    with told("tabular/dates.py", "convert it first, for example with pd.to_datetime(df[…], unit='s')"):
        add_datepart(df.copy(), "when")
    df["when"] = pd.to_datetime(df["when"], unit="s")
    assert "whenYear" in add_datepart(df.copy(), "when")
    df = frame(when=["31.12.2024", "01.13.2024"] + ["01.02.2024"] * (N - 2))
    df.loc[1, "when"] = "2024 third of May"
    with told("tabular/dates.py", "Give the format yourself, pd.to_datetime(df[…], format=...)"):
        add_datepart(df.copy(), "when")
    df.loc[1, "when"] = "03.05.2024"
    df["when"] = pd.to_datetime(df["when"], format="%d.%m.%Y")
    df = add_datepart(df, "when")
    assert df["whenYear"].eq(2024).all()
    again = df.assign(when=pd.date_range("2020-01-01", periods=N))
    with told("tabular/dates.py", "give another prefix="):
        add_datepart(again, "when")
    assert "thenYear" in add_datepart(again, "when", prefix="then")


# -- tables
def test_columns_of_a_table():
    df = frame()
    with told("tabular/frames.py", "for example those of cont_names, cat_names = cont_cat_split(df, dep_var=...)"):
        TabularPandas(df, y_names="y")
    cont_names, cat_names = cont_cat_split(df, dep_var="y")
    assert TabularPandas(df, procs=[Categorify], cat_names=cat_names, cont_names=cont_names, y_names="y").cat_names == ["c"]


def test_steps_of_a_table():
    df = frame()
    with told("tabular/frames.py", "setup() is for TabularPandas(..., do_setup=False)"):
        table().setup()
    to = table(do_setup=False)
    with told("tabular/frames.py", "call setup(), which learns from the training rows and processes all; process() is for what "
                                   "`to.new(df)` returns"):
        to.process()
    assert len(to.setup()) == N and len(to.new(df).process()) == N


class Doubles(TabularProc):
    def encodes(self, table):
        table["a"] = table["a"] * 2

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Plain(TabularProc):
    def encodes(self, table):
        pass


class Stored(Plain):
    stored = ("seen",)
    seen = 1


def doubled(table):
    table["a"] = table["a"] * 2


def test_procs_of_ones_own():
    state = table(procs=[Categorify, Doubles]).state_dict()
    with told("tabular/frames.py", "give its class, from_state_dict(state, procs=[…])"):
        TabularPandas.from_state_dict(state)
    assert TabularPandas.from_state_dict(state, procs=[Doubles]).cont_names == ["a"]
    with told("tabular/procs.py", "write a class instead, `class MyProc(TabularProc)`, with the function as its method "
                                  "`encodes(self, table)`, with `state_dict(self)` that returns {}"):
        table(procs=[Categorify, doubled]).state_dict()
    assert table(procs=[Categorify, Doubles]).state_dict()
    with told("tabular/table.py", "give it `state_dict()`, a dict of numbers and strings, and `load_state_dict(state)`, or "
                                  "`stored = (names of attributes,)`"):
        table(procs=[Categorify, Plain]).state_dict()
    assert table(procs=[Categorify, Doubles]).state_dict() and table(procs=[Categorify, Stored]).state_dict()
    with told("tabular/table.py", "give it `load_state_dict(state)`"):
        Plain().load_state_dict({})
    Doubles().load_state_dict({})


def test_rows_of_a_table():
    to, positions = table(), [0, 1]
    with told("tabular/rows.py", "write to.items.iloc[...], or to.at(positions) for a table of these rows"):
        to.iloc[positions]
    assert len(to.items.iloc[positions]) == len(to.at(positions)) == 2
    with told("tabular/rows.py", "Give splits=(training rows, validation rows), or a splitter such as RandomSplitter()"):
        table(splits=None).subset(1)
    assert len(table(splits=(range(15), range(15, N))).subset(1)) == 5 and len(table(splits=RandomSplitter()).subset(1)) == 4
    with told("tabular/rows.py", "Add it to the frame, and name it in cat_names or cont_names, before making the table"):
        to["b"] = 1.0
    assert table(frame(b=1.0), cont_names=["a", "b"], cat_names=["c"])["b"] is not None
    df = frame().head(3)
    with told("tabular/rows.py", "For other rows write to.new(df).process()"):
        to[["a", "c"]] = df[["a", "c"]]
    assert len(to.new(df).process()) == 3


# -- missing values
@pytest.mark.parametrize("right", [{"cont_names": ["a"]}, {"procs": [Categorify, FillMissing(FillStrategy.constant)]}])
def test_a_column_without_values(right):
    df = frame(b=np.nan)
    with told("tabular/numeric.py", "leave it out, or use FillMissing(FillStrategy.constant)"):
        table(df, procs=[Categorify, FillMissing], cont_names=["a", "b"])
    fitted(table(df, **({"procs": [Categorify, FillMissing], "cont_names": ["a", "b"]} | right)))


def test_a_column_that_is_there_already():
    df = frame(a_na=["no"] * N)
    df.loc[3, "a"] = np.nan
    with told("tabular/numeric.py", "rename it, or write FillMissing(add_col=False)"):
        table(df, procs=[Categorify, FillMissing], cat_names=["c", "a_na"])
    fitted(table(df, procs=[Categorify, FillMissing(add_col=False)], cat_names=["c", "a_na"]))
    fitted(table(df.rename(columns={"a_na": "known"}), procs=[Categorify, FillMissing], cat_names=["c", "known"]))


# -- targets
@pytest.mark.parametrize("mend", [lambda df: df[df["y"].notna()], lambda df: df.fillna({"y": 0.0})])
def test_missing_targets(mend):
    df = frame()
    df.loc[3, "y"] = np.nan
    with told("tabular/targets.py", "Leave these rows out, df[df[…].notna()], or fill them in"):
        table(df)
    df = mend(df)                                           # df[df["y"].notna()], or filled in
    fitted(table(df, splits=RandomSplitter()))


def test_kinds_of_targets():
    words = frame(y=["no", "yes"] * (N // 2))
    with told("tabular/targets.py", "For classes write y_block=CategoryBlock"):
        table(words, y_block=RegressionBlock)
    fitted(table(words, y_block=CategoryBlock))
    with told("tabular/targets.py", "name its column(s) with y_names="):
        table(y_block=CategoryBlock, y_names=None)
    fitted(table(words, y_block=CategoryBlock, y_names="y"))
    late = frame(y=["a", "b"] * 7 + ["a"] + ["c"] * 5)
    with told("tabular/targets.py", "Give all classes with y_block=CategoryBlock(vocab=[...])"):
        table(late)
    fitted(table(late, y_block=CategoryBlock(vocab=["a", "b", "c"])))


def test_notes_about_targets():
    few, two = frame(y=np.arange(N) % 7), frame(y=np.arange(N) % 2 * 1.0)
    with told("tabular/targets.py", "classes; to predict a number write y_block=RegressionBlock"):
        table(few)
        raise UserWarning(table(few).target.note)
    with told("tabular/targets.py", "a number to predict; for classes write y_block=CategoryBlock"):
        raise UserWarning(table(two).target.note)
    assert table(few, y_block=RegressionBlock).target.kind == "regression"
    assert "class" in table(two, y_block=CategoryBlock).target.kind


def test_lists_of_labels():
    df = frame(y=["a;b", "a"] * (N // 2))
    with told("tabular/targets.py", "Split text with df[…].str.split(';'), write [] for no label"):
        table(df, y_block=MultiCategoryBlock)
    df["y"] = df["y"].str.split(";")
    df.at[2, "y"] = []
    fitted(table(df, y_block=MultiCategoryBlock))


@pytest.mark.parametrize("block, values", [(MultiCategoryBlock, [True, False]), (RegressionBlock, [0.5, 1.5])])
def test_several_targets(block, values):
    df = frame(y=values * (N // 2), z=values * (N // 2))
    with told("tabular/targets.py", "For several yes/no columns use MultiCategoryBlock, for several continuous targets RegressionBlock"):
        table(df, y_names=["y", "z"], y_block=CategoryBlock)
    fitted(table(df, y_names=["y", "z"], y_block=block))            # MultiCategoryBlock, RegressionBlock


# -- learners
def test_outputs_of_a_tabular_learner():
    with told("tabular/learner.py", "give y_names when making the loaders, or n_out="):
        tab_learner(table(y_names=None))
    assert tab_learner(table(y_names="y")) and tab_learner(table(y_names=None), n_out=2)
    one = frame(y=["a"] * 15 + ["a"] * 5)
    with told("tabular/learner.py", "Look at the column and at the split, or give all classes with y_block=CategoryBlock(vocab=[...])"):
        tab_learner(table(one))
    assert tab_learner(table(one, y_block=CategoryBlock(vocab=["a", "b"])))
    words = frame(y=np.arange(N) % 2)
    with told("tabular/learner.py", "leave y_range out, or make the loaders with y_block=RegressionBlock"):
        tab_learner(table(words), y_range=(0, 2))
    assert tab_learner(table(words)) and tab_learner(table(words, y_block=RegressionBlock), y_range=(0, 2))


def test_the_row_that_predict_returns():
    row = tab_learner().predict(frame().iloc[0])[0]
    with told("tabular/learner.py", "write row['column'] for a value of it, row.show() for a DataFrame"):
        row.mean()
    assert row["c"] == "x" and isinstance(row.show(), pd.DataFrame | type(None))


def mystery(preds, targets):
    return preds.mean()


def test_importance_of_columns():
    learn, df = tab_learner(metrics=AvgMetric(mystery)), frame()
    dls = learn.dls
    with told("tabular/interpret.py", "make them with dls.test_dl(df, with_labels=True)"):
        permutation_importance(learn, dl=dls.test_dl(df.drop(columns="y")))
    assert len(permutation_importance(learn, dl=dls.test_dl(df, with_labels=True), n_repeats=1)) == 2
    with told("tabular/interpret.py", "set its `lower_is_better`"):
        permutation_importance(learn, monitor="mystery")
    learn.metrics[0].lower_is_better = True
    assert len(permutation_importance(learn, monitor="mystery", n_repeats=1)) == 2


def test_a_baseline_of_other_data():
    learn, dls = tab_learner(), table(splits=(range(5, N), range(5))).dataloaders(bs=4)
    with told("tabular/baseline.py", "write tabular_baseline(learn.dls, learn)"):
        tabular_baseline(dls, learn)
    assert len(tabular_baseline(learn.dls, learn))


# -- Parquet
def test_columns_of_parquet_files(tmp_path):
    pytest.importorskip("pyarrow")
    df = frame(a_na=["no"] * N)
    df.loc[3, "a"] = np.nan
    df.to_parquet(tmp_path / "a.parquet")

    def make(**kwargs):
        kwargs |= {"y_names": "y", "splits": (range(15), range(15, N)), "bs": 4}
        return TabularDataLoaders.from_parquet(tmp_path / "a.parquet", **kwargs).train_ds

    with told("tabular/parquet.py", "give cat_names= and cont_names="):
        make(procs=[Categorify])
    assert len(make(procs=[Categorify, FillMissing], cat_names=["c"], cont_names=["a"])) == 15
    with told("tabular/parquet.py", "rename it, or write FillMissing(add_col=False)"):
        make(procs=[Categorify, FillMissing], cat_names=["c", "a_na"], cont_names=["a"])
    assert len(make(procs=[Categorify, FillMissing(add_col=False)], cat_names=["c", "a_na"], cont_names=["a"])) == 15
    df.rename(columns={"a_na": "known"}).to_parquet(tmp_path / "a.parquet")
    assert len(make(procs=[Categorify, FillMissing], cat_names=["c", "known"], cont_names=["a"])) == 15


def test_two_normalizes():
    with told("tabular/numeric.py", "For images write `from minifast.vision.all import *` after the import of minifast.tabular.all, or "
                                    "`minifast.vision.all.Normalize`; the one of tables is minifast.tabular.all.Normalize"):
        Normalize.from_stats([0.5], [0.5])
    from minifast.vision.all import Normalize as OfImages
    assert OfImages.from_stats([0.5], [0.5]).mean.shape == (1, 1, 1, 1)
    assert Normalize is minifast.tabular.all.Normalize
