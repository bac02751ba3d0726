"""A small model and its training, for the tests of optimizers."""

import torch
from torch import nn
from torch.nn import functional as F


def small_model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def halves(model):
    return [[*model[0].parameters(), *model[1].parameters()], list(model[3].parameters())]


def train(model, opt, steps=6, seed=1, before=None):
    gen = torch.Generator().manual_seed(seed)
    for i in range(steps):
        x, y = torch.randn(16, 5, generator=gen), torch.randint(3, (16,), generator=gen)
        if before:
            before(i)
        F.cross_entropy(model(x), y).backward()
        opt.step()
        opt.zero_grad()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def assert_same(a, b):
    assert torch.equal(a, b), f"differ by up to {(a - b).abs().max():.3g}"
