"""MixUp and CutMix of series (B,C,T): shares of steps, lengths that differ, and targets of every kind, against sums by hand."""
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.base import Callback
from minifast.callbacks.mix import CutMix, CutMixUp, MixUp
from minifast.callbacks.mix_series import cut_steps, own_share, paste_steps, with_own_steps
from minifast.core.seeds import set_seed
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat, LabelSmoothingCrossEntropyFlat, MSELossFlat

N, C, T = 6, 2, 20
LENGTHS = torch.tensor([20, 8, 15, 20, 4, 11])


def series(lengths=None):
    "Item i is i + 1 everywhere, padded after its length."
    x = torch.arange(1.0, N + 1).view(N, 1, 1).repeat(1, C, T)
    if lengths is not None:
        x[(torch.arange(T) >= lengths[:, None])[:, None].expand_as(x)] = torch.nan
    return x


class MeanOfSteps(nn.Module):
    "A model that masks: per channel the mean of the steps, then a layer."

    def __init__(self, n_out):
        super().__init__()
        self.head = nn.Linear(C, n_out)

    def forward(self, x):
        return self.head(x.nanmean(2))


class Seen(Callback):
    order = 5

    def __init__(self, mixer):
        self.mixer, self.batch = mixer, SimpleNamespace()

    def before_batch(self):
        self.batch.mix, self.batch.x, self.batch.y = self.mixer._mix, self.learn.xb[0], self.learn.yb[0]

    def after_loss(self):
        self.batch.pred, self.batch.loss = self.learn.pred.detach(), self.learn.loss.detach()


def step(mixer, loss_func, x, y, n_out=3, seed=0):
    "Train on one batch; what the model saw."
    set_seed(seed)
    seen = Seen(mixer)
    dls = DataLoaders(DataLoader(TensorDataset(x, y), bs=N, shuffle=False, drop_last=False))
    learn = Learner(dls, MeanOfSteps(n_out), loss_func, cbs=[mixer, seen])
    learn.logger = lambda row: None
    with learn.no_bar():
        learn.fit(1, 1e-3)
    return seen.batch


def shares(x, seen):
    "By hand: the share of the values of each mixed series that are its own, of the pasted ones."
    own = (seen.x == x).all(1)
    return own.sum(1) / (~x.isnan()).all(1).sum(1)


# -- functions ----------------------------------------------------------------------------------------------------------------------
def test_functions():
    x, perm = series(LENGTHS), torch.tensor([1, 2, 3, 4, 5, 0])
    lam = own_share(x, perm, torch.full((N,), 0.6))
    assert lam.tolist() == pytest.approx([1 - 0.4 * 8 / 20, 0.6, 0.6, 1 - 0.4 * 4 / 20, 0.6, 0.6])
    assert torch.equal(own_share(series(), perm, lam), lam), "bit for bit where none is shorter"
    steps, lam = cut_steps(x, perm, torch.full((N,), 0.5), torch.full((N,), 0.25))
    assert [s.nonzero().flatten().tolist() for s in steps] == [[4, 5], [4, 5], list(range(8, 11)), [2], [2], list(range(6, 8))]
    assert lam.tolist() == pytest.approx([0.9, 0.75, 0.8, 0.95, 0.75, 1 - 2 / 11])
    out = paste_steps(x, perm, steps)
    assert out[0, 0, :6].tolist() == [1, 1, 1, 1, 2, 2] and torch.equal(out.isnan(), x.isnan())
    assert torch.equal(paste_steps(x[:, 0], perm, steps).nan_to_num(), out[:, 0].nan_to_num())
    assert torch.equal(with_own_steps(torch.tensor([[[1.0, torch.nan]]]), torch.tensor([[[5.0, 6.0]]])), torch.tensor([[[1.0, 6.0]]]))


def test_the_device_is_never_waited_for():
    x, perm, lam = torch.empty(N, C, T, device="meta"), torch.empty(N, dtype=torch.int64, device="meta"), torch.empty(N, device="meta")
    steps, kept = cut_steps(x, perm, lam, lam)
    assert own_share(x, perm, lam).shape == kept.shape == (N,) and paste_steps(x, perm, steps).shape == with_own_steps(x, x).shape


