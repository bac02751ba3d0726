"""The score to beat: the guess and its scores against closed forms and scikit-learn, boosting against `tabular_baseline`, the verdicts."""
import math
import os
import random
import threading
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import log_loss
from torch import nn
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset, IterableDataset, TensorDataset
from zoo import Model, classifier, loaders, mlp, numbers, picture_files, points, regressor, rng, shapes, table, table_loaders, trained

from minifast.checks.check_learner import check_learner
from minifast.checks.learner.boosting import boosted, fit_in_time
from minifast.checks.learner.scores import Scores, difference, expand_constant, fair_weights, joined, scores_of
from minifast.data.engine.samplers import WeightedSampler
from minifast.data.loaders import DataLoaders
from minifast.learner.constant_guess import constant_output
from minifast.learner.learner import Learner
from minifast.metrics.base import Metric
from minifast.metrics.functions import accuracy, mae, rmse
from minifast.nn.losses import (
    BCEWithLogitsLossFlat,
    CrossEntropyLossFlat,
    DiceLoss,
    FocalLoss,
    L1LossFlat,
    LabelSmoothingCrossEntropyFlat,
    MSELossFlat,
)

ALL = [f"MF{n}" for n in (101, 102, 103, 108)]


def found(learn, fast=False):
    "The check MF504 of a learner, with what it needs and nothing else."
    from minifast.checks.codes import CODES
    return check_learner(learn, fast=fast, ignore=[c for c in CODES if c not in (*ALL, "MF504")])["MF504"]


def rare(n=400):
    x, y = points(n=n, classes=10)
    return x, (y > 8).long()


# -- the guess ----------------------------------------------------------------------------------------------------------------------
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


# -- comparing ----------------------------------------------------------------------------------------------------------------------
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


# -- gradient boosting --------------------------------------------------------------------------------------------------------------
def test_boosting_is_that_of_the_tabular_baseline():
    from minifast.tabular.baseline import tabular_baseline
    from minifast.tabular.learner import tabular_learner
    dls = table_loaders(table(400))
    wanted = tabular_baseline(dls)
    numbers = found(tabular_learner(dls, layers=[8])).evidence
    assert numbers["validation_items"] == len(dls.valid.dataset) and numbers["boosting_rows"] == len(dls.train.dataset)
    assert numbers["boosting_rounds"] == 100
    for name, row in (("boosting", "gradient boosting"), ("constant", "constant")):
        assert numbers[f"{name}_loss"] == pytest.approx(wanted.log_loss[row], rel=1e-4)
        assert numbers[f"{name}_accuracy"] == pytest.approx(wanted.accuracy[row])


def test_boosting_of_numbers_is_that_of_the_tabular_baseline():
    from minifast.tabular.baseline import tabular_baseline
    from minifast.tabular.learner import tabular_learner
    from minifast.tabular.loaders import TabularDataLoaders
    from minifast.tabular.procs import Categorify, Normalize
    df = table(300).assign(pay=lambda d: d.age * 2 + d.hours, tax=lambda d: d.age - d.hours)
    dls = TabularDataLoaders.from_df(df, procs=[Categorify, Normalize], cat_names=["job"], cont_names=["age", "hours"],
                                     y_names=["pay", "tax"], bs=32)
    wanted, check = tabular_baseline(dls), found(tabular_learner(dls, layers=[8]))
    assert check.evidence["boosting_rmse"] == pytest.approx(wanted.rmse["gradient boosting"], rel=1e-3)
    assert check.evidence["constant_rmse"] == pytest.approx(wanted.rmse["constant"], rel=1e-3)
    assert "predicting the mean of the training targets has rmse" in check.found and "gradient boosting has rmse" in check.found


def test_boosting_stops_in_time_and_weights_classes():
    from sklearn.ensemble import HistGradientBoostingClassifier
    x, y = (t.numpy() for t in points(n=200))
    whole = HistGradientBoostingClassifier(max_iter=25, random_state=0).fit(x, y)
    model = HistGradientBoostingClassifier(max_iter=25, random_state=0)
    assert fit_in_time(model, x, y) == 25 and np.allclose(model.predict_proba(x), whole.predict_proba(x))
    assert fit_in_time(HistGradientBoostingClassifier(max_iter=25, random_state=0), x, y, seconds=0) == 10
    dls = table_loaders(table(300))
    plain, _ = boosted(dls.train.dataset, dls.valid.dataset, "class logits", CrossEntropyLossFlat())
    heavy, _ = boosted(dls.train.dataset, dls.valid.dataset, "class logits", CrossEntropyLossFlat(weight=torch.tensor([1.0, 20.0])))
    assert (heavy.argmax(1) == 1).sum() > (plain.argmax(1) == 1).sum()
    assert boosted(dls.train.dataset, dls.valid.dataset, "logits", nn.BCEWithLogitsLoss()) is None


