"""What columns hold, whatever their type: every kind as pandas objects, as Arrow, as polars, and what is made of it as input and target."""
import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from suggestions import told

from minifast.tabular.columns import cont_cat_split, factorized, numbers_of
from minifast.tabular.dates import add_datepart
from minifast.tabular.frames import TabularPandas
from minifast.tabular.kinds import as_numbers, column_kind, numbers_in_text
from minifast.tabular.loaders import TabularDataLoaders
from minifast.tabular.procs import Categorify, FillMissing, Normalize

N = 24
DAYS = [dt.date(2020, 1, 1) + dt.timedelta(days=i) for i in range(N)]
TIMES = [dt.datetime(2020, 1, 1 + i) for i in range(N)]
PRICES = [Decimal(f"{i}.25") for i in range(N)]
#: kind: columns of it as Python objects
OBJECTS = {
    "floating": [PRICES, [None, *PRICES[1:]], [i + 0.5 for i in range(N)], [None, *(i + 0.5 for i in range(1, N))], [1, 2.5] * 12,
                 [1, 2.5, Decimal(3)] * 8],
    "integer": [list(range(N)), [None, *range(1, N)]],
    "boolean": [[True, False] * 12, [True, None] * 12],
    "date": [DAYS, [None, *DAYS[1:]], TIMES, list(pd.period_range("2020", periods=N, freq="M")),
             [pd.Timestamp("2020-01-01T00:00+01:00"), pd.Timestamp("2020-01-01T00:00+02:00")] * 12],
    "duration": [[dt.timedelta(hours=i) for i in range(N)], [pd.Timedelta(i, "h") for i in range(N)]],
    "time of day": [[dt.time(i, 30) for i in range(N)]],
    "list or dict": [[[1, 2], [3]] * 12, [{"a": 1}] * N, [np.zeros(2)] * N],
    "text": [["a", "b"] * 12, ["a", None] * 12, ["a", 1] * 12, [b"a"] * N, [None] * N, list(pd.interval_range(0, N))],
}
TYPED = {
    "floating": ["float32", "Float64"], "integer": ["int8", "UInt16"], "boolean": ["boolean"], "categorical": ["category"],
    "text": ["string", "str"], "complex number": ["complex64"],
}
CASES = [(kind, pd.Series(values, dtype=object)) for kind, columns in OBJECTS.items() for values in columns]
CASES += [(kind, pd.Series([1, 0] * 12).astype(dtype)) for kind, dtypes in TYPED.items() for dtype in dtypes]
CASES += [("date", pd.Series(pd.date_range("2020", periods=N, tz="Europe/Berlin"))), ("date", pd.Series(TIMES)),
          ("duration", pd.Series(pd.to_timedelta(range(N), "h")))]


def arrow_columns():
    pa = pytest.importorskip("pyarrow")
    typed = [("floating", PRICES, pa.decimal128(10, 2)), ("floating", [0.5, None] * 12, pa.float32()), ("integer", range(N), pa.int32()),
             ("boolean", [True, None] * 12, pa.bool_()), ("date", DAYS, pa.date32()), ("date", TIMES, pa.timestamp("us")),
             ("date", TIMES, pa.timestamp("us", "Europe/Berlin")), ("duration", range(N), pa.duration("s")),
             ("time of day", OBJECTS["time of day"][0], pa.time64("us")), ("list or dict", [[1], [2]] * 12, pa.list_(pa.int64())),
             ("list or dict", [{"a": 1}] * N, pa.struct([("a", pa.int64())])), ("text", ["a", "b"] * 12, pa.string()),
             ("text", [b"a"] * N, pa.binary())]
    return [(kind, pd.Series(pd.arrays.ArrowExtensionArray(pa.array(values, dtype)))) for kind, values, dtype in typed]


def test_kinds_of_columns():
    for kind, column in CASES + arrow_columns():
        assert column_kind(column) == kind, (kind, column.dtype, column.iloc[-1])


def test_columns_are_told_apart_by_what_they_hold(recwarn):
    frame = pd.DataFrame({f"{kind} {i}": column for i, (kind, column) in enumerate(CASES + arrow_columns())})
    frame["few"] = pd.Series([0, 1] * 12, dtype=object)
    cont, cat = cont_cat_split(frame)
    assert {name.rsplit(" ", 1)[0] for name in cont} == {"floating", "integer"}
    assert {name.rsplit(" ", 1)[0] for name in cat} == {"boolean", "categorical", "integer", "text", "few"}
    for name in cat:
        assert not name.startswith("integer") or frame[name].nunique() <= 20
    for kind in ("date", "duration", "time of day", "list or dict", "complex number"):
        assert sum(f"each value is a {kind}." in str(w.message) for w in recwarn) == 1


@pytest.mark.parametrize(("values", "words"), [
    (DAYS, "make columns of it with add_datepart(df, …)"),
    (OBJECTS["duration"][0], "make a number of it, df[…] = pd.to_timedelta(df[…]).dt.total_seconds()"),
    (OBJECTS["time of day"][0], "make a number of it, df[…] = pd.to_timedelta(df[…].astype(str)).dt.total_seconds()"),
    (OBJECTS["list or dict"][0], "make a number of it, for example df[…] = df[…].map(len)"),
    (OBJECTS["list or dict"][1], "make a number of it, for example df[…] = df[…].map(len)"),
    ([1j, 2j] * 12, "make a number of it, for example df[…] = df[…].map(abs)")])
