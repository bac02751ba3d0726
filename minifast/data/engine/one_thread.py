"""One thread per worker thread: torch's operations are not shared out while an image is made.

An image is too small to be shared out, and where several threads make batches each would start helpers of its own. The number is kept per
thread by OpenMP; where torch does not use that, or the system does not show it, nothing happens. (`torch.set_num_threads` may change other
libraries' threads as well, and for all threads.)
Measured (2026-11, 2 cores, two worker threads, cache='ram'): 24 to 26 % of the time; more where there are more cores.
Fallback: nothing is done.
"""
import ctypes
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_torch_thread() -> Iterator[None]:
    "Within the block torch's operations that this thread starts run in this thread alone."
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
