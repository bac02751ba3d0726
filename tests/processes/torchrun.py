"""Starts scripts as several ranks: with `torchrun`, as users do, or the same without the seconds in which each process imports torch."""
import os
import signal
import subprocess
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import fresh_process
import pytest
import torch

#: FSDP2 without a GPU, and checkpoints in parts.
needs_fsdp2 = pytest.mark.skipif(not hasattr(torch.cpu.Stream, "record_event"), reason="FSDP2 on a CPU needs torch 2.7")
needs_shard_files = pytest.mark.skipif(torch.__version__ < (2, 8), reason="checkpoints in parts need torch 2.8")
ROOT = Path(__file__).parents[2]
CLI = "import sys\nfrom minifast.cli.main import main\nsys.exit(main(sys.argv[1:]))"         #: `python -m minifast`, for `fresh_process`
LAST_WORDS = 30         # seconds that the other ranks have when one has failed, as with `torchrun`


def _env(more):
    return {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "MINIFAST_TIMEOUT": "60", "PYTHONPATH": str(ROOT), **more}


def torchrun(n, script, *args, timeout=240, ok=True, **env):
    "Run `script` with `n` ranks on this machine, each of them a new interpreter; returns the finished launcher, its output as text."
    done = fresh_process.run("from torch.distributed.run import main\nmain()", "--standalone", f"--nproc-per-node={n}", str(script),
                             *map(str, args), timeout=timeout, env=_env(env), libraries=False)
    assert not ok or done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done


def run_ranks(n, script, *args, timeout=240, ok=True, **env):
    """As `torchrun`, each rank forked from the server of `fresh_process`: what is said of ranks, and not of their launcher.

    The ranks meet at a store of this process, as at that of `torchrun`. When one fails the others get SIGTERM. The exit status is that of
    the rank that failed first.
    """
    from torch.distributed import TCPStore
    code, env, store = Path(script).read_text(), _env(env), None
    if n > 1:
        store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=timeout))
        env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True",
                "TORCHELASTIC_RESTART_COUNT": "0", "TORCHELASTIC_MAX_RESTARTS": "0", "TORCHELASTIC_RUN_ID": "tests",
                "WORLD_SIZE": str(n), "LOCAL_WORLD_SIZE": str(n), "GROUP_RANK": "0", "GROUP_WORLD_SIZE": "1", "ROLE_NAME": "default",
                "ROLE_WORLD_SIZE": str(n)}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        running = [fresh_process.start(code, *map(str, args), file=script, stdout=out, stderr=err,
                                       env=env if n == 1 else {**env, "RANK": str(r), "LOCAL_RANK": str(r), "ROLE_RANK": str(r)})
                   for r in range(n)]
        status = _wait(running, timeout)
        out.seek(0)
        err.seek(0)
        done = subprocess.CompletedProcess([str(script), *map(str, args)], status, out.read(), err.read())
    assert not ok or status == 0, f"exit status {status}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done


def _wait(running, timeout):
    "Until all have ended; returns the exit status of the first that failed, else 0."
    status, until = 0, time.monotonic() + timeout
    while running:
        for process in [p for p in running if p.poll() is not None]:
            running.remove(process)
            if process.returncode and not status:
                status, until = process.returncode, time.monotonic() + LAST_WORDS
                for other in running:
                    other.send_signal(signal.SIGTERM)
        if running and time.monotonic() > until:
            for process in running:
                process.kill()
            if not status:
                raise subprocess.TimeoutExpired([p.args for p in running], timeout)
        time.sleep(0.02)
    return status
