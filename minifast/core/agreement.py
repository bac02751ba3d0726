"""What several ranks decide together in the course of an epoch: to stop, to write their state now. And what ends a process from outside."""
import signal
import threading
import time
from types import FrameType

import torch

from .ranks import advance, group, is_main, world_size


class Agreement:
    """Ask all ranks, at every step, and hear of an answer about once a second: in the steps between nobody waits for anybody.

    A decision by the clock, or by something that one process alone is told, would come to other ranks a step earlier or later, and they
    would wait for each other for ever.

    Args:
        seconds: how often they talk, by the clock of rank 0.
    """

    def __init__(self, seconds: float = 1.0):
        self.seconds, self._steps, self._left, self._since = seconds, 0, 0, time.monotonic()

    def __call__(self, mine: int) -> int:
        """Called by all ranks at the same step.

        Args:
            mine: what this rank asks for: a number, 0 for nothing.

        Returns:
            The largest number of all ranks, in the steps in which they talk; 0 in the others.
        """
        if world_size() == 1:
            return mine
        self._left -= 1
        if self._left > 0:
            return 0
        now = time.monotonic()
        pace, self._since = (now - self._since) / max(1, self._steps), now
        wanted = max(1, min(2 * self._steps, int(self.seconds / max(pace, 1e-6))))
        both = torch.tensor([mine, wanted if is_main() else 0])
        advance()
        torch.distributed.all_reduce(both, torch.distributed.ReduceOp.MAX, group=group())
        said, self._left = both.tolist()
        self._steps = self._left
        return said


class Termination:
    """Whether this process was told to end: SIGTERM, which machines that are taken away send half a minute before they go.

    While it is watched for, the signal only leaves a note; a second one ends the process as ever. Where somebody else handles the signal,
    and in other threads than the main one, nothing is watched.
    """

    told: bool = False

    def watch(self) -> None:
        "Take note of the signal from now on."
        self.told = False
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._note)

    def ignore(self) -> None:
        "The signal ends the process again; one that has come and was not followed does so now."
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == self._note:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if self.told:
            self.told = False
            signal.raise_signal(signal.SIGTERM)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.told = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def end(self) -> None:
        """End the process, as the signal would have.

        Raises:
            SystemExit: always, with the status 143.
        """
        self.told = False
        raise SystemExit(128 + signal.SIGTERM)
