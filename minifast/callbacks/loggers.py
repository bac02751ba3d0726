"""What happens in training, kept outside of the process: the epoch table in a file and as a curve in notebooks; losses, learning rates,
metrics and images of predictions in TensorBoard or Weights & Biases while training runs."""
import csv
import io
import json
import math
from importlib.util import find_spec
from typing import Any, Literal
from warnings import warn

import torch

from ..core import DataFrame, Figure, PathLike, check_arguments, check_choice, fixed_seed, in_notebook, is_whole
from ..core.csv_cells import from_cell, to_cell
from ..core.paths import Path
from ..core.ranks import alone, is_main, shared
from ..nn.model_info import eval_mode
from ..optim.groups import get_hyper, hyper_names
from .base import Callback, Order
from .dynamics import BatchSource, FixedBatch, fixed_batch, prediction_figure
from .recorder import FLUSH_EVERY
from .training_run import RunCallback, TrainingRun, check_folder

_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class FileLogger(RunCallback):
    """Base of the loggers that append one row per epoch to a file.

    A row has the columns `run` (an id of this training, shared by the phases of `fine_tune`), `started`, `fit` (which fit of this
    learner), those of the epoch table, and `lr` (of the last layer group, at the end of the epoch). Rows are only ever added: by later
    fits, by other learners and processes; `validate` and `lr_find` leave none.

    Args:
        fname: file, under `learn.path`.
        append: False: the first fit of this callback starts the file anew.

    Attributes:
        file: where it writes.
    """

    only_watches = True
    order = Order.RECORD + 1
    file: Path | None = None
    _resumed = False

    def __init__(self, fname: PathLike = "history.log", append: bool = True):
        self.fname, self.append, self._emptied = Path(fname).expanduser(), append, append

    def start_fit(self, is_new: bool) -> None:
        self.check_recorder()
        self.columns = ["run", "started", "fit", *self.learn.recorder.metric_names, "lr"]
        wanted = self.learn.path / self.fname
        check_folder(wanted.parent, type(self).__name__)
        if wanted.is_dir():
            raise IsADirectoryError(f"{type(self).__name__}(fname={str(self.fname)!r}): {wanted.resolve()} is a folder; give a file name")
        self.file = shared(self.choose_file(wanted) if is_main() else None)
        if self.file.exists() and is_main():
            self.file.open("ab").close()            # a file that is read-only fails now, not after the first epoch

    def after_epoch(self) -> None:
        recorder = self.learn.recorder
        resumed, self._resumed = self._resumed, False
        if not is_main() or (resumed and self._is_written()):
            return
        cells = [*self.training_run, len(recorder.fits) - 1, *recorder.log, float(self.learn.opt.param_groups[-1]["lr"])]
        if not self._emptied:
            self.file.unlink(missing_ok=True)
            self._emptied = True
        before = self.file.read_bytes()[-1:] if self.file.exists() else b""
        text = ("\n" if before not in (b"", b"\n") else "") + self.text_of(cells, not before)
        with self.file.open("a", encoding="utf-8", newline="") as f:       # opened and closed each time: a crash keeps what is there
            f.write(text)

    def _is_written(self):
        "Whether the row of this epoch is there: the process was killed after the row, and before the next epoch began."
        if not self.file.exists():
            return False
        rows, recorder = self.read(), self.learn.recorder
        wanted = {"run": self.training_run.id, "fit": len(recorder.fits) - 1, "epoch": recorder.log[0]}
        return {*wanted} <= {*rows} and bool((rows[list(wanted)] == list(wanted.values())).all(axis=1).any())

    def state_dict(self) -> dict:
        "The id under which rows are written, for a training that continues in another process."
        return {"run": list(self.training_run or ())}

    def load_state_dict(self, state: dict) -> None:
        self.training_run, self._resumed = TrainingRun(*state["run"]) if state["run"] else None, True

    def choose_file(self, wanted: Path) -> Path:
        "The file to write to when `wanted` was asked for."
        return wanted

    def text_of(self, cells: list, is_new: bool) -> str:
        "The text to append for one row. is_new: the file is empty so far."
        values = [repr(c) if isinstance(c, float) and not math.isfinite(c) else c for c in cells]
        return json.dumps(dict(zip(self.columns, values, strict=True))) + "\n"

    def written_file(self) -> Path:
        "The file, which must exist."
        file = self.file or (self.fname if self.learn is None else self.learn.path / self.fname)
        if not file.exists():
            raise FileNotFoundError(f"{type(self).__name__} has written nothing to {file} yet: train first")
        return file


