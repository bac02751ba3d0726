"""Whether memory stays flat: twenty epochs over photos and broken files, with the resident memory after each.

    python benchmarks/memory.py --images DIR [DIR ...] [--epochs 20] [--worker-type process] [--cache ram]

Every file below the folders is an item, whatever it is; `on_error="skip"` takes another one for files that are not images. Prints the
resident memory of this process after each epoch, and how many megabytes an epoch added on average in the second half (least squares).
"""
import argparse
import gc
import json
import logging
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))


def resident():
    "Megabytes of this process in memory."
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", nargs="+", required=True)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--worker-type", choices=["thread", "process"])
    parser.add_argument("--cache", choices=["ram"])
    args = parser.parse_args()
    import numpy as np
    from torch import nn

    from minifast.vision.all import Callback, ImageDataLoaders, Learner, RandomResizedCrop, aug_transforms
    warnings.filterwarnings("ignore")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    files = sorted(f for folder in args.images for f in Path(folder).rglob("*") if f.is_file())
    kind = {"worker_type": args.worker_type} if args.worker_type else {}
    dls = ImageDataLoaders.from_path_func(".", files, lambda f: f.suffix.lower() == ".jpg", item_tfms=RandomResizedCrop(128),
                                          batch_tfms=aug_transforms(), bs=32, device="cpu", on_error="skip", num_workers=2,
                                          cache=args.cache, **kind)
    model = nn.Sequential(nn.Conv2d(3, 8, 7, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, dls.c))
    seen = []

    def skipped():
        return len(dls.train.skipped) + len(dls.valid.skipped)

    def look(cb):
        gc.collect()
        seen.append(resident())
        print(json.dumps({"epoch": len(seen), "resident_mb": round(seen[-1], 1), "skipped": skipped()}), flush=True)

    Learner(dls, model, cbs=Callback(after_epoch=look)).fit(args.epochs)
    half = seen[len(seen) // 2:]
    slope = np.polyfit(range(len(half)), half, 1)[0] if len(half) > 1 else 0.0
    print(json.dumps({"files": len(files), "skipped": skipped(), "mb_per_epoch": round(float(slope), 2),
                      "first_to_last_mb": round(seen[-1] - seen[0], 1)}))


if __name__ == "__main__":
    main()
