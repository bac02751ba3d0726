"""Functions, embeddings and linear blocks as layers, and containers of layers."""
from functools import partial

import torch
from torch import nn

from ..core.messages import describe
from .module import Module


class Lambda(Module):
    "The function `func` as a layer."

    def __init__(self, func):
        if not callable(func):
            raise TypeError(f"Lambda takes a function of one tensor; received {describe(func)}")
        self.func = func

    def forward(self, x):
        return self.func(x)

    def extra_repr(self):
        return getattr(self.func, "__name__", repr(self.func))


class PartialLambda(Lambda):
    "`func` with the given keyword arguments, as a layer."

    def __init__(self, func, **kwargs):
        super().__init__(partial(func, **kwargs))
        self.keywords = kwargs

    def extra_repr(self):
        return ", ".join([getattr(self.func.func, "__name__", "?"), *(f"{k}={v!r}" for k, v in self.keywords.items())])


class View(Module):
    "`x.view(*size)`."

    def __init__(self, *size):
        self.size = size

    def forward(self, x):
        return x.view(self.size)

    def extra_repr(self):
        return ", ".join(map(str, self.size))


class ResizeBatch(View):
    "`x.view(len(x), *size)`: a new shape for each item."

    def forward(self, x):
        return x.view((x.shape[0], *self.size))


class Flatten(Module):
    "Flatten each item to one axis: (B, ...) -> (B, n); full=True: the whole batch to one axis."

    def __init__(self, full=False):
        self.full = full

    def forward(self, x):
        return x.reshape(-1) if self.full else x.reshape(x.shape[0], -1)


class Cat(nn.ModuleList):
    "The outputs of `layers` for one input, concatenated along `dim`."

    def __init__(self, layers, dim=1):
        super().__init__(layers)
        self.dim = dim

    def forward(self, x):
        return torch.cat([layer(x) for layer in self], dim=self.dim)


class MergeLayer(Module):
    "Inside a `SequentialEx`: add to `x` what came into it, or with `dense` concatenate the two along axis 1."
    merges = True

    def __init__(self, dense=False):
        self.dense = dense

    def forward(self, x, orig):
        return torch.cat([x, orig], dim=1) if self.dense else x + orig


class ProdLayer(Module):
    "Inside a `SequentialEx`: multiply `x` by what came into it."
    merges = True

    def forward(self, x, orig):
        return x * orig


class SequentialEx(Module):
    "An `nn.Sequential` whose layers with `merges = True` (`MergeLayer`, `ProdLayer`) also get the input of the whole."

    def __init__(self, *layers):
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        out = x
        for layer in self.layers:
            out = layer(out, x) if getattr(layer, "merges", False) else layer(out)
        return out

    def __getitem__(self, i):
        return self.layers[i]

    def __len__(self):
        return len(self.layers)

    def append(self, layer):
        self.layers.append(layer)

    def extend(self, layers):
        self.layers.extend(layers)

    def insert(self, i, layer):
        self.layers.insert(i, layer)


def sequential(*layers):
    "`nn.Sequential`; plain functions among `layers` become `Lambda` layers."
    return nn.Sequential(*(o if isinstance(o, nn.Module) else Lambda(o) for o in layers))


class TimeDistributed(Module):
    """Apply `module` to every step along axis `tdim` of its inputs: (B, T, ...) -> (B, T, ...).

    All steps go through together, as one batch of B*T; low_mem=True takes one step after another.
    """

    def __init__(self, module, low_mem=False, tdim=1):
        self.module, self.low_mem, self.tdim = module, low_mem, tdim

    def forward(self, *xs, **kwargs):
        xs = [x.movedim(self.tdim, 1) for x in xs]
        b, t = xs[0].shape[:2]
        if self.low_mem:
            out = torch.stack([self.module(*(x[:, i] for x in xs), **kwargs) for i in range(t)], dim=1)
        else:
            out = self.module(*(x.reshape(b * t, *x.shape[2:]) for x in xs), **kwargs)
            out = out.reshape(b, t, *out.shape[1:])
        return out.movedim(1, self.tdim)


class LinBnDrop(nn.Sequential):
    """Batch norm, dropout, linear and activation: a step of a classifier head.

    n_in, n_out: features. bn: batch norm, and then no bias in the linear layer. p: dropout (0: none). act: an activation layer.
    lin_first: linear and activation come before batch norm and dropout.
    """

    def __init__(self, n_in, n_out, bn=True, p=0.0, act=None, lin_first=False):
        linear = [nn.Linear(n_in, n_out, bias=not bn), *([] if act is None else [act])]
        regular = [] if not bn else [nn.BatchNorm1d(n_out if lin_first else n_in)]
        if bn:
            nn.init.constant_(regular[0].bias, 1e-3)
        if p:
            regular.append(nn.Dropout(p))
        super().__init__(*(linear + regular if lin_first else regular + linear))


class Embedding(nn.Embedding):
    "`nn.Embedding(ni, nf)` that starts from a normal of deviation `std`, truncated at two deviations."

    def __init__(self, ni, nf, std=0.01):
        super().__init__(ni, nf)
        nn.init.trunc_normal_(self.weight, std=std, a=-2 * std, b=2 * std)
