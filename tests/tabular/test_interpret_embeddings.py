"""Embeddings as columns."""
import numpy as np
import pandas as pd
import pytest

from minifast.learner.learner import Learner
from minifast.tabular.interpret import add_embeddings, embeddings_frame
from minifast.tabular.loaders import TabularDataLoaders
from minifast.tabular.model import TabularModel, get_emb_sz


def test_embeddings_frame(classes):
    found = embeddings_frame(classes, "k")
    assert found.index.tolist() == ["#na#", "a", "b", "c"] and list(found) == ["k_0", "k_1", "k_2"]
    np.testing.assert_array_equal(found, classes.model.embeds[0].weight.detach())
    with pytest.raises(KeyError, match=r"'kk' is no categorical column; did you mean 'k'\? Columns: k, other, noise_na"):
        embeddings_frame(classes, "kk")


def test_add_embeddings(classes, priced):
    out = add_embeddings(priced, classes, "k")
    assert list(out) == ["x", "noise", "other", "price", "y", "k_0", "k_1", "k_2"] and "k" in priced
    by_hand = embeddings_frame(classes, "k").loc[priced["k"]]
    np.testing.assert_array_equal(out[["k_0", "k_1", "k_2"]], by_hand)
    odd = add_embeddings(pd.DataFrame({"k": pd.Categorical(["zz", None, "b"])}, index=[5, 5, 5]), classes, drop=False)
    np.testing.assert_array_equal(odd.iloc[:, 1:], embeddings_frame(classes, "k").loc[["#na#", "#na#", "b"]])
    with pytest.raises(ValueError, match="the frame has no column 'k'"):
        add_embeddings(priced[["x"]], classes, ["k"])
    with pytest.raises(ValueError, match="none of the categorical columns"):
        add_embeddings(priced[["x"]], classes)


def test_embeddings_are_not_added_twice(classes, priced):
    with pytest.raises(ValueError, match="add_embeddings: the frame has columns .* already"):
        add_embeddings(add_embeddings(priced, classes, drop=False), classes, drop=False)


def test_embeddings_of_a_learner_of_another_kind(priced):
    dls = TabularDataLoaders.from_df(priced, cat_names=["k"], cont_names=["x"], y_names="y")
    learn = Learner(dls, TabularModel(get_emb_sz(dls), 1, 2, [4]))
    assert embeddings_frame(learn, "k").shape[0] == 4 and "k_0" in add_embeddings(priced, learn)
