"""Keep what passes by in training: the outputs of layers (`HookCallback`), or whole batches (`CollectDataCallback`)."""
from collections.abc import Sequence
from typing import Any

from torch import nn

from ..core import L, to_detach
from ..nn import Hooks, flatten_model, has_params
from .base import Callback, TrainingCallback


class HookCallback(TrainingCallback):
    """Base of callbacks that look at the outputs of layers: override `hook`, whose results are in `self.hooks.stored`.

    Args:
        modules: the layers (default: all without children that have parameters).
        every: hook only every so many training batches (default: all the time).
        remove_end: take the hooks off at the end of the fit.
        is_forward: False: hook the backward pass.
        detach: give `hook` detached values.
        cpu: move them to the CPU.
        include_paramless: take layers without parameters too.
        hook: the function `hook(module, input, output)`, instead of overriding it.
    """

    def __init__(self, modules: Sequence[nn.Module] | None = None, every: int | None = None, remove_end: bool = True,
                 is_forward: bool = True, detach: bool = True, cpu: bool = True, include_paramless: bool = False, hook: Any = None):
        self.modules, self.every, self.remove_end, self.include_paramless = modules, every, remove_end, include_paramless
        self._options = {"is_forward": is_forward, "detach": detach, "cpu": cpu}
        self.hooks = Hooks((), self.hook)
        if hook is not None:
            self.hook = hook  # type: ignore[method-assign]  # a function of the caller's in place of the method

    def hook(self, m: nn.Module, i: Any, o: Any) -> Any:
        """Override: what is kept of one call of a layer.

        Args:
            m: the layer.
            i: its inputs, a tuple.
            o: its output.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `hook`: define `def hook(self, m, i, o)`, or pass hook=")

    def before_fit(self) -> None:
        if self.modules is None:
            self.modules = [m for m in flatten_model(self.learn.model) if self.include_paramless or has_params(m)]
        if self.every is None:
            self._put_on()

    def before_batch(self) -> None:
        if self.every is not None and self.learn.train_iter % self.every == 0:
            self._put_on()

    def after_batch(self) -> None:
        if self.every is not None:
            self.hooks.remove()

    def cleanup_fit(self) -> None:
        if self.remove_end:
            self.hooks.remove()

    def _put_on(self):
        self.hooks.remove()
        self.hooks = Hooks(self.modules, self.hook, **self._options)


class CollectDataCallback(Callback):
    "Keep every batch of a fit with its predictions and loss: `data` is a list of (inputs, targets, predictions, loss), on the CPU."

    only_watches = True

    def before_fit(self) -> None:
        self.data = L()

    def after_batch(self) -> None:
        learn = self.learn
        self.data.append(to_detach((learn.xb, learn.yb, learn.pred, learn.loss)))
