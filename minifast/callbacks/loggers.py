"""The epoch table in a file that outlives the process, and as a curve in notebooks."""
import csv
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import warn

from ..core.progress import in_notebook
from ..core.types import PathLike
from .base import Order
from .training_run import RunCallback, TrainingRun, check_folder

if TYPE_CHECKING:
    import pandas as pd

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

    order = Order.RECORD + 1
    file: Path | None = None

    def __init__(self, fname: PathLike = "history.log", append: bool = True):
        self.fname, self.append, self._emptied = Path(fname), append, append

    def begin_fit(self, is_new: bool) -> None:
        self.check_recorder()
        self.columns = ["run", "started", "fit", *self.learn.recorder.metric_names, "lr"]
        wanted = self.learn.path / self.fname
        check_folder(wanted.parent, type(self).__name__)
        if wanted.is_dir():
            raise IsADirectoryError(f"{type(self).__name__}(fname={str(self.fname)!r}): {wanted.resolve()} is a folder; give a file name")
        self.file = self.choose_file(wanted)
        if self.file.exists():
            self.file.open("ab").close()            # a file that is read-only fails now, not after the first epoch

    def after_epoch(self) -> None:
        recorder = self.learn.recorder
        cells = [*self.training_run, len(recorder.fits) - 1, *recorder.log, float(self.learn.opt.param_groups[-1]["lr"])]
        if not self._emptied:
            self.file.unlink(missing_ok=True)
            self._emptied = True
        before = self.file.read_bytes()[-1:] if self.file.exists() else b""
        text = ("\n" if before not in (b"", b"\n") else "") + self.text_of(cells, not before)
        with self.file.open("a", encoding="utf-8", newline="") as f:       # opened and closed each time: a crash keeps what is there
            f.write(text)

    def state_dict(self) -> dict:
        "The id under which rows are written, for a training that continues in another process."
        return {"run": list(self.training_run or ())}

    def load_state_dict(self, state: dict) -> None:
        self.training_run = TrainingRun(*state["run"]) if state["run"] else None

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

    def read(self) -> "pd.DataFrame":
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
            return next(csv.reader(f), None)

    def text_of(self, cells: list, is_new: bool) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(([self.columns] if is_new else []) + [["" if c is None else c for c in cells]])
        return text.getvalue()

    def read(self) -> "pd.DataFrame":
        "All rows of the file as a DataFrame, including those of earlier runs."
        import pandas as pd
        return pd.read_csv(self.written_file(), dtype={"run": str})

    read_log = read        #: fastai's name


class ShowGraphCallback(RunCallback):
    "In a notebook, draw training and validation loss below the epoch table and update the plot after each epoch; elsewhere do nothing."

    order = Order.DISPLAY

    def begin_fit(self, is_new: bool) -> None:
        self._handle: Any = None
        if not in_notebook() or self.learn.recorder is None or self.learn.logging_off:
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
