"""Training runs: `TrainingRun` names one, and `RunCallback` is the base of callbacks whose record spans all fits of a run."""
import secrets
import tempfile
import time
import weakref
from typing import Any, NamedTuple

from ..core import PathLike, noting
from ..core.paths import Path
from ..core.ranks import is_main, shared
from .base import Callback, Learner


class TrainingRun(NamedTuple):
    """One training as the user sees it, such as both phases of a `fine_tune`.

    Attributes:
        id: short and unique.
        started: local time, `YYYY-MM-DD HH:MM:SS`.
    """

    id: str
    started: str

    @property
    def folder_name(self) -> str:
        "A folder name that sorts by time."
        return f"{self.started.replace(':', '').replace('-', '').replace(' ', '-')}_{self.id}"


def new_run() -> TrainingRun:
    "A `TrainingRun` that starts now. Its id comes from the operating system, so no seeded random stream is touched."
    return TrainingRun(secrets.token_hex(3), time.strftime("%Y-%m-%d %H:%M:%S"))


class RunCallback(Callback):
    """Base of the callbacks whose record spans a whole training run: all phases of `fine_tune`, or a fit that was interrupted and resumed.

    It sits out dry runs such as `lr_find`. Subclasses override `start_fit`.

    Attributes:
        is_history: whether its state is a record of what happened, which `learn.load` of older weights leaves alone.
        training_run: the current run; None before the first fit.
        active: whether a fit that counts is under way.
        saved: names of the attributes, plain values and tensors, with which a training continues in another process.
    """

    is_history: bool = True
    training_run: TrainingRun | None = None
    active: bool = False
    saved: tuple[str, ...] = ()
    _last_learner: "weakref.ref[Learner] | None" = None

    def before_fit(self) -> None:
        if self.learn.dry_run:
            self.run = False                        # until the end of this fit
            return
        other_learner = self._last_learner is not None and self._last_learner() is not self.learn
        is_new = self.training_run is None or other_learner or not (self.learn.continues or self.learn.start_epoch > 0)
        if is_new:
            self.training_run = shared(new_run())
        self._last_learner = weakref.ref(self.learn)
        self.start_fit(is_new)
        self.active = True

    def start_fit(self, is_new: bool) -> None:
        "A fit begins. is_new: it starts a training run; otherwise it continues the previous one."

    def cleanup_fit(self) -> None:
        self.active = False

    def state_dict(self) -> dict[str, Any]:
        "What a training needs to continue in another process."
        return {name: getattr(self, name) for name in self.saved}

    def load_state_dict(self, state: dict) -> None:
        """Continue from `state_dict`.

        Args:
            state: what it returned.
        """
        for name in self.saved:
            setattr(self, name, state[name])

    def check_recorder(self) -> None:
        "Raise `ValueError` if the learner has no `Recorder`, whose epoch table this callback reads."
        if self.learn.recorder is None:
            raise ValueError(f"{type(self).__name__} reads the epoch table from the Recorder, and this learner has none: create it with "
                             "default_cbs=True, or `learn.add_cb(Recorder())`")


def check_folder(folder: PathLike, who: str) -> Path:
    "Create `folder` if it does not exist; where it cannot be written to, raise `OSError` that says what to do. Of several ranks the first."
    folder = Path(folder).expanduser()
    if not is_main():
        return folder
    with noting(f"{who} cannot write to {folder.resolve()}: give it, or the learner (`learn.path = Path('...')`), a writable folder",
                OSError):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    return folder
