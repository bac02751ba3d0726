"""Gradient boosting against `tabular_baseline`."""
import numpy as np
import pytest
import torch
from torch import nn
from zoo import points, table, table_loaders

from minifast.checks.check_learner import check_learner
from minifast.checks.learner.boosting import boosted, fit_in_time
from minifast.nn.losses import (
    CrossEntropyLossFlat,
)

ALL = [f"MF{n}" for n in (101, 102, 103, 108)]


def found(learn, fast=False):
    "The check MF504 of a learner, with what it needs and nothing else."
    from minifast.checks.codes import CODES
    return check_learner(learn, fast=fast, ignore=[c for c in CODES if c not in (*ALL, "MF504")])["MF504"]


def test_boosting_is_that_of_the_tabular_baseline():
    from minifast.tabular.baseline import tabular_baseline
    from minifast.tabular.learner import tabular_learner
    dls = table_loaders(table(400))
    wanted = tabular_baseline(dls)
    numbers = found(tabular_learner(dls, layers=[8])).evidence
    assert numbers["validation_items"] == len(dls.valid.dataset) and numbers["boosting_rows"] == len(dls.train.dataset)
    assert numbers["boosting_rounds"] == 100
    for name, row in (("boosting", "gradient boosting"), ("constant", "constant")):
        assert numbers[f"{name}_loss"] == pytest.approx(wanted.log_loss[row], rel=1e-4)
        assert numbers[f"{name}_accuracy"] == pytest.approx(wanted.accuracy[row])


def test_boosting_of_numbers_is_that_of_the_tabular_baseline():
    from minifast.tabular.baseline import tabular_baseline
    from minifast.tabular.learner import tabular_learner
    from minifast.tabular.loaders import TabularDataLoaders
    from minifast.tabular.procs import Categorify, Normalize
    df = table(300).assign(pay=lambda d: d.age * 2 + d.hours, tax=lambda d: d.age - d.hours)
    dls = TabularDataLoaders.from_df(df, procs=[Categorify, Normalize], cat_names=["job"], cont_names=["age", "hours"],
                                     y_names=["pay", "tax"], bs=32)
    wanted, check = tabular_baseline(dls), found(tabular_learner(dls, layers=[8]))
    assert check.evidence["boosting_rmse"] == pytest.approx(wanted.rmse["gradient boosting"], rel=1e-3)
    assert check.evidence["constant_rmse"] == pytest.approx(wanted.rmse["constant"], rel=1e-3)
    assert "predicting the mean of the training targets has rmse" in check.found and "gradient boosting has rmse" in check.found


def test_boosting_stops_in_time_and_weights_classes():
    from sklearn.ensemble import HistGradientBoostingClassifier
    x, y = (t.numpy() for t in points(n=200))
    whole = HistGradientBoostingClassifier(max_iter=25, random_state=0).fit(x, y)
    model = HistGradientBoostingClassifier(max_iter=25, random_state=0)
    assert fit_in_time(model, x, y) == 25 and np.allclose(model.predict_proba(x), whole.predict_proba(x))
    assert fit_in_time(HistGradientBoostingClassifier(max_iter=25, random_state=0), x, y, seconds=0) == 10
    dls = table_loaders(table(300))
    plain, _ = boosted(dls.train.dataset, dls.valid.dataset, "class logits", CrossEntropyLossFlat())
    heavy, _ = boosted(dls.train.dataset, dls.valid.dataset, "class logits", CrossEntropyLossFlat(weight=torch.tensor([1.0, 20.0])))
    assert (heavy.argmax(1) == 1).sum() > (plain.argmax(1) == 1).sum()
    assert boosted(dls.train.dataset, dls.valid.dataset, "logits", nn.BCEWithLogitsLoss()) is None
