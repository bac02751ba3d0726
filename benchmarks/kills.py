"""`kill -9` at every batch of a training, and at every step of the end: does the same call end with the same weights to the bit?

    python benchmarks/kills.py [--only SGD,EMA] [--moments batches,after_fit,rename,disk]

{SGD, Adam with one-cycle, EMA, MixUp, accumulated gradients, SWA, bf16} x {no workers, 2 worker processes} x {`cbs=Resume()`,
`resume=Resume(None, every=1)`}: two epochs of 6 batches are killed at batch k, for each k of training and validation, and the script is
run again; then weights, history and losses are compared with those of a run that nobody killed. Other moments: within the `after_fit` of
each callback, between the steps in which a state is written (the old one is renamed, the new one is renamed), a full disk, and a folder
that cannot be written to. Every run is a process of its own, forked from one that has imported everything.
"""
import argparse
import hashlib
import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from functools import partial

import torch
from torch import nn

from minifast.callbacks import EMA, SWA, Callback, CSVLogger, GradientAccumulation, MixedPrecision, MixUp, Resume, SaveModelCallback
from minifast.core import checkpoint
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.optim import SGD, Adam

N_EPOCH, N_TRAIN, N_VALID = 2, 6, 2
TECHNIQUES = {
    "SGD": (list, SGD, "fit"), "Adam one-cycle": (list, Adam, "fit_one_cycle"), "EMA": (lambda: [EMA(0.9)], Adam, "fit_one_cycle"),
    "MixUp": (lambda: [MixUp()], Adam, "fit_one_cycle"), "accumulation": (lambda: [GradientAccumulation(16)], Adam, "fit_one_cycle"),
    "SWA": (lambda: [SWA(0.4)], Adam, "fit"), "bf16": (lambda: [MixedPrecision("bf16")], Adam, "fit_one_cycle"),
    "fine_tune": (list, Adam, "fine_tune"),
}


class Rows:
    "Items with augmentation from the global streams, as a user's own dataset has."

    def __init__(self, n):
        self.x = torch.arange(n * 4).reshape(n, 4) % 7 / 7.0

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i] + torch.randn(4) / 10, i % 2


def train(folder, technique, workers, way, *more):
    "What the user's script does; returns a digest of everything that must be the same."
    make_cbs, opt_func, verb = TECHNIQUES[technique]
    torch.manual_seed(1)
    loaders = [DataLoader(Rows(8 * n), bs=8, shuffle=n == N_TRAIN, num_workers=workers, worker_type="process" if workers else None,
                          device="cpu") for n in (N_TRAIN, N_VALID)]
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2)), nn.Linear(16, 2))
    learn = Learner(DataLoaders(*loaders), model, CrossEntropyLossFlat(), opt_func, metrics="accuracy", path=folder,
                    splitter=lambda m: [list(part.parameters()) for part in m])
    kwargs = {"resume": Resume(None, every=1)} if way == "resume=" else {}
    cbs = [*make_cbs(), CSVLogger(), SaveModelCallback(fname="best"), *more, *([Resume()] if way == "Resume()" else [])]
    with learn.no_bar(), learn.no_logging(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(learn, verb)(N_EPOCH, 0.05, cbs=cbs, **kwargs)
    for dl in loaders:
        dl.end_workers()
    sha = hashlib.sha256()
    for name, t in sorted(learn.model.state_dict().items()):
        sha.update(name.encode() + t.numpy().tobytes())
    rows = [{k: v for k, v in row.items() if k != "time"} for row in learn.recorder.history]
    sha.update(repr((rows, learn.recorder.raw_losses, learn.recorder.lrs, torch.rand(1).item())).encode())
    left = [f for _, _, files in os.walk(folder) for f in files if f.startswith("resume")]
    return f"{sha.hexdigest()} {len(learn.recorder.history)} rows, left: {left}"


def in_child(function, *args):
    "Run `function` in a forked process; returns (what it returned as text or None, exit status)."
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        os.setpgid(0, 0)
        status = 1
        try:
            os.write(write, str(function(*args)).encode())
            status = 0
        except BaseException as e:
            os.write(write, f"{type(e).__name__}: {e}".encode())
        finally:
            os._exit(status)
    os.close(write)
    status = os.waitpid(pid, 0)[1]
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)          # the workers of one that was killed, which hold the pipe open
    text = b""
    while part := os.read(read, 65536):
        text += part
    os.close(read)
    return text.decode(), status


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


