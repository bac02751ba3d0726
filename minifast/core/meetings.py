"""Where all ranks leave something together, such as a fit that a callback cancelled. A rank that leaves alone is told so within a second.

While a rank waits inside of an operation of all ranks, it cannot look for another one. A thread of its own does: it reads in the store at
which the ranks met who has left what, and answers for its rank how far that has come.
"""
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import torch

from . import rank_failures
from .ranks import progress, rank, timeout, world_size

#: How often the thread looks, and after how long it says that its rank waits for one which has left: in seconds.
_PACE, _PATIENCE = 0.5, 5.0
_meetings = 0                               # how often this rank was at one
_watches = 0                                # how many fits it has watched


class Watch:
    """Watches a fit of several ranks, from `begin` to `end`.

    Args:
        where: what this rank is doing, in words, such as "is at batch 3 of training"; called in another thread.
    """

    def __init__(self, where: Callable[[], str]):
        self.where = where
        self._over, self._number = threading.Event(), 0
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        "Look from now on. Called by all ranks."
        global _watches
        if world_size() > 1:
            _watches += 1
            self._number = _watches
            self._thread = thread = threading.Thread(target=self._look, args=(rank(),), name="minifast-watch", daemon=True)
            thread.start()

    def end(self, error: BaseException | None = None) -> None:
        """Look no longer.

        Args:
            error: with which this rank leaves the fit alone, as far as it knows: the others are told, if they wait for it.
        """
        if self._thread is None:
            return
        self._over.set()
        self._thread.join()
        self._thread = None
        if error is not None:
            with suppress(Exception):
                told = f"rank {rank()} has left the fit with {type(error).__name__}: {error} ({_raised_in(error)})"
                rank_failures.connect(_PATIENCE).compare_set(self._key(), "", told)

    def _key(self):
        return rank_failures.key(f"left/{self._number}")

    def _look(self, mine):
        store, since, steps = None, time.monotonic(), -1
        with suppress(Exception):                       # the store may end before this rank
            store = rank_failures.connect(_PATIENCE)
            while not self._over.wait(_PACE):
                self._answer(store, mine)
                if progress() != steps:
                    since, steps = time.monotonic(), progress()
                elif time.monotonic() - since > _PATIENCE and store.check([self._key()]):
                    print(f"rank {mine} {self.where()} and waits, but {store.get(self._key()).decode()}. If the script goes on after that "
                          "error, as with `try: learn.fit(...)`, the ranks never meet again: let the error end it", file=sys.stderr,
                          flush=True)
                    return

    def _answer(self, store, mine):
        "Say at a meeting for which another rank waits that this one has gone on."
        number = _meetings + 1
        called = rank_failures.key(f"meeting/{number}")
        if store.check([called]) and progress() > int(store.get(called)) and number > _meetings:
            store.set(f"{called}/{mine}", self.where())


def meet(what: str) -> None:
    """All ranks have come to the end of `what`, such as a fit that a callback cancelled. Without a collective operation: where one rank is
    there alone, the others are in the middle of another one. Called while an exception is handled, whose origin is told.

    Args:
        what: the same text on all ranks.

    Raises:
        RuntimeError: the others are somewhere else, or do not come.
    """
    global _meetings
    world, seconds = world_size(), timeout()
    if world == 1:
        return
    _meetings += 1
    store, here = rank_failures.connect(seconds), rank_failures.key(f"meeting/{_meetings}")
    keys = [f"{here}/{r}" for r in range(world)]
    store.set(keys[rank()], what)
    store.set(here, str(progress()))
    try:
        store.wait(keys, timedelta(seconds=0.9 * seconds))      # before the others give up, who know nothing of it
        there = [store.get(k).decode() for k in keys]
    except torch.distributed.DistError:
        there = [store.get(k).decode() if store.check([k]) else "has not come" for k in keys]
    others = [f"rank {r} {text}" for r, text in enumerate(there) if text != what]
    if others:
        error = sys.exc_info()[1]
        source = "" if error is None else f", from {_raised_in(error)}"
        raise RuntimeError(f"rank {rank()} left alone: {what}{source}; {'; '.join(others)}. All ranks wait for each other at every step, "
                           "so a callback must decide alike on all of them. Let rank 0 decide: `if shared(stop): raise "
                           "CancelFitException`, with `from minifast.distributed import shared`")


def _raised_in(error):
    "Where an exception comes from: a method with its class, and the line."
    trace = error.__traceback__
    if trace is None:
        return "nowhere"
    while trace.tb_next is not None:
        trace = trace.tb_next
    code, owner = trace.tb_frame.f_code, trace.tb_frame.f_locals.get("self")
    name = code.co_name if owner is None else f"{type(owner).__name__}.{code.co_name}"
    return f"{name}, line {trace.tb_lineno} of {Path(code.co_filename).name}"
