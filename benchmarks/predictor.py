"""One image from a file to its class: `Predictor` of an exported learner, fastai's `load_learner(...).predict`, and a loop by hand.

    python benchmarks/predictor.py                                  # minifast and by hand
    python benchmarks/predictor.py --fastai /path/to/python         # an interpreter that has fastai
    python benchmarks/predictor.py --imports                        # what importing costs, instead

All predict the same JPEG photo, brought to 224x224 and normalised, with torchvision's resnet18 and the same weights, each in a process of
its own, and take turns. What counts is the overhead: a prediction less the bare call of the same model on a ready tensor, measured in
turns too. Processor time stands beside the time on the clock, which other programs on the machine lengthen. `decode` is what Pillow takes
to read and decode the photo, which everybody has to do.

Data: $MINIFAST_TEST_DATA, or ../shared/data. The photo is that of median size in bytes among those of 500x375 pixels in `--photos`.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import machine, median, quartiles, report

SIZE, CALLS = 224, 10
STATS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
#: What is imported to predict, by interpreter.
IMPORTS = {"minifast": ["import torch", "from minifast.learner.predictor import Predictor"],
           "fastai": ["import torch", "from fastai.learner import load_learner", "from fastai.vision.all import load_learner"]}


def photos(name):
    "Photos of about 500x375 pixels, as many as it takes to make loaders; the first, of median size in bytes, is predicted."
    from PIL import Image
    root = Path(os.environ.get("MINIFAST_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data") / name
    found = [f for f in sorted(root.rglob("*.jpg")) if Image.open(f).size in ((500, 375), (500, 374), (499, 375))]
    if not found:
        sys.exit(f"there are no photos in {root}: set MINIFAST_TEST_DATA")
    found.sort(key=lambda f: f.stat().st_size)
    return found[len(found) // 2:][:16]


def network(name):
    import torch
    from torch import nn
    from torchvision.models import resnet18
    torch.manual_seed(0)
    # the small one takes no time, so that the overhead is seen well; but nobody uses it
    return resnet18(num_classes=2) if name == "resnet18" else nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))


# -- the three ways: each returns a function of a file that gives the probabilities, and the model -------------------------------------
def with_minifast(model, files):
    from minifast.learner.learner import Learner
    from minifast.learner.predictor import Predictor
    from minifast.nn.losses import CrossEntropyLossFlat
    from minifast.vision.augment.item import Resize
    from minifast.vision.loaders import ImageDataLoaders
    from minifast.vision.normalize import Normalize
    dls = ImageDataLoaders.from_lists(".", files, [i % 2 for i in range(len(files))], item_tfms=Resize(SIZE), bs=4, num_workers=0,
                                      batch_tfms=Normalize.from_stats(*STATS), device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        learn = Learner(dls, model, CrossEntropyLossFlat())
        predictor = Predictor(learn.export(Path(folder) / "model.pkl"), objects={type(model).__name__: model})
    return lambda file: predictor.predict(file).probs, predictor.model


def with_fastai(model, files):
    from fastai.vision.all import CrossEntropyLossFlat, ImageDataLoaders, Learner, Normalize, Resize, load_learner
    dls = ImageDataLoaders.from_lists(".", files, [i % 2 for i in range(len(files))], item_tfms=Resize(SIZE), bs=4, num_workers=0,
                                      batch_tfms=Normalize.from_stats(*STATS), device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        Learner(dls, model, CrossEntropyLossFlat(), path=folder).export("model.pkl")
        learn = load_learner(Path(folder) / "model.pkl")

    def predict(file):
        with learn.no_bar():
            return learn.predict(file)[2]
    return predict, learn.model


def by_hand(model, files):
    import numpy as np
    import torch
    from PIL import Image
    model.eval().requires_grad_(False)
    mean, std = (torch.tensor(s).view(1, 3, 1, 1) for s in STATS)

    def predict(file):
        with Image.open(file) as im:
            im.draft("RGB", (SIZE, SIZE))
            w, h = im.size
            side = min(w, h)
            left, top = (w - side) // 2, (h - side) // 2
            im = im.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
        x = torch.from_numpy(np.array(im)).permute(2, 0, 1)[None].float().div_(255).sub_(mean).div_(std)
        with torch.inference_mode():
            return model(x).softmax(1)[0]
    return predict, model


WAYS = {"minifast": with_minifast, "fastai": with_fastai, "by hand": by_hand}


# -- measuring ------------------------------------------------------------------------------------------------------------------------
def serve_way(way, name, folder):
    "In the process of a way: one round for each line on standard input."
    import torch
    from PIL import Image
    from turns import serve
    files = photos(folder)
    predict, model = WAYS[way](network(name), files)
    x = torch.randn(1, 3, SIZE, SIZE)

    def bare():
        with torch.inference_mode():
            model(x)

    def decode():
        with Image.open(files[0]) as im:
            im.load()

    def timed(f):
        wall, cpu = time.perf_counter(), time.process_time()
        f()
        return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)

    def run():
        steps = {"predict": lambda: predict(files[0]), "model": bare, "decode": decode}
        times = {step: [] for step in steps}
        for _ in range(CALLS):
            for step, f in steps.items():
                times[step].append(timed(f))
        return {"probs": predict(files[0]).tolist(), "threads": torch.get_num_threads(),
                **{step: [median(column) for column in zip(*pairs, strict=True)] for step, pairs in times.items()}}

    serve(run)


def overheads(pythons, name, folder, rounds):
    "{way: its rounds} of the ways that start."
    from turns import Runner
    runners = [Runner(python, __file__, way, ["--model", name, "--photos", folder]) for way, python in pythons.items()]
    for r in runners:
        if not r.ready:
            print(f"{r.name}: does not start, left out (python benchmarks/predictor.py --pipeline '{r.name}' says why)", file=sys.stderr)
    runners = [r for r in runners if r.ready]
    found = {r.name: [] for r in runners}
    try:
        for turn in range(rounds):
            for r in runners if turn % 2 == 0 else runners[::-1]:
                found[r.name].append(r.turn()[0])
    finally:
        for r in runners:
            r.end()
    return found


def import_times(pythons, rounds):
    "{(interpreter, statement): (seconds, processor seconds) of each round} in fresh processes; the first run is not counted."
    program = ("import sys, time; wall, cpu = time.perf_counter(), time.process_time()\n{}\n"
               "print(time.perf_counter() - wall, time.process_time() - cpu)")
    cases = [(way, statement) for way in pythons for statement in IMPORTS.get(way, ())]
    times = {case: [] for case in cases}
    for turn in range(rounds + 1):
        for way, statement in cases if turn % 2 == 0 else cases[::-1]:
            command = [pythons[way], "-W", "ignore", "-c", program.format(statement)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
            if turn:
                times[way, statement].append(tuple(map(float, done.stdout.split()[-2:])))
    return times


def spread(values):
    "Median and quartiles in one text."
    q1, q3 = quartiles(values)
    return f"{median(values):.2f} ({q1:.2f}-{q3:.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fastai", help="an interpreter that has fastai")
    parser.add_argument("--imports", action="store_true", help="measure importing")
    parser.add_argument("--model", default="resnet18", choices=["resnet18", "tiny"])
    parser.add_argument("--photos", default="cats_vs_dogs", help="folder of the data: cats_vs_dogs (24 kB each), pets_sample (135 kB)")
    parser.add_argument("--threads", type=int, help="of torch's operations (default: torch's choice)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of text")
    parser.add_argument("--pipeline", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pipeline:
        return serve_way(args.pipeline, args.model, args.photos)
    if args.threads:
        os.environ["OMP_NUM_THREADS"] = str(args.threads)
    pythons = {"minifast": sys.executable, "by hand": sys.executable, **({"fastai": args.fastai} if args.fastai else {})}
    print(f"# {machine()}", file=sys.stderr, flush=True)
    if args.imports:
        for (way, statement), times in import_times(pythons, args.rounds).items():
            wall, cpu = zip(*times, strict=True)
            report({"import": statement, "by": way, "s": median(wall), "cpu_s": median(cpu)},
                   f"{way:10} {statement:52} {spread(wall)} s, processor {spread(cpu)} s", args.json)
        return None
    found = overheads(pythons, args.model, args.photos, args.rounds)
    for k, clock in enumerate(("clock", "processor")):
        over = {way: [r["predict"][k] - r["model"][k] for r in rows] for way, rows in found.items()}
        for way, rows in found.items():
            steps = {step: [r[step][k] for r in rows] for step in ("predict", "model", "decode")}
            text = ", ".join(f"{step} {spread(values)}" for step, values in steps.items())
            ratio = [a / b for a, b in zip(over[way], over["minifast"], strict=True)]
            rest = [(a - r["decode"][k]) / (b - s["decode"][k]) for a, r, b, s in zip(over[way], rows, over["minifast"], found["minifast"],
                                                                                      strict=True)]
            report({"way": way, "clock": clock, "overhead_ms": median(over[way]), **{s: median(v) for s, v in steps.items()},
                    "ratio": median(ratio), "ratio_without_decode": median(rest), "rounds": args.rounds},
                   f"{clock:10} {way:9} overhead {spread(over[way])} ms, {spread(ratio)} times minifast's, without decoding "
                   f"{spread(rest)}; ms: {text}", args.json)
    probs = {way: rows[-1]["probs"] for way, rows in found.items()}
    report({"probs": probs, "threads": {way: rows[0]["threads"] for way, rows in found.items()}},
           f"probabilities: {json.dumps({way: [round(p, 4) for p in ps] for way, ps in probs.items()})}", args.json)
    return None


if __name__ == "__main__":
    sys.exit(main())
