"Networks and data whose speed is known: they sleep."
import os
import threading
import time

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset
from zoo import loaders, points

from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat


@pytest.fixture
def sleep_takes_no_time(monkeypatch):
    """`time.sleep(s)` puts `time.perf_counter` forward by `s` and returns; everything else takes the time that it takes. In other processes
    and threads sleep is sleep."""
    slept, clock, sleep, here = [0.0], time.perf_counter, time.sleep, (os.getpid(), threading.get_ident())

    def jump(seconds):
        if (os.getpid(), threading.get_ident()) == here:
            slept[0] += seconds
        else:
            sleep(seconds)

    monkeypatch.setattr(time, "perf_counter", lambda: clock() + slept[0])
    monkeypatch.setattr(time, "sleep", jump)


def images(n=96, bs=16):
    x = torch.randn(n, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    return loaders(x, (x[:, 0].mean((1, 2)) > 0).long(), bs=bs, n_train=64)


class Net(nn.Module):
    "A small network of images that takes its time; `slow(x, out)` says how long, `twist(x, out)` changes the output."

    def __init__(self, slow=lambda x: 0.0, twist=lambda x, out: out):
        super().__init__()
        self.conv, self.head, self.slow, self.twist = nn.Conv2d(3, 4, 3), nn.Linear(4, 2), slow, twist

    def forward(self, x):
        time.sleep(self.slow(x))
        return self.twist(x, self.head(self.conv(x).mean((2, 3))))


def last(x):
    "Whether images lie channels-last in memory."
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def half(x):
    return torch.is_autocast_enabled("cpu")


def learner(model, dls=None, **kw):
    return Learner(dls or images(), model, CrossEntropyLossFlat(), **kw)


def slow_unless(fast):
    return lambda x: 0.005 if fast(x) else 0.03


class Slow(Dataset):
    "A dataset that takes its time."
    x, y = points(120)

    def __len__(self):
        return 120

    def __getitem__(self, i):
        time.sleep(0.003)
        return self.x[i], self.y[i]
