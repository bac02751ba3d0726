"""The engine of threads: for work that lets go of Python's lock, as decoding and resizing images does.

Threads need no pickling, no start-up and no copies between processes. Batches come in order; each is made of parts, so that all threads
work on the one that is waited for.
"""
import atexit
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from itertools import islice
from queue import SimpleQueue

from ...core.messages import add_note
from .draws import Watch
from .fetch import Batch, BatchKey, Fetcher, one_torch_thread

#: What to say when no batch came in time.
TIMED_OUT = ("no batch came from the workers within timeout={} seconds: a file that cannot be reached, or transforms that slow? "
             "num_workers=0 shows where it stops; timeout=0 waits for ever")


class _Job(Future):
    """A batch in the making, shared out among threads: the one that is done last finishes it.

    Its result is the batch, or None where there are `errors`. These are no exception of the `Future`, which would keep it, and with it the
    frames of its traceback and all that these hold: this job, the loop, the loader.
    """

    def __init__(self, fetcher, key, n_parts, pin):
        super().__init__()
        self.fetcher, self.pin, self.making = fetcher, pin, fetcher.begin(key)
        n_samples = len(key.indices)
        size = -(-n_samples // n_parts)
        self.parts = [range(i, min(i + size, n_samples)) for i in range(0, n_samples, size)]
        self.left, self.lock, self.errors = len(self.parts), threading.Lock(), []

    def make(self, positions):
        "Make the samples at these `positions`, one of the `parts`."
        try:
            if not self.errors and not self.cancelled():
                self.fetcher.fill(self.making, positions, self.cancelled)
        except BaseException as e:              # whatever it is, it belongs to the loop
            self.errors.append((positions[0], e))
        with self.lock:
            self.left -= 1
            is_last = not self.left
        if is_last and self.set_running_or_notify_cancel():
            batch = None
            try:
                if not self.errors:
                    batch = self.fetcher.finish(self.making)
                    batch = batch.pin_memory() if self.pin else batch
            except BaseException as e:
                self.errors.append((0, e))
            self.set_result(batch)

    def taken(self):
        "The batch; or the first of the errors is raised, and all of them are held no longer."
        errors, self.errors = self.errors, []
        if not errors:
            return self.result()
        try:
            raise min(errors, key=lambda pair: pair[0])[1]
        finally:
            del errors


def _work(todo):
    with one_torch_thread():
        while (work := todo.get()) is not None:
            job, positions = work
            job.make(positions)
            del work, job                       # a thread that waits holds no batch


class ThreadEngine:
    """Makes batches with `n` threads, which live as long as an epoch, at most two batches for each thread in advance.

    These are not the threads of a `ThreadPoolExecutor`: the interpreter would not end while one of them waits for a file.
    pin: in page-locked memory. timeout: seconds to wait for a batch before giving up, 0: for ever.
    """

    def __init__(self, fetcher: Fetcher, n: int, pin: bool = False, timeout: float = 0):
        self.fetcher, self.n, self.pin, self.timeout = fetcher, n, pin, timeout
        self._ends: set[Callable[[], None]] = set()           # of each epoch under way: what ends its threads
        self._loop_draws = False

    def batches(self, keys: Iterator[BatchKey]) -> Iterator[Batch]:
        "The batches for `keys`, in their order. Closing the iterator, or forgetting it, ends the threads; each finishes its item."
        keys, todo, jobs = iter(keys), SimpleQueue(), deque()
        watch = Watch(self.fetcher, self._loop_draws) if self.fetcher.may_draw_globally else None
        threads = [threading.Thread(target=_work, args=(todo,), name=f"minifast-loader-{i}", daemon=True) for i in range(self.n)]

        def end(patience=2.0):                  # it refers to nothing that refers to it: it goes with its epoch, and the data with it
            while jobs:
                job = jobs.pop()
                job.cancel()
                job.errors.clear()
            for _ in threads:
                todo.put(None)
            until = time.monotonic() + patience             # for all of them: one that waits for a file ends when it has it
            for t in threads:
                if t is not threading.current_thread() and t.is_alive():
                    t.join(timeout=max(0.0, until - time.monotonic()))

        self._ends.add(end)
        atexit.register(end, 10.0)              # threads that still run when the interpreter goes could not be ended in an orderly way
        try:
            for t in threads:
                t.start()
            while True:
                for key in islice(keys, 1 + 2 * self.n - len(jobs)):
                    jobs.append(_Job(self.fetcher, key, 2 * self.n, self.pin))
                    for part in jobs[-1].parts:
                        todo.put((jobs[-1], part))
                if not jobs:
                    return
                self._wait_for(jobs[0])
                if watch is not None and watch.suspects():
                    for job in jobs:
                        self._wait_for(job)
                    watch.check([job.making.key for job in jobs])
                    self._loop_draws = watch.loop_draws
                yield jobs.popleft().taken()    # what was handed out is not held here: its memory may be used again soon
                if watch is not None:
                    watch.resume()
        finally:
            atexit.unregister(end)
            self._ends.discard(end)
            left = [job.making.key for job in jobs]
            end()
            if watch is not None and left:
                watch.leave(left)

    def _wait_for(self, job):
        since = time.monotonic()
        while not wait([job], 1.0).done:        # not for ever, so that Ctrl-C works on every system
            if self.timeout and time.monotonic() - since > self.timeout:
                try:
                    raise RuntimeError(f"DataLoader timed out after {self.timeout} seconds: no batch came from the worker threads")
                except RuntimeError as e:
                    add_note(e, TIMED_OUT.format(self.timeout))
                    raise

    def close(self, error: BaseException | None = None) -> None:
        "Between epochs there is nothing to end. error: what went wrong: the threads of epochs under way end, each after its item."
        for end in list(self._ends) if error is not None else ():
            end()
