"What tests know of the processes they have forked."
import signal
import socket
import subprocess
import threading
import time

import fresh_process
import pytest


def waiting_for(connection):
    process = fresh_process.Process.__new__(fresh_process.Process)
    process.args, process.returncode, process.connection = ["-c"], None, connection
    return process


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_status_that_comes_in_parts_is_waited_for(pair):
    ours, theirs = pair
    process, whole = waiting_for(ours), b"\x02\x00\x00\x00-9"
    assert process.poll() is None

    def in_parts():
        for i in range(len(whole)):
            theirs.sendall(whole[i:i + 1])
            time.sleep(0.01)
    sender = threading.Thread(target=in_parts)
    sender.start()
    while process.poll() is None:
        pass
    sender.join()
    assert process.poll() == process.wait() == -9


def test_a_signal_for_a_process_that_has_ended_before_its_status_is_known(pair):
    gone = subprocess.Popen(["true"])
    gone.wait()
    process = waiting_for(pair[0])
    process.pid = gone.pid
    process.send_signal(signal.SIGTERM)
    process.kill()
    assert process.poll() is None


@pytest.mark.parametrize("sent, said", [(b"", "nobody is left who knows how .* ended"),
                                        (b"\x09\x00\x00\x00-", "the other side is gone after 1 of 9 bytes")], ids=["nothing", "half"])
def test_a_status_that_never_comes_is_an_error(pair, sent, said):
    ours, theirs = pair
    theirs.sendall(sent)
    theirs.close()
    with pytest.raises(ConnectionError, match=said):
        waiting_for(ours).wait()


def test_statuses_of_real_processes():
    processes = [fresh_process.start(f"import sys; sys.exit({i})", libraries=False) for i in range(5)]
    processes.append(fresh_process.start("import time; time.sleep(600)", libraries=False))
    processes[-1].kill()
    while any(p.poll() is None for p in processes):
        pass
    assert [p.returncode for p in processes] == [0, 1, 2, 3, 4, -signal.SIGKILL]
