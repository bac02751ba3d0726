"""Distillation: the loss by hand, and a callback that leaves validation, loss function and teacher as they are."""
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.base import Callback
from minifast.callbacks.distill import KnowledgeDistillation, distillation_loss, soft_loss
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.data.transforms import Transform
from minifast.learner.learner import Learner
from minifast.nn.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat

X = torch.randn(32, 3, generator=torch.Generator().manual_seed(0))
Y = (X.sum(1) > 0).long()


class Normalise(Transform):
    "Stands for a normalisation of images."

    def __init__(self, mean, std):
        super().__init__()
        self.mean, self.std = torch.tensor(mean), torch.tensor(std)

    def encodes(self, x):
        return (x - self.mean) / self.std if x.is_floating_point() else x


def learner(model=None, y=Y, loss=None, vocab=None, tfms=None, batch_tfms=None, **kwargs):
    torch.manual_seed(1)
    ds = TensorDataset(X, y)
    if vocab is not None:
        ds.vocab = vocab
    dls = DataLoaders(*(DataLoader(ds, bs=8, after_batch=tfms, device="cpu") for _ in range(2)))
    learn = Learner(dls, model or nn.Linear(3, 2), loss or CrossEntropyLossFlat(), batch_tfms=batch_tfms, **kwargs)
    learn.logger = lambda row: None
    return learn


# -- the loss -----------------------------------------------------------------------------------------------------------------------
def test_by_hand():
    student, teacher, t = torch.tensor([[1.0, 0.0]]), torch.tensor([[4.0, 0.0]]), 2.0
    p = [math.exp(2) / (math.exp(2) + 1), 1 / (math.exp(2) + 1)]
    q = [math.exp(0.5) / (math.exp(0.5) + 1), 1 / (math.exp(0.5) + 1)]
    soft = t**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    hard = -math.log(math.e / (math.e + 1))
    assert soft_loss(student, teacher, "class logits", t).item() == pytest.approx(soft, rel=1e-5)
    got = distillation_loss(student, teacher, torch.tensor([0]), F.cross_entropy, t, alpha=0.3)
    assert got.item() == pytest.approx(0.3 * soft + 0.7 * hard, rel=1e-5)


def test_is_torchs_kl_divergence():
    s, t = torch.randn(8, 5), torch.randn(8, 5)
    want = 16 * F.kl_div((s / 4).log_softmax(1), (t / 4).softmax(1), reduction="batchmean")
    assert torch.allclose(soft_loss(s, t, "class logits"), want)
    s, t = torch.randn(2, 5, 4, 4), torch.randn(2, 5, 4, 4)                  # pixels: the mean over all of them
    want = 16 * F.kl_div((s / 4).log_softmax(1), (t / 4).softmax(1), reduction="none").sum(1).mean()
    assert torch.allclose(soft_loss(s, t, "class logits"), want)
    last = soft_loss(s.movedim(1, -1), t.movedim(1, -1), "class logits", axis=-1)
    assert torch.allclose(last, want)


def test_several_labels_and_numbers():
    s, t = torch.randn(8, 3), torch.randn(8, 3)
    p, q = (t / 4).sigmoid(), (s / 4).sigmoid()
    want = 16 * (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()).mean()
    assert torch.allclose(soft_loss(s, t, "logits"), want, atol=1e-6)
    assert torch.allclose(soft_loss(s, t, "values"), F.mse_loss(s, t))
    y = torch.randn(8, 3)
    assert torch.allclose(distillation_loss(s, t, y, MSELossFlat(), alpha=0.25), 0.25 * F.mse_loss(s, t) + 0.75 * F.mse_loss(s, y))


@pytest.mark.parametrize("kind", ["class logits", "logits", "values"])
def test_no_loss_where_both_agree_and_extremes_are_finite(kind):
    x = torch.randn(4, 3)
    assert soft_loss(x, x, kind).item() == pytest.approx(0, abs=1e-6)
    s = (x * 1e4).requires_grad_()
    loss = soft_loss(s, -x * 1e4, kind)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(s.grad).all()


def test_gradient_is_of_the_same_size_at_any_temperature():
    s, t = (0.1 * torch.randn(64, 5)).requires_grad_(), 0.1 * torch.randn(64, 5)
    cold, warm = (torch.autograd.grad(soft_loss(s, t, "class logits", T), s)[0].norm() for T in (1.0, 20.0))
    assert cold == pytest.approx(warm.item(), rel=0.1)


def test_unknown_outputs():
    with pytest.raises(ValueError, match="the loss odd does not say: give kind="):
        def odd(p, y):
            return p.mean()
        distillation_loss(X, X, Y, odd)
    assert torch.isfinite(distillation_loss(X, X, Y, odd, kind="values"))
    with pytest.raises(ValueError, match="takes 'probabilities'"):
        distillation_loss(X, X, Y, nn.BCELoss())


# -- the callback -------------------------------------------------------------------------------------------------------------------
def test_losses_of_a_fit():
    torch.manual_seed(5)
    teacher, seen = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5), nn.BatchNorm1d(2)), []
    learn = learner()
    loss_func = learn.loss_func

    class Check(Callback):
        order = 5

        def after_loss(self):
            learn = self.learn
            plain = F.cross_entropy(learn.pred, *learn.yb)
            if learn.training:
                assert not teacher.training
                want = distillation_loss(learn.pred, teacher(*learn.xb), learn.yb[0], F.cross_entropy, 3.0, 0.7)
            else:
                want = plain
            seen.append(torch.allclose(learn.loss, want))

    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    learn.fit(2, 0.05, cbs=[KnowledgeDistillation(teacher, 3, 0.7), Check()])
    assert len(seen) == 16 and all(seen)
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert all(p.grad is None for p in teacher.parameters()) and all(m.training for m in teacher.modules())
    assert learn.loss_func is loss_func
    assert learn.recorder.values[-1][1] == pytest.approx(learn.validate()[0])
    assert [n for n in learn.recorder.metric_names if "loss" in n] == ["train_loss", "valid_loss"]


