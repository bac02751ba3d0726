"""`ProgressCallback`: bars and the epoch table."""
from ..core import PlainDisplay, choose_display
from .base import Callback, Order
from .overfitting import sentence


class ProgressCallback(Callback):
    """Show progress: bars and a table in Jupyter, a bar in a terminal, one plain line per epoch anywhere else.

    The display is chosen when a fit starts. The loss is read from the device only when the bar is redrawn, a few times a second.

    Args:
        overfitting: whether to say in one line, at the end of a fit, that its validation loss has risen while its training loss fell
            (`learn.progress.overfitting = False` turns it off; `learn.recorder.overfitting()` gives the numbers).
    """

    only_watches = True
    order = Order.DISPLAY
    display: PlainDisplay | None = None

    def __init__(self, overfitting: bool = True):
        self.overfitting = overfitting
        self._open_bars = []                      # that of the current pass is last: a callback may run `get_preds` within an epoch

    def before_fit(self) -> None:
        self.display = choose_display()
        quiet = self.learn.logging_off or self.learn.recorder is None
        self.display.start(self.learn.n_epoch, [] if quiet else self.learn.recorder.metric_names)
        self._saved_logger = self.learn.logger
        if not self.learn.logging_off:
            self.learn.logger = self.display.write_row

    def before_train(self) -> None:
        self._open("train")

    def before_validate(self) -> None:
        self._open("valid")

    def after_batch(self) -> None:
        if self._open_bars:                       # none if this callback was added in the middle of an epoch
            self._open_bars[-1](self.learn.iter + 1)

    def after_train(self) -> None:
        if self._open_bars:
            self._open_bars.pop()
            self.display.close_bar()

    after_validate = after_train

    def cleanup_fit(self) -> None:
        while self._open_bars:
            self.after_train()
        if "_saved_logger" in vars(self):
            self.learn.logger = vars(self).pop("_saved_logger")
            learn = self.learn
            if self.overfitting and not learn.logging_off and learn.recorder is not None and (found := learn.recorder.overfitting()):
                self.display.note(sentence(found, learn.cbs))
            self.display.finish()
        self.display = None

    def _open(self, half: str) -> None:
        self.display = self.display or choose_display()             # none yet: validate or get_preds, outside a fit
        self._open_bars.append(self.display.open_bar(half, self.learn.epoch, self.learn.n_iter, self._comment))

    def _comment(self) -> str:
        smooth = self.learn.recorder.smooth_loss if self.learn.recorder is not None and self.learn.training else None
        return "" if smooth is None else f"{smooth:.4f}"
