"""`GradientAccumulation`: the gradient of one large batch, computed from several small ones that fit into memory."""
from collections.abc import Sequence

import torch

from ..core.arguments import check_arguments, is_whole
from ..core.nested import find_bs
from ..core.torch_internals import mul_
from ..nn.loss_traits import batch_weight
from .base import Callback, CancelBatchException, Order


def mean_of_means(losses: Sequence, weights: Sequence) -> torch.Tensor | float:
    """The mean over all items of several batches, which is what accumulated gradients are the gradient of.

    Args:
        losses: mean loss of each batch.
        weights: number of items of each batch, or the sum of its items' weights if the loss weights them.
    """
    return sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)


class GradientAccumulation(Callback):
    """Step once `n_acc` items have been seen, with the gradient of their common mean loss: as one batch of that size would give.

    When the training half of an epoch ends, the optimizer steps with whatever has been accumulated. A loss that weights its items (class
    weights, ignored items) is averaged by those weights; a loss with `reduction='sum'` is summed. Batch norm still sees the small
    batches. The recorded loss is that of each small batch.

    Args:
        n_acc: number of items (not batches) per step.
    """

    order = Order.GRADS - 4                # before gradients are unscaled and clipped, which is done once per step
    run_valid = False

    def __init__(self, n_acc: int = 32):
        check_arguments("GradientAccumulation", n_acc=(n_acc, is_whole(n_acc), "the number of items per step, a whole number above 0"))
        self.n_acc = n_acc
        self._begin()

    def _begin(self) -> None:
        self._items, self._weight, self._loss = 0, None, None

    def before_fit(self) -> None:
        self._begin()

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
        self._begin()
