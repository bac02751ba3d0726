"""Threads, processes or neither: what a loader makes its batches with."""
import sys
from warnings import warn

from ...core.device import cpu_count
from ...core.seeds import fixed_seed, rng_state
from .fetch import is_in_memory
from .processes import start_method

KINDS = "thread", "process"


def global_drawer(fetcher):
    "A transform of items that is known to draw from a global random stream, which threads would share; or None."
    pipelines = [fetcher.after_item, *getattr(fetcher.dataset, "pipelines", ())]
    return next((f for p in pipelines for f in p if getattr(f, "draws_globally", False) and p.split_idx != 1), None)


def choose_workers(fetcher, n_batches, num_workers=None, worker_type=None, context=None, shares_memory=False):
    """(number, kind, context) of the workers for `fetcher`: kind 'thread', 'process' or None for no workers; context: how processes are
    started.

    Pictures: threads, unless a transform draws from a global random stream. Other data: processes. shares_memory: something is to be
    kept in memory for all workers, so processes will not do.
    """
    automatic = num_workers is None
    if automatic and (is_in_memory(fetcher.dataset) or n_batches < 2):
        return 0, None, None
    if num_workers == 0:
        return 0, None, None
    drawer = global_drawer(fetcher) if hasattr(fetcher, "after_item") else None
    if worker_type == "thread" and drawer is not None:
        raise ValueError(f"worker_type='thread': the transform {drawer!r} draws from torch's global random stream, which threads share, "
                         "so what is drawn would depend on chance. Use worker_type='process', or put it into batch_tfms")
    kind = worker_type
    if kind is None:
        kind = "thread" if context is None and drawer is None and (getattr(fetcher, "pictures", False) or shares_memory) else "process"
    if kind == "thread":
        return (min(8, cpu_count()) if automatic else num_workers), kind, None
    if shares_memory:
        if worker_type == "process":
            raise ValueError("cache='ram' and worker_type='process': each process would keep pictures of its own. Use threads, or "
                             "cache='disk'")
        warn(f"the data are loaded in this process (num_workers=0), because cache='ram' needs threads, and {drawer!r} draws from a global "
             "random stream. cache='disk' works with processes", stacklevel=5)
        return 0, None, None
    return choose_processes(fetcher, n_batches, num_workers, context, stacklevel=6)


def choose_processes(fetcher, n_batches, num_workers=None, context=None, stacklevel=5):
    "`choose_workers` for processes."
    spawns = not sys.platform.startswith("linux")
    if num_workers is None:
        if spawns:
            warn("the data are loaded in this process (num_workers=0), because here workers start by running your script again. For "
                 "workers give num_workers=, and put what the script does under `if __name__ == '__main__':`; or worker_type='thread'",
                 stacklevel=stacklevel)
            return 0, None, None
        num_workers = min(8, cpu_count(), n_batches)
    if context is not None:
        return num_workers, "process", context
    context, why = start_method(fetcher)
    if context is None:
        warn(f"the data are loaded in this process (num_workers=0 instead of {num_workers}), because they cannot be sent to a "
             f"worker: {why}. Define functions at the top of a module, not as a lambda or in a notebook, or use worker_type='thread'",
             stacklevel=stacklevel)
        return 0, None, None
    return num_workers, "process", context


def draws_from_global_streams(fetcher, index, epoch_seed):
    "Whether making item `index` draws from `random`, from numpy's or from torch's global stream. It makes the item; an error says nothing."
    with fixed_seed():
        before = rng_state()
        try:
            fetcher.item(index, epoch_seed)
        except Exception:
            return False
        after = rng_state()
    same_numpy = before["numpy"][2] == after["numpy"][2] and (before["numpy"][1] == after["numpy"][1]).all()
    return not (before["random"] == after["random"] and same_numpy and before["torch"].equal(after["torch"]))


def is_known(transform):
    "Whether it is a transform of this package, which draws from its own generator only; of functions it is not known."
    return type(transform).__module__.split(".")[0] == __name__.split(".")[0] and "name" not in vars(transform)


def may_draw_globally(fetcher):
    "Whether something of unknown origin takes part in making items."
    pipelines = getattr(fetcher.dataset, "pipelines", None)
    if pipelines is None:
        return True
    return not all(is_known(f) for p in (*pipelines, fetcher.after_item) for f in p)