# -- the callbacks ------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "unequal"])
@pytest.mark.parametrize("loss_func", [CrossEntropyLossFlat(), LabelSmoothingCrossEntropyFlat(0.2)], ids=["plain", "smooth"])
def test_cutmix_of_classes(lengths, loss_func):
    x, y = series(lengths), torch.tensor([0, 1, 2, 0, 1, 2])
    seen = step(CutMix(), loss_func, x, y)
    assert torch.equal(seen.x.isnan(), x.isnan()), "lengths stay"
    values = torch.unique(seen.x[~seen.x.isnan()])
    assert set(values.tolist()) <= set(range(1, N + 1)), "every value is a real one"
    for i in range(N):
        pasted = (seen.x[i, 0] != x[i, 0]) & ~x[i, 0].isnan()
        assert set(seen.x[i, 0][pasted].tolist()) <= {float(seen.mix.perm[i]) + 1} and (pasted.int().diff() == 1).sum() <= 1
    moved = seen.mix.perm != torch.arange(N)
    assert torch.allclose(seen.mix.lam[moved], shares(x, seen)[moved]) and seen.mix.lam.min() < 0.9 and len(set(seen.mix.lam.tolist())) > 3
    smoothing = 0.2 if isinstance(loss_func, LabelSmoothingCrossEntropyFlat) else 0.0
    each = [F.cross_entropy(seen.pred, t, reduction="none", label_smoothing=smoothing) for t in (y, y[seen.mix.perm])]
    torch.testing.assert_close(seen.loss, (seen.mix.lam * each[0] + (1 - seen.mix.lam) * each[1]).mean())


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["equal", "unequal"])
def test_mixup_of_numbers(lengths):
    x = series(lengths)
    y = torch.arange(1.0, N + 1)[:, None]                       # what each series is made of: the mean of a mixture is its target
    seen = step(MixUp(1.0), MSELossFlat(), x, y, n_out=1)
    assert torch.equal(seen.x.isnan(), x.isnan())
    torch.testing.assert_close(seen.x.nanmean(2)[:, :1], seen.y)
    torch.testing.assert_close(seen.y[:, 0], seen.mix.lam * y[:, 0] + (1 - seen.mix.lam) * y[seen.mix.perm, 0])
    assert (seen.mix.lam >= 0.5).all() and not torch.equal(seen.y, y)


def test_cutmix_of_numbers_and_of_a_class_for_each_step():
    x = series(LENGTHS)
    seen = step(CutMix(), MSELossFlat(), x, torch.arange(1.0, N + 1)[:, None], n_out=1)
    torch.testing.assert_close(seen.x.nanmean(2)[:, :1], seen.y)

    def of_steps(pred, y):
        return (pred.sum() * 0 + y.float()).mean()
    classes = x.nan_to_num()[:, 0].long()
    seen = step(CutMix(), of_steps, x, classes)
    assert torch.equal(seen.y, seen.x.nan_to_num()[:, 0].long()) and not torch.equal(seen.y, classes)


def test_forecasts_are_blended_and_not_cut():
    x, y = series(), torch.arange(1.0, N + 1).view(N, 1, 1).expand(N, C, 5).contiguous()

    def loss(pred, y):
        return (pred.mean() - y).square().mean()
    with pytest.raises(ValueError, match=r"neither forecast is right: targets float32\[6,2,5\] on cpu\. Write MixUp\(\), which blends"):
        step(CutMix(), loss, x, y)
    seen = step(MixUp(), loss, x, y)                            # what it says
    torch.testing.assert_close(seen.x[:, :, :5], seen.y)


def test_both_in_turn_and_the_same_draws_for_the_same_seed():
    x, y = series(LENGTHS), torch.tensor([0, 1, 2, 0, 1, 2])
    cut = [step(CutMixUp(), CrossEntropyLossFlat(), x, y, seed=s).mix.steps is not None for s in range(8)]
    assert {True, False} == set(cut)
    first, again = (step(CutMixUp(), CrossEntropyLossFlat(), x, y, seed=3) for _ in range(2))
    assert torch.equal(first.x.nan_to_num(), again.x.nan_to_num()) and torch.equal(first.loss, again.loss)


def test_a_partner_without_steps_and_a_single_item():
    x = series(torch.tensor([20, 0, 5, 5, 5, 5]))
    lam = own_share(x, torch.tensor([1, 0, 2, 3, 4, 5]), torch.full((N,), 0.5))
    assert lam.tolist() == [1.0, 1.0, 0.5, 0.5, 0.5, 0.5]
    steps, lam = cut_steps(x, torch.tensor([1, 0, 2, 3, 4, 5]), torch.zeros(N), torch.ones(N))
    assert lam.tolist() == [1.0, 1.0, 0, 0, 0, 0] and not steps[:2].any()
