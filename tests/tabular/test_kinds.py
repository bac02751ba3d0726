"""What columns hold, whatever their type: every kind as pandas objects, as Arrow, as polars, and what is made of it as input and target."""
import datetime as dt
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from suggestions import told

from minifast.data.block import RegressionBlock
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
                 [1, 2.5, Decimal(3)] * 8, [None, *(Fraction(i, 2) for i in range(1, N))]],
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


def met(values):
    "A frame with these values as column k, of which `cont_cat_split`, `numbers_of` and `from_df` say alike what to make."
    df = pd.DataFrame({"k": pd.Series(values, dtype=object), "z": np.arange(N), "y": ["p", "q"] * 12})
    with pytest.warns(UserWarning, match="left out 'k'") as warned:
        assert cont_cat_split(df, dep_var="y") == (["z"], [])
    advice = str(warned[0].message).split("To use it, ")[1]
    for call in (lambda: numbers_of(df["k"], "k"), lambda: TabularDataLoaders.from_df(df, cat_names=[], y_names="y")):
        with pytest.raises((TypeError, ValueError)) as error:
            call()
        assert str(error.value).endswith(advice)
    with pytest.raises(TypeError, match="the target 'k' holds object, a") as error:
        TabularPandas(df, [], [], ["z"], "k")
    assert advice in str(error.value) or str(error.value).endswith("for a list of labels per row write y_block=MultiCategoryBlock")
    return df


def is_number(df):
    assert TabularPandas(df, [], [], ["z"], "k", RegressionBlock).target.kind == "regression"
    return cont_cat_split(df, dep_var="y")[0] == ["k", "z"] and len(numbers_of(df["k"], "k")) == N


@pytest.mark.parametrize("values", OBJECTS["date"][:4])
def test_what_to_make_of_dates(values):
    df = met(values)
    with told("tabular/kinds.py", "make columns of it with add_datepart(df, "):
        cont_cat_split(df)
    add_datepart(df, "k")
    assert "kElapsed" in cont_cat_split(df, dep_var="y")[0] and TabularPandas(df.dropna(), [], [], ["z"], "kElapsed").vocab is None


@pytest.mark.parametrize("values", OBJECTS["duration"])
def test_what_to_make_of_durations(values):
    df = met(values)
    with told("tabular/kinds.py", "make a number of it, df[", "pd.to_timedelta(df["):
        cont_cat_split(df)
    with told("tabular/kinds.py", "]).dt.total_seconds()"):
        cont_cat_split(df)
    df["k"] = pd.to_timedelta(df["k"]).dt.total_seconds()
    assert is_number(df) and df["k"][1] == 3600


def test_what_to_make_of_times():
    df = met(OBJECTS["time of day"][0])
    with told("tabular/kinds.py", "].astype(str)).dt.total_seconds()"):
        cont_cat_split(df)
    df["k"] = pd.to_timedelta(df["k"].astype(str)).dt.total_seconds()
    assert is_number(df) and df["k"][1] == 5400


def test_what_to_make_of_lists():
    df = met([[0] * i for i in range(N)])
    with told("tabular/kinds.py", "].map(len)"):
        cont_cat_split(df)
    df["k"] = df["k"].map(len)
    assert is_number(df)


def test_what_to_make_of_complex_numbers():
    df = met([3 + 4j] * N)
    with told("tabular/kinds.py", "].map(abs)"):
        cont_cat_split(df)
    df["k"] = df["k"].map(abs)
    assert is_number(df) and df["k"][0] == 5


def test_numbers_as_text():
    df = pd.DataFrame({"k": [f"{i}.50" for i in range(N)], "z": np.arange(N), "y": ["p", "q"] * 12})
    with told("tabular/columns.py", "To have numbers write df[…] = "):
        assert cont_cat_split(df, dep_var="y")[1] == ["k"]
    with told("tabular/targets.py", "taken for classes; to predict a number write df[…] = "):
        assert TabularPandas(df, [], [], ["z"], "k").target.kind == "24 classes"
    assert as_numbers("k", "0.50") == "pd.to_numeric(df['k'])"
    df["k"] = pd.to_numeric(df["k"])
    assert is_number(df) and TabularPandas(df, [], [], ["z"], "k").vocab is None


def test_numbers_as_text_with_commas():
    df = pd.DataFrame({"k": [f"{i},50" for i in range(N)], "z": np.arange(N), "y": ["p", "q"] * 12})
    with told("tabular/kinds.py", "df[…].str.replace(',', '.')"):
        cont_cat_split(df, dep_var="y")
    df["k"] = pd.to_numeric(df["k"].str.replace(",", "."))
    assert is_number(df) and df["k"][1] == 1.5


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


def test_fractions_are_numbers_wherever_they_are_read():
    frame = pd.DataFrame({"k": [None, *(Fraction(i, 2) for i in range(1, N))], "c": list("ab") * (N // 2), "y": [0.5, 1.5] * (N // 2)})
    to = TabularPandas(frame, [Categorify, FillMissing], ["c"], ["k"], "y")
    assert to.items["k"].tolist()[1:4] == [0.5, 1, 1.5]
    assert TabularPandas(frame.iloc[1:], [Categorify], ["c"], [], "k").ys["k"].tolist()[:3] == [0.5, 1, 1.5]
