
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Subset, TensorDataset

from minifast.data.loaders import DataLoader, DataLoaders
from minifast.interpret.base import Interpretation, batch_of
from minifast.interpret.classification import ClassificationInterpretation
from minifast.interpret.regression import RegressionInterpretation
from minifast.interpret.segmentation import SegmentationInterpretation
from minifast.learner.learner import Learner
from minifast.nn.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat


class Named(TensorDataset):
    vocab = ["ant", "bee", "cat"]


def make(n=30, loss=None, y=None, out=3, kind=Named):
    torch.manual_seed(0)
    x = torch.randn(n, 3)
    y = x.argmax(1) if y is None else y
    model = nn.Linear(3, out)
    with torch.no_grad():
        model.weight.copy_(torch.eye(3)[:out] * 3 + 0.5 * torch.randn(out, 3))
        model.bias.zero_()
    train = DataLoader(kind(x, y), bs=8, shuffle=True)
    return Learner(DataLoaders(train, DataLoader(kind(x, y), bs=8)), model, loss or CrossEntropyLossFlat())


def as_class(learn, **kw):
    return ClassificationInterpretation.from_learner(learn, **kw)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_agrees_with_the_learner_and_scikit_learn():
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


def test_printed_report(capsys):
    as_class(make()).print_classification_report()
    assert "precision" in capsys.readouterr().out


def test_most_confused_is_sorted_and_cut():
    interp = as_class(make())
    interp.targs = torch.tensor([0, 0, 0, 1, 2, 2])
    interp.decoded = torch.tensor([1, 1, 0, 2, 2, 0])
    assert interp.most_confused() == [("ant", "bee", 2), ("bee", "cat", 1), ("cat", "ant", 1)] and interp.most_confused(2) == [
        ("ant", "bee", 2)
    ]


def test_top_losses():
    interp = as_class(make())
    values, indices = interp.top_losses(4)
    assert values.tolist() == sorted(interp.losses.tolist(), reverse=True)[:4] and torch.equal(interp.losses[indices], values)
    assert interp.top_losses(2, largest=False)[0].tolist() == sorted(interp.losses.tolist())[:2]
    assert len(interp.top_losses()[0]) == 30
    assert interp.top_losses(2, items=True)[2] == indices[:2].tolist()              # tensors have no items but their numbers


