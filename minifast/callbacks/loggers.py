"""The epoch table in a file that outlives the process, and as a curve in notebooks."""
import csv
import io
import json
import math
from pathlib import Path
from warnings import warn

from ..core.progress import in_notebook
from .base import Callback, Order
from .training_run import RunCallback, TrainingRun, check_folder

_NOT_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class FileLogger(RunCallback):
    """Base of the loggers that append one row per epoch to a file, `learn.path/fname`.

    A row has the columns `run` (an id of this training, shared by the phases of `fine_tune`), `started`, `fit` (which fit of this
    learner), those of the epoch table, and `lr` (of the last layer group, at the end of the epoch). Rows are only ever added: by later
    fits, by other learners and processes; `validate` and `lr_find` leave none. append=False: the first fit of this callback begins the
    file anew. `file` is where it writes.
    """

    order = Order.RECORD + 1

    def __init__(self, fname="history.log", append=True):
        self.fname, self.append = Path(fname), append
        self.file, self._emptied = None, append

    def begin_fit(self, is_new):
        self.check_recorder()
        names = self.learn.recorder.metric_names
        self.columns = ["run", "started", "fit", *names, "lr"]
        wanted = self.learn.path / self.fname
        check_folder(wanted.parent, type(self).__name__)
        if wanted.is_dir():
            raise IsADirectoryError(f"{type(self).__name__}(fname={str(self.fname)!r}): {wanted.resolve()} is a folder; give a file name")
        self.file = self.choose_file(wanted)
        if self.file.exists():
            self.file.open("ab").close()            # a file that is read-only says so now, not after the first epoch

    def after_epoch(self) -> None:
        recorder = self.learn.recorder
        cells = [*self.training_run, len(recorder.fits) - 1, *recorder.log, float(self.learn.opt.param_groups[-1]["lr"])]
        if not self._emptied:
            self.file.unlink(missing_ok=True)
            self._emptied = True
        is_new = not self.file.exists() or not self.file.stat().st_size
        text = ("" if is_new or _ends_with_newline(self.file) else "\n") + self.text_of(cells, is_new)
        with self.file.open("a", encoding="utf-8", newline="") as f:       # opened and closed each time: a crash keeps what is there
            f.write(text)

    def state_dict(self) -> dict:
        "Under which id the rows are written, for a training that goes on in another process."
        return {"run": list(self.training_run or ())}

    def load_state_dict(self, state: dict) -> None:
        self.training_run = TrainingRun(*state["run"]) if state["run"] else None

    def choose_file(self, wanted):
        "The file to write to, where `wanted` was asked for."
        return wanted

    def text_of(self, cells, is_new):
        "The text to append for one row."
        return json.dumps(dict(zip(self.columns, map(_json_value, cells), strict=True))) + "\n"

    def _existing(self):
        file = self.file or (None if self.learn is None else self.learn.path / self.fname) or self.fname
        if not file.exists():
            raise FileNotFoundError(f"{type(self).__name__} has written nothing to {file} yet: train first")
        return file


class JSONLogger(FileLogger):
    """Append one JSON object per epoch to `learn.path/fname` (JSON lines). NaN and infinite values, which JSON lacks, are the texts 'nan',
    'inf' and '-inf'. What a row holds, and append: see `FileLogger`."""

    name = "json_logger"

    def __init__(self, fname="history.jsonl", append=True):
        super().__init__(fname, append)

    def read(self):
        "All rows of the file as a DataFrame, those of earlier runs too."
        import pandas as pd
        with self._existing().open(encoding="utf-8") as f:
            rows = [json.loads(line) for line in f if line.strip()]
        return pd.DataFrame([{k: v if k in ("run", "started", "time") else _NOT_FINITE.get(v, v) for k, v in row.items()} for row in rows])


class CSVLogger(FileLogger):
    """Append one row per epoch to `learn.path/fname`. What a row holds, and append: see `FileLogger`.

    If the file that is there has other columns (other metrics, another program), it stays as it is, and the rows go to `history_1.csv`
    beside it, with a warning.
    """

    name = "csv_logger"

    def __init__(self, fname="history.csv", append=True):
        super().__init__(fname, append)

    def choose_file(self, wanted):
        if not self._emptied:
            return wanted
        file, n = wanted, 0
        while file.exists() and file.stat().st_size and _header(file) != self.columns:
            n += 1
            file = wanted.with_name(f"{wanted.stem}_{n}{wanted.suffix}")
        if n and file != self.file:
            warn(f"{wanted} has other columns than this training, so it stays as it is and CSVLogger writes to {file.name}", stacklevel=2)
        return file

    def text_of(self, cells, is_new):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if is_new:
            writer.writerow(self.columns)
        writer.writerow(["" if c is None else c for c in cells])
        return text.getvalue()

    def read(self):
        "All rows of the file as a DataFrame, those of earlier runs too."
        import pandas as pd
        return pd.read_csv(self._existing(), dtype={"run": str})

    def read_log(self):
        "fastai's name for `read`."
        return self.read()


def _header(file):
    with file.open(encoding="utf-8", errors="replace", newline="") as f:
        return next(csv.reader(f), None)


def _ends_with_newline(file):
    with file.open("rb") as f:
        f.seek(-1, io.SEEK_END)
        return f.read(1) == b"\n"


def _json_value(value):
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value


class ShowGraphCallback(Callback):
    "In a notebook, draw training and validation loss below the epoch table, anew after each epoch; elsewhere do nothing."

    order = Order.DISPLAY

    def before_fit(self) -> None:
        self._handle = None
        if not in_notebook() or self.learn.recorder is None or self.learn.logging_off or self.learn.dry_run:
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
            plt.close(figure)                       # else the notebook would show it once more at the end of the cell
