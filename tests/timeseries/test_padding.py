"""Padding of series: what is NaN in all channels."""
import torch

from minifast.timeseries.all import TensorSeries, is_step, n_steps, split_padding


def test_padding_is_told_from_steps():
    x = torch.arange(24.0).reshape(2, 3, 4)
    x[1, :, 2:] = torch.nan
    assert is_step(x).tolist() == [[True] * 4, [True, True, False, False]] and n_steps(x).tolist() == [4, 2]
    filled, mask = split_padding(TensorSeries(x))
    assert mask.equal(is_step(x)) and filled[0].equal(x[0]) and filled[1, :, :2].equal(x[1, :, :2]) and (filled[1, :, 2:] == 0).all()


def test_a_value_that_is_missing_in_one_channel_is_no_padding():
    x = torch.zeros(1, 2, 3)
    x[0, 1, 2] = torch.nan
    assert is_step(x).all() and split_padding(x)[0].isnan().any(), "it stays visible"
