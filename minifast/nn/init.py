"""How layers are initialised, and the bias of the last one, set so that a model starts from given outputs."""
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.init import kaiming_normal_, kaiming_uniform_, xavier_uniform_

from ..core.messages import describe
from .activations import SigmoidRange, sigmoid

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
    """Initialise the weight of a layer, and set its bias to zeros; a layer whose weight is a vector (a norm layer) is left alone.

    Args:
        m: the layer; without a weight it stays as it is.
        func: fills a weight in place; None: change nothing.

    Returns:
        `m`.
    """
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
    """Make a weight for a convolution before `nn.PixelShuffle(scale)` that starts out without a checkerboard pattern.

    Each group of scale**2 output channels, which become neighbouring pixels, starts out the same.

    Args:
        x: a weight (out, in, *kernel) whose shape, dtype and device are taken; `out` is divisible by scale**2.
        scale: how many times larger the shuffle makes height and width.
        init: fills a weight in place.

    Returns:
        The new weight.

    Source: Aitken et al. 2017, https://arxiv.org/abs/1707.02937.
    """
    n, r = x.shape[0], scale ** 2
    if n % r:
        raise ValueError(f"icnr_init(scale={scale}) needs a number of output channels divisible by {r}; the weight is {describe(x)}")
    return init(x.new_zeros(n // r, *x.shape[1:])).repeat_interleave(r, dim=0)


def inverse_sigmoid_range(outputs: torch.Tensor, layer: SigmoidRange) -> tuple[torch.Tensor, torch.Tensor]:
    "The inputs for which `layer` gives `outputs`, and its slope there. Outputs are kept half a percent away from the ends of the range."
    share = ((outputs - layer.low) / (layer.high - layer.low)).clamp(0.005, 0.995)
    return share.logit(), (layer.high - layer.low) * share * (1 - share)


@torch.no_grad()
def set_output_bias(last: Any, outputs: torch.Tensor, norm: Any = None,
                    weight_scale: torch.Tensor | None = None) -> None:
    """Set the bias of layer `last` so that it gives `outputs` on average.

    Args:
        last: a linear or convolutional layer.
        outputs: (n_out,).
        norm: the norm layer before a linear layer without bias: its bias then gets the smallest change that does the same.
        weight_scale: (n_out,), factors of at most 1 that make the weights smaller, so that the outputs vary less around `outputs`.
    """
    outputs = outputs.to(last.weight.device, torch.float64)
    if last.bias is not None:
        if weight_scale is not None:
            last.weight.mul_(weight_scale.to(last.weight).reshape(-1, *[1] * (last.weight.ndim - 1)))
        last.bias.copy_(outputs)
        return
    weight, bias = last.weight.flatten(1).double(), norm.bias.double()
    change = torch.linalg.pinv(weight) @ (outputs - weight @ bias)
    if weight_scale is not None:       # the smaller the weights, the larger the bias before them: at most as large as what is normalised
        weight = weight * weight_scale.to(weight).clamp(min=float(change.square().mean().sqrt().clamp(max=1)))[:, None]
        change = torch.linalg.pinv(weight) @ (outputs - weight @ bias)
    norm.bias.add_(change.to(norm.bias))
    bias = norm.bias.double()
    left = outputs - weight @ bias     # with more outputs than inputs the weights give the rest, along the bias
    if float(left.abs().max()) > 1e-3 * float(outputs.abs().max()):
        weight = weight + left[:, None] * (bias / bias.square().sum().clamp(min=1e-12))
    last.weight.copy_(weight.reshape(last.weight.shape))
