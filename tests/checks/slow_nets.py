"Networks and data whose speed is known: they sleep."
import time

import torch
from torch import nn
from torch.utils.data import Dataset
from zoo import loaders, points

from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat


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
