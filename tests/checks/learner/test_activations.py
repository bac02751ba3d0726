"""Dead units and saturated values."""
import pytest
import torch

from minifast.checks.learner.activations import dead_share, saturated_share


def test_shares_of_dead_units_and_saturated_values():
    assert dead_share(torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])) == pytest.approx(2 / 3) and dead_share(torch.ones(2, 3, 4)) == 0
    assert saturated_share(torch.tensor([-1.0, -0.99, 0.0, 1.0]), -1, 1) == 0.75
