import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from minifast.data.categories import (
    Categorize,
    Category,
    CategoryMap,
    MultiCategorize,
    RegressionSetup,
)


def test_a_vocabulary_takes_ids_of_any_kind_and_masks():
    vocab = CategoryMap(["a", "b", "c"])
    assert vocab[torch.tensor(1)] == vocab[np.int64(1)] == "b"
    for several in (torch.tensor, np.array, pd.Series, list):
        assert vocab[several([0, 2])] == ["a", "c"] and vocab[several([True, False, True])] == ["a", "c"]
    with pytest.raises(TypeError, match="integer"):
        vocab[torch.tensor(1.0)]
    with pytest.raises(IndexError, match="a mask needs one value per item: received 2 values for 3 items"):
        vocab[np.array([True, False])]


def test_category_map():
    m = CategoryMap(["dog", "cat", None, "dog", float("nan"), "ant"])
    assert list(m) == ["ant", "cat", "dog"] and m.o2i == {"ant": 0, "cat": 1, "dog": 2} and len(m) == 3 and m[1] == "cat"
    assert m.map_objs(["dog", "ant"]) == [2, 0] and m.map_ids(torch.tensor([2, 0])) == ["dog", "ant"] and m.items == ["ant", "cat", "dog"]
    assert m == ["ant", "cat", "dog"] and m == CategoryMap(m) and m != ["cat"] and m.index("dog") == 2 and m[:2] == ["ant", "cat"]
    assert "cat" in m and "cow" not in m and [] not in m
    assert list(CategoryMap(["b", "a"], sort=False)) == ["b", "a"]
    assert pickle.loads(pickle.dumps(m)) == m and hash(m) == hash(CategoryMap(m))


def test_category_map_holds_python_values():
    m = CategoryMap(np.array([3, 1, 3]))
    assert [type(o) for o in m] == [int, int] and m.map_objs([np.int64(3), torch.tensor(1)]) == [1, 0]


def test_unknown_labels():
    m = CategoryMap(["cat", "dog"])
    with pytest.raises(KeyError, match=r"the label 'cta' is not one of the 2 known classes: .*did you mean 'cat'"):
        m.map_objs(["cta"])
    na = CategoryMap(["cat", "dog"], add_na=True)
    assert list(na) == ["#na#", "cat", "dog"]
    assert na.map_objs([f"new{i}" for i in range(100)] + ["dog"]) == [0] * 100 + [2]
    assert len(na) == 3 and len(na.o2i) == 3                 # looking up what is unknown adds nothing
    na.o2i["x"] = 9
    assert "x" not in na


def test_pandas_categorical_keeps_its_order():
    col = pd.Series(pd.Categorical(["lo", "hi", None], categories=["lo", "mid", "hi"], ordered=True))
    assert list(CategoryMap(col)) == ["lo", "mid", "hi"] and list(CategoryMap(col, strict=True)) == ["lo", "hi"]


def test_labels_that_are_no_labels():
    with pytest.raises(TypeError, match="labels of mixed types"):
        CategoryMap([1, "1"])
    with pytest.raises(TypeError, match="use MultiCategoryBlock"):
        CategoryMap([["a", "b"]])


def test_categorize():
    t = Categorize()
    with pytest.raises(RuntimeError, match="has no vocabulary yet"):
        t("cat")
    t.setup(["dog", "cat", "dog"])
    assert t.vocab == ["cat", "dog"] and t.c == 2
    y = t("dog")
    assert y.dtype == torch.int64 and y.shape == () and y == 1
    assert t.decode(y) == "dog" and type(t.decode(y)) is Category
    with pytest.raises(KeyError, match="the label 'cow' is not one of"):
        t("cow")
    assert type(t.loss_func).__name__ == "CrossEntropyLossFlat"


def test_categorize_with_given_classes():
    t = Categorize(vocab=["dog", "cat"])
    t.setup(["cat", "cat"])
    assert t.vocab == ["dog", "cat"] and t("cat") == 1
    with pytest.raises(ValueError, match=r"labels that are not among the 2 known classes .*\['cta'\]; did you mean 'cat'"):
        Categorize(vocab=["dog", "cat"]).setup(["cat", "cta"])
    with pytest.raises(ValueError, match="more than once"):
        Categorize(vocab=["dog", "dog"])
    with pytest.raises(TypeError, match=r"vocab is a list of names, and a text would be read letter by letter; write vocab=\['dog'\]"):
        Categorize(vocab="dog")
    assert Categorize(vocab=["b", "a"], add_na=True)("?") == 0


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA])
def test_missing_labels_are_refused(missing):
    with pytest.raises(ValueError, match=r"1 of 3 items have no label \(None or NaN\): item 1"):
        Categorize().setup(["a", missing, "b"])
    with pytest.raises(ValueError, match="1 of 2 items have no label"):
        MultiCategorize().setup([["a"], missing])


def test_a_string_is_not_a_list_of_labels():
    with pytest.raises(TypeError, match="takes a list of labels per item; received str 'a b'.*label_delim"):
        MultiCategorize().setup(["a b"])


def test_regression_setup():
    t = RegressionSetup()
    t.setup([1, 2.5, np.float64(3)])
    assert t.c == 1 and t(2).dtype == torch.float32 and t(2).shape == () and t.decode(t(2.5)) == 2.5
    many = RegressionSetup()
    many.setup([[1, 2], np.array([3.0, 4.0])])
    assert many.c == 2 and many.decode(many([1, 2])) == [1.0, 2.0] and type(many.loss_func).__name__ == "MSELossFlat"
    with pytest.raises(ValueError, match="item 1 of the training set has 3 targets, expected 2"):
        RegressionSetup(c=2).setup([[1, 2], [1, 2, 3]])
    with pytest.raises(TypeError, match="must be a number or a list of numbers; received str 'x'"):
        t("x")


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf"), -np.inf, [1.0, float("nan")], pd.NA])
def test_targets_that_would_ruin_the_weights_are_refused(bad):
    with pytest.raises(ValueError, match="2 of 4 targets of the training set are missing, NaN or infinite: item 1, item 3"):
        RegressionSetup().setup([1.0, bad, 2.0, bad])


def test_an_unknown_class_is_named_by_o2i():
    known = CategoryMap(["ant", "cat"])
    with pytest.raises(KeyError, match=r"'cats' is not one of the 2 known classes: \(#2\) \['ant','cat'\]; did you mean 'cat'"):
        known.o2i["cats"]
    films = CategoryMap(["Alien", "Heat"], add_na=True)
    with pytest.raises(KeyError, match=r"'M' is not one of .* id_of\(class\) gives 0, the id of '#na#'"):
        films.o2i["M"]
    assert films.id_of("M") == 0 and films[0] == "#na#" and films.o2i["Heat"] == 2 and films.o2i.get("M") is None


def test_a_missing_label_among_several_is_none():
    t = MultiCategorize()
    t.setup([["a", None], ["b"], [float("nan")]])
    assert t.vocab == ["a", "b"] and t(["b", None]).tolist() == [1]


def test_many_fractions_as_classes_are_named(recwarn):
    prices = [i + 0.5 for i in range(30)]
    for labels, tfm in ((prices[:10] * 3, Categorize()), (list(range(30)), Categorize()), (prices, Categorize(vocab=prices))):
        tfm.setup(labels)
    assert not recwarn.list
    with pytest.warns(UserWarning, match=r"the labels are 30 different numbers such as 0.5, and each becomes a class.*RegressionBlock"):
        Categorize().setup(prices)
