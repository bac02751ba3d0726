"""`check_target`: which targets are refused for which loss. `FirstBatch` in a fit: tests/silent_failures."""
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from minifast.callbacks.first_batch import check_target
from minifast.nn.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, DiceLoss, FocalLossFlat, MSELossFlat


def ids(n, *shape):
    return torch.randint(n, shape, generator=torch.Generator().manual_seed(0))


def logits(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("loss, pred, y, match", [
    (F.cross_entropy, torch.zeros(4, 10), torch.tensor([1, 2, 36, 0]), r"n_out=10 outputs but a target is 36: write n_out=37 or dls.c"),
    (CrossEntropyLossFlat(), torch.zeros(4, 10), torch.tensor([1, 2, 36, 0]), "n_out=10 outputs but a target is 36"),
    (CrossEntropyLossFlat(axis=1), torch.zeros(1, 2, 2, 2), torch.tensor([[[0, 255], [0, 1]]]), "ignore_index=255"),
    (nn.CrossEntropyLoss(), torch.zeros(3, 2), torch.tensor([0, -1, 1]), "go from 0 to 1, but a target is -1"),
    (F.cross_entropy, torch.zeros(4, 1), torch.zeros(4).long(), r"single output .*loss is always 0.*BCEWithLogitsLossFlat"),
    (F.cross_entropy, torch.zeros(4, 3), torch.zeros(4), r"takes class ids \(int64\), received targets float32\[4\].*MSELossFlat"),
    (nn.NLLLoss(), torch.zeros(4, 3), torch.zeros(4, 3), r"NLLLoss takes class ids .*y.argmax\(1\)"),
    (CrossEntropyLossFlat(), torch.zeros(2, 3), torch.tensor([[1., 1., 0.], [0., 0., 0.]]), r"sums go from 0 to 2.*BCEWithLogitsLossFlat"),
    (F.cross_entropy, torch.zeros(4, 3), torch.zeros(4).int(), r"as int64, received targets int32\[4\].*y.long\(\)"),
    (F.cross_entropy, torch.zeros(4, 3), torch.zeros(4, 1).long(), r"y.squeeze\(1\)"),
    (F.cross_entropy, torch.zeros(4, 3), torch.zeros(4, 3).long(), r"one-hot targets write y.argmax\(1\)"),
    (F.cross_entropy, torch.zeros(4, 3), torch.zeros(5).long(), "batch sizes differ: 4 predictions, 5 targets"),
    (CrossEntropyLossFlat(), torch.zeros(2, 5, 4, 4), torch.zeros(2, 4, 4).long(), r"For masks write CrossEntropyLossFlat\(axis=1\)"),
    (F.mse_loss, torch.zeros(4, 1), torch.zeros(4), r"float32\[4,1\].* and targets float32\[4\].*broadcast.*MSELossFlat.*view\(4,\)"),
    (nn.L1Loss(), torch.zeros(4, 1), torch.zeros(4), r"L1LossFlat\(\)"),
    (F.mse_loss, torch.zeros(4), torch.zeros(4).long(), r"float targets, received int64\[4\].*y.float\(\)"),
    (nn.BCEWithLogitsLoss(), torch.zeros(4, 3), torch.zeros(4).long(), r"CrossEntropyLossFlat\(\), or one-hot"),
    (nn.MSELoss(), torch.zeros(4), torch.zeros(5), "batch sizes differ: 4 predictions, 5 targets"),
    (MSELossFlat(), torch.zeros(4, 1), torch.tensor([1., float("nan"), 2., float("inf")]), "2 NaN or infinite values among 4"),
    (MSELossFlat(), torch.zeros(4, 2), torch.zeros(4), "cannot be compared element by element"),
    (BCEWithLogitsLossFlat(), torch.zeros(3, 1), torch.tensor([0, 1, 2]), "from 0 to 1, received values from 0 to 2"),
    (nn.BCELoss(), torch.tensor([0.5, 3.0]), torch.zeros(2), "takes probabilities, but the model returns values from 0.5 to 3"),
    (MSELossFlat(), torch.zeros(0, 1), torch.zeros(0), "an empty batch"),
])
def test_check_target_refuses(loss, pred, y, match):
    with pytest.raises(ValueError, match=match):
        check_target(loss, pred, (y,))


@pytest.mark.parametrize("loss, pred, y", [
    (F.cross_entropy, torch.zeros(4, 3), torch.tensor([0, 1, 2, -100])),
    (partial(F.cross_entropy, ignore_index=255), torch.zeros(2, 3), torch.tensor([255, 1])),
    (CrossEntropyLossFlat(axis=1, ignore_index=255), torch.zeros(1, 2, 2, 2), torch.tensor([[[0, 255], [0, 1]]])),
    (CrossEntropyLossFlat(), torch.zeros(2, 7, 5), ids(5, 2, 7)),
    (CrossEntropyLossFlat(), torch.zeros(4, 3), torch.zeros(4, 1).int()),
    (CrossEntropyLossFlat(), torch.zeros(2, 2), torch.tensor([[0.3, 0.7], [1., 0.]])),
    (FocalLossFlat(), torch.zeros(4, 3), ids(3, 4)),
    (DiceLoss(), torch.zeros(2, 3, 4, 4), ids(3, 2, 4, 4)),
    (MSELossFlat(), torch.zeros(4, 1), ids(9, 4)),
    (BCEWithLogitsLossFlat(), torch.zeros(4, 3), ids(2, 4, 3)),
    (nn.MSELoss(), torch.zeros(4, 2), torch.zeros(4, 2)),
    (nn.PoissonNLLLoss(), torch.zeros(4), ids(9, 4)),
    (lambda p, y: 0, torch.zeros(4, 1), torch.tensor([float("nan")])),
    (F.cross_entropy, (torch.zeros(4, 3), None), ids(9, 4)),
])
def test_check_target_accepts(loss, pred, y):
    assert check_target(loss, pred, (y,)) is None
    assert check_target(loss, pred, y) is None
    assert check_target(loss, pred, (y, y)) is None


def test_the_checked_accepted_cases_really_compute():
    "What `check_target` lets through for torch's losses is what torch takes."
    for loss, pred, y in [(F.cross_entropy, logits(4, 3), torch.tensor([0, 1, 2, -100])), (nn.MSELoss(), logits(4, 2), logits(4, 2))]:
        check_target(loss, pred, y)
        assert torch.isfinite(loss(pred, y))
