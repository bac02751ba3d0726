"""`MixUp`, `CutMix`, `CutMixUp`: against losses and pictures computed by hand."""
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.base import Callback
from minifast.callbacks.mix import (
    CutMix,
    CutMixUp,
    MixHandler,
    MixUp,
    blend,
    blended_loss,
    cutmix_batch,
    cutmix_box,
    kept_share,
    mixup_batch,
    paste,
)
from minifast.core.seeds import set_seed
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import (
    BCEWithLogitsLossFlat,
    CrossEntropyLossFlat,
    DiceLoss,
    FocalLossFlat,
    LabelSmoothingCrossEntropyFlat,
    MSELossFlat,
)


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


class Spy(Callback):
    "What the batch was before mixing and after, and the loss."
    order = -5

    def __init__(self):
        self.before, self.after = [], []

    def before_batch(self):
        if self.learn.training:
            self.before.append((self.learn.xb, self.learn.yb))

    def after_batch(self):
        if self.learn.training:
            self.after.append((self.learn.xb, self.learn.yb, self.learn.pred.detach(), self.learn.loss.detach()))


class KeepMix(Callback):
    "The draw of each batch, and the batch as mixed."
    order = 5

    def __init__(self, mixer):
        self.mixer, self.mixes, self.batches = mixer, [], []

    def before_batch(self):
        if self.learn.training:
            self.mixes.append(self.mixer._mix)
            self.batches.append((self.learn.xb, self.learn.yb))


def fit(mixer, model, loss_func, tensors, n_inp=1, bs=4, epochs=1, shuffle=False, **kwargs):
    spy, keep = Spy(), KeepMix(mixer)
    ds = TensorDataset(*tensors)
    dls = DataLoaders(DataLoader(ds, bs=bs, n_inp=n_inp, shuffle=shuffle, drop_last=False), DataLoader(ds, bs=bs, n_inp=n_inp))
    learn = Learner(dls, model, loss_func, cbs=[mixer, spy, keep], **kwargs)
    learn.logger = lambda row: None
    with learn.no_bar():
        learn.fit(epochs, 1e-3)
    return learn, spy, keep


def flat_data(n=10, n_class=3):
    return torch.randn(n, 5, generator=gen(1)), torch.arange(n) % n_class


# -- functions ----------------------------------------------------------------------------------------------------------------------
def test_blend_and_mixup_batch():
    x, perm = torch.tensor([[1.0, 2], [3, 4], [5, 6]]), torch.tensor([1, 2, 0])
    lam = torch.tensor([1.0, 0.5, 0.75])
    torch.testing.assert_close(blend(x, lam, perm), torch.tensor([[1.0, 2], [4, 5], [4, 5]]))
    torch.testing.assert_close(blend(x, 0.5, perm), (x + x[perm]) / 2)
    mixed, y, y2 = mixup_batch(x, torch.tensor([7, 8, 9]), lam, perm)
    assert torch.equal(mixed, blend(x, lam, perm)) and y.tolist() == [7, 8, 9] and y2.tolist() == [8, 9, 7]


def test_cutmix_box_and_batch():
    assert cutmix_box(10, 20, 0.75, 5, 10) == (3, 8, 5, 15)                       # half of each side, around the centre
    assert cutmix_box(10, 20, 0.75, 0, 19) == (0, 3, 14, 20)                      # clipped
    assert kept_share((3, 8, 5, 15), 10, 20) == 0.75
    x = torch.arange(2.0).view(2, 1, 1, 1).expand(2, 1, 4, 4).contiguous()
    before = x.clone()
    mixed, _, y2, lam = cutmix_batch(x, torch.tensor([0, 1]), torch.tensor([1, 0]), (0, 2, 1, 4))
    assert torch.equal(x, before) and lam == 1 - 6 / 16 and y2.tolist() == [1, 0]
    assert mixed[0].sum() == 6 and mixed[1].sum() == 10 and (mixed[0, 0, :2, 1:] == 1).all()


def test_blended_loss():
    a, b, lam = torch.tensor([1.0, 2, 3, 4]), torch.tensor([5.0, 6, 7, 8]), torch.tensor([1.0, 0.5])
    assert blended_loss(a, b, lam) == pytest.approx((1 + 2 + 5 + 6) / 4)
    assert blended_loss(a, b, lam, reduction="sum") == pytest.approx(14)
    w, w2 = torch.tensor([1.0, 1, 2, 0]), torch.tensor([1.0, 1, 0, 2])
    assert blended_loss(a, b, lam, w, w2) == pytest.approx(14 / 4)
    with pytest.raises(ValueError, match="do not belong to 3 items"):
        blended_loss(a, b, torch.ones(3))


