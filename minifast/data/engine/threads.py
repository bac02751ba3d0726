"""The engine of threads: for work that lets go of Python's lock, as decoding and resizing images does.

Threads need no pickling, no start-up and no copies between processes. Batches come in order; each is made of parts, so that all threads
work on the one that is waited for.
"""
import atexit
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from ...core.messages import add_note
from .fetch import BatchKey, Fetcher, one_torch_thread

#: What to say when no batch came in time.
TIMED_OUT = ("no batch came from the workers within timeout={} seconds: a file that cannot be reached, or transforms that slow? "
             "num_workers=0 shows where it stops; timeout=0 waits for ever")


class ThreadEngine:
    "Makes batches with `n` threads, which live as long as an epoch. timeout: seconds to wait for a batch, 0: for ever."

    def __init__(self, fetcher: Fetcher, n: int, pin: bool = False, timeout: float = 0):
        self.fetcher, self.n, self.pin, self.timeout = fetcher, n, pin, timeout

    def batches(self, keys: Iterator[BatchKey]) -> "BatchThreads":
        "The batches for `keys`, in their order."
        return BatchThreads(self.fetcher, keys, self.n, self.pin, self.timeout)

    def close(self) -> None:
        "Nothing to end between epochs."


class _Shared:
    "What the threads and the loop share. The threads hold this and not the `BatchThreads`, so that an abandoned loop can end them."

    def __init__(self, fetcher, keys, parts, ahead, pin):
        self.fetcher, self.keys, self.n_parts, self.ahead, self.pin = fetcher, keys, parts, ahead, pin
        self.changed = threading.Condition()
        self.parts, self.ready = deque(), {}
        self.begun = self.taken = 0
        self.exhausted = self.stopped = False

    def take(self):
        "The next part to work on; None when there is no more to do."
        with self.changed:
            while not self.stopped:
                if self.parts:
                    return self.parts.popleft()
                if not self.exhausted and self.begun - self.taken < self.ahead:
                    self._begin_next()
                    self.changed.notify_all()
                elif self.exhausted:
                    return None
                else:
                    self.changed.wait()
            return None

    def _begin_next(self):
        try:
            key = next(self.keys, None)
            if key is None:
                self.exhausted = True
                return
            self.parts.extend(_Job(self.begun, self.fetcher.begin(key)).split(len(key.indices), self.n_parts))
        except BaseException as e:              # the order cannot be had: the loop gets the error in the place of the batch
            self.exhausted = True
            self.ready[self.begun] = Raised(e)
        self.begun += 1

    def stop(self):
        with self.changed:
            self.stopped = True
            self.parts.clear()
            self.ready.clear()
            self.changed.notify_all()


class _Job:
    "A batch in the making, shared out among threads."

    def __init__(self, number, making):
        self.number, self.making = number, making
        self.errors, self.left = [], 0

    def split(self, n_samples, n_parts):
        size = -(-n_samples // n_parts)
        parts = [(self, range(i, min(i + size, n_samples))) for i in range(0, n_samples, size)]
        self.left = len(parts)
        return parts


def _work(shared):
    with one_torch_thread():
        while (part := shared.take()) is not None:
            _do(shared, *part)
            del part


def _do(shared, job, positions):
    try:
        if not job.errors:
            shared.fetcher.fill(job.making, positions, lambda: shared.stopped)
    except BaseException as e:                  # whatever it is, it belongs to the loop
        job.errors.append((positions[0], e))
    with shared.changed:
        job.left -= 1
        last = job.left == 0
    if last and not shared.stopped:
        result = _result(shared, job)
        with shared.changed:
            if not shared.stopped:
                shared.ready[job.number] = result
            shared.changed.notify_all()


def _result(shared, job):
    if job.errors:
        return Raised(min(job.errors, key=lambda pair: pair[0])[1])
    try:
        batch = shared.fetcher.finish(job.making)
        return batch.pin_memory() if shared.pin else batch
    except BaseException as e:
        return Raised(e)


class Raised:
    "An error in the place of a batch."

    def __init__(self, error: BaseException):
        self.error = error


class BatchThreads:
    """Iterator over the batches of `fetcher` for `keys`, made by `n` threads, at most two batches for each thread in advance.

    timeout: seconds to wait for a batch before giving up (0: for ever). `close()` ends the threads; so does forgetting the iterator.
    """

    def __init__(self, fetcher: Fetcher, keys: Iterator[BatchKey], n: int, pin: bool = False, timeout: float = 0):
        keys = iter(keys)
        keys = chain(list(islice(keys, 1)), keys)   # the order may draw from the global random streams: here, not in a thread
        self.shared, self.timeout = _Shared(fetcher, keys, 2 * n, 2 * n, pin), timeout
        self.threads = [threading.Thread(target=_work, args=(self.shared,), name=f"minifast-loader-{i}", daemon=True) for i in range(n)]
        _running.add(self)
        for t in self.threads:
            t.start()

    def __iter__(self) -> "BatchThreads":
        return self

    def __next__(self) -> Any:
        shared, since = self.shared, time.monotonic()
        with shared.changed:
            while shared.taken not in shared.ready:
                if shared.stopped or (shared.exhausted and shared.taken >= shared.begun):
                    break
                shared.changed.wait(1.0)                    # not for ever, so that Ctrl-C works on every system
                if self.timeout and time.monotonic() - since > self.timeout:
                    error = RuntimeError(f"DataLoader timed out after {self.timeout} seconds: no batch came from the worker threads")
                    add_note(error, TIMED_OUT.format(self.timeout))
                    raise error
            result = shared.ready.pop(shared.taken, None)
            shared.taken += 1
            shared.changed.notify_all()
        if result is None or isinstance(result, Raised):
            self.close()
            raise StopIteration if result is None else result.error
        return result

    def close(self) -> None:
        "End the threads; each finishes the item it is at."
        self.shared.stop()
        for t in self.threads:
            if t is not threading.current_thread() and t.is_alive():
                t.join(timeout=10)
        self.threads = []

    def __del__(self) -> None:
        if getattr(self, "shared", None) is not None:
            self.shared.stop()


_running: "weakref.WeakSet[BatchThreads]" = weakref.WeakSet()


@atexit.register
def _end_all():
    "Before the interpreter goes: threads that still run then could not be ended in an orderly way."
    for threads in list(_running):
        threads.close()
