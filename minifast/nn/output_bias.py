"""The bias of the last layer, set so that a model starts from given outputs: functions of tensors and layers."""
from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from .activations import SigmoidRange

__all__ = ["inverse_sigmoid_range", "set_output_bias"]


def inverse_sigmoid_range(outputs: torch.Tensor, layer: SigmoidRange) -> tuple[torch.Tensor, torch.Tensor]:
    "The inputs for which `layer` gives `outputs`, and its slope there. Outputs are kept half a percent away from the ends of the range."
    share = ((outputs - layer.low) / (layer.high - layer.low)).clamp(0.005, 0.995)
    return share.logit(), (layer.high - layer.low) * share * (1 - share)


@torch.no_grad()
def set_output_bias(last: nn.Module, outputs: torch.Tensor, norm: nn.Module | None = None,
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