# -- MixUp: class indices ---------------------------------------------------------------------------------------------------------------
WEIGHT = torch.tensor([1.0, 3.0, 0.5])


def by_hand(loss_func, pred, y, y2, lam):
    "Per item, in a loop, with plain torch."
    weight = WEIGHT if "weighted" in loss_func else None
    eps = 0.1 if "smooth" in loss_func else 0.0
    num = den = 0.0
    for i in range(len(lam)):
        for target, share in ((y[i], lam[i]), (y2[i], 1 - lam[i])):
            if target == -100:
                continue
            num += share * F.cross_entropy(pred[i:i + 1], target[None], weight=weight, label_smoothing=eps, reduction="sum")
            den += share * (1 if weight is None else weight[target])
    return num / den


@pytest.mark.parametrize(("name", "loss_func"), [
    ("plain", CrossEntropyLossFlat()), ("plain", nn.CrossEntropyLoss()), ("plain", F.cross_entropy),
    ("weighted", CrossEntropyLossFlat(weight=WEIGHT)), ("weighted", partial(F.cross_entropy, weight=WEIGHT)),
    ("smooth", LabelSmoothingCrossEntropyFlat()), ("weighted smooth", LabelSmoothingCrossEntropyFlat(weight=WEIGHT)),
    ("ignored", CrossEntropyLossFlat()), ("weighted ignored", nn.CrossEntropyLoss(weight=WEIGHT))], ids=lambda o: str(o).split(" at 0x")[0])
def test_mixup_of_class_ids(name, loss_func):
    x, y = flat_data()
    if "ignored" in name:
        y = torch.where(torch.arange(10) % 4 == 1, -100, y)
    mixer = MixUp(0.4)
    learn, spy, keep = fit(mixer, nn.Linear(5, 3), loss_func, (x, y))
    assert learn.loss_func is loss_func
    assert len(keep.mixes) == 3 and mixer._mix is None
    for (xb, yb), (mixed, y_seen, pred, loss), mix in zip(spy.before, spy.after, keep.mixes, strict=True):
        assert (mix.lam >= 0.5).all() and (mix.lam <= 1).all() and len(mix.lam) == len(xb[0])
        lam = mix.lam[:, None]
        torch.testing.assert_close(mixed[0], lam * xb[0] + (1 - lam) * xb[0][mix.perm])
        assert torch.equal(y_seen[0], yb[0])
        torch.testing.assert_close(loss, by_hand(name, pred, yb[0], yb[0][mix.perm], mix.lam))
    assert len({tuple(m.lam.tolist()) for m in keep.mixes}) == 3


def test_sum_reduction_and_focal_loss():
    x, y = flat_data()
    for loss_func, each in ((CrossEntropyLossFlat(reduction="sum"), partial(F.cross_entropy, reduction="none")),
                            (FocalLossFlat(), None)):
        _, spy, keep = fit(MixUp(), nn.Linear(5, 3), loss_func, (x, y))
        for (_, yb), (_, _, pred, loss), mix in zip(spy.before, spy.after, keep.mixes, strict=True):
            each = each or type(loss_func)(reduction="none")
            expected = mix.lam * each(pred, yb[0]) + (1 - mix.lam) * each(pred, yb[0][mix.perm])
            torch.testing.assert_close(loss, expected.sum() if loss_func.reduction == "sum" else expected.mean())


# -- MixUp: targets that can be mixed -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("loss_func", "y"), [
    (BCEWithLogitsLossFlat(), (torch.rand(8, 3, generator=gen(2)) > 0.5)), (nn.MSELoss(), torch.randn(8, 3, generator=gen(2))),
    (MSELossFlat(), torch.arange(24).reshape(8, 3)), (nn.CrossEntropyLoss(), F.one_hot(torch.arange(8) % 3, 3).float()),
    (lambda p, t: (p - t).abs().mean(), torch.randn(8, 3, generator=gen(2)))], ids=["multilabel", "mse", "integers", "one-hot", "own"])
def test_targets_are_mixed(loss_func, y):
    _, spy, keep = fit(MixUp(), nn.Linear(5, 3), loss_func, (torch.randn(8, 5, generator=gen()), y))
    for (_, yb), (_, seen, pred, loss), mix in zip(spy.before, spy.after, keep.mixes, strict=True):
        lam, t = mix.lam[:, None], yb[0].float()
        torch.testing.assert_close(seen[0], lam * t + (1 - lam) * t[mix.perm])
        torch.testing.assert_close(loss, loss_func(pred, seen[0]))


