"""Training runs: `TrainingRun` names one, and `RunCallback` is the base of callbacks whose record spans all fits of a run. What a fit was
told, as far as it must be the same where the fit is continued, and how two of them differ: `Resume` compares them."""
import re
import secrets
import tempfile
import time
import weakref
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..core import PathLike, describe, noting
from ..core.messages import shortened
from ..core.paths import Path
from ..core.ranks import is_main, shared
from .base import Callback, Learner, numbered


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


#: Parts of a run's record that must be the same.
COMPARED = ("seed", "model", "loss", "optimizer", "data")


def settings_of_fit(learn: "Learner", record: dict[str, Any]) -> dict[str, Any]:
    """Those parts of a run's record that must be the same where a fit of `learn` is continued.

    Of the callbacks, the package's that change training: of functions and classes of the user's own nothing is known.
    """
    trained_by = [name for name, cb in zip(numbered(type(cb).__name__ for cb in learn.cbs), learn.cbs, strict=True)
                  if _is_ours(cb) and type(cb) is not Callback and not cb.only_watches]
    settings = {name: record[name] for name in COMPARED}
    seed = record["seed"]                           # where nobody chose one, torch begins each process with another one of 64 bits
    return {**settings, "seed": seed if seed < 2**32 else None, "callbacks": {name: record["callbacks"][name] for name in trained_by}}


def _is_ours(cb):
    return type(cb).__module__.startswith(f"{__package__.split('.')[0]}.")


def stateless(cbs: Iterable[Callback]) -> list[Callback]:
    "The callbacks of the user's own that have no `state_dict`."
    return [cb for cb in cbs if not _is_ours(cb) and not hasattr(type(cb), "state_dict")]


def kept_by(cb: Callback) -> dict[str, Any]:
    "What can be told of the attributes of `cb` without a copy: numbers and text, and how many entries others have."
    def brief(v):
        return v if v is None or isinstance(v, (bool, int, float, str)) else len(v) if isinstance(v, (list, dict, set)) else describe(v)

    return {k: brief(v) for k, v in vars(cb).items() if not k.startswith("_") and k != "learn"}


def differences(there: Any, here: Any, where: str = "") -> list[str]:
    "What differs between two settings of nested dicts, as `name=value there, value here`; of digests, that they are not the same."
    if isinstance(there, dict) and isinstance(here, dict):
        return [found for name in {**there, **here} for found in
                differences(there.get(name, _NOTHING), here.get(name, _NOTHING), f"{where}.{name}" if where else str(name))]
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here) and any(isinstance(o, dict) for o in there):
        found = [d for i, pair in enumerate(zip(there, here, strict=True)) for d in differences(*pair, f"{where}[{i}]")]
        return list(dict.fromkeys(re.sub(r"\[\d+\]", "", d) for d in found))
    if there == here or (where.endswith("_digest") and None in (there, here)):             # what cannot be told is no difference
        return []
    if all(isinstance(o, str) and re.fullmatch("[0-9a-f]{16}", o) for o in (there, here)):
        return [f"{where.removesuffix('_digest')} not the same"]
    return [f"{where}={_brief(there)} there, {_brief(here)} here"]


def with_advice(found: list[str]) -> list[str]:
    "`found`; where both sets of items are others, with what to do if a split without a seed is why."
    both = all(f"data.{name}.items not the same" in found for name in ("train", "valid"))
    return [*found, "a split that is drawn anew each time needs a seed, such as torch.manual_seed(0) before it"] if both else found


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


_NOTHING = _Nothing()


def _brief(x):
    if isinstance(x, dict):
        return shortened(", ".join(f"{k}={v}" for k, v in x.items()) or "without arguments", 60)
    return shortened(repr(x), 60)
