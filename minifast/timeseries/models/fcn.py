"""Small convolutional networks: FCN, three convolutions and the mean over the steps; ResNet of series, three residual blocks of three
convolutions each; LSTM-FCN, an FCN and an LSTM side by side, which reads each channel as one step.

Source: Z. Wang, W. Yan, T. Oates, "Time Series Classification from Scratch with Deep Neural Networks: A Strong Baseline", 2017, sections
II-B and II-C, https://arxiv.org/abs/1611.06455; of LSTM-FCN F. Karim, S. Majumdar, H. Darabi, S. Chen, "LSTM Fully Convolutional Networks
for Time Series Classification", 2018, section III, https://arxiv.org/abs/1709.05206.
"""
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ...core.recipe import recorded
from ...core.types import YRange
from .masked import ConvNormAct, StepNorm, StepSequential, as_grid, mean_of_steps
from .series_model import ConvModel, SeriesModel, check_sizes, linear_head


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

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
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


class LSTM_FCN(SeriesModel):
    """LSTM-FCN: float (B, c_in, T) -> (B, c_out). Series of one length: the LSTM gets all steps of a channel at once ("dimension shuffle").

    Args:
        c_in: channels of a series.
        c_out: outputs, or the shape of the output.
        seq_len: steps of a series.
        hidden_size: cells of the LSTM; the paper chooses 8, 64 or 128 for each data set.
        rnn_dropout: of the output of the LSTM.
        layers: channels of each convolution.
        kernel_sizes: steps that each convolution sees.
        dropout: before the last layer.
        y_range: (low, high) of numbers to predict.
        padded: refused, see `SeriesModel`.
    """

    masks = False
    needs_seq_len = True

    @recorded()
    def __init__(self, c_in: int, c_out: int | Sequence[int], seq_len: int | None = None, hidden_size: int = 8, rnn_dropout: float = 0.8,
                 layers: Sequence[int] = (128, 256, 128), kernel_sizes: Sequence[int] = (8, 5, 3), dropout: float = 0.0,
                 y_range: YRange | None = None, padded: bool = False):
        super().__init__(c_in, c_out, seq_len, padded)
        check_sizes("LSTM_FCN", hidden_size=hidden_size)
        self.body = fcn_body(c_in, layers, kernel_sizes, "LSTM_FCN")
        self.lstm, self.rnn_dropout = nn.LSTM(seq_len or 1, hidden_size, batch_first=True), nn.Dropout(rnn_dropout)
        self.head = linear_head(layers[-1] + hidden_size, c_out, dropout, y_range)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, _ = self.read(x)
        self.check_seq_len(x)
        last = self.lstm(x)[0][:, -1]
        return self.head(torch.cat([mean_of_steps(self.body(as_grid(x)).squeeze(2)), self.rnn_dropout(last)], 1))
