"""`MixedPrecision`: run the forward pass and the loss under autocast; scale the loss where half precision needs it."""
import torch

from ..callback import Callback, CancelStepException, Order


class MixedPrecision(Callback):
    """Autocast to `amp_mode` ('fp16' or 'bf16') on the learner's device; 'fp16' also scales the loss against underflow.

    The gradient scaler lives as long as the callback, across fits. `skipped_steps` counts steps skipped because a scaled gradient
    overflowed. fp16 needs an accelerator: on a CPU it is refused, never ignored. Source: P. Micikevicius et al., "Mixed Precision
    Training", 2018.
    """

    order = Order.GRADS

    def __init__(self, amp_mode="fp16", init_scale=2.0**16, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000):
        dtypes = {"fp16": torch.float16, "bf16": torch.bfloat16}
        if amp_mode not in dtypes:
            raise ValueError(f"MixedPrecision(amp_mode={amp_mode!r}): amp_mode is 'fp16' or 'bf16'")
        self.amp_mode, self.dtype = amp_mode, dtypes[amp_mode]
        self._scaling = {"init_scale": init_scale, "growth_factor": growth_factor, "backoff_factor": backoff_factor,
                         "growth_interval": growth_interval}
        self.scaler, self.skipped_steps = None, 0

    def check(self, learn):
        "Refuse a learner on whose device this precision does not work."
        if self.amp_mode == "fp16" and learn.dls.device.type == "cpu":
            raise ValueError("to_fp16() needs an accelerator, and this learner's data is on the CPU, where fp16 training is slow and "
                             "loses gradients: use to_bf16(), or move the data, `dls.to('cuda')`")

    def forward_context(self):
        "Autocast, around the forward pass and the loss of every batch."
        return torch.autocast(self.learn.dls.device.type, dtype=self.dtype)

    def before_fit(self):
        self.check(self.learn)
        if self.amp_mode == "fp16" and self.scaler is None:
            self.scaler = torch.amp.GradScaler(self.learn.dls.device.type, **self._scaling)

    def before_backward(self):
        if self.scaler is not None:
            self._unscaled = self.learn.loss
            self.learn.loss = self.scaler.scale(self.learn.loss)

    def after_backward(self):
        if self.scaler is not None:
            self.learn.loss = self._unscaled
            self.scaler.unscale_(self.learn.opt)

    def before_step(self):
        if self.scaler is None:
            return
        scale = self.scaler.get_scale()
        self.scaler.step(self.learn.opt)
        self.scaler.update()
        self.skipped_steps += self.scaler.get_scale() < scale
        raise CancelStepException
