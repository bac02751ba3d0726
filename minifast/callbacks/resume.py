"""`Resume`: a fit that was interrupted continues where its state was last written, and ends with the same weights to the bit."""
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from warnings import warn

import numpy as np
import torch

from ..core import PathLike, checkpoint, listing, rng_state, set_rng_state
from ..core.agreement import Agreement, Termination
from ..core.durations import seconds_in
from ..core.paths import Path
from ..core.ranks import gathered, is_main, main_only, own_streams, rank, shared, world_size
from ..core.sharded import load_optimizer, load_weights, local
from .base import Callback, CancelFitException, Order, restore_states, states_of
from .fit_settings import differences, kept_by, settings_of_fit, stateless, with_advice
from .recorder import FitRecord
from .training_run import check_folder

#: How often the state is written within an epoch, in seconds, unless it is said.
DEFAULT_EVERY = 600.0
#: What a state consists of.
_PARTS = {"fit": dict, "settings": str, "versions": dict, "written": str, "epoch": int, "batch": int, "model": dict, "opt": dict,
          "rng": dict, "loaders": list, "streams": list, "callbacks": dict, "recorder": dict, "lost": list}
_END = 2                #: what a rank asks for that was told to end; 1: that the state is written


class Resume(Callback):
    """Write the whole training state again and again; the same call after a crash continues from there. `fit(..., resume=True)` adds one.

    The file holds weights, buffers, optimizer, loss scale, random streams, the place in the epoch, the states of the other callbacks and
    the history; nothing in it can run code. The one before is kept beside it, for the case that the newest is damaged, and the run's
    record (`learn.run_record()`), as JSON. They are removed at the very end of a fit that ends or is cancelled, and stay after an error or
    Ctrl-C. SIGTERM, which machines send before they are taken away, ends the process when the state is written. A script of several fits,
    such as the two phases of `fine_tune`, is run again from its top: a fit that had ended before the interruption is skipped, and a
    warning says so.

    Args:
        fname: name of the file, `path/model_dir/fname.safetensors`. None: `resume.safetensors` in a folder whose name comes from what
            the fit was told, so that two different runs never meet.
        every: how often the state is written within an epoch, beside its beginning: a number of batches, or a time such as '5min',
            '90s' or '1h'. None: every 10 minutes where the training loader can continue within an epoch.
        force: continue although the data, the model's settings, the optimizer, the loss or the callbacks are others than before; what
            this fit is told counts.
        source: a state of another place, such as a file or folder of an attached Kaggle dataset, to continue from while there is none here.

    Raises:
        ValueError: the file belongs to another fit: names what differs.
        OSError: the folder cannot be written to.
    """

    shown = ("fname",)
    order = Order.SETUP - 10                     # first, so that the others find what was restored
    runs_last = ("before_train", "after_batch", "after_fit", "cleanup_fit")
    run_valid = False
    only_watches = True
    _held: int | None = None                     # the open lock of the run
    _state: dict | None = None                   # what is to be restored
    _file: Path | None = None                    # where it was
    _skipped = _going = _failed = _due = _ending = False

    def __init__(self, fname: str | None = "resume", every: int | str | None = None, force: bool = False, source: PathLike | None = None):
        self.fname, self.every, self.force = fname, every, force
        self.source = None if source is None else Path(source).expanduser()
        self._batches, self._seconds = _interval(every)
        self._end = Termination()

    @property
    def file(self) -> Path:
        "Where the state is stored."
        folder = self.learn.path / self.learn.model_dir
        return folder / f"{self.fname}.safetensors" if self.fname is not None else folder / str(self.learn.run_name) / "resume.safetensors"

    @property
    def previous(self) -> Path:
        "Where the state before it is stored."
        return self.file.with_name(f"{self.file.stem}-previous.safetensors")

    # -- a fit begins -----------------------------------------------------------------------------------------------------------
    def before_fit(self) -> None:
        learn = self.learn
        if learn.dry_run:
            self.run = False
            return
        if learn.recorder is None:
            raise ValueError("Resume() needs the learner's Recorder, to know which fit is which: create the learner with default_cbs=True")
        if any(isinstance(cb, Resume) and cb is not self for cb in learn.cbs):
            raise ValueError("this fit has two Resume callbacks: leave out resume=, or the one among the callbacks")
        self._state, self._skipped, self._going, self._failed, self._due, self._ending = None, False, False, False, False, False
        record = learn.run_record()
        self._fit = {"earlier_fits": learn.fits_ended, "epochs": learn.n_epoch, "batches": len(learn.dls.train),
                     "rates": [float(g["lr"]) for g in learn.opt.param_groups]}
        self._settings = json.loads(json.dumps(settings_of_fit(learn, record), default=str))           # as it comes back from the file
        self._versions = {**record["versions"], "device": record["device"]}
        if self.fname is None and learn.run_name is None:
            certain = {**self._settings, "data": {part: {k: v for k, v in found.items() if k != "samples_digest"}
                                                  for part, found in self._settings["data"].items()}}
            told = json.dumps([self._fit, certain], sort_keys=True, default=str)
            learn.run_name = shared(f"run-{hashlib.sha256(told.encode()).hexdigest()[:8]}")
        self._can_pause = self._check_every()
        check_folder(self.file.parent, "Resume")
        self._hold()
        self._agreed = Agreement()
        self._end.watch()
        self._before = {id(cb): kept_by(cb) for cb in stateless(learn.cbs)}
        found = self._shared_state()
        if found is None:
            self._say_others()
            self._going = True
            return
        state, file = found
        with _usable(file):
            had_ended = state["fit"]["earlier_fits"] > learn.fits_ended
            self._check(state, file, weights_only=had_ended)
        if had_ended:                                       # a later one brings the weights
            self._skipped = True
            learn.recorder.fits.append(FitRecord(call=learn.call))
            warn(f"Resume: this fit, number {learn.fits_ended} of its learner, had ended when number {state['fit']['earlier_fits']} was "
                 f"interrupted: it is skipped. To train from the beginning, remove {file.name} from {file.parent}", stacklevel=2)
            raise CancelFitException
        with _usable(file):
            self._begin(state)
            self._say(state, file)
        self._state, self._file, self._going = state, file, True

    def _shared_state(self):
        "What `_found` finds on rank 0; the others read the same file."
        found = self._found() if is_main() else None
        file = shared(None if found is None else str(found[1]))
        if file is None or found is not None:
            return found
        if not Path(file).exists():
            raise FileNotFoundError(f"Resume: rank {rank()} does not see {file}, from which rank 0 continues: with several machines give "
                                    "the learner a folder on a disk that all of them share, `learn.path = Path('...')`")
        return checkpoint.load(file), Path(file)

    @main_only
    def _hold(self):
        "Refuse a run that another process trains now. The system takes the lock back from a process that is killed."
        self._let_go()
        with suppress(ImportError):                         # Windows
            from fcntl import LOCK_EX, LOCK_NB, lockf  # unlike `flock`, not shared with workers, which may outlive a killed process
            self._held = os.open(self._lock, os.O_RDWR | os.O_CREAT)
            try:
                lockf(self._held, LOCK_EX | LOCK_NB)
            except (BlockingIOError, PermissionError) as e:
                os.close(self._held)
                self._held = None
                raise RuntimeError(f"Resume: another process trains now with {self.file}: wait for its end, or end it; to train beside "
                                   "it, give this fit a name of its own, such as resume=Resume('other')") from e
            except OSError:                                 # a network disk without locks
                pass

    def _let_go(self):
        if self._held is not None:
            self._lock.unlink(missing_ok=True)
            os.close(self._held)
            self._held = None

    @property
    def _lock(self):
        return self.file.with_suffix(".lock")

    def _check_every(self):
        "Whether this fit can be continued within an epoch."
        dl, why = self.learn.dls.train, None
        if not hasattr(dl, "load_state_dict"):
            why = "this training loader does not say where it is (no `state_dict`): give minifast's, DataLoader(dataset, ...)"
        elif getattr(dl, "forgets", None):                                          # one of minifast's
            why = dl.forgets
        elif self.learn.recorder.train_metrics:
            why = "what metrics of training have counted in an epoch is not stored: leave out Recorder(train_metrics=True)"
        if why and self.every is not None:
            raise ValueError(f"Resume(every={self.every!r}): {why}; or leave out every=, to write the state at the start of each epoch")
        return not why

    def _found(self):
        "The newest whole state and its file, or None."
        damaged = []
        for file in self._candidates():
            try:
                state = checkpoint.load(file)
            except (ValueError, OSError) as e:
                damaged.append(f"{file.name} cannot be read ({e})")
                continue
            if not (isinstance(state, dict) and all(isinstance(state.get(part), kind) for part, kind in _PARTS.items())):
                raise ValueError(f"{file} is not a state of Resume, or one of an older minifast: remove it, or give another name, "
                                 "Resume('other')")
            if damaged:
                warn(f"Resume: {'; '.join(damaged)}, so training continues from the state before, {file.name}", stacklevel=3)
            return state, file
        if damaged:
            raise ValueError(f"Resume: {'; '.join(damaged)}. To train from the beginning, remove what is there: {self.file.parent}")
        return None

    def _candidates(self) -> Iterator[Path]:
        own = [file for file in (self.file, self.previous) if file.exists()]
        yield from own
        if own or self.source is None:
            return
        if not self.source.exists():
            raise FileNotFoundError(f"Resume(source={str(self.source)!r}): there is no such file or folder")
        if self.source.is_file():
            yield self.source
            return
        files = [*self.source.rglob("resume*.safetensors")]
        if not files:
            raise FileNotFoundError(f"Resume(source={str(self.source)!r}): there is no resume.safetensors in this folder")
        yield from sorted(files, key=lambda f: (f.stat().st_mtime, len(f.stem) == len("resume")), reverse=True)

    def _check(self, state, file, weights_only):
        learn = self.learn
        other = [] if self.force or weights_only else [
            f"{k}={state['fit'][k]} there, {v} here" for k, v in self._fit.items() if state["fit"][k] != v]
        own = learn.model.state_dict()
        if list(own) != list(state["model"]) or any(_shape(own[n]) != _shape(w) for n, w in state["model"].items()):
            other.append("its weights have other names or shapes")
        elif not (self.force or weights_only):
            rates = "rates" in " ".join(other)
            found = differences(json.loads(state["settings"]), self._settings)
            other += [d for d in found if not (rates and ".lr=" in d) and not _follows(d, other)]
        if other:
            source = "" if self.source is None else f"source={str(self.source)!r}, "
            raise ValueError(f"{file} belongs to another fit ({'; '.join(with_advice(other[:8]))}): repeat the call that was "
                             "interrupted, or remove the file to train from the beginning. Where the difference is wanted, write "
                             f"{'Resume(..., force=True)' if self.fname is not None else f'resume=Resume(None, {source}force=True)'}")

    def _begin(self, state):
        "Take over what has to be there before the other callbacks begin."
        learn = self.learn
        hypers = [_hypers(g) for g in learn.opt.param_groups]
        there, here = json.loads(state["settings"])["optimizer"], self._settings["optimizer"]
        self._asked = [{k for k, v in mine.items() if k in theirs and theirs[k] != v}
                       for mine, theirs in zip(here["groups"], there["groups"], strict=False)]
        if there["name"] == here["name"] and len(there["groups"]) == len(hypers):
            load_optimizer(learn.opt, state["opt"])
            for group, own in zip(learn.opt.param_groups, hypers, strict=True):
                group.update(own)                # schedulers that begin now start where the fit started
        else:
            warn(f"Resume: the optimizer was {there['name']}, and is {here['name']}: its state begins anew", stacklevel=4)
            self._asked = []
        load_weights(learn.model, state["model"])              # last: what fails before leaves the weights as they are
        learn.start_epoch, learn.start_iter = min(state["epoch"], learn.n_epoch), state["batch"]

    def _say(self, state, file):
        if self.learn.logging_off:
            return
        others = differences(state["versions"], self._versions)
        at = f"batch {state['batch']} of {state['fit']['batches']} of " if state["batch"] else "the start of "
        parts = [f"Resume: continues at {at}epoch {state['epoch']} (of {state['fit']['epochs']}), from {file}, written {state['written']}"]
        parts += [f"not the same: {', '.join(others)}"] if others else []
        parts += [f"{listing(state['lost'])} without a method state_dict: what was counted there begins anew"] if state["lost"] else []
        self.learn.logger("; ".join(parts))

    def _say_others(self):
        "Nothing is there to continue: name an unfinished run beside this one, from which this fit may only differ by mistake."
        if self.fname is not None or self.learn.logging_off:
            return
        folder = self.learn.path / self.learn.model_dir
        others = sorted((f for f in folder.glob("run-*/resume.run.json") if f.parent != self.file.parent), key=lambda f: f.stat().st_mtime)
        for record in others[-1:]:
            with suppress(ValueError, LookupError, OSError, TypeError):
                there = json.loads(record.read_text(encoding="utf-8"))["resume"]
                found = with_advice(differences(there, {**self._fit, **self._settings}))
                self.learn.logger(f"Resume: training begins in {self.file.parent.name}; the unfinished training in {record.parent.name} is "
                                  f"another one ({'; '.join(found[:5])})")

    # -- what is written, and when ----------------------------------------------------------------------------------------------
    def before_epoch(self) -> None:
        state = self._state
        if state is not None and self.learn.epoch == self.learn.start_epoch:
            with _usable(self._file):
                self._restore(state)
                if not state["batch"]:
                    self._state = None
                    set_rng_state(state["rng"])         # each rank draws its own streams from it
        else:
            self._save(0)
        if max(gathered(self._end.told)):
            self._end.end()

    def before_train(self) -> None:
        self._since = time.monotonic()
        if self._state is not None:                 # after all others have begun the epoch
            state, self._state = self._state, None
            with _usable(self._file):
                self.learn.dl.load_state_dict(state["loader"])
                self.learn.recorder.resume_epoch(state["recorder"])
                self._continue_streams(state)

    def _continue_streams(self, state):
        "The random streams of the middle of an epoch; of ranks whose number has changed, those after the first get others."
        set_rng_state(state["rng"])
        others = state.get("rng_of_ranks", [])
        if len(others) != world_size() - 1:
            own_streams(self.learn.epoch)
        elif rank():
            set_rng_state(others[rank() - 1])

    def after_batch(self) -> None:
        learn = self.learn
        done = learn.iter + 1
        if not self._can_pause:
            if self._agreed(_END * self._end.told):
                self._end.end()
            return
        if done >= learn.n_iter:                    # the state is written when the next epoch begins
            return
        due = self._seconds is not None and is_main() and time.monotonic() - self._since >= self._seconds
        said = self._agreed(_END if self._end.told else int(due))
        self._ending = self._ending or said == _END
        due = said or (self._batches and (learn.epoch * learn.n_iter + done) % self._batches == 0)
        self._due = bool(due) or (self._due and done > 1)
        if self._due and not any(gathered(_pending(learn))):        # else gradients of several batches are added up: after their step
            self._due = False
            self._save(done)
            self._since = time.monotonic()
            if self._ending:
                self._end.end()

    def _save(self, batch):
        "Write the state; after the first time an error is only said, because training itself goes on."
        learn, rng, others = self.learn, rng_state(), gathered(_plain(rng_state(accelerators=False)))[1:]
        state = {
            "fit": self._fit, "settings": json.dumps(self._settings, default=str), "versions": self._versions,
            "written": time.strftime("%Y-%m-%d %H:%M:%S"), "epoch": learn.epoch, "batch": batch,
            "model": learn.model.state_dict(), "opt": learn.opt.state_dict(),
            "rng": _plain(rng), "rng_of_ranks": others,
            "loaders": [getattr(dl, "epoch", None) for dl in learn.dls], "streams": [g.get_state() for g in _generators(learn.dls)],
            "loader": learn.dls.train.state_dict() if batch or getattr(learn.dls.train, "goes_on", False) else None,
            "callbacks": states_of(learn.cbs), "recorder": learn.recorder.state_of_fit(),
            "lost": [type(cb).__name__ for cb in stateless(learn.cbs) if kept_by(cb) != self._before.get(id(cb))],
        }
        following = self.file.with_name(f"{self.file.stem}-next.safetensors")
        try:
            checkpoint.save(state, following)               # by all ranks: parts of what is divided come together
            if is_main():
                if self.file.exists():
                    os.replace(self.file, self.previous)
                os.replace(following, self.file)
                self._write_record()
        except OSError as e:
            if not self.file.exists() and not learn.continues:              # a second phase has something to lose
                raise
            if not self._failed:
                self._failed = True
                warn(f"Resume: the state at epoch {learn.epoch}, batch {batch} could not be written ({e}); training goes on, and what was "
                     f"written before stays in {self.file.parent}", stacklevel=3)
            following.unlink(missing_ok=True)

    def _write_record(self):
        record = {"resume": {**self._fit, **self._settings}, **self.learn.run_record()}
        checkpoint.save_json(record, self.file.with_suffix(".run.json"))

    def _restore(self, state):
        "Give callbacks and loaders, which have all begun, what they would have by now."
        learn = self.learn
        for dl, epoch in zip(learn.dls, state["loaders"], strict=False):
            if epoch is not None and hasattr(dl, "epoch"):
                dl.epoch = epoch
        if not state["batch"] and state["loader"] is not None:              # whose epoch begins where the one before ended
            learn.dls.train.load_state_dict({**state["loader"], "epoch_seed": None})
        for generator, stream in zip(_generators(learn.dls), state["streams"], strict=False):
            generator.set_state(stream)
        for group, saved, asked in zip(learn.opt.param_groups, state["opt"]["param_groups"], self._asked, strict=False):
            group.update({k: v for k, v in _hypers(saved).items() if k not in asked})
        restore_states(learn.cbs, state["callbacks"])
        learn.recorder.resume_fit(state["recorder"])

    # -- a fit ends -------------------------------------------------------------------------------------------------------------
    def after_fit(self) -> None:
        self._going = False
        if self._skipped or not is_main():
            return
        for file in (self.file, self.previous, self.file.with_suffix(".run.json")):
            file.unlink(missing_ok=True)
        self._let_go()
        if self.fname is None:
            with suppress(OSError):
                self.file.parent.rmdir()

    def cleanup_fit(self) -> None:
        learn = self.learn
        if learn.running:
            self._let_go()
        if learn.running and self._going and is_main() and self.file.exists() and not learn.logging_off:
            learn.logger(f"Resume: the training can be continued from {self.file}: make the same call again{_on_kaggle(self.file)}")
        self._end.ignore()


