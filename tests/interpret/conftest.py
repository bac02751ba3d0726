"""A learner of three classes, and its interpretation."""
import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.data.loaders import DataLoader, DataLoaders
from minifast.interpret.classification import ClassificationInterpretation
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat


class Named(TensorDataset):
    vocab = ["ant", "bee", "cat"]


@pytest.fixture
def make():
    "Makes a learner on three numbers per item, whose target is by default the place of the greatest."
    def make_learner(n=30, loss=None, y=None, out=3, kind=Named):
        torch.manual_seed(0)
        x = torch.randn(n, 3)
        y = x.argmax(1) if y is None else y
        model = nn.Linear(3, out)
        with torch.no_grad():
            model.weight.copy_(torch.eye(3)[:out] * 3 + 0.5 * torch.randn(out, 3))
            model.bias.zero_()
        train = DataLoader(kind(x, y), bs=8, shuffle=True)
        return Learner(DataLoaders(train, DataLoader(kind(x, y), bs=8)), model, loss or CrossEntropyLossFlat())
    return make_learner


@pytest.fixture
def as_class():
    return ClassificationInterpretation.from_learner


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")
