"""Starts scripts with `torchrun`, as users do."""
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def torchrun(n, script, *args, timeout=240, ok=True, **env):
    "Run `script` with `n` ranks on this machine (1: as a plain script); returns the finished process, its output as text."
    launcher = [] if n == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"]
    done = subprocess.run([sys.executable, *launcher, str(script), *map(str, args)], capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "MINIFAST_TIMEOUT": "60",
                               "PYTHONPATH": str(ROOT), **env})
    assert not ok or done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done
