"""`GradientAccumulation`: the gradient of one big batch, from several small ones that fit into memory."""
import torch

from ..core.messages import describe
from ..core.nested import find_bs
from ..nn.torch_losses import batch_weight
from .base import Callback, CancelBatchException, Order


def mean_of_means(losses, weights):
    """The mean over all items of several batches, from the mean `losses` of the batches and their `weights` (numbers of items, or
    sums of the items' weights where the loss weighs them): what accumulated gradients are the gradient of."""
    return sum(w * loss for w, loss in zip(weights, losses, strict=True)) / sum(weights)


class GradientAccumulation(Callback):
    """Step once `n_acc` items have been seen, with the gradient of their common mean loss: as one batch of that size would give.

    The number counts items, not batches. What has been collected when the training half of an epoch ends is stepped with, whatever
    its size. A loss that weighs its items (class weights, ignored items) is averaged by those weights; one with `reduction='sum'` is
    summed. Batch norm still sees the small batches. The recorded loss is that of each small batch.
    """

    order = Order.GRADS - 4                # before gradients are unscaled and clipped, which is for whole steps
    run_valid = False

    def __init__(self, n_acc=32):
        if isinstance(n_acc, bool) or not isinstance(n_acc, int) or n_acc < 1:
            raise ValueError(f"GradientAccumulation(n_acc={describe(n_acc)}): the number of items of a step, a whole number above 0")
        self.n_acc = n_acc
        self._begin()

    def _begin(self):
        self._items, self._weight, self._loss = 0, None, None

    def before_fit(self):
        self._begin()

    def before_backward(self):
        learn = self.learn
        weight = batch_weight(learn.loss_func, learn.yb, find_bs((learn.xb, learn.kw)))
        self._loss = learn.loss
        if weight is not None:              # None: a sum, which adds up by itself
            self._weight = weight if self._weight is None else self._weight + weight
            learn.loss = self._loss * (weight / self.n_acc)

    def after_cancel_backward(self):
        self.learn.loss = self._loss

    def after_backward(self):
        learn = self.learn
        learn.loss = self._loss
        self._items += find_bs((learn.xb, learn.kw))
        if self._items < self.n_acc and learn.iter < learn.n_iter - 1:
            raise CancelBatchException
        self._average()

    def after_train(self):
        "The epoch was cut short between two steps: step with what there is."
        if self._items:
            self._average()
            self.learn.optimizer_step()

    def _average(self):
        grads = [p.grad for group in self.learn.opt.param_groups for p in group["params"] if p.grad is not None]
        if grads and self._weight is not None:
            torch._foreach_mul_(grads, self.n_acc / self._weight)
        self._begin()
