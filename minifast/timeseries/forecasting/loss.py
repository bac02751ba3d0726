"""Losses of forecasts, in which every target counts by its own spread: targets and forecasts are in their own units."""
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from ...core.arguments import check_arguments, check_choice, is_number
from ...core.messages import describe
from ...metrics.forecasting import check_quantile_shape, pinball_errors
from ...nn.losses import REDUCTIONS

_LOSSES: dict[str, type[nn.Module]] = {"mse": nn.MSELoss, "mae": nn.L1Loss, "huber": nn.HuberLoss}


class ForecastLoss(nn.Module):
    """A loss of the errors in units of the standard deviation of each target.

    Args:
        base: 'mse', 'mae' or 'huber'.
        scale: the standard deviation of each target, (targets,); None: 1.
        reduction: 'mean', 'sum' or 'none'.
    """

    kind = "values"
    scale: torch.Tensor | None

    def __init__(self, base: str = "mse", scale: torch.Tensor | Sequence[float] | None = None, reduction: str = "mean"):
        super().__init__()
        check_choice("ForecastLoss", "base", base, _LOSSES)
        check_choice(type(self).__name__, "reduction", reduction, REDUCTIONS)
        self.base, self.reduction = base, reduction
        self._errors = _LOSSES[base](reduction="none")
        self.register_buffer("scale", None if scale is None else torch.as_tensor(scale, dtype=torch.float32))

    def activation(self, x: torch.Tensor) -> torch.Tensor:
        "Forecasts as they are."
        return x

    def decodes(self, x: torch.Tensor) -> torch.Tensor:
        "Forecasts as they are."
        return x

    def forward(self, inp: torch.Tensor, targ: torch.Tensor) -> torch.Tensor:
        "(B, targets, horizon) against the same."
        if inp.shape != targ.shape:
            raise ValueError(f"ForecastLoss: forecasts {describe(inp)} and targets {describe(targ)} differ in shape"
                             + (". For quantiles write PinballLoss(quantiles)" if inp.ndim == targ.ndim + 1 else ""))
        inp, targ = self._scaled(inp), self._scaled(targ)
        return self._reduced(self._errors(inp, targ))

    def _scaled(self, x):
        return x if self.scale is None else x / self.scale.view(-1, *[1] * (x.ndim - 2))

    def _reduced(self, errors):
        return errors.mean() if self.reduction == "mean" else errors.sum() if self.reduction == "sum" else errors


class PinballLoss(ForecastLoss):
    """The pinball loss of quantiles, in units of the standard deviation of each target, see `metrics.forecasting.pinball`.

    Args:
        quantiles: in order, the median in the middle, such as (0.1, 0.5, 0.9).
        scale: the standard deviation of each target, (targets,); None: 1.
        reduction: 'mean', 'sum' or 'none'.
    """

    q: torch.Tensor

    def __init__(self, quantiles: Sequence[float] = (0.1, 0.5, 0.9), scale: torch.Tensor | Sequence[float] | None = None,
                 reduction: str = "mean"):
        super().__init__("mse", scale, reduction)
        self.quantiles = check_quantiles(quantiles, "PinballLoss")
        self.register_buffer("q", torch.tensor(self.quantiles))

    def decodes(self, x: torch.Tensor) -> torch.Tensor:
        "The median."
        return x[..., len(self.quantiles) // 2]

    def forward(self, inp: torch.Tensor, targ: torch.Tensor) -> torch.Tensor:
        "(B, targets, horizon, quantiles) against (B, targets, horizon)."
        check_quantile_shape(inp, targ, len(self.quantiles), "PinballLoss")
        errors = pinball_errors(self._scaled(inp), self._scaled(targ), self.q)
        return self._reduced(errors.mean(-1) if self.reduction == "none" else errors)


def check_quantiles(quantiles: Any, where: str) -> tuple[float, ...]:
    """Quantiles as a tuple: refused unless they rise and the median is in the middle.

    Args:
        quantiles: what the user gave.
        where: who asks.
    """
    ok = isinstance(quantiles, (list, tuple)) and all(is_number(q, 0, 1) and 0 < q < 1 for q in quantiles)
    ok = ok and len(quantiles) % 2 == 1 and quantiles[len(quantiles) // 2] == 0.5 and all(a < b for a, b in pairwise(quantiles))
    check_arguments(where, quantiles=(quantiles, ok, "numbers between 0 and 1 that rise, 0.5 in the middle, such as (0.1, 0.5, 0.9)"))
    return tuple(quantiles)
