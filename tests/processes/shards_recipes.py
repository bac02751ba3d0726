"""Writes a sharded checkpoint with some number of ranks, or reads one with another and trains on.

    torchrun --standalone --nproc-per-node=2 shards_recipes.py folder fsdp2 write|read
"""
import copy
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.basics import Adam, CrossEntropyLossFlat, DataLoaders, Learner, set_seed
from minifast.callbacks import EMA, BnFreeze, Callback
from minifast.core import ranks
from minifast.core.sharded import whole


class SaveInside(Callback):
    "Saves in the middle of a fit, where weights are divided, and reads it again."

    def before_validate(self):
        if self.learn.epoch == 0:
            self.learn.save("inside", sharded=True)
            before = whole(dict(self.learn.model.state_dict()))
            self.learn.load("inside")
            after = whole(dict(self.learn.model.state_dict()))
            assert all(torch.equal(t, after[n]) for n, t in before.items())


def main(folder, strategy, what):
    torch.set_num_threads(1)
    set_seed(1)
    x = torch.randn(53, 8, generator=torch.Generator().manual_seed(0))
    dls = DataLoaders.from_dsets(*[TensorDataset(x, (x[:, 0] > 0).long())] * 2, bs=16, device="cpu", shuffle=False)
    model = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 2))
    learn = Learner(dls, model, CrossEntropyLossFlat(), opt_func=Adam, path=folder, cbs=EMA(0.8)).to_distributed(strategy)
    if what == "write":
        learn.fit(2, 1e-2, cbs=SaveInside())
        learn.save("here", sharded=True)
        learn.save("whole")
    else:
        learn.load("here")
    state = copy.deepcopy(whole({"model": dict(learn.model.state_dict()), "opt": learn.opt.state_dict(),
                                 "averaged": learn.ema.averaged_state()}))
    if what == "read":
        learn.load("inside")
        learn.load("here")
        learn.fit(1, 1e-2, cbs=BnFreeze())
    torch.save({"state": state, "weights": torch.cat([p.detach().flatten() for p in learn.model.parameters()])},
               Path(folder) / f"{what}-{strategy}-{ranks.world_size()}-{ranks.rank()}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
