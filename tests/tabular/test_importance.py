"""Embeddings as columns, importance of columns, dependence on one, baselines beside the network."""
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from minifast.learner.learner import Learner
from minifast.metrics.base import AvgMetric
from minifast.metrics.functions import accuracy, rmse
from minifast.tabular.baseline import tabular_baseline
from minifast.tabular.embeddings import add_embeddings, embeddings_frame
from minifast.tabular.importance import partial_dependence, permutation_importance
from minifast.tabular.learner import tabular_learner
from minifast.tabular.loaders import TabularDataLoaders
from minifast.tabular.model import TabularModel, get_emb_sz


@pytest.fixture(scope="module")
def df():
    rng = np.random.default_rng(0)
    n = 600
    df = pd.DataFrame({"k": rng.choice(["a", "b", "c"], n), "x": rng.normal(size=n), "noise": rng.normal(size=n),
                       "other": rng.choice(["u", "v"], n)})
    df["price"] = 2 * df["x"] + df["k"].map({"a": 0, "b": 3, "c": 6}) + 5
    df["y"] = np.where(df["price"] > 8, "high", "low")
    df.loc[::20, "noise"] = np.nan
    return df


def made(df, y, **kwargs):
    torch.manual_seed(0)
    dls = TabularDataLoaders.from_df(df, cat_names=["k", "other"], cont_names=["x", "noise"], y_names=y, bs=32)
    learn = tabular_learner(dls, layers=[30], **kwargs)
    learn.fit_one_cycle(6, 3e-2)
    return learn


@pytest.fixture(scope="module")
def classes(df):
    return made(df, "y", metrics=accuracy)


@pytest.fixture(scope="module")
def numbers(df):
    return made(df, "price", metrics=rmse)


def test_embeddings_frame(classes):
    found = embeddings_frame(classes, "k")
    assert found.index.tolist() == ["#na#", "a", "b", "c"] and list(found) == ["k_0", "k_1", "k_2"]
    np.testing.assert_array_equal(found, classes.model.embeds[0].weight.detach())
    with pytest.raises(KeyError, match=r"'kk' is no categorical column; did you mean 'k'\? Columns: k, other, noise_na"):
        embeddings_frame(classes, "kk")


def test_add_embeddings(classes, df):
    out = add_embeddings(df, classes, "k")
    assert list(out) == ["x", "noise", "other", "price", "y", "k_0", "k_1", "k_2"] and "k" in df
    by_hand = embeddings_frame(classes, "k").loc[df["k"]]
    np.testing.assert_array_equal(out[["k_0", "k_1", "k_2"]], by_hand)
    odd = add_embeddings(pd.DataFrame({"k": pd.Categorical(["zz", None, "b"])}, index=[5, 5, 5]), classes, drop=False)
    np.testing.assert_array_equal(odd.iloc[:, 1:], embeddings_frame(classes, "k").loc[["#na#", "#na#", "b"]])
    with pytest.raises(ValueError, match="the frame has no column 'k'"):
        add_embeddings(df[["x"]], classes, ["k"])
    with pytest.raises(ValueError, match="none of the categorical columns"):
        add_embeddings(df[["x"]], classes)


@pytest.mark.parametrize("monitor", ["valid_loss", "accuracy"])
def test_permutation_importance(classes, monitor):
    before = len(classes.recorder.history)
    found = permutation_importance(classes, monitor=monitor)
    assert set(found["column"][:2]) == {"k", "x"} and set(found["column"]) == {"k", "x", "noise", "other"}
    assert found["importance"].iloc[1] > 5 * found["importance"].abs().iloc[2:].max() and len(classes.recorder.history) == before
    pd.testing.assert_frame_equal(found, permutation_importance(classes, monitor=monitor))


def test_permutation_importance_by_hand(numbers, df):
    found = permutation_importance(numbers, n_repeats=1, seed=3).set_index("column")["importance"]
    valid = df.iloc[numbers.dls.valid_ds.rows]
    order = np.arange(len(valid))
    np.random.RandomState(np.random.RandomState(3).randint(2**31)).shuffle(order)               # as scikit-learn shuffles a column
    shuffled = valid.assign(k=valid["k"].to_numpy()[order])
    by_hand = numbers.validate(dl=numbers.dls.test_dl(shuffled, with_labels=True))[0] - numbers.validate()[0]
    assert found["k"] == pytest.approx(by_hand, rel=1e-4)


def test_permutation_importance_refuses(classes, df):
    with pytest.raises(ValueError, match=r"monitor='acuracy' is neither 'valid_loss' nor a metric of the learner; did you mean 'accuracy'"):
        permutation_importance(classes, monitor="acuracy")
    with pytest.raises(ValueError, match=r"needs rows with labels"):
        permutation_importance(classes, dl=classes.dls.test_dl(df))
    own = made(df, "y", metrics=AvgMetric(lambda p, y: p.mean(), name="own"))
    with pytest.raises(ValueError, match=r"does not say whether lower or higher is better"):
        permutation_importance(own, monitor="own")


