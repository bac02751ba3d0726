"""ResNet of series: three residual blocks of three convolutions each.

Source: Z. Wang, W. Yan, T. Oates, "Time Series Classification from Scratch with Deep Neural Networks: A Strong Baseline", 2017, section
II-C, https://arxiv.org/abs/1611.06455.
"""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ...core.recipe import recorded
from ...core.types import YRange
from .masked import ConvNormAct, StepMask, StepNorm, StepSequential
from .series_model import ConvModel, check_sizes, linear_head


class Residual(nn.Module):
    """`ReLU(layers(x) + shortcut(x))`, where the shortcut is a batch norm, after a convolution of one step if the channels differ.

    Args:
        n_in: channels of the input.
        n_out: channels of the output of `layers`.
        layers: called with the input and the mask.
    """

    def __init__(self, n_in: int, n_out: int, layers: nn.Module):
        super().__init__()
        self.layers = layers
        self.shortcut = StepNorm(n_out) if n_in == n_out else ConvNormAct(n_in, n_out, act=False)

    def forward(self, x: torch.Tensor, mask: StepMask | None = None) -> torch.Tensor:
        return F.relu_(self.layers(x, mask) + self.shortcut(x, mask))


class ResNet1d(ConvModel):
    """Residual network: float (B, c_in, T) -> (B, c_out). Series of any length, also of several.

    Args:
        c_in: channels of a series.
        c_out: outputs, or the shape of the output.
        seq_len: accepted because other models need it.
        layers: channels of each block.
        kernel_sizes: steps that each convolution of a block sees.
        dropout: before the last layer.
        y_range: (low, high) of numbers to predict.
        padded: see `SeriesModel`.
    """

    @recorded()
    def __init__(self, c_in: int, c_out: int | Sequence[int], seq_len: int | None = None, layers: Sequence[int] = (64, 128, 128),
                 kernel_sizes: Sequence[int] = (8, 5, 3), dropout: float = 0.0, y_range: YRange | None = None, padded: bool = False):
        super().__init__(c_in, c_out, seq_len, padded)
        check_sizes("ResNet1d", layers=layers, kernel_sizes=kernel_sizes)
        self.body = StepSequential(*(self._block(*sizes, kernel_sizes) for sizes in zip([c_in, *layers[:-1]], layers, strict=True)))
        self.head = linear_head(layers[-1], c_out, dropout, y_range)

    @staticmethod
    def _block(n_in, n_out, kernel_sizes):
        last = len(kernel_sizes) - 1
        convs = (ConvNormAct(n_out if i else n_in, n_out, k, act=i < last) for i, k in enumerate(kernel_sizes))
        return Residual(n_in, n_out, StepSequential(*convs))
