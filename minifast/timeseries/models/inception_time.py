"""InceptionTime: residual blocks of convolutions that look at short and long pieces of a series side by side.

Source: H. Ismail Fawaz et al., "InceptionTime: Finding AlexNet for Time Series Classification", 2020, section 3,
https://arxiv.org/abs/1909.04939. The paper averages five of them: see `ts_ensemble`.
"""
from collections.abc import Sequence

import torch
from torch import nn

from ...core.recipe import recorded
from ...core.types import YRange
from .masked import StepConv, StepMask, StepMaxPool, StepNorm, StepSequential, step_after
from .resnet1d import Residual
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

    def forward(self, x: torch.Tensor, mask: StepMask | None = None) -> torch.Tensor:
        narrow = x if self.bottleneck is None else self.bottleneck(x)
        longer = step_after(narrow)
        made = [conv(narrow, longer) for conv in self.convs]
        made.append(self.pool_conv(self.pool(x, None if self.after_relu else mask)))
        return self.norm(torch.cat(made, 1), mask, act=True)


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