def test_what_to_make_of_other_kinds(values, words):
    df = pd.DataFrame({"k": pd.Series(values, dtype=object), "z": np.arange(N), "y": ["p", "q"] * 12})
    said = words.replace("…", "'k'")
    with pytest.warns(UserWarning, match="left out 'k'") as warned:
        assert cont_cat_split(df, dep_var="y") == (["z"], [])
    assert said in str(warned[0].message)
    for call in (lambda: numbers_of(df["k"], "k"), lambda: TabularDataLoaders.from_df(df, cat_names=[], y_names="y")):
        with pytest.raises((TypeError, ValueError)) as error:
            call()
        assert said in str(error.value)
    with pytest.raises(TypeError, match="the target 'k' holds object, a"):
        TabularPandas(df, [], [], ["z"], "k")
    df["k"] = {"add_datepart": lambda: add_datepart(df, "k", drop=False)["kElapsed"], "astype(str)": lambda: pd.to_timedelta(
        df["k"].astype(str)).dt.total_seconds(), "to_timedelta": lambda: pd.to_timedelta(df["k"]).dt.total_seconds(),
        "len": lambda: df["k"].map(len), "abs": lambda: df["k"].map(abs)}[next(w for w in (
            "add_datepart", "astype(str)", "to_timedelta", "len", "abs") if w in said)]()
    assert numbers_of(df["k"], "k").dtype == np.float64 and column_kind(df["k"]) in ("integer", "floating")


@pytest.mark.parametrize(("text", "write"), [("1.50", "pd.to_numeric(df['k'])"), ("1,50", "pd.to_numeric(df['k'].str.replace(',', '.'))")])
def test_numbers_as_text(text, write):
    df = pd.DataFrame({"k": [text.replace("1", str(i)) for i in range(N)], "z": np.arange(N), "y": ["p", "q"] * 12})
    assert as_numbers("k", text) == write
    with pytest.warns(UserWarning) as warned:
        assert cont_cat_split(df, dep_var="y")[1] == ["k"]
    assert f"write df['k'] = {write}" in str(warned[0].message)
    with pytest.warns(UserWarning) as warned:
        TabularPandas(df, [], [], ["z"], "k")
    assert f"24 different values: taken for classes; to predict a number write df['k'] = {write}" in str(warned[0].message)
    df["k"] = eval(write, {"pd": pd, "df": df})
    assert cont_cat_split(df, dep_var="y")[0] == ["k", "z"] and TabularPandas(df, [], [], ["z"], "k").vocab is None


def test_text_that_is_no_number(recwarn):
    codes = [[f"{i:05d}" for i in range(N)], [f"10.0.0.{i}" for i in range(N)], [f"2020-01-{i + 1}" for i in range(N)],
             [f"{i}.5" if i else "none" for i in range(N)], [f"{i} 000,5 EUR" for i in range(N)]]
    for values in codes:
        assert numbers_in_text(pd.Series(values)) is None and cont_cat_split(pd.DataFrame({"k": values})) == ([], ["k"])
    assert cont_cat_split(pd.DataFrame({"k": ["1.5", "2.5"] * 12})) == ([], ["k"]) and not recwarn


def test_lists_cannot_be_categories():
    for kind, column in CASES + arrow_columns():
        if kind == "list or dict":
            with pytest.raises(TypeError, match="categorical column None holds values that cannot be categories"):
                factorized(column)


def test_a_list_target_says_which_block():
    df = pd.DataFrame({"z": np.arange(N), "k": [["a", "b"], ["a"]] * 12})
    with told("tabular/targets.py", "for a list of labels per row write y_block=MultiCategoryBlock"):
        TabularPandas(df, [], [], ["z"], "k")
    from minifast.data.block import MultiCategoryBlock
    assert TabularPandas(df, [], [], ["z"], "k", y_block=MultiCategoryBlock).vocab == ["a", "b"]


def test_frames_and_rows_of_polars():
    pl = pytest.importorskip("polars")
    df = pl.DataFrame({"price": PRICES, "day": DAYS, "wait": OBJECTS["duration"][0], "at": OBJECTS["time of day"][0],
                       "parts": [[1], [2]] * 12, "kind": pl.Series(["a", "b"] * 12, dtype=pl.Categorical), "y": ["p", "q"] * 12})
    with pytest.warns(UserWarning, match="left out"):
        to = TabularDataLoaders.from_df(df, y_names="y", device="cpu").train.dataset
    assert (to.cat_names, to.cont_names) == (["kind"], ["price"])
    codes, numbers = to.encode_row(df.row(3, named=True))
    assert codes == [2] and numbers == pytest.approx([to.test_set(df[3:4]).conts.iloc[0, 0]])


def test_decimals_of_frames_and_rows_agree():
    df = pd.DataFrame({"k": pd.Series([None, *PRICES[1:]], dtype=object), "y": ["p", "q"] * 12})
    to = TabularPandas(df, [Categorify, FillMissing, Normalize], [], ["k"], "y")
    assert to.conts["k"].iloc[3] == pytest.approx((3.25 - to.means["k"]) / to.stds["k"])
    for i in (0, 3):
        (mark,), (number,) = to.encode_row(df.iloc[i])
        assert mark == to.cats["k_na"].iloc[i] and number == pytest.approx(to.conts["k"].iloc[i])
    assert TabularPandas(df[1:].assign(z=1), [], [], ["z"], "k").target.kind == "regression"
