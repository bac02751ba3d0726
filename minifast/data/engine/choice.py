"""Which engine makes the batches of a loader: none of its own (inline), threads or processes."""
import multiprocessing
import sys
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, Protocol
from warnings import warn

from ...core.device import cpu_count
from .fetch import Batch, BatchKey, Fetcher, InlineEngine
from .processes import ProcessEngine, start_method
from .threads import ThreadEngine


class Engine(Protocol):
    "Turns the order of an epoch into batches."

    def batches(self, keys: Iterator[BatchKey]) -> Iterator[Batch]:
        "The batches for `keys`, in their order. Closing the iterator, or forgetting it, ends the epoch."

    def close(self, error: BaseException | None = None) -> None:
        "End what is kept between epochs. error: what went wrong: the workers of an epoch under way end too, at once."


class Workers(NamedTuple):
    "How many workers of which kind; context: how processes are started."

    n: int = 0
    kind: Literal["thread", "process"] | None = None
    context: Any = None


def make_engine(fetcher: Fetcher, workers: Workers, pin: bool, timeout: float, persistent: bool) -> Engine:
    "The engine of these `workers`. pin: batches come in page-locked memory. persistent: processes are kept between epochs."
    if not workers.n:
        return InlineEngine(fetcher, pin)
    if workers.kind == "thread":
        return ThreadEngine(fetcher, workers.n, pin, timeout)
    return ProcessEngine(fetcher, workers.n, pin, timeout, workers.context, persistent)


def choose_workers(fetcher: Fetcher, n_batches: int, n: int | None = None, kind: str | None = None, context: Any = None,
                   in_memory_cache: bool = False) -> Workers:
    """The workers for `fetcher`, where the user asks for `n` of `kind` (None: not said).

    None for data in memory and for a single batch. Images: threads, unless a transform draws from a global random stream. Other data:
    processes. in_memory_cache: one cache serves all workers, so processes will not do.
    """
    if n == 0 or (n is None and (fetcher.in_memory or n_batches < 2)):
        return Workers()
    drawer = _global_drawer(fetcher)
    if kind == "thread" and drawer is not None:
        raise ValueError(f"worker_type='thread': the transform {drawer!r} draws from torch's global random stream, which threads share, "
                         "so what is drawn would depend on chance. Use worker_type='process', or put it into batch_tfms")
    if in_memory_cache and kind == "process":
        raise ValueError("cache='ram' and worker_type='process': each process would keep images of its own. Use threads, or cache='disk'")
    suits_threads = context is None and drawer is None and (fetcher.loads_images or in_memory_cache)
    if kind == "thread" or (kind is None and suits_threads):
        return Workers(min(8, cpu_count()) if n is None else n, "thread")
    if in_memory_cache:
        warn(f"the data are loaded in this process (num_workers=0), because cache='ram' needs threads, and {drawer!r} draws from a global "
             "random stream. cache='disk' works with processes", stacklevel=5)
        return Workers()
    return choose_processes(fetcher, n_batches, n, context, stacklevel=6)


def choose_processes(fetcher: Fetcher, n_batches: int, n: int | None = None, context: Any = None, stacklevel: int = 5) -> Workers:
    "`choose_workers` for processes."
    if n is None:
        if not sys.platform.startswith("linux"):
            warn("the data are loaded in this process (num_workers=0), because here workers start by running your script again. For "
                 "workers give num_workers=, and put what the script does under `if __name__ == '__main__':`; or worker_type='thread'",
                 stacklevel=stacklevel)
            return Workers()
        n = min(fetcher.most_workers, cpu_count(), n_batches)
    if context is None:
        context, why = start_method(fetcher)
        if context is None:
            warn(f"the data are loaded in this process (num_workers=0 instead of {n}), because they cannot be sent to a worker: {why}. "
                 "Define functions at the top of a module, not as a lambda or in a notebook, or use worker_type='thread'",
                 stacklevel=stacklevel)
            return Workers()
    return Workers(n, "process", multiprocessing.get_context(context) if isinstance(context, str) else context)


def _global_drawer(fetcher):
    "A transform of items that is known to draw from a global random stream, which threads would share; or None."
    return next((f for p in fetcher.pipelines for f in p if getattr(f, "draws_globally", False) and p.split_idx != 1), None)
