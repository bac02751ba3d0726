"""Importance of columns, and dependence of predictions on one of them."""
import numpy as np
import pandas as pd
import pytest
import torch

from minifast.metrics.base import AvgMetric
from minifast.tabular.interpret import partial_dependence, permutation_importance
from minifast.tabular.learner import tabular_learner
from minifast.tabular.loaders import TabularDataLoaders


@pytest.mark.parametrize("monitor", ["valid_loss", "accuracy"])
def test_permutation_importance(classes, monitor):
    before = len(classes.recorder.history)
    found = permutation_importance(classes, monitor=monitor)
    assert set(found["column"][:2]) == {"k", "x"} and set(found["column"]) == {"k", "x", "noise", "other"}
    assert found["importance"].iloc[1] > 5 * found["importance"].abs().iloc[2:].max() and len(classes.recorder.history) == before
    pd.testing.assert_frame_equal(found, permutation_importance(classes, monitor=monitor))


def test_permutation_importance_by_hand(prices, priced):
    found = permutation_importance(prices, n_repeats=1, seed=3).set_index("column")["importance"]
    valid = priced.iloc[prices.dls.valid_ds.rows]
    order = np.arange(len(valid))
    np.random.RandomState(np.random.RandomState(3).randint(2**31)).shuffle(order)               # as scikit-learn shuffles a column
    shuffled = valid.assign(k=valid["k"].to_numpy()[order])
    by_hand = prices.validate(dl=prices.dls.test_dl(shuffled, with_labels=True))[0] - prices.validate()[0]
    assert found["k"] == pytest.approx(by_hand, rel=1e-4)


def test_permutation_importance_refuses(classes, priced, trained):
    with pytest.raises(ValueError, match=r"monitor='acuracy' is neither 'valid_loss' nor a metric of the learner; did you mean 'accuracy'"):
        permutation_importance(classes, monitor="acuracy")
    with pytest.raises(ValueError, match=r"needs rows with labels"):
        permutation_importance(classes, dl=classes.dls.test_dl(priced, with_labels=False))
    own = trained(priced, "y", metrics=AvgMetric(lambda p, y: p.mean(), name="own"))
    with pytest.raises(ValueError, match=r"does not say whether lower or higher is better"):
        permutation_importance(own, monitor="own")


def test_partial_dependence(prices, classes):
    x = partial_dependence(prices, "x", n=5)
    assert list(x) == ["x", "price"] and len(x) == 5
    slope = np.polyfit(x["x"], x["price"], 1)[0]
    assert 1.4 < slope < 2.6                                                                   # price = 2 x + ...
    k = partial_dependence(prices, "k").set_index("k")["price"]
    assert k["c"] > k["b"] > k["a"]
    probs = partial_dependence(classes, "k", values=["a", "c"])
    assert list(probs) == ["k", "high", "low"] and probs["high"][1] > probs["high"][0]
    np.testing.assert_allclose(probs["high"] + probs["low"], 1, rtol=1e-5)
    with pytest.raises(KeyError, match=r"'nois' is no column of the data; did you mean 'noise'\?"):
        partial_dependence(classes, "nois")


def test_partial_dependence_keeps_what_is_missing_elsewhere(priced):
    frame = priced.assign(x=priced["x"].where(np.arange(len(priced)) % 3 > 0))
    dls = TabularDataLoaders.from_df(frame, cat_names=["k"], cont_names=["x", "noise"], y_names="price")
    torch.manual_seed(0)
    learn = tabular_learner(dls, layers=[10])
    learn.fit(2, 0.1)
    valid = frame.iloc[dls.valid.dataset.rows]
    found = partial_dependence(learn, "k", values=["a", "c"])
    for value, pred in zip(found["k"], found["price"], strict=True):
        assert pred == pytest.approx(learn.predict(valid.assign(k=value))[2].mean().item(), abs=1e-4)


def test_names_of_columns_that_are_no_text(priced):
    frame = priced[["k", "x", "price"]].set_axis([0, 1, 2], axis=1)
    learn = tabular_learner(TabularDataLoaders.from_df(frame, cat_names=[0], cont_names=[1], y_names=2), layers=[4])
    assert list(partial_dependence(learn, 1, values=[0.5]).columns) == [1, 2]
    assert list(learn.predict(frame.iloc[0])[0]) == [0, 1, 2]
    assert list(learn.predict(frame.iloc[:2])[0].columns) == [0, 1, 2]


def test_values_that_would_mislead_are_refused(classes):
    for values in ("ab", []):
        with pytest.raises(TypeError, match="takes a list of values of 'k', at least one"):
            partial_dependence(classes, "k", values=values)
