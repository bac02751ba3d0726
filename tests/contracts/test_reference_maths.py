"""The formulas and numbers that fastai's users rely on, each computed here independently of the package."""
import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset
from torchvision import tv_tensors

from minifast.callbacks.base import Callback
from minifast.callbacks.gradients import GradientAccumulation
from minifast.callbacks.lr_finder import minimum, slide, steep, valley
from minifast.callbacks.mix import CutMix, MixUp
from minifast.callbacks.recorder import FitRecord
from minifast.callbacks.regularise import activation_reg
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.data.transforms import RandTransform
from minifast.learner.learner import Learner
from minifast.metrics.base import AvgMetric
from minifast.nn.losses import CrossEntropyLossFlat, FocalLossFlat, LabelSmoothingCrossEntropyFlat, MSELossFlat
from minifast.optim.groups import norm_bias_params, spread
from minifast.optim.optimizers import SGD, Adam
from minifast.optim.schedules import SchedCos, SchedExp, SchedLin, SchedPoly, combine_scheds, flat_cos, one_cycle, sgdr
from minifast.tabular.model import emb_sz_rule
from minifast.vision.normalize import Normalize

POSITIONS = [i / 17 for i in range(18)]


@pytest.mark.parametrize(("sched", "closed"), [
    (SchedLin(2, 5), lambda p: 2 + p * 3), (SchedCos(2, 5), lambda p: 2 + (1 + math.cos(math.pi * (1 - p))) * 3 / 2),
    (SchedExp(2, 5), lambda p: 2 * (5 / 2) ** p), (SchedPoly(2, 5, 3), lambda p: 2 + 3 * p**3)], ids=lambda o: type(o).__name__)
def test_annealers(sched, closed):
    assert [sched(p) for p in POSITIONS] == pytest.approx([closed(p) for p in POSITIONS], abs=1e-12)


def test_combined():
    both = combine_scheds([0.25, 0.75], [SchedLin(0, 1), SchedLin(1, 5)])
    assert [both(p) for p in (0, 0.125, 0.25, 0.625, 1)] == pytest.approx([0, 0.5, 1, 3, 5], abs=1e-12)


def test_one_cycle():
    lr = one_cycle(1.0, div=25, div_final=1e5, pct_start=0.25)["lr"]
    published = {0: 0.04, 0.1: 0.37167185, 0.25: 1, 0.5: 0.75000249, 0.9: 0.04323687, 1: 1e-5}
    assert {p: lr(p) for p in published} == pytest.approx(published, abs=1e-7)        # published in single precision

    def cosine(a, b, p):
        return a + (1 + math.cos(math.pi * (1 - p))) * (b - a) / 2

    sched = one_cycle(0.3, div=5, div_final=100, pct_start=0.4, moms=(0.95, 0.85, 0.9))
    for p in POSITIONS:
        first, local = (p < 0.4, p / 0.4 if p < 0.4 else (p - 0.4) / 0.6)
        assert sched["lr"](p) == pytest.approx(cosine(0.06, 0.3, local) if first else cosine(0.3, 0.003, local), abs=1e-12)
        assert sched["mom"](p) == pytest.approx(cosine(0.95, 0.85, local) if first else cosine(0.85, 0.9, local), abs=1e-12)


def test_flat_cos_and_restarts():
    f = flat_cos(0.2, div_final=10, pct_start=0.75)
    f = f["lr"] if isinstance(f, dict) else f
    closed = [0.2 if p < 0.75 else 0.02 + (1 + math.cos(math.pi * (p - 0.75) / 0.25)) * 0.18 / 2 for p in POSITIONS]
    assert [f(p) for p in POSITIONS] == pytest.approx(closed, abs=1e-12)
    sched, epochs = sgdr(3, 2, 0.1, cycle_mult=2)
    assert epochs == 2 * (2**3 - 1)
    for p in POSITIONS[:-1]:
        e = p * 14
        start, length = (0, 2) if e < 2 else (2, 4) if e < 6 else (6, 8)
        assert sched(p) == pytest.approx(0.1 * (1 + math.cos(math.pi * (e - start) / length)) / 2, abs=1e-12)


def learner(n=12, bs=4, model=None, loss=None, targets=None, **kwargs):
    g = torch.Generator().manual_seed(0)
    ds = TensorDataset(torch.randn(n, 3, generator=g), torch.randn(n, 1, generator=g) if targets is None else targets)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 4)), nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 1)) if model is None else model
    learn = Learner(DataLoaders(DataLoader(ds, bs=bs), DataLoader(ds, bs=bs)), model, MSELossFlat() if loss is None else loss,
                    **{"splitter": lambda m: [list(part.parameters()) for part in m], **kwargs})
    learn.logger = lambda row: None
    return learn.remove_cb(learn.progress)


