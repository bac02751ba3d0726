"""OmniScaleCNN: convolutions of all prime lengths side by side, of which three layers see pieces of a series of any length.

Source: W. Tang et al., "Omni-Scale CNNs: a simple and effective kernel size configuration for time series classification", 2022, section 3,
https://arxiv.org/abs/2002.10061.
"""
from collections.abc import Sequence

import torch
from torch import nn

from ...core.recipe import recorded
from ...core.types import YRange
from .masked import StepConv, StepMask, StepNorm, StepSequential
from .series_model import ConvModel, check_sizes, linear_head

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

    def forward(self, x: torch.Tensor, mask: StepMask | None = None) -> torch.Tensor:
        return self.norm(torch.cat([conv(x) for conv in self.convs], 1), mask, act=True)


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
