"""Augmentation of a batch, bytes in and normalised floats out: minifast against fastai, torchvision v2 and a few lines by hand.

    python benchmarks/batch_augment.py --peer-python path/to/python     where fastai is installed, if not here
    python benchmarks/batch_augment.py --quick --json
    python benchmarks/batch_augment.py --device cuda                    images per second on a GPU

64 images of 3x224x224. `minifast` and `fastai`: `aug_transforms()` as it comes (mirror, perspective, rotation, zoom, brightness,
contrast), then the normalisation of ImageNet. `torchvision v2`: mirror, affine, perspective, colour jitter and normalisation on the batch,
with one draw for all images. `by hand`: one affine `grid_sample`, brightness and contrast as one
scale and shift per image, normalisation. `no-keep`:
with MINIFAST_KEEP_MEMORY=0. Each in a process of its own, in turn; ratios are medians of those within a round.
"""
import argparse
import math
import os
import sys
from pathlib import Path

PIPELINES = {"by hand": "torch", "fastai": "fastai", "torchvision v2": "torchvision", "minifast": "minifast",
             "minifast no-keep": "minifast", "minifast one by one": "minifast", "minifast colour": "minifast"}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
SHAPE = 64, 3, 224, 224


def pipeline(name, x):
    "A function that augments the batch `x` of bytes."
    import torch
    if name == "by hand":
        return by_hand(x)
    if name == "torchvision v2":
        from torchvision.transforms import v2
        bilinear = v2.InterpolationMode.BILINEAR
        steps = v2.Compose([v2.RandomHorizontalFlip(), v2.RandomAffine(10, scale=(1.0, 1.1), interpolation=bilinear),
                            v2.RandomPerspective(0.2, p=1.0), v2.ColorJitter(0.2, 0.2), v2.ToDtype(torch.float32, scale=True),
                            v2.Normalize(MEAN, STD)])
        return lambda: steps(x)
    if name == "fastai":
        from fastai.data.transforms import IntToFloatTensor, Normalize
        from fastai.vision.augment import aug_transforms
        from fastai.vision.core import TensorImage
        from fasttransform import Pipeline
        steps = Pipeline([IntToFloatTensor(), *aug_transforms(), Normalize.from_stats(MEAN, STD, cuda=x.is_cuda)], split_idx=0)
        return lambda: steps(TensorImage(x))
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from minifast.core.seeds import item_rng
    from minifast.data.engine.allocator import keep_freed_memory
    from minifast.data.pipeline import Pipeline
    from minifast.vision.all import Hue, IntToFloatTensor, Normalize, Saturation, TensorImage, aug_transforms
    if "no-keep" not in name:
        keep_freed_memory()                     # as the first loop over a loader of images does
    extra = [Saturation(), Hue()] if "colour" in name else []
    steps = Pipeline([IntToFloatTensor(), *aug_transforms(xtra_tfms=extra), Normalize.from_stats(MEAN, STD)], split_idx=0)
    steps = steps if "one by one" in name else steps.fused()            # as a loader does
    count = iter(range(10**9))
    return lambda: steps(TensorImage(x), item_rng(next(count)))


def by_hand(x):
    import torch
    import torch.nn.functional as F
    n = len(x)
    mean, std = (torch.tensor(v, device=x.device) for v in (MEAN, STD))

    def uniform(low, high):
        return torch.empty(n, device=x.device).uniform_(low, high)

    def augment():
        on = (torch.rand(n, device=x.device) < 0.75).float()
        angle, zoom = uniform(-10, 10) * on * math.pi / 180, 1 / (1 + uniform(0, 0.1) * on)
        mirror = (torch.rand(n, device=x.device) < 0.5).float() * -2 + 1
        c, s = angle.cos() * zoom, angle.sin() * zoom
        theta = torch.stack([c * mirror, s, uniform(-1, 1) * (1 - zoom), -s * mirror, c, uniform(-1, 1) * (1 - zoom)], 1).view(n, 2, 3)
        contrast, light = uniform(-0.22, 0.22).exp()[:, None], uniform(-0.1, 0.1)[:, None]
        scale = (contrast / std / 255).view(n, 3, 1, 1)
        shift = ((0.5 + light - 0.5 * contrast - mean) / std).view(n, 3, 1, 1)
        grid = F.affine_grid(theta, x.shape, align_corners=False)
        return torch.addcmul(shift, F.grid_sample(x.float(), grid, padding_mode="reflection", align_corners=False), scale)
    return augment


def run_pipeline(args):
    import torch
    from turns import serve
    if args.threads:
        torch.set_num_threads(args.threads)
    x = torch.nn.functional.interpolate(torch.rand(SHAPE[0], 3, 28, 28), SHAPE[-2:], mode="bicubic").clamp(0, 1)
    x = x.mul(255).byte().to(args.device)
    augment = pipeline(args.pipeline, x)

    def run():
        for _ in range(args.batches):
            y = augment()
        assert tuple(y.shape) == SHAPE and y.dtype == torch.float32, (y.shape, y.dtype)
        if args.device != "cpu":
            torch.cuda.synchronize()
        return args.batches * SHAPE[0]
    run()
    serve(run)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--batches", type=int, default=4, help="batches in a round")
    parser.add_argument("--threads", type=int, default=0, help="torch threads (0: torch's choice)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--pipelines", default=",".join(PIPELINES), help="names with commas")
    parser.add_argument("--peer-python", default=sys.executable, help="the Python in which fastai is installed")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 2 batches")
    parser.add_argument("--json", action="store_true", help="one JSON object per line instead of text")
    parser.add_argument("--pipeline", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if args.quick:
        args.rounds, args.batches = 3, 2
    if args.pipeline:
        return run_pipeline(args)
    names = args.pipelines.split(",")
    if unknown := [p for p in names if p not in PIPELINES]:
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(PIPELINES)}")
    from common import machine, median, report
    from turns import Runner, ratios_over, take_turns
    print(f"# {machine()}", file=sys.stderr, flush=True)
    options = ["--batches", str(args.batches), "--threads", str(args.threads), "--device", args.device]
    runners = [Runner(args.peer_python if PIPELINES[n] == "fastai" else sys.executable, __file__, n, options) for n in names]
    rates = take_turns(runners, args.rounds,
                       lambda n: report({"pipeline": n, "skipped": "did not start"}, f"{n}: skipped, it did not start", args.json))
    for name in rates:
        row = {"pipeline": name, "device": args.device, "ms_per_batch": round(1e3 * SHAPE[0] / median(rates[name]), 1),
               "images_per_second": round(median(rates[name]))}
        row.update({f"over {base}": ratios_over(rates, name, base) for base in ("by hand", "fastai", "torchvision v2") if base in rates})
        text = ", ".join(f"{v} x {k[5:]}" for k, v in row.items() if k.startswith("over "))
        report(row, f"{name:22s} {row['ms_per_batch']:8.1f} ms per batch, {row['images_per_second']:8d} images/s   {text}", args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