def test_masks():
    x, y = torch.randn(4, 3, 6, 6, generator=gen()), torch.randint(0, 2, (4, 6, 6), generator=gen(1))
    for loss_func, each in ((CrossEntropyLossFlat(axis=1), lambda p, t: F.cross_entropy(p, t, reduction="none").mean((1, 2))),
                            (DiceLoss(reduction="mean"), lambda p, t: DiceLoss(reduction="none")(p, t).mean(1))):
        _, spy, keep = fit(MixUp(), nn.Conv2d(3, 2, 1), loss_func, (x, y))
        (_, _, pred, loss), mix = spy.after[0], keep.mixes[0]
        torch.testing.assert_close(loss, (mix.lam * each(pred, y) + (1 - mix.lam) * each(pred, y[mix.perm])).mean())
        _, spy, keep = fit(CutMix(), nn.Conv2d(3, 2, 1), loss_func, (x, y))
        (xs, ys, pred, loss), mix = spy.after[0], keep.mixes[0]
        assert torch.equal(ys[0], paste(y, mix.perm, mix.box)) and torch.equal(xs[0], paste(x, mix.perm, mix.box))
        torch.testing.assert_close(loss, loss_func(pred, ys[0]))


# -- CutMix -------------------------------------------------------------------------------------------------------------------------
def test_cutmix():
    x, y = torch.randn(6, 3, 8, 10, generator=gen()), torch.arange(6) % 3
    before = x.clone()
    model = nn.Sequential(nn.Flatten(), nn.Linear(240, 3))
    _, spy, keep = fit(CutMix(), model, F.cross_entropy, (x, y), epochs=3)
    assert torch.equal(x, before)
    for (xb, yb), (mixed, _, pred, loss), mix in zip(spy.before, spy.after, keep.mixes, strict=True):
        top, bottom, left, right = mix.box
        inside = torch.zeros(8, 10, dtype=torch.bool)
        inside[top:bottom, left:right] = True
        assert torch.equal(mixed[0], torch.where(inside, xb[0][mix.perm], xb[0])) and mixed[0] is not xb[0]
        assert mix.lam == pytest.approx(1 - inside.float().mean().item())
        expected = mix.lam * F.cross_entropy(pred, yb[0]) + (1 - mix.lam) * F.cross_entropy(pred, yb[0][mix.perm])
        torch.testing.assert_close(loss, expected)
    assert len({m.box for m in keep.mixes}) > 1


def test_cutmix_mixes_targets_of_regression():
    x, y = torch.randn(4, 1, 6, 6, generator=gen()), torch.randn(4, 1, generator=gen(1))
    _, spy, keep = fit(CutMix(), nn.Sequential(nn.Flatten(), nn.Linear(36, 1)), MSELossFlat(), (x, y))
    mix = keep.mixes[0]
    torch.testing.assert_close(spy.after[0][1][0], mix.lam * y + (1 - mix.lam) * y[mix.perm])


def test_cutmixup_takes_turns():
    x, y = torch.randn(4, 1, 6, 6, generator=gen()), torch.arange(4) % 2
    kinds = []
    for p in (0.0, 1.0, 0.5):
        set_seed(1)
        keep = fit(CutMixUp(p_cutmix=p), nn.Sequential(nn.Flatten(), nn.Linear(36, 2)), F.cross_entropy, (x, y), bs=1, epochs=5)[2]
        kinds.append(np.mean([m.box is not None for m in keep.mixes]))
    assert kinds[0] == 0 and kinds[1] == 1 and 0 < kinds[2] < 1


# -- integer inputs -----------------------------------------------------------------------------------------------------------------
class Tabular(nn.Module):
    def __init__(self, as_type=torch.int64):
        super().__init__()
        self.embeds, self.head, self.as_type = nn.ModuleList([nn.Embedding(4, 2), nn.Embedding(5, 3)]), nn.Linear(7, 2), as_type
        self.seen = None

    def forward(self, cat, cont):
        self.seen = torch.cat([e(cat[:, i].to(self.as_type)) for i, e in enumerate(self.embeds)] + [cont], 1)
        return self.head(self.seen)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
