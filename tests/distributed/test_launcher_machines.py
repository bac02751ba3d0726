"""Two machines: network namespaces with a link between them, each with its own `minifast launch --nnodes=2`. Needs root and `ip`."""
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import fresh_process
import pytest
import torch
from torchrun import CLI, ROOT, run_ranks

RECIPE = Path(__file__).parents[1] / "processes" / "ranks_resume.py"


def _ip(*words):
    return subprocess.run(["ip", *map(str, words)], capture_output=True, text=True, check=True)


def _has_namespaces():
    try:
        _ip("netns", "add", "mf-probe")
        _ip("netns", "del", "mf-probe")
        return True
    except (OSError, subprocess.CalledProcessError):
        return False


pytestmark = [pytest.mark.slow, pytest.mark.skipif(not shutil.which("ip") or not _has_namespaces(), reason="needs root and ip netns")]


@contextmanager
def machines():
    "Names of two namespaces; the first has the address 10.77.0.1, the second 10.77.0.2."
    names = [f"mf{os.getpid()}{i}" for i in "ab"]
    try:
        for name in names:
            _ip("netns", "add", name)
        _ip("link", "add", f"{names[0]}-l", "type", "veth", "peer", "name", f"{names[1]}-l")
        for i, name in enumerate(names, 1):
            _ip("link", "set", f"{name}-l", "netns", name)
            _ip("-n", name, "addr", "add", f"10.77.0.{i}/24", "dev", f"{name}-l")
            for link in ("lo", f"{name}-l"):
                _ip("-n", name, "link", "set", link, "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)


def start(name, number, *args, timeout=60):
    "`minifast launch` on a machine, with one process."
    enter = (f"import ctypes\nwith open('/run/netns/{name}') as namespace:\n"
             "    assert ctypes.CDLL(None).setns(namespace.fileno(), 0x40000000) == 0           # CLONE_NEWNET\n")
    return fresh_process.start(
        enter + CLI, "launch", "--nproc=1", f"--timeout={timeout}", "--nnodes=2", f"--node-rank={number}", "--master-addr=10.77.0.1",
        "--master-port=29600", *map(str, args), libraries=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": f"{name}-l", "PYTHONPATH": str(ROOT)})


def test_two_machines_train_what_one_trains(tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    together.mkdir()
    run_ranks(1, RECIPE, alone, "whole", 0, 0)
    with machines() as names:
        running = [start(name, i, RECIPE, together, "whole", 0, 0) for i, name in enumerate(names)]
        said = [p.communicate(timeout=120) for p in running]
    assert [p.returncode for p in running] == [0, 0], said[0][1][-1500:] + said[1][1][-1500:]
    assert "2 ranks train together" in said[0][0] and said[1][0] == ""
    expected, got = (torch.load(folder / "end.pt", weights_only=True) for folder in (alone, together))
    torch.testing.assert_close(got["weights"], expected["weights"], rtol=0, atol=1e-6)


def test_an_error_on_one_machine_is_told_on_the_other(tmp_path):
    with machines() as names:
        running = [start(name, i, RECIPE, tmp_path, "fails", 0, 0, timeout=30) for i, name in enumerate(names)]
        said = [p.communicate(timeout=120) for p in running]
    assert all(p.returncode for p in running)
    assert "rank 1 failed first:\nTraceback" in said[1][1]
    assert "because rank 1 failed first: KeyError: 'not there" in said[0][1] and "in after_batch" in said[0][1], said[0][1][-2000:]


def test_a_link_that_is_cut_ends_both_within_the_timeout(tmp_path):
    script = tmp_path / "waits.py"
    script.write_text("import sys, time, torch\nfrom minifast.core import ranks\nranks.summed(torch.ones(1))\n"
                      "open(f'{sys.argv[1]}/{ranks.rank()}', 'w').close()\n"
                      "while True:\n    ranks.summed(torch.ones(1))\n    time.sleep(0.1)\n")
    with machines() as names:
        running = [start(name, i, script, tmp_path, timeout=5) for i, name in enumerate(names)]
        began = time.monotonic()
        while not all((tmp_path / str(r)).exists() for r in (0, 1)) and time.monotonic() < began + 60:
            time.sleep(0.2)
        _ip("-n", names[1], "link", "set", f"{names[1]}-l", "down")
        cut = time.monotonic()
        said = [p.communicate(timeout=120) for p in running]
        took = time.monotonic() - cut
    assert all(p.returncode for p in running) and took < 60
    assert "rank 0 could not reach the others" in said[0][1] and "not heard of: rank 1" in said[0][1], said[0][1][-2000:]
    assert "rank 1 could not reach the others" in said[1][1], said[1][1][-2000:]
