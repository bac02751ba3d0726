"""Dead units and saturated values."""
import pytest
import torch
from torch import nn
from zoo import classifier

from minifast.checks.check_learner import check_learner
from minifast.checks.codes import CODES
from minifast.checks.learner.activations import dead_share, saturated_share


def test_shares_of_dead_units_and_saturated_values():
    assert dead_share(torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])) == pytest.approx(2 / 3) and dead_share(torch.ones(2, 3, 4)) == 0
    assert saturated_share(torch.tensor([-1.0, -0.99, 0.0, 1.0]), -1, 1) == 0.75


def test_a_bias_that_an_activation_in_place_follows_is_of_use():
    ignore = [c for c in CODES if c not in ("MF101", "MF102", "MF309")]
    for layers, found in (([nn.ReLU(inplace=True)], []), ([nn.Identity()], []), ([], ["0"])):
        model = nn.Sequential(nn.Linear(6, 8), *layers, nn.BatchNorm1d(8), nn.Linear(8, 3))
        assert check_learner(classifier(model), ignore=ignore)["MF309"].items == found
