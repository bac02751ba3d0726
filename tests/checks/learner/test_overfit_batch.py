"""Which items are overfitted, and when it ends."""
import torch
import zoo_data  # noqa: F401  the animals
import zoo_healthy  # noqa: F401
import zoo_learners  # noqa: F401
from torch import nn

from minifast.checks.learner.overfit_batch import different_items, overfit


def test_different_items():
    assert different_items(torch.tensor([0, 0, 0, 1, 1, 2]), 3) == [0, 3, 5]
    assert different_items(torch.tensor([0, 0, 0, 1]), 3) == [0, 1, 3]
    assert different_items(torch.tensor([[5.0], [1.0], [3.0], [2.0], [4.0]]), 3) == [0, 1, 2]


def test_overfit_stops_when_it_is_enough_or_stands_still():
    model = nn.Linear(2, 1)
    x, y = torch.eye(2), torch.tensor([[1.0], [-1.0]])
    losses, done = overfit(model, lambda: model(x), lambda p: (p - y).square().mean(), 0.1, 200, lambda p, loss: loss < 1e-2)
    assert done and losses[-1] < 1e-2 and len(losses) < 200
    flat = nn.Linear(2, 1)
    losses, done = overfit(flat, lambda: flat(x) * 0, lambda p: (p - y).square().mean(), 0.1, 1000, lambda p, loss: loss < 1e-2)
    assert not done and len(losses) < 200
