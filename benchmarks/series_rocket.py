"""MiniRocket: how long the transform takes beside aeon's, and how well a ridge head on it predicts, default split.

    python benchmarks/series_rocket.py --data FOLDER --aeon PYTHON
    python benchmarks/series_rocket.py --data FOLDER --aeon PYTHON --threads 2 --only GunPoint --json

FOLDER holds `NAME/NAME_TRAIN.ts` and `NAME_TEST.ts` of the archive. Each framework runs in a process of its own; the two transform the test
set in turn, and the ratio is that of the medians, after runs that nobody times, in which aeon compiles. aeon's MiniRocket takes series of
one length alone: for those of several its series are padded with zeros.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

REST = 0.25         # seconds before each turn: after one a library's threads still wait for work busily, and keep a core from the other
SETS = ("GunPoint", "ItalyPowerDemand", "ArrowHead", "BasicMotions", "JapaneseVowels", "PickupGestureWiimoteZ", "Covid3Month")


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--aeon", metavar="PYTHON", help="a Python that has aeon")
    parser.add_argument("--only", default=",".join(SETS), help="some of the sets, separated by commas")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of text")
    parser.add_argument("--serve", choices=("minifast", "aeon"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if wrong := [s for s in args.only.split(",") if not (args.data / s / f"{s}_TRAIN.ts").is_file()]:
        parser.error(f"there is no {args.data / wrong[0] / wrong[0]}_TRAIN.ts")
    return args


class Minifast:
    def __init__(self, folder, name, threads):
        import torch

        from minifast.timeseries.all import MiniRocket, TSDataLoaders, accuracy, mini_rocket_learner, rmse, series_shape
        torch.set_num_threads(threads)
        self.dls = TSDataLoaders.from_ts_file(folder / name / f"{name}_TRAIN.ts", bs=64)
        self.learn = lambda seed: mini_rocket_learner(self.dls, seed=seed, metrics=rmse if self.dls.vocab is None else accuracy)
        shape = series_shape(self.dls)
        self.x, train = (next(iter(dl.new(bs=10_000)))[0].as_subclass(torch.Tensor) for dl in (self.dls.valid, self.dls.train))
        self.features = MiniRocket(shape.n_channels, 1, shape.n_steps, padded=shape.has_padding).features.fit(train, 0)

    def transform(self):
        self.features(self.x)

    def score(self, seed):
        return self.learn(seed).validate()[1]


class Aeon:
    def __init__(self, folder, name, threads):
        import numpy as np
        from aeon.classification.convolution_based import MiniRocketClassifier
        from aeon.datasets import load_from_ts_file
        from aeon.regression.convolution_based import MiniRocketRegressor
        from aeon.transformations.collection.convolution_based import MiniRocket
        sets = [load_from_ts_file(str(folder / name / f"{name}_{part}.ts")) for part in ("TRAIN", "TEST")]
        if isinstance(sets[0][0], list):
            n = max(x.shape[1] for x in sets[0][0])
            sets = [(np.stack([np.pad(x[:, :n], ((0, 0), (0, n - min(n, x.shape[1])))) for x in X]), y) for X, y in sets]
        (self.X, self.y), (self.x, self.target) = sets
        self.classes = self.y.dtype.kind in "OUS"
        self.model = MiniRocketClassifier if self.classes else MiniRocketRegressor
        self.features, self.threads = MiniRocket(random_state=0, n_jobs=threads).fit(self.X), threads

    def transform(self):
        self.features.transform(self.x)

    def score(self, seed):
        predicted = self.model(random_state=seed, n_jobs=self.threads).fit(self.X, self.y).predict(self.x)
        return float((predicted == self.target).mean() if self.classes else ((predicted - self.target) ** 2).mean() ** 0.5)


def serve(args):
    "Answer the commands of the other side: the name of a set, `time` or `score SEED`."
    side = None
    for line in sys.stdin:
        word, *rest = line.split()
        if word == "set":
            side = (Minifast if args.serve == "minifast" else Aeon)(args.data, rest[0], args.threads)
            for _ in range(3):
                side.transform()
            answer = 0
        elif word == "time":
            start = time.perf_counter()
            side.transform()
            answer = time.perf_counter() - start
        else:
            answer = side.score(int(rest[0]))
        print(json.dumps(answer), flush=True)


def main(argv=None):
    args = arguments(argv)
    if args.serve:
        serve(args)
        return
    env = os.environ | {"OMP_NUM_THREADS": str(args.threads), "NUMBA_NUM_THREADS": str(args.threads)}
    pythons = {"minifast": sys.executable, **({"aeon": args.aeon} if args.aeon else {})}
    own_path = {k: v for k, v in env.items() if k != "PYTHONPATH"}
    sides = {name: subprocess.Popen([python, __file__, "--data", str(args.data), "--threads", str(args.threads), "--only", args.only,
                                     "--serve", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                    env=env if name == "minifast" else own_path) for name, python in pythons.items()}

    def ask(side, command):
        side.stdin.write(command + "\n")
        side.stdin.flush()
        return json.loads(side.stdout.readline())

    for name in args.only.split(","):
        for side in sides.values():
            ask(side, f"set {name}")
        seconds = {k: [] for k in sides}
        for _ in range(args.turns):
            for k, side in sides.items():
                time.sleep(REST)
                seconds[k].append(ask(side, "time"))
        found = {"set": name, "threads": args.threads}
        for k, side in sides.items():
            scores = [ask(side, f"score {seed}") for seed in range(args.seeds)]
            found[k] = {"ms": 1e3 * statistics.median(seconds[k]), "mean": statistics.mean(scores) if scores else None,
                        "spread": statistics.pstdev(scores) if scores else None}
        if "aeon" in found:
            found["times as fast"] = found["aeon"]["ms"] / found["minifast"]["ms"]
        if args.json:
            print(json.dumps(found), flush=True)
        else:
            scores = "".join(f"  {k} {found[k]['ms']:.1f} ms" +
                             (f", {found[k]['mean']:.4f} +- {found[k]['spread']:.4f}" if args.seeds else "") for k in sides)
            print(f"{name:22}{scores}" + (f"  {found['times as fast']:.2f} times as fast" if "aeon" in found else ""), flush=True)
    for side in sides.values():
        side.stdin.close()
        side.wait()


if __name__ == "__main__":
    main()
