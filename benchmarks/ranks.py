"""Training by several processes: minifast under `torchrun` against a hand-written DDP loop, alternated in the same processes.

    torchrun --standalone --nproc-per-node=2 benchmarks/ranks.py [--rounds 7] [--epochs 20] [--json]

Both train the same model on the same batches with the same optimizer: each rank has its part of every batch. The hand-written loop is
what torch's tutorial shows; it also averages the loss over the ranks, as a loop that reports a loss must. Ratios are minifast's time per
step over the loop's, the median over the rounds on rank 0. A fit also costs about 20 ms when it begins and ends, and an
epoch 4 ms, in which ranks see whether they do the same: epochs have 50 steps of the MLP, 40 of the convnet.
"""
import argparse
import json
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import TensorDataset

from minifast.basics import CrossEntropyLossFlat, DataLoaders, Learner
from minifast.core import ranks

#: Epochs of a fit, so that it takes seconds.
EPOCHS = {"mlp": 20, "convnet": 3}


def mlp():
    return nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)), torch.randn(64 * 50, 64)


def convnet():
    def block(i, o):
        return nn.Sequential(nn.Conv2d(i, o, 3, padding=1, stride=2), nn.BatchNorm2d(o), nn.ReLU())

    model = nn.Sequential(block(3, 32), block(32, 64), block(64, 128), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))
    return model, torch.randn(64 * 40, 3, 64, 64)


def by_hand(model, x, y, bs, epochs):
    "Seconds of `epochs` epochs of a hand-written loop."
    ddp = DistributedDataParallel(model)
    opt, loss_func = torch.optim.AdamW(model.parameters(), lr=1e-3), nn.CrossEntropyLoss()
    rank, world = dist.get_rank(), dist.get_world_size()
    for epoch in range(-1, epochs):
        if not epoch:                               # the first one is to warm up
            dist.barrier()
            begun = time.perf_counter()
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(epoch + 1))
        losses = []
        for start in range(0, len(x), bs):
            mine = order[start:start + bs].chunk(world)[rank]
            loss = loss_func(ddp(x[mine]), y[mine])
            loss.backward()
            opt.step()
            opt.zero_grad()
            mean = loss.detach().clone()
            dist.all_reduce(mean)
            losses.append(mean.item() / world)
    dist.barrier()
    return time.perf_counter() - begun


def with_minifast(model, x, y, bs, epochs):
    "Seconds of a fit of as many epochs."
    dls = DataLoaders.from_dsets(TensorDataset(x, y), bs=bs, device="cpu", num_workers=0)
    learn = Learner(dls, model, CrossEntropyLossFlat(), opt_func=torch.optim.AdamW)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-3)                          # to warm up, and to compare the data of the ranks, which is done once
        dist.barrier()
        begun = time.perf_counter()
        learn.fit(epochs, 1e-3)
    dist.barrier()
    return time.perf_counter() - begun


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epochs", type=int, help=f"default: {EPOCHS}")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    ranks.join()
    for name, make in {"mlp": mlp, "convnet": convnet}.items():
        ratios, epochs = [], args.epochs or EPOCHS[name]
        for r in range(-1, args.rounds):
            torch.manual_seed(r + 1)
            model, x = make()
            y = torch.randint(10, (len(x),))
            sides = [by_hand, with_minifast]
            seconds = {side: side(model, x, y, 64, epochs) for side in (sides if r % 2 else sides[::-1])}
            if r >= 0:
                ratios.append(seconds[with_minifast] / seconds[by_hand])
        if ranks.is_main():
            ratios.sort()
            result = {"model": name, "world": ranks.world_size(), "ratio": ratios[len(ratios) // 2], "from": ratios[0], "to": ratios[-1],
                      "ms_by_hand": 1000 * seconds[by_hand] / (epochs * (len(x) // 64))}
            print(json.dumps(result) if args.json else
                  f"{name}, {result['world']} ranks: {result['ratio']:.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f}) of a hand-written loop, "
                  f"whose step takes {result['ms_by_hand']:.2f} ms", flush=True)


if __name__ == "__main__":
    main()
