"""What `DistributedTrainer` makes parts of: a loss whose gradient is scaled, a model with parameters of others, and what
ranks that have seen other items put together: statistics of norm layers, batches padded to different lengths."""
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..core.ranks import mean_over_ranks
from ..metrics.base import IGNORED
from .base import Learner


class ScaledGradient(torch.autograd.Function):
    "A loss as it is, whose gradient is multiplied by a factor."

    @staticmethod
    def forward(ctx: Any, loss: torch.Tensor, factor: Any) -> torch.Tensor:
        "The loss."
        ctx.factor = factor
        return loss.view_as(loss)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        "Its gradient times the factor."
        return grad * ctx.factor, None


class WithOthers(nn.Module):
    "A model, and parameters of others that are trained with it, as of a loss: their gradients are exchanged too."

    def __init__(self, model: nn.Module, others: Sequence[nn.Parameter]):
        super().__init__()
        self.model, self.others = model, nn.ParameterList(others)

    def forward(self, *xb: Any, **kw: Any) -> Any:
        "The output of the model."
        return self.model(*xb, **kw)


def mean_over_items(learn: "Learner", term: torch.Tensor) -> torch.Tensor:
    """What a callback adds to the loss of a batch, so that it counts with several ranks as it does with one: the loss itself counts by
    class weights, for example, or is a sum over the items of all ranks.

    Args:
        learn: a learner in the middle of a batch.
        term: a mean over the items, or what does not depend on them, such as a penalty on the weights; a 0-d tensor.

    Returns:
        The term; with several ranks, scaled so that its gradient, put together with that of the loss, is the one of the whole batch.
    """
    trainer: Any = getattr(learn, "distributed_trainer", None)          # callbacks are attributes of their learner
    return trainer.loss_parts.mean_over_items(term) if learn.training and learn.share is not None else term


def average_norm_statistics(model: nn.Module) -> None:
    """Every rank has seen other items: the running statistics of norm layers become the means of those of all ranks.

    Args:
        model: any model; all ranks call this.
    """
    stats: list[Any] = [b for m in model.modules() if isinstance(getattr(m, "running_mean", None), torch.Tensor)
             for b in (m.running_mean, m.running_var)]
    mean_over_ranks(stats)


def fill_targets(t: torch.Tensor) -> float | None:
    "What fills up classes of the pieces of a text: what losses and metrics leave out."
    return None if t.is_floating_point() or t.dtype is torch.bool else IGNORED


def fill_series(t: torch.Tensor) -> float | None:
    "What fills up series (B,C,T), as elsewhere in the package."
    return math.nan if t.ndim == 3 and t.is_floating_point() else None
