"""Penalties on activations, added to the training loss. Source: S. Merity, B. McCann, R. Socher, "Revisiting Activation
Regularization for Language RNNs", 2017."""
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from ..core import check_arguments, describe, did_you_mean, is_number, leaves, to_detach, to_device
from ..nn.hidden_state import State, hidden_state, in_cache, restore_hidden_state
from .base import Callback, Order, TrainingCallback
from .rank_parts import mean_over_items

Wanted: TypeAlias = str | type | nn.Module | Callable[[nn.Module], bool]
"A module by name, by class, itself, or a function that says which."


def activation_reg(out: torch.Tensor, h: torch.Tensor, alpha: float, beta: float) -> torch.Tensor:
    """`alpha * mean(out^2) + beta * mean((h[:, 1:] - h[:, :-1])^2)`: activations are kept small (AR) and change slowly in time (TAR).

    Args:
        out: output of the last recurrent layer after dropout, (batch, time, features).
        h: the same before dropout.
        alpha, beta: the weights of the two terms.

    Returns:
        A 0-d tensor; 0 if neither applies.
    """
    return _ActivationReg.apply(None if out is h else out, h, float(alpha), float(beta if h.shape[1] > 1 else 0))


class _ActivationReg(torch.autograd.Function):
    "`activation_reg`, in few passes over the activations, and with one gradient where `out` is `h` itself (None)."

    @staticmethod
    def forward(ctx, out, h, alpha, beta):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(out, h)
        ctx.weights = alpha, beta
        total = h.new_zeros((), dtype=torch.float32)
        if alpha:
            out = h if out is None else out
            total += alpha * torch.linalg.vector_norm(out, dtype=torch.float32).square() / out.numel()
        if beta:
            for start, stop in in_cache(h, h.shape[1] - 1):
                change = h[:, start + 1:stop + 1].float() - h[:, start:stop].float()
                total += beta * torch.linalg.vector_norm(change).square() / _n_changes(h)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        (out, h), (alpha, beta) = ctx.saved_tensors, ctx.weights
        of_out = of_h = None
        if alpha and ctx.needs_input_grad[0]:
            of_out = out * (2 * alpha / out.numel() * grad).to(out.dtype)
        if ctx.needs_input_grad[1]:
            if alpha and out is None:
                of_h = h * (2 * alpha / h.numel() * grad).to(h.dtype)
            elif beta:
                of_h = torch.zeros_like(h)
            if beta:
                factor = (2 * beta / _n_changes(h) * grad).to(h.dtype)
                for start, stop in in_cache(h, h.shape[1] - 1):
                    change = (h[:, start + 1:stop + 1] - h[:, start:stop]).mul_(factor)
                    of_h[:, start + 1:stop + 1] += change
                    of_h[:, start:stop] -= change
        return of_out, of_h, None, None


def _n_changes(h):
    return h.numel() // h.shape[1] * (h.shape[1] - 1)


def select_modules(model: nn.Module, modules: Wanted | Sequence[Wanted] | None = None) -> list[nn.Module]:
    """The modules of `model` that are meant.

    Args:
        model: any model.
        modules: names (`'layers.0'`), classes, functions of a module, or modules themselves, one or a list of them; None: the
            activation functions (`nn.ReLU` and its kind).

    Raises:
        ValueError: if nothing is found.
    """
    named = dict(model.named_modules())
    kind, names, found = type(model).__name__, ", ".join(n for n in named if n), {}
    for wanted in modules if isinstance(modules, (list, tuple)) else [_is_activation if modules is None else modules]:
        if isinstance(wanted, str) and wanted not in named:
            raise ValueError(f"{kind} has no module '{wanted}'{did_you_mean(wanted, named)} It has: {names}")
        if not isinstance(wanted, (str, nn.Module)) and not callable(wanted):
            raise TypeError(f"modules are given by name, class, function or themselves; received {describe(wanted)}")
        hits = [m for name, m in named.items() if _is_meant(wanted, name, m)]
        if not hits:
            raise ValueError(f"no module of {kind} is {describe(wanted)}" if modules is not None else f"{kind} has no activation function "
                             f"that is a module: say which modules are meant, by name or class. It has: {names}")
        found.update(dict.fromkeys(hits))
    return list(found)


def _is_activation(module: nn.Module) -> bool:
    return type(module).__module__ == nn.ReLU.__module__ and not isinstance(module, nn.MultiheadAttention)


def _is_meant(wanted: Any, name: str, module: nn.Module) -> bool:
    if isinstance(wanted, (str, nn.Module)):
        return wanted in (name, module)
    return isinstance(module, wanted) if isinstance(wanted, type) else wanted(module)


