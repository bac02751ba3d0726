"""Small layers: `Module`, activations, functions as layers, pooling, linear layers, and how to initialise them.

The convolutional building blocks are in `minifast.nn.conv`, which also offers every name of this file.
"""
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.init import kaiming_normal_, kaiming_uniform_, xavier_uniform_

from ..core.messages import describe

Identity, Mish, Swish = nn.Identity, nn.Mish, nn.SiLU


class Module(nn.Module):
    "An `nn.Module` whose subclasses need not call `super().__init__()`: assign layers in `__init__` straight away."

    def __new__(cls, *args, **kwargs):
        self = super().__new__(cls)
        nn.Module.__init__(self)
        return self

    def __init__(self):
        pass                               # everything was done in __new__; a second nn.Module.__init__ would drop the layers


def noop(x=None, *args, **kwargs):
    "`x`, whatever else is given."
    return x


# activations

def mish(x):
    "x * tanh(softplus(x)) (https://arxiv.org/abs/1908.08681)."
    return F.mish(x)


def swish(x):
    "x * sigmoid(x), also called SiLU."
    return F.silu(x)


def sigmoid(x, eps=1e-7):
    "`torch.sigmoid`, kept between `eps` and 1 - `eps` so that its logarithm is finite."
    return x.sigmoid().clamp(eps, 1 - eps)


def sigmoid_range(x, low, high):
    "Sigmoid scaled to go from `low` to `high`."
    return torch.sigmoid(x) * (high - low) + low


class SigmoidRange(Module):
    "`sigmoid_range` as a layer: the last one of a model that predicts numbers from `low` to `high`."

    def __init__(self, low, high):
        self.low, self.high = low, high

    def forward(self, x):
        return sigmoid_range(x, self.low, self.high)

    def extra_repr(self):
        return f"low={self.low}, high={self.high}"


# functions as layers

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


# pooling

def _of_ndim(name, ndim):
    if ndim not in (1, 2, 3):
        raise ValueError(f"{name}(ndim={ndim}): ndim is 1, 2 or 3, the axes of an item besides its channels")
    return getattr(nn, f"{name}{ndim}d")


def AvgPool(ks=2, stride=None, padding=0, ndim=2, ceil_mode=False):
    "`nn.AvgPool1d/2d/3d`."
    return _of_ndim("AvgPool", ndim)(ks, stride=stride, padding=padding, ceil_mode=ceil_mode)


def MaxPool(ks=2, stride=None, padding=0, ndim=2, ceil_mode=False):
    "`nn.MaxPool1d/2d/3d`."
    return _of_ndim("MaxPool", ndim)(ks, stride=stride, padding=padding, ceil_mode=ceil_mode)


def AdaptiveAvgPool(sz=1, ndim=2):
    "`nn.AdaptiveAvgPool1d/2d/3d`."
    return _of_ndim("AdaptiveAvgPool", ndim)(sz)


class AdaptiveConcatPool1d(Module):
    "Max and average pooling to `size`, concatenated in this order: (B,C,L) -> (B,2C,size)."

    def __init__(self, size=1):
        self.size = 1 if size is None else size
        self.ap, self.mp = nn.AdaptiveAvgPool1d(self.size), nn.AdaptiveMaxPool1d(self.size)

    def forward(self, x):
        return torch.cat([self.mp(x), self.ap(x)], dim=1)


class AdaptiveConcatPool2d(Module):
    "Max and average pooling to `size`, concatenated in this order: (B,C,H,W) -> (B,2C,size,size)."

    def __init__(self, size=1):
        self.size = 1 if size is None else size
        self.ap, self.mp = nn.AdaptiveAvgPool2d(self.size), nn.AdaptiveMaxPool2d(self.size)

    def forward(self, x):
        return torch.cat([self.mp(x), self.ap(x)], dim=1)


class PoolFlatten(nn.Sequential):
    "Average over all pixels: (B,C,H,W) -> (B,C)."

    def __init__(self):
        super().__init__(nn.AdaptiveAvgPool2d(1), Flatten())


# linear layers

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


# initialisation

_LIKE_RELU = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.SiLU, nn.Mish, F.relu, F.relu6, F.leaky_relu, F.silu, F.mish, mish, swish)
_LIKE_SIGMOID = (nn.Sigmoid, nn.Tanh, nn.Hardsigmoid, nn.Hardtanh, torch.sigmoid, torch.tanh, sigmoid)


def _init_for(act):
    "The initialisation that suits the activation that follows, or None to leave torch's."
    if any(act is o or (isinstance(o, type) and isinstance(act, o)) for o in _LIKE_RELU):
        return kaiming_uniform_
    if any(act is o or (isinstance(o, type) and isinstance(act, o)) for o in _LIKE_SIGMOID):
        return xavier_uniform_
    return None


def init_linear(m, act_func=None, init="auto", bias_std=0.01):
    """Initialise a linear or convolutional layer for the activation that follows it.

    init: a function of a weight; 'auto': kaiming uniform before relu and its like, xavier uniform before sigmoid and tanh, else torch's;
    None: torch's. bias_std: deviation of the bias (0: zeros; None: torch's).
    """
    bias = getattr(m, "bias", None)
    if bias is not None and bias_std is not None:
        nn.init.normal_(bias, 0, bias_std) if bias_std else nn.init.zeros_(bias)
    init = _init_for(act_func) if init == "auto" else init
    if init is not None:
        init(m.weight)
    return m


def init_default(m, func=kaiming_normal_):
    "Initialise the weight of `m` with `func` and its bias with zeros; layers whose weight is a vector (norms) are left alone."
    weight, bias = getattr(m, "weight", None), getattr(m, "bias", None)
    if func is not None and isinstance(weight, torch.Tensor) and weight.ndim > 1:
        func(weight)
        if isinstance(bias, torch.Tensor):
            nn.init.zeros_(bias)
    return m


def apply_init(m, func=kaiming_normal_):
    "`init_default` on every layer in `m` that is trainable."
    for layer in m.modules():
        if any(p.requires_grad for p in layer.parameters(recurse=False)):
            init_default(layer, func)
    return m


def icnr_init(x, scale=2, init=kaiming_normal_):
    """A weight of the shape of `x` for a convolution before `nn.PixelShuffle(scale)`, without checkerboard (https://arxiv.org/abs/1707.02937).

    Each group of scale**2 output channels, which become neighbouring pixels, starts out the same.
    """
    n, r = x.shape[0], scale ** 2
    if n % r:
        raise ValueError(f"icnr_init(scale={scale}) needs a number of output channels divisible by {r}; the weight is {describe(x)}")
    return init(x.new_zeros(n // r, *x.shape[1:])).repeat_interleave(r, dim=0)
