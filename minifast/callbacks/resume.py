"""`Resume`: a fit that was interrupted goes on where its last epoch began, and ends with the same weights to the bit."""
import numpy as np
import torch

from .. import checkpoint
from ..callback import Callback, CancelFitException, Order
from ..seeds import rng_state, set_rng_state


class Resume(Callback):
    """Write the whole training state at the start of every epoch; the same call after a crash goes on from there.

    fname: of the file, `path/model_dir/fname.safetensors`, which is removed when the fit ends. It holds weights, buffers, optimizer,
    random streams, the loaders' epochs, the states of the other callbacks and the history; nothing in it can run code. In both
    phases of `fine_tune` the same callback serves. Raises `ValueError` if the file is of another fit (other number of epochs,
    batches or weights).
    """

    order = Order.SETUP - 10                     # the first: the others find what was restored

    def __init__(self, fname="resume"):
        self.fname, self._phase, self._state, self._skipped = fname, -1, None, False

    @property
    def file(self):
        "Where the state is."
        return self.learn.path / self.learn.model_dir / f"{self.fname}.safetensors"

    def before_fit(self):
        learn = self.learn
        self._phase = self._phase + 1 if learn.continues else 0
        self._state, self._skipped = None, False
        if not self.file.exists():
            return
        state = checkpoint.load(self.file)
        if state["phase"] > self._phase:         # this phase was finished; the next one brings the weights
            self._skipped = True
            raise CancelFitException
        self._check(state)
        learn.model.load_state_dict(state["model"])
        learn.opt.load_state_dict(state["opt"])
        learn.start_epoch, self._state = state["epoch"], state

    def _check(self, state):
        learn = self.learn
        here = {"epochs": learn.n_epoch, "batches": len(learn.dls.train), "phase": self._phase}
        other = [f"{k}={state[k]} there, {v} here" for k, v in here.items() if state[k] != v]
        own = learn.model.state_dict()
        if not other and (list(own) != list(state["model"]) or any(own[n].shape != w.shape for n, w in state["model"].items())):
            other = ["its weights have other names or shapes"]
        if other:
            raise ValueError(f"{self.file} is of another fit ({'; '.join(other)}): make the call that was interrupted, or "
                             "remove the file to begin anew")

    def before_epoch(self):
        learn = self.learn
        if self._state is not None and learn.epoch == self._state["epoch"]:
            self._go_on(self._state)
            self._state = None
            return
        recorder = learn.recorder
        checkpoint.save({
            "phase": self._phase, "epoch": learn.epoch, "epochs": learn.n_epoch, "batches": len(learn.dls.train),
            "model": learn.model.state_dict(), "opt": learn.opt.state_dict(), "rng": _packed(rng_state()),
            "loaders": [getattr(dl, "epoch", None) for dl in learn.dls],
            "callbacks": {cb.name: cb.state_dict() for cb in learn.cbs if hasattr(cb, "state_dict")},
            "history": None if recorder is None else recorder.history,
            "record": None if recorder is None else recorder.last.state_dict(),
        }, self.file)

    def _go_on(self, state):
        "What callbacks and loaders would have by now; they have all begun."
        learn = self.learn
        for dl, epoch in zip(learn.dls, state["loaders"], strict=True):
            if epoch is not None:
                dl.epoch = epoch
        for cb in learn.cbs:
            if hasattr(cb, "load_state_dict") and cb.name in state["callbacks"]:
                cb.load_state_dict(state["callbacks"][cb.name])
        if learn.recorder is not None and state["history"] is not None:
            learn.recorder.history[:] = state["history"]
            learn.recorder.last.load_state_dict(state["record"])
        set_rng_state(_unpacked(state["rng"]))

    def after_fit(self):
        if not self._skipped and self.learn.epoch == self.learn.n_epoch - 1:
            self.file.unlink(missing_ok=True)

    def __repr__(self):
        return f"{type(self).__name__}({self.fname!r})"


def _packed(rng):
    "The random streams as what `checkpoint` stores."
    name, keys, *rest = rng["numpy"]
    return {**rng, "numpy": [name, torch.from_numpy(keys.astype(np.int64)), *rest]}


def _unpacked(rng):
    name, keys, *rest = rng["numpy"]
    version, words, gauss = rng["random"]
    return {**rng, "random": (version, tuple(words), gauss), "numpy": (name, keys.numpy().astype(np.uint32), *rest)}
