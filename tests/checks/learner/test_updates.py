"""Units that are the same, items without a gradient, how much a step changes a weight."""
import pytest
import torch
import torch.nn.functional as F

from minifast.checks.learner.updates import all_rows_equal, silent_items, update_ratio


def test_units_that_are_all_the_same():
    assert all_rows_equal(torch.ones(3, 4)) and not all_rows_equal(torch.eye(3)) and not all_rows_equal(torch.ones(1, 4))


def test_silent_items_of_a_clipped_loss():
    pred, y = torch.tensor([[5.0, 0.0], [0.0, 5.0], [0.0, 0.1]]), torch.tensor([0, 0, 0])
    silent, losses = silent_items(pred, y, lambda p, t: F.cross_entropy(p, t).clamp(max=1.0))
    assert silent == [1] and losses[1] == 1.0
    assert silent_items(pred, y, F.cross_entropy)[0] == []
    hinge = lambda p, t: F.multi_margin_loss(p, t)          # noqa: E731  no loss where it has no gradient
    assert silent_items(pred, y, hinge)[0] == []


def test_update_to_weight_ratio():
    assert update_ratio(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])) == pytest.approx(0.1)
    assert update_ratio(torch.zeros(2), torch.ones(2)) is None
