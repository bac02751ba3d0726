"""Wall time from files to a validation accuracy: minifast against fastai, same photos, split, model, weights, epochs and augmentation.

    python benchmarks/end_to_end.py --data path/to/data --peer-python path/to/python
    python benchmarks/end_to_end.py --data path/to/data --tasks pets --rounds 1 --json

The folder holds `cats_vs_dogs/*.jpg`, `pets_sample/images/*.jpg` and `weights/mobilenet_v2*.pth`, the ImageNet weights that both start
from. `fine_tune` as it comes: one epoch of the new head, then all layers. The clock starts before the loaders are made and stops, for
each epoch, when its validation is done. A round runs one after the other, in changing order and with a seed of its own, each in a process
of its own; the target is what the slower learner of the round reached at its best. Ratios are medians over the rounds.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

TASKS = {       # folder, the class in a file's name, size, batch, epochs after the first, base learning rate
    "cats_vs_dogs": ("cats_vs_dogs", r"^(\w+?)\.\d+\.jpg$", 128, 32, 2, 2e-3),
    "pets": ("pets_sample/images", r"^(.+)_\d+\.jpg$", 128, 16, 6, 4e-3),
}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def photos(task, data):
    "(files, their labels, indices for validation): a fifth, the same for everyone."
    folder, pattern = TASKS[task][:2]
    files = sorted(f for f in (Path(data) / folder).iterdir() if f.suffix == ".jpg")
    return files, [re.match(pattern, f.name).group(1) for f in files], list(range(0, len(files), 5))


def weights_file(data):
    return next((Path(data) / "weights").glob("mobilenet_v2*.pth"))


def with_minifast(task, data, seed, workers):
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from minifast.vision.all import (
        Callback,
        CategoryBlock,
        DataBlock,
        ImageBlock,
        IndexSplitter,
        Normalize,
        RandomResizedCrop,
        accuracy,
        aug_transforms,
        mobilenet_v2,
        set_seed,
        vision_learner,
    )
    _, _, size, bs, epochs, lr = TASKS[task]
    files, labels, valid = photos(task, data)
    set_seed(seed)
    label_of = dict(zip(files, labels, strict=True))
    block = DataBlock((ImageBlock, CategoryBlock), get_y=lambda f: label_of[f], splitter=IndexSplitter(valid),
                      item_tfms=RandomResizedCrop(size, min_scale=0.35), batch_tfms=[*aug_transforms(), Normalize.from_stats(MEAN, STD)])
    dls = block.dataloaders(files, bs=bs, num_workers=workers, device="cpu")
    clock = Callback(after_epoch=lambda cb: epoch_done(cb.learn.recorder.values[-1][-1]))
    clock.order = 60            # after the recorder
    learn = vision_learner(dls, mobilenet_v2, weights=weights_file(data), pretrained=False, metrics=accuracy, cbs=clock)
    learn.fine_tune(epochs, lr)


def with_fastai(task, data, seed, workers):
    import fastai.callback.all  # noqa: F401  gives its Learner fine_tune and no_bar
    import torch
    from fastai.callback.core import Callback
    from fastai.data.block import CategoryBlock, DataBlock
    from fastai.data.transforms import IndexSplitter, Normalize
    from fastai.learner import Learner
    from fastai.metrics import accuracy
    from fastai.torch_core import apply_init, set_seed
    from fastai.vision.augment import RandomResizedCrop, aug_transforms
    from fastai.vision.data import ImageBlock
    from fastai.vision.learner import create_body, create_head, default_split
    from torchvision.models import mobilenet_v2

    class Clock(Callback):
        order = 60              # after its recorder

        def after_epoch(self):
            epoch_done(self.learn.recorder.values[-1][-1])

    _, _, size, bs, epochs, lr = TASKS[task]
    files, labels, valid = photos(task, data)
    set_seed(seed)
    label_of = dict(zip(files, labels, strict=True))
    block = DataBlock((ImageBlock, CategoryBlock), get_y=lambda f: label_of[f], splitter=IndexSplitter(valid),
                      item_tfms=RandomResizedCrop(size, min_scale=0.35),
                      batch_tfms=[*aug_transforms(), Normalize.from_stats(MEAN, STD, cuda=False)])
    dls = block.dataloaders(files, bs=bs, num_workers=workers, device=torch.device("cpu"))
    # its vision_learner cannot cut this network (it looks for a pooling layer): the same parts put together by hand
    network = mobilenet_v2()
    network.load_state_dict(torch.load(weights_file(data), weights_only=True))
    head = create_head(1280, dls.c)
    apply_init(head, torch.nn.init.kaiming_normal_)
    learn = Learner(dls, torch.nn.Sequential(create_body(network, cut=-1), head), splitter=default_split, metrics=accuracy, cbs=Clock())
    with learn.no_bar(), learn.no_logging():
        learn.fine_tune(epochs, lr)


started, epochs_done = 0.0, []


def epoch_done(value):
    epochs_done.append((time.perf_counter() - started, float(value)))


def run_one(args):
    global started
    train = {"minifast": with_minifast, "fastai": with_fastai}[args.one]
    sys.stdout, out = sys.stderr, sys.stdout
    started = time.perf_counter()
    train(args.tasks, args.data, args.seed, args.workers)
    print(json.dumps(epochs_done), file=out, flush=True)


def epochs_of(args, name, task, seed):
    "[(seconds, accuracy) after each epoch] of one framework, trained in a process of its own."
    command = [args.peer_python if name == "fastai" else sys.executable, __file__, "--one", name, "--data", args.data, "--tasks", task,
               "--seed", str(seed), "--workers", str(args.workers)]
    done = subprocess.run(command, capture_output=True, text=True,
                          env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "MINIFAST_PROGRESS": "off"})
    if done.returncode:
        raise SystemExit(f"{name} did not run:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def first_time(found, target):
    return next(t for t, value in found if value >= target)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="the folder of photos and weights")
    parser.add_argument("--tasks", default=",".join(TASKS), help="names with commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peer-python", default=sys.executable, help="the Python in which fastai is installed")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of text")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        return run_one(args)
    from common import machine, median, report
    print(f"# {machine()}", file=sys.stderr, flush=True)
    for task in args.tasks.split(","):
        if task not in TASKS:
            parser.error(f"unknown task {task!r}; choose from {', '.join(TASKS)}")
        ratios, whole, best = [], [], {"minifast": [], "fastai": []}
        for seed in range(args.rounds):
            order = ["minifast", "fastai"]
            found = {name: epochs_of(args, name, task, seed) for name in (order if seed % 2 == 0 else order[::-1])}
            target = min(max(value for _, value in epochs) for epochs in found.values())
            seconds = {name: first_time(epochs, target) for name, epochs in found.items()}
            ratios.append(seconds["fastai"] / seconds["minifast"])
            whole.append(found["fastai"][-1][0] / found["minifast"][-1][0])
            for name, epochs in found.items():
                best[name].append(max(value for _, value in epochs))
            report({"task": task, "seed": seed, "target": round(target, 4), "seconds": {k: round(v, 1) for k, v in seconds.items()},
                    "epochs": found},
                   f"{task}, seed {seed}: to {target:.3f} {ratios[-1]:.2f} x as fast, all epochs {whole[-1]:.2f} x", args.json)
        row = {"task": task, "times as fast to the same accuracy": round(median(ratios), 2),
               "times as fast for all epochs": round(median(whole), 2),
               **{f"best accuracy, {k}": [round(a, 4) for a in v] for k, v in best.items()}}
        report(row, ", ".join(f"{k}: {v}" for k, v in row.items()), args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
