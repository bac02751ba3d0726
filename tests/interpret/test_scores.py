import numpy as np
import pytest
import torch
from torch import nn

from minifast.interpret.cleaner import Decisions, ImageClassifierCleaner
from minifast.interpret.grad_cam import grad_cam
from minifast.interpret.scores import best_thresholds, calibration, confusion, f1_at, label_errors


def test_confusion_leaves_void_out():
    m = confusion(torch.tensor([0, 1, 1, 255, -1]), torch.tensor([0, 1, 0, 1, 1]), 2)
    assert m.tolist() == [[1, 0], [1, 1]]
    with pytest.raises(ValueError, match="one by one"):
        confusion(torch.zeros(3), torch.zeros(4), 2)


def test_calibration():
    confidence, right = torch.tensor([0.95, 0.95, 0.95, 0.95, 0.55, 0.55]), torch.tensor([1, 1, 1, 0, 0, 1])
    mean, share, n, error = calibration(confidence, right, 10)
    assert mean.tolist() == pytest.approx([0.55, 0.95]) and share.tolist() == pytest.approx([0.5, 0.75]) and n.tolist() == [2, 4]
    assert error == pytest.approx((2 * 0.05 + 4 * 0.2) / 6)
    assert calibration(torch.tensor([1.0]), torch.tensor([True]))[3] == 0


def test_f1_and_thresholds_equal_scikit_learn():
    from sklearn.metrics import f1_score
    g = torch.Generator().manual_seed(0)
    targets = torch.rand(60, 2, generator=g) > 0.6
    probs = (targets * 0.3 + torch.rand(60, 2, generator=g) * 0.7).clamp(0, 1)
    thresholds = torch.linspace(0.1, 0.9, 9)
    ours = f1_at(probs[:, 0], targets[:, 0], thresholds)
    theirs = [f1_score(targets[:, 0], probs[:, 0] > t, zero_division=0) for t in thresholds]
    assert ours.tolist() == pytest.approx(theirs)
    best, values = best_thresholds(probs, targets, thresholds)
    assert values[0] == pytest.approx(max(theirs)) and float(best[0]) in thresholds.tolist()
    perfect = best_thresholds(torch.tensor([[0.2], [0.8]]), torch.tensor([[0.0], [1.0]]))
    assert perfect[1].item() == 1 and 0.4 < perfect[0].item() < 0.6                       # the middle of what is as good


def test_label_errors():
    r = np.random.default_rng(0)
    true = torch.as_tensor(r.integers(0, 4, 400))
    probs = torch.full((400, 4), 0.1)
    probs[torch.arange(400), true] = 0.7
    probs += torch.as_tensor(r.normal(0, 0.03, (400, 4))).float()
    probs = probs / probs.sum(1, keepdim=True)
    given = true.clone()
    wrong = torch.as_tensor(r.choice(400, 25, replace=False))
    given[wrong] = (given[wrong] + 1) % 4
    found, suggested, score = label_errors(probs, given)
    assert set(found.tolist()) == set(wrong.tolist()) and torch.equal(suggested, true[found])
    assert (score < 0).all() and (score.diff() >= 0).all()
    assert len(label_errors(probs, true)[0]) == 0
    with pytest.raises(ValueError, match="takes probabilities"):
        label_errors(probs, given[:3])


def test_grad_cam_looks_where_the_class_is():
    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1))
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 1, 2], x[0, 0, 3, 0] = 5.0, -5.0
    model.train()
    for p in model.parameters():
        p.requires_grad_(False)
    first, second = grad_cam(model, x, 0), grad_cam(model, x, 1)
    assert first.shape == (1, 4, 4) and first[0, 1, 2] == 1 and second[0, 3, 0] == 1 and first[0, 3, 0] == 0
    assert torch.equal(grad_cam(model, x), first) and model.training and not model[0]._forward_hooks
    assert all(p.grad is None for p in model.parameters())
    with pytest.raises(ValueError, match="layer must be run"):
        grad_cam(model, x, 0, nn.Conv2d(1, 1, 1))


def test_decisions_survive_in_a_csv(tmp_path):
    d = Decisions(tmp_path / "clean.csv")
    d.put("a.jpg", "delete", was="cat")
    d.put("b, with comma.jpg", "relabel", "dog", "cat", "training")
    d.put("a.jpg", "keep", was="cat")
    d.put("c.jpg", "delete")
    assert d.save() == tmp_path / "clean.csv" and [f.name for f in tmp_path.iterdir()] == ["clean.csv"]
    again = Decisions(tmp_path / "clean.csv")
    assert again.rows == d.rows and [p.name for p in again.to_delete()] == ["c.jpg"]
    assert [(p.name, label) for p, label in again.to_relabel()] == [("b, with comma.jpg", "dog")] and len(again.frame()) == 3
    with pytest.raises(ValueError, match="action='burn'"):
        d.put("x", "burn")
    with pytest.raises(ValueError, match="needs the new label"):
        d.put("x", "relabel")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="not a file of decisions"):
        Decisions(tmp_path / "other.csv")


def test_cleaner_deletes_nothing(data_dir, tmp_path):
    from minifast.learner.learner import Learner
    from minifast.vision.all import ImageDataLoaders, get_image_files
    files = get_image_files(data_dir / "cifar10_tiny")[::60]
    dls = ImageDataLoaders.from_path_func(data_dir, files, lambda p: "early" if p.parent.name[0] < "d" else "late", bs=8, num_workers=0)
    learn = Learner(dls, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)))
    cleaner = ImageClassifierCleaner(learn, csv=tmp_path / "clean.csv", n=4)
    assert cleaner.vocab == ["early", "late"] and all(cleaner.interp.target_text(i) == "early" for i in cleaner.order)
    losses = cleaner.interp.losses[cleaner.order]
    assert (losses.diff() <= 0).all() and len(cleaner.order) <= 4
    cleaner.choose(0, "delete")
    cleaner.choose(1, "late")
    assert cleaner.delete() == [0] and cleaner.change() == [(1, "late")]
    cleaner.select("late", 1)
    cleaner.select("early", 0)
    assert cleaner.choices[:2] == ["delete", "late"]                             # what was decided is still there
    saved = Decisions(cleaner.save())
    assert len(saved.to_delete()) == 1 and saved.to_delete()[0].is_file() and all(f.is_file() for f in files)
    assert cleaner._png(cleaner.order[0])[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="no class 'eraly'; did you mean 'early'"):
        cleaner.select("eraly")
    with pytest.raises(ValueError, match="choose\\(0, 'x'\\)"):
        cleaner.choose(0, "x")