class JSONLogger(FileLogger):
    """Append one JSON object per epoch to a file (JSON lines). NaN and infinite values, which JSON lacks, become 'nan', 'inf' and '-inf'.

    Args:
        fname, append: see `FileLogger`, also for what a row holds.
    """

    name = "json_logger"

    def __init__(self, fname: PathLike = "history.jsonl", append: bool = True):
        super().__init__(fname, append)

    def read(self) -> "DataFrame":
        "All rows of the file as a DataFrame, including those of earlier runs."
        import pandas as pd
        rows = [json.loads(line) for line in self.written_file().read_text(encoding="utf-8").splitlines() if line.strip()]
        return pd.DataFrame([{k: v if k in ("run", "started", "time") else _NOT_FINITE.get(v, v) for k, v in row.items()} for row in rows])


class CSVLogger(FileLogger):
    """Append one row per epoch to a CSV file.

    If an existing file has other columns (other metrics, another program), it stays as it is, and the rows go to `history_1.csv`
    beside it, with a warning.

    Args:
        fname, append: see `FileLogger`, also for what a row holds.
    """

    name = "csv_logger"

    def __init__(self, fname: PathLike = "history.csv", append: bool = True):
        super().__init__(fname, append)

    def choose_file(self, wanted: Path) -> Path:
        file, n = wanted, 0
        while self._emptied and file.exists() and file.stat().st_size and self._header(file) != self.columns:
            n += 1
            file = wanted.with_name(f"{wanted.stem}_{n}{wanted.suffix}")
        if n and file != self.file:
            warn(f"{wanted} has other columns than this training, so it stays as it is and CSVLogger writes to {file.name}", stacklevel=2)
        return file

    @staticmethod
    def _header(file: Path) -> list[str] | None:
        with file.open(encoding="utf-8", errors="replace", newline="") as f:
            return next((list(map(from_cell, row)) for row in csv.reader(f)), None)

    def text_of(self, cells: list, is_new: bool) -> str:
        text = io.StringIO()
        rows = ([self.columns] if is_new else []) + [["" if c is None else c for c in cells]]
        csv.writer(text, lineterminator="\n").writerows([map(to_cell, row) for row in rows])
        return text.getvalue()

    def read(self) -> "DataFrame":
        "All rows of the file as a DataFrame, including those of earlier runs."
        import pandas as pd
        return pd.read_csv(self.written_file(), dtype={"run": str}).rename(columns=from_cell)

    read_log = read        #: fastai's name


class ShowGraphCallback(RunCallback):
    "In a notebook, draw training and validation loss below the epoch table and update the plot after each epoch; elsewhere do nothing."

    only_watches = True
    order = Order.DISPLAY

    def start_fit(self, is_new: bool) -> None:
        self._handle: Any = None
        if not is_main() or not in_notebook() or self.learn.recorder is None or self.learn.logging_off:
            self.run = False                        # until the end of this fit

    def after_epoch(self) -> None:
        import matplotlib.pyplot as plt
        from IPython.display import display
        recorder = self.learn.recorder
        if not recorder.losses:
            return
        figure, ax = plt.subplots(figsize=(6, 4))
        try:
            recorder.plot_loss(skip_start=0, ax=ax)
            if self._handle is None:
                self._handle = display(figure, display_id=True)
            else:
                self._handle.update(figure)
        finally:
            plt.close(figure)                       # otherwise the notebook shows it once more at the end of the cell


