"""What outputs look like, perfect and wrong predictions, one output for two classes."""
import torch
import zoo_data  # noqa: F401  the animals
import zoo_healthy  # noqa: F401
import zoo_learners  # noqa: F401
from zoo import classifier, mlp, points

from minifast.checks.learner.outputs import best_and_worst, looks_like
from minifast.nn.losses import BCEWithLogitsLossFlat


def test_looks_like():
    x = torch.randn(16, 5, generator=torch.Generator().manual_seed(0))
    assert looks_like(x) == "free" and looks_like(x.softmax(1)) == "softmax" and looks_like(x.log_softmax(1)) == "log_softmax"
    assert looks_like(x.sigmoid()) == "sigmoid" and looks_like(x.relu()) == "relu" and looks_like(torch.zeros(16, 5)) == "free"
    assert looks_like(x[:, :1].sigmoid()) == "sigmoid" and looks_like(torch.full((16, 5), float("nan"))) == "free"


def test_best_and_worst():
    y = torch.tensor([0, 2, 1])
    good, bad = best_and_worst("class logits", torch.zeros(3, 3), y)
    assert torch.equal(good.argmax(1), y) and not (bad.argmax(1) == y).any()
    good, bad = best_and_worst("class logits", torch.zeros(1, 3, 2, 2), torch.tensor([[[0, 1], [2, 0]]]))
    assert good.argmax(1).tolist() == [[[0, 1], [2, 0]]]
    good, bad = best_and_worst("values", torch.zeros(3, 1), torch.tensor([1.0, 2.0, 3.0]))
    assert good.tolist() == [[1.0], [2.0], [3.0]] and ((good - bad).abs() > 0.5).all()
    assert best_and_worst(None, torch.zeros(3), torch.zeros(3)) is None


def test_a_binary_learner_with_one_output_and_two_classes():
    from minifast.checks.check_learner import check_learner
    x, y = points(classes=2)
    report = check_learner(classifier(mlp(out=1), BCEWithLogitsLossFlat(), x, y[:, None].float(), c=2), fast=True)
    assert report["MF104"].verdict == "pass" and report.ok
