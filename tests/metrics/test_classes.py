"""Classes given by name: in metrics of scikit-learn, Dice and Jaccard; `class_id`."""
import numpy as np
import pytest
import torch
from sklearn import metrics as skm
from small_learners import make, one_group
from torch import nn

from minifast import metrics as M
from minifast.metrics.classes import class_id

PREDS = torch.randn(24, 3, generator=torch.Generator().manual_seed(3))
IDS, Y = PREDS.argmax(1).numpy(), np.arange(24) % 3
P = PREDS.softmax(1).numpy()


def value(metric, vocab, preds=PREDS, targets=None):
    "What a pass over `preds` gives, with the classes `vocab`."
    learn = make(model=nn.Linear(4, 1), splitter=one_group)
    learn.dls.vocab = vocab
    learn.pred, learn.yb = preds, (torch.as_tensor(Y) if targets is None else targets,)
    metric.reset()
    metric.accumulate(learn)
    return metric.value


@pytest.mark.parametrize(("make_metric", "kwargs", "expected"), [
    (M.F1Score, {"labels": ["cat", "owl"], "average": "macro"}, skm.f1_score(Y, IDS, labels=[0, 2], average="macro")),
    (M.F1Score, {"labels": [0, "owl"], "average": "macro"}, skm.f1_score(Y, IDS, labels=[0, 2], average="macro")),
    (M.Recall, {"labels": "dog", "average": "macro"}, skm.recall_score(Y, IDS, labels=[1], average="macro")),
    (M.CohenKappa, {"labels": ["cat", "dog"]}, skm.cohen_kappa_score(Y, IDS, labels=[0, 1])),
    (lambda **k: M.skm_to_fastai(skm.precision_score, **k), {"labels": ["dog"], "average": "micro"},
     skm.precision_score(Y, IDS, labels=[1], average="micro")),
])
def test_labels_of_scikit_learns_metrics_may_be_names(make_metric, kwargs, expected):
    assert value(make_metric(**kwargs), ["cat", "dog", "owl"]) == pytest.approx(expected)


TWO, BINARY = PREDS[:, :2], Y % 2


@pytest.mark.parametrize("given", ["no", 0])
@pytest.mark.parametrize(("metric", "score"), [
    (M.F1Score, lambda: skm.f1_score(BINARY, TWO.argmax(1), pos_label=0)),
    (M.Jaccard, lambda: skm.jaccard_score(BINARY, TWO.argmax(1), pos_label=0)),
    (M.APScoreBinary, lambda: skm.average_precision_score(BINARY == 0, TWO.softmax(1)[:, 0])),
    (M.BrierScore, lambda: skm.brier_score_loss(BINARY == 0, TWO.softmax(1)[:, 0])),
])
def test_the_positive_class_may_be_a_name_and_its_own_probability_counts(metric, score, given):
    y = torch.as_tensor(BINARY)
    assert value(metric(pos_label=given), ["no", "yes"], TWO, y) == pytest.approx(score(), abs=1e-6)
    assert value(metric(), ["no", "yes"], TWO, y) == pytest.approx(value(metric(pos_label="yes"), ["no", "yes"], TWO, y))


def test_columns_of_several_labels_may_be_names():
    y = (torch.arange(72).reshape(24, 3) % 5 < 2).float()
    expected = skm.f1_score(y, PREDS >= 0, labels=[2, 0], average="macro")
    assert value(M.F1ScoreMulti(labels=["owl", "cat"]), ["cat", "dog", "owl"], targets=y) == pytest.approx(expected)


@pytest.mark.parametrize(("metric", "reference"), [(M.DiceMulti, skm.f1_score), (M.JaccardCoeffMulti, skm.jaccard_score)])
def test_dice_and_jaccard_of_some_classes(metric, reference):
    names = ["sky", "road", "car"]
    for labels, ids in (("car", [2]), (["road", 2], [1, 2]), (None, [0, 1, 2])):
        assert value(metric(labels=labels), names) == pytest.approx(reference(Y, IDS, labels=ids, average="macro"))
    with pytest.raises(ValueError, match=r"labels=...\): there is no class 'roads'; did you mean 'road'"):
        value(metric(labels=["roads"]), names)


def test_pixels_that_the_loss_ignores_do_not_count_in_dice():
    targets = torch.tensor([0, 1, 255] * 8)
    learn = make(model=nn.Linear(4, 1), splitter=one_group)
    learn.loss_func = nn.CrossEntropyLoss(ignore_index=255)
    learn.pred, learn.yb, metric = TWO, (targets,), M.Dice()
    metric.accumulate(learn)
    assert metric.value == pytest.approx(skm.f1_score(targets[targets != 255], TWO.argmax(1)[targets != 255]))
    learn.loss_func = nn.CrossEntropyLoss()
    metric.reset()
    metric.accumulate(learn)
    with pytest.raises(ValueError, match=r"takes masks of 0 and 1; 8 pixels have other values.*DiceMulti\(\)"):
        _ = metric.value
    multi = M.DiceMulti()
    multi.accumulate(learn)                     # what the message says to write
    assert 0 <= multi.value <= 1


@pytest.mark.parametrize(("given", "names", "n", "expected"), [
    ("dog", ["cat", "dog"], 2, 1), (1, ["cat", "dog"], 2, 1), (np.int64(0), None, 2, 0), (7, [3, 7], 2, 1), ("7", [3, 7], 2, 1),
    (True, [False, True], 2, 1), (1, [0, 1], 2, 1), (0, [1, 2], 2, 0), ("1", [1, 2], 2, 0), (2.5, [1.0, 2.5], 2, 1)])
def test_class_id(given, names, n, expected):
    assert class_id(given, names, n, "F1Score(labels=...)") == expected


@pytest.mark.parametrize(("given", "names", "n", "words"), [
    ("dgo", ["cat", "dog"], 2, r"F1Score\(labels=...\): there is no class 'dgo'; did you mean 'dog'\?.*id from 0 to 1.*'cat' \(id 0\)"),
    (2, ["cat", "dog"], 2, "there is no class 2"), (-1, ["cat", "dog"], 2, "there is no class -1"), (5, None, 2, "there is no class 5"),
    (True, ["cat", "dog"], 2, "there is no class True"), ("dog", None, 2, "names of classes are those of the learner's data.*ids"),
    (1, [1, 2], 2, "1 is the name of the class with id 0, and the id of another: write '1' for the class of that name")])
def test_class_id_refuses(given, names, n, words):
    with pytest.raises(ValueError, match=f"(?s){words}"):
        class_id(given, names, n, "F1Score(labels=...)")


def test_the_background_of_foreground_acc_is_an_id():
    with pytest.raises(TypeError, match=r"partial\(foreground_acc, bkg_idx=list\(dls.vocab\).index\('sky'\)\)"):
        M.foreground_acc(PREDS, torch.as_tensor(Y), bkg_idx="sky")


def test_a_metric_called_without_a_learner_takes_ids_and_refuses_names():
    assert M.F1Score(labels=[0, 2], average="macro")(PREDS, torch.as_tensor(Y)) == pytest.approx(
        skm.f1_score(Y, IDS, labels=[0, 2], average="macro"))
    with pytest.raises(ValueError, match="there are none. Give ids"):
        M.F1Score(labels=["cat"], average="macro")(PREDS, torch.as_tensor(Y))
