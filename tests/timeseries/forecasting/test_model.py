"""`Forecaster`: units, windows that drift away, and what an architecture gets."""
import pytest
import torch
from torch import nn

from minifast.timeseries.all import Forecaster, Naive, Scale, SeasonalNaive


def scaled(n_channels=1, n_targets=1, n_known=0, mean=50.0, std=8.0):
    scale = Scale(n_channels, n_targets, n_known)
    scale.mean.fill_(mean)
    scale.std.fill_(std)
    return scale


@pytest.mark.parametrize("by_window", [True, False])
def test_a_naive_forecast_is_the_same_in_any_units(by_window):
    x = torch.randn(5, 2, 12) * 30 + 400
    model = Forecaster(SeasonalNaive(2, 6, 12, season=4), scaled(2), 6, by_window=by_window)
    assert torch.allclose(model(x), x[:, :1, [8, 9, 10, 11, 8, 9]], rtol=1e-4)
    wide = Forecaster(Naive(2, 6 * 3, 12, horizon=6), scaled(2), 6, (0.1, 0.5, 0.9), by_window)
    assert wide(x).shape == (5, 1, 6, 3) and torch.allclose(wide(x)[..., 1], x[:, :1, -1:].expand(5, 1, 6), rtol=1e-4)


def test_quantiles_never_cross():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 4 * 3))
    y = Forecaster(net, scaled(), 4, (0.1, 0.5, 0.9))(torch.randn(20, 1, 6) * 8 + 50)
    assert y.shape == (20, 1, 4, 3) and (y.diff(dim=3) >= 0).all() and (y.diff(dim=3) > 0).any()


def test_by_window_a_shift_of_the_window_shifts_the_forecast():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3))
    x = torch.randn(4, 1, 12)
    shifted, fixed = (Forecaster(net, scaled(mean=0, std=1), 3, by_window=b) for b in (True, False))
    assert torch.allclose(shifted(x + 7), shifted(x) + 7, atol=1e-4) and not torch.allclose(fixed(x + 7), fixed(x) + 7, atol=1e-1)


def test_a_window_of_one_value_gives_no_nan():
    model = Forecaster(nn.Sequential(nn.Flatten(), nn.Linear(6, 2)), scaled(), 2)
    assert model(torch.full((3, 1, 6), 50.0)).isfinite().all()


def test_an_architecture_that_knows_of_no_future_gets_a_longer_window():
    seen = []

    class Look(nn.Module):
        def forward(self, x):
            seen.append(x)
            return x[:, 0, :3]

    model = Forecaster(Look(), scaled(3, 1, 1, 0, 2), 3)
    x, known = torch.randn(2, 3, 5), torch.ones(2, 1, 3) * 4
    model(x, known)
    assert seen[0].shape == (2, 3, 8) and (seen[0][:, :2, 5:] == 0).all() and (seen[0][:, 2, 5:] == 2).all()
    assert seen[0][:, :2, :5].mean(2).abs().max() < 1e-6 and torch.allclose(seen[0][:, 2, :5], x[:, 2] / 2)
