"""Categorify, FillMissing, Normalize: learnt from training rows alone, by value, in the right order; what they report."""
import gc
import pickle
import warnings
import weakref
from functools import partial

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from minifast.tabular import columns
from minifast.tabular import table as table_module
from minifast.tabular.frames import TabularPandas
from minifast.tabular.procs import Categorify, FillMissing, FillStrategy, Normalize, TabularProc, as_procs

SPLITS = ([0, 1, 2, 3], [4, 5])


def table(df, procs, cat=(), cont=(), splits=SPLITS):
    return TabularPandas(df, procs, list(cat), list(cont), splits=splits)


def test_categories_are_those_of_the_training_rows_sorted():
    to = table(pd.DataFrame({"a": ["b", "a", "d", None, "zz", "a"]}), Categorify, ["a"])
    assert list(to.classes["a"]) == ["#na#", "a", "b", "d"]
    assert to.cats["a"].tolist() == [2, 1, 3, 0, 0, 1]
    assert to.unseen == {"a": (1, "zz")} and to.missing == {"a": 1}
    assert "values not seen in training count as missing (#na#): 'a' has 1 (16.7%), such as 'zz'" in to.report
    ordered = pd.DataFrame({"a": pd.Categorical(["b", "a", "d", None, "e", "a"], ["d", "e", "b", "a"], ordered=True)})
    assert list(table(ordered, Categorify, ["a"]).classes["a"]) == ["#na#", "d", "b", "a"]       # its order, without what training lacks


