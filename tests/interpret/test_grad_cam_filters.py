"""The filters of the first convolution, drawn."""
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from minifast.interpret.grad_cam import first_filters, plot_filters


def test_zero_is_grey_and_the_greatest_weight_reaches_the_end():
    conv = nn.Conv2d(3, 5, 4)
    model = nn.Sequential(nn.Flatten(2), conv, nn.Conv2d(5, 2, 3))
    got, w = first_filters(model), conv.weight.detach()
    assert got.shape == (5, 3, 4, 4)
    for f, v in zip(got, w, strict=True):
        assert torch.allclose((f - 0.5) * 2 * v.abs().max(), v, atol=1e-6)
        assert max(f.max(), 1 - f.min()) == pytest.approx(1)
    with torch.no_grad():
        conv.weight[2].zero_()
    assert (first_filters(model)[2] == 0.5).all()
    assert torch.equal(first_filters(model, model[2]), first_filters(model[2])) and first_filters(model[2]).shape == (2, 1, 3, 3)
    many = first_filters(nn.Conv2d(7, 3, 2))
    assert many.shape == (3, 1, 2, 2) and many.min() >= 0 and many.max() <= 1


def test_drawn():
    conv = nn.Conv2d(3, 10, 5)
    axes = plot_filters(conv, n=7)
    pictures = [np.asarray(a.images[0].get_array()) for a in axes]
    assert len(axes) == 7 and all(p.shape == (5, 5, 3) for p in pictures)
    assert np.allclose(pictures[6], first_filters(conv)[6].permute(1, 2, 0), atol=1e-2)

    class Learn:
        model = nn.Sequential(conv)
    assert len(plot_filters(Learn())) == 10
    plt.close("all")


def test_refused():
    with pytest.raises(ValueError, match="Linear has no two-dimensional convolution: give one as layer="):
        plot_filters(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="nn.Conv2d; received Linear"):
        first_filters(nn.Conv2d(3, 2, 1), nn.Linear(2, 2))
