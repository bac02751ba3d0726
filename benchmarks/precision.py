"""Images per second with half precision, channels-last memory and compilation, over a loop tuned by hand that uses the same.

    python benchmarks/precision.py                                          resnet50 at 224, batch 256, on a GPU if there is one
    python benchmarks/precision.py --arch resnet18 --size 64 --bs 16 --steps 6     small enough for a CPU

Synthetic images that already lie on the device, fused AdamW, and in both loops the same model, precision, memory format and compiler.
One row per setting: images per second, and the ratio to the loop by hand (median over the rounds, with quartiles). On a GPU every
operation of a step that waits for the device is counted as well (`torch.cuda.set_sync_debug_mode`); there should be none.
"""
import argparse
import sys
import warnings
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import torch.nn.functional as F
import torchvision
from common import compare_slopes, machine, report

SETTINGS = {"fp32": {}, "bf16": {"bf16": True}, "channels-last": {"channels_last": True},
            "bf16 + channels-last": {"bf16": True, "channels_last": True},
            "bf16 + channels-last + compile": {"bf16": True, "channels_last": True, "compile": True}}


class Synthetic:
    "`n` times the same batch on the device, in place of a loader."

    def __init__(self, batch, n):
        self.batch, self.n = batch, n

    def __len__(self):
        return self.n

    def __iter__(self):
        return (self.batch for _ in range(self.n))


def model_of(args):
    torch.manual_seed(0)
    return getattr(torchvision.models, args.arch)(num_classes=1000).to(args.device)


def by_hand(args, batch, bf16=False, channels_last=False, compile=False):
    "The loop that a careful person writes."
    from minifast.optim.groups import param_groups, trainable_params
    from minifast.optim.optimizers import Adam
    model = model_of(args)
    opt = Adam(param_groups(model, trainable_params(model)), lr=1e-4)
    x, y = batch
    if channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    if compile:
        model.compile()
    device = torch.device(args.device).type

    def run(n):
        model.train()
        for _ in range(n):
            with torch.autocast(device, dtype=torch.bfloat16) if bf16 else nullcontext():
                loss = F.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
            opt.zero_grad()
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def with_learner(args, batch, bf16=False, channels_last=False, compile=False):
    from minifast.data.loaders import DataLoaders
    from minifast.learner.learner import Learner
    learn = Learner(DataLoaders(Synthetic(batch, 1), device=args.device), model_of(args), F.cross_entropy, lr=1e-4)
    if bf16:
        learn.to_bf16()
    if channels_last:
        learn.to_channelslast()
    if compile:
        learn.compile()
    loaders = {}

    def run(n):
        learn.dls = loaders.setdefault(n, DataLoaders(Synthetic(batch, n), device=args.device))
        with learn.no_bar(), learn.no_logging():
            learn.fit(1)
        if learn.dls.device.type == "cuda":
            torch.cuda.synchronize()

    return run, learn


def waits(run, n):
    "How many operations of `n` steps wait for the device, more than those of a fit of one step: a list of what they say."
    found = []
    for steps in (1, n):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            run(steps)
            torch.cuda.set_sync_debug_mode("default")
        found.append(sum("synchronizing" in str(w.message) for w in caught))
    return found[1] - found[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--arch", default="resnet50")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--bs", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20, help="steps of the long run; the short one has a quarter of it")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", help="only this setting")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    print(f"# {args.arch} at {args.size}, batch {args.bs}, on {args.device}; {machine()}", file=sys.stderr, flush=True)
    batch = torch.randn(args.bs, 3, args.size, args.size, device=args.device), torch.randint(1000, (args.bs,), device=args.device)
    short, long = max(1, args.steps // 4), args.steps
    for name, setting in SETTINGS.items():
        if args.only and args.only != name:
            continue
        hand, (ours, _) = by_hand(args, batch, **setting), with_learner(args, batch, **setting)
        for run in (hand, ours):
            run(2)                                  # compile, choose kernels
        times = compare_slopes(hand, ours, short, long, args.rounds)
        speed = 1 / times["ratio"]
        row = {"setting": name, "arch": args.arch, "size": args.size, "bs": args.bs, "device": args.device, **times,
               "images_per_s": round(args.bs / times["other_us"] * 1e6, 1), "speed": round(speed, 3)}
        text = (f"{name:32} {row['images_per_s']:9.1f} images/s   {speed:.3f} of the loop by hand "
                f"({1 / times['ratio_q3']:.3f}-{1 / times['ratio_q1']:.3f}, by processor time {1 / times['ratio_cpu']:.3f})")
        if args.device.startswith("cuda"):
            row["waits"] = waits(ours, 10)
            text += f"   {row['waits']} waits for the device in 9 further steps"
        report(row, text, args.json)


if __name__ == "__main__":
    main()
