"""`TerminateOnNaNCallback`: stop at the first loss that is not finite, and name the items of the batch."""
from typing import Any

import torch

from ..core import leaves, plural
from .base import Order, TrainingCallback
from .recorder import NonFiniteLoss

SHOWN = 8      # names in the message; the error has all of them


def bad_rows(nest: Any, n: int) -> list[int]:
    "The row numbers of a batch of `n` items at which any tensor of `nest` holds NaN or infinite values."
    bad = torch.zeros(n, dtype=torch.bool)
    for t in leaves(nest):
        if isinstance(t, torch.Tensor) and t.ndim and len(t) == n and t.is_floating_point():
            bad |= ~torch.isfinite(t.detach()).reshape(n, -1).all(1).cpu()
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
        n = next((len(t) for t in leaves((learn.xb, learn.kw, learn.yb)) if isinstance(t, torch.Tensor) and t.ndim), 0)
        reason, rows = self._reason(n)
        culprits = [names[i] for i in rows] if names and len(names) > max(rows, default=0) else []
        where = "its items are not known here: a loader of minifast, `DataLoader(dataset, bs=...)`, would name them"
        if names:
            shown = culprits or names
            which = (f"the item{'s' * (len(shown) > 1)} at fault" if culprits else f"the {plural(len(names), 'item')} of this batch")
            where = f"{which}: {'; '.join(shown[:SHOWN])}" + (f"; and {len(shown) - SHOWN} more" if len(shown) > SHOWN else "")
        error = NonFiniteLoss(f"the training loss is {float(learn.loss.detach().float().mean())} at batch {learn.iter} of epoch "
                              f"{learn.epoch}: {reason} ({where})")
        error.items, error.culprits = names, culprits
        raise error

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
