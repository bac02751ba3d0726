"""Naive and seasonal naive forecasts, value by value."""
import pytest
import torch

from minifast.timeseries.all import Naive, SeasonalNaive


def test_the_last_season_is_repeated():
    x = torch.arange(16.0).reshape(1, 2, 8)
    assert SeasonalNaive(2, 5, 8, season=3)(x).tolist() == [[5, 6, 7, 5, 6]]
    assert SeasonalNaive(2, 2 * 2, 8, n_targets=2, season=4)(x).tolist() == [[4, 5, 12, 13]]
    assert Naive(2, 3, 8)(x).tolist() == [[7, 7, 7]]


def test_quantiles_start_at_the_same_value():
    x = torch.arange(8.0).reshape(1, 1, 8)
    assert SeasonalNaive(1, 2 * 3, 8, season=2, horizon=2)(x).tolist() == [[6, 6, 6, 7, 7, 7]]


def test_a_season_longer_than_the_window_is_refused():
    with pytest.raises(ValueError, match=r"season=9.*at most the 8 of a window: write a smaller season=, or a larger window="):
        SeasonalNaive(1, 4, 8, season=9)
