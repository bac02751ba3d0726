"""`SeriesModel`: what the models of this folder have in common: what they read and refuse, and their two layer groups, body and head."""
from collections.abc import Sequence
from math import prod
from typing import ClassVar, cast

import torch
from torch import nn

from ...core.arguments import is_number, is_whole
from ...core.messages import brief, describe, plural
from ...core.types import YRange
from ...nn.activations import SigmoidRange, range_ends
from ..padding import split_padding
from .masked import StepMask, as_grid, mean_of_steps

#: The models that ignore padding.
MASKING = ("FCN", "InceptionTime", "OmniScaleCNN", "ResNet1d", "TSTransformer")


class SeriesModel(nn.Module):
    """A model of series: float (B, c_in, T) -> (B, c_out).

    Padding (NaN in all channels at the end of a series) is ignored by models with `masks`, and refused by the others. They look for it
    if they were made with `padded=True`, and besides where looking costs nothing: on the CPU, and when they predict.

    Args:
        c_in: channels of a series.
        c_out: outputs, or the shape of the output, such as (targets, horizon).
        seq_len: steps of the longest series.
        padded: whether batches may have padding.

    Attributes:
        body: what reads, up to features of the steps.
        head: what decides.
    """

    min_steps: int = 1                      #: steps that a series has at least
    masks: ClassVar[bool] = True            #: whether series of a batch may differ in length
    needs_seq_len: ClassVar[bool] = False   #: whether it must be told the length of the longest series

    body: nn.Module
    head: nn.Module

    def __init__(self, c_in: int, c_out: int | Sequence[int], seq_len: int | None = None, padded: bool = False):
        super().__init__()
        name = type(self).__name__
        if self.needs_seq_len and seq_len is None:
            raise ValueError(f"{name} is made for series of one length, or up to one: write {name}({c_in}, {c_out}, seq_len=...), the "
                             "steps of the longest series")
        check_sizes(name, c_in=c_in, c_out=c_out, seq_len=1 if seq_len is None else seq_len)
        if padded and not self.masks:
            raise ValueError(no_padding(name))
        self.c_in, self.seq_len, self.padded = c_in, seq_len, padded

    def read(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Check a batch, and take its padding out.

        Args:
            x: (B, c_in, T).

        Returns:
            The batch with 0 in place of padding, and float (B, T), 0 for padding and 1 for steps, or None: there is no padding.

        Raises:
            ValueError: the shape is another, series are too short, or there is padding and this model cannot ignore it.
        """
        name = type(self).__name__
        if x.ndim != 3 or x.shape[1] != self.c_in:
            raise ValueError(f"{name} reads series (batch, {plural(self.c_in, 'channel')}, steps); received {describe(x)}")
        if x.shape[2] < self.min_steps:
            raise ValueError(too_short(name, self.min_steps, x.shape[2]))
        if not (self.padded or self._sees_padding(x)):
            return x, None
        if not self.masks:
            raise ValueError(no_padding(name))
        x, is_step = split_padding(x)
        return x, is_step.to(x.dtype)

    def check_seq_len(self, x: torch.Tensor) -> None:
        """Refuse series of another length than this model was made for; those that are shorter only if it ignores padding.

        Args:
            x: (B, c_in, T).
        """
        if x.shape[2] != self.seq_len and (x.shape[2] > cast(int, self.seq_len) or not self.masks):
            raise ValueError(f"{type(self).__name__} was made for series of {'up to ' if self.masks else ''}{self.seq_len} steps; received "
                             f"{x.shape[2]}. Make it with seq_len={x.shape[2]}, or take a model that reads series of any length, such as "
                             "InceptionTime")

    def _sees_padding(self, x):
        "Whether a series ends before the others. In training on a GPU it is not looked for: that would wait for the device."
        if torch.compiler.is_compiling() or torch.jit.is_tracing() or (self.training and x.device.type != "cpu"):
            return False
        return bool(torch.isnan(x[:, 0, -1]).any())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class ConvModel(SeriesModel):
    "A `SeriesModel` whose body is a `masked` layer, of which the head gets the mean over the steps."

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x, mask = self.read(x)
        return self.head(mean_of_steps(self.body(as_grid(x), None if mask is None else StepMask(mask)).squeeze(2), mask))


def series_split(model: nn.Module) -> list[list[nn.Parameter]]:
    """The layer groups of a `SeriesModel`: body, head. Covariates beside it are part of the head.

    Args:
        model: with the parts `head` and others; or a model of which that is the part `series`.
    """
    reader = cast(nn.Module, getattr(model, "series", model))
    of_head = {id(p) for p in cast(nn.Module, reader.head).parameters()}
    body = [p for p in reader.parameters() if id(p) not in of_head]
    of_body = {id(p) for p in body}
    return [body, [p for p in model.parameters() if id(p) not in of_body]]


def linear_head(n_in: int, c_out: int | Sequence[int], dropout: float = 0.0, y_range: YRange | None = None) -> nn.Sequential:
    """What decides: dropout, a linear layer, and where a range is given a sigmoid over it.

    Args:
        n_in: features.
        c_out: outputs, or the shape of the output.
        dropout: probability that a feature is dropped.
        y_range: (low, high) of numbers to predict.
    """
    if not is_number(dropout, 0, 1):
        raise ValueError(f"dropout={brief(dropout)}: a probability, from 0 to 1")
    shape = (c_out,) if isinstance(c_out, int) else tuple(c_out)
    layers: list[nn.Module] = [nn.Dropout(dropout)] if dropout else []
    layers.append(nn.Linear(n_in, prod(shape)))
    if len(shape) > 1:
        layers.append(nn.Unflatten(1, shape))
    if y_range is not None:
        layers.append(SigmoidRange(*range_ends(y_range)))
    return nn.Sequential(*layers)


def check_sizes(where: str, **sizes: int | Sequence[int]) -> None:
    """Refuse sizes that are not whole numbers of at least 1, or sequences of them, all in one sentence.

    Args:
        where: the name of the model.
        **sizes: by the name of the argument.
    """
    wrong = [f"{name}={brief(size)}" for name, size in sizes.items()
             if not all(is_whole(n) for n in ([size] if not isinstance(size, (tuple, list)) else size or [0]))]
    if wrong:
        raise ValueError(f"{where}({', '.join(wrong)}): sizes are whole numbers of at least 1")


def too_short(name: str, needed: int, steps: int) -> str:
    "The sentence about series that have too few steps."
    return (f"{name} needs series of {plural(needed, 'step')} or more, and the shortest here has {steps}: leave it out, or take a model "
            "that reads series of any length, such as InceptionTime")


def no_padding(name: str) -> str:
    "The sentence about padding where a model cannot ignore it."
    return (f"{name} reads series of one length, and these differ: the ends of the shorter ones are padding, which it would take for "
            f"values. Take a model that ignores padding ({', '.join(MASKING)}), or cut or stretch the series to one length")
