"""`Naive` and `SeasonalNaive`: the forecasts that others must beat.

Source: R. Hyndman, G. Athanasopoulos, "Forecasting: Principles and Practice", 3rd edition, section 5.2. They forecast without training;
an offset per step of the horizon, 0 until it is trained, learns a drift, or the spread of quantiles.
"""
import torch
from torch import nn

from ...core.arguments import check_arguments, is_whole
from ...core.recipe import recorded


class SeasonalNaive(nn.Module):
    """The value one season before.

    Args:
        c_in: channels of a window, the targets first.
        c_out: outputs: targets times horizon (times quantiles).
        seq_len: steps of a window.
        n_targets: how many of the channels are targets.
        n_known: of no effect.
        season: steps of a season, such as 12 for months and 24 for hours.
        horizon: steps to forecast; None: as many as outputs of a target.
    """

    #: it forecasts: it is made with `n_targets` and `n_known`, and called with the known future
    forecasts = True
    #: it repeats what was: it is made with `horizon`
    repeats = True
    masks = False
    min_steps = 1

    @recorded()
    def __init__(self, c_in: int, c_out: int, seq_len: int, n_targets: int = 1, n_known: int = 0, season: int = 1,
                 horizon: int | None = None):
        super().__init__()
        check_arguments(type(self).__name__, season=(season, is_whole(season) and season <= seq_len, "steps of a season, at most the "
                                                     f"{seq_len} of a window: write a smaller season=, or a larger window="))
        self.n_targets, self.season = n_targets, season
        self.horizon: int = c_out // n_targets if horizon is None else horizon
        self.offset = nn.Parameter(torch.zeros(c_out))
        self.register_buffer("at", seq_len - season + torch.arange(self.horizon) % season, persistent=False)

    at: torch.Tensor

    def forward(self, x: torch.Tensor, known: torch.Tensor | None = None) -> torch.Tensor:
        "(B, c_in, seq_len) -> (B, c_out)."
        y = x[:, :self.n_targets].index_select(2, self.at)                       # (B, targets, horizon)
        each = len(self.offset) // (self.n_targets * self.horizon)              # quantiles
        return y.repeat_interleave(each, 2).flatten(1) + self.offset


class Naive(SeasonalNaive):
    """The last value.

    Args:
        c_in: channels of a window, the targets first.
        c_out: outputs: targets times horizon (times quantiles).
        seq_len: steps of a window.
        n_targets: how many of the channels are targets.
        n_known: of no effect.
        horizon: steps to forecast; None: as many as outputs of a target.
    """

    @recorded()
    def __init__(self, c_in: int, c_out: int, seq_len: int, n_targets: int = 1, n_known: int = 0, horizon: int | None = None):
        super().__init__(c_in, c_out, seq_len, n_targets, n_known, 1, horizon)
