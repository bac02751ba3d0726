"""Warnings of several ranks: what rank 0 says too is said once; what another rank alone says names it.

Rank 0 leaves a note of each warning in the launcher's store, where the others look before they print theirs: nobody waits for anybody.
"""
import hashlib
import sys
import time
import warnings
from contextlib import suppress
from typing import TextIO

from .rank_failures import connect, key

_waiting: dict[str, str] = {}               # of this rank, not yet printed: the note that rank 0 would have left -> the text
_noted: set[str] = set()                    # by rank 0


def collect(rank: int) -> None:
    """From now on the warnings of a rank other than 0 wait until `settle`; those of rank 0 are printed as ever.

    Args:
        rank: this one.
    """
    show = warnings.showwarning

    def showwarning(message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None,
                    line: str | None = None) -> None:
        note = key("warned/" + hashlib.sha256(f"{category.__name__}: {message}".encode()).hexdigest()[:16])
        if rank and file is None:
            _waiting.setdefault(note, warnings.formatwarning(message, category, filename, lineno, line))
            return
        show(message, category, filename, lineno, file, line)
        if note not in _noted:
            _noted.add(note)
            with suppress(Exception):
                connect(5).set(note, "")

    warnings.showwarning = showwarning


def settle(rank: int, patience: float = 0.0) -> None:
    """Print what waits and was not said by rank 0.

    Args:
        rank: this one.
        patience: seconds in which rank 0 may still say it.
    """
    waiting = dict(_waiting)
    _waiting.clear()
    if not waiting:
        return
    with suppress(Exception):
        store, until = connect(5), time.monotonic() + patience
        while waiting:
            waiting = {note: text for note, text in waiting.items() if not store.check([note])}
            if time.monotonic() >= until:
                break
            time.sleep(0.1)
    for text in waiting.values():
        print(f"rank {rank}: {text}", end="", file=sys.stderr, flush=True)
