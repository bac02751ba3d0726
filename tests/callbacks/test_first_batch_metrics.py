"""Metrics are tried on the first training batch; later none ends a fit."""
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from small_learners import Scripted, make, one_group, rows, same, weights_of
from torch import nn
from torch.utils.data import TensorDataset

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


# -- habits that are none of the trial's business -------------------------------------------------------------------------------------
def collecting():
    kept = []

    def keep(pred, y):
        kept.append(len(y))
        return float(len(kept))
    return keep


def calling(f):
    "A function that calls another one."
    return lambda pred, y: f(pred, y)


class Counted:
    def __init__(self):
        self.n = 0

    def score(self, pred, y):
        self.n += 1
        return float(self.n)


@pytest.mark.parametrize("metric", [lambda: collecting(), lambda: calling(collecting()), lambda: Counted().score,
                                    lambda: calling(Counted().score), lambda: partial(lambda of, p, y: of(p, y), Counted().score)],
                         ids=["list", "function", "method", "object", "partial"])
def test_a_function_that_keeps_something_is_not_called_once_more(metric):
    learn = learner(metric())
    learn.fit(1)
    assert learn.recorder.values[-1][-1] == 2.0             # the mean of 1, 2 and 3: the batches of validation


def test_a_metric_that_draws_random_numbers_does_not_change_what_is_trained():
    losses = set()
    for metric in (accuracy, lambda p, y: accuracy(p, y) + 0 * torch.rand(())):
        torch.manual_seed(3)
        learn = make(model=nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)), splitter=one_group, metrics=metric)
        learn.fit(1)
        losses.add(learn.recorder.values[-1][0])
    assert len(losses) == 1


def of_validation(y=None, loss=F.cross_entropy, extra=(), model=None):
    "A learner whose training targets (and whose outputs in training) are others than those of validation."
    x, ids = torch.randn(24, 4), CLASSES
    train, valid = TensorDataset(x, ids if y is None else y, *extra), TensorDataset(x, ids)
    learn = learner([accuracy, F1Score(average="macro")], loss=loss)
    learn.dls = DataLoaders(DataLoader(train, bs=8, n_inp=1), DataLoader(valid, bs=8))
    learn.model = learn.model if model is None else model
    return learn


class Views(nn.Linear):
    def forward(self, x):
        out = super().forward(x)
        return torch.stack([out, out]) if self.training else out


HABITS = {
    "soft targets": lambda: of_validation(F.one_hot(CLASSES, 3) * 0.7 + 0.1),
    "weights": lambda: of_validation(extra=(torch.rand(24),), loss=lambda p, y, w=CLASSES: F.cross_entropy(p, y) * w.float().mean()),
    "views": lambda: of_validation(model=Views(4, 3), loss=lambda p, y: F.cross_entropy(p if p.ndim == 2 else p.mean(0), y)),
}


@pytest.mark.parametrize("habit", HABITS)
def test_what_works_in_validation_is_not_refused_for_the_batch_of_training(habit):
    learn = HABITS[habit]()
    learn.fit(1)
    assert all(0 <= v <= 1 for v in learn.recorder.values[-1][2:]) and learn.recorder.history[-1]["epoch"] == 0


def test_what_fails_in_both_is_refused_and_nothing_has_changed():
    learn = HABITS["soft targets"]()
    learn.metrics = F1Score()
    torch.manual_seed(0)
    before, batch = weights_of(learn), learn.dls.valid.one_batch()
    with pytest.raises(ValueError, match="tried on the first training batch"):
        learn.fit(1)
    assert same(learn, before) and torch.equal(learn.dls.valid.one_batch()[0], batch[0])


def test_targets_that_a_callback_converts_in_both_passes_are_tried_as_converted():
    convert = Callback(before_batch=lambda cb: setattr(cb.learn, "yb", (cb.y.squeeze(1).long(),)))
    learn = learner([accuracy, F1Score(average="macro")], targets=CLASSES.float()[:, None], loss=F.cross_entropy, cbs=convert)
    learn.fit(1)
    assert 0 <= learn.recorder.values[-1][-1] <= 1


def test_the_trial_is_not_repeated_until_something_has_changed_and_copies_no_old_predictions():
    calls = []

    class Counting(AccumMetric):
        def reset(self):
            calls.append("reset")
            super().reset()
    learn = learner(Counting(whole_set, flatten=False))
    learn.fit(1)
    first = len(calls)
    learn.fit(1)
    assert first - 1 == 2 and len(calls) - first == 1       # made; tried and counted; counted alone
    learn.metrics = F1Score()
    with pytest.raises(ValueError, match="tried on the first training batch"):
        learn.fit(1)


def test_a_wrong_setting_of_scikit_learn_is_told_at_the_first_batch():
    with pytest.raises(ValueError, match="(?s)'average' parameter .*tried on the first training batch"):
        learner(F1Score(average="makro")).fit(1)
