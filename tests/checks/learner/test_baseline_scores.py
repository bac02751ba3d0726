"""Constant guesses and their scores, against closed forms and scikit-learn."""
import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import log_loss
from torch import nn
from zoo import rng

from minifast.checks.learner.baseline import Scores, difference, fair_weights, joined, scores_of
from minifast.learner.constant_guess import constant_output, expand_constant
from minifast.nn.losses import (
    BCEWithLogitsLossFlat,
    CrossEntropyLossFlat,
    DiceLoss,
    FocalLoss,
    L1LossFlat,
    LabelSmoothingCrossEntropyFlat,
    MSELossFlat,
)


def test_classes_are_guessed_as_scikit_learn_does():
    y = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)
    z = constant_output(F.cross_entropy, "class logits", y, 3)
    dummy = DummyClassifier(strategy="prior").fit(np.zeros((10, 1)), y.numpy())
    assert z.softmax(0).tolist() == pytest.approx(dummy.predict_proba(np.zeros((1, 1)))[0].tolist())
    new = torch.tensor([0, 1, 1, 2])
    s = scores_of(F.cross_entropy, "class logits", expand_constant(z, (4, 3), 1), new)
    assert s.mean_loss == pytest.approx(log_loss(new, dummy.predict_proba(np.zeros((4, 1)))))
    assert s.mean_score == dummy.score(np.zeros((4, 1)), new.numpy()) == 0.25
    assert scores_of(nn.NLLLoss(), "class log-probabilities", expand_constant(z, (4, 3), 1), new).mean_loss == pytest.approx(s.mean_loss)


def test_a_class_that_training_did_not_have_is_unlikely_but_possible():
    z = constant_output(F.cross_entropy, "class logits", torch.tensor([0] * 10), 2)
    assert z.softmax(0).tolist() == pytest.approx([10 / 10.5, 0.5 / 10.5])


def cheapest(loss, y, n_out):
    "The lowest mean loss of a constant output, searched for."
    z = torch.zeros(n_out, requires_grad=True)
    opt = torch.optim.LBFGS([z], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        value = loss(z.expand(len(y), -1), y)
        value.backward()
        return value
    opt.step(closure)
    return float(closure().detach())


Y = torch.tensor([0] * 9 + [1] * 3 + [2] * 2 + [-100] * 4)


LOSSES = [CrossEntropyLossFlat(), CrossEntropyLossFlat(weight=torch.tensor([1.0, 3.0, 5.0])), LabelSmoothingCrossEntropyFlat(0.2),
          CrossEntropyLossFlat(weight=torch.tensor([1.0, 3.0, 5.0]), label_smoothing=0.1), FocalLoss(),
          FocalLoss(weight=torch.tensor([1.0, 3.0, 5.0])),
          partial(F.cross_entropy, weight=torch.tensor([4.0, 1.0, 1.0]), label_smoothing=0.1)]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda o: type(o).__name__)
def test_the_guess_of_classes_costs_least(loss):
    z = constant_output(loss, "class logits", Y, 3)
    guess = expand_constant(z, (len(Y), 3), 1)
    assert float(loss(guess, Y)) == pytest.approx(cheapest(loss, Y, 3), abs=2e-4)
    assert scores_of(loss, "class logits", guess, Y).mean_loss == pytest.approx(float(loss(guess, Y)), rel=1e-5)       # the loss's own mean


@pytest.mark.parametrize("loss", [BCEWithLogitsLossFlat(), BCEWithLogitsLossFlat(pos_weight=[1.0, 4.0]), nn.BCEWithLogitsLoss(),
                                  nn.MultiLabelSoftMarginLoss()], ids=str)
def test_the_guess_of_labels_costs_least(loss):
    y = torch.tensor([[1.0, 0.0]] * 6 + [[0.0, 0.0]] * 2 + [[1.0, 1.0]] * 2)
    z = constant_output(loss, "logits", y, 2)
    guess = expand_constant(z, (10, 2), 1)
    assert float(loss(guess, y)) == pytest.approx(cheapest(loss, y, 2), abs=1e-5)
    s = scores_of(loss, "logits", guess, y)
    assert s.mean_loss == pytest.approx(float(loss(guess, y)), rel=1e-5)
    if getattr(getattr(loss, "func", loss), "pos_weight", None) is None:
        assert z.sigmoid().tolist() == pytest.approx([0.8, 0.2]) and s.mean_score == 0.8


def test_labels_that_are_always_on_cost_little_but_not_nothing():
    z = constant_output(nn.BCELoss(), "probabilities", torch.ones(20, 1), 1)
    assert z.tolist() == pytest.approx([1 - 0.5 / 20])


