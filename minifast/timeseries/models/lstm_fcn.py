"""LSTM-FCN: an FCN and an LSTM side by side, which reads each channel as one step.

Source: F. Karim, S. Majumdar, H. Darabi, S. Chen, "LSTM Fully Convolutional Networks for Time Series Classification", 2018, section III,
https://arxiv.org/abs/1709.05206.
"""
from collections.abc import Sequence

import torch
from torch import nn

from ...core.recipe import recorded
from ...core.types import YRange
from .fcn import fcn_body
from .masked import as_grid, mean_of_steps
from .series_model import SeriesModel, check_sizes, linear_head


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
