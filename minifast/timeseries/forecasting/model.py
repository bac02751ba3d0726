"""`Forecaster`: an architecture with its scale, from windows in their own units to forecasts in the same."""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from .scale import Scale


class Forecaster(nn.Module):
    """Scales a window, lets an architecture forecast, and gives the forecasts in the units of the targets.

    By window (as in "Reversible Instance Normalization", T. Kim et al., 2022, section 3, without weights of its own), targets and past
    columns are also brought to mean 0 and spread 1 within each window, and the forecasts back: a series may then drift away from where it
    was in training.

    Quantiles come in order: they are sorted, so that none crosses another (V. Chernozhukov, I. Fernández-Val, A. Galichon, "Quantile and
    Probability Curves Without Crossing", 2010), which never makes the pinball loss larger.

    An architecture with the attribute `forecasts` is called with the scaled window, and with the known future where there is one. Any
    other one gets, where there are known columns, a window that goes on for the horizon, in which the other channels are 0.

    Args:
        backbone: (B, channels, steps) -> (B, targets * horizon * quantiles).
        scale: of the training rows.
        horizon: steps to forecast.
        quantiles: which ones; None: one number per step.
        by_window: also scale each window by itself.
    """

    #: inputs come in their own units
    scales_inputs = True

    def __init__(self, backbone: nn.Module, scale: Scale, horizon: int, quantiles: Sequence[float] | None = None, by_window: bool = True):
        super().__init__()
        self.backbone, self.scale, self.horizon, self.by_window = backbone, scale, horizon, by_window
        self.quantiles = None if quantiles is None else tuple(quantiles)
        self._apart = bool(getattr(backbone, "forecasts", False))

    def forward(self, x: torch.Tensor, known: torch.Tensor | None = None) -> torch.Tensor:
        "(B, channels, steps), and (B, known, horizon) -> (B, targets, horizon), with quantiles (B, targets, horizon, quantiles)."
        scale = self.scale
        z, n_seen = scale(x), scale.n_channels - scale.n_known
        n = scale.n_targets
        if self.by_window:
            mean = z[:, :n_seen].mean(2, keepdim=True)
            std = (z[:, :n_seen].var(2, keepdim=True, correction=0) + 1e-4).sqrt()
            z = torch.cat([(z[:, :n_seen] - mean) / std, z[:, n_seen:]], 1) if scale.n_known else (z - mean) / std
        if known is None or not scale.n_known:
            out = self.backbone(z)
        elif self._apart:
            out = self.backbone(z, scale.known(known))
        else:
            future = F.pad(scale.known(known), (0, 0, n_seen, 0))
            out = self.backbone(torch.cat([z, future], 2))
        out = out.view(x.shape[0], n, self.horizon, -1)          # len(x) is a constant to torch.export
        if self.by_window:
            out = out * std[:, :n, :, None] + mean[:, :n, :, None]
        out = scale.undo(out)
        return out.squeeze(3) if self.quantiles is None else out.sort(3).values
