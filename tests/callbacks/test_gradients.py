"""`GradientClip` and `GradientClipValue` against torch."""
import math

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks import gradients
from minifast.callbacks.base import Callback
from minifast.callbacks.gradients import GradientAccumulation, GradientClip, GradientClipValue
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner

X, Y = torch.randn(12, 3, generator=torch.Generator().manual_seed(1)), torch.randn(12, 2, generator=torch.Generator().manual_seed(2))


def make(*cbs):
    torch.manual_seed(0)
    ds = TensorDataset(X, Y)
    learn = Learner(DataLoaders(DataLoader(ds, bs=4)), nn.Linear(3, 2), nn.MSELoss(), opt_func=torch.optim.SGD, cbs=list(cbs))
    learn.remove_cb(type(learn.progress))
    learn.logger = lambda row: None
    return learn


def by_hand(clip, epochs=2):
    torch.manual_seed(0)
    model, norms = nn.Linear(3, 2), []
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(epochs):
        for x, y in zip(X.split(4), Y.split(4), strict=True):
            opt.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            norms.append(torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item())
            clip(model.parameters())
            opt.step()
    return model, norms


def assert_same(learn, model):
    torch.testing.assert_close(list(learn.model.parameters()), list(model.parameters()))


@pytest.mark.parametrize("norm_type", [2.0, 1.0, math.inf])
def test_clip(norm_type, monkeypatch):
    monkeypatch.setattr(gradients, "FLUSH_EVERY", 4)
    cb = GradientClip(0.3, norm_type)
    learn = make(cb)
    learn.fit(2, 0.1)
    model, norms = by_hand(lambda ps: nn.utils.clip_grad_norm_(ps, 0.3, norm_type))
    assert_same(learn, model)
    assert len(cb.norms) == 6
    if norm_type == 2:
        assert cb.norms == pytest.approx(norms, rel=1e-5) and max(norms) > 0.3
    learn.fit(1, 0.1)
    assert len(cb.norms) == 3                                    # of the latest fit


def test_no_norms_yet():
    assert GradientClip().norms == []


def test_clip_value():
    learn = make(GradientClipValue(0.05))
    learn.fit(2, 0.1)
    assert_same(learn, by_hand(lambda ps: nn.utils.clip_grad_value_(ps, 0.05))[0])


def test_clips_the_accumulated_gradient():
    cb, seen = GradientClip(0.01), []

    class Look(Callback):
        order = 15

        def before_step(self):
            seen.append(torch.cat([p.grad.flatten() for p in self.learn.model.parameters()]).norm().item())

    make(cb, GradientAccumulation(12), Look()).fit(1, 0.1)
    assert seen == pytest.approx([0.01], rel=1e-3) and len(cb.norms) == 1


def test_refusals():
    with pytest.raises(ValueError, match=r"GradientClip\(max_norm=0\): the largest norm of the gradients, a number above 0"):
        GradientClip(0)
    with pytest.raises(ValueError, match=r"GradientClip\(norm_type='l2'\)"):
        GradientClip(1.0, "l2")
    with pytest.raises(ValueError, match=r"GradientClipValue\(clip_value=-1\): the largest absolute value of an entry"):
        GradientClipValue(-1)
