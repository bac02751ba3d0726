"""Columns of the items, read at once."""
import pandas as pd
import pytest

from minifast.data.rows import Rows
from minifast.timeseries.all import TSDataLoaders
from minifast.timeseries.columns import ReadColumns

DF = pd.DataFrame({"a": [1, 2, 3], "b": [0.5, 1.5, 2.5], "tags": ["x;y", "", "z"]}, index=["r", "s", "t"])


@pytest.mark.parametrize("reader", [ReadColumns("a"), ReadColumns(["a", "b"]), ReadColumns("tags", ";")])
def test_columns_are_what_rows_hold(reader):
    values = reader.encode_ahead(Rows(DF))
    assert list(values) == [reader(DF.astype(object).iloc[i]) for i in range(3)]
    part = values.subset([2, 0])
    assert list(part) == [values[2], values[0]] and part.item_name(0).startswith("row 't'")
    assert reader.encode_ahead(Rows([{"a": 1}])) is None


def test_items_that_cannot_be_are_named():
    frame = pd.DataFrame({f"t{i}": range(10) for i in range(3)}).astype(float).assign(y=[*"ababababa", None], n=1.0)
    steps = ["t0", "t1", "t2"]
    with pytest.raises(ValueError, match="1 of 2 items have no label.*row 9"):
        TSDataLoaders.from_df(frame, steps, "y", splitter=lambda o: (range(8), range(8, 10)))
    with pytest.raises(ValueError, match="the validation set has labels that are not among.*'c'"):
        TSDataLoaders.from_df(frame.fillna("c"), steps, "y", splitter=lambda o: (range(8), range(8, 10)))


def test_targets_that_are_not_given_are_asked_for_as_the_loaders_take_them():
    frame = pd.DataFrame({f"t{i}": range(10) for i in range(3)}).astype(float).assign(y=[*"ab"] * 5)
    x = frame[["t0", "t1", "t2"]].to_numpy()[:, None]
    for dls, targets, words in ((TSDataLoaders.from_array(x, [*"ab"] * 5, bs=4), [*"ba"] * 5, r"\(\(X, y\), with_labels=True\)"),
                                (TSDataLoaders.from_df(frame, ["t0", "t1", "t2"], "y", bs=4), frame, r"\(\(X, table\).* a table with 'y'")):
        with pytest.raises(TypeError, match=words):
            dls.test_dl(x, with_labels=True).one_batch()
        assert len(dls.test_dl((x, targets), with_labels=True).one_batch()) == 2