def test_the_schedule_is_read_before_each_batch():
    learn = learner()
    learn.fit_one_cycle(4, 0.1)
    lr = one_cycle(0.1)["lr"]
    assert learn.recorder.lrs == pytest.approx([lr(i / 12) for i in range(12)], rel=1e-12)      # position 1 is never used


def test_learning_rates_of_layer_groups():
    assert spread(slice(1e-5, 1e-3), 3) == pytest.approx([1e-5, 1e-4, 1e-3], rel=1e-12)
    assert spread(slice(1e-3), 3) == pytest.approx([1e-4, 1e-4, 1e-3], rel=1e-12)
    assert spread(slice(1e-5, 1e-3), 1) == [1e-3]
    assert spread(slice(1, 16), 5) == pytest.approx([1, 2, 4, 8, 16])


def test_fine_tune_has_its_learning_rates():
    learn, seen = learner(), []
    learn.fine_tune(2, 2e-3, cbs=Callback(before_step=lambda cb: seen.append([g["lr"] for g in cb.learn.opt.param_groups])))
    groups = [g["layer_group"] for g in learn.opt.param_groups]
    frozen, whole = one_cycle(1.0, div=25, pct_start=0.99)["lr"], one_cycle(1.0, div=5, pct_start=0.3)["lr"]
    for i, lrs in enumerate(seen):
        peak = [2e-4, 2e-4, 2e-3] if i < 3 else [1e-5, 1e-4, 1e-3]
        share = frozen(i / 3) if i < 3 else whole((i - 3) / 6)
        assert lrs == pytest.approx([peak[g] * share for g in groups], rel=1e-9)


def test_suggestions_of_the_finder():
    lrs = np.geomspace(1e-7, 10, 86).tolist()
    falling = np.linspace(3, 1, 86).tolist()
    assert valley(lrs, falling, 100) == pytest.approx(7.2248e-4, rel=1e-4)
    curve = [3 - 2 * NormalDist(50, 8).cdf(i) + (0 if i < 70 else (i - 70) * 0.5) for i in range(86)]
    assert minimum(lrs, curve, 100) == pytest.approx(lrs[int(np.argmin(curve))] / 10)
    slopes = np.gradient(curve, np.log(lrs))
    assert steep(lrs, curve, 100) == pytest.approx(lrs[int(np.argmin(slopes))])
    grads, right, left, expected = np.gradient(curve), -1, -16, lrs[-16]
    while left >= -86 and abs(grads[right] - grads[left]) > 0.005:
        expected, right, left = lrs[left], right - 1, left - 1
    assert slide(lrs, curve, 100) == pytest.approx(expected)


def test_the_finder_rises_exponentially():
    learn = learner()
    learn.lr_find(1e-5, 1e-1, num_it=12, stop_div=False, show_plot=False, suggest_funcs=None)
    lrs = learn.recorder.lr_find.lrs
    assert lrs == pytest.approx([1e-5 * (1e4) ** (i / 12) for i in range(len(lrs))], rel=1e-9)


def test_smoothed_loss():
    losses, moving, expected = [3.0, 1.0, 2.0, 5.0], 0.0, []
    for t, loss in enumerate(losses, 1):
        moving = 0.98 * moving + 0.02 * loss
        expected.append(moving / (1 - 0.98**t))
    record = FitRecord()
    record.pending += losses
    assert record.smooth == pytest.approx(expected, rel=1e-12)


def test_adamw_and_sgd_steps():
    p0, grads, lr, wd = 1.5, [0.3, -0.2, 0.7], 0.1, 0.05
    p, m, v = p0, 0.0, 0.0
    for t, g in enumerate(grads, 1):
        p *= 1 - lr * wd
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        p -= lr / (1 - 0.9**t) * m / (math.sqrt(v / (1 - 0.99**t)) + 1e-5)
    q, buf = p0, 0.0
    for g in grads:
        buf = 0.8 * buf + g
        q = q * (1 - lr * wd) - lr * buf
    for make, expected in ((lambda ps: Adam(ps, lr=lr, wd=wd), p), (lambda ps: SGD(ps, lr=lr, mom=0.8, wd=wd), q)):
        param = nn.Parameter(torch.tensor([p0], dtype=torch.float64))
        opt = make([param])
        for g in grads:
            param.grad = torch.tensor([g], dtype=torch.float64)
            opt.step()
        assert param.item() == pytest.approx(expected, rel=1e-12)


