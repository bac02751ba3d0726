"""Activations, as functions and as layers."""
import torch
import torch.nn.functional as F
from torch import nn

from .module import Module

Identity, Mish, Swish, mish, swish = nn.Identity, nn.Mish, nn.SiLU, F.mish, F.silu       # fastai's names


def sigmoid(x: torch.Tensor, eps: float = 1e-7) -> torch.Tensor:
    "`torch.sigmoid`, kept between `eps` and 1 - `eps` so that its logarithm is finite."
    return x.sigmoid().clamp(eps, 1 - eps)


def sigmoid_range(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Sigmoid scaled to go from `low` to `high`.

    Args:
        x: any tensor.
        low: lower end of the range, never quite reached.
        high: upper end.
    """
    return torch.sigmoid(x) * (high - low) + low


class SigmoidRange(Module):
    """`sigmoid_range` as a layer: the last one of a model that predicts numbers from `low` to `high`.

    Args:
        low: lower end of the range, never quite reached.
        high: upper end.
    """

    def __init__(self, low: float, high: float):
        self.low, self.high = low, high

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sigmoid_range(x, self.low, self.high)

    def extra_repr(self) -> str:
        return f"low={self.low}, high={self.high}"
