"""`PassLock`: which thread may work with a learner. Passes (`predict`, `get_preds`, `validate` ...) take turns; a fit has it to itself.

A fit lasts, so other threads are not left waiting for it, but refused at once. For that a fit does not hold the lock: it takes it to begin,
when no pass is under way, and leaves its name there. Who takes the lock next finds the name.
"""
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class PassLock(type(threading.RLock())):                  # type: ignore[misc]
    """Of a learner; a copy of it gets one of its own.

    An `RLock` itself, which is taken and let go outside of Python: Ctrl-C cannot come between and leave it taken."""

    trainer: threading.Thread | None = None               #: the thread in which a fit is under way

    def __reduce__(self) -> tuple:
        return PassLock, ()

    def refuse_during_fit(self) -> None:
        "Raise an error if a fit is under way in another thread."
        trainer = self.trainer
        if trainer is not None and trainer is not threading.current_thread():
            raise RuntimeError(
                f"a fit of this learner is under way in the thread {trainer.name!r}, and other threads may not use the learner meanwhile, "
                "because they would share its model, callbacks and batches. To predict during a fit, write `predictor = "
                "Predictor(learn.export())` before it, which serves any number of threads; a second fit has to wait")

    @contextmanager
    def for_pass(self) -> Iterator[None]:
        "Within the block no other thread runs a pass or begins a fit. Waits for the passes of other threads; refused during their fits."
        with self:
            self.refuse_during_fit()
            yield

    @contextmanager
    def for_fit(self) -> Iterator[None]:
        "Within the block other threads are refused. Waits for the passes of other threads; refused during their fits."
        before, mine = None, False
        try:
            with self:
                self.refuse_during_fit()
                before, mine = self.trainer, True
                self.trainer = threading.current_thread()
            yield
        finally:
            if mine:
                self.trainer = before