def test_adam_equals_torch_to_the_bit():
    torch.manual_seed(0)
    a, b = (nn.Parameter(torch.arange(12.0).reshape(3, 4)) for _ in range(2))
    ours, theirs = Adam([a], lr=0.01), torch.optim.AdamW([b], lr=0.01, betas=(0.9, 0.99), eps=1e-5, weight_decay=0.01, fused=True)
    for _ in range(5):
        g = torch.randn(3, 4)
        for p, opt in ((a, ours), (b, theirs)):
            p.grad = g.clone()
            opt.step()
    assert torch.equal(a, b)


def test_who_is_spared_weight_decay():
    model = nn.ModuleDict({"conv": nn.Conv2d(1, 2, 3), "bn": nn.BatchNorm2d(2), "ln": nn.LayerNorm(2), "gn": nn.GroupNorm(1, 2),
                           "lstm": nn.LSTM(2, 2)})
    names = {id(p): n for n, p in model.named_parameters()}
    assert {names[i] for i in norm_bias_params(model)} == set(names.values()) - {"conv.weight", "lstm.weight_ih_l0",
                                                                                   "lstm.weight_hh_l0"}


def test_norm_layers_of_frozen_groups_go_on_learning():
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), nn.Sequential(nn.Linear(4, 4)), nn.Linear(4, 1))
    learn = learner(model=model)
    learn.freeze()
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True, False, False, True, True]


def mixed(cb, x, y, model, loss):
    "The batch that the model saw and the loss of it, in one training step with the callback."
    learn, seen = Learner(DataLoaders(DataLoader(TensorDataset(x, y), bs=len(x))), model, loss, default_cbs=False), []

    class Watch(Callback):
        order = 90

        def after_loss(self):
            seen.append((self.learn.xb[0].detach().clone(), self.learn.loss.detach().clone(), self.learn.pred.detach().clone()))

    learn.fit(1, 0.0, cbs=[cb, Watch()])
    return seen[0]


def test_mixup():
    torch.manual_seed(3)
    x, y = torch.eye(6), torch.arange(6) % 3
    seen, loss, pred = mixed(MixUp(0.4), x, y, nn.Linear(6, 3), CrossEntropyLossFlat())
    lam = seen.diagonal()                                    # one-hot inputs: the share of the item itself, its partner is the other one
    partner = torch.tensor([int((row - torch.eye(6)[i] * row[i]).argmax()) if row[i] < 1 else i for i, row in enumerate(seen)])
    assert (lam >= 0.5).all() and len(set(lam.tolist())) > 1                # per item, and the larger share
    assert torch.allclose(seen, lam[:, None] * x + (1 - lam[:, None]) * x[partner])
    each = lam * F.cross_entropy(pred, y, reduction="none") + (1 - lam) * F.cross_entropy(pred, y[partner], reduction="none")
    assert loss == pytest.approx(each.mean().item(), rel=1e-5)


def test_cutmix():
    torch.manual_seed(1)
    x = torch.arange(5.0)[:, None, None, None].expand(5, 1, 20, 16).contiguous()
    y = torch.arange(5) % 3
    model = nn.Sequential(nn.Flatten(), nn.Linear(320, 3))
    seen, loss, pred = mixed(CutMix(1.0), x, y, model, CrossEntropyLossFlat())
    changed = seen[:, 0] != x[:, 0]
    i = int(changed.flatten(1).any(1).nonzero()[0])
    rows, columns = changed[i].any(1).nonzero().flatten(), changed[i].any(0).nonzero().flatten()
    assert changed[i].sum() == len(rows) * len(columns)                     # one box
    lam = 1 - len(rows) * len(columns) / 320                                # the share that is left
    partner = torch.stack([seen[j, 0, rows[0], columns[0]] for j in range(5)]).long()
    each = lam * F.cross_entropy(pred, y, reduction="none") + (1 - lam) * F.cross_entropy(pred, y[partner], reduction="none")
    assert loss == pytest.approx(each.mean().item(), rel=1e-5)


def test_label_smoothing():
    g = torch.Generator().manual_seed(0)
    pred, y, eps = torch.randn(7, 5, generator=g), torch.arange(7) % 5, 0.1
    logp = pred.log_softmax(1)
    by_hand = ((1 - eps) * -logp[range(7), y] + eps * -logp.mean(1)).mean()
    assert LabelSmoothingCrossEntropyFlat(eps)(pred, y).item() == pytest.approx(by_hand.item(), rel=1e-6)
    weight = torch.tensor([1.0, 2, 3, 4, 5])
    assert torch.equal(LabelSmoothingCrossEntropyFlat(eps, weight=weight)(pred, y),
                       F.cross_entropy(pred, y, weight=weight, label_smoothing=eps))


