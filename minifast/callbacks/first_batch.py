"""`FirstBatch`: check the first training batch of every fit, so that what cannot work fails before any time is spent."""
import torch

from ..core.messages import describe, plural
from ..core.nested import leaves
from ..nn.loss_traits import kind_of
from ..nn.target_checks import check_target
from .base import Order, TrainingCallback


class FirstBatch(TrainingCallback):
    """Check inputs, predictions, targets and loss of the first training batch of a fit; afterwards it costs nothing.

    Refuses NaN or infinite inputs, targets that do not fit the loss or the number of outputs, shapes that would broadcast, and a loss
    that is not a scalar or has no gradient.
    """

    order = Order.SETUP

    def before_batch(self) -> None:
        for x in leaves((self.learn.xb, self.learn.kw)):
            if isinstance(x, torch.Tensor) and x.is_floating_point() and not torch.isfinite(x).all():
                bad = int((~torch.isfinite(x)).sum())
                raise ValueError(f"the inputs of the first training batch hold {bad:,} NaN or infinite values ({describe(x)}): "
                                 "remove or fill them (`FillMissing` for tables), and check the transform that produced them")

    def after_pred(self) -> None:
        learn = self.learn
        if not learn.yb:
            raise ValueError(f"this batch has no target to train on, only {plural(len(learn.xb), 'input')}. Give the loader pairs "
                             "(input, target), or n_inp=, the number of elements that are inputs")
        if not isinstance(learn.pred, torch.Tensor):
            return
        n_classes = getattr(learn.dls, "c", None)          # too few outputs would fail only at the first item of a missing class
        by_class = (kind_of(learn.loss_func) or "").startswith("class")
        if by_class and isinstance(n_classes, int) and learn.pred.ndim > 1 and n_classes > max(learn.pred.shape[1], learn.pred.shape[-1]):
            raise ValueError(f"the model has {learn.pred.shape[1]} outputs ({describe(learn.pred)}), but the data has {n_classes} classes: "
                             "give its last layer dls.c outputs")
        check_target(learn.loss_func, learn.pred, learn.yb[0] if len(learn.yb) == 1 else learn.yb)

    def after_loss(self) -> None:
        loss = self.learn.loss
        if not isinstance(loss, torch.Tensor) or loss.ndim:
            raise ValueError(f"the loss must be one number (a 0-d tensor), but {self.learn.loss_func} returned {describe(loss)}: "
                             "use reduction='mean', or return loss.mean()")
        if not loss.requires_grad:
            raise ValueError("the loss has no gradient: every parameter is frozen (`learn.unfreeze()`), or the model or the loss "
                             "detaches its result (`.detach()`, `.item()`, argmax, `torch.no_grad`)")
        self.run = False
