"""Layers of a transformer's encoder for series, with batch norm as in both papers that use it here.

Source: A. Vaswani et al., "Attention Is All You Need", 2017, section 3, https://arxiv.org/abs/1706.03762; batch norm for layer norm:
G. Zerveas et al., "A Transformer-based Framework for Multivariate Time Series Representation Learning", 2021, section 3.1.
"""
import torch
import torch.nn.functional as F
from torch import nn

from .masked import StepMask, StepNorm
from .series_model import check_sizes


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

    def forward(self, x: torch.Tensor, mask: StepMask | None = None) -> torch.Tensor:
        x = self._norm(0, x + self.dropout(self.out(self._attend(x, mask))), mask)
        return self._norm(1, x + self.dropout(self.narrow(self.dropout(F.gelu(self.wide(x))))), mask)

    def _attend(self, x, mask):
        q, k, v = self.qkv(x).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        seen = None if mask is None else mask.grid > 0
        dropout = self.dropout.p if self.training else 0.0
        return F.scaled_dot_product_attention(q, k, v, seen, dropout).transpose(1, 2).flatten(2)

    def _norm(self, i, x, mask):
        grid = x.transpose(1, 2).unsqueeze(2)                   # with the channels last in memory, as they lie
        return self.norms[i](grid, mask).squeeze(2).transpose(1, 2)


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

    def forward(self, x: torch.Tensor, mask: StepMask | None = None) -> torch.Tensor:
        x = self.dropout(x + self.places[:x.shape[1]])
        for layer in self.layers:
            x = layer(x, mask)
        return x
