"""Activations, as functions and as layers."""
import torch
import torch.nn.functional as F
from torch import nn

from .module import Module

Identity, Mish, Swish = nn.Identity, nn.Mish, nn.SiLU


def mish(x):
    "x * tanh(softplus(x)) (https://arxiv.org/abs/1908.08681)."
    return F.mish(x)


def swish(x):
    "x * sigmoid(x), also called SiLU."
    return F.silu(x)


def sigmoid(x, eps=1e-7):
    "`torch.sigmoid`, kept between `eps` and 1 - `eps` so that its logarithm is finite."
    return x.sigmoid().clamp(eps, 1 - eps)


def sigmoid_range(x, low, high):
    "Sigmoid scaled to go from `low` to `high`."
    return torch.sigmoid(x) * (high - low) + low


class SigmoidRange(Module):
    "`sigmoid_range` as a layer: the last one of a model that predicts numbers from `low` to `high`."

    def __init__(self, low, high):
        self.low, self.high = low, high

    def forward(self, x):
        return sigmoid_range(x, self.low, self.high)

    def extra_repr(self):
        return f"low={self.low}, high={self.high}"
