"""`minifast launch`."""
import json
import os

import fresh_process
import pytest
import torch
from torchrun import CLI, ROOT

from minifast.cli.main import main
from minifast.distributed.launcher import launch, process_count, threads_each


def test_a_process_for_each_gpu(monkeypatch):
    assert process_count(None) == max(1, torch.cuda.device_count())
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert (process_count(None), process_count(1)) == (2, 1)
    with pytest.raises(ValueError, match="nproc=3: this machine has 2 GPUs"):
        process_count(3)
    assert threads_each(10_000) == 1 and threads_each(1) == len(os.sched_getaffinity(0))


def test_what_cannot_be_started(tmp_path, capsys):
    (tmp_path / "a.py").write_text("")
    with pytest.raises(FileNotFoundError, match=r"there is no script or notebook .*b\.py"):
        launch(tmp_path / "b.py")
    with pytest.raises(ValueError, match="seconds, a number above 0"):
        launch(tmp_path / "a.py", timeout=0)
    assert main(["launch", str(tmp_path / "b.py")]) == 2 and "there is no script" in capsys.readouterr().err


@pytest.mark.slow
def test_of_a_launch_from_python_nothing_is_left(tmp_path):
    """torchrun handles the signals, so that its processes end: a program that goes on must not do so itself. In a fresh process: torchrun
    looks through all modules for each of its callers, which takes 20 seconds in a process that has imported a lot."""
    (tmp_path / "a.py").write_text("import os\nopen('said', 'w').write(' '.join(os.environ[n] for n in "
                                   "('OMP_NUM_THREADS', 'MINIFAST_TIMEOUT')))")
    code = """
import os, signal
from minifast.distributed.launcher import launch
before = [signal.getsignal(s) for s in signal.valid_signals()]
assert launch("a.py", nproc=1, timeout=30) == 0
assert [signal.getsignal(s) for s in signal.valid_signals()] == before
assert "OMP_NUM_THREADS" not in os.environ and os.environ["MINIFAST_TIMEOUT"] == "7"
"""
    environ = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    fresh_process.run(code, cwd=tmp_path, env={**environ, "MINIFAST_TIMEOUT": "7", "PYTHONPATH": str(ROOT)}, check=True, libraries=False)
    assert (tmp_path / "said").read_text() == f"{threads_each(1)} 30"


def run(*args, **env):
    return fresh_process.run(CLI, "launch", *map(str, args), timeout=200, libraries=False,
                             env={**os.environ, "PYTHONPATH": str(ROOT), **env})


@pytest.mark.slow
def test_a_notebook_in_two_processes(tmp_path):
    cells = ["%matplotlib inline\nimport os, sys, torch\nfrom minifast.basics import *",
             "assert sys.argv[1:] == ['--fail', 'no'] and num_distrib() == 2 and os.environ['MINIFAST_TIMEOUT'] == '30.0'\n"
             "from minifast.core.ranks import gathered\nranks = gathered(rank_distrib())\nif rank_distrib() == 0: print(ranks)"]
    file = tmp_path / "a.ipynb"
    file.write_text(json.dumps({"cells": [{"cell_type": "code", "source": c} for c in cells]}))
    done = run("--nproc", 2, "--timeout", 30, file, "--fail", "no")
    assert done.returncode == 0 and done.stdout == "[0, 1]\n", done.stderr[-2000:]
    assert done.stderr.count("left out, because only IPython understands them") == 1


@pytest.mark.slow
def test_the_exit_status_is_that_of_the_first_failure(tmp_path):
    script = tmp_path / "a.py"
    script.write_text("import os, sys\nfrom minifast.core import ranks\nif ranks.rank() == 1: sys.exit(7)\nranks.barrier()")
    done = run("--nproc", 2, script)
    assert done.returncode == 7 and "minifast launch: rank 1 ended with exit code 7" in done.stderr, done.stderr[-2000:]
    script.write_text("import os, signal\nif os.environ['RANK'] == '1': os.kill(os.getpid(), signal.SIGKILL)\nimport time; time.sleep(60)")
    done = run("--nproc=2", script)
    assert done.returncode == 137 and "minifast launch: rank 1 was killed by SIGKILL" in done.stderr, done.stderr[-2000:]