class LiveLogger(RunCallback):
    """Base of the callbacks that send what happens to a tracker: override `open`, `write_scalars`, `write_figure` and `close`.

    Everything is sent against the number of training batches done in this training (over both phases of `fine_tune`): `batch/loss`,
    `hyper/lr` and `hyper/mom` (with several layer groups `hyper/lr_0` ...), `batch/valid_loss`, and `epoch/...` for every column of the
    epoch table. Losses are read from the device in blocks, not at each batch. Of several ranks the first sends.

    Args:
        log_every: batches between two losses.
        n_preds: number of items in the image of predictions, always the same validation items.
        log_preds: whether to send that image after each epoch.
        valid_every: batches between two losses of a random validation batch; 0: none.
    """

    only_watches = True
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

    def write_epoch(self, values: dict[str, float]) -> None:
        "Send the numbers of an epoch, by the columns of the epoch table."
        self.write_scalars({f"epoch/{name}": value for name, value in values.items()}, self.step)

    def write_figure(self, name: str, figure: "Figure", step: int) -> None:
        "Send a matplotlib figure."

    def close(self) -> None:
        "The fit is over, or was interrupted."

    # -- events -----------------------------------------------------------------------------------------------------------------
    def start_fit(self, is_new: bool) -> None:
        self.check_recorder()
        if self.valid_every and len(self.learn.dls) < 2:
            raise ValueError(f"{type(self).__name__}(valid_every={self.valid_every}): this learner has no validation data")
        if is_new:
            self.step = self.learn.start_epoch * len(self.learn.dls.train)
        self._hypers = [h for h in ("lr", "mom") if h in hyper_names(self.learn.opt)]
        self._pending = []
        self._random = BatchSource(self.learn.dls.valid) if self.valid_every else None
        self._shown = fixed_batch(self.learn, n=self.n_preds) if self.log_preds else None
        if is_main():
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
        if is_main():
            self.write_epoch({k: float(v) for k, v in row.items() if k not in ("epoch", "time") and v is not None})
        if self.log_preds:
            with prediction_figure(self.learn, self._shown, self.n_preds) as figure:
                if figure is not None and is_main():
                    self.write_figure("predictions", figure, self.step)

    def cleanup_fit(self) -> None:
        if self.active:                             # not after another pass, such as `validate`
            self.flush()
            if is_main():
                self.close()
        super().cleanup_fit()

    # -- the work ---------------------------------------------------------------------------------------------------------------
    def flush(self) -> None:
        "Send what is pending: the one moment when losses are read from the device."
        pending, self._pending = self._pending, []
        if not is_main():
            return
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
        with fixed_seed(), alone():
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
        self.log_dir, self.trace_model, self._traced = Path(log_dir).expanduser(), trace_model, not trace_model

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
        if self._traced or not is_main():
            return
        self._traced = True
        try:
            with fixed_seed(), eval_mode(self.learn.model), self.learn.forward_context():
                self.writer.add_graph(self.learn.model, self.learn.xb)
        except Exception as e:                      # whatever a model does that cannot be traced; training continues
            warn(f"TensorBoardCallback(trace_model=True): this model cannot be traced ({type(e).__name__}: {e})", stacklevel=2)


class WandbCallback(LiveLogger):
    """Log to the open run of Weights & Biases; if there is none, open one.

    The numbers of an epoch are sent by the names of fastai's callback as well: `epoch`, `train_loss`, `valid_loss`, `accuracy`.

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

    def write_epoch(self, values: dict[str, float]) -> None:
        "Send them by the names of the columns too, as fastai does: sweeps and dashboards ask for 'accuracy'."
        super().write_epoch(values)
        self.wandb_run.log({"epoch": self.learn.epoch + 1, **values, "batch": self.step})

    def write_figure(self, name: str, figure: "Figure", step: int) -> None:
        import wandb
        self.wandb_run.log({name: wandb.Image(figure), "batch": step})

    def finish(self) -> None:
        "Close the run now, if this callback opened it."
        import wandb
        if self.wandb_run is not None and self.wandb_run is WandbCallback._opened_here and wandb.run is self.wandb_run:
            wandb.finish()
        self.wandb_run = None
