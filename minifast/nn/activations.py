"""Activations, as functions and as layers, and ranges of outputs."""
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..core.messages import brief
from .containers import Module

Mish, Swish, mish, swish = nn.Mish, nn.SiLU, F.mish, F.silu       # fastai's names
inplace_relu = partial(nn.ReLU, inplace=True)


def sigmoid(x: torch.Tensor, eps: float = 1e-7) -> torch.Tensor:
    """`torch.sigmoid`, kept away from 0 and 1 so that its logarithm is finite.

    Args:
        x: logits.
        eps: the result lies between `eps` and 1 - `eps`.
    """
    return x.sigmoid().clamp(eps, 1 - eps)


def sigmoid_(x: torch.Tensor, eps: float = 1e-7) -> torch.Tensor:
    """`sigmoid` in place.

    Args:
        x: logits, which become the result.
        eps: the result lies between `eps` and 1 - `eps`.
    """
    return x.sigmoid_().clamp_(eps, 1 - eps)


def vleaky_relu(x: torch.Tensor, inplace: bool = True) -> torch.Tensor:
    """Leaky ReLU with slope 0.3 below 0.

    Args:
        x: any shape.
        inplace: write the result into `x`.
    """
    return F.leaky_relu(x, 0.3, inplace=inplace)


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
        low: lower end of the range, never quite reached; a number, or a tensor with one for each output.
        high: upper end, likewise.
    """

    low: Any
    high: Any

    def __init__(self, low: float | torch.Tensor, high: float | torch.Tensor):
        for name, end in (("low", low), ("high", high)):
            if isinstance(end, torch.Tensor):
                self.register_buffer(name, end.detach().clone(), persistent=False)      # moves with the model
            else:
                setattr(self, name, end)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return sigmoid_range(x, self.low, self.high)

    def extra_repr(self) -> str:
        return f"low={self.low}, high={self.high}"


def range_ends(y_range: Any) -> tuple[Any, Any]:
    """The ends of what a user may give as `y_range=`, for `SigmoidRange`: two numbers, or two tensors with a number for each output.

    Args:
        y_range: a tuple, list, array or tensor of two: (low, high).

    Raises:
        ValueError: it is none, or low is not below high.
    """
    pair = hasattr(y_range, "__len__") and not isinstance(y_range, (str, dict))
    # on the CPU, whatever the default device: a model that is measured on the meta device has ends that can be compared
    ends = [(end if isinstance(end, torch.Tensor) else torch.as_tensor(end, device="cpu")).squeeze() for end in y_range] if pair else []
    if len(ends) != 2 or any(end.ndim > 1 or end.is_complex() for end in ends) or not bool((ends[0] < ends[1]).all()):
        raise ValueError(f"y_range takes (low, high), low < high; received {brief(y_range)}")
    low, high = (end if end.ndim else given.item() if hasattr(given, "item") else given for end, given in zip(ends, y_range, strict=True))
    return low, high
