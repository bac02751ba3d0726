"""Losses of forecasts: every target counts by its own spread."""
import pytest
import torch

from minifast.timeseries.all import ForecastLoss, PinballLoss


def test_errors_are_in_units_of_the_spread():
    f, y = torch.zeros(2, 2, 3), torch.tensor([[[3.0] * 3, [40.0] * 3]] * 2)
    assert ForecastLoss("mse", [3, 20])(f, y).item() == pytest.approx((1 + 4) / 2)
    assert ForecastLoss("mae", [3, 20])(f, y).item() == pytest.approx((1 + 2) / 2)
    assert ForecastLoss("huber", [3, 20], "sum")(f, y).item() == pytest.approx(6 * 0.5 + 6 * 1.5)
    assert ForecastLoss(reduction="none")(f, y).equal(y ** 2)
    with pytest.raises(ValueError, match="differ in shape"):
        ForecastLoss()(f, y[:, :1])


def test_quantiles():
    q = torch.tensor([1.0, 2.0, 5.0]).expand(4, 1, 2, 3)
    loss = PinballLoss((0.1, 0.5, 0.9), [2.0])
    y = torch.full((4, 1, 2), 4.0)
    assert loss(q, y).item() == pytest.approx((0.3 + 1 + 0.1) / 3 / 2)
    assert loss.decodes(q).equal(torch.full((4, 1, 2), 2.0)) and loss.activation(q) is q
    loss.reduction = "none"
    assert loss(q, y).shape == y.shape
    with pytest.raises(ValueError, match=r"For quantiles write PinballLoss\(quantiles\)"):
        ForecastLoss()(q, y)
    with pytest.raises(ValueError, match="3 quantiles of targets"):
        loss(q[..., 0], y)


def test_training_on_the_pinball_loss_finds_the_quantiles():
    y = torch.arange(1000.0).reshape(1000, 1, 1) / 1000
    q = torch.full((1, 1, 1, 3), 0.5, requires_grad=True)
    opt, loss = torch.optim.SGD([q], lr=0.2), PinballLoss((0.1, 0.5, 0.9))
    for _ in range(300):
        opt.zero_grad()
        loss(q.expand(1000, 1, 1, 3), y).backward()
        opt.step()
    assert q.flatten().tolist() == pytest.approx([0.1, 0.5, 0.9], abs=0.02)


@pytest.mark.parametrize("quantiles", [(0.1, 0.9), (0.5, 0.1, 0.9), (0.1, 0.4, 0.9), (0, 0.5, 1), 0.5, (0.1, 0.5, True)])
def test_quantiles_without_a_median_in_the_middle_are_refused(quantiles):
    with pytest.raises(ValueError, match=r"0\.5 in the middle, such as \(0\.1, 0\.5, 0\.9\)"):
        PinballLoss(quantiles)
    PinballLoss((0.1, 0.5, 0.9))
    with pytest.raises(ValueError, match="base is one of"):
        ForecastLoss("rmse")
