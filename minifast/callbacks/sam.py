"""`SAM`: sharpness-aware minimisation, a step with the gradient at the worst weights nearby.

Sources: P. Foret et al., "Sharpness-Aware Minimization for Efficiently Improving Generalization", 2021; adaptive: J. Kwon et al.,
"ASAM", 2021.
"""
from collections.abc import Sequence

import torch

from ..core import check_arguments, is_number
from ..core.torch_internals import add_, copy_, mul
from .base import Order, TrainingCallback
from .gradients import GradientAccumulation
from .precision import MixedPrecision


@torch.no_grad()
def sam_perturbation(params: Sequence[torch.Tensor], grads: Sequence[torch.Tensor], rho: float,
                     adaptive: bool = False) -> list[torch.Tensor]:
    """The step of length `rho` up the gradient: `rho * g / ||g||` over all parameters together.

    Args:
        params, grads: lists of tensors.
        rho: length of the step.
        adaptive: `rho * p^2 * g / ||p * g||` instead, which does not change when layers are rescaled (ASAM).
    """
    scaled = mul(grads, params) if adaptive else list(grads)
    norm = torch.nn.utils.get_total_norm(scaled)
    return mul(mul(scaled, params) if adaptive else scaled, rho / (norm + 1e-12))


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
                any(isinstance(cb, MixedPrecision) and cb.amp_mode == "fp16" for cb in cbs),
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
        pred, loss, weights = learn.pred, learn.loss, [p.detach().clone() for p in params]
        buffers = [(m, name, b, b.clone()) for m in learn.model.modules() for name, b in m.named_buffers(recurse=False)]
        try:
            with torch.no_grad():
                add_(params, sam_perturbation(params, [p.grad for p in params], self.rho, self.adaptive))
            for p in params:
                p.grad = None
            with learn.forward_context():
                learn.pred = learn.model(*learn.xb, **learn.kw)
                learn("after_pred")
                learn.loss = learn.loss_func(learn.pred, *learn.yb)
                learn("after_loss")
            learn.backward(learn.loss)
        finally:
            with torch.no_grad():
                copy_(params, weights)
                for module, name, buffer, before in buffers:       # a model may have replaced a buffer
                    setattr(module, name, buffer.copy_(before))
            learn.pred, learn.loss = pred, loss

    def __repr__(self) -> str:
        return f"{'A' if self.adaptive else ''}SAM({self.rho})"
