"""Looking into a model."""
import pytest
import torch
from torch import nn

from minifast.nn.conv import ConvLayer
from minifast.nn.model_info import (
    children_of,
    dummy_eval,
    eval_mode,
    flatten_model,
    in_channels,
    model_sizes,
    num_features_model,
    one_param,
    params,
    requires_grad,
    total_params,
)


def body():
    return nn.Sequential(ConvLayer(1, 4, stride=2), nn.Sequential(ConvLayer(4, 8, stride=2), nn.Dropout2d(.5)))


def test_looking_into_a_model():
    m = body()
    assert len(params(m)) == 6 and one_param(m) is m[0][0].weight and requires_grad(m) and not requires_grad(nn.ReLU())
    assert total_params(m) == (4 * 9 + 8 + 4 * 8 * 9 + 16, True)
    assert total_params(m.requires_grad_(False))[1] is False
    assert children_of(m) == list(m)
    assert [type(o).__name__ for o in flatten_model(m)] == ["Conv2d", "BatchNorm2d", "ReLU"] * 2 + ["Dropout2d"]
    assert in_channels(m) == 1
    with pytest.raises(ValueError, match="Linear has no convolution"):
        in_channels(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="ReLU has no parameters"):
        one_param(nn.ReLU())


def test_model_sizes_leave_modes_statistics_hooks_and_random_streams_alone():
    m = body().train()
    m[1].eval()
    mean, rng = m[0][1].running_mean.clone(), torch.get_rng_state()
    assert model_sizes(m, (32, 48)) == [(1, 4, 16, 24), (1, 8, 8, 12)]
    assert dummy_eval(m).shape == (1, 8, 16, 16) and not dummy_eval(m).requires_grad
    assert num_features_model(m) == 8
    assert torch.equal(rng, torch.get_rng_state()) and torch.equal(mean, m[0][1].running_mean)
    assert [o.training for o in m] == [True, False] and not m[0]._forward_hooks
    torch.testing.assert_close(dummy_eval(m), dummy_eval(m))
    assert dummy_eval(m.double()).dtype == torch.float64


def test_num_features_of_a_model_that_needs_large_images():
    assert num_features_model(nn.Sequential(nn.Conv2d(3, 5, 60))) == 5
    with pytest.raises(ValueError, match="no image from 32 to 1024 pixels passes"):
        num_features_model(nn.Sequential(nn.Conv2d(3, 5, 3), nn.Linear(7, 7)))


def test_eval_mode_restores_modes_after_an_error():
    m = nn.Sequential(nn.Dropout(), nn.Dropout())
    m[0].eval()
    with pytest.raises(RuntimeError), eval_mode(m):
        assert not m[1].training and not torch.is_grad_enabled()
        raise RuntimeError
    assert [m.training, m[0].training, m[1].training] == [True, False, True] and torch.is_grad_enabled()
