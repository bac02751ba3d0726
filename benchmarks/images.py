"""Images per second from JPEG files to normalised float batches: minifast against fastai and hand-written torchvision loaders.

    python benchmarks/images.py --quick                          ten minutes: 258 photos of each size
    python benchmarks/images.py --json --photos 2000 --rounds 7
    python benchmarks/images.py --peer-python path/to/python     where fastai is installed, if not here
    python benchmarks/images.py --pixels                         only: how far the pixels are from those of a full decode

Every pipeline reads the same files: random resized crop to 224, mirror, normalise (mean and standard deviation of ImageNet), batches of
64, shuffled. `+flip` mirrors in the batch (`Flip()`) instead of item by item, `+aug` adds the default `aug_transforms()`, in minifast and
in fastai by the same lines. With 0 and with 2 workers; torch may use all cores in all of them. Each pipeline runs in a process of its own,
which waits for its turn; a round runs each of them for one epoch, in changing order. Ratios are of neighbours in time, their median counts;
absolute numbers depend on the machine and on what else it does. The first two epochs are not counted (with a cache they fill it), nor is
what starting costs. `no-keep`: with MINIFAST_KEEP_MEMORY=0.
"""
import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""
SIZES = {"500x375": (500, 375, 4), "1600x1200": (1600, 1200, 2)}          # width, height, noise
SIZE, BS = 224, 64
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
PIPELINES = {
    "torchvision v1": "torchvision", "torchvision v2": "torchvision", "fastai": "fastai", "fastai+flip": "fastai", "fastai+aug": "fastai",
    "minifast pillow": "minifast", "minifast pillow+flip": "minifast", "minifast pillow+aug": "minifast",
    "minifast fast": "minifast", "minifast fast+flip": "minifast", "minifast fast+aug": "minifast",
    "minifast cached": "minifast", "minifast cached+flip": "minifast", "minifast cached+aug": "minifast", "minifast disk": "minifast",
    "minifast pillow processes": "minifast", "minifast fast no-keep": "minifast",
}


# -- one pipeline, in a process of its own ----------------------------------------------------------------------------------------

def run_pipeline(name, files, workers):
    from turns import serve
    serve({"torchvision": torchvision_epoch, "fastai": fastai_epoch, "minifast": minifast_epoch}[PIPELINES[name]](name, files, workers))


def counted(loader):
    def epoch():
        n = 0
        for x, *_ in loader:
            assert tuple(x.shape[1:]) == (3, SIZE, SIZE) and x.is_floating_point(), (x.shape, x.dtype)
            n += len(x)
        return n
    return epoch


class Photos:
    "A torch dataset written by hand."

    def __init__(self, files, transform):
        self.files, self.transform = files, transform

    def __len__(self):
        return len(self.files)

    def __getitem__(self, i):
        from PIL import Image
        with Image.open(self.files[i]) as im:
            return self.transform(im.convert("RGB")), i % 2


def torchvision_epoch(name, files, workers):
    import torch
    from torchvision import transforms as v1
    from torchvision.transforms import v2
    steps = {
        "torchvision v1": lambda: v1.Compose([v1.RandomResizedCrop(SIZE), v1.RandomHorizontalFlip(), v1.ToTensor(),
                                              v1.Normalize(MEAN, STD)]),
        "torchvision v2": lambda: v2.Compose([v2.RandomResizedCrop(SIZE, antialias=True), v2.RandomHorizontalFlip(), v2.PILToTensor(),
                                              v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]),
    }[name]()
    return counted(torch.utils.data.DataLoader(Photos(files, steps), BS, shuffle=True, num_workers=workers, drop_last=True,
                                               persistent_workers=workers > 0))


def fastai_epoch(name, files, workers):
    from fastai.vision.all import Flip, FlipItem, ImageDataLoaders, Normalize, RandomResizedCrop, aug_transforms
    items, batch = augmentation(name, RandomResizedCrop, FlipItem, Flip, aug_transforms)
    dls = ImageDataLoaders.from_path_func(".", files, label_of, item_tfms=items, bs=BS, num_workers=workers, device="cpu", valid_pct=0.0001,
                                          batch_tfms=[*batch, Normalize.from_stats(MEAN, STD, cuda=False)])
    return counted(dls.train)


def augmentation(name, RandomResizedCrop, FlipItem, Flip, aug_transforms):
    "The transforms of items and of batches."
    if "+" not in name:
        return [RandomResizedCrop(SIZE), FlipItem()], []
    return [RandomResizedCrop(SIZE)], aug_transforms() if name.endswith("+aug") else [Flip()]


def minifast_epoch(name, files, workers):
    if "no-keep" in name:
        os.environ["MINIFAST_KEEP_MEMORY"] = "0"
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from minifast.vision.all import Flip, FlipItem, ImageDataLoaders, Normalize, RandomResizedCrop, aug_transforms
    from minifast.vision.files import jpeg
    if "pillow" in name:
        jpeg.decoder = "pillow"
    elif "fast" in name and jpeg.decoder != "simplejpeg":
        raise SystemExit("simplejpeg is not installed (pip install minifast[fast])")
    items, batch = augmentation(name, RandomResizedCrop, FlipItem, Flip, aug_transforms)
    cache = "ram" if "cached" in name else tempfile.mkdtemp() + "/" if "disk" in name else None
    kind = {"worker_type": "process"} if "processes" in name and workers else {}
    dls = ImageDataLoaders.from_path_func(".", files, label_of, item_tfms=items, bs=BS, num_workers=workers, device="cpu", valid_pct=0.0001,
                                          cache=cache, drop_last=True,
                                          batch_tfms=[*batch, Normalize.from_stats(MEAN, STD)], **kind)
    return counted(dls.train)


