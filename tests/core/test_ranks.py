"""Who is who among several processes, and what they tell each other."""
import os

import fresh_process
import pytest
import torch
from torchrun import run_ranks

from minifast.core import ranks

ALL = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}


def test_a_world_of_one_needs_nothing():
    assert (ranks.rank(), ranks.world_size(), ranks.is_main(), ranks.shared(3), ranks.gathered("a")) == (0, 1, True, 3, ["a"])
    assert ranks.shared_int(3) == 3 and ranks.is_alike("a")
    assert ranks.rank0_first(lambda x: x + 1, 2) == 3
    assert torch.equal(ranks.summed(torch.ones(2)), torch.ones(2))
    ranks.barrier()


@pytest.mark.parametrize("told", [{}, {"RANK": "3"}, {"RANK": "3", "WORLD_SIZE": "4"}, {"WORLD_SIZE": "8", "SLURM_PROCID": "2"},
                                  {**ALL, "RANK": "0", "WORLD_SIZE": "1"}, {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}])
def test_variables_of_schedulers_start_nothing(monkeypatch, told):
    for name, value in told.items():
        monkeypatch.setitem(os.environ, name, value)
    assert not ranks.launched() and ranks.world_size() == 1


def test_all_variables_of_a_launcher_count(monkeypatch):
    for name, value in ALL.items():
        monkeypatch.setitem(os.environ, name, value)
    assert ranks.launched()
    monkeypatch.setitem(os.environ, "MINIFAST_RANK_PROCESS", f"{os.getpid()} 1 29511")
    assert ranks.launched()
    monkeypatch.setitem(os.environ, "MINIFAST_RANK_PROCESS", "1 1 29511")           # of the process that has started this one
    assert not ranks.launched()
    monkeypatch.setitem(os.environ, "MINIFAST_RANK_PROCESS", "1 0 29400")           # of a launcher around this one's
    assert ranks.launched()


@pytest.mark.parametrize("wrong", [{"RANK": "2"}, {"RANK": "-1"}, {"WORLD_SIZE": "two"}, {"MASTER_PORT": ""}, {"WORLD_SIZE": "0"}])
def test_variables_that_contradict_each_other_are_refused(monkeypatch, wrong):
    for name, value in {**ALL, **wrong}.items():
        monkeypatch.setitem(os.environ, name, value)
    (name, value), = wrong.items()
    with pytest.raises(RuntimeError, match=f"{name}='{value}'.*fit no rank of a world"):
        ranks.world_size()


@pytest.mark.slow
def test_a_rank_that_waits_in_vain_says_for_whom():
    code = "from minifast.core import ranks\nranks.world_size()"
    done = fresh_process.run(code, env={**os.environ, **ALL, "MINIFAST_TIMEOUT": "2"}, timeout=60)
    assert done.returncode == 1
    assert "rank 1 waited 2 seconds at 127.0.0.1:29511 for all 2 ranks to begin" in done.stderr and "unset RANK" in done.stderr


@pytest.mark.parametrize("wrong", ["", "soon", "0", "-3", "inf"])
def test_a_timeout_that_is_none(monkeypatch, wrong):
    for name, value in {**ALL, "MINIFAST_TIMEOUT": wrong}.items():
        monkeypatch.setitem(os.environ, name, value)
    with pytest.raises(ValueError, match=f"MINIFAST_TIMEOUT='{wrong}'"):
        ranks.join()


@pytest.mark.slow
def test_two_ranks(tmp_path):
    "What they tell each other, and that what they start is none of them: forked, spawned, and run as a program."
    script = tmp_path / "two.py"
    script.write_text("""
import multiprocessing, os, subprocess, sys, torch
from minifast.core import ranks

def world(queue):
    queue.put((ranks.world_size(), ranks.shared(os.getpid()) == os.getpid()))

if __name__ == "__main__":
    r = ranks.rank()
    assert ranks.world_size() == 2 and ranks.gathered(r) == [0, 1] and ranks.shared(r) == 0 and ranks.summed(torch.ones(1)) == 2
    assert [ranks.shared_int(n + r) for n in (0, 2**63 - 2, -2**63, -5)] == [0, 2**63 - 2, -2**63, -5]
    assert ranks.is_alike({"epoch": 3, "of": [1, 2]}) and not ranks.is_alike({"epoch": r}) and ranks.is_alike(None)
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        queue = context.SimpleQueue()
        child = context.Process(target=world, args=(queue,))
        child.start()
        assert queue.get() == (1, True), method
        child.join()
    code = "from minifast.core import ranks; print(ranks.world_size())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "1\\n"
    with ranks.alone():
        assert ranks.world_size() == 1
    order = []
    file = sys.argv[1] + "/download"
    def download():
        there = os.path.exists(file)
        open(file, "w").close()
        return there
    assert ranks.rank0_first(download) == (r == 1)              # the second one finds it done
    def fail():
        raise OSError("no network")
    try:
        ranks.rank0_first(fail)
        raise AssertionError
    except (OSError, RuntimeError) as e:
        assert "no network" in str(e), e
    ranks.barrier()
    ranks.leave()
    assert ranks.world_size() == 1 and ranks.rank() == 0
    print(f"rank {r} is done" + chr(10), end="")      # at once: the ranks share the output
""")
    done = run_ranks(2, script, tmp_path)
    assert sorted(done.stdout.split("\n")) == ["", "rank 0 is done", "rank 1 is done"]
