"""`MixedPrecision`: run the forward pass and the loss under autocast; scale the loss where half precision needs it."""
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal
from warnings import warn

import torch

from ..core import check_choice, map_nested, plural
from .base import Callback, Order


class MixedPrecision(Callback):
    """Autocast to half precision on the learner's device; 'fp16' also scales the loss against underflow.

    The gradient scaler lives as long as the callback, across fits. Gradients are unscaled in `before_step`: callbacks that clip run
    after it (`order` above `Order.GRADS`), those that accumulate before. fp16 needs an accelerator: on a CPU training is in full precision,
    with one warning. Steps that overflow are skipped and counted (`skipped_steps`, shown by `learn.summary()`); a fit that skipped more
    than a quarter of its steps warns. Source: P. Micikevicius et al., "Mixed Precision Training", 2018.

    Args:
        amp_mode: 'fp16' or 'bf16' (which needs no scaling).
        init_scale: the loss scale at the start.
        growth_factor: the scale is multiplied by this after `growth_interval` steps without overflow.
        backoff_factor: the scale is multiplied by this after an overflow.
        growth_interval: number of steps.
    """

    order = Order.GRADS

    def __init__(self, amp_mode: Literal["fp16", "bf16"] = "fp16", init_scale: float = 2.0**16, growth_factor: float = 2.0,
                 backoff_factor: float = 0.5, growth_interval: int = 2000):
        dtypes = {"fp16": torch.float16, "bf16": torch.bfloat16}
        check_choice("MixedPrecision", "amp_mode", amp_mode, dtypes)
        self.amp_mode, self.dtype = amp_mode, dtypes[amp_mode]
        self._scaling: dict[str, Any] = {"init_scale": init_scale, "growth_factor": growth_factor, "backoff_factor": backoff_factor,
                         "growth_interval": growth_interval}
        self.scaler: torch.amp.GradScaler | None = None
        self._saved, self._unscaled = None, False
        self._skipped: int | torch.Tensor = 0       # on the device, so that counting does not wait for it
        self._warned = False

    def works_on(self, device: torch.device) -> bool:
        "Whether this precision works on `device`; where it does not, warns once that training is in full precision."
        if self.amp_mode != "fp16" or device.type != "cpu":
            return True
        if not self._warned:
            self._warned = True
            warn("fp16 needs an accelerator and the data is on the CPU: training is in full precision (to_bf16() works on a CPU too, and "
                 "dls.to('cuda') moves the data)", stacklevel=4)
        return False

    def forward_context(self) -> AbstractContextManager:
        "Autocast, around the forward pass and the loss of every batch."
        device = self.learn.dls.device
        return torch.autocast(device.type, dtype=self.dtype) if self.works_on(device) else nullcontext()

    def before_fit(self) -> None:
        if not self.works_on(self.learn.dls.device):
            self.scaler = None
        elif self.amp_mode == "fp16" and self.scaler is None:
            self.scaler = torch.amp.GradScaler(self.learn.dls.device.type, **self._scaling)
            if self._saved:
                self.scaler.load_state_dict(self._saved)
        self._unscaled, self._steps, self._skipped_before = False, 0, self._skipped
        self._one = torch.ones((), device=self.learn.dls.device)

    def after_pred(self) -> None:
        "Losses, metrics and predictions are computed in full precision."
        self.learn.pred = map_nested(lambda t: t.float() if isinstance(t, torch.Tensor) and t.dtype == self.dtype else t, self.learn.pred)

    def loop_backward(self, loss: torch.Tensor) -> None:
        "The loop's backward pass, of the scaled loss."
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def before_step(self) -> None:
        if self.scaler is not None:
            self.scaler.unscale_(self.learn.opt)
            self._unscaled = True

    def loop_step(self, opt: torch.optim.Optimizer) -> None:
        "The loop's step, which the scaler skips when a gradient overflowed."
        if self.scaler is None:
            opt.step()
            return
        before = self.scaler.scale(self._one)      # the scale as a tensor: `get_scale()` would wait for the device
        self.scaler.step(opt)
        self.after_cancel_step()
        self._skipped = self._skipped + (self.scaler.scale(self._one) < before)
        self._steps += 1

    def after_cancel_step(self) -> None:
        "The end of a step, taken or not."
        if self._unscaled:
            self.scaler.update()
            self._unscaled = False

    def after_cancel_batch(self) -> None:
        if self._unscaled:
            raise RuntimeError("a callback cancelled the batch after its gradients were unscaled, so that they cannot be accumulated: give "
                               "that callback an order below Order.GRADS")

    def after_fit(self) -> None:
        if self.scaler is None or self.learn.dry_run:
            return
        skipped = int(self._skipped - self._skipped_before)
        if skipped * 4 > self._steps:
            warn(f"fp16: {skipped} of {plural(self._steps, 'step')} of this fit did nothing, because gradients overflowed (the loss is "
                 f"now scaled by {self.scaler.get_scale():g}). A few at the start are normal; with more, try a lower learning rate, "
                 "gradient clipping, or to_bf16(), which needs no scaling", stacklevel=2)

    cleanup_fit = after_cancel_step             # interrupted between unscaling and the step

    @property
    def skipped_steps(self) -> int:
        "How many steps were skipped because a scaled gradient overflowed."
        return int(self._skipped)

    def __repr__(self) -> str:
        off = ", off: the data is on the CPU" if self._warned and self.scaler is None else ""
        skipped = f", {plural(self.skipped_steps, 'step')} skipped" if self.skipped_steps else ""
        return f"MixedPrecision({self.amp_mode}{off}{skipped})"

    def state_dict(self) -> dict:
        "The scale and the number of skipped steps."
        return {"scaler": self._saved if self.scaler is None else self.scaler.state_dict(), "skipped": self.skipped_steps}

    def load_state_dict(self, state: dict) -> None:
        "Continue from `state_dict`."
        self._skipped, self._saved = state["skipped"], state["scaler"]
        if self.scaler is not None and self._saved:
            self.scaler.load_state_dict(self._saved)
