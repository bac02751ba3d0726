"""Transformers of series. TSTransformer: the steps of a series are the words. PatchTST: pieces of a series are the words, and each channel
is read for itself.

Sources: G. Zerveas et al., "A Transformer-based Framework for Multivariate Time Series Representation Learning", 2021, sections 3.1 and 3.2
(without the pretraining of 3.3), https://arxiv.org/abs/2010.02803. Y. Nie et al., "A Time Series is Worth 64 Words: Long-term Forecasting
with Transformers", 2023, section 3.1, https://arxiv.org/abs/2211.14730; scaling each series by itself, as that paper does, is a matter of
the data or of what forecasts. The layers of the encoder: A. Vaswani et al., "Attention Is All You Need", 2017, section 3,
https://arxiv.org/abs/1706.03762, with batch norm in the place of layer norm, as both have it.
"""
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from ...core.messages import plural
from ...core.recipe import recorded
from ...core.types import YRange
from .masked import StepNorm
from .series_model import SeriesModel, check_sizes, linear_head


class EncoderLayer(nn.Module):
    """Attention and two linear layers, each with a shortcut and batch norm after it: (B, T, d_model) -> (B, T, d_model), 0 on padding.

    Args:
        d_model: features of a step.
        n_heads: of the attention.
        d_ff: features between the linear layers.
        dropout: of the attention, of what it gives and of the linear layers.
    """

    def __init__(self, d_model: int, n_heads: int, d_ff: int, dropout: float):
        super().__init__()
        self.n_heads = n_heads
        self.qkv, self.out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.wide, self.narrow = nn.Linear(d_model, d_ff), nn.Linear(d_ff, d_model)
        self.norms, self.dropout = nn.ModuleList([StepNorm(d_model), StepNorm(d_model)]), nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        x = self._norm(0, x + self.dropout(self.out(self._attend(x, mask))), mask)
        return self._norm(1, x + self.dropout(self.narrow(self.dropout(F.gelu(self.wide(x))))), mask)

    def _attend(self, x, mask):
        q, k, v = self.qkv(x).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        seen = None if mask is None else (mask > 0)[:, None, None]
        dropout = self.dropout.p if self.training else 0.0
        return F.scaled_dot_product_attention(q, k, v, seen, dropout).transpose(1, 2).flatten(2)

    def _norm(self, i, x, mask):
        grid = x.transpose(1, 2).unsqueeze(2)                   # with the channels last in memory, as they lie
        return self.norms[i](grid, None if mask is None else mask[:, None, None]).squeeze(2).transpose(1, 2)


class Encoder(nn.Module):
    """Places of the steps added to them, dropout, and `EncoderLayer`s: (B, T, d_model) -> (B, T, d_model).

    Args:
        n_steps: the most steps that there are.
        n_layers: how many layers.
        d_model, n_heads, d_ff, dropout: see `EncoderLayer`.
        where: the name of the model, for errors.
    """

    def __init__(self, n_steps: int, n_layers: int, d_model: int, n_heads: int, d_ff: int, dropout: float, where: str):
        super().__init__()
        check_sizes(where, n_layers=n_layers, d_model=d_model, n_heads=n_heads, d_ff=d_ff)
        if d_model % n_heads:
            raise ValueError(f"{where}(d_model={d_model}, n_heads={n_heads}): each head gets an equal share of the features, so d_model is "
                             f"a multiple of n_heads, such as d_model={-(-d_model // n_heads) * n_heads}")
        self.places = nn.Parameter(torch.empty(n_steps, d_model).uniform_(-0.02, 0.02))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(EncoderLayer(d_model, n_heads, d_ff, dropout) for _ in range(n_layers))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        x = self.dropout(x + self.places[:x.shape[1]])
        for layer in self.layers:
            x = layer(x, mask)
        return x


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
        made = F.gelu(self.body(steps, mask))                   # 0 on padding, and for what is missing of the longest series
        return self.head(F.pad(made, (0, 0, 0, self.seq_len - x.shape[2])).flatten(1))


class PatchTST(SeriesModel):
    """Transformer of patches: float (B, c_in, T) -> (B, c_out). Series of one length, at least that of a patch.

    Args:
        c_in: channels of a series.
        c_out: outputs, or the shape of the output.
        seq_len: steps of a series.
        n_targets: for forecasts: the first `n_targets` channels each give their share of the outputs, by one and the same layer (the
            paper's channel independence); None: one layer reads all channels, for classes and numbers.
        patch_len: steps of a patch.
        stride: steps from one patch to the next.
        d_model: features of a patch.
        n_heads: heads of the attention.
        n_layers: layers of the encoder.
        d_ff: features between the linear layers of an encoder layer.
        enc_dropout: within the encoder.
        dropout: before the last layer.
        y_range: (low, high) of numbers to predict.
        padded: refused, see `SeriesModel`.
    """

    min_steps = 16
    masks = False
    needs_seq_len = True

    @recorded()
    def __init__(self, c_in: int, c_out: int | Sequence[int], seq_len: int | None = None, n_targets: int | None = None,
                 patch_len: int = 16, stride: int = 8, d_model: int = 128, n_heads: int = 16, n_layers: int = 3, d_ff: int = 256,
                 enc_dropout: float = 0.2, dropout: float = 0.0, y_range: YRange | None = None, padded: bool = False):
        super().__init__(c_in, c_out, seq_len, padded)
        check_sizes("PatchTST", patch_len=patch_len, stride=stride, n_targets=1 if n_targets is None else n_targets)
        n_steps, self.min_steps = seq_len or 1, patch_len
        if n_steps < patch_len:
            raise ValueError(f"PatchTST needs series of {plural(patch_len, 'step')} or more, the length of its patches, and these have "
                             f"{n_steps}: take a model that reads series of any length, such as InceptionTime, or make the patches "
                             f"shorter, patch_len={n_steps}")
        self.patch_len, self.stride, self.n_targets = patch_len, stride, n_targets
        n_patches = (n_steps - patch_len) // stride + 2         # one more reaches beyond the end, where the last value is repeated
        self.embed = nn.Linear(patch_len, d_model)
        self.body = Encoder(n_patches, n_layers, d_model, n_heads, d_ff, enc_dropout, "PatchTST")
        n_in, n_out = n_patches * d_model, c_out
        if n_targets is None:
            n_in *= c_in
        elif not isinstance(c_out, int) or c_out % n_targets or n_targets > c_in:
            raise ValueError(f"PatchTST(c_in={c_in}, c_out={c_out}, n_targets={n_targets}): c_out is n_targets * horizon, and the targets "
                             "are the first of the channels")
        else:
            n_out = c_out // n_targets
        self.head = linear_head(n_in, n_out, dropout, y_range)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, _ = self.read(x)
        self.check_seq_len(x)
        if self.n_targets is not None:
            x = x[:, :self.n_targets]
        patches = F.pad(x, (0, self.stride), mode="replicate").unfold(2, self.patch_len, self.stride)
        made = self.body(self.embed(patches.flatten(0, 1)))
        if self.n_targets is None:
            return self.head(made.unflatten(0, x.shape[:2]).flatten(1))
        return self.head(made.flatten(1)).unflatten(0, x.shape[:2]).flatten(1)
