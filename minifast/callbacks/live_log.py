"""Send losses, learning rates, metrics and pictures of predictions to TensorBoard or Weights & Biases while training runs."""
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from warnings import warn

import torch

from ..core.arguments import check_arguments, check_choice, is_whole
from ..core.seeds import fixed_seed
from ..core.types import PathLike
from ..nn.model_info import eval_mode
from ..optim.groups import get_hyper, hyper_names
from .base import Callback, Order
from .dynamics import BatchSource, FixedBatch, fixed_batch, prediction_figure
from .recorder import FLUSH_EVERY
from .training_run import RunCallback, check_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class LiveLogger(RunCallback):
    """Base of the callbacks that send what happens to a tracker: override `open`, `write_scalars`, `write_figure` and `close`.

    Everything is sent against the number of training batches done in this training (over both phases of `fine_tune`): `batch/loss`,
    `hyper/lr` and `hyper/mom` (with several layer groups `hyper/lr_0` ...), `batch/valid_loss`, and `epoch/...` for every column of the
    epoch table. Losses are read from the device in blocks, not at each batch.

    Args:
        log_every: batches between two losses.
        n_preds: number of items of the picture of predictions, always the same validation items.
        log_preds: whether to send that picture after each epoch.
        valid_every: batches between two losses of a random validation batch; 0: none.
    """

    order: int = Order.RECORD + 2
    run_valid = False
    saved = ("step",)

    def __init__(self, log_every: int = 1, n_preds: int = 9, log_preds: bool = True, valid_every: int = 0):
        check_arguments(type(self).__name__, log_every=(log_every, is_whole(log_every), "a whole number from 1 up"),
                        n_preds=(n_preds, is_whole(n_preds), "a whole number from 1 up"),
                        valid_every=(valid_every, is_whole(valid_every, 0), "a whole number from 0 up"))
        self.log_every, self.n_preds, self.log_preds, self.valid_every = log_every, n_preds, log_preds, valid_every
        self.step = 0
        self._pending: list[tuple] = []

    # -- to override ------------------------------------------------------------------------------------------------------------
    def open(self, is_new: bool) -> None:
        "A fit begins. is_new: it starts a training run; otherwise it continues the previous one."

    def write_scalars(self, values: dict[str, float], step: int) -> None:
        "Send numbers by name."

    def write_figure(self, name: str, figure: "Figure", step: int) -> None:
        "Send a matplotlib figure."

    def close(self) -> None:
        "The fit is over, or was interrupted."

    # -- events -----------------------------------------------------------------------------------------------------------------
    def begin_fit(self, is_new: bool) -> None:
        self.check_recorder()
        if self.valid_every and len(self.learn.dls) < 2:
            raise ValueError(f"{type(self).__name__}(valid_every={self.valid_every}): this learner has no validation data")
        if is_new:
            self.step = self.learn.start_epoch * len(self.learn.dls.train)
        self._hypers = [h for h in ("lr", "mom") if h in hyper_names(self.learn.opt)]
        self._pending = []
        self._random = BatchSource(self.learn.dls.valid) if self.valid_every else None
        self._shown = fixed_batch(self.learn, n=self.n_preds) if self.log_preds else None
        self.open(is_new)

    def after_batch(self) -> None:
        self.step += 1
        loss = self.learn.loss
        if self.step % self.log_every == 0 and loss is not None:
            self._pending.append((self.step, "batch/loss", loss.detach(), self._hyper_values()))
        if self.valid_every and self.step % self.valid_every == 0:
            self._pending.append((self.step, "batch/valid_loss", self._random_valid_loss(), {}))
        if len(self._pending) >= FLUSH_EVERY:
            self.flush()

    def after_epoch(self) -> None:
        row = dict(zip(self.learn.recorder.metric_names, self.learn.recorder.log, strict=True))
        self.write_scalars({f"epoch/{k}": float(v) for k, v in row.items() if k not in ("epoch", "time") and v is not None}, self.step)
        if self.log_preds:
            with prediction_figure(self.learn, self._shown, self.n_preds) as figure:
                if figure is not None:
                    self.write_figure("predictions", figure, self.step)

    def cleanup_fit(self) -> None:
        if self.active:                             # not after another pass, such as `validate`
            self.flush()
            self.close()
        super().cleanup_fit()

    # -- the work ---------------------------------------------------------------------------------------------------------------
    def flush(self) -> None:
        "Send what is pending: the one moment when losses are read from the device."
        pending, self._pending = self._pending, []
        losses = torch.stack([loss.float() for _, _, loss, _ in pending]).tolist() if pending else []
        for (step, name, _, hypers), loss in zip(pending, losses, strict=True):
            self.write_scalars({name: loss, **hypers}, step)

    after_train = flush

    def _hyper_values(self) -> dict[str, float]:
        groups = {name: get_hyper(self.learn.opt, name) for name in self._hypers}
        return {f"hyper/{name}_{i}" if len(values) > 1 else f"hyper/{name}": float(v)
                for name, values in groups.items() for i, v in enumerate(values)}

    def _random_valid_loss(self) -> torch.Tensor:
        "The loss of a random validation batch, in the middle of a training epoch, which is not disturbed."
        batch, found = FixedBatch(self._random.draw(), self._random.loader), []
        catch = Callback(after_batch=lambda cb: found.append(cb.learn.loss))
        with fixed_seed():
            self.learn.get_preds(dl=batch, reorder=False, with_preds=False, with_targs=False, cbs=catch)
        return found[0].detach()


