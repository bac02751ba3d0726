"""How well series are classified and numbers predicted from them, on the default split of sets of the UCR, UEA and TSER archives.

    python benchmarks/series_accuracy.py --data FOLDER --aeon PYTHON --out FILE
    python benchmarks/series_accuracy.py --data FOLDER --only GunPoint --models InceptionTime,FCN --seeds 1

FOLDER holds `NAME/NAME_{TRAIN,TEST}.ts`. One recipe for all sets: standardised by the statistics of each channel of the training series, or
where a typical series varies less than a tenth as much as all values together (Covid3Month: few countries have most cases), each series by
its own; batches of a tenth of them, 16 at most; one cycle of Adam; no validation on the way. Beside each figure stands the published one
for the same model and split, from hundreds of epochs or more. PYTHON, if given, is one that has aeon: its MiniRocket runs with the same
seeds, on series filled up with zeros where lengths differ. FILE keeps each run; runs that it holds are not run again.
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

#: Percent right as published for the default split; of InceptionTime that of the ensemble of five, each trained for 1,500 epochs.
PUBLISHED = {
    "GunPoint": {"ensemble of 5": 100.0, "ResNet1d": 99.1, "FCN": 100.0, "MiniRocket": 99.3},
    "ItalyPowerDemand": {"ensemble of 5": 96.5, "ResNet1d": 96.3, "FCN": 96.1, "MiniRocket": 96.9},
    "ArrowHead": {"ensemble of 5": 84.6, "ResNet1d": 84.5, "FCN": 84.3, "MiniRocket": 86.3},
    "BasicMotions": {"ensemble of 5": 100.0, "MiniRocket": 100.0},
    "JapaneseVowels": {"ensemble of 5": 97.0, "MiniRocket": 98.7},
    "PickupGestureWiimoteZ": {},
    "Covid3Month": {},
}
MODELS = ("InceptionTime", "ResNet1d", "FCN", "MiniRocket")
#: Epochs and the highest rate of one cycle.
EPOCHS, LR = 60, 1e-3


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--only", default=",".join(PUBLISHED), help=f"some of {', '.join(PUBLISHED)}")
    parser.add_argument("--models", default=",".join(MODELS), help=f"some of {', '.join(MODELS)}")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--lr", type=float, default=LR)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--aeon", metavar="PYTHON", help="a Python that has aeon")
    parser.add_argument("--out", type=Path, metavar="FILE", help="one JSON object per run; what it holds already is not run again")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    for given, known in ((args.only, PUBLISHED), (args.models, MODELS)):
        if wrong := [s for s in given.split(",") if s not in known]:
            parser.error(f"unknown: {', '.join(wrong)}; choose from {', '.join(known)}")
    if not args.data.is_dir():
        parser.error(f"there is no folder {args.data}")
    return args


def loaders(name, model, folder):
    "Training and test series of a set, as batches: as they are for MiniRocket, whose biases come from them, and on one scale for networks."
    import numpy as np

    from minifast.timeseries.all import TSDataLoaders, TSStandardize, read_ts

    train = folder / name / f"{name}_TRAIN.ts"
    x = read_ts(train).X
    of_all = np.concatenate(list(x), axis=1).std(axis=1)
    typical = np.median([s.std(axis=1) for s in x], axis=0)
    scale = None if model == "MiniRocket" else TSStandardize(by_sample=bool((typical < of_all / 10).any()))
    return TSDataLoaders.from_ts_file(train, batch_tfms=scale, bs=max(2, min(len(x) // 10, 16)), val_bs=64)


def predictions(name, model, seed, args):
    "Predictions of the test series by a model trained here, and the time that took."
    import torch

    import minifast.timeseries.all as ts

    torch.set_num_threads(args.threads)
    ts.set_seed(seed, reproducible=True)
    dls = loaders(name, model, args.data)
    started = time.perf_counter()
    if model == "MiniRocket":
        learn = ts.mini_rocket_learner(dls, seed=seed)
    else:
        learn = ts.ts_learner(dls, getattr(ts, model))
        learn.dls = ts.DataLoaders(dls.train)                   # validation on the way would cost as much as training
        with learn.no_bar(), learn.no_logging():
            learn.fit_one_cycle(args.epochs, args.lr)
    took = time.perf_counter() - started
    with learn.no_bar():
        preds = learn.get_preds(dl=dls.valid)[0]
    return preds.tolist(), took


def aeon_predictions(name, seed, folder):
    "Predictions of aeon's MiniRocket, as it is, and the time that took. Runs where minifast may be absent."
    import numpy as np
    from aeon.classification.convolution_based import MiniRocketClassifier
    from aeon.datasets import load_from_ts_file
    from aeon.regression.convolution_based import MiniRocketRegressor

    (x, y), (x_test, _) = (load_from_ts_file(str(folder / name / f"{name}_{part}.ts")) for part in ("TRAIN", "TEST"))
    try:
        numbers = np.asarray(y, dtype=float)
    except ValueError:
        numbers = None
    if isinstance(x, list):                                     # its MiniRocket takes series of one length
        longest = max(s.shape[1] for s in [*x, *x_test])
        x, x_test = (np.stack([np.pad(s, ((0, 0), (0, longest - s.shape[1]))) for s in part]) for part in (x, x_test))
    is_regression = numbers is not None and (numbers % 1 != 0).any()
    started = time.perf_counter()
    made = (MiniRocketRegressor if is_regression else MiniRocketClassifier)(random_state=seed)
    made.fit(x, numbers if is_regression else y)
    took = time.perf_counter() - started
    return np.asarray(made.predict(x_test)).tolist(), took


def elsewhere(name, seed, args):
    "`aeon_predictions` in a process of its own."
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"PYTHONWARNINGS": "ignore"}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(args.threads))
    run = subprocess.run([args.aeon, __file__, "--data", str(args.data), "--serve", f"{name},{seed}"], cwd="/", env=environment,
                         capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"aeon, {name}: {run.stderr[-3000:]}")
    return json.loads(run.stdout.strip().splitlines()[-1])


def score(preds, name, folder):
    "Percent right, or of numbers the root of the mean squared error."
    import numpy as np

    from minifast.timeseries.all import read_ts

    test = read_ts(folder / name / f"{name}_TEST.ts")
    preds = np.asarray(preds)
    if test.y.dtype.kind == "f":
        return float(np.sqrt(np.mean((preds.reshape(-1).astype(float) - test.y) ** 2)))
    found = np.asarray(test.classes)[preds.argmax(1)] if preds.ndim == 2 else preds
    return 100 * float(np.mean(np.char.lower(found.astype(str)) == np.char.lower(test.y.astype(str))))  # aeon: lower case


def baseline(name, folder):
    "The score of the mean of the training targets, or of their most common class."
    import numpy as np

    from minifast.timeseries.all import read_ts

    y, y_test = (read_ts(folder / name / f"{name}_{part}.ts").y for part in ("TRAIN", "TEST"))
    if y.dtype.kind == "f":
        return float(np.sqrt(np.mean((y.mean() - y_test) ** 2)))
    classes, counts = np.unique(y, return_counts=True)
    return 100 * float(np.mean(y_test == classes[counts.argmax()]))


def run_all(args):
    "Runs by (set, model, seed): predictions and seconds. Those in the file are read, the others are run and added to it."
    runs = {}
    if args.out is not None and args.out.exists():
        for line in args.out.read_text().splitlines():
            run = json.loads(line)
            if run["model"] in ("MiniRocket", "aeon") or (run["epochs"], run["lr"]) == (args.epochs, args.lr):
                runs[run["data"], run["model"], run["seed"]] = run
    models = [*args.models.split(","), *(["aeon"] if args.aeon and "MiniRocket" in args.models else [])]
    for model in models:
        for seed in range(args.seeds):
            for name in args.only.split(","):
                if (name, model, seed) in runs:
                    continue
                preds, took = elsewhere(name, seed, args) if model == "aeon" else predictions(name, model, seed, args)
                run = {"data": name, "model": model, "seed": seed, "epochs": args.epochs, "lr": args.lr, "seconds": round(took, 1),
                       "score": score(preds, name, args.data), "preds": preds}
                runs[name, model, seed] = run
                if args.out is not None:
                    with args.out.open("a") as f:
                        f.write(json.dumps(run) + "\n")
                print(f"{name:22} {model:14} seed {seed}: {run['score']:.4g}, {took:.1f} s", file=sys.stderr, flush=True)
    return runs, models


def main():
    args = arguments()
    args.data = args.data.resolve()
    if args.serve:
        name, seed = args.serve.split(",")
        print(json.dumps(aeon_predictions(name, int(seed), args.data)))
        return
    import numpy as np

    runs, models = run_all(args)
    for name in args.only.split(","):
        print(f"{name}: constant prediction {baseline(name, args.data):.4g}")
        for model in models:
            of = [runs[name, model, seed] for seed in range(args.seeds)]
            rows = [("aeon's MiniRocket" if model == "aeon" else model, [run["score"] for run in of])]
            if model == "InceptionTime" and args.seeds > 1:
                rows.append((f"ensemble of {args.seeds}", [score(np.mean([run["preds"] for run in of], axis=0), name, args.data)]))
            for label, scores in rows:
                spread = f"{statistics.mean(scores):7.4g}" + (f" ({min(scores):.4g}-{max(scores):.4g})" if len(scores) > 1 else "")
                published = PUBLISHED[name].get(label)
                print(f"  {label:18} {spread:26} {'' if published is None else f'published {published}':16} "
                      f"{statistics.median(run['seconds'] for run in of):.1f} s a run")


if __name__ == "__main__":
    main()
