"""Fresh Python processes for tests that need one: `run` and `start`, as of `subprocess`, without the seconds in which torch is imported.

A process is forked from a server that has imported torch (or all libraries that minifast uses, `libraries=True`), nothing of minifast, and
has started no thread. It runs the code as `__main__`, with the environment, folder and standard streams that it is given, and ends as an
interpreter ends: with the functions of `atexit`, a traceback for an exception, its threads waited for. Where there is no fork, an ordinary
process is started.
"""
import array
import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from multiprocessing.connection import wait as ready

#: What stands behind `libraries=True`: imports of every other script. (What a test says of imports, it says of a process without them.)
LIBRARIES = ("torchvision.transforms.v2", "torchvision.models", "pandas", "matplotlib.pyplot", "sklearn.metrics", "sklearn.model_selection",
             "PIL.ImageFile", "torch.utils.data", "torch._dynamo", "torch.distributed.fsdp", "torch.distributed.checkpoint")
STREAMS = 3


def send(connection, message, fds=()):
    data = json.dumps(message).encode()
    data = len(data).to_bytes(4, "little") + data
    sent = connection.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
    connection.sendall(data[sent:])


def receive(connection, n_fds=0):
    "The next message and the file descriptors that came with it; `None` where the other side is gone."
    size, fds, *_ = socket.recv_fds(connection, 4, n_fds)
    if not size:
        return None, []
    size = filled(connection, size, 4)
    return json.loads(filled(connection, b"", int.from_bytes(size, "little"))), fds


def filled(connection, data, n):
    "`data` and what comes after it, `n` bytes in all."
    while len(data) < n:
        part = connection.recv(min(65536, n - len(data)))
        if not part:
            raise ConnectionError(f"the other side is gone after {len(data)} of {n} bytes")
        data += part
    return data


# -- in the test -----------------------------------------------------------------------------------------------------------------
class Process:
    "A process of the server, with the methods of `subprocess.Popen` that tests use; what it prints is kept in files."

    def __init__(self, connection, request, stdin, stdout, stderr):
        self.args, self.returncode, self.stdin = request["argv"], None, None
        self.stdout, self.stderr = (tempfile.TemporaryFile("w+") if s is None else s for s in (stdout, stderr))       # noqa: SIM115
        with open(os.devnull) as null:
            self.connection, theirs = socket.socketpair()
            with theirs:
                streams = [s if isinstance(s, int) else s.fileno() for s in (null if stdin is None else stdin, self.stdout, self.stderr)]
                send(connection, request, [*streams, theirs.fileno()])
        self.pid = receive(self.connection)[0]

    def poll(self):
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0001)
        return self.returncode

    def wait(self, timeout=None):
        if self.returncode is None:
            if not ready([self.connection], timeout):        # a timeout of the socket itself could end in the middle of a message
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.returncode = receive(self.connection)[0]
            self.connection.close()
            if self.returncode is None:
                raise ConnectionError(f"nobody is left who knows how {self.args} ended")
        return self.returncode

    def communicate(self, timeout=None):
        self.wait(timeout)
        for stream in (self.stdout, self.stderr):
            stream.seek(0)
        return self.stdout.read(), self.stderr.read()

    def send_signal(self, number):
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):        # it has ended, and how is not known yet
                os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


@functools.cache
def server(libraries):
    "The connection to a server, which starts at first use and ends with this process."
    connection, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen([sys.executable, __file__, "torch", *(LIBRARIES if libraries else ())], stdin=theirs)
    atexit.register(lambda: (connection.close(), process.wait()))
    return connection


def start(code, *argv, file=None, env=None, cwd=None, stdin=None, stdout=None, stderr=None, new_session=False, libraries=True):
    """Start `code` in a fresh process.

    Args:
        code: what it runs, as with `python -c`; of `file`, where that is given.
        argv: its arguments.
        file: the path of the script, as with `python file`.
        env: its environment; that of this process by default.
        cwd: its folder; that of this process by default.
        stdin, stdout, stderr: files or descriptors. By default nothing is read, and `communicate` returns what is written.
        new_session: whether it leads a session of its own.
        libraries: `False` for a process in which only torch has been imported.
    """
    env, argv = dict(os.environ if env is None else env), ["-c" if file is None else str(file), *argv]
    if not hasattr(os, "fork"):
        command = [sys.executable, *(["-c", code] if file is None else [str(file)]), *argv[1:]]
        return subprocess.Popen(command, env=env, cwd=cwd, text=True, stdin=subprocess.DEVNULL if stdin is None else stdin,
                                stdout=subprocess.PIPE if stdout is None else stdout, stderr=subprocess.PIPE if stderr is None else stderr)
    return Process(server(libraries), {"code": code, "argv": argv, "env": env, "cwd": os.getcwd() if cwd is None else str(cwd),
                                       "session": new_session}, stdin, stdout, stderr)