@pytest.mark.parametrize("bs", [4, 2])                                            # 2 items of 2 categories: not to be confused
def test_tabular_embeddings_are_mixed(dtype, bs):
    cat, cont = torch.randint(0, 4, (10, 2), generator=gen()).to(dtype), torch.randn(10, 2, generator=gen(1))
    model, mixer, seen = Tabular(), MixUp(), []
    ds = TensorDataset(cat, cont, torch.arange(10) % 2)
    learn = Learner(DataLoaders(DataLoader(ds, bs=bs, n_inp=2)), model, F.cross_entropy, cbs=[mixer, kept := KeepMix(mixer), spy := Spy()])
    learn.add_cb(Callback(after_pred=lambda: seen.append(model.seen.detach())))
    learn.logger = lambda row: None
    with learn.no_bar():
        learn.fit(1, 0.0)
    assert not hooks(model) and len(seen) == len(kept.mixes)
    for mixed, mix, ((ids, floats), _), (after, *_) in zip(seen, kept.mixes, spy.before, spy.after, strict=True):
        with torch.no_grad():
            model(ids, floats)
        torch.testing.assert_close(mixed, blend(model.seen, mix.lam, mix.perm))
        assert torch.equal(after[0], ids)                                         # ids are as they were


class Text(nn.Module):
    "Token ids as keyword input, with positions that all items share."

    def __init__(self):
        super().__init__()
        self.token, self.position, self.head = nn.Embedding(9, 3), nn.Embedding(6, 3), nn.Linear(3, 2)
        self.tokens = self.positions = None

    def forward(self, ids, mask):
        self.tokens, self.positions = self.token(ids), self.position(torch.arange(ids.shape[1]))
        return self.head(((self.tokens + self.positions) * mask[..., None]).sum(1))


def test_token_ids_by_keyword_and_positions():
    n, mask = 6, torch.ones(6, dtype=torch.bool)                                  # as many items as positions
    items = [{"ids": torch.randint(0, 9, (6,), generator=gen(i)), "mask": mask, "labels": i % 2} for i in range(n)]
    seen = []
    mixer, model = MixUp(), Text()
    learn = Learner(DataLoaders(DataLoader(items, bs=n)), model, F.cross_entropy,
                    cbs=[mixer, kept := KeepMix(mixer), Callback(after_pred=lambda cb: seen.append((model.tokens, model.positions)))])
    learn.logger = lambda row: None
    with learn.no_bar():
        learn.fit(1, 0.0)
    mix, plain = kept.mixes[0], model.token(torch.stack([o["ids"] for o in items]))
    lam = mix.lam[:, None, None]
    torch.testing.assert_close(seen[0][0], lam * plain + (1 - lam) * plain[mix.perm])
    assert torch.equal(seen[0][1], model.position.weight)
    assert not hooks(model)


def hooks(model):
    return sum(len(m._forward_hooks) for m in model.modules())


# -- around it ----------------------------------------------------------------------------------------------------------------------
def test_several_float_inputs_share_the_draw():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(7, 3)

        def forward(self, a, b):
            return self.head(torch.cat([a, b], 1))

    a, b = torch.randn(8, 5, generator=gen()), torch.randn(8, 2, generator=gen(1))
    _, spy, keep = fit(MixUp(), Two(), F.cross_entropy, (a, b, torch.arange(8) % 3), n_inp=2)
    for (before, _), (after, *_), mix in zip(spy.before, spy.after, keep.mixes, strict=True):
        for t, mixed in zip(before, after, strict=True):
            torch.testing.assert_close(mixed, blend(t, mix.lam, mix.perm))


def test_last_batch_of_one_and_validation_untouched():
    x, y = torch.randn(5, 1, 4, 4, generator=gen()), torch.arange(5) % 2
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    for mixer in (MixUp(), CutMix(), CutMixUp()):
        learn, spy, _ = fit(mixer, model, F.cross_entropy, (x, y))
        assert len(spy.after[-1][0][0]) == 1 and torch.equal(spy.after[-1][0][0], x[4:]) and torch.isfinite(spy.after[-1][3])
        with torch.no_grad():
            assert learn.validate()[0] == pytest.approx(F.cross_entropy(model.eval()(x), y).item(), rel=1e-5)


def test_reproducible_and_private():
    x, y = flat_data()

    def lams(seed):
        set_seed(seed)
        return [m.lam.tolist() for m in fit(MixUp(), nn.Linear(5, 3), F.cross_entropy, (x, y), epochs=2)[2].mixes]

    assert lams(3) == lams(3) != lams(4)
    state = np.random.get_state()[1].tolist()
    fit(MixUp(), nn.Linear(5, 3), F.cross_entropy, (x, y))
    assert np.random.get_state()[1].tolist() == state


