"""Activations: values against their formulas."""
import torch
import torch.nn.functional as F

from minifast.core.items import noop
from minifast.nn.activations import Mish, SigmoidRange, Swish, mish, sigmoid, sigmoid_range, swish

close = torch.testing.assert_close


def test_activations_return_values():
    x = torch.linspace(-4, 4, 9)
    close(swish(x), x * x.sigmoid())
    close(mish(x), x * F.softplus(x).tanh())
    close(Swish()(x), swish(x))
    close(Mish()(x), mish(x))
    close(sigmoid_range(x, -1, 5), x.sigmoid() * 6 - 1)
    close(SigmoidRange(-1, 5)(x), sigmoid_range(x, -1, 5))
    big = sigmoid(torch.tensor([-100., 0., 100.]))
    close(big, torch.tensor([1e-7, .5, 1 - 1e-7]))
    assert torch.isfinite(big.log()).all() and torch.isfinite((1 - big).log()).all()
    assert noop(3, 4, a=5) == 3 and noop() is None
