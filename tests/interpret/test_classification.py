"""`ClassificationInterpretation` against the learner, scikit-learn and hand-made predictions."""
import numpy as np
import pytest
import torch

from minifast.nn.losses import BCEWithLogitsLossFlat, MSELossFlat

VOCAB = ["ant", "bee", "cat"]


def test_agrees_with_the_learner_and_scikit_learn(make, as_class):
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
    learn = make()
    interp = as_class(learn)
    preds, targs = learn.get_preds()
    assert torch.equal(interp.preds, preds) and torch.equal(interp.targs, targs) and len(interp) == 30
    assert float(interp.losses.mean()) == pytest.approx(learn.validate()[0], rel=1e-5)
    guess = preds.argmax(1)
    assert (interp.confusion_matrix() == confusion_matrix(targs, guess, labels=[0, 1, 2])).all()
    p, r, f, n = precision_recall_fscore_support(targs, guess, labels=[0, 1, 2], zero_division=0)
    table = interp.per_class()
    assert np.allclose(table[["precision", "recall", "f1"]], np.stack([p, r, f], 1)) and table.n.tolist() == n.tolist()
    assert table.index.tolist() == ["ant", "bee", "cat"] and "bee" in interp.classification_report()
    assert "30 items, mean loss" in repr(interp)


def test_printed_report(make, as_class, capsys):
    as_class(make()).print_classification_report()
    assert "precision" in capsys.readouterr().out


def test_most_confused_is_sorted_and_cut(make, as_class):
    interp = as_class(make())
    interp.targs = torch.tensor([0, 0, 0, 1, 2, 2])
    interp.decoded = torch.tensor([1, 1, 0, 2, 2, 0])
    assert interp.most_confused() == [("ant", "bee", 2), ("bee", "cat", 1), ("cat", "ant", 1)] and interp.most_confused(2) == [
        ("ant", "bee", 2)
    ]


def test_least_confident_and_confidently_wrong(make, as_class):
    interp = as_class(make())
    interp.preds = torch.tensor([[0.9, 0.1, 0.0], [0.4, 0.3, 0.3], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    interp.targs, interp.decoded = torch.tensor([1, 0, 0, 2]), torch.tensor([0, 0, 1, 2])
    assert interp.least_confident(2) == [1, 3] and interp.confidently_wrong() == [0, 2]
    assert interp.right.tolist() == [False, True, False, True]
    interp.targs = interp.decoded
    with pytest.raises(ValueError, match="no prediction is wrong"):
        interp.plot_confidently_wrong()


def test_several_labels(make, as_class):
    y = (torch.randn(30, 3, generator=torch.Generator().manual_seed(1)) > 0).float()
    interp = as_class(make(loss=BCEWithLogitsLossFlat(), y=y))
    assert interp.multi and interp.right.tolist() == ((interp.preds > 0.5) == y.bool()).all(1).tolist()
    assert interp.target_text(0) == (";".join(v for v, on in zip(VOCAB, y[0].tolist(), strict=True) if on) or "(none)")
    table = interp.best_thresholds()
    assert (table.f1 >= table.f1_at_half - 1e-9).all() and interp.per_class().n.tolist() == y.sum(0).tolist()
    assert "bee" in interp.classification_report() and 0 <= interp.calibration()[3] <= 1
    with pytest.raises(TypeError, match="one class per item"):
        interp.confusion_matrix()
    with pytest.raises(TypeError, match="several labels per item"):
        as_class(make()).best_thresholds()


@pytest.mark.parametrize(("loss", "shape"), [(BCEWithLogitsLossFlat(), (30,)), (BCEWithLogitsLossFlat(), (30, 1)),
                                             (torch.nn.BCEWithLogitsLoss(), (30, 1))])
def test_one_logit(make, as_class, loss, shape):
    "A single output, the probability of class 1 of two."
    from torch.utils.data import TensorDataset
    y = (torch.randn(30, generator=torch.Generator().manual_seed(1)) > 0).float().reshape(shape)
    learn = make(loss=loss, y=y, out=1, kind=TensorDataset)
    interp, p = as_class(learn), learn.get_preds()[0].flatten()
    guess = (p > 0.5).long()
    assert torch.allclose(interp.preds, torch.stack([1 - p, p], 1)) and not interp.multi and interp.vocab == [0, 1]
    assert interp.confusion_matrix().sum() == 30 and (interp.confusion_matrix()[1, 1] == (guess * y.flatten()).sum())
    assert interp.right.tolist() == (guess == y.flatten()).tolist() and interp.p_target[0] == (p[0] if y.flatten()[0] else 1 - p[0])
    assert interp.least_confident(1) == [int((p - 0.5).abs().argmin())]
    assert interp.frame().prediction.tolist() == [str(v) for v in guess.tolist()]
    numbers = make(loss=MSELossFlat(), y=y.reshape(30, 1), out=1, kind=TensorDataset)
    with pytest.raises(TypeError, match="For numbers use RegressionInterpretation"):
        as_class(numbers)


def test_likely_label_errors_name_the_swapped(make, as_class):
    learn = make(n=120)
    interp = as_class(learn)
    interp.targs = interp.targs.clone()
    wrong = interp.p_target.argsort(descending=True)[[0, 5, 9]].tolist()             # of which it is sure
    for i in wrong:
        interp.targs[i] = (interp.targs[i] + 1) % 3
    table = interp.likely_label_errors()
    assert set(wrong) <= set(table.item[:8]) and table.score.is_monotonic_increasing
    row = table[table["item"] == wrong[0]].iloc[0]
    assert row.given == interp.target_text(wrong[0]) and row.suggested != row.given


def test_pictures_of_numbers(make, as_class):
    interp = as_class(make())
    ax = interp.plot_confusion_matrix(normalize=True)
    assert ax.get_xlabel() == "predicted" and ax.get_ylabel() == "target" and [t.get_text() for t in ax.get_yticklabels()] == VOCAB
    assert "calibration error" in interp.plot_calibration().get_title()


def test_the_resolution_of_a_confusion_matrix(make, as_class):
    ax = as_class(make()).plot_confusion_matrix(figsize=(3, 2), dpi=60)
    assert ax.figure.dpi == 60 and ax.figure.get_size_inches().tolist() == [3, 2]
