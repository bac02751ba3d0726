"""How much a step changes a weight."""
import pytest
import torch

from minifast.checks.learner.updates import update_ratio


def test_update_to_weight_ratio():
    assert update_ratio(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])) == pytest.approx(0.1)
    assert update_ratio(torch.zeros(2), torch.ones(2)) is None
