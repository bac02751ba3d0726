"""What each training technique is worth on Fashion-MNIST: 10,000 training images, a small xresnet, five epochs, several seeds.

    python benchmarks/techniques.py --data DIR                  minifast, every row of the table
    python benchmarks/techniques.py --data DIR --framework fastai    the same model, data and epochs in fastai

DIR holds Fashion-MNIST's four idx files. One row per technique: accuracy on the 10,000 test images (mean and standard deviation over the
seeds), and the time of training as a ratio to the row `plain`: wall time, and processor time, which is steadier where other programs
run (medians over the seeds, of runs that take turns). Nothing is validated while training. One thread, so that both mean the same.
"""
import argparse
import gzip
import json
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from torch.utils.data import TensorDataset

EPOCHS, BS, LR, N_TRAIN = 5, 64, 8e-3, 10_000
MEAN, STD = 0.2860, 0.3530


def read_idx(path):
    "The array in an idx file (Y. LeCun's format for MNIST)."
    with gzip.open(path, "rb") as f:
        raw = f.read()
    shape = tuple(int.from_bytes(raw[4 + 4 * i:8 + 4 * i], "big") for i in range(raw[3]))
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


def datasets(folder):
    "Training and test set: images (N,1,28,28) normalised, labels (N,)."
    found = []
    for part, n in (("train", N_TRAIN), ("t10k", None)):
        x = read_idx(folder / f"{part}-images-idx3-ubyte.gz")[:n]
        y = read_idx(folder / f"{part}-labels-idx1-ubyte.gz")[:n]
        found.append(TensorDataset((torch.tensor(x)[:, None].float() / 255 - MEAN) / STD, torch.tensor(y).long()))
    return found


def model():
    from minifast.vision.models.xresnet import XResNet
    return XResNet(layers=[1, 1, 1], widths=[16, 32, 64], stem_szs=(8, 8, 16), n_in=1, n_out=10)


def minifast_rows(train, test):
    "name -> function(seed) that trains and returns (seconds of training, accuracy)."
    from torchvision import tv_tensors

    from minifast.callbacks.averaging import EMA
    from minifast.callbacks.mix import MixUp
    from minifast.callbacks.resize import ProgressiveResize
    from minifast.core.seeds import set_seed
    from minifast.data.loaders import DataLoader, DataLoaders
    from minifast.data.transforms import Transform
    from minifast.learner.learner import Learner
    from minifast.nn.losses import CrossEntropyLossFlat, LabelSmoothingCrossEntropyFlat
    from minifast.vision.augment.geometry import Flip

    class AsImage(Transform):
        "Mark the first tensor of a batch as images, so that image transforms apply to it."
        order = 1

        def encodes(self, x: torch.Tensor):
            return tv_tensors.Image(x) if x.ndim == 4 else x

    def run(seed, verb="fit_one_cycle", cbs=(), loss=None, flip=False, tta=False, lr=LR):
        set_seed(seed)
        tfms = [AsImage(), Flip()] if flip else None
        dls = DataLoaders(DataLoader(train, bs=BS, shuffle=True, after_batch=tfms, split_idx=0))
        dl = DataLoader(test, bs=500, after_batch=tfms, split_idx=1)
        learn = Learner(dls, model(), loss or CrossEntropyLossFlat(), metrics="accuracy")
        with learn.no_bar(), learn.no_logging():
            start = time.perf_counter(), time.process_time()
            getattr(learn, verb)(EPOCHS, lr, cbs=[cb() for cb in cbs])
            seconds = time.perf_counter() - start[0], time.process_time() - start[1]
            preds, targets = learn.tta(dl=dl) if tta else learn.get_preds(dl=dl)
        return seconds, float((preds.argmax(1) == targets).double().mean())

    def row(**kwargs):
        return lambda seed: run(seed, **kwargs)

    return {"plain": row(verb="fit", lr=LR / 4), "one-cycle": row(),
            "one-cycle + label smoothing": row(loss=LabelSmoothingCrossEntropyFlat()),
            "one-cycle + mixup": row(cbs=[MixUp]),
            "one-cycle + EMA": row(cbs=[lambda: EMA(0.99)]),
            "one-cycle + progressive resizing": row(cbs=[lambda: ProgressiveResize(20, finish=0.5)]),
            "one-cycle + flip": row(flip=True), "one-cycle + flip + TTA": row(flip=True, tta=True)}


def fastai_rows(train, test):
    from fastai.callback.core import Callback, CancelValidException
    from fastai.callback.schedule import fit_one_cycle  # noqa: F401  (adds the verb)
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner
    from fastai.losses import CrossEntropyLossFlat
    from fastai.metrics import accuracy
    from fastai.torch_core import set_seed

    class NoValidation(Callback):
        def before_validate(self):
            raise CancelValidException

    def run(seed, verb, lr):
        set_seed(seed)
        dl = DataLoader(test, bs=500)
        dls = DataLoaders(DataLoader(train, bs=BS, shuffle=True), dl)
        learn = Learner(dls, model(), CrossEntropyLossFlat(), metrics=accuracy, cbs=NoValidation())
        with learn.no_bar(), learn.no_logging():
            start = time.perf_counter(), time.process_time()
            getattr(learn, verb)(EPOCHS, lr)
            seconds = time.perf_counter() - start[0], time.process_time() - start[1]
            learn.remove_cb(NoValidation)
            preds, targets = learn.get_preds(dl=dl)
        return seconds, float((preds.argmax(1) == targets).double().mean())

    return {"plain": lambda seed: run(seed, "fit", LR / 4), "one-cycle": lambda seed: run(seed, "fit_one_cycle", LR)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with Fashion-MNIST's idx files")
    parser.add_argument("--framework", choices=["minifast", "fastai"], default="minifast")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", help="only rows whose name contains this")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = {"minifast": minifast_rows, "fastai": fastai_rows}[args.framework](*datasets(args.data))
    rows = {name: f for name, f in rows.items() if not args.only or args.only in name or name == "plain"}
    seconds, accuracy = {n: [] for n in rows}, {n: [] for n in rows}
    for seed in range(args.seeds):
        for name in rows if seed % 2 == 0 else reversed(rows):
            s, a = rows[name](seed)
            seconds[name].append(s)
            accuracy[name].append(a)
            print(f"# seed {seed}: {name}: {a:.4f} in {s[0]:.1f} s, {s[1]:.1f} s of the processor", file=sys.stderr, flush=True)
    for name in rows:
        wall, cpu = (statistics.median(s[k] / p[k] for s, p in zip(seconds[name], seconds["plain"], strict=True)) for k in (0, 1))
        spread = statistics.stdev(accuracy[name]) if args.seeds > 1 else 0.0
        found = {"framework": args.framework, "row": name, "accuracy": round(statistics.mean(accuracy[name]), 4),
                 "spread": round(spread, 4), "wall": round(wall, 3), "cpu": round(cpu, 3),
                 "cpu_seconds": round(statistics.median(s[1] for s in seconds[name]), 1)}
        print(json.dumps(found) if args.json else f"{args.framework:9} {name:34} accuracy {found['accuracy']:.4f} +- {spread:.4f}   "
              f"time {wall:.2f} x plain (cpu {cpu:.2f} x, {found['cpu_seconds']:.1f} s)", flush=True)


if __name__ == "__main__":
    main()
