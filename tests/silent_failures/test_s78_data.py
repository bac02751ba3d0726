"""Rows S78 and S79 of docs/silent-failures.md: what columns hold, and what decides the split."""
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd

from minifast.data.splitters import ColSplitter
from minifast.tabular.columns import cont_cat_split
from minifast.tabular.loaders import TabularDataLoaders


def test_s78_numbers_in_columns_of_objects():
    """Numbers in columns of objects.

    Elsewhere: prices read from a data base as decimals, or floats in a column of objects, are categories, each price one of its own; so
    are dates.
    Here: a column is what its values are, in objects, Arrow and polars: decimals are continuous, and dates are left out with a warning
    that says what to make of them.
    """
    prices = [i + 0.25 for i in range(40)]
    frame = pd.DataFrame({"decimal": pd.Series([Decimal(str(p)) for p in prices], dtype=object), "x": pd.Series(prices, dtype=object)})
    assert cont_cat_split(frame) == (["decimal", "x"], [])


def test_s79_the_column_of_the_split():
    """The column that says which rows are for validation.

    Elsewhere: `is_valid` is an input like any other: constant in training, and a value that the network has never seen in validation.
    Here: a column by which a splitter decides is no input unless it is listed, and then it is named: "'is_valid' has 10 (100.0%), such as
    True".
    """
    i = np.arange(40)
    frame = pd.DataFrame({"x": i / 3, "y": np.array(["a", "b"])[i % 2], "is_valid": i % 4 == 0})
    dls = TabularDataLoaders.from_df(frame, y_names="y", splits=ColSplitter(), device="cpu")
    assert dls.x_names == ["x"]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        TabularDataLoaders.from_df(frame, cat_names="is_valid", y_names="y", splits=ColSplitter(), device="cpu")
    assert "'is_valid' has 10 (100.0%), such as True" in str(warned[0].message)
