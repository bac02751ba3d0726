"""The processes that prepare batches: how to start them, and what to say when one dies."""
import os
import sys
import traceback
from io import RawIOBase
from multiprocessing.reduction import ForkingPickler

import torch

from ...core.messages import add_note

#: Seconds to wait for a worker before giving up, unless `timeout=` says otherwise.
WORKER_TIMEOUT = 300


class _Nowhere(RawIOBase):
    def write(self, data):
        return len(data)


def _can_be_sent(fetcher):
    "Whether `fetcher` can be sent to a process that is not forked; if not, why."
    try:
        ForkingPickler(_Nowhere()).dump(fetcher)
    except Exception as e:                     # whatever an object raises when it cannot be sent
        return False, f"{type(e).__name__}: {e}"
    return True, ""


def start_method(fetcher):
    """How workers are to be started, and None; or None and why they cannot be. They are forked on Linux, so that functions defined in a
    notebook work; elsewhere, and from Python 3.14 on where CUDA is in use, they are started afresh, if what they need can be sent to
    them."""
    forks = sys.platform.startswith("linux")
    if forks and (sys.version_info < (3, 14) or not torch.cuda.is_initialized()):
        return "fork", None
    sendable, why = _can_be_sent(fetcher)
    if sendable:
        return ("forkserver" if forks else "spawn"), None
    return ("fork", None) if forks else (None, why)


class Failure:
    "An error on its way from a worker to the loop, with the text of its traceback there."

    def __init__(self, error):
        self.error, self.trace = error, "".join(traceback.format_tb(error.__traceback__))

    def survives(self):
        "Whether the error can be sent as it is; some exceptions cannot be made again from their arguments."
        try:
            return type(ForkingPickler.loads(ForkingPickler.dumps(self.error))) is type(self.error)
        except Exception:                       # whatever an object raises when it cannot be sent
            return False


class InWorker:
    """The fetcher as workers see it: an error comes back as a value, to be raised where the loop is, of its own type and with its notes.
    (torch makes a new exception of the type and a text, where that type can be made of a text.)"""

    def __init__(self, fetcher):
        self.fetcher = fetcher

    def __len__(self):
        return len(self.fetcher)

    def __getitem__(self, key):
        try:
            return self.fetcher[key]
        except Exception as e:
            failure = Failure(e)
            if failure.survives():
                return failure
            raise


def explain_dead_worker(error, loader):
    text = str(error)
    if "timed out after" in text:
        add_note(error, f"no batch came from the workers within timeout={loader.timeout} seconds: a file that cannot be reached, or "
                        "transforms that slow? num_workers=0 shows where it stops; timeout=0 waits for ever")
    elif "exited unexpectedly" in text or "killed by signal" in text:
        add_note(error, "a worker process died, most often because memory or shared memory (/dev/shm) ran out: use fewer workers or a "
                        "smaller bs; num_workers=0 shows the error, if there is one")


def end_workers_of(stock, owner):
    "End the workers that torch's loader `stock` keeps between its epochs, if it has any and this is the process `owner` that has them."
    iterator, stock._iterator = stock._iterator, None
    if iterator is not None and os.getpid() == owner:           # a forked worker has a copy of the loader, but not of its workers
        iterator._shutdown_workers()
