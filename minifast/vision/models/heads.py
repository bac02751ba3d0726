"""The head of a vision model: from the features of a body to the outputs."""
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from ...core.types import YRange
from ...nn.activations import SigmoidRange, range_ends
from ...nn.containers import Flatten
from ...nn.init import apply_init, inverse_sigmoid_range, set_output_bias
from ...nn.layers import AdaptiveConcatPool2d, LinBnDrop

__all__ = ["add_head", "calm_before_range", "create_head", "start_head_at"]

_CALM = 0.1             # with y_range, the weights before the sigmoid begin this much smaller than `init` makes them


def create_head(nf: int, n_out: int, lin_ftrs: Sequence[int] | None = None, ps: float | Sequence[float] = 0.5, pool: bool = True,
                concat_pool: bool = True, first_bn: bool = True, bn_final: bool = False, lin_first: bool = False,
                y_range: YRange | None = None) -> nn.Sequential:
    """Make a head from `nf` features to `n_out` outputs: pooling, then blocks of batch norm, dropout, linear layer and ReLU.

    Args:
        nf: number of features of the body.
        n_out: number of outputs.
        lin_ftrs: sizes between (default [512]).
        ps: dropout, one number (halved for all blocks but the last) or one per block.
        pool: whether to pool maps to vectors.
        concat_pool: pool with maximum and mean (2 nf features) instead of the mean.
        first_bn: batch norm before the first linear layer.
        bn_final: batch norm after the last.
        lin_first: linear layer before norm and dropout.
        y_range: (low, high) of a scaled sigmoid at the end.
    """
    end = [] if y_range is None else [SigmoidRange(*range_ends(y_range))]
    sizes = [2 * nf if pool and concat_pool else nf, *([512] if lin_ftrs is None else lin_ftrs), n_out]
    n_blocks = len(sizes) - 1
    ps = [ps] if isinstance(ps, (int, float)) else list(ps)
    if len(ps) == 1:
        ps = [ps[0] / 2] * (n_blocks - 1) + ps
    if len(ps) != n_blocks:
        raise ValueError(f"ps has {len(ps)} dropout probabilities for {n_blocks} linear layers: give one number, or one per linear layer "
                         f"(lin_ftrs={lin_ftrs} and the output)")
    layers: list[nn.Module] = [AdaptiveConcatPool2d() if concat_pool else nn.AdaptiveAvgPool2d(1), Flatten()] if pool else []
    if lin_first:
        layers.append(nn.Dropout(ps[0]))
        ps = ps[1:]                         # the others come after their linear layers
    for i in range(n_blocks - 1):
        layers += LinBnDrop(sizes[i], sizes[i + 1], bn=i > 0 or first_bn, p=ps[i], act=nn.ReLU(inplace=True), lin_first=lin_first)
    layers += [nn.Linear(sizes[-2], n_out)] if lin_first else LinBnDrop(sizes[-2], n_out, bn=n_blocks > 1 or first_bn, p=ps[-1])
    if bn_final:
        layers.append(nn.BatchNorm1d(n_out, momentum=0.01))
    return nn.Sequential(*layers, *end)


def add_head(body: nn.Module, nf: int, n_out: int, init: Callable[..., Any] | None = nn.init.kaiming_normal_,
             head: nn.Module | None = None, **head_args: Any) -> nn.Sequential:
    """Make `Sequential(body, head)`. A head with `y_range` begins in the middle of it, see `calm_before_range`.

    Args:
        body: the body.
        nf: channels that it puts out; not used with `head`.
        n_out: outputs of the head.
        init: fills the weights of the head in place; None: as they are.
        head: a module in place of one made by `create_head`.
        **head_args: other arguments of `create_head`.
    """
    made, head = head is None, create_head(nf, n_out, **head_args) if head is None else head
    apply_init(head, init)
    if made and init is not None and head_args.get("y_range") is not None:
        calm_before_range(head)
    return nn.Sequential(body, head)


def _before_sigmoid(head):
    "The norm layer, or None, and the layer that decide what comes before the sigmoid at the end of a head."
    layers = [m for m in head.modules() if isinstance(m, (nn.Linear, nn.Conv2d, nn.BatchNorm1d))]
    return (layers[-2] if len(layers) > 1 and isinstance(layers[-2], nn.BatchNorm1d) else None), layers[-1]


@torch.no_grad()
def calm_before_range(head: nn.Module) -> None:
    """Make the weights before the sigmoid at the end of `head` small, so that it begins in the middle of the range, where it is steep: made
    for layers before a ReLU, initialisation gives sums of deviation 2, at which a good part of the outputs lie near the ends."""
    _before_sigmoid(head)[-1].weight.mul_(_CALM)


def start_head_at(head: nn.Sequential, values: torch.Tensor) -> None:
    """Set the biases of a head made with `y_range` so that before training it gives `values` (n_out,), such as the mean of the targets.

    The last linear layer has no bias where batch norm precedes it: the least change of that norm's bias that does the same is made.
    Values outside of the range are taken for its ends, of which half a percent of it is kept away.
    """
    end = head[-1]
    if not isinstance(end, SigmoidRange):
        raise ValueError(f"start_head_at is for heads of create_head(..., y_range=(low, high)); this one ends with {type(end).__name__}")
    norm, last = _before_sigmoid(head)
    set_output_bias(last, inverse_sigmoid_range(values.double(), end)[0], norm)
