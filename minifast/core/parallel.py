"""`parallel`: a function of many items at a time, as fastcore has it."""
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

from .device import cpu_count
from .items import L
from .progress import progress_bar


def num_cpus() -> int:
    "The number of cores this process may use."
    return cpu_count()


def parallel(f: Callable, items: Iterable, *args: Any, n_workers: int | None = None, total: int | None = None, progress: bool | None = None,
             pause: float = 0, method: str | None = None, threadpool: bool = False, timeout: float | None = None, chunksize: int = 1,
             return_exceptions: bool = False, **kwargs: Any) -> L:
    """`f(*args, item, **kwargs)` of every item, in several processes or threads.

    Args:
        f: a function; for processes one that can be pickled, so defined at the top of a module.
        items: the items.
        *args: arguments of `f` before the item, as in fastcore.
        n_workers: how many at a time (default: one for each core, 16 at most); 0: in this process.
        total: the number of items, for the progress bar.
        progress: show a progress bar.
        pause: seconds to wait before each call.
        method: how processes are started, 'fork', 'spawn' or 'forkserver' (default: Python's).
        threadpool: threads instead of processes.
        timeout: seconds to wait for a result.
        chunksize: items handed to a process at a time.
        return_exceptions: put an exception in the place of its result instead of raising it.
        **kwargs: keyword arguments of `f`.

    Returns:
        The results, in the order of the items.
    """
    items, call = list(items), partial(_call, partial(f, *args, **kwargs), pause, return_exceptions)
    n_workers = min(16, cpu_count()) if n_workers is None else n_workers
    if not n_workers:
        return L((call(o) for o in (progress_bar(items, total=total) if progress else items)), use_list=True)
    pool: Executor = ThreadPoolExecutor(n_workers) if threadpool else ProcessPoolExecutor(n_workers, get_context(method))
    with pool:
        results = pool.map(call, items, timeout=timeout, chunksize=chunksize)
        return L(progress_bar(results, total=total or len(items)) if progress else results, use_list=True)


def _call(f, pause, return_exceptions, o):
    time.sleep(pause)
    try:
        return f(o)
    except Exception as e:
        if return_exceptions:
            return e
        raise
