"""`TableRows`: rows as tensors, as columns that can be assigned, and turned back into values."""
import numpy as np
import pandas as pd
import pytest
import torch

from minifast.tabular.frames import TabularPandas
from minifast.tabular.procs import Categorify, FillMissing, Normalize


def test_tensors(to):
    codes, numbers, y = to.train.tensors
    assert (codes.dtype, numbers.dtype, y.dtype) == (torch.int64, torch.float32, torch.int64)
    assert codes.shape == (4, 2) and numbers.shape == (4, 2) and codes.is_contiguous()
    np.testing.assert_array_equal(codes, to.train.cats)
    np.testing.assert_array_equal(numbers, to.train.conts)
    sample = to.valid[1]
    assert sample[0].tolist() == to.cats.iloc[1].tolist() and sample[2].item() == 1 and to.valid.item_name(1) == "row 20"
    assert to.whole("cpu")[0] is to.train.whole("cpu")[0]                                     # the parts share one memory


def test_decode_and_show(to, df):
    shown = to.show(3)
    assert shown["city"].tolist() == ["Rome", "Oslo", "Rome"] and shown["size"].tolist() == [1.0, 2.0, 4.0]
    assert shown.index.tolist() == [10, 20, 30]
    assert shown["size_na"].tolist() == [False, False, True] and shown["rooms"].tolist() == [1, 2, 3]
    assert shown["y"].tolist() == ["no", "yes", "no"]
    assert len(to.decode()) == 6 and to.valid.decode()["city"].tolist() == ["Oslo", "Oslo"]
    again = to.new(to.decode()).process()
    pd.testing.assert_frame_equal(again.cats[["city"]], to.cats[["city"]])
    np.testing.assert_allclose(again.conts, to.conts, atol=1e-6)


def test_decoding_gives_the_numbers_back():
    x = np.array([39.0, 77516.0, 1e-3, 12345678.0])
    to = TabularPandas(pd.DataFrame({"x": x, "age": [39.0, 50.0, 38.0, 28.0]}), Normalize, [], ["x", "age"])
    assert to.decode()["age"].tolist() == [39.0, 50.0, 38.0, 28.0]
    np.testing.assert_allclose(to.decode()["x"], x, atol=1)


def test_report_and_repr(to):
    assert repr(to) == ("TabularPandas: 6 rows (4, 2 in the splits), 2 categorical and 2 continuous columns\ntarget: y: 2 classes (text)\n"
                        "categories: city (4), size_na (3)\nmissing values: size 1")
    assert repr(to.summary()) == to.report


def test_no_negative_zeros_are_shown():
    df = pd.DataFrame({"x": [0.0, 1.0, 1.0, 3.0, 0.0]})
    shown = TabularPandas(df, [Normalize], [], ["x"]).show()["x"].to_numpy()
    assert shown.tolist() == df["x"].tolist() and not np.signbit(shown).any()


def test_columns_by_name(to, df):
    assert to["city"].tolist() == [3, 2, 3, 1, 2, 2] and to[["y", "city"]].equals(to.items[["y", "city"]])
    assert to.loc[10, "city"] == 3 and to.all_col_names == ["city", "size_na", "size", "rooms", "y"]
    assert to.valid["city"].tolist() == [2, 2] and isinstance(to[0], tuple)
    with pytest.raises(KeyError, match=r"no processed column 'cty'; did you mean 'city'\?"):
        to["cty"]
    with pytest.raises(KeyError, match=r"'price'. They are .*: df.loc\[to.items.index, 'price'\]"):
        to.valid["price"]
    assert df.loc[to.valid.items.index, "price"].tolist() == [5.5, 2.5]            # as the message says


def test_rows_by_position(to):
    with pytest.raises(AttributeError, match=r"no attribute 'iloc': write to.items.iloc\[...\], or to.at\(positions\)"):
        to.iloc
    assert to.items.iloc[0]["city"] == 3 and to.at([4, 1]).xs.equals(to.items.iloc[[4, 1], :4])           # as the message says


@pytest.mark.filterwarnings("error")
def test_columns_can_be_assigned(to):
    dls, before, ys, codes = to.dataloaders(bs=2), to.conts, to.ys, to.cats
    to.conts = to.conts * 2
    assert np.allclose(to.conts, before * 2) and to.ys.equals(ys) and to.cats.equals(codes)
    assert np.allclose(to.train.tensors[1], 2 * dls.train.dataset.tensors[1])                  # loaders keep theirs
    to["city"] = 1
    to.ys = 1 - ys
    to.xs, to.cats, to.items = to.xs, to.cats, to.items
    assert to.tensors[0][:, 0].tolist() == [1] * 6 and to.y.tolist() == (1 - ys["y"]).tolist() and len(to.valid) == 2
    part = to.valid
    part["rooms"] = [7.0, 8.0]
    assert part.tensors[1][:, 1].tolist() == [7.0, 8.0] and np.allclose(to.conts, before * 2)
    with pytest.raises(ValueError, match=r"to\['cty'\] = ...: there is no such processed column; did you mean 'city'"):
        to["cty"] = 1
    with pytest.raises(ValueError, match=r"a table of 6 rows takes as many; received 2. For other rows write to.new\(df\).process"):
        to.items = to.items[:2]


@pytest.mark.parametrize("y", ["y", "price", None])
def test_decode_row(df, y):
    to = TabularPandas(df, [Normalize, Categorify, FillMissing], ["city"], ["size", "rooms"], y, splits=([0, 2, 3, 5], [4, 1]))
    row = to.decode_row(to.items.iloc[3])
    assert row.name == 30 and row["city"] == "Bonn" and row["rooms"] == 4 and (y is None or row[y] == df[y].iloc[3])
    assert to.decode_row(to.xs.iloc[0])["city"] == "Rome"
    with pytest.raises(KeyError, match=r"takes a processed row, such as to.items.iloc\[0\]; this one lacks 'size'"):
        to.decode_row(to.items.iloc[0].drop("size"))
