"""Threads that prepare batches: for work that lets go of Python's lock, as decoding and resizing pictures does.

They need no pickling, no start-up and no copies between processes. Batches come in order; each is made of parts, so that all threads work
on the one that is waited for.
"""
import atexit
import ctypes
import threading
import time
import weakref
from collections import deque
from contextlib import contextmanager

_running = weakref.WeakSet()
_registered = False


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
            if key is not None:
                self.parts.extend(_Making(self.begun, key, self.fetcher.begin(key)).split(self.n_parts))
        except BaseException as e:              # the order cannot be had: the loop gets the error in the place of the batch
            key = None
            self.ready[self.begun] = Raised(e)
            self.begun += 1
        if key is None:
            self.exhausted = True
        else:
            self.begun += 1

    def stop(self):
        with self.changed:
            self.stopped = True
            self.parts.clear()
            self.ready.clear()
            self.changed.notify_all()


class _Making:
    "A batch in the making."

    def __init__(self, number, key, samples):
        self.number, self.key, self.samples = number, key, samples
        self.errors, self.skipped = [], {}
        self.left = 0

    def split(self, n):
        size = -(-len(self.samples) // n)
        parts = [(self, range(i, min(i + size, len(self.samples)))) for i in range(0, len(self.samples), size)]
        self.left = len(parts)
        return parts


def _work(shared):
    with one_torch_thread():
        _make_batches(shared)


def _make_batches(shared):
    while (job := shared.take()) is not None:
        making, positions = job
        result = None
        try:
            if not making.errors:
                shared.fetcher.fill(making.key, positions, making.samples, making.skipped, lambda: shared.stopped)
        except BaseException as e:              # whatever it is, it belongs to the loop
            making.errors.append((positions[0], e))
        with shared.changed:
            making.left -= 1
            last = making.left == 0
        if not last or shared.stopped:
            del making, job
            continue
        if making.errors:
            result = Raised(min(making.errors, key=lambda pair: pair[0])[1])
        else:
            try:
                result = shared.fetcher.finish(making.key, making.samples, making.skipped)
                result = result.pin_memory() if shared.pin else result
            except BaseException as e:
                result = Raised(e)
        with shared.changed:
            if not shared.stopped:
                shared.ready[making.number] = result
            shared.changed.notify_all()
        del making, job, result


class Raised:
    "An error in the place of a batch."

    def __init__(self, error):
        self.error = error


class BatchThreads:
    """Iterator over the batches of `fetcher` for `keys`, made by `n` threads, at most two batches for each thread in advance.

    timeout: seconds to wait for a batch before giving up (0: for ever). `close()` ends the threads; so does forgetting the iterator.
    """

    def __init__(self, fetcher, keys, n, pin=False, timeout=0):
        global _registered
        if not _registered:
            atexit.register(_end_all)
            _registered = True
        keys = iter(keys)
        first = next(keys, None)                # the order may draw from the global random streams: here, not in a thread
        keys = iter(()) if first is None else _chain(first, keys)
        self.shared, self.timeout = _Shared(fetcher, keys, 2 * n, 2 * n, pin), timeout
        self.threads = [threading.Thread(target=_work, args=(self.shared,), name=f"minifast-loader-{i}", daemon=True) for i in range(n)]
        _running.add(self)
        for t in self.threads:
            t.start()

    def __iter__(self):
        return self

    def __next__(self):
        shared, since = self.shared, time.monotonic()
        with shared.changed:
            while shared.taken not in shared.ready:
                if shared.stopped or (shared.exhausted and shared.taken >= shared.begun):
                    break
                shared.changed.wait(1.0)                    # not for ever, so that Ctrl-C is heard on every system
                if self.timeout and time.monotonic() - since > self.timeout:
                    raise RuntimeError(f"DataLoader timed out after {self.timeout} seconds: no batch came from the worker threads")
            result = shared.ready.pop(shared.taken, None)
            shared.taken += 1
            shared.changed.notify_all()
        if result is None:
            self.close()
            raise StopIteration
        if isinstance(result, Raised):
            self.close()
            raise result.error
        return result

    def close(self):
        "End the threads; each finishes the item it is at."
        self.shared.stop()
        for t in self.threads:
            if t is not threading.current_thread() and t.is_alive():
                t.join(timeout=10)
        self.threads = []

    def __del__(self):
        if getattr(self, "shared", None) is not None:
            self.shared.stop()


def _chain(first, rest):
    yield first
    yield from rest


def _end_all():
    "Before the interpreter goes: threads that still run then could not be ended in an orderly way."
    for threads in list(_running):
        threads.close()


@contextmanager
def one_torch_thread():
    """Within the block torch's operations in this thread run in this thread alone: a picture is too small to be shared out, and where
    several threads make batches each would start helpers of its own. The number is kept per thread by OpenMP; where torch does not use
    that, or the system does not show it, nothing happens. (`torch.set_num_threads` may change other libraries' threads as well, for all.)
    """
    try:
        openmp = ctypes.CDLL(None)
        before = openmp.omp_get_max_threads()
        openmp.omp_set_num_threads(1)
    except (AttributeError, OSError, TypeError):
        before = None
    try:
        yield
    finally:
        if before is not None:
            openmp.omp_set_num_threads(before)
