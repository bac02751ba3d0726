"""`Resume`: a fit that was interrupted continues where its last epoch began, and ends with the same weights to the bit."""
from warnings import warn

import numpy as np

from ..core import checkpoint, rng_state, set_rng_state
from ..core.paths import Path
from .base import Callback, CancelFitException, Order, restore_states, states_of
from .recorder import FitRecord


class Resume(Callback):
    """Write the whole training state at the start of every epoch; the same call after a crash continues from there.

    The file holds weights, buffers, optimizer, random streams, the loaders' epochs, the states of the other callbacks and the history;
    nothing in it can run code. It is removed when the fit ends or is cancelled, and stays after an error or Ctrl-C. A script of several
    fits, such as the two phases of `fine_tune`, is run again from its top: a fit that had ended before the interruption is skipped, and
    a warning says so. A fit raises `ValueError` if the file belongs to another one (number of epochs, batches, learning rates or weights).

    Args:
        fname: name of the file, `path/model_dir/fname.safetensors`.
    """

    shown = ("fname",)
    order = Order.SETUP - 10                     # first, so that the others find what was restored

    def __init__(self, fname: str = "resume"):
        self.fname = fname

    @property
    def file(self) -> Path:
        "Where the state is stored."
        return self.learn.path / self.learn.model_dir / f"{self.fname}.safetensors"

    def before_fit(self) -> None:
        learn = self.learn
        if learn.dry_run:
            self.run = False
            return
        if learn.recorder is None:
            raise ValueError("Resume() needs the learner's Recorder, to know which fit is which: create the learner with default_cbs=True")
        self._state, self._skipped = None, False
        self._fit = {"number": learn.fits_ended, "epochs": learn.n_epoch, "batches": len(learn.dls.train),
                     "rates": [float(g["lr"]) for g in learn.opt.param_groups]}
        if not self.file.exists():
            return
        state = checkpoint.load(self.file)
        if state["number"] > learn.fits_ended:       # this fit had ended; a later one brings the weights
            self._skipped = True
            learn.recorder.fits.append(FitRecord())
            warn(f"Resume: this fit, number {learn.fits_ended} of its learner, had ended when number {state['number']} was interrupted: "
                 f"it is skipped. To train from the beginning, remove {self.file.name} from {self.file.parent}", stacklevel=2)
            raise CancelFitException
        self._check(state)
        learn.model.load_state_dict(state["model"])
        hypers = [_hypers(g) for g in learn.opt.param_groups]
        learn.opt.load_state_dict(state["opt"])
        for group, own in zip(learn.opt.param_groups, hypers, strict=True):
            group.update(own)                    # schedulers that begin now start where the fit started
        learn.start_epoch, self._state = state["epoch"], state

    def _check(self, state: dict) -> None:
        other = [f"{k}={state[k]} there, {v} here" for k, v in self._fit.items() if state[k] != v]
        own = self.learn.model.state_dict()
        if not other and (list(own) != list(state["model"]) or any(own[n].shape != w.shape for n, w in state["model"].items())):
            other = ["its weights have other names or shapes"]
        if other:
            raise ValueError(f"{self.file} belongs to another fit ({'; '.join(other)}): repeat the call that was interrupted, or "
                             "remove the file to train from the beginning")

    def before_epoch(self) -> None:
        learn = self.learn
        if self._state is not None and learn.epoch == self._state["epoch"]:
            self._restore(self._state)
            self._state = None
            return
        rng = rng_state()
        checkpoint.save({
            **self._fit, "epoch": learn.epoch, "model": learn.model.state_dict(), "opt": learn.opt.state_dict(),
            "rng": {**rng, "numpy": [o.tolist() if isinstance(o, np.ndarray) else o for o in rng["numpy"]]},
            "loaders": [getattr(dl, "epoch", None) for dl in learn.dls],
            "callbacks": states_of(learn.cbs), "history": learn.recorder.history, "record": learn.recorder.last.state_dict(),
        }, self.file)

    def _restore(self, state: dict) -> None:
        "Give callbacks and loaders, which have all begun, what they would have by now."
        learn = self.learn
        for dl, epoch in zip(learn.dls, state["loaders"], strict=True):
            if epoch is not None:
                dl.epoch = epoch
        for group, saved in zip(learn.opt.param_groups, state["opt"]["param_groups"], strict=True):
            group.update(_hypers(saved))
        restore_states(learn.cbs, state["callbacks"])
        learn.recorder.history[:] = state["history"]
        learn.recorder.last.load_state_dict(state["record"])
        set_rng_state(state["rng"])

    def after_fit(self) -> None:
        if not self._skipped:
            self.file.unlink(missing_ok=True)


def _hypers(group: dict) -> dict:
    return {k: v for k, v in group.items() if k != "params"}
