"""Small callbacks about how batches are run: short epochs, fixed batch-norm statistics, dropout in prediction, memory format, losses that
are not finite."""
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..core import check_arguments, describe, is_number, is_whole, leaves, map_nested, name_of, plural
from ..core.finite import not_finite
from ..optim.groups import lay_out_state
from .base import Callback, CancelTrainException, CancelValidException, Learner, Order, TrainingCallback
from .recorder import NonFiniteLoss


# -- a function of the batch -------------------------------------------------------------------------------------------------------
def before_batch_cb(f: Callable[[Callback, tuple, tuple], tuple[tuple, tuple]]) -> Callback:
    """Make a callback of a function that changes each batch, in training and in validation. It can be used as a decorator.

    Args:
        f: called as `f(callback, xb, yb)` with the inputs and targets of the batch, two tuples; returns those to use instead.
    """
    def before_batch(cb: Callback) -> None:
        changed = f(cb, cb.learn.xb, cb.learn.yb)
        if not (isinstance(changed, (tuple, list)) and len(changed) == 2 and all(isinstance(o, (tuple, list)) for o in changed)):
            raise TypeError(f"before_batch_cb({name_of(f)}): the function returns two tuples, the inputs and the targets, such as "
                            f"(x,), (y,); it returned {describe(changed)}")
        cb.learn.xb, cb.learn.yb = map(tuple, changed)

    return Callback(before_batch=before_batch)


# -- short epochs -------------------------------------------------------------------------------------------------------------------
class ShortEpochCallback(Callback):
    """End each epoch early, to see whether everything runs.

    Only fits are cut short: `validate`, `get_preds` and `predict` see everything.

    Args:
        pct: the fraction of batches to run, at least one.
        short_valid: whether validation is cut short too.
    """

    order = Order.DISPLAY + 10           # after all others have seen the batch

    def __init__(self, pct: float = 0.01, short_valid: bool = True):
        check_arguments("ShortEpochCallback", pct=(pct, is_number(pct, 0, 1) and pct > 0,
                                                   "the fraction of the batches to run, above 0 and up to 1"))
        self.pct, self.short_valid = pct, short_valid

    def after_batch(self) -> None:
        learn = self.learn
        if not learn.running or learn.iter + 1 < max(1, math.ceil(self.pct * learn.n_iter - 1e-9)):
            return
        if learn.training:
            raise CancelTrainException
        if self.short_valid and learn.dl is learn.dls.valid:
            raise CancelValidException


# -- fixed batch-norm statistics ----------------------------------------------------------------------------------------------------
class BnFreeze(TrainingCallback):
    """Keep the running statistics of every norm layer fixed while training, and normalise with them.

    This holds for all layers, frozen or not; their weights and biases keep learning unless they are frozen. `Learner(train_bn=False)`
    does so only for the norm layers of frozen layer groups.
    """

    order = Order.BATCH

    def before_train(self) -> None:
        # batch norm, and instance norm made so, whatever their class
        self._layers = [m for m in self.learn.model.modules() if isinstance(getattr(m, "running_mean", None), torch.Tensor)]

    def before_batch(self) -> None:
        if self._layers and self._layers[0].training:       # at the first batch, and after another pass in between
            for m in self._layers:
                m.eval()


# -- Monte Carlo dropout ------------------------------------------------------------------------------------------------------------
# Modules whose own mode decides about dropout within them, or about a fast path that leaves dropout out.
_DROP_INSIDE = (nn.MultiheadAttention, nn.RNNBase, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)


def activate_dropout(model: nn.Module) -> int:
    "Put the dropout of `model`, and nothing else, into training mode; returns the number of modules that drop something."
    found = 0
    for m in model.modules():
        rate: Any = getattr(m, "dropout", 0)
        inside = isinstance(m, _DROP_INSIDE) and getattr(rate, "p", rate)
        if inside or ("dropout" in type(m).__name__.lower() and getattr(m, "p", 1)):       # p=0 drops nothing
            m.training = True
            found += 1
    return found


class MCDropoutCallback(Callback):
    """Keep dropout active in validation and prediction, so that predictions vary as much as the model is unsure.

    See `mc_dropout_preds`. Source: Y. Gal, Z. Ghahramani, "Dropout as a Bayesian Approximation", 2016.
    """

    def before_validate(self) -> None:
        if not activate_dropout(self.learn.model):
            raise ValueError(f"MCDropoutCallback: {type(self.learn.model).__name__} has no dropout module, so its predictions would not "
                             "vary: build it with some, such as nn.Dropout(0.2)")


def mc_dropout_preds(learn: "Learner", n: int = 10, dl: Any = None, ds_idx: int = 1) -> tuple[torch.Tensor, torch.Tensor, Any]:
    """Mean and standard deviation of several predictions with dropout. A large deviation marks items the model is unsure of.

    Args:
        learn: a learner whose model has dropout.
        n: number of predictions, at least 2.
        dl, ds_idx: what to predict, as in `Learner.get_preds`.

    Returns:
        `(mean, std, targs)`, in the shapes of `learn.get_preds`; predictions are activated (probabilities).
    """
    check_arguments("mc_dropout_preds", n=(n, is_whole(n, 2), "at least 2 predictions are needed for a standard deviation"))
    passes = [learn.get_preds(ds_idx, dl, cbs=MCDropoutCallback()) for _ in range(n)]
    std, mean = torch.std_mean(torch.stack([preds for preds, _ in passes]), dim=0)
    return mean, std, passes[0][1]


