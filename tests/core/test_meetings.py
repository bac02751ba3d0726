"""A rank that leaves alone what all do together is told so at once, and those that wait for it are told too."""
import os
import time
from datetime import timedelta

import pytest
import torch
from suggestions import told

from minifast.core import meetings, rank_failures


@pytest.fixture
def store(monkeypatch):
    "A store of two ranks, of which this process is rank 0."
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=10))
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port)}.items():
        monkeypatch.setitem(os.environ, name, value)
    for name, value in {"world_size": lambda: 2, "rank": lambda: 0, "_PACE": 0.02, "_PATIENCE": 0.1, "_meetings": 0, "_watches": 0}.items():
        monkeypatch.setattr(meetings, name, value)
    return store


def test_a_rank_that_has_gone_on_says_so(store, monkeypatch):
    monkeypatch.setattr(meetings, "progress", lambda: 3)
    watch = meetings.Watch(lambda: "has gone on to batch 7")
    watch.begin()
    answer = rank_failures.key("meeting/1/0")
    store.set(rank_failures.key("meeting/1"), "3")              # rank 1 waits: this one is at the same point, and may yet come
    time.sleep(0.2)
    assert not store.check([answer])
    monkeypatch.setattr(meetings, "progress", lambda: 4)
    store.wait([answer])
    assert store.get(answer) == b"has gone on to batch 7"
    watch.end()


def test_a_rank_that_waits_for_one_which_left_says_so(store, monkeypatch, capfd):
    watch, other = meetings.Watch(lambda: "has gone on to batch 7"), meetings.Watch(lambda: "")
    watch.begin()
    monkeypatch.setattr(meetings, "_watches", 0)                # that of the other rank is of the same fit
    other.begin()
    try:
        raise KeyError("gone")
    except KeyError as e:
        error = e
    other.end(error)
    time.sleep(0.5)
    watch.end()
    said = capfd.readouterr().err
    assert ("rank 0 has gone on to batch 7 and waits, but rank 0 has left the fit with KeyError: 'gone' (test_a_rank_that_waits_for_one_"
            "which_left_says_so, line") in said
    with told("core/meetings.py", "If the script goes on after that error, as with `try: learn.fit(...)`, the ranks never meet again: let "
                                  "the error end it"):
        raise RuntimeError(said)

    def fit():                                                  # that such an error ends all ranks: test_rank_failures
        raise error
    with pytest.raises(KeyError, match="gone"):
        fit()
