"""What the checks cost: their share of a fit, and how fast `dls.check()` and `learn.check(fast=True)` go through data.

    python benchmarks/checks.py                                     everything, with 10,000 photos drawn into a temporary folder
    python benchmarks/checks.py --files 2000 --rounds 5 --only share,loaders

JSON lines. `share`: a one-epoch fit on 1,000 images with and without what every fit checks by itself (`FirstBatch`, and the look at
the losses at its end), in turn: seconds of both, the ratio, and the seconds of these handlers alone, which is the steadier figure.
`loaders`: items per second of `dls.check()`, and where its time goes. `learner`: seconds of `learn.check(fast=True)`.
"""
import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", type=int, default=10_000, help="how many photos are drawn")
    parser.add_argument("--folder", help="take the images of this folder, train/<class>/ and valid/<class>/, instead")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--only", default="share,loaders,learner", help="some of share, loaders, learner")
    args = parser.parse_args()
    args.only = args.only.split(",")
    if wrong := [o for o in args.only if o not in ("share", "loaders", "learner")]:
        parser.error(f"--only: unknown: {', '.join(wrong)}")
    if args.files < 100 or args.rounds < 1:
        parser.error("--files must be 100 or more, --rounds 1 or more")
    return args


# -- images ---------------------------------------------------------------------------------------------------------------------
def draw_photo(folder, k):
    "A JPEG of 500x375, smooth shapes with fine detail and noise, so that it compresses as a photo does (about 45 kB)."
    import numpy as np
    from PIL import Image
    r = np.random.default_rng(k)
    kind = "warm" if k % 2 else "cold"
    coarse = Image.fromarray(r.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((500, 375), Image.Resampling.BICUBIC)
    fine = Image.fromarray(r.integers(0, 256, (94, 125, 3), dtype=np.uint8)).resize((500, 375), Image.Resampling.BILINEAR)
    a = 0.7 * np.asarray(coarse, dtype=np.float32) + 0.2 * np.asarray(fine, dtype=np.float32) + r.normal(0, 6, (375, 500, 1))
    a[..., 0 if k % 2 else 2] += 30
    to = Path(folder) / ("valid" if k % 5 == 0 else "train") / kind
    to.mkdir(parents=True, exist_ok=True)
    Image.fromarray(a.clip(0, 255).astype(np.uint8)).save(to / f"p{k}.jpg", quality=85)


def draw_photos(folder, n):
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(draw_photo, folder), range(n), chunksize=100))


# -- the share of a fit -----------------------------------------------------------------------------------------------------------
def tiny():
    "1,000 rows through a small MLP: the shortest fit there is, where a fixed cost weighs most."
    import torch
    from torch import nn

    from minifast.basics import CrossEntropyLossFlat, DataLoader, DataLoaders, Learner, accuracy
    g = torch.Generator().manual_seed(0)
    x = torch.randn(1200, 20, generator=g)
    data = [torch.utils.data.TensorDataset(x[a:b], (x[a:b, 0] > 0).long()) for a, b in ((0, 1000), (1000, 1200))]
    dls = DataLoaders(DataLoader(data[0], bs=64, shuffle=True, num_workers=0), DataLoader(data[1], bs=64, num_workers=0))
    model = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 2))
    return Learner(dls, model, CrossEntropyLossFlat(), metrics=accuracy)


def photos():
    "1,000 images of 128x128 in memory through a resnet18."
    import torch
    from torchvision.models import resnet18

    from minifast.basics import CrossEntropyLossFlat, DataLoader, DataLoaders, Learner, accuracy
    g = torch.Generator().manual_seed(0)
    x = torch.randn(1200, 3, 128, 128, generator=g)
    y = torch.arange(1200) % 10
    data = [torch.utils.data.TensorDataset(x[a:b], y[a:b]) for a, b in ((0, 1000), (1000, 1200))]
    dls = DataLoaders(DataLoader(data[0], bs=64, shuffle=True, num_workers=0), DataLoader(data[1], bs=64, num_workers=0))
    return Learner(dls, resnet18(num_classes=10), CrossEntropyLossFlat(), metrics=accuracy)


