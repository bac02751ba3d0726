"""Which items are overfitted, and when it ends."""
import pytest
import torch
import zoo_data  # noqa: F401  the animals
import zoo_healthy  # noqa: F401
import zoo_learners  # noqa: F401
from torch import nn

from minifast.checks.learner import overfit_batch
from minifast.checks.learner.overfit_batch import Run, different_items, overfit
from minifast.checks.outcomes import Skipped


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


@pytest.mark.parametrize("losses, out_of_time, verdict", [
    ([6 * 0.99**i for i in range(100)], False, "tip"),              # 2.2 at the end, and falling: a recurrent model, slow to learn
    ([6.0] * 20 + [2.2] * 80, False, "issue"),                      # as low, but it has come to rest
    ([6 * 0.999**i for i in range(100)], False, "issue"),           # it hardly learns
])
def test_a_loss_that_still_falls_is_no_sign_of_something_broken(monkeypatch, losses, out_of_time, verdict):
    run = Run(losses, False, 0.005, 2.6, 1, out_of_time, False)
    monkeypatch.setattr(overfit_batch, "overfit_items", lambda probe, n: run)
    assert overfit_batch.overfit_one_item(None).verdict == verdict
    monkeypatch.setattr(overfit_batch, "overfit_items", lambda probe, n: run._replace(out_of_time=True))
    if verdict == "tip":
        with pytest.raises(Skipped, match="there was time for 100 steps only"):
            overfit_batch.overfit_one_item(None)