@contextmanager
def _usable(file):
    "What fails within the block is told of the state in `file`."
    try:
        yield
    except (LookupError, TypeError, AttributeError, RuntimeError, OverflowError, ValueError) as e:
        if str(file) in str(e):                     # it says so itself
            raise
        raise ValueError(f"{file} is no state that this fit can continue from ({type(e).__name__}: {e}): it was changed, or another "
                         "version of minifast wrote it. To train from the beginning, remove it") from e


def _on_kaggle(file):
    if not os.environ.get("KAGGLE_KERNEL_RUN_TYPE"):
        return ""
    return (f". In another session: save a version of this notebook, add its output as an input there, and give that call the path of "
            f"{file.name} in it, resume='/kaggle/input/...'")


def _follows(difference, others):
    "Whether a difference says again what another one said: the number of batches is among the settings of the loader."
    return "data.train.batches" in difference and any(o.startswith("batches=") for o in others)


def _interval(every):
    "`(batches, seconds)` of which one is set."
    if every is None:
        return None, DEFAULT_EVERY
    if isinstance(every, int) and not isinstance(every, bool) and every > 0:
        return every, None
    seconds = seconds_in(every)
    if seconds is None:
        raise ValueError(f"Resume(every={every!r}): a number of batches, such as every=500, or a time, such as every='5min', '90s' or '1h'")
    return None, seconds


def _generators(dls):
    "torch's random streams of the loaders' own."
    owners = [owner for dl in dls for owner in (dl, getattr(dl, "sampler", None))]
    return [owner.generator for owner in owners if isinstance(getattr(owner, "generator", None), torch.Generator)]


def _plain(rng):
    return {**rng, "numpy": [o.tolist() if isinstance(o, np.ndarray) else o for o in rng["numpy"]]}


def _pending(learn):
    grads = (p.grad for group in learn.opt.param_groups for p in group["params"])
    return any(getattr(cb, "pending", False) for cb in learn.cbs) or any(g is not None and bool(local(g).any()) for g in grads)


def _shape(x):
    return getattr(x, "shape", None)


def _hypers(group: dict) -> dict:
    return {k: v for k, v in group.items() if k != "params"}
