"""A constant, a forest and boosting beside the network."""
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from minifast.learner.learner import Learner
from minifast.tabular.baseline import tabular_baseline
from minifast.tabular.loaders import TabularDataLoaders
from minifast.tabular.model import TabularModel, get_emb_sz


def test_baseline_of_classes(classes):
    found = tabular_baseline(classes.dls, classes)
    assert set(found.index) == {"constant", "random forest", "gradient boosting", "network", "network + boosting"}
    assert list(found) == ["log_loss", "accuracy", "roc_auc", "seconds"] and found["log_loss"].is_monotonic_increasing
    assert found.index[-1] == "constant" and found.loc["network", "accuracy"] == pytest.approx(classes.validate()[1])
    assert found.loc["network", "log_loss"] == pytest.approx(classes.validate()[0], rel=1e-5)
    train, valid = classes.dls.train_ds, classes.dls.valid_ds
    trees = HistGradientBoostingClassifier(categorical_features=[True] * 3 + [False] * 2, random_state=0).fit(train.xs.to_numpy(), train.y)
    assert found.loc["gradient boosting", "accuracy"] == pytest.approx(trees.score(valid.xs.to_numpy(), valid.y))


def test_baseline_of_numbers(prices, priced):
    found = tabular_baseline(prices.dls, prices)
    assert found.index[-1] == "constant" and found.loc["network", "rmse"] == pytest.approx(prices.validate()[1], rel=1e-4)
    assert found.loc["constant", "r2"] < 0.05
    two = TabularDataLoaders.from_df(priced.assign(q=priced["x"]), cat_names=["k"], cont_names=["x"], y_names=["price", "q"])
    assert len(tabular_baseline(two)) == 3
    with pytest.raises(TypeError, match="tabular_baseline takes loaders of a TabularPandas"):
        tabular_baseline([1])
    with pytest.raises(ValueError, match="the target here is several labels"):
        tabular_baseline(TabularDataLoaders.from_df(priced.assign(p=priced["x"] > 0, q=priced["x"] > 1), cat_names=["k"], cont_names=["x"],
                                                    y_names=["p", "q"]))


def test_a_learner_of_other_data_is_refused(classes, priced, trained):
    other = trained(priced.iloc[100:], "y")
    with pytest.raises(ValueError, match="the learner was made with other data than these loaders"):
        tabular_baseline(classes.dls, other)


def test_a_learner_of_another_kind_is_compared_too(priced):
    dls = TabularDataLoaders.from_df(priced, cat_names=["k"], cont_names=["x"], y_names="y")
    learn = Learner(dls, TabularModel(get_emb_sz(dls), 1, 2, [4]))
    assert "network" in tabular_baseline(dls, learn).index
    with pytest.raises(TypeError, match="show_results.. of a table needs a TabularLearner"):
        learn.show_results(max_n=3)
