"""How layers are initialised."""
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.init import kaiming_normal_, kaiming_uniform_, xavier_uniform_

from ..core.messages import describe
from .activations import mish, sigmoid, swish

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