def test_embedding_sizes():
    published = {2: 2, 3: 3, 5: 4, 10: 6, 50: 14, 100: 21, 1000: 77, 10000: 278, 100000: 600}
    assert {n: emb_sz_rule(n) for n in published} == published


class Shift(RandTransform):
    "Adds another number in each augmented pass."

    def draw(self, sample, rng, split_idx):
        return {"by": 0.0 if split_idx == 1 else float(rng.integers(1, 5))}

    def encodes(self, x: torch.Tensor, by):
        return x + by if x.ndim > 1 and x.shape[1] == 3 else x


@pytest.mark.parametrize(("beta", "use_max"), [(0.25, False), (0.6, False), (None, False), (0.25, True)])
def test_test_time_augmentation(beta, use_max, monkeypatch):
    learn, passes = learner(), []
    learn.dls = DataLoaders(*(dl.new(after_batch=[Shift()], split_idx=i) for i, dl in enumerate(learn.dls)))
    real = learn.get_preds

    def noting(*args, **kwargs):
        result = real(*args, **kwargs)
        passes.append(result[0])
        return result

    monkeypatch.setattr(type(learn), "get_preds", lambda self, *args, **kwargs: noting(*args, **kwargs))
    preds, _ = learn.tta(n=4, beta=beta, use_max=use_max)
    *augmented, plain = passes
    assert len(augmented) == 4
    mean = torch.stack(augmented).mean(0)
    if use_max:
        assert torch.equal(preds, torch.stack(passes).max(0)[0])
    elif beta is None:
        assert torch.allclose(preds[0], mean) and torch.equal(preds[1], plain)
    else:
        assert torch.allclose(preds, beta * plain + (1 - beta) * mean)


def test_accumulation_counts_items():
    learn, steps = learner(n=20, bs=4), []
    learn.fit(1, cbs=[GradientAccumulation(7), Callback(after_step=lambda: steps.append(learn.iter))])
    assert steps == [1, 3, 4]                               # 8 items, 8 items, and the 4 that are left


def test_activation_regularisation():
    out, h = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    by_hand = 2.0 * (out**2).mean() + 3.0 * ((h[:, 1:] - h[:, :-1]) ** 2).mean()
    assert torch.allclose(activation_reg(out, h, 2.0, 3.0), by_hand)


def test_normalisation_of_pictures():
    mean, std = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
    x = torch.rand(2, 3, 4, 4)
    norm = Normalize.from_stats(mean, std)
    m, s = (torch.tensor(v)[None, :, None, None] for v in (mean, std))
    y = norm(tv_tensors.Image(x))
    assert torch.allclose(torch.as_tensor(y), (x - m) / s, atol=1e-6)
    assert torch.allclose(torch.as_tensor(norm.decode(y)), x, atol=1e-6)


def test_focal_loss():
    g = torch.Generator().manual_seed(0)
    pred, y, weight = torch.randn(6, 3, generator=g), torch.arange(6) % 3, torch.tensor([0.2, 1.0, 4.0])
    ce = F.cross_entropy(pred, y, reduction="none")
    plain = ((1 - torch.exp(-ce)) ** 2 * ce).mean()
    assert FocalLossFlat()(pred, y).item() == pytest.approx(plain.item(), rel=1e-6)
    right = pred.softmax(1)[range(6), y]                     # the probability, which class weights have no part in
    weighted = (weight[y] * (1 - right) ** 2 * ce).sum() / weight[y].sum()
    assert FocalLossFlat(weight=weight)(pred, y).item() == pytest.approx(weighted.item(), rel=1e-6)


def test_a_metric_is_weighted_by_the_size_of_the_batch():
    learn = learner(n=10, bs=4, metrics=AvgMetric(lambda p, y: p.sum() * 0 + len(y)))
    value = learn.validate()[1]
    assert value == pytest.approx((4 * 4 + 4 * 4 + 2 * 2) / 10)


def test_points_are_scaled_by_the_size_of_the_picture():
    from PIL import Image

    from minifast.vision.images import PILImage
    from minifast.vision.points import PointScaler, TensorPoint
    sample = PILImage.create(Image.new("RGB", (40, 20))), TensorPoint.create([[0.0, 0.0], [40.0, 20.0], [10.0, 5.0]])
    points = PointScaler()(sample)[1]
    assert torch.allclose(torch.as_tensor(points), torch.tensor([[-1.0, -1.0], [1.0, 1.0], [-0.5, -0.5]]))
