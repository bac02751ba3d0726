"""Limits to gradients before each step: `GradientClip` (their common norm) and `GradientClipValue` (each of them)."""
import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from .base import Callback, Order

STACK_EVERY = 256      # norms wait on the device in a list this long before they are stacked into one tensor


def _above_zero(value, call, meaning):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError(f"{call}={value!r}): {meaning}, a number above 0")
    return value


class GradientClip(Callback):
    """Scale all gradients down together where their common norm exceeds `max_norm`.

    norm_type: 2 for the Euclidean norm, `math.inf` for the largest entry. With mixed precision the gradients are unscaled before. `norms`
    holds the norm before clipping at each step of the latest fit, which shows what a sensible `max_norm` is.
    Source: R. Pascanu et al., "On the difficulty of training recurrent neural networks", 2013.
    """

    order = Order.GRADS + 1              # after gradients are unscaled
    run_valid = False

    def __init__(self, max_norm=1.0, norm_type=2.0):
        self.max_norm = _above_zero(max_norm, "GradientClip(max_norm", "the largest norm of the gradients")
        self.norm_type = _above_zero(norm_type, "GradientClip(norm_type", "which norm, such as 2 or math.inf")
        self._blocks, self._pending = [], []

    def before_fit(self):
        self._params = [p for group in self.learn.opt.param_groups for p in group["params"]]
        self._blocks, self._pending = [], []

    def before_step(self):
        own = vars(self)
        pending = own["_pending"]
        pending.append(clip_grad_norm_(own["_params"], own["max_norm"], own["norm_type"]))
        if len(pending) >= STACK_EVERY:
            self._stack()

    def _stack(self):
        self._blocks.append(torch.stack(self._pending).float())
        self._pending = []

    @property
    def norms(self):
        "The norm of the gradients before clipping, at each step of the latest fit: a list of numbers (reads them from the device)."
        if self._pending:
            self._stack()
        return torch.cat(self._blocks).tolist() if self._blocks else []

    def __repr__(self):
        return f"GradientClip({self.max_norm})"


class GradientClipValue(Callback):
    "Limit each entry of the gradients to the range from `-clip_value` to `clip_value`, which changes their direction; see `GradientClip`."

    order = Order.GRADS + 1
    run_valid = False

    def __init__(self, clip_value):
        self.clip_value = _above_zero(clip_value, "GradientClipValue(clip_value", "the largest size of an entry of the gradients")

    def before_fit(self):
        self._params = [p for group in self.learn.opt.param_groups for p in group["params"]]

    def before_step(self):
        clip_grad_value_(self._params, self.clip_value)

    def __repr__(self):
        return f"GradientClipValue({self.clip_value})"
