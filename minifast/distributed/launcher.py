"""`minifast launch`: a script or notebook run by several processes, one for each GPU. The work is done by torchrun's own code.
`notebook_launcher`: a function run so, from a notebook with several GPUs, such as Kaggle's two."""
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from warnings import warn

import torch

from ..core import PathLike, check_arguments, checkpoint, describe, is_number, is_whole, ranks
from ..core.paths import Path
from ..core.rank_failures import report


def process_count(n: int | None) -> int:
    """How many processes to start on this machine.

    Args:
        n: as asked for; None: one for each GPU, on a CPU one.

    Raises:
        ValueError: there are fewer GPUs.
    """
    gpus = torch.cuda.device_count()
    if n is None:
        return max(1, gpus)
    check_arguments("launch", nproc=(n, is_whole(n), "how many processes to start on this machine, a whole number from 1 up"))
    if gpus and n > gpus:
        raise ValueError(f"nproc={n}: this machine has {gpus} GPU{'s' if gpus > 1 else ''}, and each process takes one: nproc={gpus}. To "
                         "train on the CPU, hide the GPUs: CUDA_VISIBLE_DEVICES=''")
    return n


def threads_each(n: int) -> int:
    """How many threads each of `n` processes on this machine may use.

    Args:
        n: how many processes.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return max(1, cores // n)


def launch(script: PathLike, args: Sequence[str] = (), nproc: int | None = None, timeout: float | None = None,
           torchrun_args: Sequence[str] = ()) -> int:
    """Run a script or a notebook in several processes that train together, as it is.

    Args:
        script: a Python file, or a notebook, of which the code cells are run.
        args: what the script finds in `sys.argv[1:]`.
        nproc: how many processes to start on this machine; None: one for each GPU, on a CPU one.
        timeout: seconds that a process waits for another before it gives up; None: 600, or what `MINIFAST_TIMEOUT` says.
        torchrun_args: more options of torchrun, such as `['--nnodes=2', '--node-rank=0', '--master-addr=10.0.0.1']` of two machines.

    Returns:
        The exit status: 0, or that of the process that failed first.

    Raises:
        FileNotFoundError: there is no such script.
        ValueError: arguments that cannot be.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main
    script, n = Path(script).expanduser(), process_count(nproc)
    if not script.is_file():
        raise FileNotFoundError(f"there is no script or notebook {script}")
    check_arguments("launch", timeout=(timeout, timeout is None or (is_number(timeout) and timeout > 0), "seconds, a number above 0"))
    own = {"OMP_NUM_THREADS": str(threads_each(n))} if "OMP_NUM_THREADS" not in os.environ else {}
    if timeout is not None:
        own["MINIFAST_TIMEOUT"] = str(timeout)
    alone = not any(str(o).startswith(("--nnodes", "--rdzv", "--master")) for o in torchrun_args)
    what = [str(script)] if script.suffix != ".ipynb" else ["-m", f"{__package__}.notebooks", str(script)]
    try:
        with _within(own):
            main([*(["--standalone"] if alone else []), f"--nproc-per-node={n}", *torchrun_args, *what, *args])
    except ChildFailedError as e:
        rank, failure = e.get_first_failure()
        how = f"was killed by {failure.signal_name()}" if failure.exitcode < 0 else f"ended with exit code {failure.exitcode}"
        print(f"minifast launch: rank {rank} {how}, and all others were ended", file=sys.stderr)
        return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    except SignalException as e:                            # Ctrl-C, or the end of a job: the processes have ended
        return 128 + e.sigval
    return 0


@contextmanager
def _within(variables: Mapping[str, str]) -> Iterator[None]:
    "Environment variables for processes that start; afterwards they, and the handlers of signals, which torchrun sets, are as before."
    environment, handlers = {name: os.environ.get(name) for name in variables}, {s: signal.getsignal(s) for s in signal.valid_signals()}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)


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
