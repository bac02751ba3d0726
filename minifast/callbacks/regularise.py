"""Penalties on activations, added to the training loss. Source: S. Merity, B. McCann, R. Socher, "Revisiting Activation
Regularization for Language RNNs", 2017."""
import torch
from torch import nn

from ..core.messages import describe, did_you_mean
from ..core.nested import leaves
from .base import Callback, Order


def activation_reg(out, h, alpha, beta):
    """`alpha * mean(out^2) + beta * mean((h[:, 1:] - h[:, :-1])^2)`: activations are kept small (AR) and change slowly in time (TAR).

    out: output of the last recurrent layer after dropout. h: the same before dropout, (batch, time, features). Returns a 0-d tensor;
    0 where neither applies.
    """
    total = out.new_zeros((), dtype=torch.float32)
    if alpha:
        total = total + alpha * out.float().pow(2).mean()
    if beta and h.shape[1] > 1:
        total = total + beta * (h[:, 1:] - h[:, :-1]).float().pow(2).mean()
    return total


def select_modules(model, modules=None):
    """The modules of `model` that are meant: by name (`'layers.0'`), class, function of a module, themselves, or a list of any of these.

    None: the activation functions (`nn.ReLU` and its kind). Raises `ValueError` where nothing is found.
    """
    named = dict(model.named_modules())
    if modules is None:
        found = [m for m in named.values() if type(m).__module__ == nn.ReLU.__module__ and not isinstance(m, nn.MultiheadAttention)]
        if not found:
            raise ValueError(f"{type(model).__name__} has no activation function that is a module: say which modules are meant, by name or "
                             f"class. It has: {', '.join(n for n in named if n)}")
        return found
    found = []
    for wanted in modules if isinstance(modules, (list, tuple)) else [modules]:
        if isinstance(wanted, str):
            if wanted not in named:
                raise ValueError(f"{type(model).__name__} has no module '{wanted}'{did_you_mean(wanted, named)} It has: "
                                 f"{', '.join(n for n in named if n)}")
            hits = [named[wanted]]
        elif isinstance(wanted, type):
            hits = [m for m in named.values() if isinstance(m, wanted)]
        elif isinstance(wanted, nn.Module):
            hits = [m for m in named.values() if m is wanted]
        elif callable(wanted):
            hits = [m for m in named.values() if wanted(m)]
        else:
            raise TypeError(f"modules are given by name, class, function or themselves; received {describe(wanted)}")
        if not hits:
            raise ValueError(f"no module of {type(model).__name__} is {describe(wanted)}")
        found += [m for m in hits if not any(m is f for f in found)]
    return found


class ActivationReg(Callback):
    """Add to the training loss `alpha` times the mean square of the outputs of each of `modules`, summed over them.

    modules: names, classes, functions of a module or modules (see `select_modules`); None: the model's activation functions. For
    recurrent models that return their activations see `RNNRegularizer`.
    """

    order = Order.BATCH + 1              # after what replaces the loss (mixing)
    run_valid = False

    def __init__(self, alpha, modules=None):
        if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or alpha < 0:
            raise ValueError(f"ActivationReg(alpha={alpha!r}): the weight of the penalty, 0 or more, such as 1e-4")
        self.alpha, self.modules = alpha, modules
        self._handles, self._terms = [], []

    def before_fit(self) -> None:
        self._remove()
        self._handles = [m.register_forward_hook(self._collect) for m in select_modules(self.learn.model, self.modules)]
        if self.learn.compiled_with is not None:
            self.learn.compile(**self.learn.compiled_with)       # what was compiled before does not call hooks

    def _collect(self, module, inputs, output):
        if self.learn.training and torch.is_grad_enabled():
            self._terms += [t.float().pow(2).mean() for t in leaves(output) if isinstance(t, torch.Tensor) and t.is_floating_point()]

    def after_loss(self) -> None:
        if self._terms:
            self.learn.loss = self.learn.loss + self.alpha * torch.stack(self._terms).sum()
        self._terms = []

    def after_batch(self) -> None:
        self._terms = []

    def _remove(self):
        for handle in self._handles:
            handle.remove()
        self._handles, self._terms = [], []

    def cleanup_fit(self) -> None:
        self._remove()

    def __repr__(self) -> str:
        return f"ActivationReg({self.alpha})"
