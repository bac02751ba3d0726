"""What a guess costs."""
import math

import pytest
import torch
import torch.nn.functional as F
import zoo_data  # noqa: F401  the animals
import zoo_healthy  # noqa: F401
import zoo_learners  # noqa: F401

from minifast.checks.learner.initial_loss import binary_entropy, entropy, expected_losses, frequencies
from minifast.nn.losses import MSELossFlat


def test_expected_loss_at_the_start():
    y = torch.tensor([0, 0, 0, 1])
    assert frequencies(y, 3).tolist() == [0.75, 0.25, 0.0] and frequencies(torch.tensor([0, -100, 1]), 2).tolist() == [0.5, 0.5]
    assert entropy(frequencies(y, 2)) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    uninformed, informed = expected_losses(F.cross_entropy, "class logits", y, 2)
    assert uninformed == pytest.approx(math.log(2)) and informed == pytest.approx(0.5623, abs=1e-4)
    assert expected_losses(F.binary_cross_entropy, "logits", torch.tensor([[1.0], [0.0]]), 1) == pytest.approx((math.log(2), math.log(2)))
    assert binary_entropy(torch.tensor([0.5, 1.0])) == pytest.approx(math.log(2) / 2, abs=1e-4)
    values = torch.tensor([[1.0], [3.0]])
    assert expected_losses(MSELossFlat(), "values", values, 1) == (5.0, 1.0)
    assert expected_losses(F.l1_loss, "values", values, 1) == (2.0, 1.0)
    assert expected_losses(F.huber_loss, "values", values, 1) is None and expected_losses(F.mse_loss, None, values, 1) is None