# -- the verdicts -------------------------------------------------------------------------------------------------------------------
def test_before_training_there_are_scores_to_beat():
    check = found(classifier(metrics=accuracy))
    assert check.verdict == "pass" and check.found == "to beat: guessing the most frequent class has 31.2% accuracy (loss 1.101)"
    assert set(check.evidence) == {"validation_items", "constant_loss", "constant_accuracy"}
    _, y = points()
    y, new = y[:160], y[160:]
    p = torch.bincount(y) / 160
    assert check.evidence["constant_loss"] == pytest.approx(float(-p.log()[new].mean()), rel=1e-5)


def test_a_trained_network_stands_beside_them():
    learn = trained(regressor(metrics=[rmse, mae]), 10)
    check = found(learn)
    assert check.verdict == "pass" and check.found.startswith("the network has rmse 0.") and "To beat: predicting the mean" in check.found
    loss, own_rmse, own_mae = learn.validate()
    assert check.evidence["network_loss"] == pytest.approx(loss, rel=1e-4)
    assert check.evidence["network_rmse"] == pytest.approx(own_rmse, rel=1e-4)
    assert check.evidence["network_mae"] == pytest.approx(own_mae, rel=1e-4) and check.evidence["constant_mae"] > own_mae


def test_worse_than_a_guess_is_an_issue_and_after_few_steps_a_tip():
    x, y = points()
    y[160:] = (y[160:] + 1) % 3
    check = found(trained(classifier(x=x, y=y), 25))
    assert check.verdict == "issue" and check.found.startswith("worse than a baseline that ignores the inputs: the network has")
    assert check.evidence["network_loss"] > check.evidence["constant_loss"] and "class ids" in check.advice
    check = found(trained(classifier(x=x, y=y), 5, 3e-2))
    assert check.verdict == "tip" and "after only 25 steps" in check.found and check.advice == "train longer, and check again"


def test_nan_in_validation_is_an_issue_of_a_trained_network():
    x, y = points()
    x[200:, 3] = float("nan")
    assert found(classifier(x=x, y=y)).verdict == "pass"
    check = found(trained(classifier(x=x, y=y), 1))
    assert check.verdict == "issue" and check.found == "the validation loss is nan" and "NaN" in check.advice


def test_few_items_are_not_judged():
    x, y = points(n=170)
    y[160:] = (y[160:] + 1) % 3
    check = found(trained(classifier(x=x, y=y), 25))
    assert check.verdict == "pass" and check.found.endswith("10 items are too few to compare")


def test_drawn_or_weighted_classes_are_guessed_as_they_are_trained():
    x, y = rare()
    drawn = WeightedSampler(torch.where(y[:260] == 1, 9.0, 1.0))
    dls = loaders(x, y, n_train=260)
    dls = DataLoaders(dls.train.new(shuffle=False, sampler=drawn), dls.valid)
    check = found(Learner(dls, mlp(out=2), CrossEntropyLossFlat()))
    natural = float((y[260:] == 0).float().mean())
    assert check.evidence["constant_loss"] == pytest.approx(math.log(2), abs=0.1)        # of a guess for equally frequent classes
    assert check.evidence["constant_accuracy"] == pytest.approx(natural)                # of the class that is in fact the most frequent
    weighted = found(classifier(mlp(out=2), CrossEntropyLossFlat(weight=torch.tensor([1.0, 9.0])), x, y))
    assert weighted.evidence["constant_loss"] == pytest.approx(math.log(2), abs=0.1)
    assert weighted.evidence["constant_accuracy"] == pytest.approx(float((y[160:] == 0).float().mean()))


def test_masks_and_labels_that_cannot_be_read_alone_come_from_batches():
    class Masks(Dataset):
        def __init__(self, x):
            self.x = x

        def __len__(self):
            return len(self.x)

        def __getitem__(self, i):
            return self.x[i], (self.x[i, 0] > 1).long()

    x, _ = shapes(n=80)
    dls = DataLoaders(TorchDataLoader(Masks(x[:56]), 16, shuffle=True), TorchDataLoader(Masks(x[56:]), 16))
    learn = Learner(dls, nn.Conv2d(1, 2, 1), CrossEntropyLossFlat(axis=1))
    share = float((x[56:] <= 1).float().mean())
    for check in (found(learn), found(trained(learn, 1))):
        assert check.evidence["constant_accuracy"] == pytest.approx(share, abs=0.01) and check.evidence["validation_items"] == 24
    assert "network_loss" in check.evidence


