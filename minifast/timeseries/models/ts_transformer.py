"""TSTransformer: the steps of a series are the words of a transformer.

Source: G. Zerveas et al., "A Transformer-based Framework for Multivariate Time Series Representation Learning", 2021, sections 3.1 and 3.2
(without the pretraining of 3.3), https://arxiv.org/abs/2010.02803.
"""
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ...core.recipe import recorded
from ...core.types import YRange
from .encoder import Encoder
from .masked import StepMask
from .series_model import SeriesModel, linear_head


class TSTransformer(SeriesModel):
    """Transformer of series: float (B, c_in, T) -> (B, c_out). Series of up to `seq_len` steps; time and memory grow with its square.

    Args:
        c_in: channels of a series.
        c_out: outputs, or the shape of the output.
        seq_len: steps of the longest series.
        d_model: features of a step.
        n_heads: heads of the attention.
        n_layers: layers of the encoder.
        d_ff: features between the linear layers of an encoder layer.
        enc_dropout: within the encoder.
        dropout: before the last layer.
        y_range: (low, high) of numbers to predict.
        padded: see `SeriesModel`.
    """

    needs_seq_len = True

    @recorded()
    def __init__(self, c_in: int, c_out: int | Sequence[int], seq_len: int | None = None, d_model: int = 128, n_heads: int = 16,
                 n_layers: int = 3, d_ff: int = 256, enc_dropout: float = 0.1, dropout: float = 0.0, y_range: YRange | None = None,
                 padded: bool = False):
        super().__init__(c_in, c_out, seq_len, padded)
        n = seq_len or 1
        self.body = Encoder(n, n_layers, d_model, n_heads, d_ff, enc_dropout, "TSTransformer")
        self.embed = nn.Linear(c_in, d_model)
        self.head = linear_head(n * d_model, c_out, dropout, y_range)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, mask = self.read(x)
        self.check_seq_len(x)
        steps = self.embed(x.transpose(1, 2)) * math.sqrt(self.embed.out_features)
        made = F.gelu(self.body(steps, None if mask is None else StepMask(mask)))   # 0 on padding
        return self.head(F.pad(made, (0, 0, 0, self.seq_len - x.shape[2])).flatten(1))      # and for what is missing of the longest series
