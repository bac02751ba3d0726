"""DLinear against its formula, and with other columns."""
import pytest
import torch
import torch.nn.functional as F

from minifast.timeseries.all import DLinear


@pytest.mark.parametrize("individual", [False, True])
def test_trend_and_rest_go_through_a_layer_each(individual):
    model = DLinear(2, 2 * 5, 12, n_targets=2, kernel=3, individual=individual)
    x = torch.randn(4, 2, 12)
    padded = torch.cat([x[:, :, :1], x, x[:, :, -1:]], 2)
    trend = (padded[:, :, :-2] + padded[:, :, 1:-1] + padded[:, :, 2:]) / 3
    expected = torch.stack([F.linear(trend[:, i], model.trend[i * individual].weight, model.trend[i * individual].bias)
                            + F.linear((x - trend)[:, i], model.rest[i * individual].weight, model.rest[i * individual].bias)
                            for i in range(2)], 1).flatten(1)
    assert torch.allclose(model(x), expected, atol=1e-6)


def test_other_columns_come_in_once_they_are_trained():
    model, x, known = DLinear(3, 4, 6, n_known=2 * 4), torch.randn(2, 3, 6), torch.randn(2, 2, 4)
    alone = DLinear(1, 4, 6)
    alone.load_state_dict({k: v for k, v in model.state_dict().items() if "others" not in k})
    assert torch.allclose(model(x, known), alone(x[:, :1])), "at the start they have no effect"
    model(x, known).sum().backward()
    assert (model.others.weight.grad != 0).all()


def test_arguments():
    with pytest.raises(ValueError, match="kernel=4"):
        DLinear(1, 4, 6, kernel=4)
    with pytest.raises(ValueError, match="n_targets=3"):
        DLinear(2, 4, 6, n_targets=3)