def test_least_confident_and_confidently_wrong():
    interp = as_class(make())
    interp.preds = torch.tensor([[0.9, 0.1, 0.0], [0.4, 0.3, 0.3], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    interp.targs, interp.decoded = torch.tensor([1, 0, 0, 2]), torch.tensor([0, 0, 1, 2])
    assert interp.least_confident(2) == [1, 3] and interp.confidently_wrong() == [0, 2]
    assert interp.right.tolist() == [False, True, False, True]
    interp.targs = interp.decoded
    with pytest.raises(ValueError, match="no prediction is wrong"):
        interp.plot_confidently_wrong()


def test_frame_and_groups():
    interp = as_class(make())
    frame = interp.frame()
    assert frame.columns.tolist() == ["path", "target", "prediction", "p_target", "p_predicted", "loss", "right"]
    assert frame.right.tolist() == interp.right.tolist() and set(frame.target) <= set(Named.vocab)
    groups = interp.per_group(["even" if i % 2 == 0 else "odd" for i in range(30)])
    even = torch.arange(30) % 2 == 0
    assert groups.loc["even", "n"] == 15 and groups.loc["even", "accuracy"] == pytest.approx(float(interp.right[even].float().mean()))
    assert groups.loss.is_monotonic_decreasing and interp.per_group(lambda i: i < 10).loc[True, "n"] == 10
    with pytest.raises(ValueError, match="received 2 for 30 items"):
        interp.per_group([1, 2])


def test_training_items_in_order_and_subsets():
    learn = make()
    assert torch.equal(as_class(learn, ds_idx=0).targs, learn.dls.train_ds.tensors[1])
    subset = DataLoader(Subset(learn.dls.valid_ds, [5, 3, 8]), bs=2)
    interp = as_class(learn, dl=subset)
    assert torch.equal(interp.targs, learn.dls.valid_ds.tensors[1][[5, 3, 8]])


def test_several_labels():
    y = (torch.randn(30, 3, generator=torch.Generator().manual_seed(1)) > 0).float()
    interp = as_class(make(loss=BCEWithLogitsLossFlat(), y=y))
    assert interp.multi and interp.right.tolist() == ((interp.preds > 0.5) == y.bool()).all(1).tolist()
    assert interp.target_text(0) == (";".join(v for v, on in zip(Named.vocab, y[0].tolist(), strict=True) if on) or "(none)")
    table = interp.best_thresholds()
    assert (table.f1 >= table.f1_at_half - 1e-9).all() and interp.per_class().n.tolist() == y.sum(0).tolist()
    assert "bee" in interp.classification_report() and 0 <= interp.calibration()[3] <= 1
    with pytest.raises(TypeError, match="one class per item"):
        interp.confusion_matrix()
    with pytest.raises(TypeError, match="several labels per item"):
        as_class(make()).best_thresholds()


def test_what_is_refused():
    learn = make(loss=MSELossFlat(), y=torch.randn(30, 1), out=1, kind=TensorDataset)
    with pytest.raises(TypeError, match="RegressionInterpretation"):
        as_class(learn)
    with pytest.raises(TypeError, match="takes masks"):
        SegmentationInterpretation.from_learner(make())
    with pytest.raises(ValueError, match="nothing to show"):
        as_class(make()).show_items([])
    learn = make()
    no_targets = DataLoader(TensorDataset(torch.randn(8, 3)), bs=4, n_inp=1)
    with pytest.raises(ValueError, match="needs items with targets"):
        as_class(learn, dl=no_targets)


def test_items_that_are_no_pictures_come_as_a_table():
    interp = as_class(make())
    table = interp.plot_top_losses(3)
    assert table.loss.tolist() == pytest.approx(interp.top_losses(3)[0].tolist())


def test_likely_label_errors_name_the_swapped():
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


def test_pictures_of_numbers():
    interp = as_class(make())
    ax = interp.plot_confusion_matrix(normalize=True)
    assert ax.get_xlabel() == "predicted" and ax.get_ylabel() == "target" and [t.get_text() for t in ax.get_yticklabels()] == Named.vocab
    assert "calibration error" in interp.plot_calibration().get_title()


# -- numbers, masks -------------------------------------------------------------------------------------------------------------------
def test_regression():
    y = torch.randn(30, 1)
    interp = RegressionInterpretation.from_learner(make(loss=MSELossFlat(), y=y, out=1, kind=TensorDataset))
    r = interp.preds - y
    s = interp.summary().iloc[0]
    assert s.bias == pytest.approx(float(r.mean()), abs=1e-5) and s.mae == pytest.approx(float(r.abs().mean()), abs=1e-5)
    assert s.rmse == pytest.approx(float(r.square().mean().sqrt()), abs=1e-5)
    assert s.r2 == pytest.approx(1 - float(r.square().sum() / (y - y.mean()).square().sum()), abs=1e-4)
    frame = interp.frame()
    assert frame.residual.tolist() == pytest.approx(r[:, 0].tolist(), abs=1e-6) and frame.target.tolist() == pytest.approx(y[:, 0].tolist())
    assert interp.per_group([i % 2 for i in range(30)]).absolute_error.tolist()
    assert len(interp.plot_residuals()) == 2 and interp.plot_predictions().get_xlabel() == "target"


def test_segmentation():
    torch.manual_seed(0)
    x = torch.randn(6, 1, 8, 8)
    y = (x[:, 0] > 0).long()
    y[:, 0] = 255
    model = nn.Conv2d(1, 2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([-5.0, 5.0]).reshape(2, 1, 1, 1))
        model.bias.zero_()
    ds = TensorDataset(x, y)
    learn = Learner(DataLoaders(DataLoader(ds, bs=4), DataLoader(ds, bs=4)), model, CrossEntropyLossFlat(axis=1, ignore_index=255))
    interp = SegmentationInterpretation.from_learner(learn)
    assert interp.confusion_matrix().sum() == 6 * 7 * 8                           # void does not count
    assert interp.per_class().iou.tolist() == [1, 1] and interp.iou.tolist() == [1] * 6 and interp.most_confused() == []
    learn.model.weight.data.neg_()
    worse = SegmentationInterpretation.from_learner(learn)
    assert worse.iou.max() == 0 and worse.most_confused()[0][2] > 0 and worse.frame().pixels_right.tolist() == [0] * 6
    axes = worse.plot_top_losses(2)
    assert "item" in axes[0].get_title(loc="left") and axes[1].get_title(loc="left") == "prediction"


def test_batch_of_a_loader():
    learn = make()
    x, y = batch_of(learn.dls.valid, [4, 2])
    assert torch.equal(x, learn.dls.valid_ds.tensors[0][[4, 2]]) and torch.equal(y, learn.dls.valid_ds.tensors[1][[4, 2]])


def test_real_pictures_name_their_files(data_dir):
    from minifast.vision.all import ImageDataLoaders, get_image_files
    files = get_image_files(data_dir / "cifar10_tiny")[::40]
    dls = ImageDataLoaders.from_path_func(data_dir, files, lambda p: p.parent.name[0] > "d", bs=8, num_workers=0)
    learn = Learner(dls, nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)))
    interp = as_class(learn)
    axes = interp.plot_top_losses(4)
    i = int(interp.top_losses(1)[1])
    assert interp.path(i) == dls.valid_ds.items[i] and dls.valid_ds.items[i].name in axes[0].get_title(loc="left")
    assert isinstance(Interpretation.from_learner(learn), Interpretation) and interp.frame().path[0] == dls.valid_ds.items[0]
    from minifast.interpret.grad_cam import plot_grad_cam
    assert len(plot_grad_cam(interp, [0, 1])) == 2
