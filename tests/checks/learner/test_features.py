"""Labels against the features of a frozen body."""
import torch
from torch import nn
from zoo import loaders, rng

from minifast.checks.check_learner import check_learner
from minifast.checks.learner import features
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat


def frozen(y_of):
    "A learner whose body has 'pretrained', frozen features that say on which side of the image the light is."
    x = torch.randn(240, 1, 8, 8, generator=rng())
    left = torch.arange(240) % 2
    x[left == 1, :, :, :4] += 0.5
    torch.manual_seed(0)
    body = nn.Sequential(*(m for a, b in ((1, 8), (8, 8), (8, 8), (8, 8), (8, 16)) for m in (nn.Conv2d(a, b, 3, padding=1), nn.ReLU())))
    body.requires_grad_(False)
    model = nn.Sequential(body, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2)))
    return Learner(loaders(x, y_of(left)), model, CrossEntropyLossFlat())


def found(learn):
    others = [c.code for c in check_learner(learn, budget=1e-9) if c.code not in ("MF101", "MF102", "MF103", "MF108", "MF815")]
    return check_learner(learn, ignore=others)["MF815"]


def test_shuffled_labels_are_told_by_a_frozen_body():
    assert found(frozen(lambda y: y)).verdict == "pass"
    shuffled = found(frozen(lambda y: y[torch.randperm(240, generator=rng(3))]))
    assert shuffled.verdict == "tip" and "look shuffled" in shuffled.found
    one = found(frozen(lambda y: torch.arange(240) // 239))
    assert one.verdict == "not applicable" and "nearly all items are of one class" in one.found
    learn = frozen(lambda y: y)
    learn.model.requires_grad_(True)
    assert found(learn).verdict == "not applicable"


def test_what_there_was_no_time_for_is_left_out_not_inapplicable(monkeypatch):
    monkeypatch.setattr(features, "in_time", lambda batches, seconds: list(batches)[:2])
    left_out = found(frozen(lambda y: y))
    assert left_out.verdict == "skipped" and "give a larger budget=" in left_out.found
    monkeypatch.setattr(features, "LEAST", 1000)                   # more than there are items: more time would not help
    few = found(frozen(lambda y: y))
    assert few.verdict == "not applicable" and "too few to tell" in few.found
