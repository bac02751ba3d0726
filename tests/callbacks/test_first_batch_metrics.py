"""Metrics are tried on the first training batch; later none ends a fit."""
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from small_learners import Scripted, make, one_group, rows, same, weights_of
from torch import nn

from minifast.callbacks.base import Callback
from minifast.callbacks.mix import MixUp
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.metrics import (
    AccumMetric,
    APScoreMulti,
    BalancedAccuracy,
    Dice,
    DiceMulti,
    F1Score,
    F1ScoreMulti,
    HammingLoss,
    HammingLossMulti,
    Metric,
    Precision,
    PrecisionMulti,
    RocAuc,
    RocAucBinary,
    RocAucMulti,
    ValueMetric,
    accuracy,
    accuracy_multi,
    rmse,
    skm_to_fastai,
    top_k_accuracy,
)
from minifast.nn.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat

CLASSES = torch.arange(24) % 3
YES = (torch.arange(24) % 2).float()


def learner(metrics, n_out=3, targets=CLASSES, loss=None, **kwargs):
    return make(model=nn.Linear(4, n_out), splitter=one_group, metrics=metrics, targets=targets, loss=loss, **kwargs)


def one_logit(metrics):
    return learner(metrics, 1, YES, BCEWithLogitsLossFlat())


def masks(metrics, n_out=2, ids=(0, 1, 255), ignore=255):
    net = nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, n_out, 1))
    targets = torch.tensor(ids)[torch.arange(96) % len(ids)].reshape(24, 2, 2)
    return make(model=net, splitter=one_group, metrics=metrics, targets=targets,
                loss=CrossEntropyLossFlat(axis=1, ignore_index=ignore))


def of_two(metrics):
    return learner(metrics, 2, YES.long())


#: What cannot work, the sentence, and what the sentence says to write
UNFIT = [
    (learner, lambda: F1Score(), r"two classes .* 3 along axis -1: write average='macro'", lambda: F1Score(average="macro")),
    (one_logit, lambda: accuracy, r"Use accuracy_multi for one logit", lambda: accuracy_multi),
    (one_logit, lambda: F1Score(), r"for one logit per item write F1ScoreMulti\(average='binary'\)",
     lambda: F1ScoreMulti(average="binary")),
    (one_logit, lambda: HammingLoss(), r"write HammingLossMulti\(\)", lambda: HammingLossMulti()),
    (one_logit, lambda: BalancedAccuracy(), r"write skm_to_fastai\(balanced_accuracy_score, thresh=0.5\)",
     lambda: skm_to_fastai(BalancedAccuracy().func, thresh=0.5)),
    (one_logit, lambda: RocAuc(), r"write RocAucMulti\(\)", lambda: RocAucMulti()),
    (one_logit, lambda: AccumMetric(F.l1_loss, dim_argmax=1), r"AccumMetric\(..., activation='sigmoid', thresh=0.5\)",
     lambda: AccumMetric(lambda p, t: (p == t).float().mean(), activation="sigmoid", thresh=0.5)),
    (learner, lambda: RocAucBinary(), r"write RocAuc\(\)", lambda: RocAuc()),
    (of_two, lambda: RocAuc(), r"write RocAucBinary\(\)", lambda: RocAucBinary()),
    (learner, lambda: top_k_accuracy, r"partial\(top_k_accuracy, k=2\)", lambda: partial(top_k_accuracy, k=2)),
    (learner, lambda: F1ScoreMulti(), r"one class per item: write F1Score\(average='macro'\)", lambda: F1Score(average="macro")),
    (learner, lambda: PrecisionMulti(), r"one class per item: write Precision\(average='macro'\)", lambda: Precision(average="macro")),
    (learner, lambda: RocAucMulti(), r"one class per item: write RocAuc\(\)", lambda: RocAuc()),
    (learner, lambda: APScoreMulti(), r"write skm_to_fastai\(average_precision_score, is_class=False, activation='softmax'",
     lambda: skm_to_fastai(APScoreMulti().func, is_class=False, activation="softmax", flatten=False)),
    (partial(masks, n_out=3, ids=(0, 1, 2), ignore=-100), lambda: Dice(), r"two classes.*write DiceMulti\(\)", lambda: DiceMulti()),
    (partial(masks, n_out=3, ids=(0, 1), ignore=-100), lambda: accuracy, "For masks write axis=1", lambda: partial(accuracy, axis=1)),
]


@pytest.mark.parametrize(("of", "metric", "words", "cure"), UNFIT)
def test_a_metric_that_cannot_work_fails_before_anything_is_trained_and_the_cure_works(of, metric, words, cure):
    learn = of(metric())
    before = weights_of(learn)
    with pytest.raises(ValueError, match=f"(?s){words}.*tried on the first training batch"):
        learn.fit(1)
    assert same(learn, before) and learn.recorder.history == []
    learn = of(cure())
    learn.fit(1)
    assert 0 <= learn.recorder.values[-1][-1] <= 1


class InPlace(Metric):
    "A metric that is never reset."
    seen = 0

    def reset(self):
        self.log = getattr(self, "log", [])

    def accumulate(self, learn):
        self.log.append(learn.training)

    @property
    def value(self):
        return len(self.log)


def whole_set(preds, targs):
    return float(len(targs) == 24 or 1 / 0)


def absent(targ, pred):
    "Stands for functions of scikit-learn that fail where a class is absent."
    if len(set(targ.tolist())) < 3:
        raise ValueError("only some classes present in y_true")
    return 1.0


absent.__module__ = "sklearn.metrics"


