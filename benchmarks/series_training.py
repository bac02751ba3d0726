"""Seconds per epoch of InceptionTime on series: minifast, and tsai with the same lines of code.

    python benchmarks/series_training.py --data FOLDER --tsai PYTHON
    python benchmarks/series_training.py --data FOLDER --tsai PYTHON --only GunPoint --threads 2 --json

FOLDER holds `NAME/NAME_{TRAIN,TEST}.ts`; PYTHON has tsai, best with the same torch. Each library trains in a process of its own, and they
take turns, one fit each after a short rest, in each round in the other order. The same series, batch size, optimizer, schedule and model
(of minifast and of tsai: six modules, 32 filters, a bottleneck of 32; tsai's longest kernel has 39 steps in place of 40), each series
standardised in the batch. Printed are, as medians over the rounds of the median epoch of a fit: seconds of training, and of the whole
epoch with validation.

tsai takes series of one length: those of JapaneseVowels are filled up with zeros for it, which its model takes for values. minifast gets
them as they are, and its model masks.
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

#: Batch size and epochs of a fit. `made-up` has 2,000 series of 3 channels and 200 steps, 200 of them for validation.
SETS = {"GunPoint": (16, 3), "BasicMotions": (16, 3), "JapaneseVowels": (16, 2), "made-up": (64, 1)}

#: Seconds between the turns, in which threads of the other library stop waiting busily.
REST = 0.25


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--tsai", metavar="PYTHON", help="a Python that has tsai")
    parser.add_argument("--only", default=",".join(SETS), help=f"some of {', '.join(SETS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="1,2", help="numbers of threads, each measured for itself")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of text")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if wrong := [s for s in args.only.split(",") if s not in SETS]:
        parser.error(f"unknown: {', '.join(wrong)}; choose from {', '.join(SETS)}")
    if not args.data.is_dir():
        parser.error(f"there is no folder {args.data}")
    return args


def series_of(name, folder):
    "Series (list of (channels, steps), or an array) and classes, of training and test."
    import numpy as np

    if name == "made-up":
        rng = np.random.default_rng(0)
        y = rng.integers(0, 4, 2000)
        x = rng.standard_normal((2000, 3, 200)).astype(np.float32) + np.sin(np.arange(200) * (1 + y[:, None]) / 10)[:, None]
        return (x[:1800].astype(np.float32), y[:1800].tolist()), (x[1800:].astype(np.float32), y[1800:].tolist())
    return [_read(folder / name / f"{name}_{part}.ts") for part in ("TRAIN", "TEST")]


def _read(file):
    "Both libraries get the series from these lines."
    import numpy as np

    rows = file.read_text().split("@data\n", 1)[1].splitlines()
    *channels, classes = zip(*(row.split(":") for row in rows if row.strip()), strict=True)
    series = [np.array([np.array(c.split(","), dtype=np.float32) for c in row]) for row in zip(*channels, strict=True)]
    return (np.stack(series) if len({s.shape for s in series}) == 1 else series), list(classes)


def minifast_learner(name, folder):
    from minifast.timeseries.all import InceptionTime, TSDataLoaders, TSStandardize, ts_learner

    (x, y), (x_valid, y_valid) = series_of(name, folder)
    dls = TSDataLoaders.from_array(x, y, X_valid=x_valid, y_valid=y_valid, bs=SETS[name][0], val_bs=2 * SETS[name][0], drop_last=True,
                                   batch_tfms=TSStandardize(by_sample=True))
    return ts_learner(dls, InceptionTime)


def tsai_learner(name, folder):
    import numpy as np
    from tsai.data.core import TSClassification, get_ts_dls
    from tsai.data.preprocessing import TSStandardize
    from tsai.learner import ts_learner
    from tsai.models.InceptionTime import InceptionTime

    (x, y), (x_valid, y_valid) = series_of(name, folder)
    series = [*x, *x_valid]
    longest = max(s.shape[1] for s in series)
    filled = np.stack([np.pad(s, ((0, 0), (0, longest - s.shape[1]))) for s in series])
    splits = list(range(len(x))), list(range(len(x), len(series)))
    dls = get_ts_dls(filled, np.array([*y, *y_valid]), splits=splits, tfms=[None, TSClassification()], bs=SETS[name][0],
                     batch_tfms=TSStandardize(by_sample=True))
    return ts_learner(dls, InceptionTime)


def serve(library, name, threads, folder):
    "Train as many epochs as each line says, and answer with the seconds; 0: two batches, to warm up."
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    answers, sys.stdout = sys.stdout, sys.stderr
    learn = (minifast_learner if library == "minifast" else tsai_learner)(name, folder)
    module = __import__("minifast.callbacks.base" if library == "minifast" else "fastai.callback.core", fromlist=["*"])
    callback, stop = module.Callback, module.CancelFitException

    class Times(callback):
        "Both libraries have these events."

        def before_epoch(self):
            self.began = time.perf_counter()

        def before_train(self):
            self.began_train = time.perf_counter()

        def after_train(self):
            self.train.append(time.perf_counter() - self.began_train)

        def before_batch(self):
            if self.warm_up and self.iter == 2:
                raise stop

        def after_epoch(self):
            self.epoch_s.append(time.perf_counter() - self.began)

    said = {"torch": torch.__version__, "parameters": sum(p.numel() for p in learn.model.parameters())}
    print(json.dumps(said), file=answers, flush=True)
    for line in sys.stdin:
        times = Times()
        times.train, times.epoch_s, times.warm_up = [], [], line == "0\n"
        with learn.no_bar(), learn.no_logging():
            learn.fit_one_cycle(int(line) or 1, 1e-3, cbs=times)
        print(json.dumps([statistics.median(s or [0]) for s in (times.train, times.epoch_s)]), file=answers, flush=True)


class Worker:
    "A library in a process of its own."

    def __init__(self, python, library, name, threads, folder):
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore", "MPLBACKEND": "Agg"}
        if library == "tsai":
            environment.pop("PYTHONPATH", None)
        self.process = subprocess.Popen([python, os.path.abspath(__file__), "--data", str(folder), "--serve", library, name, str(threads)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd="/",
                                        env=environment)
        self.said = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args} ended with status {self.process.wait()}: run it alone to see why")
        return json.loads(line)

    def fit(self, epochs):
        self.process.stdin.write(f"{epochs}\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def measure(name, threads, args):
    "One row: medians of each library, and of the ratio within a round."
    pythons = {"minifast": sys.executable, **({"tsai": args.tsai} if args.tsai else {})}
    workers = {library: Worker(python, library, name, threads, args.data) for library, python in pythons.items()}
    for worker in workers.values():
        worker.fit(0)
    rounds = []
    for r in range(args.rounds):
        order = list(workers)[::1 if r % 2 else -1]
        took = {}
        for library in order:
            time.sleep(REST)
            took[library] = workers[library].fit(SETS[name][1])
        rounds.append(took)
    for worker in workers.values():
        worker.end()
    row = {"data": name, "threads": threads, "rounds": args.rounds, **{f"{library}_{k}": v for library in workers
                                                                      for k, v in workers[library].said.items()}}
    for i, part in enumerate(("train", "epoch")):
        row |= {f"{library}_{part}_s": statistics.median(r[library][i] for r in rounds) for library in workers}
        if "tsai" in workers:
            ratios = [r["tsai"][i] / r["minifast"][i] for r in rounds]
            row |= {f"{part}_ratio": statistics.median(ratios), f"{part}_ratio_min": min(ratios), f"{part}_ratio_max": max(ratios)}
    return row


def main():
    args = arguments()
    args.data = args.data.resolve()
    if args.serve:
        serve(args.serve[0], args.serve[1], int(args.serve[2]), args.data)
        return
    for threads in map(int, args.threads.split(",")):
        for name in args.only.split(","):
            row = measure(name, threads, args)
            if args.json:
                print(json.dumps(row), flush=True)
                continue
            texts = []
            for part, what in (("train", "training"), ("epoch", "with validation")):
                text = f"{what} {row[f'minifast_{part}_s']:.3f} s"
                if args.tsai:
                    text += (f", tsai {row[f'tsai_{part}_s']:.3f} s: {row[f'{part}_ratio']:.2f} times "
                             f"({row[f'{part}_ratio_min']:.2f}-{row[f'{part}_ratio_max']:.2f})")
                texts.append(text)
            print(f"{name:15} {threads} threads  {'; '.join(texts)}", flush=True)


if __name__ == "__main__":
    main()
