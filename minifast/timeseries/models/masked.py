"""Layers that ignore padding: what a series gives does not depend on how long the others of its batch are.

Inside the models a batch is (B, C, 1, T) with the channels last in memory: convolutions of torch over two axes read that without turning it
round, those over one axis turn it round each time (a training step of `InceptionTime` takes half the time, one thread of a Xeon with
AVX-512, torch 2.14). The mask is a `StepMask`, or None: there is no padding, and nothing is computed for it.

One rule holds everywhere: what a convolution reads is 0 on padding, as beyond the end of a series that is alone. `StepNorm` and
`StepMaxPool` see to it.
"""
from functools import cached_property
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn


class StepConv(nn.Conv2d):
    """A convolution over steps that keeps their number: (B, n_in, 1, T) -> (B, n_out, 1, T).

    Args:
        n_in: channels of the input.
        n_out: channels of the output.
        kernel_size: steps that an output sees; where it is even, one more of those after it than of those before it.
        bias: add a number per channel. The layers here have none: a `StepNorm` follows.
    """

    def __init__(self, n_in: int, n_out: int, kernel_size: int = 1, bias: bool = False):
        super().__init__(n_in, n_out, (1, kernel_size), padding=(0, (kernel_size - 1) // 2), bias=bias)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # of torch's stubs

    def forward(self, x: torch.Tensor, longer: torch.Tensor | None = None) -> torch.Tensor:
        """The convolution.

        Args:
            x: (B, n_in, 1, T).
            longer: `x` and a step of 0 after it, where several convolutions share it, which is worth 2 to 3 % of a training step of
                `InceptionTime`; None: made here if it is needed.
        """
        if self.kernel_size[1] == 1:                                # a product of matrices; a convolution takes longer to begin
            return F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)
        if self.kernel_size[1] % 2:
            return super().forward(x)
        return super().forward(step_after(x) if longer is None else longer)


class StepMask:
    """Which steps of a batch are not padding, as the layers need it.

    Args:
        is_step: (B, T), 1 for a step and 0 for padding, of the type of the batch.

    Attributes:
        grid: (B, 1, 1, T).
        countable: whether `rows` is there without waiting for a device.
    """

    def __init__(self, is_step: torch.Tensor):
        self.grid, self.countable = is_step[:, None, None], is_step.is_cpu

    @cached_property
    def rows(self) -> torch.Tensor:
        "Where the steps are among all B * T, int64 (steps,). How many there are, a GPU is waited for to tell."
        return self.grid.flatten().nonzero()[:, 0]


class _OfSteps(nn.Module):
    "What a batch norm of steps adds to one of torch: in training the steps alone are normalised, one after the other, and padding is 0."

    def forward(self, x: torch.Tensor, mask: StepMask | None = None, act: bool = False) -> torch.Tensor:
        norm = super().forward
        if mask is None:
            return _acted(norm(x), act)
        if not self.training:
            return _acted(norm(x) * mask.grid.to(x.dtype), act)
        b, c, h, t = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(-1, c)                 # a view: the channels are last in memory
        steps = _acted(norm(rows.index_select(0, mask.rows)[:, :, None, None]), act).flatten(1)
        return torch.zeros_like(rows).index_copy_(0, mask.rows, steps).view(b, h, t, c).permute(0, 3, 1, 2)


def _acted(x, act):
    "In place where it is the norm's own: in a view the gradient would be copied."
    return F.relu_(x) if act else x


class StepNorm(_OfSteps, nn.BatchNorm2d):
    """Batch norm whose statistics are those of steps alone, and whose output is 0 on padding.

    On the CPU the steps are taken out: a training step of `InceptionTime` takes .94 of the time that it takes with norms of the whole
    (batches of 16 series of up to 26 steps, 2 threads, torch 2.14). On a GPU that would wait for their number.
    """

    def forward(self, x: torch.Tensor, mask: StepMask | None = None, act: bool = False) -> torch.Tensor:
        if mask is None or mask.countable or not self.training:
            return super().forward(x, mask, act)
        return _acted(self._of_whole(x, mask.grid), act)

    def _of_whole(self, x, steps):
        "With 0 on padding and the steps made larger, the mean of all is 0 and the variance of all is that of the steps."
        kept, x, steps = x.dtype, x.float(), steps.float()
        n, size = steps.sum(), steps.numel()
        larger, mean = (size / n).sqrt(), (x * steps).sum((0, 2, 3)) / n
        centred = (x - mean[:, None, None]) * (steps * larger)
        var = torch.empty_like(mean)
        made = F.batch_norm(centred, torch.empty_like(mean), var, self.weight / larger, self.bias, True, 1.0, self.eps) * steps
        with torch.no_grad():
            tracked = cast(torch.Tensor, self.num_batches_tracked).add_(1)
            # without a momentum the mean over all batches, as in torch's own
            share: Any = 1 / tracked.to(mean.dtype) if self.momentum is None else self.momentum
            cast(torch.Tensor, self.running_mean).lerp_(mean, share)
            cast(torch.Tensor, self.running_var).lerp_(var * ((size - 1) / size * n / (n - 1).clamp(min=1)), share)
        return made.to(kept)

    def synchronised(self) -> "SyncStepNorm":
        "The same norm with statistics of the steps of all ranks; weights and statistics are shared."
        made = SyncStepNorm(self.num_features, self.eps, self.momentum, self.affine, self.track_running_stats)
        made.weight, made.bias = self.weight, self.bias
        made.running_mean, made.running_var, made.num_batches_tracked = self.running_mean, self.running_var, self.num_batches_tracked
        return made.train(self.training)


class SyncStepNorm(_OfSteps, nn.SyncBatchNorm):
    "`StepNorm` whose statistics are those of the steps of all ranks. It takes them out on GPUs too: torch's own waits for their number."


class StepMaxPool(nn.MaxPool2d):
    """The maximum of each step and its neighbours, which padding is none of: (B, C, 1, T) -> (B, C, 1, T), 0 on padding.

    Args:
        kernel_size: how many steps, an odd number.
    """

    def __init__(self, kernel_size: int = 3):
        super().__init__((1, kernel_size), 1, (0, kernel_size // 2))

    def forward(self, x: torch.Tensor, mask: StepMask | None = None) -> torch.Tensor:
        if mask is None:
            return super().forward(x)
        is_padding = mask.grid == 0
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

    def forward(self, x: torch.Tensor, mask: StepMask | None = None) -> torch.Tensor:
        return self.norm(self.conv(x).contiguous(memory_format=torch.channels_last), mask, self.act)


class StepSequential(nn.Sequential):
    "Layers of steps one after the other, each of which gets the mask."

    def forward(self, x: torch.Tensor, mask: StepMask | None = None) -> torch.Tensor:
        for layer in self:
            x = layer(x, mask)
        return x


def step_after(x: torch.Tensor) -> torch.Tensor:
    "(B, C, 1, T) with a step of 0 after it."
    return F.pad(x, (0, 1))


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