def run(code, *argv, timeout=300, check=False, **options):
    "As `start`, to its end: a `subprocess.CompletedProcess` with what it printed."
    process = start(code, *argv, **options)
    try:
        out, err = process.communicate(timeout)
    except BaseException:
        process.kill()
        raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check and done.returncode:
        raise AssertionError(f"exit status {done.returncode}\n{out[-3000:]}\n{err[-4000:]}")
    return done


# -- in the server ---------------------------------------------------------------------------------------------------------------
def serve(connection, libraries):
    "Import the libraries and answer requests until the tests are gone. Returns in each new process, with its request."
    for name in libraries:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.freeze()                                         # what is here stays: processes share its memory, and look through their own
    while True:
        request, fds = receive(connection, STREAMS + 1)
        if request is None:
            reap(0)
            os._exit(0)
        reap(os.WNOHANG)
        if os.fork() == 0:
            connection.close()
            watch(socket.socket(fileno=fds.pop()), fds, request["session"])
            return request, fds
        for fd in fds:
            os.close(fd)


def reap(options):
    "Wait for the processes that have ended, so that their time is counted as that of this one."
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def watch(answer, fds, session):
    "Becomes two processes: the one that returns says its id, and is to run the code; the other one says how it ended."
    child = os.fork()
    if child:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (*range(STREAMS), *fds):              # so that streams end with the process that writes to them
            os.dup2(null, fd)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with contextlib.suppress(OSError):              # nobody waits any more
            send(answer, status)
        os._exit(0)
    if session:
        os.setsid()                                     # before its id is known, so that signals to its group reach no other
    send(answer, os.getpid())
    answer.close()


def become(request, fds):
    "Make this process the one that the request describes; returns the code to run, and the file that it is of."
    import random
    import warnings

    import numpy as np
    import torch
    for i, fd in enumerate(fds):
        os.dup2(fd, i)
        os.close(fd)
    for i, name in enumerate(("stdin", "stdout", "stderr")):
        stream = open(i, "w" if i else "r", buffering=1 if i == 2 or os.isatty(i) else -1, encoding="utf-8", closefd=False)       # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    os.chdir(request["cwd"])
    own = {os.path.dirname(os.path.abspath(__file__)), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))}
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv[:] = request["argv"]
    first = "" if sys.argv[0] == "-c" else os.path.dirname(os.path.abspath(sys.argv[0]))
    sys.path[:] = [first, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *(p for p in sys.path if p not in own)]
    sys.modules.pop("sitecustomize", None)
    with contextlib.suppress(ImportError):
        importlib.import_module("sitecustomize")
    if "matplotlib" in sys.modules and os.environ.get("MPLBACKEND"):        # it has looked into the environment of the server
        sys.modules["matplotlib"].rcParams["backend"] = os.environ["MPLBACKEND"]
    if os.environ.get("PYTHONWARNINGS"):
        warnings.simplefilter(os.environ["PYTHONWARNINGS"])
    if os.environ.get("OMP_NUM_THREADS"):                                   # as has torch
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    random.seed()
    np.random.seed()
    file = sys.argv[0] if first else None
    return compile(request["code"], file or "<string>", "exec"), file


def main():
    "Run the server; and in each new process its code, as the only thing in this module."
    code, file = become(*serve(socket.socket(fileno=os.dup(0)), sys.argv[1:]))
    namespace = globals()
    for name in [n for n in namespace if not n.startswith("__") or n in ("__file__", "__doc__")]:
        del namespace[name]
    if file:
        namespace["__file__"] = file
    exec(code, namespace)


if __name__ == "__main__":
    main()