def label_of(file):
    return Path(file).parent.name


# -- the comparison ---------------------------------------------------------------------------------------------------------------

def compare(args, size, kilobytes, workers, options):
    from common import median, report
    from turns import Runner, ratios_over, take_turns
    options = [*options, "--workers", str(workers)]
    runners = [Runner(args.peer_python if PIPELINES[name] == "fastai" else sys.executable, __file__, name, options)
               for name in args.pipelines]
    rates = take_turns(runners, args.rounds,
                       lambda n: report({"pipeline": n, "skipped": "did not start"}, f"{n}: skipped, it did not start", args.json))
    for name, found in rates.items():
        row = {"size": size, "workers": workers, "pipeline": name, "images_per_second": round(median(found), 1),
               "mean_kb": round(kilobytes)}
        for base in ("torchvision v1", "torchvision v2", "fastai", "fastai+flip", "fastai+aug"):
            if base in rates and ("+" not in base or base.split("+")[1] == name.partition("+")[2]):
                row[f"over {base}"] = ratios_over(rates, name, base)
        text = ", ".join(f"{v} x {k[5:]}" for k, v in row.items() if k.startswith("over "))
        report(row, f"{size}, {workers} workers: {name:32s} {row['images_per_second']:8.0f} images/s   {text}", args.json)


def pixel_differences(args, size, files):
    "Mean absolute difference, in levels of 255, to Pillow's resize of the full decode, per transform."
    import numpy as np
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from common import report

    from minifast.core.seeds import item_rng
    from minifast.vision.all import PILImage, RandomCrop, RandomResizedCrop, RatioResize, Resize
    from minifast.vision.files import lazy
    transforms = [Resize(SIZE), Resize(SIZE, "squish"), Resize(SIZE, "pad"), Resize(460), RandomResizedCrop(SIZE), RandomCrop(SIZE),
                  RatioResize(SIZE)]
    names = ["Resize(224)", "Resize(224, 'squish')", "Resize(224, 'pad')", "Resize(460)", "RandomResizedCrop(224)", "RandomCrop(224)",
             "RatioResize(224)"]
    torch_modes = lazy._MODES
    for name, tfm in zip(names, transforms, strict=True):
        for split_idx in (0, 1):
            found = []
            for i, file in enumerate(files[:32]):
                ours = np.asarray(tfm((PILImage.create(file),), split_idx, item_rng(i))[0]).astype(int)
                full = PILImage.create(file)
                full.load()
                lazy._MODES = {}
                found.append(np.abs(ours - np.asarray(tfm((full,), split_idx, item_rng(i))[0])).mean())
                lazy._MODES = torch_modes
            row = {"size": size, "transform": name, "split": split_idx, "mean_absolute_difference": round(float(np.mean(found)), 3)}
            which = "validation" if split_idx else "training"
            text = f"{size}: {name} of {which} items differs from a full decode by {row['mean_absolute_difference']} levels"
            report(row, text, args.json)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", default=os.path.join(tempfile.gettempdir(), "minifast-benchmark-photos"))
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", default="500x375,1600x1200")
    parser.add_argument("--workers", default="0,2")
    parser.add_argument("--pipelines", default=",".join(PIPELINES), help="names with commas, or 'all'")
    parser.add_argument("--peer-python", default=sys.executable, help="the Python in which fastai is installed")
    parser.add_argument("--images", help="a folder of photos to use instead of generated ones")
    parser.add_argument("--quick", action="store_true", help="258 photos, 3 rounds")
    parser.add_argument("--pixels", action="store_true", help="only the differences of pixels")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of text")
    parser.add_argument("--pipeline", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.photos, args.rounds = min(args.photos, 258), min(args.rounds, 3)
    sizes = ["photos"] if args.images else args.size.split(",")
    if args.pipeline:
        return run_pipeline(args.pipeline, files_of(args, sizes[0])[0], int(args.workers))
    args.pipelines = list(PIPELINES) if args.pipelines == "all" else args.pipelines.split(",")
    if unknown := [p for p in args.pipelines if p not in PIPELINES]:
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(PIPELINES)}")
    from common import machine
    print(f"# {machine()}", file=sys.stderr, flush=True)
    for size in sizes:
        files, kilobytes = files_of(args, size)
        if not args.pixels:
            options = ["--folder", args.folder, "--photos", str(args.photos), "--size", size]
            options += ["--images", args.images] if args.images else []
            for workers in map(int, args.workers.split(",")):
                compare(args, size, kilobytes, workers, options)
        pixel_differences(args, size, files)
    return 0


def files_of(args, size):
    if args.images:
        files = sorted(map(str, Path(args.images).rglob("*.jpg")))[:args.photos]
        return files, sum(map(os.path.getsize, files)) / len(files) / 1024
    from photos import photos
    return photos(args.folder, args.photos, *SIZES[size])


if __name__ == "__main__":
    sys.exit(main())
