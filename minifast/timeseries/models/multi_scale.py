"""Convolutions of several lengths side by side, which see short and long pieces of a series. InceptionTime: residual blocks of them.
OmniScaleCNN: all prime lengths, of which three layers see pieces of any length.

Sources: H. Ismail Fawaz et al., "InceptionTime: Finding AlexNet for Time Series Classification", 2020, section 3,
https://arxiv.org/abs/1909.04939 (the paper averages five of them: see `ts_ensemble`). W. Tang et al., "Omni-Scale CNNs: a simple and
effective kernel size configuration for time series classification", 2022, section 3, https://arxiv.org/abs/2002.10061.
"""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ...core.recipe import recorded
from ...core.types import YRange
from .fcn import Residual
from .masked import StepConv, StepMaxPool, StepNorm, StepSequential
from .series_model import ConvModel, check_sizes, linear_head


class InceptionModule(nn.Module):
    """Convolutions of several lengths after a bottleneck, and one of a maximum, side by side: section 3.1.

    They stay separate convolutions: one with all kernels filled up with 0 to the longest took 1.2 to 2 times as long.

    Args:
        n_in: channels of the input.
        n_filters: channels of each of the convolutions.
        kernel_sizes: steps that each sees.
        bottleneck: channels of the bottleneck; 0: none. One input channel has none either.
        after_relu: the input has no negative values: the maximum needs no mask, for padding is 0.
    """

    def __init__(self, n_in: int, n_filters: int, kernel_sizes: Sequence[int], bottleneck: int, after_relu: bool = False):
        super().__init__()
        self.after_relu = after_relu
        self.bottleneck = StepConv(n_in, bottleneck) if bottleneck and n_in > 1 else None
        n_read = n_in if self.bottleneck is None else bottleneck
        self.convs = nn.ModuleList(StepConv(n_read, n_filters, k) for k in kernel_sizes)
        self.pool, self.pool_conv = StepMaxPool(3), StepConv(n_in, n_filters)
        self.norm = StepNorm(n_filters * (len(kernel_sizes) + 1))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        narrow = x if self.bottleneck is None else self.bottleneck(x)
        made = [conv(narrow) for conv in self.convs]
        made.append(self.pool_conv(self.pool(x, None if self.after_relu else mask)))
        return F.relu_(self.norm(torch.cat(made, 1), mask))


class InceptionTime(ConvModel):
    """One InceptionTime network: float (B, c_in, T) -> (B, c_out). Series of any length, also of several.

    Args:
        c_in: channels of a series.
        c_out: outputs, or the shape of the output.
        seq_len: accepted because other models need it.
        n_filters: channels of each convolution.
        depth: how many `InceptionModule`s.
        kernel_sizes: steps that the convolutions of a module see.
        bottleneck: channels of the bottleneck; 0: none.
        residual: a shortcut past each three modules.
        dropout: before the last layer.
        y_range: (low, high) of numbers to predict.
        padded: see `SeriesModel`.
    """

    @recorded()
    def __init__(self, c_in: int, c_out: int | Sequence[int], seq_len: int | None = None, n_filters: int = 32, depth: int = 6,
                 kernel_sizes: Sequence[int] = (40, 20, 10), bottleneck: int = 32, residual: bool = True, dropout: float = 0.0,
                 y_range: YRange | None = None, padded: bool = False):
        super().__init__(c_in, c_out, seq_len, padded)
        check_sizes("InceptionTime", n_filters=n_filters, depth=depth, kernel_sizes=kernel_sizes)
        n_out, blocks = n_filters * (len(kernel_sizes) + 1), []
        modules = [InceptionModule(n_out if i else c_in, n_filters, kernel_sizes, bottleneck, i > 0) for i in range(depth)]
        for i in range(0, depth, 3):
            block = StepSequential(*modules[i:i + 3])
            blocks.append(Residual(n_out if i else c_in, n_out, block) if residual and len(block) == 3 else block)
        self.body = StepSequential(*blocks)
        self.head = linear_head(n_out, c_out, dropout, y_range)


#: The longest kernel, whatever the series.
LONGEST = 89


def prime_lengths(longest: int) -> list[int]:
    """1, 2 and the odd primes up to `longest`.

    Args:
        longest: the last number that is looked at; below 2 it is 2.
    """
    return [n for n in range(1, max(longest, 2) + 1) if all(n % d for d in range(2, n))]


class OmniLayer(nn.Module):
    """Convolutions of several lengths side by side, batch norm and ReLU.

    Args:
        n_in: channels of the input.
        n_each: channels of each convolution.
        kernel_sizes: steps that each sees.
    """

    def __init__(self, n_in: int, n_each: int, kernel_sizes: Sequence[int]):
        super().__init__()
        self.convs = nn.ModuleList(StepConv(n_in, n_each, k) for k in kernel_sizes)
        self.norm = StepNorm(n_each * len(kernel_sizes))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return F.relu_(self.norm(torch.cat([conv(x) for conv in self.convs], 1), mask))


class OmniScaleCNN(ConvModel):
    """Omni-scale network: float (B, c_in, T) -> (B, c_out). Series of any length, also of several.

    Two layers have kernels of 1, 2, 3, 5, 7 ... steps, up to a quarter of the longest series; the third has 1 and 2.

    Args:
        c_in: channels of a series.
        c_out: outputs, or the shape of the output.
        seq_len: steps of the longest series.
        budgets: weights of the first layer per input channel, and of the second: they tell how many channels each convolution has.
        dropout: before the last layer.
        y_range: (low, high) of numbers to predict.
        padded: see `SeriesModel`.
    """

    needs_seq_len = True

    @recorded()
    def __init__(self, c_in: int, c_out: int | Sequence[int], seq_len: int | None = None,
                 budgets: Sequence[int] = (8 * 128, 5 * 128 * 256 + 2 * 256 * 128), dropout: float = 0.0, y_range: YRange | None = None,
                 padded: bool = False):
        super().__init__(c_in, c_out, seq_len, padded)
        check_sizes("OmniScaleCNN", budgets=budgets)
        primes = prime_lengths(min((seq_len or 0) // 4, LONGEST))
        layers, n_in = [], c_in
        for budget in (budgets[0] * c_in, *budgets[1:]):
            layers.append(OmniLayer(n_in, max(1, budget // (n_in * sum(primes))), primes))
            n_in = layers[-1].norm.num_features
        n_last = layers[0].norm.num_features
        self.body = StepSequential(*layers, OmniLayer(n_in, n_last, (1, 2)))
        self.head = linear_head(2 * n_last, c_out, dropout, y_range)
