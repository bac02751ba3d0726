"""Small learners that the tests of this folder train."""
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.metrics.base import Metric
from minifast.nn.losses import CrossEntropyLossFlat


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU()), nn.Linear(8, 3))


def body_head(m):
    return [list(part.parameters()) for part in m]


def one_group(m):
    return list(m.parameters())


def rows(n=24, targets=None):
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(1))
    return TensorDataset(x, torch.arange(n) % 3 if targets is None else targets)


def make(n=24, bs=8, shuffle=True, model=None, path=None, loss=None, targets=None, **kwargs):
    "A quiet learner on `n` rows of four numbers, in two layer groups: a body with batch norm, and a head of three outputs."
    ds = rows(n, targets)
    learn = Learner(DataLoaders(DataLoader(ds, bs=bs, shuffle=shuffle), DataLoader(ds, bs=bs)), net() if model is None else model,
                    CrossEntropyLossFlat() if loss is None else loss, **{"splitter": body_head, "path": path, **kwargs})
    learn.logger = lambda row: None
    return learn.remove_cb(learn.progress)


def weights_of(learn):
    return [p.detach().clone() for p in learn.model.parameters()]


def same(learn, weights):
    return all(torch.equal(a, b) for a, b in zip(learn.model.parameters(), weights, strict=True))


class Scripted(Metric):
    "Says what it is told, epoch by epoch."

    def __init__(self, values, lower_is_better=True, name="scripted"):
        self.values, self.lower_is_better, self.name = list(values), lower_is_better, name

    def reset(self):
        pass

    def accumulate(self, learn):
        pass

    @property
    def value(self):
        return self.values.pop(0)
