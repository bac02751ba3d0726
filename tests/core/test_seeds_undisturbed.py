import os
import signal
import threading
import time

import pytest

from minifast.core.seeds import undisturbed


@pytest.fixture(autouse=True)
def handled():
    "A shell that starts the tests in the background has them ignore Ctrl-C."
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press():
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_waits_until_the_end_of_the_block():
    done, handler = [], signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        with undisturbed():
            press()
            press()                             # an impatient second one
            with undisturbed():                 # one inside another waits for the outer one
                press()
            done.append(1)
        done.append(2)
    assert done == [1] and signal.getsignal(signal.SIGINT) is handler


def test_pressed_again_a_second_later_it_does_not_wait(monkeypatch):
    now = iter([0.0, 0.5, 1.5])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    done = []
    with pytest.raises(KeyboardInterrupt), undisturbed():
        for _ in range(3):
            press()
            done.append(1)
    assert done == [1, 1]


def test_in_another_thread_nothing_changes():
    def body():
        with undisturbed():
            seen.append(signal.getsignal(signal.SIGINT))

    seen = []
    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_a_block_that_nobody_disturbs_raises_nothing():
    with undisturbed():
        pass
    with pytest.raises(ValueError, match="its own"), undisturbed():
        raise ValueError("its own")
