"""Units that are the same, items without a gradient."""
import torch
import torch.nn.functional as F
import zoo_data  # noqa: F401  the animals
import zoo_healthy  # noqa: F401
import zoo_learners  # noqa: F401

from minifast.checks.learner.gradients import all_rows_equal, silent_items


def test_units_that_are_all_the_same():
    assert all_rows_equal(torch.ones(3, 4)) and not all_rows_equal(torch.eye(3)) and not all_rows_equal(torch.ones(1, 4))



def test_silent_items_of_a_clipped_loss():
    pred, y = torch.tensor([[5.0, 0.0], [0.0, 5.0], [0.0, 0.1]]), torch.tensor([0, 0, 0])
    silent, losses = silent_items(pred, y, lambda p, t: F.cross_entropy(p, t).clamp(max=1.0))
    assert silent == [1] and losses[1] == 1.0
    assert silent_items(pred, y, F.cross_entropy)[0] == []
    hinge = lambda p, t: F.multi_margin_loss(p, t)          # noqa: E731  no loss where it has no gradient
    assert silent_items(pred, y, hinge)[0] == []
