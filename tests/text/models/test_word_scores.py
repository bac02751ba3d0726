"""Scores that are computed when somebody looks: the same loss and gradients as cross entropy of a linear layer, and an ordinary tensor."""
import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from minifast.nn.losses import CrossEntropyLossFlat
from minifast.text.models import word_scores
from minifast.text.models.word_scores import Scores, WordScores


def grads(layer, x, y, loss_func, in_pieces):
    layer.in_pieces = in_pieces
    scores = layer(x)
    loss = loss_func(scores, y)
    assert isinstance(scores, Scores) is in_pieces
    wanted = [p for p in (x, *layer.parameters()) if p.requires_grad]
    return [loss, *torch.autograd.grad(3 * loss, wanted)], scores


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("frozen", ["", "x", "layer"])
def test_loss_and_gradients(bias, frozen, monkeypatch):
    "In pieces of three rows, one of them cut short; targets that do not count; whatever is frozen."
    monkeypatch.setattr(word_scores, "PIECE", 3 * 11)
    layer = WordScores(5, 11, bias=bias).double().requires_grad_(frozen != "layer")
    x = torch.randn(2, 5, 5, dtype=torch.float64, requires_grad=frozen != "x")
    y = torch.randint(0, 11, (2, 5))
    for _ in range(2):
        ours, scores = grads(layer, x, y, CrossEntropyLossFlat(), True)
        theirs, _ = grads(layer, x, y, CrossEntropyLossFlat(), False)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b)
        assert scores._whole is None                             # never made
        y[0, 1] = y[1, 4] = -100


@pytest.mark.parametrize("loss_func", [
    nn.CrossEntropyLoss(label_smoothing=0.1), nn.CrossEntropyLoss(weight=torch.rand(11).double()), nn.CrossEntropyLoss(reduction="sum"),
    lambda s, y: F.cross_entropy(s, F.one_hot(y, 11).double()), lambda s, y: F.nll_loss(s.log_softmax(-1), y), lambda s, y: s[:, 0].sum(),
    lambda s, y: (s * 2 + 1).square().mean(), lambda s, y: torch.stack([s, s]).amax()])
def test_any_other_use_gets_an_ordinary_tensor(loss_func):
    layer, x, y = WordScores(5, 11).double(), torch.randn(4, 5, dtype=torch.float64, requires_grad=True), torch.randint(0, 11, (4,))
    ours, _ = grads(layer, x, y, loss_func, True)
    theirs, _ = grads(layer, x, y, loss_func, False)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_what_can_be_told_without_computing():
    scores = WordScores(5, 11)(torch.randn(2, 3, 5))
    assert scores.shape == (2, 3, 11) and scores.ndim == scores.dim() == 3 and len(scores) == 2 and scores.dtype is torch.float32
    assert scores.device.type == "cpu" and scores.requires_grad and scores.is_floating_point() and scores.numel() == 66
    assert scores.reshape(-1, 11).shape == scores.view(6, 11).shape == scores.flatten(0, 1).shape == (6, 11) and scores._whole is None
    assert scores.flatten().shape == (66,) and scores._whole is not None


def test_as_a_tensor():
    layer, x = WordScores(5, 11), torch.randn(4, 5)
    scores, plain = layer(x), F.linear(x, layer.weight, layer.bias)
    assert torch.equal(scores, plain) and repr(layer(x)) == repr(plain) and type(layer(x).detach()) is torch.Tensor
    assert layer(x).grad_fn is not None and torch.equal(copy.deepcopy(layer(x).detach()), plain) and layer(x).tolist() == plain.tolist()
    assert torch.equal(torch.tensor(layer(x).detach().numpy()), plain) and layer(x)[0, 3].item() == plain[0, 3].item()
    layer(x).sum().backward()
    assert layer.weight.grad is not None


def test_where_it_is_an_ordinary_layer():
    layer, x = WordScores(5, 11), torch.randn(4, 5)
    assert type(layer.eval()(x)) is torch.Tensor
    with torch.no_grad():
        assert type(layer.train()(x)) is torch.Tensor
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype is torch.bfloat16
    seen = []
    layer.register_forward_hook(lambda m, args, out: seen.append(out.mean().item()))
    layer(x)
    assert seen == [pytest.approx(F.linear(x, layer.weight, layer.bias).mean().item())]


def test_looked_at_without_gradients_they_have_them_still():
    layer, x, y = WordScores(5, 11), torch.randn(4, 5), torch.randint(0, 11, (4,))
    scores = layer(x)
    with torch.no_grad():
        assert not scores.argmax(-1).requires_grad and not (scores + 1).requires_grad
    F.cross_entropy(scores, y).backward()
    plain = torch.autograd.grad(F.cross_entropy(F.linear(x, layer.weight, layer.bias), y), layer.weight)[0]
    torch.testing.assert_close(layer.weight.grad, plain)
