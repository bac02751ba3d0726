"""The engine of processes: for Python code, which holds Python's lock, so that threads would wait for each other.

The processes are those of torch's `DataLoader`, whose "dataset" is here a `Fetcher` and whose "sampler" gives whole `BatchKey`s.
"""
import os
import sys
import traceback
import weakref
from collections.abc import Iterator
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch

from ...core.items import noop
from ...core.messages import add_note
from .fetch import Batch, BatchKey, Fetcher
from .threads import TIMED_OUT

#: Seconds to wait for a worker before giving up, unless `timeout=` says otherwise.
WORKER_TIMEOUT = 300


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


class ProcessEngine:
    """Makes batches with `n` processes, kept between epochs if `persistent`.

    context: how they are started. timeout: seconds to wait for a batch, 0: for ever. `close()` ends them; so does forgetting the engine.
    """

    def __init__(self, fetcher: Fetcher, n: int, pin: bool, timeout: float, context: Any, persistent: bool):
        self.timeout, self._keys, self._turn = timeout, _Keys(), 0
        self._args = {"dataset": _InWorker(fetcher), "batch_size": None, "sampler": self._keys, "collate_fn": noop, "num_workers": n,
                      "multiprocessing_context": context, "persistent_workers": persistent, "pin_memory": pin, "timeout": timeout,
                      # its own: torch would draw from the global stream, and only where there are workers
                      "generator": torch.Generator()}
        self._kept: list = []                   # torch's loader, which ends its workers when nobody holds it any more
        # when the engine goes: workers whose queues the garbage collector found first are waited for, each for seconds
        weakref.finalize(self, let_go, self._kept, os.getpid())

    def batches(self, keys: Iterator[BatchKey]) -> Iterator[Batch]:
        "The batches for `keys`, in their order."
        self._turn += 1
        self._keys.keys = keys
        if not self._kept:
            self._kept.append(torch.utils.data.DataLoader(**self._args))
        return self._handed_out(iter(self._kept[0]), self._turn)

    def _handed_out(self, iterator, turn):
        while True:
            try:
                batch = next(iterator, None)
            except RuntimeError as e:
                _explain(e, self.timeout)
                raise
            if batch is None:
                return
            if isinstance(batch, _Failed):
                error, notes = batch.args
                del iterator                    # now, while that takes no time: what a traceback keeps alive ends later, slowly
                self.close()
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

    def close(self) -> None:
        "End the processes; the next epoch starts new ones."
        self._kept.clear()


_not_ours: list = []


def let_go(kept: list, owner: int) -> None:
    "Empty the list `kept`, if this is the process `owner`: a forked worker has a copy of the loader, but not of its workers."
    if os.getpid() == owner:
        kept.clear()
    else:
        _not_ours.append(list(kept))


def _explain(error, timeout):
    text = str(error)
    if "timed out after" in text:
        add_note(error, TIMED_OUT.format(timeout))
    elif "exited unexpectedly" in text or "killed by signal" in text:
        add_note(error, "a worker process died, most often because memory or shared memory (/dev/shm) ran out: use fewer workers or a "
                        "smaller bs; num_workers=0 shows the error, if there is one")
