"""Batches compared, and ways to predict."""
import math

import torch
import zoo_data  # noqa: F401  the animals
import zoo_healthy  # noqa: F401
import zoo_learners  # noqa: F401
from torch import nn
from torch.utils.data import DataLoader as TorchDataLoader

from minifast.callbacks.regularise import ModelResetter
from minifast.checks.learner.evaluation import largest_difference
from minifast.data.loaders import DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat


def test_largest_difference():
    assert largest_difference((torch.zeros(2), {"a": torch.ones(2)}), (torch.zeros(2), {"a": torch.tensor([1.0, 4.0])})) == 3
    assert largest_difference([torch.zeros(2)], [torch.zeros(3)]) == math.inf


class Carries(nn.Module):
    "A recurrent model that goes on from the batch before, as language models do."
    h = None

    def __init__(self):
        super().__init__()
        self.emb, self.rnn, self.out = nn.Embedding(5, 8), nn.GRU(8, 8, batch_first=True), nn.Linear(8, 5)

    def reset(self):
        self.h = None

    def forward(self, x):
        y, self.h = self.rnn(self.emb(x), self.h)
        self.h = self.h.detach()
        return self.out(y)


def test_a_model_that_goes_on_from_the_batch_before_is_consistent():
    torch.manual_seed(0)
    x = torch.randint(5, (12, 7))
    batches = TorchDataLoader(list(zip(x, (x + 1) % 5, strict=True)), batch_size=4)
    learn = Learner(DataLoaders(batches, batches), Carries(), CrossEntropyLossFlat(), cbs=ModelResetter)
    with learn.no_bar(), learn.no_logging():
        learn.fit(3, 0.1)                   # until what it carries counts
        passes = learn.validate()[0], sum(learn.validate(dl=[b])[0] for b in batches) / 3
    assert abs(passes[0] - passes[1]) > 0.01 * passes[0]
    assert learn.check(causal=True)["MF602"].verdict == "pass"