def test_epochs_of_a_resumed_fit_draw_the_same():
    x, y = flat_data()
    set_seed(0)
    mixer = MixUp()
    whole = [m.lam.tolist() for m in fit(mixer, nn.Linear(5, 3), F.cross_entropy, (x, y), epochs=2)[2].mixes]
    other = MixUp()
    resumed = Callback(before_epoch=lambda: other.load_state_dict(mixer.state_dict()))
    learn = Learner(DataLoaders(DataLoader(TensorDataset(x, y), bs=4)), nn.Linear(5, 3), F.cross_entropy,
                    cbs=[other, kept := KeepMix(other), resumed])
    learn.logger = lambda row: None
    with learn.no_bar():
        learn.fit(2, start_epoch=1)
    assert [m.lam.tolist() for m in kept.mixes] == whole[3:]


@pytest.mark.parametrize("event", ["before_batch", "after_pred", "after_loss", "after_backward", "before_step"])
def test_ctrl_c_leaves_nothing(event):
    def stop():
        raise KeyboardInterrupt

    cat, cont, y = torch.randint(0, 4, (8, 2)), torch.randn(8, 2), torch.arange(8) % 2
    model, mixer, loss_func = Tabular(), MixUp(), CrossEntropyLossFlat()
    learn = Learner(DataLoaders(DataLoader(TensorDataset(cat, cont, y), bs=4, n_inp=2)), model, loss_func, cbs=mixer)
    learn.logger = lambda row: None
    with pytest.raises(KeyboardInterrupt), learn.no_bar():
        learn.fit(1, cbs=Callback(**{event: stop}))
    assert not hooks(model) and learn.loss_func is loss_func and mixer._mix is None and loss_func.reduction == "mean"
    with learn.no_bar(), learn.removed_cbs(mixer):
        learn.fit(1)


# -- refusals -----------------------------------------------------------------------------------------------------------------------
def test_refusals():
    x, y = flat_data()
    with pytest.raises(ValueError, match=r"MixUp\(alpha=0\): the parameter of a Beta distribution, a number above 0"):
        MixUp(0)
    with pytest.raises(ValueError, match=r"CutMixUp\(p_cutmix=2\): p_cutmix is a probability"):
        CutMixUp(p_cutmix=2)
    with pytest.raises(ValueError, match=r"CutMixUp\(cutmix_alpha=-1\)"):
        CutMixUp(cutmix_alpha=-1)
    with pytest.raises(TypeError, match="MixHandler is the base of MixUp, CutMix and CutMixUp"):
        MixHandler()
    cut = r"CutMix\(1.0\) cuts boxes out of images and stretches out of series: it needs a floating input \(B,C,H,W\) or \(B,C,T\)"
    with pytest.raises(TypeError, match=cut):
        fit(CutMix(), nn.Linear(5, 3), F.cross_entropy, (x, y))
    with pytest.raises(TypeError, match=r"cannot mix the input int64\[4,5\] on cpu: it holds integers, and the model has no nn.Embedding"):
        fit(MixUp(), nn.Linear(5, 3), F.cross_entropy, (x.long(), y))
    with pytest.raises(ValueError, match=r"would mix the same batch twice: keep one, or use CutMixUp\(\)"):
        fit(MixUp(), nn.Linear(5, 3), F.cross_entropy, (x, y))[0].fit(1, cbs=CutMix())
    with pytest.raises(TypeError, match=r"only gives one number per batch"):
        fit(MixUp(), nn.Linear(5, 3), lambda p, t: F.cross_entropy(p, t), (x, y))
    images, masks = torch.randn(4, 1, 6, 6), torch.zeros(4, 3, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"a target is int64\[4,3,3\] on cpu and the images are 6x6"):
        fit(CutMix(), nn.Conv2d(1, 2, 1, stride=2), CrossEntropyLossFlat(axis=1), (images, masks))


def test_embeddings_that_never_see_the_batch():
    class Direct(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb, self.head = nn.Embedding(4, 3), nn.Linear(3, 2)

        def forward(self, ids):
            return self.head(F.embedding(ids, self.emb.weight))

    with pytest.raises(TypeError, match="no nn.Embedding was called with it"):
        fit(MixUp(), Direct(), F.cross_entropy, (torch.arange(4), torch.arange(4) % 2))