def own_seconds(learn):
    "`(seconds that the automatic checks take in a one-epoch fit, seconds of it all)`: their handlers, timed one by one."
    from minifast.callbacks.first_batch import FirstBatch
    from minifast.callbacks.progress import ProgressCallback
    spent = []

    def timed(f):
        def run():
            began = time.perf_counter()
            f()
            spent.append(time.perf_counter() - began)
        return run

    first = next(cb for cb in learn.cbs if isinstance(cb, FirstBatch))
    shown = next(cb for cb in learn.cbs if isinstance(cb, ProgressCallback))
    own = {first: ("before_batch", "after_pred", "after_loss"), shown: ("_report_overfitting",)}
    for cb, names in own.items():
        for name in names:
            setattr(cb, name, timed(getattr(cb, name)))
    learn.collect_handlers()
    began = time.perf_counter()
    learn.fit(1)
    whole = time.perf_counter() - began
    for cb, names in own.items():
        for name in names:
            delattr(cb, name)
    learn.collect_handlers()
    return sum(spent), whole


def share(name, make, rounds):
    from common import median, quartiles, seconds

    from minifast.callbacks.first_batch import FirstBatch
    learn = make()
    learn.fit(1)                                # warm up

    def without():
        learn.progress.overfitting = False
        with learn.removed_cbs(FirstBatch):
            learn.fit(1)
        learn.progress.overfitting = True

    times, own = {"with": [], "without": []}, []
    for r in range(rounds):
        order = [("with", lambda: learn.fit(1)), ("without", without)]
        for which, run in order if r % 2 == 0 else order[::-1]:
            times[which].append(seconds(run)[0])
        own.append(own_seconds(learn)[0])
    ratios = [a / b for a, b in zip(times["with"], times["without"], strict=True)]
    q1, q3 = quartiles(ratios)
    fit = median(times["with"])
    return {"what": "share", "fit": name, "with_s": round(fit, 4), "without_s": round(median(times["without"]), 4),
            "ratio": round(median(ratios), 4), "ratio_q1": round(q1, 4), "ratio_q3": round(q3, 4),
            "checks_ms": round(1e3 * median(own), 3), "share_of_fit": round(median(own) / fit, 5), "rounds": rounds}


def share_alone(name, make):
    "For a fit that takes long: its handlers against one such fit."
    own, whole = own_seconds(make())
    return {"what": "share", "fit": name, "with_s": round(whole, 2), "checks_ms": round(1e3 * own, 3),
            "share_of_fit": round(own / whole, 6)}


# -- the checks that are asked for ------------------------------------------------------------------------------------------------
def image_loaders(folder):
    from minifast.vision.all import ImageDataLoaders, Normalize, Resize
    return ImageDataLoaders.from_folder(folder, item_tfms=Resize(128), bs=64,
                                        batch_tfms=Normalize.from_stats([0.5] * 3, [0.25] * 3))


def of_loaders(dls):
    began, cpu = time.perf_counter(), time.process_time()
    report = dls.check()
    spent, cpu = time.perf_counter() - began, time.process_time() - cpu
    n = sum(len(dl.dataset) for dl in dls)
    slowest = sorted(report.times.items(), key=lambda o: -o[1])[:4]
    return {"what": "loaders", "items": n, "seconds": round(spent, 2), "items_per_second": round(n / spent),
            "cpu_s": round(cpu, 2), "items_per_cpu_second": round(n / cpu),
            "files_per_second": round(report["MF801"].evidence["files_per_second"]), "slowest": {k: round(v, 2) for k, v in slowest}}


def of_learner(dls, fast):
    from minifast.vision.all import error_rate, resnet18, vision_learner
    learn = vision_learner(dls, resnet18, pretrained=False, metrics=error_rate)
    began = time.perf_counter()
    report = learn.check(fast=fast)
    spent = time.perf_counter() - began
    slowest = sorted(report.times.items(), key=lambda o: -o[1])[:4]
    return {"what": "learner", "model": "resnet18, 128 pixels", "fast": fast, "seconds": round(spent, 2),
            "slowest": {k: round(v, 2) for k, v in slowest}}


def main():
    args = arguments()
    import torch
    from common import FakeTerminal, machine, output_to
    torch.set_num_threads(args.threads)
    print(f"# {machine()}", file=sys.stderr, flush=True)

    def quietly(f, *inputs):
        with output_to(FakeTerminal()):
            row = f(*inputs)
        print(json.dumps(row), flush=True)

    if "share" in args.only:
        quietly(share, "tiny: 1,000 rows, MLP", tiny, 5 * args.rounds)
        quietly(share_alone, "1,000 images of 128 pixels, resnet18", photos)
    if args.only == ["share"]:
        return 0
    with tempfile.TemporaryDirectory() as folder:
        if args.folder is None:
            draw_photos(folder, args.files)
        dls = image_loaders(args.folder or folder)
        if "loaders" in args.only:
            quietly(of_loaders, dls)
        if "learner" in args.only:
            quietly(of_learner, dls, True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