@pytest.mark.parametrize(("metric", "expected"), [
    (Scripted([0.5]), 0.5),                                 # its value is used up
    (InPlace(), 3),
    (ValueMetric(lambda: 7.0, "elsewhere"), 7.0),
    (AccumMetric(whole_set, flatten=False), 1.0),
    (F1Score(average="macro", sample_weight=[1] * 24), None),
    (skm_to_fastai(absent), 1.0),                           # a batch of 2 lacks a class
    (lambda p, y: 1 / int(p.requires_grad is False), 1.0),
])
def test_the_trial_leaves_no_state_and_what_it_cannot_tell_it_lets_pass(metric, expected):
    learn = learner(metric, bs=2 if expected == 1.0 else 8)
    learn.fit(1)
    assert expected is None or learn.recorder.values[-1][-1] == expected


@pytest.mark.parametrize("cb", [MixUp(), Callback(before_batch=lambda cb: setattr(cb.learn, "yb", (F.one_hot(cb.y, 3).float(),)))],
                         ids=["mixup", "soft targets"])
def test_targets_that_callbacks_change_are_tried_as_they_were(cb):
    cb.run_valid = False
    learn = learner([accuracy, F1Score(average="macro")], cbs=cb)
    learn.fit(1)
    assert 0 <= learn.recorder.values[-1][-1] <= 1


def test_an_output_of_training_alone_is_not_tried():
    modes = []

    class Aux(nn.Linear):
        def forward(self, x):
            modes.append(self.training)
            out = super().forward(x)
            return (out, out) if self.training else out

    def both(pred, y):
        return sum(F.cross_entropy(p, y) for p in (pred if isinstance(pred, tuple) else (pred,)))
    learn = make(model=Aux(4, 3), splitter=one_group, metrics=accuracy, loss=both)
    learn.fit(1)
    assert modes == [True, False, True, True, False, False, False] and 0 <= learn.recorder.values[-1][-1] <= 1


@pytest.mark.parametrize(("pack", "words"), [(lambda p: {"out": p}, r"accuracy\(pred\['out'\], targets\[0\]\)"),
                                             (lambda p: (p, p), r"accuracy\(pred\[0\], targets\[0\]\)")])
def test_an_output_that_is_not_a_tensor_is_named_and_the_function_that_the_message_writes_works(pack, words):
    class Packed(nn.Linear):
        def forward(self, x):
            return pack(super().forward(x))

    def loss(pred, y):
        return F.cross_entropy(pred["out"] if isinstance(pred, dict) else pred[0], y)
    for metric in (accuracy, F1Score(average="macro"), DiceMulti()):
        with pytest.raises(TypeError, match=f"(?s)takes one tensor of predictions; the model returned .*{words}") as caught:
            make(model=Packed(4, 3), splitter=one_group, metrics=metric, loss=loss).fit(1)
    written = str(caught.value).split("metrics=")[1].split(", or in a callback")[0]
    learn = make(model=Packed(4, 3), splitter=one_group, metrics=eval(written, {"accuracy": accuracy}), loss=loss)
    learn.fit(1)
    assert 0 <= learn.recorder.values[-1][-1] <= 1


def test_nothing_is_tried_where_no_metric_is_computed():
    learn = learner(F1Score())
    learn.recorder.valid_metrics = False
    learn.fit(1)
    assert len(learn.recorder.values[-1]) == 2
    assert learner(F1Score()).lr_find(num_it=9, show_plot=False)


# -- later --------------------------------------------------------------------------------------------------------------------------
class Fails(Metric):
    "Fails at some call of some method."

    def __init__(self, where, at=1):
        self.where, self.left = where, at

    def _do(self, what):
        self.left -= what == self.where
        if self.left < 0:
            raise ZeroDivisionError("of its own")

    def accumulate(self, learn):
        self._do("accumulate")

    @property
    def value(self):
        self._do("value")
        return 1.0


@pytest.mark.parametrize(("where", "at"), [("accumulate", 1), ("value", 0)])
def test_no_metric_ends_a_fit_but_a_validation_of_its_own_says_what_is_wrong(where, at):
    learn = learner([Fails(where, at), accuracy])
    with pytest.warns(UserWarning, match=r"metric fails failed in epoch 0 and is nan there: ZeroDivisionError: of its own") as caught:
        learn.fit(2)
    assert len(caught) == 1
    assert all(math.isnan(row[2]) and 0 <= row[3] <= 1 for row in learn.recorder.values)
    with pytest.raises(ZeroDivisionError):
        learn.validate()


@pytest.mark.parametrize(("metric", "targets", "absent"), [
    (RocAuc(), CLASSES, 2), (RocAuc(multi_class="ovo"), CLASSES, 2), (RocAucBinary(), YES.long(), 1)])
def test_a_class_absent_from_validation_gives_nan_and_its_name(metric, targets, absent):
    n = int(targets.max()) + 1
    learn = learner(metric, n, targets)
    learn.dls = DataLoaders(learn.dls.train, DataLoader(rows(int((targets != absent).sum()), targets[targets != absent]), bs=8))
    learn.dls.vocab = ["cat", "dog", "rare"][:n - 1] + ["rare"]
    with pytest.warns(UserWarning, match=rf"{metric.made_by} is nan: among \d+ items class 'rare' does not occur"):
        learn.fit(1)
    assert math.isnan(learn.recorder.values[-1][-1])


@pytest.mark.parametrize("metric", [RocAucMulti, APScoreMulti])
def test_so_does_an_absent_label(metric):
    y = torch.tensor([[1., 0, 0], [0, 1, 0]])
    with pytest.warns(UserWarning, match=f"{metric.__name__} is nan: among 2 items class 2 does not occur"):
        assert math.isnan(metric()(torch.randn(2, 3), y))
    assert not math.isnan(rmse(torch.ones(2), torch.ones(2)))
