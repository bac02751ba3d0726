"""Self-attention over the pixels of an image."""
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.init import kaiming_normal_
from torch.nn.utils import parametrizations

from .conv import ConvLayer, NormType
from .layers import Module


class SimpleSelfAttention(Module):
    """Attention over pixels with one 1-d convolution and no softmax, times `gamma`, which starts at 0.

    Args:
        n_in: channels.
        ks: kernel size of the convolution.
        sym: make the weight symmetric (needs `ks=1`).
    """

    def __init__(self, n_in: int, ks: int = 1, sym: bool = False):
        if sym and ks != 1:
            raise ValueError(f"SimpleSelfAttention(ks={ks}, sym=True): only a kernel of size 1 can be symmetric")
        self.sym = sym
        conv = nn.Conv1d(n_in, n_in, ks, padding=ks // 2, bias=False)
        kaiming_normal_(conv.weight)
        self.conv: Any = parametrizations.spectral_norm(conv)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(2)
        weight = self.conv.weight
        if self.sym:
            weight = (weight + weight.transpose(0, 1)) / 2
        mixed = F.conv1d(flat, weight, padding=self.conv.padding)
        attended = (flat @ flat.transpose(1, 2)) @ mixed
        return (self.gamma * attended + flat).view_as(x)


def _eighth(layer, n_channels):
    if n_channels < 8:
        raise ValueError(f"{type(layer).__name__}(n_channels={n_channels}): at least 8 channels, queries and keys have an eighth of them")
    return n_channels // 8


def _spectral_conv(ni, nf, ndim=2):
    return ConvLayer(ni, nf, ks=1, ndim=ndim, norm_type=NormType.Spectral, act_cls=None, bias=False)


class SelfAttention(Module):
    """Attention over the pixels of an image, times `gamma`, which starts at 0, plus the input (https://arxiv.org/abs/1805.08318).

    Args:
        n_channels: channels, at least 8.
    """

    def __init__(self, n_channels: int):
        eighth = _eighth(self, n_channels)
        self.query, self.key, self.value = (_spectral_conv(n_channels, n, ndim=1) for n in (eighth, eighth, n_channels))
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(2)
        share = F.softmax(self.query(flat).transpose(1, 2) @ self.key(flat), dim=1)        # (B, from, to): sums to 1 over `from`
        return (self.gamma * (self.value(flat) @ share) + flat).view_as(x)


class PooledSelfAttention2d(Module):
    """Self-attention whose keys and values are max-pooled by 2, as in BigGAN (https://arxiv.org/abs/1809.11096).

    Args:
        n_channels: channels, at least 8.
    """

    def __init__(self, n_channels: int):
        eighth, half = _eighth(self, n_channels), n_channels // 2
        self.query, self.key = _spectral_conv(n_channels, eighth), _spectral_conv(n_channels, eighth)
        self.value, self.out = _spectral_conv(n_channels, half), _spectral_conv(half, n_channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        queries, keys = self.query(x).flatten(2), F.max_pool2d(self.key(x), 2).flatten(2)
        values = F.max_pool2d(self.value(x), 2).flatten(2)
        share = F.softmax(queries.transpose(1, 2) @ keys, dim=-1)
        attended = (values @ share.transpose(1, 2)).unflatten(2, x.shape[2:])
        return self.gamma * self.out(attended) + x