def test_numbers_are_guessed_as_scikit_learn_does():
    y, new = torch.randn(50, 2, generator=rng(0)).exp(), torch.randn(20, 2, generator=rng(1)).exp()
    for loss, strategy, of in ((MSELossFlat(), "mean", F.mse_loss), (L1LossFlat(), "median", F.l1_loss)):
        dummy = DummyRegressor(strategy=strategy).fit(np.zeros((50, 1)), y.numpy())
        z = constant_output(loss, "values", y, 2)
        assert z.tolist() == pytest.approx(dummy.constant_.ravel().tolist())
        s = scores_of(loss, "values", expand_constant(z, (20, 2), 1), new)
        guess = torch.from_numpy(dummy.predict(np.zeros((20, 1)))).float()
        assert s.mean_loss == pytest.approx(float(of(guess, new)), rel=1e-5)
        assert s.mean_score ** 0.5 == pytest.approx(float(F.mse_loss(guess, new)) ** 0.5, rel=1e-5)


@pytest.mark.parametrize("loss", [nn.HuberLoss(delta=0.3), nn.SmoothL1Loss(), nn.PoissonNLLLoss()], ids=str)
def test_other_losses_of_numbers_are_searched(loss):
    y = torch.randn(60, 1, generator=rng(0)).exp()
    z = constant_output(loss, "values", y, 1)
    assert float(loss(z.expand(60, 1), y)) == pytest.approx(cheapest(loss, y, 1), abs=1e-4)
    if isinstance(loss, nn.PoissonNLLLoss):
        assert float(z.exp()) == pytest.approx(float(y.mean()), rel=1e-3)
        assert scores_of(loss, "values", z.expand(60, 1), y).mean_score == pytest.approx(float(y.var(correction=0)), rel=1e-3)


def test_pixels_are_guessed_by_their_frequency():
    y = torch.zeros(4, 8, 8, dtype=torch.long)
    y[:, :2] = 1
    y[:, 7] = 255
    loss = CrossEntropyLossFlat(axis=1, ignore_index=255)
    z = constant_output(loss, "class logits", y, 3)
    s = scores_of(loss, "class logits", expand_constant(z, (4, 3, 8, 8), 1), y)
    p = torch.tensor([40 * 4, 16 * 4, 0.5]) / (56 * 4 + 0.5)
    assert z.exp().tolist() == pytest.approx(p.tolist())
    assert s.mean_loss == pytest.approx(-(5 * math.log(p[0]) + 2 * math.log(p[1])) / 7, rel=1e-5) and s.mean_score == pytest.approx(5 / 7)
    assert s.number.tolist() == [56.0] * 4
    dice = scores_of(DiceLoss(reduction="mean"), "class logits", torch.randn(4, 256, 8, 8), y)
    assert dice.weight.tolist() == [256.0] * 4


def test_difference_and_its_error():
    a, b = torch.randn(200, generator=rng(0)).double() + 0.3, torch.zeros(200).double()
    mean, error = difference(a, b, torch.ones(200))
    assert mean == pytest.approx(float(a.mean())) and error == pytest.approx(float(a.std()) / 200 ** 0.5)
    mean, error = difference(a * 3, b, torch.full((200,), 3.0))          # three targets per item are not three times as many items
    assert mean == pytest.approx(float(a.mean())) and error == pytest.approx(float(a.std()) / 200 ** 0.5)
    weight = torch.where(torch.arange(200) < 20, 9.0, 1.0).double()
    draws = [difference(weight * torch.randn(200, generator=rng(k)), b, weight)[0] for k in range(2000)]
    assert difference(weight * torch.randn(200, generator=rng(1)), b, weight)[1] == pytest.approx(np.std(draws), rel=0.35)


def test_every_class_counts_alike():
    y = torch.tensor([0] * 90 + [1] * 10)
    counts = fair_weights("class logits", [y[:50], y[50:]], 2)
    parts = [scores_of(F.cross_entropy, "class logits", torch.tensor([[1.0, 0.0]]).expand(len(t), 2), t, counts) for t in (y[:50], y[50:])]
    s = joined(parts)
    assert isinstance(s, Scores) and s.mean_score == pytest.approx(0.9) and float(s.fair.sum() / s.fair_number.sum()) == pytest.approx(0.5)
    labels = torch.tensor([[1.0, 0.0]] * 9 + [[0.0, 1.0]])
    s = scores_of(nn.BCEWithLogitsLoss(), "logits", torch.tensor([[1.0, -1.0]]).expand(10, 2), labels, fair_weights("logits", [labels], 2))
    assert s.mean_score == pytest.approx(0.9) and float(s.fair.sum() / s.fair_number.sum()) == pytest.approx(0.5)
    assert fair_weights("values", [y], 1) is None
