"""`GatherPreds`: collect what a pass over a loader produces."""
from ..core.nested import to_concat, to_detach
from ..nn.torch_losses import reduction_none
from .base import Callback, Order


class GatherPreds(Callback):
    """Collect predictions (after `act`), targets and, if asked, inputs and per-item losses of a validation pass, on the CPU.

    The lists `inputs, preds, targets, losses` hold one entry per batch.
    """

    order = Order.RECORD
    run_train = False

    def __init__(self, with_input=False, with_loss=False, with_preds=True, with_targs=True, act=None):
        self.with_input, self.with_loss, self.with_preds, self.with_targs, self.act = with_input, with_loss, with_preds, with_targs, act
        self.inputs, self.preds, self.targets, self.losses = [], [], [], []
        self._each = None

    def after_batch(self):
        learn = self.learn
        if self.with_preds:
            self.preds.append(to_detach(learn.pred if self.act is None else self.act(learn.pred)))
        if self.with_targs:
            self.targets.append(to_detach(_one(learn.yb)))
        if self.with_input:
            self.inputs.append(to_detach(learn.kw if learn.kw else _one(learn.xb)))
        if self.with_loss and learn.yb:
            self._each = self._each or reduction_none(learn.loss_func)
            loss = self._each(learn.pred, *learn.yb)
            self.losses.append(to_detach(loss.reshape(len(learn.yb[0]), -1).mean(1)))

    def joined(self, parts, dim=0):
        "All batches of one list as one tensor (or nest of tensors); None when there are no targets."
        parts = [p for p in parts if not (isinstance(p, tuple) and not p)]
        return to_concat(parts, dim) if parts else None


def _one(elements):
    return elements[0] if len(elements) == 1 else elements
