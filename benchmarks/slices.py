"""Whole runs side by side on a machine whose speed changes: each in a process group of its own, of which one at a time runs, for a second.

What slows the machine down for a while slows all of them down. A run's time is what it had; while it was stopped, its clock stood still.
"""
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from itertools import cycle

SLICE = 1.0             # seconds


def now():
    "Seconds of a clock that all processes of a machine share."
    return time.monotonic()


def alone(yes):
    "In a run: from now on it must not be stopped, because it measures; or it may be again."
    print(json.dumps("alone" if yes else "together"), file=sys.__stdout__, flush=True)
    time.sleep(0.2)                     # until that is heard: it may be stopped meanwhile, but not later


def answer(value):
    "In a run, whose other output goes elsewhere: what it found, at its end."
    print(json.dumps({"answer": value}), file=sys.__stdout__, flush=True)


class Run:
    """A command that calls `answer`, and may call `alone`, on its standard output.

    Args:
        command, env: see `subprocess.Popen`.
    """

    def __init__(self, command, env):
        self.errors = tempfile.TemporaryFile("w+")          # noqa: SIM115  until the run ends
        self.had, self.alone, self.found = [], False, None
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, text=True, env=env, start_new_session=True)
        os.killpg(self.process.pid, signal.SIGSTOP)
        self.lines: queue.Queue = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def go(self, seconds):
        "Let it run for so long, or until it ends; longer while it is alone. Whether it goes on."
        began = now()
        os.killpg(self.process.pid, signal.SIGCONT)
        while (left := began + seconds - now()) > 0 or self.alone:
            try:
                said = self.lines.get(timeout=max(0.01, left))
            except queue.Empty:
                continue
            if said is None:
                self.had.append((began, now()))
                return False
            if isinstance(said, dict):
                self.found = said["answer"]
            else:
                self.alone = said == "alone"
        os.killpg(self.process.pid, signal.SIGSTOP)
        self.had.append((began, now()))
        return True

    def time(self, at):
        "Seconds that it had run at time `at` of `now`."
        return sum(max(0.0, min(at, end) - began) for began, end in self.had)

    def end(self):
        "Refuse a run that ended without an answer."
        if self.process.wait() or self.found is None:
            self.errors.seek(0)
            raise SystemExit(f"{' '.join(self.process.args)} did not run:\n{self.errors.read()[-3000:]}")

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def in_slices(commands, env=None):
    """Run all `commands`, {name: command}, in turn.

    Returns:
        {name: (what it answered, a function from times of `now` to seconds that it had run)}.
    """
    runs = {name: Run(command, env) for name, command in commands.items()}
    try:
        going = dict(runs)
        for name in cycle(runs):
            if name in going and not going[name].go(SLICE):
                going.pop(name).end()
            if not going:
                return {name: (run.found, run.time) for name, run in runs.items()}
    finally:
        for run in runs.values():
            run.kill()
