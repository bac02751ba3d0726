"""How layers are initialised."""
import pytest
import torch
from torch import nn

from minifast.nn.init import apply_init, icnr_init, init_default, init_linear
from minifast.nn.layers import BatchNorm

close = torch.testing.assert_close


def test_icnr_init():
    w = icnr_init(torch.empty(8, 3, 1, 1))
    close(w[0], w[3])
    assert w.shape == (8, 3, 1, 1) and not torch.equal(w[0], w[4])
    with pytest.raises(ValueError, match="divisible by 4"):
        icnr_init(torch.empty(6, 3, 1, 1))


def test_init_linear_and_init_default():
    relu, tanh, none = (init_linear(nn.Linear(400, 400), act) for act in (nn.ReLU(), nn.Tanh(), None))
    assert relu.weight.std().item() == pytest.approx((2 / 400) ** .5, rel=.05)
    assert tanh.weight.std().item() == pytest.approx((1 / 400) ** .5, rel=.05)
    assert none.weight.std().item() == pytest.approx((1 / 1200) ** .5, rel=.05)          # torch's own
    assert relu.bias.std().item() == pytest.approx(.01, rel=.2)
    assert (init_linear(nn.Linear(4, 4), bias_std=0).bias == 0).all()
    assert (init_linear(nn.Linear(4, 4), init=nn.init.ones_).weight == 1).all()
    m = init_default(nn.Linear(4, 4), nn.init.ones_)
    assert (m.weight == 1).all() and (m.bias == 0).all()
    assert init_default(nn.Flatten(), nn.init.ones_) is not None


def test_apply_init_leaves_norms_and_frozen_layers_alone():
    m = nn.Sequential(nn.Conv2d(3, 4, 3), BatchNorm(4), nn.PReLU(), nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 2))
    m[4].requires_grad_(False)
    kept = m[4].weight.clone()
    apply_init(m, nn.init.ones_)
    assert (m[0].weight == 1).all() and (m[0].bias == 0).all() and (m[3][0].weight == 1).all()
    assert (m[1].bias == 1e-3).all() and (m[2].weight == 0.25).all() and torch.equal(m[4].weight, kept)
