"""Self-attention over the pixels of an image."""
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.init import kaiming_normal_
from torch.nn.utils import parametrizations

from .conv import ConvLayer, NormType
from .module import Module


class SimpleSelfAttention(Module):
    "Attention over pixels with one 1-d convolution and no softmax, times `gamma`, which starts at 0. sym: a symmetric weight."

    def __init__(self, n_in, ks=1, sym=False):
        if sym and ks != 1:
            raise ValueError(f"SimpleSelfAttention(ks={ks}, sym=True): only a kernel of size 1 can be symmetric")
        self.sym = sym
        conv = nn.Conv1d(n_in, n_in, ks, padding=ks // 2, bias=False)
        kaiming_normal_(conv.weight)
        self.conv = parametrizations.spectral_norm(conv)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        flat = x.flatten(2)
        weight = self.conv.weight
        if self.sym:
            weight = (weight + weight.transpose(0, 1)) / 2
        mixed = F.conv1d(flat, weight, padding=self.conv.padding)
        attended = (flat @ flat.transpose(1, 2)) @ mixed
        return (self.gamma * attended + flat).view_as(x)


class SelfAttention(Module):
    "Attention over the pixels of an image, times `gamma`, which starts at 0, plus the input (https://arxiv.org/abs/1805.08318)."

    def __init__(self, n_channels):
        if n_channels < 8:
            raise ValueError(f"SelfAttention(n_channels={n_channels}): at least 8 channels, queries and keys have an eighth of them")
        self.query, self.key, self.value = (self._conv(n_channels, n) for n in (n_channels // 8, n_channels // 8, n_channels))
        self.gamma = nn.Parameter(torch.zeros(1))

    @staticmethod
    def _conv(ni, nf):
        return ConvLayer(ni, nf, ks=1, ndim=1, norm_type=NormType.Spectral, act_cls=None, bias=False)

    def forward(self, x):
        flat = x.flatten(2)
        share = F.softmax(self.query(flat).transpose(1, 2) @ self.key(flat), dim=1)        # (B, from, to): sums to 1 over `from`
        return (self.gamma * (self.value(flat) @ share) + flat).view_as(x)


class PooledSelfAttention2d(Module):
    "Self-attention whose keys and values are max-pooled by 2, as in BigGAN (https://arxiv.org/abs/1809.11096)."

    def __init__(self, n_channels):
        if n_channels < 8:
            raise ValueError(f"PooledSelfAttention2d(n_channels={n_channels}): at least 8 channels, queries and keys have an eighth of "
                             "them")
        self.n_channels = n_channels
        self.query, self.key = self._conv(n_channels, n_channels // 8), self._conv(n_channels, n_channels // 8)
        self.value, self.out = self._conv(n_channels, n_channels // 2), self._conv(n_channels // 2, n_channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    @staticmethod
    def _conv(ni, nf):
        return ConvLayer(ni, nf, ks=1, norm_type=NormType.Spectral, act_cls=None, bias=False)

    def forward(self, x):
        queries, keys = self.query(x).flatten(2), F.max_pool2d(self.key(x), 2).flatten(2)
        values = F.max_pool2d(self.value(x), 2).flatten(2)
        share = F.softmax(queries.transpose(1, 2) @ keys, dim=-1)
        attended = (values @ share.transpose(1, 2)).unflatten(2, x.shape[2:])
        return self.gamma * self.out(attended) + x
