"""Small callbacks about how batches are run: short epochs, fixed batch-norm statistics, dropout in prediction, memory format."""
import math

import torch
from torch import nn

from .base import Callback, CancelTrainException, CancelValidException, Order


class ShortEpochCallback(Callback):
    """End each training half after the share `pct` of its batches (at least one), with `short_valid` the validation half too.

    To see whether everything runs. Only fits are cut short: `validate`, `get_preds` and `predict` see everything.
    """

    order = Order.DISPLAY + 10           # when everybody has seen the batch

    def __init__(self, pct=0.01, short_valid=True):
        if not 0 < pct <= 1:
            raise ValueError(f"ShortEpochCallback(pct={pct!r}): the share of the batches to run, above 0 and up to 1")
        self.pct, self.short_valid, self._fitting = pct, short_valid, False

    def before_fit(self) -> None:
        self._fitting = True

    def after_batch(self) -> None:
        learn = self.learn
        if not self._fitting or learn.iter + 1 < max(1, math.ceil(self.pct * learn.n_iter - 1e-9)):
            return
        if learn.training:
            raise CancelTrainException
        if self.short_valid and learn.dl is learn.dls.valid:
            raise CancelValidException

    def cleanup_fit(self) -> None:
        self._fitting = False


def with_statistics(model):
    "The layers of `model` that keep running statistics: batch norm, and instance norm made so, whatever their class."
    return [m for m in model.modules() if isinstance(getattr(m, "running_mean", None), torch.Tensor)]


class BnFreeze(Callback):
    """Keep the running statistics of every norm layer as they are while training, and normalise with them.

    Of all layers, frozen or not; their weights and biases go on learning unless they are frozen. `Learner(train_bn=False)` does so for
    the norm layers of frozen layer groups alone.
    """

    order = Order.BATCH
    run_valid = False

    def before_train(self) -> None:
        self._layers = with_statistics(self.learn.model)
        self._hold()

    def before_batch(self) -> None:
        if self._layers and self._layers[0].training:       # another pass in between has put the model back into training mode
            self._hold()

    def _hold(self):
        for m in self._layers:
            m.eval()


# Modules whose own mode decides about dropout within them, or about a fast path that leaves dropout out.
_DROP_INSIDE = (nn.MultiheadAttention, nn.RNNBase, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)


def activate_dropout(model):
    "Put the dropout of `model`, and nothing else, into training mode; returns the number of modules that drop something."
    found = 0
    for m in model.modules():
        named = "dropout" in type(m).__name__.lower()
        if named and not getattr(m, "p", 1):                # p=0: drops nothing
            continue
        if named or (isinstance(m, _DROP_INSIDE) and _rate(m)):
            m.training = True
            found += 1
    return found


def _rate(m):
    rate = getattr(m, "dropout", 0)
    return getattr(rate, "p", rate)


class MCDropoutCallback(Callback):
    """Dropout stays active in validation and prediction, so that predictions vary as much as the model is unsure.

    See `mc_dropout_preds`. Source: Y. Gal, Z. Ghahramani, "Dropout as a Bayesian Approximation", 2016.
    """

    def before_validate(self) -> None:
        if not activate_dropout(self.learn.model):
            raise ValueError(f"MCDropoutCallback: {type(self.learn.model).__name__} has no dropout module, so its predictions would not "
                             "vary: build it with some, such as nn.Dropout(0.2)")


def mc_dropout_preds(learn, n=10, dl=None, ds_idx=1):
    """Mean and standard deviation of `n` predictions with dropout, as `(mean, std, targs)`, for loader `ds_idx` or `dl` of `learn`.

    The shapes are those of `learn.get_preds`; predictions are activated (probabilities). A large `std` marks items the model is unsure of.
    """
    if n < 2:
        raise ValueError(f"mc_dropout_preds(n={n}): at least 2 predictions are needed for a standard deviation")
    passes = [learn.get_preds(ds_idx, dl, cbs=MCDropoutCallback()) for _ in range(n)]
    std, mean = torch.std_mean(torch.stack([preds for preds, _ in passes]), dim=0)
    return mean, std, passes[0][1]


def set_memory_format(model, memory_format):
    "Bring the 4-d weights and buffers of `model` (convolutions) into `memory_format`; values and parameters stay what they are."
    for t in (*model.parameters(), *model.buffers()):
        if t.ndim == 4:
            t.data = t.data.contiguous(memory_format=memory_format)


class ChannelsLast(Callback):
    """Run pictures and convolutions in the memory format (B,H,W,C), which tensor cores are fastest with; results are the same.

    During each fit, validation or prediction; afterwards the weights have torch's usual format again. Pays off with mixed precision.
    """

    order = Order.SETUP

    def before_fit(self) -> None:
        set_memory_format(self.learn.model, torch.channels_last)

    def before_validate(self) -> None:
        set_memory_format(self.learn.model, torch.channels_last)

    def before_batch(self) -> None:
        learn = self.learn
        learn.xb = tuple(map(_channels_last, learn.xb))
        if learn.kw:
            learn.kw = {name: _channels_last(x) for name, x in learn.kw.items()}

    def cleanup_fit(self) -> None:
        set_memory_format(self.learn.model, torch.contiguous_format)


def _channels_last(x):
    if isinstance(x, torch.Tensor) and x.ndim == 4 and x.is_floating_point():
        return x.contiguous(memory_format=torch.channels_last)
    return x
