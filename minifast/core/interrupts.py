"""Ctrl-C that waits: what puts a state back is not left half done."""
import signal
import threading
import time
from types import FrameType
from typing import Any


class undisturbed:
    """Within the block Ctrl-C waits until its end, so that what is put back there is put back wholly.

    Pressed again a second later, it no longer waits. Other threads than the main one, which gets Ctrl-C, are not affected.

    >>> with undisturbed(): learn.cbs = before
    """

    _held = False                       # one block inside another has nothing to do

    def __enter__(self) -> None:
        self._before: Any = None
        self._pressed: tuple[int, FrameType | None] | None = None
        if not undisturbed._held and threading.get_ident() == threading.main_thread().ident:
            undisturbed._held = True
            self._before = signal.signal(signal.SIGINT, self._wait) or signal.default_int_handler      # None: one not set by Python

    def _wait(self, number, frame):
        if self._pressed is None:
            self._pressed, self._since = (number, frame), time.monotonic()
        elif time.monotonic() - self._since > 1 and callable(self._before):
            self._before(number, frame)

    def __exit__(self, *exc: Any) -> None:
        if self._before is not None:            # signal.SIG_IGN, for one, is not None
            undisturbed._held = False
            signal.signal(signal.SIGINT, self._before)
            if self._pressed is not None and callable(self._before):
                self._before(*self._pressed)
