"""Gradients between the backward pass and the step: accumulate them over several batches, clip their norm or each entry, or take them at
the worst weights nearby (SAM).

Sources: P. Foret et al., "Sharpness-Aware Minimization for Efficiently Improving Generalization", 2021; adaptive: J. Kwon et al.,
"ASAM", 2021.
"""
from collections.abc import Sequence

import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from ..core import check_arguments, is_number, is_whole
from ..core.sharded import locals_of, whole
from ..core.torch_internals import add_, copy_, mul, mul_
from .base import CancelBatchException, Order, TrainingCallback
from .precision import MixedPrecision
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
        weight = learn.local_weight()
        if learn.share is not None:
            _, weight = learn.share.weighed(weight)
        self._loss = learn.loss
        if weight is not None:              # None: the loss is a sum, which needs no weighting
            self._weight = weight if self._weight is None else self._weight + weight
            learn.loss = self._loss * (weight / self.n_acc)

    def after_cancel_backward(self) -> None:
        self.learn.loss = self._loss

    def after_backward(self) -> None:
        learn = self.learn
        learn.loss = self._loss
        steps = self.steps_after_batch()
        self._items += learn.items_in_batch()
        if not steps:
            raise CancelBatchException
        self._average()

    def steps_after_batch(self) -> bool:
        "Whether the optimizer steps after the batch in progress."
        learn = self.learn
        return self._items + learn.items_in_batch() >= self.n_acc or learn.iter >= learn.n_iter - 1

    @property
    def pending(self) -> bool:
        "Whether gradients are added up at the moment, so that a state without them would not be whole."
        return self._items > 0

    def after_train(self) -> None:
        "The epoch was cut short between two steps: step with what has been accumulated."
        if self._items:
            self._average()
            self.learn.optimizer_step()

    def _average(self) -> None:
        grads = [p.grad for group in self.learn.opt.param_groups for p in group["params"] if p.grad is not None]
        if grads and self._weight is not None:
            mul_(locals_of(grads), self.n_acc / self._weight)
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
        pending.append(whole(clip_grad_norm_(own["_params"], own["max_norm"], own["norm_type"])))
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


# -- sharpness-aware minimisation --------------------------------------------------------------------------------------------------
@torch.no_grad()
def sam_perturbation(params: Sequence[torch.Tensor], grads: Sequence[torch.Tensor], rho: float,
                     adaptive: bool = False) -> list[torch.Tensor]:
    """The step of length `rho` up the gradient: `rho * g / ||g||` over all parameters together.

    Args:
        params, grads: lists of tensors.
        rho: length of the step.
        adaptive: `rho * p^2 * g / ||p * g||` instead, which does not change when layers are rescaled (ASAM).

    Returns:
        A tensor for each parameter; of one that is divided among ranks, the rows of this rank.
    """
    scaled = mul(grads, params) if adaptive else list(grads)
    norm = whole(torch.nn.utils.get_total_norm(scaled))
    return mul(locals_of(mul(scaled, params) if adaptive else scaled), rho / (norm + 1e-12))


class SAM(TrainingCallback):
    """Before each step go up the gradient by `rho`, compute the gradient there, come back, and step with that gradient.

    The second pass calls `after_pred` and `after_loss` again, so that mixing and regularisation apply; the loss recorded is that of the
    first. Buffers such as batch-norm statistics are those of the first pass, and weights come back bit by bit, also after an error. It
    costs a second forward and backward pass and a copy of the weights. Callbacks that clip gradients see those of the second pass.

    Refuses fp16 with a gradient scaler, gradient accumulation and sparse gradients.

    Args:
        rho: length of the step, 0.05 as in the paper.
        adaptive: relative to the size of each weight (ASAM), with a `rho` ten times as large or more.
    """

    order = Order.GRADS                    # before clipping

    def __init__(self, rho: float = 0.05, adaptive: bool = False):
        check_arguments("SAM", rho=(rho, is_number(rho) and rho > 0,
                                    "the length of the step up the gradient, a number above 0 such as 0.05"))
        self.rho, self.adaptive = rho, adaptive

    def before_fit(self) -> None:
        cbs, modules = self.learn.cbs, self.learn.model.modules()
        problems = {
            "MixedPrecision('fp16') scales the loss of one backward pass, and SAM needs two: train in bf16, `learn.to_bf16()`":
                any(isinstance(cb, MixedPrecision) and cb.amp_mode == "fp16" and cb.works_on(self.learn.dls.device) for cb in cbs),
            "GradientAccumulation steps with the gradients of several batches, and SAM repeats only the last: use larger batches instead":
                any(isinstance(cb, GradientAccumulation) for cb in cbs),
            "an embedding of the model has sparse gradients: make it with sparse=False":
                any(getattr(m, "sparse", False) is True for m in modules)}
        if any(problems.values()):
            raise ValueError("SAM cannot be used here: " + "; ".join(text for text, found in problems.items() if found))

    def after_cancel_batch(self) -> None:
        if any(p.grad is not None for group in self.learn.opt.param_groups for p in group["params"]):
            raise RuntimeError("a callback cancelled the batch after its backward pass, to accumulate gradients; SAM repeats only the last "
                               "batch of a step: remove one of the two")

    def before_step(self) -> None:
        learn = self.learn
        params = [p for group in learn.opt.param_groups for p in group["params"] if p.grad is not None]
        if not params:
            return
        parts = locals_of(params)
        pred, loss, weights = learn.pred, learn.loss, [p.detach().clone() for p in parts]
        buffers = [(m, name, b, b.clone()) for m in learn.model.modules() for name, b in m.named_buffers(recurse=False)]
        try:
            with torch.no_grad():
                add_(parts, sam_perturbation(params, [p.grad for p in params], self.rho, self.adaptive))
            for p in params:
                p.grad = None
            with learn.forward_context():
                learn.pred = learn.forward()
                learn("after_pred")
                learn.loss = learn.loss_func(learn.pred, *learn.yb)
                learn("after_loss")
            learn.backward(learn.loss)
        finally:
            with torch.no_grad():
                copy_(parts, weights)
                for module, name, buffer, before in buffers:       # a model may have replaced a buffer
                    setattr(module, name, buffer.copy_(before))
            learn.pred, learn.loss = pred, loss

    def __repr__(self) -> str:
        return f"{'A' if self.adaptive else ''}SAM({self.rho})"
