"""The engine of processes: for Python code, which holds Python's lock, so that threads would wait for each other.

The processes are those of torch's `DataLoader`, whose "dataset" is here a `Fetcher` and whose "sampler" gives whole `BatchKey`s.
"""
import copy
import os
import signal
import sys
import time
import traceback
import weakref
from collections.abc import Iterator
from contextlib import suppress
from itertools import tee
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch

from ...core.items import noop
from ...core.messages import add_note
from ...core.seeds import undisturbed
from .fetch import Batch, BatchKey, Fetcher
from .threads import TIMED_OUT

#: Seconds to wait for a worker before giving up, unless `timeout=` says otherwise.
WORKER_TIMEOUT = 300
#: After how many seconds without a batch to look whether the workers still live: of one that ended without an error nobody is told.
_LOOK = 2.0
#: Seconds that a worker has to end.
_LAST_WORDS = 2.0


def start_method(fetcher: Any) -> tuple[str | None, str | None]:
    """How workers are to be started, and None; or None and why they cannot be. They are forked on Linux, so that functions defined in a
    notebook work; elsewhere, and from Python 3.14 on where CUDA is in use, they are started afresh, if what they need can be sent to
    them."""
    forks = sys.platform.startswith("linux")
    if forks and (sys.version_info < (3, 14) or not torch.cuda.is_initialized()):
        return "fork", None
    try:
        with open(os.devnull, "wb") as nowhere:
            ForkingPickler(nowhere).dump(fetcher)
    except Exception as e:                     # whatever an object raises when it cannot be sent
        return ("fork", None) if forks else (None, f"{type(e).__name__}: {e}")
    return ("forkserver" if forks else "spawn"), None


class _InWorker:
    """The fetcher as torch's workers see it: an error comes back as a value, to be raised where the loop is, of its own type and with its
    notes. (torch makes a new exception of the type and a text, where that type can be made of a text.)"""

    def __init__(self, fetcher):
        self.fetcher = fetcher

    def __getitem__(self, key):
        try:
            return self.fetcher.make(key)
        except Exception as e:
            if not _survives(e):
                raise
            trace = "in a worker, where the traceback was:\n" + "".join(traceback.format_tb(e.__traceback__))
            return _Failed(e, [*getattr(e, "__notes__", ()), trace])


class _Failed(Exception):
    "`(error, notes)` on its way from a worker to the loop: some exceptions, such as a JSONDecodeError, leave their notes behind."


def _survives(error):
    "Whether the error can be sent as it is; some exceptions cannot be made again from their arguments."
    try:
        return type(ForkingPickler.loads(ForkingPickler.dumps(error))) is type(error)
    except Exception:                           # whatever an object raises when it cannot be sent
        return False


class _Keys:
    "torch's sampler: the batches of the epoch that begins."

    keys: Iterator[BatchKey] = iter(())

    def __iter__(self):
        return self.keys


