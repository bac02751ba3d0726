"""`Scale`: the mean and the spread of the training rows, which a forecasting model carries: data and forecasts stay in their own units."""
import torch
from torch import nn

from ..window_set import WindowSet


class Scale(nn.Module):
    """Mean and standard deviation of each channel, kept with the weights of the model.

    Args:
        n_channels: of a window: targets, past, known.
        n_targets: how many of them are targets, the first ones.
        n_known: how many of them are known for the horizon, the last ones.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, n_channels: int, n_targets: int = 1, n_known: int = 0):
        super().__init__()
        self.n_channels, self.n_targets, self.n_known = n_channels, n_targets, n_known
        self.register_buffer("mean", torch.zeros(n_channels))
        self.register_buffer("std", torch.ones(n_channels))

    @classmethod
    def of(cls, training: WindowSet) -> "Scale":
        """The scale of the rows that training windows cover, each counted once.

        Args:
            training: these windows.
        """
        w = training.windows
        made = cls(len(w.channels), len(w.target), len(w.known))
        rows = w.values[:, torch.from_numpy(w.rows_of(training.indices))].double()
        std = rows.std(1, correction=0)
        made.mean.copy_(rows.mean(1))
        made.std.copy_(torch.where(std > 1e-6 * rows.abs().amax(1), std, torch.ones_like(std)))        # a constant is only shifted
        return made

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        "A window (B, channels, steps), scaled."
        return (x - self.mean[:, None]) / self.std[:, None]

    def known(self, x: torch.Tensor) -> torch.Tensor:
        "The known future (B, known, horizon), scaled."
        first = self.n_channels - self.n_known
        return (x - self.mean[first:, None]) / self.std[first:, None]

    def undo(self, y: torch.Tensor) -> torch.Tensor:
        "Scaled forecasts (B, targets, horizon, quantiles) in the units of the targets."
        return y * self.std[:self.n_targets, None, None] + self.mean[:self.n_targets, None, None]

    @property
    def of_targets(self) -> torch.Tensor:
        "The standard deviation of each target, (targets,)."
        return self.std[:self.n_targets].clone()

    def extra_repr(self) -> str:
        return f"{self.n_channels}, {self.n_targets}, {self.n_known}"
