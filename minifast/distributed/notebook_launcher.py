"""`notebook_launcher`: a function run by several processes that train together, from a notebook with several GPUs, such as Kaggle's two."""
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from warnings import warn

import torch

from ..core import check_arguments, checkpoint, describe, is_number, ranks
from ..core.paths import Path
from ..core.rank_failures import report
from .launcher import process_count


def notebook_launcher(function: Callable[..., Any], args: Sequence = (), num_processes: int | None = None,
                      timeout: float | None = None) -> Any:
    """Run a function in several processes that train together: in notebooks, where `minifast launch` cannot be used.

    Everything that touches a GPU (loaders, learner, training) belongs into the function: the processes are copies of this one, and a GPU
    that is in use cannot be copied. What the function changes stays in its processes: save the learner there, and load it here.

    Args:
        function: what each process runs. `print` shows its output here.
        args: its arguments, a tuple.
        num_processes: how many; None: one for each GPU. With one, or on a CPU unless it is said, the function runs in this process.
        timeout: seconds that a process waits for another before it gives up; None: 600, or what `MINIFAST_TIMEOUT` says.

    Returns:
        What the function returned in the first process, if it is plain: tensors, numbers, text, None, and lists, tuples and dicts of them.

    Raises:
        RuntimeError: a GPU is in use already, or a process failed: with the traceback of the first one that did.
    """
    check_arguments("notebook_launcher", function=(function, callable(function), "the function that trains, by its name"),
                    args=(args, isinstance(args, (tuple, list)), "a tuple of its arguments, such as (64, 1e-3)"),
                    timeout=(timeout, timeout is None or (is_number(timeout) and timeout > 0), "seconds, a number above 0"))
    if ranks.launched() or ranks.joined():                     # this process is one of several already
        return function(*args)
    n = process_count(num_processes)
    if n == 1:
        return function(*args)
    if torch.cuda.is_initialized():
        raise RuntimeError(f"notebook_launcher(num_processes={n}): this process has used a GPU already, and a GPU in use cannot be shared "
                           "with new processes. Restart the kernel, and keep everything that touches a GPU (loaders, learner, tensors on "
                           "'cuda') inside the function that notebook_launcher runs")
    if "fork" not in torch.multiprocessing.get_all_start_methods():
        raise RuntimeError("notebook_launcher needs a system that can fork a process, such as Linux: put the function into a file "
                           f"train.py, and write `minifast launch --nproc {n} train.py` in a terminal")
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=60))
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.safetensors"
        told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "WORLD_SIZE": str(n), "LOCAL_WORLD_SIZE": str(n),
                "GROUP_RANK": "0", "TORCHELASTIC_USE_AGENT_STORE": "True"}
        if timeout is not None:
            told["MINIFAST_TIMEOUT"] = str(timeout)
        sys.stdout.flush()                                     # else each process prints it again
        sys.stderr.flush()
        try:
            torch.multiprocessing.start_processes(_run, (function, args, told, result), nprocs=n, start_method="fork")
        except (torch.multiprocessing.ProcessRaisedException, torch.multiprocessing.ProcessExitedException) as e:
            raise RuntimeError(f"rank {e.error_index} of {n} failed first: {str(e).strip()}") from None
        return checkpoint.load(result) if result.exists() else None


def _run(rank, function, args, told, result):
    "A process: rank `rank` of those that run `function`."
    os.environ.update(told, RANK=str(rank), LOCAL_RANK=str(rank))
    torch.set_num_threads(1)                                   # more of them can hang in a process that was forked
    try:
        ranks.join()
        value = function(*args)
    except Exception as e:
        said = report(e)
        if said is None or said.startswith(f"rank {rank} failed first"):
            raise
        print(said, file=sys.stderr, flush=True)
        sys.exit(1)
    if rank == 0:
        try:
            checkpoint.save(value, result)
        except TypeError:
            warn(f"notebook_launcher: the function returned {describe(value)}, which stays in its process. Save what is needed there, "
                 "such as learn.save('trained'), and return plain values", stacklevel=2)
    ranks.leave()
