"""`SAM`: sharpness-aware minimisation, a step with the gradient at the worst weights nearby.

Sources: P. Foret et al., "Sharpness-Aware Minimization for Efficiently Improving Generalization", 2021; adaptive: J. Kwon et al.,
"ASAM", 2021.
"""
import torch

from ..optim.groups import clear_grads
from .accumulate import GradientAccumulation
from .base import Callback, Order
from .precision import MixedPrecision


@torch.no_grad()
def sam_perturbation(params, grads, rho, adaptive=False):
    """The step of length `rho` up the gradient, as a list of tensors: `rho * g / ||g||` over all parameters together.

    adaptive: `rho * p^2 * g / ||p * g||`, which does not change when layers are rescaled (ASAM).
    """
    if adaptive:
        scaled = torch._foreach_mul(grads, params)
        norm = torch.nn.utils.get_total_norm(scaled)
        up = torch._foreach_mul(scaled, params)
    else:
        norm, up = torch.nn.utils.get_total_norm(grads), list(grads)
    return torch._foreach_mul(up, rho / (norm + 1e-12))


class SAM(Callback):
    """Before each step go up the gradient by `rho`, compute the gradient there, come back, and step with that gradient.

    rho: 0.05 as in the paper; adaptive: relative to the size of each weight (ASAM), with a `rho` ten times as large or more. The second
    pass calls `after_pred` and `after_loss` again, so that mixing and regularisation apply; the loss recorded is that of the first.
    Buffers such as batch-norm statistics are those of the first pass, weights come back bit by bit, also after an error. Costs
    a second forward and backward pass and a copy of the weights. Callbacks that clip gradients see those of the second pass.

    Refuses fp16 with a gradient scaler, gradient accumulation and sparse gradients.
    """

    order = Order.GRADS                    # before clipping
    run_valid = False

    def __init__(self, rho=0.05, adaptive=False):
        if isinstance(rho, bool) or not isinstance(rho, (int, float)) or not rho > 0:
            raise ValueError(f"SAM(rho={rho!r}): the length of the step up the gradient, a number above 0 such as 0.05")
        self.rho, self.adaptive = rho, adaptive

    def before_fit(self) -> None:
        learn = self.learn
        problems = []
        if any(isinstance(cb, MixedPrecision) and cb.amp_mode == "fp16" for cb in learn.cbs):
            problems.append("MixedPrecision('fp16') scales the loss of one backward pass, and SAM needs two: train in bf16, "
                            "`learn.to_bf16()`")
        if any(isinstance(cb, GradientAccumulation) for cb in learn.cbs):
            problems.append("GradientAccumulation steps with the gradients of several batches, and SAM repeats only the last: use larger "
                            "batches instead")
        if any(getattr(m, "sparse", False) is True for m in learn.model.modules()):
            problems.append("an embedding of the model has sparse gradients: make it with sparse=False")
        if problems:
            raise ValueError("SAM cannot be used here: " + "; ".join(problems))
        self._buffers = [(m._buffers, name) for m in learn.model.modules() for name, b in m._buffers.items() if b is not None]

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
        buffers = [(owner, name, owner[name], owner[name].clone()) for owner, name in self._buffers]
        try:
            with torch.no_grad():
                torch._foreach_add_(params, sam_perturbation(params, [p.grad for p in params], self.rho, self.adaptive))
            clear_grads(learn.opt)
            self._second_pass()
        finally:
            with torch.no_grad():
                torch._foreach_copy_(params, weights)
                for owner, name, buffer, before in buffers:
                    owner[name] = buffer.copy_(before)
            learn.pred, learn.loss = pred, loss

    def _second_pass(self):
        learn = self.learn
        with learn.forward_context():
            learn.pred = learn.model(*learn.xb, **learn.kw)
            learn("after_pred")
            learn.loss = learn.loss_func(learn.pred, *learn.yb)
            learn("after_loss")
        learn.backward(learn.loss)

    def __repr__(self) -> str:
        return f"{'A' if self.adaptive else ''}SAM({self.rho})"

