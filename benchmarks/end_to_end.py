"""Wall time from files to a validation accuracy: minifast against fastai, same photos, split, model, weights, epochs and augmentation.

    python benchmarks/end_to_end.py --data path/to/data --peer-python path/to/python
    python benchmarks/end_to_end.py --data path/to/data --tasks pets --rounds 1 --json
    python benchmarks/end_to_end.py --data path/to/data --peer-python path/to/python --speedup 60s

With `--speedup` a third learner takes part, minifast after `learn.speedup(budget, apply=True)`. Its seconds are those of training; those of
the adviser, who is asked once for a project, are reported beside them. `predicted` is what the adviser said of the fit, `measured` the time
of the fit without its advice by the time with it.

The folder holds `cats_vs_dogs/*.jpg`, `pets_sample/images/*.jpg` and `weights/mobilenet_v2*.pth`, the ImageNet weights that both start
from. `fine_tune` as it comes: one epoch of the new head, then all layers. The clock starts before the loaders are made and stops, for
each epoch, when its validation is done. The learners of a round, which has a seed of its own, are processes that run in turn, a second each
(`slices.py`; the adviser, who measures, is not interrupted); the target is what the slower learner of the round reached at its best. Ratios
are medians over the rounds.
"""
import argparse
import os
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path

from slices import alone, answer, in_slices, now

TASKS = {       # folder, the class in a file's name, size, batch, epochs after the first, base learning rate
    "cats_vs_dogs": ("cats_vs_dogs", r"^(\w+?)\.\d+\.jpg$", 128, 32, 2, 2e-3),
    "pets": ("pets_sample/images", r"^(.+)_\d+\.jpg$", 128, 16, 6, 4e-3),
    "adult": ("adult", "", 0, 64, 3, 1e-2),             # a table: fit_one_cycle, all epochs alike
}
ADULT = {"y_names": "salary", "cont_names": ["age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"],
         "cat_names": ["workclass", "education", "marital-status", "occupation", "relationship", "race", "sex", "native-country"]}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def photos(task, data):
    "(files, their labels, indices for validation): a fifth, the same for everyone."
    folder, pattern = TASKS[task][:2]
    files = sorted(f for f in (Path(data) / folder).iterdir() if f.suffix == ".jpg")
    return files, [re.match(pattern, f.name).group(1) for f in files], list(range(0, len(files), 5))


def weights_file(data):
    return next((Path(data) / "weights").glob("mobilenet_v2*.pth"))


def adult(data):
    "(frame, indices for validation): a fifth, the same for everyone."
    import pandas as pd
    frame = pd.read_csv(Path(data) / "adult" / "adult.csv", skipinitialspace=True)
    return frame, list(range(0, len(frame), 5))


def advised(learn, budget, epochs):
    "Set what the adviser finds; its seconds do not count. All layers are trained in its trials, as in most epochs."
    began = now()
    alone(True)
    learn.unfreeze()
    report = learn.speedup(budget, apply=True, epochs=epochs)
    print(report, file=sys.stderr)
    alone(False)
    notes["advice"] = {"predicted": report.ratio, "settings": list(report.best), "seconds": round(now() - began, 1)}
    notes["asked"] = [began, now()]


def with_minifast(task, data, seed, workers, budget=None):
    sys.path.insert(0, str(Path(__file__).parents[1]))
    if task == "adult":
        return table_with_minifast(task, data, seed, budget)
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
    learn.create_opt()              # torch's first optimizer imports its compiler, which would count as the fit's without advice
    if budget:
        advised(learn, budget, epochs + 1)
    notes["fit"] = now()
    learn.fine_tune(epochs, lr)
    return None


def table_with_minifast(task, data, seed, budget):
    from minifast.tabular.all import (
        Callback,
        Categorify,
        FillMissing,
        IndexSplitter,
        Normalize,
        TabularPandas,
        accuracy,
        set_seed,
        tabular_learner,
    )
    _, _, _, bs, epochs, lr = TASKS[task]
    frame, valid = adult(data)
    set_seed(seed)
    table = TabularPandas(frame, [Categorify, FillMissing, Normalize], splits=IndexSplitter(valid)(list(range(len(frame)))), **ADULT)
    clock = Callback(after_epoch=lambda cb: epoch_done(cb.learn.recorder.values[-1][-1]))
    clock.order = 60
    learn = tabular_learner(table.dataloaders(bs=bs, device="cpu"), metrics=accuracy, cbs=clock)
    learn.create_opt()
    if budget:
        advised(learn, budget, epochs)
    notes["fit"] = now()
    learn.fit_one_cycle(epochs, lr)


def table_with_fastai(task, data, seed):
    import fastai.callback.all  # noqa: F401
    import torch
    from fastai.callback.core import Callback
    from fastai.data.transforms import IndexSplitter
    from fastai.metrics import accuracy
    from fastai.tabular.core import Categorify, FillMissing, Normalize, TabularPandas
    from fastai.tabular.learner import tabular_learner
    from fastai.torch_core import set_seed

    class Clock(Callback):
        order = 60

        def after_epoch(self):
            epoch_done(self.learn.recorder.values[-1][-1])

    _, _, _, bs, epochs, lr = TASKS[task]
    frame, valid = adult(data)
    set_seed(seed)
    table = TabularPandas(frame, [Categorify, FillMissing, Normalize], splits=IndexSplitter(valid)(list(range(len(frame)))), **ADULT)
    learn = tabular_learner(table.dataloaders(bs=bs, device=torch.device("cpu")), metrics=accuracy, cbs=Clock())
    notes["fit"] = now()
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, lr)


