"Rows S91 and S92: predictions of several targets, and of a last batch of one item."
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from minifast.data.block import CategoryBlock, DataBlock, TransformBlock
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat

ITEMS = list(range(25))


class TwoTargets:
    "A loss of two heads that says how predictions are read."

    def __call__(self, pred, a, b):
        return F.cross_entropy(pred[0], a) + F.cross_entropy(pred[1], b)

    def activation(self, pred):
        return tuple(p.softmax(1) for p in pred)

    def decodes(self, probs):
        return tuple(p.argmax(1) for p in probs)


class Packed(nn.Module):
    def __init__(self, pack):
        super().__init__()
        torch.manual_seed(0)
        self.net, self.pack = nn.Linear(4, 4), pack

    def forward(self, x):
        return self.pack(self.net(x))


def learner(pack, loss, get_y):
    block = DataBlock((TransformBlock, *[CategoryBlock] * len(get_y)), n_inp=1, get_x=lambda i: torch.tensor([i / 25, 1.0, 0.0, -i / 25]),
                      get_y=get_y, splitter=lambda items: (ITEMS[:16], ITEMS[16:]))
    return Learner(block.dataloaders(ITEMS, bs=8, num_workers=0), Packed(pack), loss)


def test_s91_each_target_has_its_own_classes():
    """Two targets, each with classes of its own.

    Elsewhere: predictions of both are decoded as one target, so that the second gets the names of the first, or is left out.
    Here: `predict`, `show_results` and `Predictor` decode each with its own vocabulary; where a loss does not say how its predictions are
    read, they say which methods it needs.
    """
    learn = learner(lambda p: (p[:, :2], p[:, 2:]), TwoTargets(), [lambda i: "ab"[i % 2], lambda i: "cd"[i % 2]])
    label, ids, _ = learn.predict(20)
    assert label == ("ab"[ids[0]], "cd"[ids[1]])


def test_s92_the_axis_of_the_items():
    """A model that ends in `squeeze()`, and a last batch of one item.

    Elsewhere: the only item of the batch loses its axis, and its scores are taken for several items: nine items get ten predictions.
    Here: `get_preds`, metrics and `predict` refuse it by name: "a `squeeze()` in it also drops the axis of the items. Write squeeze(-1)".
    """
    learn = learner(lambda p: p[:, :2].squeeze(), CrossEntropyLossFlat(), [lambda i: "ab"[i % 2]])
    with pytest.raises(ValueError, match=r"for a batch of one item: a `squeeze\(\)` in it also drops the axis of the items"):
        learn.get_preds()