def test_partial_dependence(numbers, classes):
    x = partial_dependence(numbers, "x", n=5)
    assert list(x) == ["x", "price"] and len(x) == 5
    slope = np.polyfit(x["x"], x["price"], 1)[0]
    assert 1.4 < slope < 2.6                                                                   # price = 2 x + ...
    k = partial_dependence(numbers, "k").set_index("k")["price"]
    assert k["c"] > k["b"] > k["a"]
    probs = partial_dependence(classes, "k", values=["a", "c"])
    assert list(probs) == ["k", "high", "low"] and probs["high"][1] > probs["high"][0]
    np.testing.assert_allclose(probs["high"] + probs["low"], 1, rtol=1e-5)
    with pytest.raises(KeyError, match=r"'nois' is no column of the data; did you mean 'noise'\?"):
        partial_dependence(classes, "nois")


def test_baseline_of_classes(classes):
    found = tabular_baseline(classes.dls, classes)
    assert set(found.index) == {"constant", "random forest", "gradient boosting", "network", "network + boosting"}
    assert list(found) == ["log_loss", "accuracy", "roc_auc", "seconds"] and found["log_loss"].is_monotonic_increasing
    assert found.index[-1] == "constant" and found.loc["network", "accuracy"] == pytest.approx(classes.validate()[1])
    assert found.loc["network", "log_loss"] == pytest.approx(classes.validate()[0], rel=1e-5)
    train, valid = classes.dls.train_ds, classes.dls.valid_ds
    trees = HistGradientBoostingClassifier(categorical_features=[True] * 3 + [False] * 2, random_state=0).fit(train.xs.to_numpy(), train.y)
    assert found.loc["gradient boosting", "accuracy"] == pytest.approx(trees.score(valid.xs.to_numpy(), valid.y))


def test_baseline_of_numbers(numbers, df):
    found = tabular_baseline(numbers.dls, numbers)
    assert found.index[-1] == "constant" and found.loc["network", "rmse"] == pytest.approx(numbers.validate()[1], rel=1e-4)
    assert found.loc["constant", "r2"] < 0.05
    two = TabularDataLoaders.from_df(df.assign(q=df["x"]), cat_names=["k"], cont_names=["x"], y_names=["price", "q"])
    assert len(tabular_baseline(two)) == 3
    with pytest.raises(TypeError, match="tabular_baseline takes loaders of a TabularPandas"):
        tabular_baseline([1])
    with pytest.raises(ValueError, match="the target here is several labels"):
        tabular_baseline(TabularDataLoaders.from_df(df.assign(p=df["x"] > 0, q=df["x"] > 1), cat_names=["k"], cont_names=["x"],
                                                    y_names=["p", "q"]))


def test_partial_dependence_keeps_what_is_missing_elsewhere(df):
    frame = df.assign(x=df["x"].where(np.arange(len(df)) % 3 > 0))
    dls = TabularDataLoaders.from_df(frame, cat_names=["k"], cont_names=["x", "noise"], y_names="price")
    torch.manual_seed(0)
    learn = tabular_learner(dls, layers=[10])
    learn.fit(2, 0.1)
    valid = frame.iloc[dls.valid.dataset.rows]
    found = partial_dependence(learn, "k", values=["a", "c"])
    for value, pred in zip(found["k"], found["price"], strict=True):
        assert pred == pytest.approx(learn.predict(valid.assign(k=value))[2].mean().item(), abs=1e-4)


def test_names_of_columns_that_are_no_text(df):
    frame = df[["k", "x", "price"]].set_axis([0, 1, 2], axis=1)
    learn = tabular_learner(TabularDataLoaders.from_df(frame, cat_names=[0], cont_names=[1], y_names=2), layers=[4])
    assert list(partial_dependence(learn, 1, values=[0.5]).columns) == [1, 2]
    assert list(learn.predict(frame.iloc[0])[0]) == [0, 1, 2]
    assert list(learn.predict(frame.iloc[:2])[0].columns) == [0, 1, 2]


def test_what_would_mislead_is_refused(classes, df):
    for values in ("ab", []):
        with pytest.raises(TypeError, match="takes a list of values of 'k', at least one"):
            partial_dependence(classes, "k", values=values)
    with pytest.raises(ValueError, match="add_embeddings: the frame has columns .* already"):
        add_embeddings(add_embeddings(df, classes, drop=False), classes, drop=False)
    other = made(df.iloc[100:], "y")
    with pytest.raises(ValueError, match="the learner was made with other data than these loaders"):
        tabular_baseline(classes.dls, other)


def test_a_learner_of_another_kind_is_looked_at_too(df):
    dls = TabularDataLoaders.from_df(df, cat_names=["k"], cont_names=["x"], y_names="y")
    learn = Learner(dls, TabularModel(get_emb_sz(dls), 1, 2, [4]))
    assert "network" in tabular_baseline(dls, learn).index
    assert embeddings_frame(learn, "k").shape[0] == 4 and "k_0" in add_embeddings(df, learn)
    with pytest.raises(TypeError, match="show_results.. of a table needs a TabularLearner"):
        learn.show_results(max_n=3)
