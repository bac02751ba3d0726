"""The baselines, and whether the network beats them."""
import math
import os
import random
import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset, IterableDataset, TensorDataset
from zoo import Model, classifier, image_files, loaders, mlp, numbers, points, regressor, shapes, table, table_loaders, trained

from minifast.checks.check_learner import check_learner
from minifast.data.engine.samplers import WeightedSampler
from minifast.data.loaders import DataLoaders
from minifast.learner.learner import Learner
from minifast.metrics.base import Metric
from minifast.metrics.functions import accuracy, mae, rmse
from minifast.nn.losses import (
    CrossEntropyLossFlat,
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


def test_before_training_there_are_baselines_to_beat():
    check = found(classifier(metrics=accuracy))
    assert check.verdict == "pass" and check.found == "to beat: guessing the most frequent class has 31.2% accuracy (loss 1.101)"
    assert set(check.evidence) == {"validation_items", "constant_loss", "constant_accuracy"}
    _, y = points()
    y, new = y[:160], y[160:]
    p = torch.bincount(y) / 160
    assert check.evidence["constant_loss"] == pytest.approx(float(-p.log()[new].mean()), rel=1e-5)


def test_a_trained_network_is_compared_with_them():
    learn = trained(regressor(metrics=[rmse, mae]), 10)
    check = found(learn)
    assert check.verdict == "pass" and check.found.startswith("the network has rmse 0.") and "To beat: predicting the mean" in check.found
    loss, own_rmse, own_mae = learn.validate()
    assert check.evidence["network_loss"] == pytest.approx(loss, rel=1e-4)
    assert check.evidence["network_rmse"] == pytest.approx(own_rmse, rel=1e-4)
    assert check.evidence["network_mae"] == pytest.approx(own_mae, rel=1e-4) and check.evidence["constant_mae"] > own_mae


def test_worse_than_a_guess_is_an_issue_or_after_few_steps_a_tip():
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
    x, y = numbers()
    x[200:, 3] = float("nan")
    assert found(trained(regressor(x=x, y=y), 1)).found == "the validation loss is nan"


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
    dls = ImageDataLoaders.from_folder(image_files(tmp_path, per_class=60), item_tfms=Resize(16), bs=8, num_workers=0)
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


def test_where_it_does_not_apply():
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


def test_a_network_below_boosting_is_never_ticked_and_the_interval_is_given():
    torch.manual_seed(2)                        # weights that beat the constant guess; the report says it where they do not
    df = table()
    learn = trained(tabular_like(df), 1, 1e-4)
    check = found(learn)
    assert check.verdict == "tip" and "95% interval" in check.found, check.found


def test_too_good_to_be_true():
    df = table()
    df["copy"] = (df.rich == "yes") * 1.0 + np.random.default_rng(0).normal(0, 0.01, len(df))
    check = found(tabular_like(df, ("age", "hours", "copy")))
    assert check.verdict == "tip" and check.found.startswith("too good to be true") and "dls.check()" in check.advice
    assert "too good" not in found(tabular_like(table())).found


def tabular_like(df, conts=("age", "hours")):
    from minifast.tabular.learner import tabular_learner
    return tabular_learner(table_loaders(df, conts=conts), layers=[8])
