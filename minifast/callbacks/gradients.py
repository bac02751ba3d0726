"""Limit gradients before each step: `GradientClip` by their common norm, `GradientClipValue` each entry on its own."""
import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from ..core.arguments import check_arguments, is_number
from .base import Callback, Order

STACK_EVERY = 256      # norms wait on the device in a list this long before they are stacked into one tensor


class GradientClip(Callback):
    """Scale all gradients down together when their common norm exceeds `max_norm`.

    With mixed precision the gradients are unscaled first. `norms` has the norm before clipping at each step of the latest fit, which
    shows what a sensible `max_norm` is. Source: R. Pascanu et al., "On the difficulty of training recurrent neural networks", 2013.

    Args:
        max_norm: the largest norm of all gradients together.
        norm_type: 2 for the Euclidean norm, `math.inf` for the largest entry.
    """

    order = Order.GRADS + 1              # after gradients are unscaled
    run_valid = False

    def __init__(self, max_norm: float = 1.0, norm_type: float = 2.0):
        check_arguments("GradientClip",
                        max_norm=(max_norm, is_number(max_norm) and max_norm > 0, "the largest norm of the gradients, a number above 0"),
                        norm_type=(norm_type, is_number(norm_type) and norm_type > 0, "which norm, a number above 0 such as 2 or math.inf"))
        self.max_norm, self.norm_type = max_norm, norm_type
        self._blocks, self._pending = [], []

    def before_fit(self) -> None:
        self._params = [p for group in self.learn.opt.param_groups for p in group["params"]]
        self._blocks, self._pending = [], []

    def before_step(self) -> None:
        own = vars(self)
        pending = own["_pending"]
        pending.append(clip_grad_norm_(own["_params"], own["max_norm"], own["norm_type"]))
        if len(pending) >= STACK_EVERY:
            self._stack()

    def _stack(self) -> None:
        self._blocks.append(torch.stack(self._pending).float())
        self._pending = []

    @property
    def norms(self) -> list[float]:
        "The norm of the gradients before clipping, at each step of the latest fit (reads them from the device)."
        if self._pending:
            self._stack()
        return torch.cat(self._blocks).tolist() if self._blocks else []

    def __repr__(self) -> str:
        return f"GradientClip({self.max_norm})"


class GradientClipValue(Callback):
    """Limit each entry of the gradients to the range from `-clip_value` to `clip_value`, which changes their direction.

    Args:
        clip_value: the largest absolute value of an entry.
    """

    order = Order.GRADS + 1
    run_valid = False

    def __init__(self, clip_value: float):
        check_arguments("GradientClipValue", clip_value=(clip_value, is_number(clip_value) and clip_value > 0,
                                                         "the largest absolute value of an entry of the gradients, a number above 0"))
        self.clip_value = clip_value

    def before_step(self) -> None:
        clip_grad_value_([p for group in self.learn.opt.param_groups for p in group["params"]], self.clip_value)

    def __repr__(self) -> str:
        return f"GradientClipValue({self.clip_value})"
