"""Gradients between the backward pass and the step: accumulate them over several batches, clip their norm or each entry."""
from collections.abc import Sequence

import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from ..core import check_arguments, find_bs, is_number, is_whole
from ..core.torch_internals import mul_
from ..nn.loss_traits import batch_weight
from .base import CancelBatchException, Order, TrainingCallback
from .recorder import FLUSH_EVERY, Series


def mean_of_means(losses: Sequence, weights: Sequence) -> torch.Tensor | float:
    """The mean over all items of several batches, which is what accumulated gradients are the gradient of.

    Args:
        losses: mean loss of each batch.
        weights: number of items of each batch, or the sum of its items' weights if the loss weights them.
    """
    return sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)


class GradientAccumulation(TrainingCallback):
    """Step once `n_acc` items have been seen, with the gradient of their common mean loss: as one batch of that size would give.

    When the training half of an epoch ends, the optimizer steps with whatever has been accumulated. A loss that weights its items (class
    weights, ignored items) is averaged by those weights; a loss with `reduction='sum'` is summed. Batch norm still sees the small
    batches. The recorded loss is that of each small batch.

    Args:
        n_acc: number of items (not batches) per step.
    """

    order = Order.GRADS - 4                # before gradients are unscaled and clipped, which is done once per step
    _loss: torch.Tensor | None = None
    _weight: float | torch.Tensor | None = None

    def __init__(self, n_acc: int = 32):
        check_arguments("GradientAccumulation", n_acc=(n_acc, is_whole(n_acc), "the number of items per step, a whole number above 0"))
        self.n_acc = n_acc

    def before_fit(self) -> None:
        self._items, self._weight = 0, None

    def before_backward(self) -> None:
        learn = self.learn
        weight = batch_weight(learn.loss_func, learn.yb, find_bs((learn.xb, learn.kw)))
        self._loss = learn.loss
        if weight is not None:              # None: the loss is a sum, which needs no weighting
            self._weight = weight if self._weight is None else self._weight + weight
            learn.loss = self._loss * (weight / self.n_acc)

    def after_cancel_backward(self) -> None:
        self.learn.loss = self._loss

    def after_backward(self) -> None:
        learn = self.learn
        learn.loss = self._loss
        self._items += find_bs((learn.xb, learn.kw))
        if self._items < self.n_acc and learn.iter < learn.n_iter - 1:
            raise CancelBatchException
        self._average()

    def after_train(self) -> None:
        "The epoch was cut short between two steps: step with what has been accumulated."
        if self._items:
            self._average()
            self.learn.optimizer_step()

    def _average(self) -> None:
        grads = [p.grad for group in self.learn.opt.param_groups for p in group["params"] if p.grad is not None]
        if grads and self._weight is not None:
            mul_(grads, self.n_acc / self._weight)
        self._items, self._weight = 0, None


class GradientClip(TrainingCallback):
    """Scale all gradients down together when their common norm exceeds `max_norm`.

    With mixed precision the gradients are unscaled first. `norms` has the norm before clipping at each step of the latest fit, which
    shows what a sensible `max_norm` is. Source: R. Pascanu et al., "On the difficulty of training recurrent neural networks", 2013.

    Args:
        max_norm: the largest norm of all gradients together.
        norm_type: 2 for the Euclidean norm, `math.inf` for the largest entry.
    """

    shown = ("max_norm",)
    order = Order.GRADS + 1              # after gradients are unscaled

    def __init__(self, max_norm: float = 1.0, norm_type: float = 2.0):
        check_arguments("GradientClip",
                        max_norm=(max_norm, is_number(max_norm) and max_norm > 0, "the largest norm of the gradients, a number above 0"),
                        norm_type=(norm_type, is_number(norm_type) and norm_type > 0, "which norm, a number above 0 such as 2 or math.inf"))
        self.max_norm, self.norm_type, self._series = max_norm, norm_type, Series()

    def before_fit(self) -> None:
        self._params = [p for group in self.learn.opt.param_groups for p in group["params"]]
        self._series = Series()

    def before_step(self) -> None:
        own = vars(self)
        pending = own["_series"].pending
        pending.append(clip_grad_norm_(own["_params"], own["max_norm"], own["norm_type"]))
        if len(pending) >= FLUSH_EVERY:
            own["_series"].flush()

    @property
    def norms(self) -> list[float]:
        "The norm of the gradients before clipping, at each step of the latest fit (reads them from the device)."
        return self._series.numbers


class GradientClipValue(TrainingCallback):
    """Limit each entry of the gradients to the range from `-clip_value` to `clip_value`, which changes their direction.

    Args:
        clip_value: the largest absolute value of an entry.
    """

    shown = ("clip_value",)
    order = Order.GRADS + 1

    def __init__(self, clip_value: float):
        check_arguments("GradientClipValue", clip_value=(clip_value, is_number(clip_value) and clip_value > 0,
                                                         "the largest absolute value of an entry of the gradients, a number above 0"))
        self.clip_value = clip_value

    def before_step(self) -> None:
        clip_grad_value_([p for group in self.learn.opt.param_groups for p in group["params"]], self.clip_value)