# -- memory format ------------------------------------------------------------------------------------------------------------------
def set_memory_format(model: nn.Module, memory_format: torch.memory_format) -> None:
    "Bring the 4-d weights and buffers of `model` (convolutions) into `memory_format`; values and parameters stay what they are."
    for t in (*model.parameters(), *model.buffers()):
        if t.ndim == 4:
            t.data = t.data.contiguous(memory_format=memory_format)


class ChannelsLast(Callback):
    """Run images and convolutions in the memory format (B,H,W,C), in which tensor cores are fastest; results are the same.

    During each fit, validation or prediction; afterwards the weights have torch's usual format again. Pays off with mixed precision.
    """

    order = Order.SETUP

    def before_fit(self) -> None:
        self._set(torch.channels_last)

    before_validate = before_fit

    def _set(self, memory_format):
        set_memory_format(self.learn.model, memory_format)
        if self.learn.opt is not None:
            lay_out_state(self.learn.opt)

    def before_batch(self) -> None:
        def channels_last(x: Any) -> Any:
            is_image = isinstance(x, torch.Tensor) and x.ndim == 4 and x.is_floating_point()
            return x.contiguous(memory_format=torch.channels_last) if is_image else x

        self.learn.xb, self.learn.kw = map_nested(channels_last, (self.learn.xb, self.learn.kw))

    def cleanup_fit(self) -> None:
        self._set(torch.contiguous_format)


# -- losses that are not finite -------------------------------------------------------------------------------------------------------
N_NAMES = 8      # names in the message; the error has all of them


def bad_rows(nest: Any, n: int) -> list[int]:
    "The row numbers of a batch of `n` items at which any tensor of `nest` holds NaN or infinite values."
    bad = torch.zeros(n, dtype=torch.bool)
    for t in leaves(nest):
        if isinstance(t, torch.Tensor) and t.ndim and len(t) == n and t.is_floating_point():
            bad |= not_finite(t.detach()).reshape(n, -1).any(1).cpu()
    return bad.nonzero().flatten().tolist()


class TerminateOnNaNCallback(TrainingCallback):
    """Raise `NonFiniteLoss` at the first training loss that is NaN or infinite, before it reaches the weights.

    The message names the items of the batch and where the problem arose: weights, inputs, targets, predictions or only the loss. The
    error has the names of all items in `items` (None if the loader does not know them) and of those at fault in `culprits`. This costs
    one wait for the device per batch. Without this callback the recorder checks every 256 batches and at the end of each epoch.
    """

    order = Order.DISPLAY                # the loss as the backward pass would see it
    name = "terminate_on_nan"

    def before_backward(self) -> None:
        learn = self.learn
        if torch.isfinite(learn.loss.detach()).all():
            return
        names = getattr(learn.dl, "names_of_batch", lambda: None)()
        names = names and (names if learn.share is None else names[learn.share.held])
        n = next((len(t) for t in leaves((learn.xb, learn.kw, learn.yb)) if isinstance(t, torch.Tensor) and t.ndim), 0)
        reason, rows = self._reason(n)
        culprits = [names[i] for i in rows] if names and len(names) > max(rows, default=0) else []
        where = "its items are not known here: a loader of minifast, `DataLoader(dataset, bs=...)`, would name them"
        if names:
            shown = culprits or names
            which = (f"the item{'s' * (len(shown) > 1)} at fault" if culprits else f"the {plural(len(names), 'item')} of this batch")
            where = f"{which}: {'; '.join(shown[:N_NAMES])}" + (f"; and {len(shown) - N_NAMES} more" if len(shown) > N_NAMES else "")
        error = NonFiniteLoss(f"the training loss is {float(learn.loss.detach().float().mean())} at batch {learn.iter} of epoch "
                              f"{learn.epoch}: {reason} ({where})")
        error.items, error.culprits = names, culprits
        try:
            raise error
        finally:
            del error               # else it would hold itself, by its traceback, and with that the learner

    def _reason(self, n: int) -> tuple[str, list[int]]:
        "The first thing that is not finite, in the order of the computation, and the rows of the batch concerned."
        learn = self.learn
        lr = float(learn.opt.param_groups[-1]["lr"])
        if broken := [name for name, p in learn.model.named_parameters() if not torch.isfinite(p.detach()).all()]:
            return (f"{plural(len(broken), 'parameter')} of the model ({', '.join(broken[:3])}) {'was' if len(broken) == 1 else 'were'} "
                    "not finite before this batch, so an earlier step broke the weights. Train again from fresh weights with a lower "
                    f"learning rate (lr was {lr:.2g}; `learn.lr_find()` suggests one), or clip the gradients"), []
        kept = "The weights are still those from before this batch"
        for what, nest in (("inputs", (learn.xb, learn.kw)), ("targets", learn.yb)):
            if rows := bad_rows(nest, n):
                return (f"the {what} of {plural(len(rows), 'item')} hold NaN or infinite values. {kept}: repair these items or leave them "
                        "out"), rows
        if rows := bad_rows(learn.pred, n):
            return (f"inputs and weights are finite, but the model's output for {plural(len(rows), 'item')} is not: a division by 0, the "
                    f"log of 0 or an overflow inside the model. {kept}"), rows
        return (f"inputs, targets, weights and predictions are finite, so it arises in the loss: the log of 0, a division by 0, or values "
                f"too large for its precision. {kept}"), []
