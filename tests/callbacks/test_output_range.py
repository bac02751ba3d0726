"Targets that a model with a `y_range` cannot predict."
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from suggestions import told
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.output_range import unreachable_targets
from minifast.collab import CollabDataLoaders, collab_learner
from minifast.nn import SigmoidRange
from minifast.tabular.all import DataLoaders, Learner, MSELossFlat, Normalize, RegressionBlock, TabularDataLoaders, tabular_learner
from minifast.timeseries.all import FCN, TSDataLoaders, ts_learner


class WithRange(nn.Module):
    "As the courses write it."

    def __init__(self, *y_range):
        super().__init__()
        self.lin, self.y_range = nn.Linear(3, 1), y_range

    def forward(self, x):
        return self.lin(x).sigmoid() * (self.y_range[1] - self.y_range[0]) + self.y_range[0]


def ending(low, high):
    return nn.Sequential(nn.Linear(3, 1), SigmoidRange(low, high))


@pytest.mark.parametrize("make", [ending, WithRange, lambda *y_range: nn.DataParallel(WithRange(*y_range))],
                         ids=["layer", "attribute", "within"])
def test_what_is_said_of_a_range(make):
    y = torch.tensor([1.0, 2, 5])
    assert unreachable_targets(make(0, 5.5), y) == unreachable_targets(make(1, 5), y) == unreachable_targets(make(0, 4), y > 2) == ""
    assert unreachable_targets(make(0, 4), y) == (
        "the targets of the first batch go from 1 to 5, and the outputs of the model never leave y_range=(0, 4): what lies outside cannot "
        "be predicted. Give the model y_range=(0, 5.2), or a wider one")
    assert "y_range=(0.8, 6), or" in unreachable_targets(make(2, 6), y)
    assert unreachable_targets(nn.Linear(3, 1), y) == unreachable_targets(make(0, 1), None) == unreachable_targets(make(0, 1), y[:0]) == ""


def test_a_range_for_each_output():
    model = nn.Sequential(SigmoidRange(torch.tensor([0.0, 10]), torch.tensor([1.0, 20])))
    assert unreachable_targets(model, torch.tensor([[0.5, 11], [1, 20]])) == ""
    assert "y_range=([0.0, 10.0], [1.0, 22.5])" in unreachable_targets(model, torch.tensor([[0.5, 12], [1, 22]]))
    assert unreachable_targets(model, torch.tensor([[0.5, 0.7]]).T) == ""                   # another number of targets: the loss says so


def test_all_targets_in_memory_are_told_of_where_those_of_the_batch_are_in_their_unit():
    data = TensorDataset(torch.rand(100, 3), torch.linspace(0, 50, 100))
    loader = DataLoaders.from_dsets(data, bs=10).train
    assert "the targets go from 0 to 50," in unreachable_targets(ending(0, 1), torch.tensor([3.0, 9]), loader)
    assert "first batch go from 300 to 900," in unreachable_targets(ending(0, 1), torch.tensor([300.0, 900]), loader)


def rows(n=120):
    rng = np.random.default_rng(0)
    users, films = rng.integers(0, 9, (2, n))
    return pd.DataFrame({"user": users, "film": films, "rating": np.arange(n) % 5 + 1, "x": rng.normal(size=n)})


def table(**given):
    dls = TabularDataLoaders.from_df(rows(), y_names="rating", y_block=RegressionBlock, cont_names=["x"], procs=[Normalize], bs=32)
    return tabular_learner(dls, layers=[4], **given)


def ratings(**given):
    return collab_learner(CollabDataLoaders.from_df(rows(), bs=32), n_factors=3, **given)


def series(**given):
    x, y = np.random.default_rng(0).normal(size=(40, 1, 12)).astype(np.float32), np.linspace(1, 5, 40)
    return ts_learner(TSDataLoaders.from_array(x, y, bs=32), FCN, layers=[4], kernel_sizes=[3], **given)


def course(y_range):
    data = TensorDataset(torch.rand(64, 3), torch.arange(64).float() % 5 + 1)
    return Learner(DataLoaders.from_dsets(data, data, bs=32), WithRange(*y_range), MSELossFlat())


@pytest.mark.parametrize("make", [table, ratings, series, course], ids=lambda f: f.__name__)
def test_every_learner_says_so_once_when_its_fit_begins(make):
    learn = make(y_range=(0, 3))
    with learn.no_bar(), learn.no_logging():
        with told("callbacks/output_range.py", "Give the model y_range=(…, …)"):
            learn.fit(1)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            learn.fit(1)
            learn = make(y_range=(0, 5.2))
            with learn.no_bar(), learn.no_logging():
                learn.fit(1)
                assert learn.get_preds()[0].max() < 5.2