def with_fastai(task, data, seed, workers):
    if task == "adult":
        return table_with_fastai(task, data, seed)
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
    notes["fit"] = now()
    with learn.no_bar(), learn.no_logging():
        learn.fine_tune(epochs, lr)
    return None


#: Times of `now`: began, fit, epochs with their accuracy, asked (from when to when the adviser was); advice: what that said.
notes = {"epochs": []}


def epoch_done(value):
    notes["epochs"].append([now(), float(value)])


def run_one(args):
    notes["began"] = now()
    with redirect_stdout(sys.stderr):
        if args.one == "fastai":
            with_fastai(args.tasks, args.data, args.seed, args.workers)
        else:
            with_minifast(args.tasks, args.data, args.seed, args.workers, args.speedup)
    answer(notes)


def run_all(args, names, task, seed):
    "{name: {epochs: [(seconds, accuracy) after each epoch], fit: seconds until it began, advice:}} of frameworks that take turns."
    options = ["--data", args.data, "--tasks", task, "--seed", str(seed), "--workers", str(args.workers)]
    commands = {name: [args.peer_python if name == "fastai" else sys.executable, __file__, "--one", name, *options,
                       *(["--speedup", args.speedup] if name == ADVISED else [])] for name in names}
    runs = in_slices(commands, {**os.environ, "CUDA_VISIBLE_DEVICES": "", "MINIFAST_PROGRESS": "off"})
    return {name: _in_seconds(found, time) for name, (found, time) in runs.items()}


def _in_seconds(found, time):
    "The times of a run as seconds that it had run, without those of the adviser."
    asked = found.get("asked")

    def seconds(at):
        return time(at) - time(found["began"]) - (time(asked[1]) - time(asked[0]) if asked and at >= asked[1] else 0)

    return {"epochs": [(seconds(at), value) for at, value in found["epochs"]], "fit": seconds(found["fit"]), "advice": found.get("advice")}


ADVISED = "minifast, advised"


def first_time(found, target):
    return next(t for t, value in found if value >= target)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="the folder of photos and weights")
    parser.add_argument("--tasks", default=",".join(TASKS), help="names with commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peer-python", default=sys.executable, help="the Python in which fastai is installed")
    parser.add_argument("--speedup", metavar="BUDGET", help="let learn.speedup(BUDGET, apply=True) take part, such as 60s")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of text")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        return run_one(args)
    from common import machine, median, report
    print(f"# {machine()}", file=sys.stderr, flush=True)
    names = ["minifast", "fastai", *([ADVISED] if args.speedup else [])]
    for task in args.tasks.split(","):
        if task not in TASKS:
            parser.error(f"unknown task {task!r}; choose from {', '.join(TASKS)}")
        ratios, whole = {name: [] for name in names}, {name: [] for name in names}
        best, advice = {name: [] for name in names}, []
        for seed in range(args.rounds):
            k = seed % len(names)
            found = run_all(args, names[k:] + names[:k], task, seed)
            epochs = {name: run["epochs"] for name, run in found.items()}
            for name in names:
                target = min(max(value for _, value in epochs[one]) for one in (name, "fastai"))
                ratios[name].append(first_time(epochs["fastai"], target) / first_time(epochs[name], target))
                whole[name].append(epochs["fastai"][-1][0] / epochs[name][-1][0])
                best[name].append(max(value for _, value in epochs[name]))
            if args.speedup:
                fits = {name: run["epochs"][-1][0] - run["fit"] for name, run in found.items()}
                advice.append({**found[ADVISED]["advice"], "measured": fits["minifast"] / fits[ADVISED]})
            report({"task": task, "seed": seed, "runs": found, "advice": advice[-1:]},
                   f"{task}, seed {seed}: " + "; ".join(f"{name} to the same accuracy {ratios[name][-1]:.2f} x as fast, all epochs "
                                                        f"{whole[name][-1]:.2f} x" for name in names if name != "fastai")
                   + "".join(f"; predicted {a['predicted']:.2f}, measured {a['measured']:.2f} ({'; '.join(a['settings'])}; "
                             f"{a['seconds']} s)" for a in advice[-1:]), args.json)
        row = {"task": task, **{f"times as fast to the same accuracy, {name}": round(median(ratios[name]), 2)
                                for name in names if name != "fastai"},
               **{f"times as fast for all epochs, {name}": round(median(whole[name]), 2) for name in names if name != "fastai"},
               **{f"best accuracy, {k}": [round(a, 4) for a in v] for k, v in best.items()}}
        if advice:
            row["predicted"] = round(median([a["predicted"] for a in advice]), 2)
            row["measured"] = round(median([a["measured"] for a in advice]), 2)
        report(row, ", ".join(f"{k}: {v}" for k, v in row.items()), args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
