"""Of several ranks the one that failed first is named, with its traceback."""
import os
import time
from datetime import timedelta

import pytest
import torch
from torchrun import run_ranks, torchrun

from minifast.core import rank_failures
from minifast.core.messages import add_note

SCRIPT = """
import os, signal, sys, time
import torch
from minifast.core import ranks
from minifast.core.messages import add_note
rank, how = ranks.rank(), sys.argv[1]
if rank == 1 and how == "raise":
    error = ValueError("cannot open it")
    add_note(error, "item 17, 'cats/17.jpg'")
    raise error
if rank == 1 and how == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if rank == 1 and how == "hang":
    time.sleep(100)
if how == "all":
    raise ValueError("not on any rank")
if how == "ctrl-c" and rank == 0:
    time.sleep(1)
    os.kill(os.getppid(), signal.SIGINT)                # a terminal sends it to all; the launcher ends the ranks
ranks.summed(torch.ones(1))
time.sleep(20 if how == "ctrl-c" else 0)
"""


@pytest.fixture
def as_rank(monkeypatch):
    "Makes this process, for `report`, rank r of 2; their store is here."
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=5))
    monkeypatch.setattr(rank_failures, "_PATIENCE", 0.2)

    def become(rank, node="0"):
        for name, value in {"RANK": str(rank), "WORLD_SIZE": "2", "GROUP_RANK": node, "MASTER_ADDR": "127.0.0.1",
                            "MASTER_PORT": str(store.port)}.items():
            monkeypatch.setitem(os.environ, name, value)
    return become


def test_the_first_one_is_named_to_those_that_follow_from_it(as_rank):
    as_rank(1)
    error = ValueError("cannot open it")
    add_note(error, "item 17")
    assert rank_failures.report(error).startswith("rank 1 failed first:\nValueError: cannot open it\nitem 17")
    as_rank(0)
    line = "rank 0 ends, because rank 1 failed first: ValueError: cannot open it (item 17)"
    line = line if hasattr(error, "add_note") else line.replace(" (item 17)", "\nitem 17")            # Python 3.10
    assert rank_failures.report(RuntimeError("[gloo/transport/tcp] Connection closed by peer")) == line
    assert rank_failures.report(error) == line                                          # the same on every rank: once is enough
    other = rank_failures.report(TypeError("of its own"))
    assert "TypeError: of its own" in other and other.endswith(line)
    as_rank(0, node="1")                                                                # on another machine its output is not seen
    assert rank_failures.report(RuntimeError("Connection reset by peer")) == f"{line}:\nValueError: cannot open it\nitem 17\n"


def test_a_rank_that_lost_the_others_says_who_is_silent(as_rank):
    as_rank(0)
    error = RuntimeError("Timed out waiting 6000ms for recv operation to complete")
    assert rank_failures.report(error) is None
    assert "could not reach the others" in (note := "".join(getattr(error, "__notes__", error.args))) and "(not heard of: rank 1)" in note


def test_without_a_store_errors_are_reported(monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setitem(os.environ, name, value)
    monkeypatch.setattr(rank_failures, "_PATIENCE", 0.2)
    assert rank_failures.report(ValueError("x")).startswith("rank 0 failed first:\nValueError: x")
    assert rank_failures.report(RuntimeError("Connection reset by peer")) is None


@pytest.mark.slow
@pytest.mark.parametrize("how, words, never", [
    ("raise", ["rank 1 failed first:\nTraceback", "ValueError: cannot open it\nitem 17, 'cats/17.jpg'"], ["rank 0 failed first", "gloo"]),
    ("all", ["failed first:\nTraceback", "ValueError: not on any rank"], []),
    ("kill", ["rank      : 1 (local_rank: 1)\n  exitcode  : -9"], ["rank 0 failed first"]),
    ("hang", ["rank 0 could not reach the others", "(not heard of: rank 1)"], ["failed first"]),
    ("ctrl-c", ["KeyboardInterrupt"], ["failed first"]),
])
def test_it_ends_within_the_timeout(tmp_path, how, words, never):
    script = tmp_path / "fails.py"
    script.write_text(SCRIPT)
    started = time.perf_counter()
    start = run_ranks if how == "hang" else torchrun            # the others are of what torchrun says, or of whole tracebacks
    done = start(2, script, how, ok=False, MINIFAST_TIMEOUT="5")
    assert done.returncode and time.perf_counter() - started < 60
    assert [w for w in words if w not in done.stderr] == [], done.stderr[-3000:]
    assert [w for w in never if w in done.stderr] == [], done.stderr[-3000:]
    assert how not in ("raise", "all") or done.stderr.count("Traceback (most recent call last):\n  File \"" + str(script)) == 1