class TensorBoardCallback(LiveLogger):
    """Write event files for TensorBoard (`tensorboard --logdir runs`), a folder per training: `log_dir/<date>_<id>` under `learn.path`.

    Needs `pip install "minifast[trackers]"`.

    Args:
        log_dir: the folder of all trainings.
        log_every, n_preds, log_preds, valid_every: see `LiveLogger`, also for what is sent.
        trace_model: also write the graph of the model.

    Attributes:
        folder: where it writes.
    """

    name = "tensorboard"
    folder: Path | None = None
    writer: Any = None

    def __init__(self, log_dir: PathLike = "runs", log_every: int = 1, n_preds: int = 9, log_preds: bool = True,
                 trace_model: bool = False, valid_every: int = 0):
        if find_spec("tensorboard") is None:
            raise ImportError('TensorBoardCallback needs tensorboard: pip install "minifast[trackers]"')
        super().__init__(log_every, n_preds, log_preds, valid_every)
        self.log_dir, self.trace_model, self._traced = Path(log_dir), trace_model, not trace_model

    def open(self, is_new: bool) -> None:
        from torch.utils.tensorboard import SummaryWriter
        if is_new:
            self.folder, self._traced = self.learn.path / self.log_dir / self.training_run.folder_name, not self.trace_model
        check_folder(self.folder, "TensorBoardCallback")
        self.writer = SummaryWriter(self.folder)

    def write_scalars(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def write_figure(self, name: str, figure: "Figure", step: int) -> None:
        self.writer.add_figure(name, figure, step, close=False)

    def close(self) -> None:
        self.writer.close()
        self.writer = None

    def after_batch(self) -> None:
        super().after_batch()
        if self._traced:
            return
        self._traced = True
        try:
            with fixed_seed(), eval_mode(self.learn.model), self.learn.forward_context():
                self.writer.add_graph(self.learn.model, self.learn.xb)
        except Exception as e:                      # whatever a model does that cannot be traced; training continues
            warn(f"TensorBoardCallback(trace_model=True): this model cannot be traced ({type(e).__name__}: {e})", stacklevel=2)


class WandbCallback(LiveLogger):
    """Log to the open run of Weights & Biases; if there is none, open one.

    A run that this callback opened is closed when the next training begins, with `finish()`, or when Python exits. Needs
    `pip install "minifast[trackers]"`.

    Args:
        project, name, config: for `wandb.init`.
        mode: for `wandb.init`; 'offline' needs neither network nor account (`wandb sync` sends the run later).
        log_every, n_preds, log_preds, valid_every: see `LiveLogger`, also for what is sent.
        dir: where wandb keeps its files; None: `learn.path`.
    """

    name = "wandb"
    _opened_here: Any = None             # the run that a WandbCallback opened last, as opposed to one that the user opened

    def __init__(self, project: str | None = None, name: str | None = None,
                 mode: Literal["online", "offline", "disabled", "shared"] | None = None, log_every: int = 1, n_preds: int = 9,
                 log_preds: bool = True, valid_every: int = 0, dir: PathLike | None = None, config: dict | None = None):
        if find_spec("wandb") is None:
            raise ImportError('WandbCallback needs wandb: pip install "minifast[trackers]"')
        check_choice("WandbCallback", "mode", mode, (None, "online", "offline", "disabled", "shared"))
        super().__init__(log_every, n_preds, log_preds, valid_every)
        self.project, self.run_name, self.mode, self.dir, self.config = project, name, mode, dir, config
        self.wandb_run: Any = None

    def open(self, is_new: bool) -> None:
        import wandb
        if wandb.run is not None and wandb.run is WandbCallback._opened_here and (is_new or wandb.run is not self.wandb_run):
            wandb.finish()
        if wandb.run is None:
            folder = check_folder(self.learn.path if self.dir is None else Path(self.dir), "WandbCallback")
            WandbCallback._opened_here = wandb.init(project=self.project, name=self.run_name, mode=self.mode, dir=str(folder))
        self.wandb_run, learn = wandb.run, self.learn
        self.wandb_run.define_metric("batch")
        self.wandb_run.define_metric("*", step_metric="batch")
        facts = {"model": type(learn.model).__name__, "loss": getattr(learn.loss_func, "__name__", type(learn.loss_func).__name__),
                 "n_epoch": learn.n_epoch, "optimizer": type(learn.opt).__name__, "bs": getattr(learn.dls, "bs", None),
                 "run": self.training_run.id, "n_parameters": sum(p.numel() for p in learn.model.parameters())}
        self.wandb_run.config.update({**facts, **(self.config or {})}, allow_val_change=True)

    def write_scalars(self, values: dict[str, float], step: int) -> None:
        self.wandb_run.log({**values, "batch": step})

    def write_figure(self, name: str, figure: "Figure", step: int) -> None:
        import wandb
        self.wandb_run.log({name: wandb.Image(figure), "batch": step})

    def finish(self) -> None:
        "Close the run now, if this callback opened it."
        import wandb
        if self.wandb_run is not None and self.wandb_run is WandbCallback._opened_here and wandb.run is self.wandb_run:
            wandb.finish()
        self.wandb_run = None
