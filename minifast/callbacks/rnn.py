"""Callbacks of recurrent models that return `(output, raw outputs, dropped outputs)` and keep a hidden state from batch to batch."""
from ..core.messages import describe
from .base import Callback, Order
from .regularise import activation_reg


class ModelResetter(Callback):
    "Call `model.reset()`, which forgets the hidden state, before each training and validation pass and at the end."

    def before_train(self) -> None:
        self._reset()

    def before_validate(self) -> None:
        self._reset()

    def _reset(self):
        reset = getattr(self.learn.model, "reset", None)
        if not callable(reset):
            raise TypeError(f"ModelResetter calls model.reset(), and {type(self.learn.model).__name__} has no such method: give the model "
                            "one, which forgets its hidden state, or leave this callback out")
        reset()

    def cleanup_fit(self) -> None:
        if callable(getattr(self.learn.model, "reset", None)):
            self._reset()


class RNNCallback(Callback):
    """Take apart what a recurrent model returns: `learn.pred` becomes its output, and this callback keeps the rest for the batch.

    The model returns `(output, raw, dropped)`, the last two being the outputs of its recurrent layers before and after dropout, as a
    tensor (batch, time, features) or one per layer, of which the last counts: `raw_out` and `out`. A model that returns a single
    tensor is left alone.
    """

    order = Order.BATCH
    raw_out = out = None

    def after_pred(self) -> None:
        pred = self.learn.pred
        if not isinstance(pred, (tuple, list)):
            self.raw_out = self.out = None
            return
        if len(pred) != 3:
            raise ValueError(f"RNNCallback takes apart (output, raw outputs, dropped outputs), but the model returned {describe(pred)}")
        self.learn.pred, self.raw_out, self.out = (o[-1] if isinstance(o, (tuple, list)) else o for o in pred)

    def after_batch(self) -> None:
        self.raw_out = self.out = None

    def cleanup_fit(self) -> None:
        self.raw_out = self.out = None


class RNNRegularizer(Callback):
    """Add activation regularisation with weight `alpha` and temporal activation regularisation with weight `beta` to the training loss.

    Needs an `RNNCallback`; see `activation_reg` for the formula and its source.
    """

    order = Order.BATCH + 1
    run_valid = False

    def __init__(self, alpha=0.0, beta=0.0):
        if alpha < 0 or beta < 0:
            raise ValueError(f"RNNRegularizer(alpha={alpha}, beta={beta}): the weights of penalties, 0 or more")
        self.alpha, self.beta = alpha, beta

    def before_fit(self) -> None:
        self._source = next((cb for cb in self.learn.cbs if isinstance(cb, RNNCallback)), None)
        if self._source is None and (self.alpha or self.beta):
            raise ValueError("RNNRegularizer needs the activations that RNNCallback takes out of the model's result: add both, "
                             "`cbs=rnn_cbs(alpha=2, beta=1)`")

    def after_loss(self) -> None:
        if not (self.alpha or self.beta):
            return
        if self._source.out is None:
            raise TypeError("RNNRegularizer needs a model that returns (output, raw outputs, dropped outputs); this one returned only "
                            f"{describe(self.learn.pred)}. For other models use ActivationReg(alpha)")
        self.learn.loss = self.learn.loss + activation_reg(self._source.out, self._source.raw_out, self.alpha, self.beta)

    def __repr__(self) -> str:
        return f"RNNRegularizer({self.alpha}, {self.beta})"


def rnn_cbs(alpha=0.0, beta=0.0):
    "The callbacks of a recurrent model: reset, take apart and, where `alpha` or `beta` is given, regularise."
    return [ModelResetter(), RNNCallback(), *([RNNRegularizer(alpha, beta)] if alpha or beta else [])]
