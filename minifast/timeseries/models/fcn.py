"""FCN: three convolutions and the mean over the steps.

Source: Z. Wang, W. Yan, T. Oates, "Time Series Classification from Scratch with Deep Neural Networks: A Strong Baseline", 2017, section
II-B, https://arxiv.org/abs/1611.06455.
"""
from collections.abc import Sequence

from ...core.recipe import recorded
from ...core.types import YRange
from .masked import ConvNormAct, StepSequential
from .series_model import ConvModel, check_sizes, linear_head


def fcn_body(c_in: int, layers: Sequence[int], kernel_sizes: Sequence[int], where: str = "FCN") -> StepSequential:
    """The convolutions of an `FCN`.

    Args:
        c_in: channels of a series.
        layers: channels of each convolution.
        kernel_sizes: steps that each sees.
        where: the name of the model, for errors.
    """
    check_sizes(where, layers=layers, kernel_sizes=kernel_sizes)
    if len(layers) != len(kernel_sizes):
        raise ValueError(f"{where}(layers={list(layers)}, kernel_sizes={list(kernel_sizes)}): give one kernel size for each layer")
    return StepSequential(*map(ConvNormAct, [c_in, *layers[:-1]], layers, kernel_sizes))


class FCN(ConvModel):
    """Fully convolutional network: float (B, c_in, T) -> (B, c_out). Series of any length, also of several.

    Args:
        c_in: channels of a series.
        c_out: outputs, or the shape of the output.
        seq_len: accepted because other models need it.
        layers: channels of each convolution.
        kernel_sizes: steps that each convolution sees.
        dropout: before the last layer.
        y_range: (low, high) of numbers to predict.
        padded: see `SeriesModel`.
    """

    @recorded()
    def __init__(self, c_in: int, c_out: int | Sequence[int], seq_len: int | None = None, layers: Sequence[int] = (128, 256, 128),
                 kernel_sizes: Sequence[int] = (8, 5, 3), dropout: float = 0.0, y_range: YRange | None = None, padded: bool = False):
        super().__init__(c_in, c_out, seq_len, padded)
        self.body = fcn_body(c_in, layers, kernel_sizes)
        self.head = linear_head(layers[-1], c_out, dropout, y_range)
