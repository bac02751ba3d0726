"""`minifast launch`: a script or notebook run by several processes, one for each GPU. The work is done by torchrun's own code."""
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from ..core import PathLike, check_arguments, is_number, is_whole
from ..core.paths import Path


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