def test_files_are_not_opened_for_it(tmp_path, monkeypatch):
    from minifast.checks.learner import baseline
    from minifast.vision.all import ImageDataLoaders, Resize
    dls = ImageDataLoaders.from_folder(picture_files(tmp_path, per_class=60), item_tfms=Resize(16), bs=8, num_workers=0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    opened, real = [], dls.valid.dataset.sample

    def counted(i, rng):
        opened.append(i)
        return real(i, rng)
    check = found(Learner(dls, net, CrossEntropyLossFlat()), fast=True)
    assert check.evidence["validation_items"] == 40 and check.evidence["constant_loss"] == pytest.approx(math.log(2))
    monkeypatch.setattr(baseline, "labels_of", lambda source: None)
    assert found(Learner(dls, net, CrossEntropyLossFlat()), fast=True).evidence["validation_items"] in (8, 16, 24, 32)
    assert opened == []


def test_targets_that_a_transform_changes_are_taken_from_batches():
    from minifast.data.transforms import Transform

    class Scaled(Transform):
        order = 99

        def encodes(self, x):
            return (x - 1000) / 10 if x.shape[1] == 1 else x            # the target

    x, y = numbers(offset=1000.0, scale=10.0)
    dls = loaders(x, y, after_batch=Scaled())
    check = found(Learner(dls, mlp(out=1), MSELossFlat()))
    assert check.evidence["constant_rmse"] == pytest.approx(float(y[160:].std()) / 10, rel=0.2), check


# -- where it does not apply --------------------------------------------------------------------------------------------------------
def test_sentences_where_it_does_not_apply():
    def why(learn):
        check = found(learn)
        assert check.verdict == "not applicable"
        return check.found

    x, y = points()
    assert why(regressor(loss=lambda p, t: (p - t).square().mean())).startswith("it is not known what the output means to this loss")
    dls = loaders(x, y)
    assert why(Learner(DataLoaders(dls.train), mlp(), CrossEntropyLossFlat())) == "there is no validation data"
    assert why(classifier(y=F.one_hot(y, 3).float())) == "the targets are not class ids"
    assert why(classifier(y=y.clone().index_fill_(0, torch.arange(160, 240), 1))) == \
        "the validation items looked at all have the same target"

    class Own:
        kind = "class logits"

        def __call__(self, pred, y):
            return F.cross_entropy(pred, y)
    assert why(classifier(loss=Own())) == "the loss of single items is needed, and Own gives one number per batch"


def test_streams_and_two_inputs():
    x, y = points()

    class Stream(IterableDataset):
        def __init__(self, x, y):
            self.x, self.y = x, y

        def __len__(self):
            return len(self.y)

        def __iter__(self):
            return iter(zip(self.x, self.y, strict=True))

    dls = DataLoaders(TorchDataLoader(Stream(x[:160], y[:160]), 32), TorchDataLoader(Stream(x[160:], y[160:]), 32))
    assert found(Learner(dls, mlp(), nn.CrossEntropyLoss())).evidence["constant_loss"] == pytest.approx(math.log(3), abs=0.05)
    model = Model(lambda s, a, b: s.net(torch.cat([a, b], 1)), net=mlp())
    check = found(trained(classifier(model, x=(x[:, :3], x[:, 3:]), y=y), 6))
    assert check.verdict == "pass" and check.evidence["network_accuracy"] > 0.6


# -- nothing changes ----------------------------------------------------------------------------------------------------------------
def state(learn):
    tensors = [t.clone() for t in (*learn.model.parameters(), *learn.model.buffers())]
    return (tensors, [torch.get_rng_state()], np.random.get_state()[1].tolist(), random.getstate(), torch.get_num_threads(),
            repr(learn.recorder.history), [dl.state_dict() for dl in learn.dls], learn.model.training)


def test_it_changes_nothing_and_leaves_no_threads():
    from minifast.tabular.learner import tabular_learner
    torch.manual_seed(0)
    learn = trained(tabular_learner(table_loaders(table(200)), layers=[8], metrics=accuracy), 1)
    found(learn)                                                                         # imports start threads of their own
    tasks = "/proc/self/task"
    before, threads = state(learn), (threading.active_count(), len(os.listdir(tasks)) if os.path.isdir(tasks) else 0)
    checks = [found(learn), found(learn, fast=True)]
    after = state(learn)
    assert all(torch.equal(a, b) for i in (0, 1) for a, b in zip(before[i], after[i], strict=True)) and before[2:] == after[2:]
    assert threads == (threading.active_count(), len(os.listdir(tasks)) if os.path.isdir(tasks) else 0)
    assert "boosting_loss" in checks[0].evidence and checks[0] == found(learn)           # the same answer each time


def test_generators_of_torch_loaders_are_put_back():
    x, y = points()
    g = torch.Generator().manual_seed(3)
    sampler = torch.utils.data.WeightedRandomSampler(torch.ones(160), 160, generator=g)
    dls = DataLoaders(TorchDataLoader(TensorDataset(x[:160], y[:160]), 32, sampler=sampler),
                      TorchDataLoader(TensorDataset(x[160:], y[160:]), 32))
    learn, before = Learner(dls, mlp(), nn.CrossEntropyLoss()), g.get_state()
    assert found(learn).verdict == "pass" and torch.equal(before, g.get_state())


def test_a_metric_that_needs_more_is_named():
    class OfInputs(Metric):
        name, lower_is_better = "of_inputs", True

        def reset(self):
            self.total = 0.0

        def accumulate(self, learn):
            self.total += float(learn.xb[0].sum())

        @property
        def value(self):
            return self.total

    report = classifier(metrics=[accuracy, OfInputs()]).check(fast=True)
    evidence = report["MF504"].evidence
    assert evidence["metrics_left_out"] == ["of_inputs"] and "constant_accuracy" in evidence
    assert "metrics_left_out" not in classifier(metrics=accuracy).check(fast=True)["MF504"].evidence