def test_student_learns_from_the_teacher_alone():
    "alpha=1: the targets are noise, and do not matter."
    teacher = nn.Linear(3, 2)
    noise = torch.randint(0, 2, (32,), generator=torch.Generator().manual_seed(1))
    student = learner(y=noise)
    student.fit(60, 0.05, cbs=KnowledgeDistillation(teacher, 2, alpha=1))
    agree = (student.model(X).argmax(1) == teacher(X).argmax(1)).float().mean()
    assert agree > 0.9


def test_a_learner_as_teacher_and_regression():
    y = X @ torch.tensor([[1.0], [2.0], [3.0]])
    teacher = learner(nn.Linear(3, 1), y=y, loss=MSELossFlat())
    teacher.fit(1)
    student = learner(nn.Linear(3, 1), y=torch.zeros(32, 1), loss=MSELossFlat())
    student.fit(60, 0.05, cbs=KnowledgeDistillation(teacher, alpha=1))
    assert F.mse_loss(student.model(X), teacher.model(X)) < 0.05
    labels = learner(nn.Linear(3, 2), y=F.one_hot(Y).float(), loss=BCEWithLogitsLossFlat())
    labels.fit(1, cbs=KnowledgeDistillation(nn.Linear(3, 2)))
    assert math.isfinite(labels.recorder.values[-1][0])


def test_modes_come_back_after_an_error():
    teacher = nn.Sequential(nn.Linear(3, 2), nn.Dropout())
    teacher[1].eval()

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learner().fit(1, cbs=[KnowledgeDistillation(teacher), Callback(after_step=interrupt)])
    assert teacher.training and not teacher[1].training


def test_other_classes_and_outputs():
    with pytest.raises(ValueError, match=r"the classes of the teacher are \['a', 'b'\], those of the student \['b', 'a'\]"):
        learner(vocab=["b", "a"]).fit(1, cbs=KnowledgeDistillation(learner(vocab=["a", "b"])))
    learner(vocab=["a", "b"]).fit(1, cbs=KnowledgeDistillation(learner(vocab=["a", "b"])))
    with pytest.raises(ValueError, match=r"the teacher gives float32\[8,5\].* where the student gives float32\[8,2\]"):
        learner().fit(1, cbs=KnowledgeDistillation(nn.Linear(3, 5)))


def test_another_normalisation():
    norm, other = [0.5, 0.5, 0.5], [0.4, 0.5, 0.5]
    one = [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="normalisation by mean .0.5, 0.5, 0.5. and std .*, and the student's have no norm"):
        learner().fit(1, cbs=KnowledgeDistillation(learner(batch_tfms=[Normalise(norm, one)])))
    with pytest.raises(ValueError, match="was trained on images with no normalisation"):
        learner(tfms=[Normalise(norm, one)]).fit(1, cbs=KnowledgeDistillation(learner()))
    with pytest.raises(ValueError, match="KnowledgeDistillation: the teacher was trained on images"):
        learner(tfms=[Normalise(other, one)]).fit(1, cbs=KnowledgeDistillation(learner(tfms=[Normalise(norm, one)])))
    teacher = learner(batch_tfms=[Normalise(norm, one)])
    student = learner(tfms=[Normalise(norm, one)])
    student.fit(1, cbs=KnowledgeDistillation(teacher))                          # the same, wherever it comes from
    plain = learner()
    same = Learner(plain.dls.with_tfms(teacher.batch_tfms), nn.Linear(3, 2), CrossEntropyLossFlat())
    same.logger = lambda row: None
    same.fit(1, cbs=KnowledgeDistillation(teacher))                             # as the sentence says


def test_wrong_arguments():
    with pytest.raises(TypeError, match="takes a Learner or an nn.Module; received"):
        KnowledgeDistillation(lambda x: x)
    for t in (0, -1, float("inf"), "4", True):
        with pytest.raises(ValueError, match="a number above 0"):
            KnowledgeDistillation(nn.Linear(3, 2), temperature=t)
    for a in (-0.1, 1.1, None):
        with pytest.raises(ValueError, match="the weight of the teacher, from 0 to 1"):
            KnowledgeDistillation(nn.Linear(3, 2), alpha=a)
    learn = learner()
    with pytest.raises(ValueError, match="the very model that is trained"):
        learn.fit(1, cbs=KnowledgeDistillation(learn))
    assert repr(KnowledgeDistillation(nn.Linear(3, 2))) == "KnowledgeDistillation(Linear, temperature=4, alpha=0.5)"


def test_normalisation_by_arrays_is_named():
    class ByArrays(Normalise):
        def __init__(self, mean, std):
            super().__init__(mean, std)
            self.mean, self.std = np.array(mean, dtype=np.float32), np.array(std, dtype=np.float32)

    teacher, own = learner(batch_tfms=ByArrays([0.0] * 3, [1.0] * 3)), learner(batch_tfms=ByArrays([0.5] * 3, [2.0] * 3))
    with pytest.raises(ValueError, match=r"normalisation by mean \[0.5, 0.5, 0.5\] and std \[2.0, 2.0, 2.0\]"):
        own.fit(1, cbs=KnowledgeDistillation(teacher))
