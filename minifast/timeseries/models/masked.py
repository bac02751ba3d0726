"""Layers that ignore padding: what a series gives does not depend on how long the others of its batch are.

Inside the models a batch is (B, C, 1, T) with the channels last in memory: convolutions of torch over two axes read that without turning it
round, those over one axis turn it round each time (a training step of `InceptionTime` takes half the time, one thread of a Xeon with
AVX-512, torch 2.14). The mask is (B, 1, 1, T), 1 for a step and 0 for padding; None: there is no padding, and nothing is computed for it.

One rule holds everywhere: what a convolution reads is 0 on padding, as beyond the end of a series that is alone. `StepNorm` and
`StepMaxPool` see to it.
"""
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable


class StepConv(nn.Conv2d):
    """A convolution over steps that keeps their number: (B, n_in, 1, T) -> (B, n_out, 1, T).

    Args:
        n_in: channels of the input.
        n_out: channels of the output.
        kernel_size: steps that an output sees; where it is even, one more of those after it than of those before it.
        bias: add a number per channel. The layers here have none: a `StepNorm` follows.
    """

    def __init__(self, n_in: int, n_out: int, kernel_size: int = 1, bias: bool = False):
        super().__init__(n_in, n_out, (1, kernel_size), padding=(0, kernel_size // 2), bias=bias)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # of torch's stubs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = super().forward(x)
        return made if self.kernel_size[1] % 2 else made[..., 1:]


class StepNorm(nn.BatchNorm2d):
    "Batch norm whose statistics are those of steps alone, and whose output is 0 on padding."

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        if mask is None:
            return super().forward(x)
        if not self.training:
            return super().forward(x) * mask.to(x.dtype)
        made, mean, var, n = _NormOfSteps.apply(x, mask, self.weight, self.bias, self.eps)
        with torch.no_grad():
            tracked = cast(torch.Tensor, self.num_batches_tracked).add_(1)
            # without a momentum the mean over all batches, as in torch's own
            share: Any = 1 / tracked.to(mean.dtype) if self.momentum is None else self.momentum
            cast(torch.Tensor, self.running_mean).lerp_(mean, share)
            cast(torch.Tensor, self.running_var).lerp_(var * (n / (n - 1).clamp(min=1)), share)
        return made


class _NormOfSteps(torch.autograd.Function):
    "Batch norm of the rows of a matrix that are steps, with its gradient: torch's own operations would pass over the data twice as often."

    @staticmethod
    def forward(ctx, x, mask, weight, bias, eps):  # type: ignore[no-untyped-def]
        rows, steps = _rows(x).float(), _rows(mask).float()
        n = steps.sum()
        mean = _sums(steps, rows) / n
        centred = (rows - mean).mul_(steps)
        var = torch.linalg.vector_norm(centred, dim=0).square() / n
        inverse = (var + eps).rsqrt()
        scale = weight * inverse
        ctx.save_for_backward(centred, steps, inverse, scale, n)
        ctx.mark_non_differentiable(mean, var, n)
        made = torch.empty_like(x, memory_format=torch.channels_last)           # no view, so that a ReLU may overwrite it
        torch.mul(centred, scale, out=_rows(made)).addcmul_(steps, bias)
        return made, mean, var, n

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, *_):  # type: ignore[no-untyped-def]
        centred, steps, inverse, scale, n = ctx.saved_tensors
        rows = _rows(grad).float()
        of_bias, of_centred = _sums(steps, rows), (rows * centred).sum(0)
        of_rows = (rows * scale).sub_(scale * of_bias / n).mul_(steps).addcmul_(centred, -scale * inverse.square() * of_centred / n)
        b, c, h, t = grad.shape
        return of_rows.to(grad.dtype).view(b, h, t, c).permute(0, 3, 1, 2), None, of_centred * inverse, of_bias, None


def _rows(x):
    "(B, C, 1, T) -> (B * T, C), a view where the channels are last in memory."
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _sums(steps, rows):
    "Sums of the rows that are steps, in float32 whatever autocast makes of products."
    with torch.autocast(rows.device.type, enabled=False):
        return (steps.t() @ rows)[0]


class StepMaxPool(nn.MaxPool2d):
    """The maximum of each step and its neighbours, which padding is none of: (B, C, 1, T) -> (B, C, 1, T), 0 on padding.

    Args:
        kernel_size: how many steps, an odd number.
    """

    def __init__(self, kernel_size: int = 3):
        super().__init__((1, kernel_size), 1, (0, kernel_size // 2))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        if mask is None:
            return super().forward(x)
        is_padding = mask == 0
        return super().forward(x.masked_fill(is_padding, -torch.inf)).masked_fill(is_padding, 0)


class ConvNormAct(nn.Module):
    """Convolution, batch norm and, unless told otherwise, ReLU.

    Args:
        n_in, n_out, kernel_size: see `StepConv`.
        act: end with ReLU.
    """

    def __init__(self, n_in: int, n_out: int, kernel_size: int = 1, act: bool = True):
        super().__init__()
        self.conv, self.norm, self.act = StepConv(n_in, n_out, kernel_size), StepNorm(n_out), act

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        made = self.norm(self.conv(x).contiguous(memory_format=torch.channels_last), mask)
        return F.relu_(made) if self.act else made


class StepSequential(nn.Sequential):
    "Layers of steps one after the other, each of which gets the mask."

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        for layer in self:
            x = layer(x, mask)
        return x


def as_grid(x: torch.Tensor) -> torch.Tensor:
    "(B, C, T) -> (B, C, 1, T) with the channels last in memory."
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)


def mean_of_steps(x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Global average pooling of the steps of each series.

    Args:
        x: (B, F, T).
        mask: (B, T), 1 for a step and 0 for padding, where `x` is 0; None: all are steps.

    Returns:
        (B, F).
    """
    if mask is None:
        return x.mean(2)
    return (x.sum(2, dtype=torch.float32) / mask.sum(1, keepdim=True).clamp(min=1)).to(x.dtype)
