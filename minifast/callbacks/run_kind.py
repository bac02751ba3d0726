"""Where a fit belongs: what callbacks that remember something from fit to fit ask before they begin."""
import secrets
import tempfile
import time
import weakref
from pathlib import Path
from typing import NamedTuple

from ..core.messages import add_note
from .lr_finder import LRFinder


class TrainingRun(NamedTuple):
    "One training as the user sees it, such as both phases of a `fine_tune`: a short unique `id`, and when it `started` (local time)."
    id: str
    started: str

    @property
    def folder_name(self):
        "A folder name that sorts by time."
        return f"{self.started.replace(':', '').replace('-', '').replace(' ', '-')}_{self.id}"


def new_run():
    "A `TrainingRun` that begins now. Its id comes from the operating system, so that no seeded stream is touched."
    return TrainingRun(secrets.token_hex(3), time.strftime("%Y-%m-%d %H:%M:%S"))


def rehearses(learn):
    "Whether this fit is only tried out and undone afterwards, as by `lr_find`: nothing should be kept of it."
    return learn.rehearsing or any(isinstance(cb, LRFinder) for cb in learn.cbs)


def goes_on(learn):
    """Whether this fit carries on what an earlier one began: the second phase of `fine_tune` (`learn.continues`), or an interrupted fit
    taken up again (`start_epoch`)."""
    return getattr(learn, "continues", False) or learn.start_epoch > 0


def begins_anew(cb):
    "Whether with this fit a new training begins for callback `cb`, so that it should forget the one before. Call it once per fit."
    known = vars(cb).get("_known_learner")
    cb._known_learner = weakref.ref(cb.learn)
    return not goes_on(cb.learn) or (known is not None and known() is not cb.learn)


def check_folder(folder, who):
    "Make `folder` if need be, and raise `OSError` with a sentence of what to do where nothing can be written to it."
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as e:
        add_note(e, f"{who} cannot write to {folder.resolve()}: give it, or the learner (`learn.path = Path('...')`), a folder that can be "
                    "written to")
        raise
    return folder
