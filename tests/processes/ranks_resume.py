"""Trains with `Resume`, and is interrupted in the second epoch, or not.

    torchrun --standalone --nproc-per-node=2 ranks_resume.py folder whole|fails|terminated|alone|alone_batch|alone_backward [dropout]
"""
import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.basics import (
    Callback,
    CancelBackwardException,
    CancelBatchException,
    CancelFitException,
    CrossEntropyLossFlat,
    DataLoaders,
    Learner,
    Resume,
    accuracy,
    set_seed,
)
from minifast.core import ranks

#: How the last rank cancels something before its gradients.
CANCELS = {"alone_batch": CancelBatchException, "alone_backward": CancelBackwardException}


class Ends(Callback):
    "Does to the last rank, in the middle of epoch `epoch`, what is asked for."

    only_watches = True

    def __init__(self, how, epoch):
        self.how, self.at = how, epoch

    def is_due(self):
        return (self.epoch, self.iter) == (self.at, 3) and ranks.rank() == ranks.world_size() - 1

    def before_backward(self):
        if self.how in CANCELS and self.is_due():
            raise CANCELS[self.how]

    def after_batch(self):
        if not self.training or self.how in ("whole", *CANCELS):
            return
        if self.how == "terminated":
            time.sleep(0.55)                # so few steps are within a second that the ranks talk after each of them
        if not self.is_due():
            return
        if self.how == "fails":
            raise KeyError("not there")
        if self.how == "alone":
            raise CancelFitException
        os.kill(os.getpid(), signal.SIGTERM)


def main(folder, how, dropout, epoch):
    torch.set_num_threads(1)
    set_seed(1)
    x = torch.randn(101, 8, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(x, (x[:, 0] > 0).long())
    dls = DataLoaders.from_dsets(data, data, bs=16, device="cpu")
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 2))
    learn = Learner(dls, model, CrossEntropyLossFlat(), metrics=accuracy, path=folder)
    resume = Resume("r", every=None if how == "terminated" else 2)
    learn.fit_one_cycle(4, 1e-2, cbs=Ends(how, epoch), resume=resume)
    if ranks.is_main():
        torch.save({"weights": torch.cat([p.detach().flatten() for p in model.parameters()]),
                    "values": torch.tensor(learn.recorder.values)}, folder / "end.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
