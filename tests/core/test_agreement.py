"""What several ranks decide together in the course of an epoch; what ends a process from outside."""
import itertools
import os
import signal
import threading

import pytest

from minifast.core import agreement
from minifast.core.agreement import Agreement, Termination


def test_alone_an_answer_comes_at_once():
    agreed = Agreement()
    assert [agreed(n) for n in (0, 2, 1, 0)] == [0, 2, 1, 0]


def test_ranks_talk_about_once_a_second(monkeypatch):
    "At first at every step, to know how long one takes; from then on all know in which step they talk next."
    now, talks = [0.0], []
    monkeypatch.setattr(agreement, "world_size", lambda: 2)
    monkeypatch.setattr(agreement, "is_main", lambda: True)
    monkeypatch.setattr(agreement.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(agreement.torch.distributed, "all_reduce", lambda t, *args, **kwargs: talks.append((now[0], t[0].item())))
    agreed, said = Agreement(), []
    for step in range(1000):
        now[0] = step * 0.01
        said.append(agreed(3 if step > 500 else 0))
    times = [t for t, _ in talks]
    assert len(times) < 22 and max(b - a for a, b in itertools.pairwise(times)) == pytest.approx(1, abs=0.05)
    assert 0 < 10 * sum(s == 3 for s in said) < 100 and not any(said[:501])


def test_the_first_signal_is_noted_the_second_one_is_not():
    end = Termination()
    end.watch()
    try:
        assert not end.told
        signal.raise_signal(signal.SIGTERM)
        assert end.told and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        with pytest.raises(SystemExit) as e:
            end.end()
        assert e.value.code == 143
    finally:
        end.ignore()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_that_nobody_followed_ends_the_process():
    pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)       # whatever handles it here
            end = Termination()
            end.watch()
            signal.raise_signal(signal.SIGTERM)
            end.ignore()
        finally:
            os._exit(0)                                         # whatever happens, it does not go on with the tests
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM


def test_handlers_of_others_and_other_threads_are_left_alone():
    end, own = Termination(), lambda *args: None
    thread = threading.Thread(target=end.watch)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    signal.signal(signal.SIGTERM, own)
    try:
        end.watch()
        end.ignore()
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
