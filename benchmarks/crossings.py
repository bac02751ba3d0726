"""How much of the package one has to read: calls of Python functions of minifast, and the files they stand in.

    python benchmarks/crossings.py                               the checkout that this script belongs to
    PYTHONPATH=path/to/checkout python benchmarks/crossings.py   another one
    python benchmarks/crossings.py --files                       also name the files
    python benchmarks/crossings.py --aug                         with `aug_transforms()`

Three things are followed with `sys.setprofile`: a training batch of an image learner (from the end of one step to the end of the next:
made in this process, then trained on), a whole `fit_one_cycle(1)`, and `predict` of one image file. Each was done once before, so that
imports and what is set up for the first batch do not count; nor do functions of torch, torchvision, Pillow and the standard library.
"""
import argparse
import json
import os
import sys
import tempfile
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""
if "PYTHONPATH" not in os.environ:
    sys.path.insert(0, str(Path(__file__).parents[1]))
BS, PHOTOS = 4, 40
LIMITS = {"training batch": 16, "fit_one_cycle(1)": 28, "predict": 25}


class Crossings:
    "Counts the calls of functions of minifast, by file, between `start` and `stop`."

    def __init__(self):
        import minifast
        self.root = str(Path(minifast.__file__).parent) + os.sep
        self.calls = Counter()

    def start(self):
        sys.setprofile(self._profile)

    def stop(self):
        sys.setprofile(None)

    def _profile(self, frame, event, arg):
        if event == "call" and frame.f_code.co_filename.startswith(self.root):
            self.calls[frame.f_code.co_filename[len(self.root):]] += 1

    @contextmanager
    def counting(self):
        self.start()
        try:
            yield
        finally:
            self.stop()


def photos(folder):
    "Small JPEG files of two kinds."
    import numpy as np
    from PIL import Image
    rng = np.random.default_rng(0)
    for i in range(PHOTOS):
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), np.uint8)).save(folder / f"{'ab'[i % 2]}_{i}.jpg")
    return sorted(folder.glob("*.jpg"))


def image_learner(files, aug=False):
    "A small net on photos: random resized crop, normalise; batches of four made in this process."
    import torch

    from minifast.vision.all import ImageDataLoaders, Learner, Normalize, RandomResizedCrop, accuracy, aug_transforms, imagenet_stats
    tfms = [*(aug_transforms() if aug else []), Normalize.from_stats(*imagenet_stats)]
    dls = ImageDataLoaders.from_name_func(".", files, kind_of, bs=BS, num_workers=0, device="cpu", seed=1,
                                          item_tfms=RandomResizedCrop(32), batch_tfms=tfms)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
                              torch.nn.Linear(8, 2))
    return Learner(dls, net, metrics=accuracy)


def kind_of(name):
    return Path(name).name[0]


def of_a_training_batch(learn):
    from minifast.vision.all import Callback

    class Between(Callback):
        "Counts from the end of the second training batch to the end of the third."

        def __init__(self, crossings):
            self.crossings, self.n = crossings, 0

        def after_batch(self):
            self.crossings.stop()
            if self.learn.training:
                self.n += 1
                if self.n == 2:
                    self.crossings.start()

    crossings = Crossings()
    learn.fit(1, cbs=Between(crossings))
    return crossings


def of_a_call(f):
    crossings = Crossings()
    with crossings.counting():
        f()
    return crossings


def measure(aug=False):
    "{what: `Crossings`} of an image learner."
    with tempfile.TemporaryDirectory() as folder:
        files = photos(Path(folder))
        learn = image_learner(files, aug)
        with learn.no_bar(), learn.no_logging():
            learn.fit_one_cycle(1)
            learn.predict(files[0])
            return {"training batch": of_a_training_batch(learn), "fit_one_cycle(1)": of_a_call(lambda: learn.fit_one_cycle(1)),
                    "predict": of_a_call(lambda: learn.predict(files[0]))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--files", action="store_true", help="name the files, and how many calls are of each")
    parser.add_argument("--aug", action="store_true", help="with aug_transforms()")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of text")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    for what, crossings in measure(args.aug).items():
        row = {"what": what, "calls": sum(crossings.calls.values()), "files": len(crossings.calls), "limit": LIMITS[what]}
        if args.json:
            print(json.dumps({**row, "calls_by_file": dict(crossings.calls)} if args.files else row))
            continue
        print(f"{what:18} {row['calls']:6} calls in {row['files']:3} files (wanted: at most {row['limit']})")
        for file, n in crossings.calls.most_common() if args.files else ():
            print(f"    {n:6} {file}")


if __name__ == "__main__":
    main()
