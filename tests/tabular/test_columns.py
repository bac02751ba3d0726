"""Which columns are what, smaller types, exact numbers."""
import numpy as np
import pandas as pd
import pytest

from minifast.tabular.columns import cont_cat_split, df_shrink, df_shrink_dtypes, numbers_of


def test_cont_cat_split_by_type_and_in_the_order_of_the_frame():
    n = 30
    df = pd.DataFrame({"f": np.linspace(0, 1, n), "i_many": range(n), "i_few": [1, 2, 3] * 10, "s": ["a", "b"] * 15,
                       "b": [True, False] * 15,
                       "c": pd.Categorical([1, 2] * 15), "I": pd.array(list(range(n - 1)) + [None], dtype="Int64"),
                       "F": pd.array([0.5] * n, dtype="Float64"), "u": np.arange(n, dtype="uint8"), "f_few": [0.0,
                                                                                                              1.0] * 15, "y": range(n)})
    cont, cat = cont_cat_split(df, dep_var="y")
    assert cont == ["f", "i_many", "I", "F", "u", "f_few"] and cat == ["i_few", "s", "b", "c"]
    assert cont_cat_split(df, max_card=2, dep_var=["y", "s"])[0] == ["f", "i_many", "i_few", "I", "F", "u", "f_few"]
    assert "y" in cont_cat_split(df)[0]


def test_cont_cat_split_says_what_it_leaves_out():
    df = pd.DataFrame({"d": pd.to_datetime(["2020-01-01"]), "x": [1.0]})
    with pytest.warns(UserWarning, match="left out 'd': each value is a date.*add_datepart"):
        assert cont_cat_split(df) == (["x"], [])
    with pytest.raises(ValueError, match=r"there is no column 'z'"):
        cont_cat_split(df, dep_var="z")


def test_df_shrink_loses_nothing():
    df = pd.DataFrame({"small": [0, 100], "neg": [-1, 40_000], "big": [2**40, 1], "half": [0.5, np.nan], "id": [20_000_001.0, 20_000_002.0],
                       "tenth": [0.1, 0.2], "s": ["a", "b"], "b": [True, False]})
    out = df_shrink(df)
    assert dict(out.dtypes.astype(str)) == {"small": "int8", "neg": "int32", "big": "int64", "half": "float32", "id": "float64",
                                            "tenth": "float64", "s": "category", "b": "bool"}
    for name in df:
        assert out[name].tolist() == df[name].tolist() or out[name].isna().any()
    assert df["small"].dtype == "int64"                                        # the frame itself is as it was
    assert str(df_shrink(df, int2uint=True)["small"].dtype) == "uint8" and "neg" not in df_shrink_dtypes(df, skip=["neg"])
    assert df_shrink(df, obj2cat=False)["s"].dtype == df["s"].dtype


def test_df_shrink_leaves_lists_as_they_are():
    df = pd.DataFrame({"k": [[1], [2, 3], None], "d": [{}, {}, {}], "s": pd.Series(["a", None, "a"], dtype=object)})
    out = df_shrink(df)
    assert dict(out.dtypes.astype(str)) == {"k": "object", "d": "object", "s": "category"} and out["k"].equals(df["k"])


@pytest.mark.parametrize("column", [
    pd.Series([1, 2, 3]), pd.Series([1, 2, 3], dtype="uint64"), pd.Series([1, 2, 3], dtype="Int8"), pd.Series(["1", "2", "3"]),
    pd.Series([1, 2, 3], dtype=object), pd.Series(pd.Categorical([1, 2, 3])), pd.Series([1.0, 2.0, 3.0], dtype="Float64")])
def test_numbers_of_any_type(column):
    found = numbers_of(column, "x")
    assert found.dtype == np.float64 and found.tolist() == [1, 2, 3]


def test_numbers_keep_missing_values_and_precision():
    found = numbers_of(pd.Series([2**53 - 1, None], dtype="Int64"), "x")
    assert found[0] == 2**53 - 1 and np.isnan(found[1])
    assert np.isnan(numbers_of(pd.Series([None, pd.NA, 3.0, np.nan], dtype=object), "x")).tolist() == [True, True, False, True]
    assert np.isnan(numbers_of(pd.Series(pd.Categorical([1, None, 2])), "x")).tolist() == [False, True, False]


def test_what_is_no_number_is_refused():
    with pytest.raises(TypeError, match=r"continuous column 'x' holds 'abc', which is no number: list the column in cat_names"):
        numbers_of(pd.Series(["1", "abc"]), "x")
    with pytest.raises(TypeError, match=r"'x' holds datetime64.*add_datepart\(df, 'x'\)"):
        numbers_of(pd.Series(pd.to_datetime(["2020-01-01"])), "x")
    with pytest.raises(TypeError, match=r"total_seconds"):
        numbers_of(pd.Series(pd.to_timedelta([1], unit="s")), "x")
    for values, advice in ((pd.to_datetime(["2020-01-01"]), "add_datepart"), (pd.to_timedelta([1], unit="s"), "total_seconds"),
                           ([1j], "abs")):
        for missing in ([], [None]):                # of a category its values count
            with pytest.raises(TypeError, match=advice):
                numbers_of(pd.Series(pd.Categorical([*values, *missing])), "x")
    with pytest.raises(ValueError, match=r"infinite values in 1 row \('b'\)"):
        numbers_of(pd.Series([1.0, np.inf], index=["a", "b"]), "x")


@pytest.mark.parametrize("function", [cont_cat_split, df_shrink])
def test_repeated_columns_are_refused(function):
    df = pd.DataFrame([[1, 2.0, 3]], columns=["a", "b", "a"])
    with pytest.raises(ValueError, match=f"{function.__name__}: the frame has several columns named 'a'"):
        function(df)
