"""`LiveLogger`: what TensorBoard, Weights & Biases and others are shown while training runs."""
import torch

from ..core.seeds import fixed_seed
from ..optim.hypers import get_hyper, hyper_names
from .base import Callback, Order
from .fixed_batch import BatchSource, FixedBatch, fixed_batch, prediction_figure
from .recorder import FLUSH_EVERY
from .training_run import RunCallback


class LiveLogger(RunCallback):
    """Base of the callbacks that send what happens to a tracker: override `open`, `write_scalars`, `write_figure` and `close`.

    Sends, against the number of training batches done in this training (over both phases of `fine_tune`): `batch/loss`, `hyper/lr` and
    `hyper/mom` (with several layer groups `hyper/lr_0` ...) every `log_every` batches; `batch/valid_loss`, the loss of a random
    validation batch, every `valid_every` batches (0: never); `epoch/...`, every column of the epoch table; and with `log_preds` a picture
    of `n_preds` predictions per epoch, always of the same validation items. Losses are read from the device in blocks, not at each batch.
    """

    order = Order.RECORD + 2
    run_valid = False

    def __init__(self, log_every=1, n_preds=9, log_preds=True, valid_every=0):
        whole = {"log_every": (log_every, 1), "n_preds": (n_preds, 1), "valid_every": (valid_every, 0)}
        wrong = [f"{name}={value!r} (a whole number from {least} up)" for name, (value, least) in whole.items()
                 if isinstance(value, bool) or not isinstance(value, int) or value < least]
        if wrong:
            raise ValueError(f"{type(self).__name__}: {', '.join(wrong)}")
        self.log_every, self.n_preds, self.log_preds, self.valid_every = log_every, n_preds, log_preds, valid_every
        self.step, self._pending = 0, []

    # -- to override ------------------------------------------------------------------------------------------------------------
    def open(self, is_new):
        "A fit begins. is_new: it starts a training run; otherwise it continues the previous one."

    def write_scalars(self, values, step):
        "Send numbers by name."

    def write_figure(self, name, figure, step):
        "Send a matplotlib figure."

    def close(self):
        "The fit is over, or was interrupted."

    # -- events -----------------------------------------------------------------------------------------------------------------
    def begin_fit(self, is_new):
        self.check_recorder()
        if is_new:
            self.step = self.learn.start_epoch * len(self.learn.dls.train)
        self._hypers = [h for h in ("lr", "mom") if h in hyper_names(self.learn.opt)]
        self._pending, self._random, self._shown_batch = [], None, None
        if self.valid_every and len(self.learn.dls) < 2:
            raise ValueError(f"{type(self).__name__}(valid_every={self.valid_every}): this learner has no validation data")
        self.open(is_new)

    def after_batch(self) -> None:
        self.step += 1
        loss = self.learn.loss
        if self.step % self.log_every == 0 and loss is not None:
            self._pending.append((self.step, "batch/loss", loss.item() if loss.is_cpu else loss.detach(), self._hyper_values()))
        if self.valid_every and self.step % self.valid_every == 0:
            self._pending.append((self.step, "batch/valid_loss", self._random_valid_loss(), {}))
        if len(self._pending) >= FLUSH_EVERY:
            self.flush()

    def after_train(self) -> None:
        self.flush()

    def after_epoch(self) -> None:
        recorder = self.learn.recorder
        row = dict(zip(recorder.metric_names, recorder.log, strict=True))
        values = {f"epoch/{k}": float(v) for k, v in row.items() if k not in ("epoch", "time") and v is not None}
        self.write_scalars(values, self.step)
        if self.log_preds:
            self._log_predictions()

    def cleanup_fit(self) -> None:
        if self.active:                             # not after another pass, such as `validate`
            self.flush()
            self._random, self._shown_batch = None, None
            self.close()
        super().cleanup_fit()

    def state_dict(self) -> dict:
        "How many batches were done, for a training that goes on in another process."
        return {"step": self.step}

    def load_state_dict(self, state: dict) -> None:
        self.step = state["step"]

    # -- the work ---------------------------------------------------------------------------------------------------------------
    def flush(self):
        "Send what waits: the one moment when losses are read from the device."
        pending, self._pending = self._pending, []
        waiting = [p[2] for p in pending if isinstance(p[2], torch.Tensor)]
        numbers = iter(torch.stack([t.float() for t in waiting]).tolist() if waiting else [])
        for step, name, loss, hypers in pending:
            self.write_scalars({name: next(numbers) if isinstance(loss, torch.Tensor) else loss, **hypers}, step)

    def _hyper_values(self):
        found = {}
        for name in self._hypers:
            values = [float(v) for v in get_hyper(self.learn.opt, name)]
            found |= {f"hyper/{name}": values[0]} if len(values) == 1 else {f"hyper/{name}_{i}": v for i, v in enumerate(values)}
        return found

    def _random_valid_loss(self):
        "The loss of a random validation batch, in the middle of a training epoch, which notices nothing of it."
        self._random = self._random or BatchSource(self.learn.dls.valid)
        batch, found = FixedBatch(self._random.draw(), self._random.loader), []
        catch = Callback(after_batch=lambda cb: found.append(cb.learn.loss))
        with fixed_seed():
            self.learn.get_preds(dl=batch, reorder=False, with_preds=False, with_targs=False, cbs=catch)
        return found[0].item() if found[0].is_cpu else found[0].detach()

    def _log_predictions(self):
        self._shown_batch = self._shown_batch or fixed_batch(self.learn, n=self.n_preds)
        figure = prediction_figure(self.learn, self._shown_batch, self.n_preds)
        if figure is not None:
            import matplotlib.pyplot as plt
            try:
                self.write_figure("predictions", figure, self.step)
            finally:
                plt.close(figure)