class KillAt(Callback):
    "End the process within the n-th batch, training or validation."
    order = 90

    def __init__(self, n):
        self.n, self.seen = n, 0

    def after_pred(self):
        if self.seen == self.n:
            die()
        self.seen += 1


def kill_in_after_fit(order):
    killer = Callback(after_fit=die)
    killer.order = order
    return killer


def kill_at_rename(n, folder, *args):
    "Killed before the n-th rename of a state file."
    real, seen = os.replace, [0]

    def replace(a, b):
        if "resume" in str(b):
            if seen[0] == n:
                die()
            seen[0] += 1
        return real(a, b)
    os.replace = replace
    return train(folder, *args)


def full_disk(folder, *args):
    "From the third state on nothing can be written: training must end all the same, with the same weights."
    real, seen = checkpoint.save, [0]

    def save(value, file):
        seen[0] += "resume" in str(file)
        if seen[0] > 2 and "resume" in str(file):
            raise OSError(28, "No space left on device")
        return real(value, file)
    checkpoint.save = save
    return train(folder, *args)


def matrix(names, moments):
    right, all_, wrong = {}, {}, []
    for name in names:
        for workers in (0, 2):
            whole = {}
            for way in ("Resume()", "resume="):
                folder = tempfile.mkdtemp()
                whole[way], status = in_child(train, folder, name, workers, way)
                assert status == 0, whole[way]
                shutil.rmtree(folder)
            phases = 2 if name == "fine_tune" else 1
            n_batches = (N_EPOCH + (phases - 1)) * (N_TRAIN + N_VALID)
            for way in ("Resume()", "resume="):
                trials = []
                if "batches" in moments:
                    trials += [("batches", f"killed at batch {k}", train, [KillAt(k)]) for k in range(n_batches)]
                if "after_fit" in moments:
                    trials += [("after_fit", f"killed in after_fit at {o}", train, [kill_in_after_fit(o)]) for o in (-30, 5, 64, 66, 80)]
                if "rename" in moments:
                    trials += [("rename", f"killed at rename {k}", partial(kill_at_rename, k), []) for k in range(6)]
                for moment, text, first, more in trials:
                    folder = tempfile.mkdtemp()
                    out, status = in_child(first, folder, name, workers, way, *more)
                    killed = os.WIFSIGNALED(status)
                    got, again = in_child(train, folder, name, workers, way)
                    key = moment, way
                    all_[key] = all_.get(key, 0) + 1
                    # one that was killed after its end (fine_tune's first phase, a rename that never came) begins or ends as it should too
                    if again == 0 and got == whole[way] and (killed or out == whole[way]):
                        right[key] = right.get(key, 0) + 1
                    else:
                        wrong.append(f"{name}, {workers} workers, {way}, {text}: {killed=} {out[:99]} -> {got[:99]}, not {whole[way]}")
                    shutil.rmtree(folder)
                if "disk" in moments:
                    folder = tempfile.mkdtemp()
                    got, status = in_child(full_disk, folder, name, workers, way)
                    key = "full disk", way
                    all_[key] = all_.get(key, 0) + 1
                    right[key] = right.get(key, 0) + (got == whole[way])
                    if got != whole[way]:
                        wrong.append(f"{name}, {workers} workers, {way}, full disk: {got[:200]}")
                    shutil.rmtree(folder)
            print(f"{name}, {workers} workers: {sum(right.values())} of {sum(all_.values())} so far", flush=True)
    return right, all_, wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default=",".join(TECHNIQUES))
    parser.add_argument("--moments", default="batches,after_fit,rename,disk")
    args = parser.parse_args()
    start = time.perf_counter()
    torch.set_num_threads(1)            # before anything is computed: a fork takes no threads with it
    if os.path.isdir("/dev/shm"):
        tempfile.tempdir = tempfile.mkdtemp(dir="/dev/shm")
    train(tempfile.mkdtemp(), "SGD", 0, "Resume()")         # what is imported on first use is there for all
    right, all_, wrong = matrix(args.only.split(","), args.moments.split(","))
    for key, n in all_.items():
        print(f"{key[0]:10} {key[1]:10} {right.get(key, 0)} of {n} the same to the bit")
    for line in wrong[:20]:
        print(line)
    print(f"{time.perf_counter() - start:.0f} s")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