def _ignore_ctrl_c(worker_id):
    """In a worker, at its start: ignore Ctrl-C, which terminals and Jupyter send to all processes of a group. The process that trains
    decides what it means, and ends the workers or goes on with them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class ProcessEngine:
    """Makes batches with `n` processes, kept between epochs if `persistent`.

    context: how they are started. timeout: seconds to wait for a batch, 0: for ever. `close()` ends them; so does forgetting the engine.
    """

    def __init__(self, fetcher: Fetcher, n: int, pin: bool, timeout: float, context: Any, persistent: bool):
        self.timeout, self._keys, self._turn = timeout, _Keys(), 0
        self.workers: list = []                 #: the processes, as `multiprocessing` has them
        # torch waits for a batch this long, then looks at its workers; `_next` asks again
        self._args = {"dataset": _InWorker(fetcher), "batch_size": None, "sampler": self._keys, "collate_fn": noop, "num_workers": n,
                      "multiprocessing_context": _recording(context, self.workers), "persistent_workers": persistent, "pin_memory": pin,
                      "timeout": min(timeout or _LOOK, _LOOK), "worker_init_fn": _ignore_ctrl_c,
                      # its own: torch would draw from the global stream, and only where there are workers
                      "generator": torch.Generator()}
        self._persistent = persistent
        self._kept: list = []                   # torch's loader, which ends its workers when nobody holds it any more
        # when the engine goes: workers whose queues the garbage collector found first are waited for, each for seconds
        weakref.finalize(self, let_go, self._kept, os.getpid())

    def batches(self, keys: Iterator[BatchKey]) -> Iterator[Batch]:
        "The batches for `keys`, in their order."
        self._turn += 1
        self._keys.keys, again = tee(keys)      # a second time for new workers, where the old ones do not answer
        return self._handed_out(self._begun(again), self._turn)

    def _begun(self, again):
        "torch's iterator over the epoch that begins, with the workers of the last epoch if they are all there."
        if self._kept and self._persistent:
            try:
                if all(w.is_alive() for w in self.workers):
                    return iter(self._kept[0])
                self.close(RuntimeError())
            except RuntimeError as e:           # they are busy with what nobody waits for any more, or one has just died
                self.close(e)
            except BaseException as e:
                self.close(e)
                raise
            self._keys.keys = again
        with undisturbed():                     # a worker that has started is known to torch
            if not self._persistent:
                self.workers.clear()
            if not self._kept:
                self._kept.append(torch.utils.data.DataLoader(**self._args))
            try:
                return iter(self._kept[0])
            except Exception as e:
                cause = e.__context__ or e      # of a worker that does not start, torch's tidying up fails too, in the place of the reason
                if "pickle" not in str(cause):
                    raise
                self._kept.clear()
                self.workers[:] = [w for w in self.workers if w.pid is not None]        # those that have started
                raise TypeError(f"the dataset, its transforms or the collate_fn cannot be sent to worker processes: {cause}. Write a class "
                                "or function of a module in the place of a lambda or a local one; or worker_type='thread'; or "
                                "num_workers=0") from cause
            finally:
                cause = None

    def _next(self, iterator):
        "The next batch, or None at the end of the epoch."
        since = time.monotonic()
        while True:
            try:
                return next(iterator, None)
            except RuntimeError as e:
                if "timed out after" not in str(e):
                    raise
                if self.timeout and time.monotonic() - since >= self.timeout:
                    e.args = (f"DataLoader timed out after {self.timeout} seconds",)
                    add_note(e, TIMED_OUT.format(self.timeout))
                    raise
            except Exception as e:              # many kinds, of a batch that a worker was sending when it died
                if self._dead_soon():
                    raise RuntimeError("DataLoader worker exited unexpectedly") from e
                raise

    def _dead_soon(self):
        "Whether a worker is dead, or dies within a second."
        return bool(wait([w.sentinel for w in self.workers], 1.0))

    def _handed_out(self, iterator, turn):
        while True:
            try:
                batch = self._next(iterator)
            except BaseException as e:          # Ctrl-C too: the queues may have been left in the middle of a batch
                del iterator
                self.close(e)
                raise
            if batch is None:
                return
            if isinstance(batch, _Failed):
                error, notes = batch.args
                del iterator                    # now, while that takes no time: what a traceback keeps alive ends later, slowly
                self.close(error)
                for note in notes:
                    if note not in getattr(error, "__notes__", ()):
                        add_note(error, note)
                try:
                    raise error
                finally:
                    del batch, error
            made = [batch]
            del batch                           # what was handed out is not held here: its memory may be used again soon
            yield made.pop()
            if turn != self._turn:
                raise RuntimeError("this loader was iterated again before its epoch was over: its workers now serve the new loop. To "
                                   "look at a batch during training use one_batch(), for another pass loader.new()")

    def close(self, error: BaseException | None = None) -> None:
        """End the processes; the next epoch starts new ones. An epoch under way goes on, unless there is an `error`.

        error: what went wrong: the processes end at once, whatever they are doing. An error of torch, which does not say more than that
            a worker died, is made to say which one, and of what.
        """
        with undisturbed():
            if error is not None:
                if "DataLoader worker" in str(error):
                    explain_death(error, self.workers)
                # torch would wait five seconds for each that is busy; one that handles SIGTERM, as the program did, is killed
                for act, *args in (("terminate",), ("join", _LAST_WORDS), ("kill",), ("join",)):
                    for w in self.workers:
                        with suppress(RuntimeError, ValueError, AssertionError):    # torch's, of a worker that ends; of another process
                            getattr(w, act)(*args)
            self._kept.clear()
            self.workers.clear()


def _recording(context, workers):
    "The context `context`, with which processes are started, but every one started is put into the list `workers`."
    def process(*args, **kwargs):
        workers.append(start(*args, **kwargs))
        return workers[-1]

    context = copy.copy(context)
    start, context.Process = context.Process, process
    return context


_not_ours: list = []


def let_go(kept: list, owner: int) -> None:
    "Empty the list `kept`, if this is the process `owner`: a forked worker has a copy of the loader, but not of its workers."
    if os.getpid() == owner:
        kept.clear()
    else:
        _not_ours.append(list(kept))


def explain_death(error: BaseException, workers: list) -> None:
    "Make torch's `error` say which of the processes `workers` died, and of what, in one sentence."
    for w in workers:
        w.join(0.1)                             # how one ended is known a moment after the error
    ends = {w.pid: w.exitcode for w in workers if w.exitcode is not None}
    if not ends:
        return
    pid, code = max(ends.items(), key=lambda end: end[1] != 0)
    if code >= 0:
        why = f"ended with exit code {code}: something in the dataset or a transform ends the process. num_workers=0 shows where"
    else:
        name = signal.Signals(-code).name
        why = f"was killed by signal {name}: " + _CAUSES.get(name, "use num_workers=0 to see where")
    error.args = (f"worker process {pid} of a loader {why}",)


_MEMORY = "most often because {} ran out: use fewer workers (num_workers=), a smaller bs or smaller images"
_CAUSES = {"SIGKILL": _MEMORY.format("memory"), "SIGBUS": _MEMORY.format("shared memory (/dev/shm)"),
           "SIGSEGV": "a library crashed in it. num_workers=0 shows where"}