TRAIN = pd.DataFrame({"s": ["b", "a", "d"], "i": [10, 20, 30], "f": [1.5, 2.0, 3.0], "b": [True, False, True],
                      "t": pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"])})
NEW = {
    "s": [pd.Series(["a", "d", "b"]), pd.Series(["a", "d", "b"], dtype=object), pd.Series(pd.Categorical(["a", "d", "b"], ["d", "b", "a"])),
          pd.Series(["a", "d", "b"], dtype="string"), pd.Series(np.array(["a", "d", "b"]))],
    "i": [pd.Series([20, 30, 10]), pd.Series([20.0, 30.0, 10.0]), pd.Series([20, 30, 10], dtype="uint8"),
          pd.Series([20, 30, 10], dtype="Int16"),
          pd.Series([20, 30, 10], dtype=object), pd.Series(pd.Categorical([20, 30, 10])), pd.Series([20, 30, 10], dtype="Float64")],
    "f": [pd.Series([2.0, 3.0, 1.5]), pd.Series([2, 3, 1.5], dtype=object), pd.Series([2.0, 3.0, 1.5], dtype="float32")],
    "b": [pd.Series([False, True, True]), pd.Series([0, 1, 1]), pd.Series([False, True, True], dtype="boolean"),
          pd.Series([False, True, True], dtype=object)],
    "t": [TRAIN["t"][[1, 2, 0]], TRAIN["t"][[1, 2, 0]].astype("datetime64[s]"), TRAIN["t"][[1, 2, 0]].astype(object)],
}
WANTED = {"s": [1, 3, 2], "i": [2, 3, 1], "f": [2, 3, 1], "b": [1, 2, 2], "t": [2, 3, 1]}


@pytest.mark.parametrize(("name", "column"), [(n, c) for n, columns in NEW.items() for c in columns],
                         ids=[f"{n}-{c.dtype}" for n, columns in NEW.items() for c in columns])
def test_categories_are_looked_up_by_value_whatever_the_type(name, column):
    to = TabularPandas(TRAIN, Categorify, [name])
    new = to.new(pd.DataFrame({name: column})).process()
    assert new.cats[name].tolist() == WANTED[name] and new.unseen == {}


def test_pandas_codes_are_never_taken_for_ids():
    to = TabularPandas(pd.DataFrame({"a": ["b", "a", "d"]}), Categorify, ["a"])
    with pytest.warns(UserWarning, match="'a' has 1 \\(33.3%\\), such as 'zz'"):
        new = to.new(pd.DataFrame({"a": pd.Categorical(["b", "d", "zz"])})).process()
    assert new.cats["a"].tolist() == [2, 3, 0]


def test_pyarrow_strings():
    pytest.importorskip("pyarrow")
    to = TabularPandas(TRAIN, Categorify, ["s"])
    assert to.new(pd.DataFrame({"s": pd.Series(["d", None, "a"], dtype="string[pyarrow]")})).process().cats["s"].tolist() == [3, 0, 1]


def test_ids_keep_every_digit():
    ids = np.arange(180) + 2e7
    df = pd.DataFrame({"f": ids, "i": 2**62 + np.arange(180), "o": [2**70 + i for i in range(180)], "x": np.arange(180.0)})
    to = TabularPandas(df, [Categorify, Normalize], ["f", "i", "o"], ["x"], reduce_memory=True)
    assert [len(c) for c in to.classes.values()] == [181, 181, 181]
    assert to.cats.nunique().tolist() == [180, 180, 180]


def test_text_where_training_had_numbers_is_pointed_out():
    to = TabularPandas(TRAIN, Categorify, ["i"])
    with pytest.warns(UserWarning, match=r"'i' has 3 \(100.0%\), such as '10', but training had int values like 10"):
        to.new(pd.DataFrame({"i": ["10", "20", "30"]})).process()


def test_nothing_grows_at_inference():
    to = TabularPandas(TRAIN, Categorify, ["s"])
    before = list(to.classes["s"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(20):
            to.new(pd.DataFrame({"s": [f"new{i}"]})).process()
            to.encode_row({"s": f"row{i}"})
    assert list(to.classes["s"]) == before
    with pytest.raises(TypeError):
        to.classes["s"]["new"] = 7


def test_unexpected_missing_values_are_reported():
    to = TabularPandas(pd.DataFrame({"a": ["x", "y"], "n": [1.0, 3.0]}), [FillMissing, Categorify, Normalize], ["a"], ["n"])
    with pytest.warns(UserWarning, match=r"missing values in columns that had none in training: 'n' has 1, 'a' has 1"):
        new = to.new(pd.DataFrame({"a": [None, "y"], "n": [np.nan, 3.0]})).process()
    assert new.cats["a"].tolist() == [0, 2] and new.conts["n"].tolist() == [0.0, 1.0] and new.missing == {"n": 1, "a": 1}
    expected = TabularPandas(pd.DataFrame({"a": ["x", None], "n": [1.0, np.nan]}), [FillMissing, Categorify], ["a"], ["n"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")                       # what training had needs no word
        expected.new(pd.DataFrame({"a": [None], "n": [np.nan]})).process()


def test_long_columns_take_the_quick_ways_and_give_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    names = np.array([f"v{i}" for i in range(50)], dtype=object)
    n = 4000
    df = pd.DataFrame({"s": pd.Series(names[rng.integers(0, 50, n)], dtype=object), "i": rng.integers(-20, 300, n), "x": rng.normal(size=n),
                       "far": rng.integers(0, 2**60, 30)[rng.integers(0, 30, n)], "m": names[rng.integers(0, 50, n)]})
    df.loc[rng.random(n) < 0.1, ["x", "m"]] = None
    splits = [np.arange(0, n, 2), np.arange(1, n, 2)]
    args = [Categorify, FillMissing, Normalize], ["s", "i", "far", "m"], ["x"], None, None, splits
    slow = TabularPandas(df, *args)
    for module in (columns, table_module):
        monkeypatch.setattr(module, "THREADS_FROM", 100)
    assert columns._by_identity(df["s"].to_numpy()) is not None
    assert columns._by_identity(np.array([f"a{i}" for i in range(n)], "O")) is None
    quick = TabularPandas(df, *args)
    pd.testing.assert_frame_equal(slow.items, quick.items)
    assert {k: list(v) for k, v in slow.classes.items()} == {k: list(v) for k, v in quick.classes.items()}
    by_hand = sorted(df["m"].iloc[splits[0]].dropna().unique())
    assert quick.cats["m"].tolist() == [0 if pd.isna(v) else 1 + by_hand.index(v) for v in df["m"]]


def test_values_that_cannot_be_categories():
    with pytest.raises(TypeError, match=r"categorical column 'a' holds values that cannot be categories .*received list"):
        TabularPandas(pd.DataFrame({"a": [[1], [2]]}), Categorify, ["a"])
    mixed = TabularPandas(pd.DataFrame({"a": ["b", 3, "a", 1.5]}), Categorify, ["a"])
    assert list(mixed.classes["a"]) == ["#na#", 1.5, 3, "a", "b"]                               # type by type


# -- missing numbers ---------------------------------------------------------------------------------------------------------------
GAPS = pd.DataFrame({"x": [1.0, np.nan, 9.0, 2.0, np.nan, 5.0], "full": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
                     "late": [1.0, 1.0, 4.0, 2.0, np.nan, 5.0]})


@pytest.mark.parametrize(("proc", "fill"), [(FillMissing, 2.0), (FillMissing(FillStrategy.median), 2.0), (FillMissing("mode"), 1.0),
                                            (FillMissing(FillStrategy.constant), 0.0), (FillMissing(FillStrategy.constant, fill_vals=7),
                                                                                        7.0),
                                            (FillMissing(FillStrategy.constant, fill_vals={"x": -1}), -1.0)])
def test_fill_strategies_learn_from_training_rows(proc, fill):
    to = table(GAPS, proc, cont=["x", "full", "late"])
    assert to.conts["x"].tolist() == [1, fill, 9, 2, fill, 5]
    assert to.procs[0].na_cols == {"x": "x_na"}                                   # 'late' has no gap in the training rows
    assert to.cats["x_na"].tolist() == [False, True, False, False, True, False] and to.missing == {"x": 2, "late": 1}


def test_marks_become_categories_and_can_be_left_out():
    to = table(GAPS, [Normalize, Categorify, FillMissing], cont=["x", "full"])
    assert to.cat_names == ["x_na"] and list(to.classes["x_na"]) == ["#na#", False, True] and to.cats["x_na"].tolist() == [1, 2, 1, 1, 2, 1]
    assert [type(p) for p in to.procs] == [FillMissing, Categorify, Normalize]
    none = to.new(pd.DataFrame({"x": [1.0], "full": [1.0]})).process()
    assert none.cats["x_na"].tolist() == [1]
    assert table(GAPS, FillMissing(add_col=False), cont=["x"]).cat_names == []


def test_fill_missing_refuses():
    with pytest.raises(ValueError, match=r"fill_strategy='mean'\): it is FillStrategy.median, constant or mode"):
        FillMissing("mean")
    with pytest.raises(ValueError, match=r"fill_vals=.*\): goes with FillStrategy.constant; received fill_strategy='median'"):
        FillMissing(fill_vals=3)
    with pytest.raises(KeyError, match=r"'xx' is no continuous column; did you mean 'x'\?"):
        table(GAPS, FillMissing("constant", fill_vals={"xx": 1}), cont=["x"])
    with pytest.raises(ValueError, match=r"'x' has no value at all in the training rows"):
        table(GAPS.assign(x=[np.nan] * 4 + [1.0, 2.0]), FillMissing, cont=["x"])
    with pytest.raises(ValueError, match=r"'x' has no value at all in the training rows"):
        table(GAPS.assign(x=[np.nan] * 4 + [1.0, 2.0]), Normalize, cont=["x"])
    with pytest.raises(ValueError, match=r"would add a column 'x_na', but there is one"):
        table(GAPS.assign(x_na="a"), FillMissing, ["x_na"], ["x"])


# -- scale -------------------------------------------------------------------------------------------------------------------------
def test_normalize_is_sklearns_scaler_of_the_training_rows():
    df = pd.DataFrame(np.random.default_rng(0).normal(1e9, 3, (6, 2)), columns=["a", "b"])
    to = table(df, Normalize, cont=["a", "b"])
    scaler = StandardScaler().fit(df.iloc[:4].to_numpy())
    np.testing.assert_allclose(to.conts.to_numpy(), scaler.transform(df.to_numpy()), rtol=1e-5)
    assert to.conts.dtypes.tolist() == [np.float32] * 2 and to.conts["a"].iloc[:4].std(ddof=0) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("value", [1.0, 0.1, 1e9 + 0.1])
def test_a_constant_column_is_divided_by_one(value):
    df = pd.DataFrame({"k": [value] * 4 + [value + 0.5, value]})
    with pytest.warns(UserWarning, match="constant columns in the training rows, which carry no information and are not scaled: 'k'"):
        to = table(df, Normalize, cont=["k"])
    np.testing.assert_allclose(to.conts["k"], [0, 0, 0, 0, 0.5, 0], atol=1e-6)


def test_numbers_of_the_validation_rows_do_not_leak():
    a = table(GAPS, [FillMissing, Normalize], cont=["x", "full"])
    b = table(GAPS.assign(x=GAPS["x"].where(GAPS.index < 4, 1e6)), [FillMissing, Normalize], cont=["x", "full"])
    assert a.procs[1].means == b.procs[1].means and a.procs[0].na_dict == b.procs[0].na_dict


# -- procs -------------------------------------------------------------------------------------------------------------------------
def test_order_and_instances():
    made = as_procs([Normalize, Categorify, FillMissing])
    assert [type(p).__name__ for p in made] == ["FillMissing", "Categorify", "Normalize"]
    shared = [Categorify(), FillMissing()]
    first = TabularPandas(pd.DataFrame({"a": ["x", "y"]}), shared, ["a"])
    TabularPandas(pd.DataFrame({"a": ["p", "q"]}), shared, ["a"])
    assert list(first.classes["a"]) == ["#na#", "x", "y"] and shared[0] is first.procs.categorify   # each table has its own


def test_a_function_among_the_procs_changes_the_columns():
    def double(to):
        to["a"] = to["a"] * 2
        to.transform(["b"], lambda column: column.str.upper())
        to[["a"]] = to[["a"]] + 1
        return to

    df = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]})
    to = TabularPandas(df, [Categorify, double], "b", "a")
    assert to.conts["a"].tolist() == [3.0, 5.0] and list(to.classes["b"]) == ["#na#", "X", "Y"] and df["a"].tolist() == [1.0, 2.0]
    assert to.test_set({"a": 5.0, "b": "y"}).xs.iloc[0].tolist() == [2, 11.0] and repr(to.procs.double) == "double"
    assert TabularPandas(df, [Categorify, lambda to: None], "b", "a").conts["a"].tolist() == [1.0, 2.0]
    with pytest.raises(TypeError, match=r"the function <lambda> among the procs returned int 3: it changes the columns"):
        TabularPandas(df, [lambda to: 3], "b", "a")
    with pytest.raises(KeyError, match=r"the table has no column 'c'"):
        TabularPandas(df, [lambda to: to["c"]], "b", "a")
    with pytest.raises(TypeError, match=r"the function double among the procs cannot be stored, .*: write a class instead"):
        to.state_dict()


def test_an_instance_has_what_its_table_learnt():
    cat, norm = Categorify(), Normalize()
    to = TabularPandas(pd.DataFrame({"a": ["x", "y"], "b": [1.0, 3.0]}), [cat, norm], "a", "b")
    assert cat["a"] is to.procs.categorify["a"] and to.categorify is cat and to.normalize.means == to.means == norm.means == {"b": 2.0}
    assert to.procs.stds == {"b": 1.0} and pickle.loads(pickle.dumps(to)).means == {"b": 2.0}
    with pytest.raises(AttributeError, match=r"no proc of this table is, or has, 'categorize': they are categorify, normalize. .*to.vocab"):
        to.procs.categorize
    with pytest.raises(AttributeError, match=r"a table has no attribute 'b': the column is to\['b'\]"):
        to.b
    with pytest.raises(AttributeError, match=r"'iloc': write to.items.iloc\[...\], or to.at\(positions\)"):
        to.iloc


def test_a_fill_strategy_of_ones_own():
    df = pd.DataFrame({"a": [1.0, 2.0, 6.0, np.nan]})
    to = TabularPandas(df, FillMissing(lambda column, fill: column.mean() + fill, fill_vals={"a": 10}, add_col=False), [], "a")
    assert to.na_dict == {"a": 13.0} and to.conts["a"].tolist() == [1, 2, 6, 13]
    assert TabularPandas.from_state_dict(to.state_dict()).test_set(df[3:]).conts["a"].tolist() == [13]


def test_wrong_procs():
    with pytest.raises(TypeError, match=r"procs takes Categorify, .* or a function of the table; received str 'cat'"):
        as_procs(["cat"])
    with pytest.raises(TypeError, match=r"The Normalize of tables is minifast.tabular.all.Normalize"):
        as_procs([Categorify, type("Normalize", (), {})])                        # that of pictures, say
    with pytest.raises(ValueError, match=r"procs lists Categorify more than once"):
        as_procs([Categorify, Categorify()])


class Log(TabularProc):
    "A proc of a user's own, between FillMissing and Normalize."

    order = 1

    def encodes(self, table):
        table.conts["x"] = np.log(table.conts["x"])

    def decodes(self, table):
        table.conts["x"] = np.exp(table.conts["x"])


def test_a_proc_of_ones_own():
    df = pd.DataFrame({"x": [1.0, 10.0, 100.0]})
    to = TabularPandas(df, [Normalize, Log], [], ["x"])
    np.testing.assert_allclose(to.conts["x"], [-1.2247449, 0, 1.2247449], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(to.decode()["x"], df["x"], rtol=1e-5)
    assert to.encode_row({"x": 1.0}) is None and repr(to.procs) == "[Log, Normalize]"


def test_train_is_the_table_of_the_training_rows():
    class Centre(TabularProc):
        stored = ("mean", "most")

        def setups(self, to):
            self.mean, self.most = to.train["x"].mean(), to.train["a"].mode()[0]
            self.rows, self.frame = len(to.train), to.train[["x", "a"]]

        def encodes(self, to):
            to["x"] = to["x"] - self.mean

    df = pd.DataFrame({"x": [1.0, 2, 3, 6, 100, 200], "a": ["p", "q", "q", "r", "r", "r"]}, index=list("uvwxyz"))
    to = table(df, [Centre, Categorify], ["a"], ["x"])
    proc = to.procs.centre
    assert (proc.mean, proc.most, proc.rows) == (3.0, "q", 4) and proc.frame.index.tolist() == list("uvwx")
    assert to.conts["x"].tolist() == [-2, -1, 0, 3, 97, 197]
    whole = TabularPandas(df, Centre, ["a"], ["x"])
    assert whole.procs.centre.rows == 6


def test_values_that_come_late_or_only_in_validation_rows():
    n = 200_000
    a, b = np.zeros(n, dtype=np.int64), np.array(["x"] * n, dtype=object)
    a[150_000], a[10], a[199_999] = 1, 2, 3
    b[190_000], b[5], b[6] = "late", "only valid", None
    to = TabularPandas(pd.DataFrame({"a": a, "b": b}), Categorify, ["a", "b"], splits=(np.r_[0:5, 20:n], np.r_[5:20]))
    assert list(to.classes["a"]) == ["#na#", 0, 1, 3] and list(to.classes["b"]) == ["#na#", "late", "x"]
    assert to.unseen == {"a": (1, 2), "b": (1, "only valid")} and to.missing == {"b": 1}
    assert to.cats["a"].iloc[[150_000, 10, 199_999, 7]].tolist() == [2, 0, 3, 1]
    assert to.cats["b"].iloc[[190_000, 5, 6, 7]].tolist() == [1, 0, 0, 2]
    with pytest.warns(UserWarning, match="'b' has 1"):                         # none was missing in the training rows
        to.new(pd.DataFrame({"a": [1], "b": [None]})).process()


def test_the_columns_being_processed_are_freed_at_once(monkeypatch):
    tables, init = [], table_module.Table.__init__

    def noted(self, *args, **kwargs):
        init(self, *args, **kwargs)
        tables.append(weakref.ref(self))

    monkeypatch.setattr(table_module.Table, "__init__", noted)
    df = pd.DataFrame({"k": list("abca"), "x": [1.0, 2.0, np.nan, 4.0], "y": [0, 1, 0, 1]})
    gc.disable()
    try:
        TabularPandas(df, [Categorify, FillMissing, Normalize], ["k"], ["x"], "y", splits=[[0, 1, 2], [3]])
        assert tables and [ref() for ref in tables] == [None] * len(tables)
    finally:
        gc.enable()


def test_what_is_kept_belongs_to_one_function():
    class Ranges(TabularProc):
        def encodes(self, table):
            found = [table.once(f, table.conts, "n") for f in (lambda v: v.min(), lambda v: v.max(), partial(np.quantile, q=0.5), np.ptp)]
            table.conts["n"] = np.array(found + [0.0] * (len(table) - len(found)))

    to = table(pd.DataFrame({"n": [1.0, 2, 3, 4, 5, 9]}), Ranges, cont=["n"])
    assert to.conts["n"].tolist() == [1, 9, 3.5, 8, 0, 0]
