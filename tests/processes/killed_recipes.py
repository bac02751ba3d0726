"""Trains with `Resume`, an average of the weights and accumulated gradients; all ranks kill themselves in the middle of an epoch, or none.

    torchrun --standalone --nproc-per-node=2 killed_recipes.py folder ddp|fsdp2 epoch|never
"""
import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.basics import Adam, Callback, CrossEntropyLossFlat, DataLoaders, Learner, Resume, accuracy, set_seed
from minifast.callbacks import EMA, GradientAccumulation, GradientClip
from minifast.core import ranks


class Killed(Callback):
    only_watches = True

    def __init__(self, epoch):
        self.at = epoch

    def after_batch(self):
        if self.training and (self.epoch, self.iter) == (self.at, 5):
            if torch.distributed.is_initialized():
                torch.distributed.barrier()             # else the launcher could tell the slower one to end before it is here
            os.kill(os.getpid(), signal.SIGKILL)


def main(folder, strategy, epoch):
    torch.set_num_threads(1)
    set_seed(1)
    x = torch.randn(101, 8, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(x, (x[:, 0] > 0).long())
    dls = DataLoaders.from_dsets(data, data, bs=16, device="cpu")
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    cbs = [EMA(0.8), GradientAccumulation(40), GradientClip(0.5)]
    learn = Learner(dls, model, CrossEntropyLossFlat(), opt_func=Adam, metrics=accuracy, path=folder, cbs=cbs).to_distributed(strategy)
    resume = Resume("r", every=1)
    learn.fit_one_cycle(4, 1e-2, cbs=Killed(epoch), resume=resume)
    if ranks.is_main():
        torch.save({"weights": torch.cat([p.detach().flatten() for p in model.parameters()]),
                    "averaged": torch.cat([t.flatten() for t in learn.ema.averaged_state().values()]),
                    "values": torch.tensor(learn.recorder.values, dtype=torch.float64)}, folder / "end.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], -1 if sys.argv[3] == "never" else int(sys.argv[3]))
