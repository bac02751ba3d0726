"""What `learn.load` gives while other processes save the same file, or overwrite it in place.

    python benchmarks/changing_files.py [--loads 10000]
    PYTHON_WITH_FASTAI benchmarks/changing_files.py --peer [--loads 1000]

Each load must give one of the states that were saved, or an `OSError` or `ValueError` that names the file: never a mixture of two, and
no error of torch or safetensors. A mixture is seen because each state has one number in all weights and all averages of the optimizer.
"""
import argparse
import os
import random
import re
import signal
import tempfile
import time
import warnings
from collections import Counter
from functools import partial
from pathlib import Path

import torch
from learners_to_save import fastai_learner, minifast_learner, per_parameter
from torch import nn


def numbered(learn, k):
    "Give all weights and all of the optimizer's averages the value k."
    for t in tensors(learn):
        t.fill_(k)


def tensors(learn):
    kept = (t for s in per_parameter(learn.opt.state_dict()) for t in s.values() if isinstance(t, torch.Tensor))
    return [t.detach() for t in (*learn.model.state_dict().values(), *kept)]


def numbers(learn):
    "The numbers in all weights and averages: one, where they are of one state."
    return {float(v) for t in tensors(learn) for v in (t.min(), t.max())}


def race(what, writers, load, learn, n):
    "`n` loads while each function of `writers` is called again and again in a process of its own; returns how they ended."
    pids = []
    for writer in writers:
        if not (pid := os.fork()):
            with open(os.devnull, "w") as null:
                os.dup2(null.fileno(), 2)
            k = 1
            while True:
                k += 1
                writer(k)
        pids.append(pid)
    ended, seen, raw = Counter(), set(), Counter()
    try:
        for _ in range(n):
            try:
                load()
            except (OSError, ValueError) as e:
                named = re.search(r"race\.\w+", str(e)) and type(e).__module__ == "builtins"
                ended["refused" if named else "raw error"] += 1
                if not named:
                    raw[type(e).__name__, str(e)[:80]] += 1
            except Exception as e:
                ended["raw error"] += 1
                raw[type(e).__name__, str(e)[:80]] += 1
            else:
                found = numbers(learn)
                ended["one state" if len(found) == 1 else "MIXTURE"] += 1
                seen |= found if len(found) == 1 else set()
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    print(f"{what:42} {n:6,} loads, {len(seen):5,} states seen: {dict(ended)} {raw.most_common(3) or ''}", flush=True)
    return ended


def races(make, folder, n, peer):
    "All ways in which a file changes under the one who loads it."
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64, bias=False))
    learn, saver = (make(folder, nn.Sequential(nn.Linear(4, 64), model, nn.Linear(64, 2))) for _ in range(2))
    for one in (learn, saver):
        one.fit(1)
    numbered(saver, 1)
    saver.save("race")
    ended = Counter()

    def saves(k):
        numbered(saver, k)
        saver.save("race")
    ended += race("saved by two processes (learn.save)", [saves] * 2, lambda: learn.load("race"), learn, n)
    contents = {}
    for k in (1, 2):
        saves(k)
        contents[k] = (folder / "models" / f"race.{'pth' if peer else 'safetensors'}").read_bytes()

    def overwrites(k, mode, file=folder / "models" / f"race.{'pth' if peer else 'safetensors'}"):
        time.sleep(random.uniform(0, 0.02))
        with open(file, mode, buffering=0) as f:
            content = contents[1 + k % 2]
            for i in range(0, len(content), 4096):
                f.write(content[i:i + 4096])
    ended += race("overwritten in place", [partial(overwrites, mode="r+b")], lambda: learn.load("race"), learn, n)
    ended += race("emptied and written again", [partial(overwrites, mode="wb")], lambda: learn.load("race"), learn, n)
    if not peer:
        file = folder / "models" / "race.pth"

        def torch_saves(k):
            time.sleep(random.uniform(0, 0.02))
            numbered(saver, k)
            torch.save({"model": saver.model.state_dict(), "opt": saver.opt.state_dict()}, file)
        torch_saves(1)
        ended += race("a .pth written by torch.save", [torch_saves], lambda: learn.load("race.pth"), learn, n)
    return ended


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--loads", type=int, default=10_000, help="of each way in which a file changes")
    parser.add_argument("--peer", action="store_true", help="the same in fastai")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        total = races(fastai_learner if args.peer else minifast_learner, Path(folder), args.loads, args.peer)
    print(f"{sum(total.values()):,} loads: {dict(total)}")


if __name__ == "__main__":
    main()
