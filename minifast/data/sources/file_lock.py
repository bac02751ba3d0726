"""A lock between processes that needs no system calls beyond making a file, so that it works on network folders and on Windows too."""
import os
import threading
import time
import uuid
from contextlib import contextmanager

_BEAT = 5.0                       # seconds between signs of life of a lock's owner
_SILENT = 60.0                    # seconds without one after which the owner is taken for dead


@contextmanager
def file_lock(target):
    """Only one process at a time works on `target`; the others wait here until it is done, or dead.

    The lock is the file `target` + `.lock`, made with O_EXCL. Its owner touches it every few seconds. A lock is taken over when its
    owner is a process of this machine that has ended, or has shown no sign of life for a minute.
    """
    lock = target.with_name(target.name + ".lock")
    token = f"{os.getpid()} {_machine()} {uuid.uuid4().hex}"
    seen, since = None, time.monotonic()
    while not _create(lock, token):
        now = _look(lock)
        if now != seen:
            seen, since = now, time.monotonic()
        elif now is not None and _is_dead(now[0], time.monotonic() - since):
            _take_away(lock, now[0])
            continue
        time.sleep(0.1)
    stop = threading.Event()
    try:
        threading.Thread(target=_beat, args=(lock, stop), daemon=True).start()
        yield
    finally:
        stop.set()
        _take_away(lock, token)


def _create(lock, token):
    try:
        fd = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    except PermissionError:
        if os.name == "nt" and lock.exists():      # Windows says so while the last owner's file is going away
            return False
        raise
    with os.fdopen(fd, "w") as f:
        f.write(token)
    return True


def _look(lock):
    "(token, time of the last sign of life), None when the lock is gone."
    try:
        return lock.read_text(encoding="utf-8"), lock.stat().st_mtime_ns
    except OSError:
        return None


def _is_dead(token, silence):
    pid, _, rest = token.partition(" ")
    if os.name == "posix" and pid.isdigit() and rest.partition(" ")[0] == _machine():
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
        except OSError:
            pass
    return silence > _SILENT


def _take_away(lock, token):
    "Remove the lock if it still is the one with this `token`. A second lock keeps two waiters from removing each other's new one."
    guard = lock.with_name(lock.name + ".guard")
    for _ in range(200):
        if _create(guard, token):
            try:
                now = _look(lock)
                if now is not None and now[0] == token:
                    lock.unlink(missing_ok=True)
                return
            finally:
                guard.unlink(missing_ok=True)
        time.sleep(0.01)
    guard.unlink(missing_ok=True)                  # held for far longer than it can be: its owner died; the next try will do


def _beat(lock, stop):
    while not stop.wait(_BEAT):
        try:
            os.utime(lock)
        except OSError:
            return


def _machine():
    "This machine, and within it the set of processes that share its numbering (containers have their own)."
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return f"{os.uname().nodename if hasattr(os, 'uname') else os.environ.get('COMPUTERNAME', '')}/{namespace}".replace(" ", "_")
