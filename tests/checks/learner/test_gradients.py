"""Units that are the same, items without a gradient."""
import pytest
import torch
import torch.nn.functional as F
import zoo_data  # noqa: F401  the animals
import zoo_healthy  # noqa: F401
import zoo_learners  # noqa: F401

from minifast.checks.learner.activations import dead_share, saturated_share
from minifast.checks.learner.gradients import all_rows_equal, silent_items
from minifast.checks.learner.updates import update_ratio


def test_rows_ratios_and_shares():
    assert all_rows_equal(torch.ones(3, 4)) and not all_rows_equal(torch.eye(3)) and not all_rows_equal(torch.ones(1, 4))
    assert (
        update_ratio(torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])) == pytest.approx(0.1)
        and update_ratio(torch.zeros(2), torch.ones(2)) is None
    )
    a = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert dead_share(a) == pytest.approx(2 / 3) and dead_share(torch.ones(2, 3, 4)) == 0
    assert saturated_share(torch.tensor([-1.0, -0.99, 0.0, 1.0]), -1, 1) == 0.75


def test_silent_items_of_a_clipped_loss():
    pred, y = torch.tensor([[5.0, 0.0], [0.0, 5.0], [0.0, 0.1]]), torch.tensor([0, 0, 0])
    silent, losses = silent_items(pred, y, lambda p, t: F.cross_entropy(p, t).clamp(max=1.0))
    assert silent == [1] and losses[1] == 1.0
    assert silent_items(pred, y, F.cross_entropy)[0] == []
    hinge = lambda p, t: F.multi_margin_loss(p, t)          # noqa: E731  no loss where it has no gradient
    assert silent_items(pred, y, hinge)[0] == []
