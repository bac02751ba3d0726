import pickle
from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from minifast.data.labels import AttrGetter, ColReader, ItemGetter, RegexLabeller, is_missing, parent_label, using_attr

FRAME = pd.DataFrame({"fname": ["a.jpg", "b.jpg"], "label": ["cat", "dog"], "tags": ["x y", np.nan], "n": [1, 2]})


def test_parent_label():
    assert parent_label(Path("train/cat/1.jpg")) == parent_label("train/cat/1.jpg") == "cat"


def test_regex_labeller():
    assert RegexLabeller(r"/([^/]+)_\d+.jpg$")(Path("images/great_pyrenees_173.jpg")) == "great_pyrenees"
    assert RegexLabeller(r"(\w+)_\d+", match=True)("beagle_1.jpg") == "beagle"
    with pytest.raises(ValueError, match=r"the pattern '\(\\\\d\+\)\\\\.png' of RegexLabeller is not found in 'images/a_1.jpg'"):
        RegexLabeller(r"(\d+)\.png")("images/a_1.jpg")
    with pytest.raises(ValueError, match="does not match 'xbeagle"):
        RegexLabeller("(beagle)", match=True)("xbeagle_1.jpg")
    with pytest.raises(ValueError, match="has no group.*put parentheses"):
        RegexLabeller(r"\d+")


def test_using_attr():
    label = using_attr(RegexLabeller(r"(.+)_\d+.jpg$"), "name")
    assert label(Path("some_1.jpg/beagle_2.jpg")) == "beagle"
    with pytest.raises(AttributeError, match="has no attribute 'nmae'; did you mean 'name'"):
        using_attr(str, "nmae")(Path("a"))


def test_col_reader():
    row = FRAME.iloc[0]
    assert ColReader("label")(row) == "cat" and ColReader(1)(row) == "cat" and ColReader(-1)(row) == 1
    assert ColReader("fname", pref=Path("data"), suff=".bak")(row) == str(Path("data") / "a.jpg.bak")
    assert ColReader("fname", pref="data/")(row) == "data/a.jpg"
    assert ColReader(["label", "n"])(row) == ["cat", 1] and ColReader(["label"])(row) == "cat"
    assert ColReader("label")({"label": "x"}) == "x" and ColReader(0)(("q", "r")) == "q"
    assert ColReader("b")(namedtuple("Row", "a b")(1, 2)) == 2
    assert ColReader(0)(pd.Series({0: "zero", 1: "one"})) == "zero"


def test_col_reader_splits_labels_and_takes_nothing_for_no_label():
    reader = ColReader("tags", label_delim=" ")
    assert [list(reader(FRAME.iloc[i])) for i in range(2)] == [["x", "y"], []]
    assert reader({"tags": ""}) == []
    with pytest.raises(TypeError, match="splits text; the column holds int 3"):
        reader({"tags": 3})


def test_col_reader_names_missing_columns():
    with pytest.raises(KeyError, match="no column 'lable'; did you mean 'label'"):
        ColReader("lable")(FRAME.iloc[0])
    with pytest.raises(KeyError, match="no column 9"):
        ColReader(9)(FRAME.iloc[0])
    with pytest.raises(TypeError, match="reads rows of a DataFrame"):
        ColReader("label")("a.jpg")


def test_item_and_attr_getters_take_a_tuple_whole():
    assert ItemGetter(1)((1, 2)) == 2 and ItemGetter("a")({"a": 3}) == 3
    assert AttrGetter("real")(3) == 3 and AttrGetter("no", default=7)(3) == 7
    with pytest.raises(IndexError, match=r"ItemGetter\(5\) finds no such element"):
        ItemGetter(5)((1, 2))


@pytest.mark.parametrize("f", [RegexLabeller("(a)"), ColReader("a"), ItemGetter(0), AttrGetter("x"), using_attr(parent_label, "name")],
                         ids=lambda f: type(f).__name__)
def test_all_can_be_sent_to_a_worker(f):
    assert repr(pickle.loads(pickle.dumps(f))) == repr(f)


def test_is_missing():
    assert all(map(is_missing, [None, float("nan"), np.nan, pd.NaT, pd.NA]))
    assert not any(map(is_missing, [0, "", "nan", [], np.array([np.nan, 1.0]), False]))


def test_labels_of_a_column_without_spaces_around_them():
    df = pd.DataFrame({"tags": ["a, b", "b", " a,,b ", ", "]})
    assert [list(ColReader("tags", label_delim=",")(df.iloc[i])) for i in range(4)] == [["a", "b"], ["b"], ["a", "b"], []]
    assert list(ColReader("tags", label_delim=" ")(pd.Series({"tags": "red  wet"}))) == ["red", "wet"]


def test_absolute_names_are_not_looked_for_in_the_folder(tmp_path):
    row = pd.Series({"file": str(tmp_path / "1"), "name": "1"})
    assert ColReader("file", pref=Path("."), suff=".jpg")(row) == str(tmp_path / "1.jpg")
    assert ColReader("name", pref=tmp_path, suff=".jpg")(row) == str(tmp_path / "1.jpg")
