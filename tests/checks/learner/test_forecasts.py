"""Naive forecasts as baselines, and what the checks of a learner make of padding, of single steps and of what is fitted at once."""
import pytest
import torch
from zoo_series import series_loaders, small, standardised, waves, window_loaders, windows

from minifast.checks.learner.activations import input_scale
from minifast.checks.learner.baseline import baselines
from minifast.checks.learner.forecasts import constant_quantiles, naive_forecasts, of_quantiles
from minifast.checks.learner.overfit_batch import overfit_one_batch
from minifast.checks.learner.updates import missing_gradients, update_to_weight_ratio
from minifast.checks.outcomes import NotApplicable
from minifast.learner.probe import probing
from minifast.timeseries.all import MSELossFlat, Naive, PinballLoss, mini_rocket_learner, ts_forecaster


def check(function, learn):
    with probing(learn, fast=True) as probe:
        return function(probe)


def test_naive_forecasts_repeat_the_last_value_and_the_last_week():
    dl = window_loaders(windows(window=10, horizon=9)).valid
    x, y = dl.dataset.read([0, 5])
    found = naive_forecasts(dl, [0, 5])
    assert found["naive"].shape == found["seasonal"].shape == y.shape
    assert torch.equal(found["naive"], x[:, :, -1:].expand(-1, -1, 9))
    assert torch.equal(found["seasonal"], torch.cat([x[:, :, 3:], x[:, :, 3:5]], 2))
    assert naive_forecasts(window_loaders(windows(window=5)).valid, [0]).keys() == {"naive"}           # shorter than a week
    assert naive_forecasts(series_loaders(*waves(40)).valid, [0]) == {}


def test_quantiles_of_a_guess():
    y = torch.arange(101.0)[:, None]
    assert torch.equal(constant_quantiles(PinballLoss((0.1, 0.5, 0.9)), y), torch.tensor([[10.0, 50.0, 90.0]]))
    naive = torch.ones(2, 1, 4)
    assert of_quantiles(naive, torch.zeros(2, 1, 4)) is naive
    assert of_quantiles(naive, torch.zeros(5, 1, 4, 3)).shape == (2, 1, 4, 3)


@pytest.mark.parametrize("quantiles", [None, (0.1, 0.5, 0.9)])
def test_forecasters_are_told_what_to_beat(quantiles):
    found = check(baselines, ts_forecaster(window_loaders(windows()), quantiles=quantiles))
    assert found.verdict == "pass" and "repeating the last season has rmse" in found.found
    assert {"naive_rmse", "seasonal_rmse", "constant_rmse"} <= found.evidence.keys()


def test_a_naive_forecast_has_nothing_to_fit():
    with pytest.raises(NotApplicable, match="a naive forecast has nothing to fit"):
        check(overfit_one_batch, ts_forecaster(window_loaders(windows()), Naive))


def test_the_scale_of_inputs_does_not_count_padding():
    x, y = waves(64, shortest=10)
    for factor, verdict in ((1, "pass"), (100, "issue")):
        found = check(input_scale, small(series_loaders([factor * a for a in x], y), layers=(8, 8, 8)))
        assert found.verdict == verdict and "nan" not in found.found


def test_weights_of_a_step_before_the_first_get_no_gradient():
    x, y = waves(64, 1)
    assert check(missing_gradients, small(series_loaders(x, y, batch_tfms=standardised()), "LSTM_FCN", hidden_size=8)).verdict == "pass"


def test_what_is_fitted_at_once_is_compared_as_if_trained_and_takes_no_steps():
    x, y = waves(64)
    learn = mini_rocket_learner(series_loaders([100 * a for a in x], y), n_features=84, seed=0)
    found = check(baselines, learn)
    assert found.found.startswith("the network has")
    assert check(input_scale, learn).found == "the model scales them itself"
    with pytest.raises(NotApplicable, match="fitted at once"):
        check(update_to_weight_ratio, learn)


def test_a_model_that_knows_its_items_hardly_moves():
    x, y = waves(64)
    learn = small(series_loaders(x, y), layers=(8, 8, 8))
    with torch.no_grad():
        learn.model.head[0].weight.zero_()
    found = check(update_to_weight_ratio, learn)
    assert "are learnt" not in found.found
    learn.loss_func = Solved()
    assert "these items are learnt" in check(update_to_weight_ratio, learn).found


class Solved(torch.nn.Module):
    "Cross entropy that is nearly nothing, as that of items that are learnt."
    kind = "class logits"

    def forward(self, pred, y):
        return 1e-7 * torch.nn.functional.cross_entropy(pred, y)


def test_losses_of_numbers_have_a_constant_guess():
    x, _ = waves(64)
    y = [float(a.std()) for a in x]
    assert check(baselines, small(series_loaders(x, y), loss_func=MSELossFlat(), layers=(8, 8, 8))).verdict == "pass"
