"""How layers are initialised."""
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.init import kaiming_normal_, kaiming_uniform_, xavier_uniform_

from ..core.messages import describe
from .activations import sigmoid

_LIKE_RELU = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.SiLU, nn.Mish, F.relu, F.relu6, F.leaky_relu, F.silu, F.mish)
_LIKE_SIGMOID = (nn.Sigmoid, nn.Tanh, nn.Hardsigmoid, nn.Hardtanh, torch.sigmoid, torch.tanh, sigmoid)


def _init_for(act: Any) -> Callable | None:
    "The initialisation that suits the activation that follows, or None to leave torch's."
    def is_one_of(known):
        return act in known or isinstance(act, tuple(o for o in known if isinstance(o, type)))

    return kaiming_uniform_ if is_one_of(_LIKE_RELU) else xavier_uniform_ if is_one_of(_LIKE_SIGMOID) else None


def init_linear(m: nn.Module, act_func: Any = None, init: Callable | str | None = "auto", bias_std: float | None = 0.01) -> nn.Module:
    """Initialise a linear or convolutional layer for the activation that follows it; returns it.

    Args:
        m: the layer.
        act_func: the activation, a module or a function (None: none follows).
        init: a function that fills a weight; 'auto': kaiming uniform before relu and its like, xavier uniform before sigmoid and tanh, else
            torch's; None: torch's.
        bias_std: standard deviation of the bias (0: zeros; None: torch's).
    """
    bias = getattr(m, "bias", None)
    if bias is not None and bias_std is not None:
        nn.init.normal_(bias, 0, bias_std) if bias_std else nn.init.zeros_(bias)
    fill: Any = _init_for(act_func) if init == "auto" else init
    if fill is not None:
        fill(m.weight)
    return m


def init_default(m: nn.Module, func: Callable | None = kaiming_normal_) -> nn.Module:
    "Initialise the weight of `m` with `func` and its bias with zeros; layers whose weight is a vector (norms) are left alone."
    weight, bias = getattr(m, "weight", None), getattr(m, "bias", None)
    if func is not None and isinstance(weight, torch.Tensor) and weight.ndim > 1:
        func(weight)
        if isinstance(bias, torch.Tensor):
            nn.init.zeros_(bias)
    return m


def apply_init(m: nn.Module, func: Callable | None = kaiming_normal_) -> nn.Module:
    """Apply `init_default` to every trainable layer in `m`; returns `m`.

    Args:
        m: a model.
        func: a function that fills a weight (None: leave the weights).
    """
    for layer in m.modules():
        if any(p.requires_grad for p in layer.parameters(recurse=False)):
            init_default(layer, func)
    return m


def icnr_init(x: torch.Tensor, scale: int = 2, init: Callable = kaiming_normal_) -> torch.Tensor:
    """A weight of the shape of `x` for a convolution before `nn.PixelShuffle(scale)`, without checkerboard (https://arxiv.org/abs/1707.02937).

    Each group of scale**2 output channels, which become neighbouring pixels, starts out the same.
    """
    n, r = x.shape[0], scale ** 2
    if n % r:
        raise ValueError(f"icnr_init(scale={scale}) needs a number of output channels divisible by {r}; the weight is {describe(x)}")
    return init(x.new_zeros(n // r, *x.shape[1:])).repeat_interleave(r, dim=0)
