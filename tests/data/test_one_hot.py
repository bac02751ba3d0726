"""Several classes per item as zeros and ones."""
import numpy as np
import pytest
import torch

from minifast.data.categories import MultiCategorize, MultiCategory
from minifast.data.one_hot import EncodedMultiCategorize, OneHotEncode
from minifast.data.pipeline import Pipeline


def test_multi_categorize_and_one_hot():
    p = Pipeline([MultiCategorize(), OneHotEncode()])
    p.setup([["b", "a"], [], ["c"]])
    y = p(["c", "a"])
    assert torch.equal(y, torch.tensor([1.0, 0.0, 1.0])) and y.dtype == torch.float32
    assert p.decode(y) == ["a", "c"] and type(p.decode(y)) is MultiCategory and str(p.decode(y)) == "a;c"
    assert p(["b"]).tolist() == [0, 1, 0] and p([]).tolist() == [0, 0, 0]
    assert p.decode(torch.tensor([True, True, False])) == ["a", "b"]
    assert p[0].c == p[1].c == 3 and type(p[0].loss_func).__name__ == "BCEWithLogitsLossFlat"
    with pytest.raises(KeyError, match="the label 'd' is not one of"):
        p(["d"])


def test_one_hot_needs_to_know_how_many():
    assert OneHotEncode(3)([1]).tolist() == [0, 1, 0]
    with pytest.raises(RuntimeError, match=r"write OneHotEncode\(c=...\)"):
        OneHotEncode()([1])
    with pytest.raises(ValueError, match="put it after MultiCategorize"):
        OneHotEncode().setup([[1]])


def test_encoded_multi_categorize():
    t = EncodedMultiCategorize(["a", "b", "c"])
    assert t([1, 0, 1]).tolist() == [1, 0, 1] and t.decode(t(np.array([0, 1, 1]))) == ["b", "c"] and t.c == 3
    with pytest.raises(ValueError, match="one value for each of the 3 classes; received list of 2"):
        t([1, 0])