class ActivationReg(TrainingCallback):
    """Add to the training loss `alpha` times the mean square of the outputs of each of `modules`, summed over them.

    For recurrent models that return their activations see `RNNRegularizer`.

    Args:
        alpha: the weight of the penalty, such as 1e-4.
        modules: which modules, see `select_modules`; None: the model's activation functions.
    """

    shown = ("alpha",)
    order = Order.BATCH + 1              # after what replaces the loss (mixing)

    def __init__(self, alpha: float, modules: Wanted | Sequence[Wanted] | None = None):
        check_arguments("ActivationReg", alpha=(alpha, is_number(alpha, 0), "the weight of the penalty, 0 or more, such as 1e-4"))
        self.alpha, self.modules = alpha, modules
        self._handles, self._terms = [], []

    def before_fit(self) -> None:
        self._handles = [m.register_forward_hook(self._collect) for m in select_modules(self.learn.model, self.modules)]
        if self.learn.compiled_with is not None:
            self.learn.compile(**self.learn.compiled_with)       # what was compiled before does not call hooks

    def _collect(self, module: nn.Module, inputs: tuple, output: Any) -> None:
        if self.learn.training and torch.is_grad_enabled():
            self._terms += [t.float().pow(2).mean() for t in leaves(output) if isinstance(t, torch.Tensor) and t.is_floating_point()]

    def after_loss(self) -> None:
        if self._terms:
            self.learn.loss = self.learn.loss + mean_over_items(self.learn, self.alpha * torch.stack(self._terms).sum())
        self._terms = []

    def after_batch(self) -> None:
        self._terms = []

    def cleanup_fit(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles, self._terms = [], []


# -- recurrent models that return (output, raw outputs, dropped outputs) and keep a hidden state ------------------------------------
class ModelResetter(Callback):
    """Call `model.reset()`, which forgets the hidden state, before each training and validation pass and at the end.

    A training that is resumed within an epoch goes on with the hidden state that it had there.
    """

    _resumed: State | None = None

    def before_train(self) -> None:
        self.before_validate()
        state, self._resumed = self._resumed, None
        learn = self.learn
        if state is not None and learn.start_iter and learn.epoch == learn.start_epoch:         # resumed within this epoch
            restore_hidden_state(learn.model, to_device(state, learn.dls.device))

    def before_validate(self) -> None:
        reset = getattr(self.learn.model, "reset", None)
        if not callable(reset):
            raise TypeError(f"ModelResetter calls model.reset(), and {type(self.learn.model).__name__} has no such method: give the model "
                            "one that forgets its hidden state, or leave this callback out")
        reset()

    def cleanup_fit(self) -> None:
        if callable(getattr(self.learn.model, "reset", None)):
            self.before_validate()

    def state_dict(self) -> State:
        "The hidden state of the model."
        return to_detach(hidden_state(self.learn.model))

    def load_state_dict(self, state: State) -> None:
        "Begin from `state_dict`."
        self._resumed = state


class RNNCallback(Callback):
    """Split what a recurrent model returns: `learn.pred` becomes its output, and this callback keeps the rest for the batch.

    The model returns `(output, raw, dropped)`, the last two being the outputs of its recurrent layers before and after dropout, as a
    tensor (batch, time, features) or one per layer, of which the last counts: `raw_out` and `out`. A model that returns a single
    tensor is left alone.
    """

    order = Order.BATCH
    raw_out: Any = None
    out: Any = None

    def after_pred(self) -> None:
        pred = self.learn.pred
        if isinstance(pred, (tuple, list)):
            self.learn.pred = self.output(pred)
            self.raw_out, self.out = (o[-1] if isinstance(o, (tuple, list)) else o for o in pred[1:])

    @staticmethod
    def output(pred: Any) -> Any:
        "The output in what a model returned, `pred`."
        if not isinstance(pred, (tuple, list)):
            return pred
        if len(pred) != 3:
            raise ValueError(f"RNNCallback splits (output, raw outputs, dropped outputs), but the model returned {describe(pred)}")
        return pred[0][-1] if isinstance(pred[0], (tuple, list)) else pred[0]

    def after_batch(self) -> None:
        self.raw_out = self.out = None

    cleanup_fit = after_batch


class RNNRegularizer(TrainingCallback):
    """Add activation regularisation and temporal activation regularisation to the training loss; needs an `RNNCallback`.

    Args:
        alpha, beta: their weights; see `activation_reg` for the formula and its source.
    """

    shown = ("alpha", "beta")
    order = Order.BATCH + 1

    def __init__(self, alpha: float = 0.0, beta: float = 0.0):
        check_arguments("RNNRegularizer", alpha=(alpha, is_number(alpha, 0), "the weight of a penalty, 0 or more"),
                        beta=(beta, is_number(beta, 0), "the weight of a penalty, 0 or more"))
        self.alpha, self.beta = alpha, beta

    def before_fit(self) -> None:
        self._source = next((cb for cb in self.learn.cbs if isinstance(cb, RNNCallback)), None)
        if self._source is None and (self.alpha or self.beta):
            raise ValueError("RNNRegularizer needs the activations that RNNCallback takes from the model's result: add both, "
                             "`cbs=rnn_cbs(alpha=2, beta=1)`")

    def after_loss(self) -> None:
        if not (self.alpha or self.beta):
            return
        if self._source.out is None:
            raise TypeError("RNNRegularizer needs a model that returns (output, raw outputs, dropped outputs); this one returned only "
                            f"{describe(self.learn.pred)}. For other models use ActivationReg(alpha)")
        term = activation_reg(self._source.out, self._source.raw_out, self.alpha, self.beta)
        self.learn.loss = self.learn.loss + mean_over_items(self.learn, term)


def of_output(activation: Callable[[Any], Any], cbs: Sequence[Callback]) -> Callable[[Any], Any]:
    """`activation` as a function of all that a model returns, where callbacks do not run: with an `RNNCallback` among `cbs`, of its output.

    Args:
        activation: takes the output.
        cbs: of a learner.
    """
    splits = any(isinstance(cb, RNNCallback) for cb in cbs)
    return (lambda pred: activation(RNNCallback.output(pred))) if splits else activation


def rnn_cbs(alpha: float = 0.0, beta: float = 0.0) -> list[Callback]:
    """The callbacks of a recurrent model: `ModelResetter`, `RNNCallback` and, with `alpha` or `beta`, `RNNRegularizer`.

    Args:
        alpha: weight of the activation regularisation, the mean square of the outputs after dropout.
        beta: weight of the temporal activation regularisation, the mean square of the change of the raw outputs from step to step.

    Source: Merity, McCann & Socher 2017, https://arxiv.org/abs/1708.01009.
    """
    return [ModelResetter(), RNNCallback(), *([RNNRegularizer(alpha, beta)] if alpha or beta else [])]
