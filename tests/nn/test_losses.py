from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from minifast.nn.loss_traits import activation_of, decodes_of, loss_name, needs_same_shape, reduction_none, y_int_of
from minifast.nn.losses import (
    BaseLoss,
    BCELossFlat,
    BCEWithLogitsLossFlat,
    CrossEntropyLossFlat,
    DiceLoss,
    FocalLoss,
    FocalLossFlat,
    L1LossFlat,
    LabelSmoothingCrossEntropy,
    LabelSmoothingCrossEntropyFlat,
    MSELossFlat,
)

G = torch.Generator().manual_seed(0)
close = torch.testing.assert_close


def logits(*shape):
    return torch.randn(*shape, generator=G)


def ids(n, *shape):
    return torch.randint(0, n, shape, generator=G)


# values against torch

@pytest.mark.parametrize("axis, shape", [(-1, (6, 5)), (-1, (4, 7, 5)), (1, (4, 5, 3, 2)), (1, (4, 5))])
@pytest.mark.parametrize("kw", [{}, {"label_smoothing": 0.1}, {"weight": torch.tensor([1., 2, 3, 4, 5])}, {"ignore_index": 2},
                                {"reduction": "sum"}])
def test_cross_entropy_is_torchs(axis, shape, kw):
    x, y = logits(*shape), ids(5, *(shape[:1] + shape[2:] if axis == 1 else shape[:-1]))
    rows = x.movedim(axis, -1).reshape(-1, 5)
    close(CrossEntropyLossFlat(axis=axis, **kw)(x, y), F.cross_entropy(rows, y.reshape(-1), **kw))


def test_cross_entropy_on_channels_last_memory_and_in_deterministic_mode():
    x, y = logits(2, 5, 4, 3), ids(5, 2, 4, 3)
    wanted = F.cross_entropy(x, y)
    close(CrossEntropyLossFlat(axis=1)(x.to(memory_format=torch.channels_last), y), wanted)
    before = torch.are_deterministic_algorithms_enabled()
    try:
        torch.use_deterministic_algorithms(True)
        close(CrossEntropyLossFlat(axis=1)(x, y), wanted)
    finally:
        torch.use_deterministic_algorithms(before)


def test_cross_entropy_takes_any_integer_dtype_column_targets_and_probabilities():
    x, y = logits(8, 4), ids(4, 8)
    wanted = F.cross_entropy(x, y)
    for targ in (y.to(torch.uint8), y.int(), y[:, None]):
        close(CrossEntropyLossFlat()(x, targ), wanted)
    close(CrossEntropyLossFlat()(x, F.one_hot(y, 4).float()), wanted)
    masks, m = logits(2, 4, 3, 3), ids(4, 2, 3, 3)
    close(CrossEntropyLossFlat(axis=1)(masks, F.one_hot(m, 4).movedim(-1, 1).float()), F.cross_entropy(masks, m))


@pytest.mark.parametrize("weight", [None, torch.tensor([0.2, 1.0, 3.0])])
def test_label_smoothing_is_torchs_with_and_without_weights(weight):
    x, y = logits(9, 3), ids(3, 9)
    wanted = F.cross_entropy(x, y, weight=weight, label_smoothing=0.2)
    close(LabelSmoothingCrossEntropy(eps=0.2, weight=weight)(x, y), wanted)
    close(LabelSmoothingCrossEntropyFlat(eps=0.2, weight=weight)(x, y), wanted)
    if weight is None:
        logp = x.log_softmax(-1)
        close(wanted, 0.8 * F.nll_loss(logp, y) - 0.2 * logp.mean())


def test_focal_loss_formula_with_weights():
    x, y, w = logits(20, 4), ids(4, 20), torch.tensor([0.5, 1.0, 2.0, 4.0])
    p = x.softmax(-1).gather(1, y[:, None])[:, 0]
    each = w[y] * (1 - p) ** 2 * -p.log()
    close(FocalLoss(2., weight=w, reduction="none")(x, y), each)
    close(FocalLoss(2., weight=w, reduction="sum")(x, y), each.sum())
    close(FocalLossFlat(gamma=2., weight=w)(x, y), each.sum() / w[y].sum())
    close(FocalLossFlat()(x, y), ((1 - p) ** 2 * -p.log()).mean())


@pytest.mark.parametrize("weight", [None, torch.tensor([0.5, 1.0, 2.0])])
def test_focal_loss_with_gamma_0_is_cross_entropy_also_with_ignored_targets(weight):
    x, y = logits(2, 3, 4, 4), ids(3, 2, 4, 4)
    y[0, 0] = -100
    wanted = F.cross_entropy(x, y, weight=weight)
    close(FocalLossFlat(gamma=0., axis=1, weight=weight)(x, y), wanted)
    close(FocalLoss(gamma=0., weight=weight)(x, y), wanted)


def test_focal_loss_has_finite_gradients_for_certain_predictions():
    x = torch.tensor([[100., -100.]], requires_grad=True)
    FocalLossFlat(gamma=0.5)(x, torch.tensor([0])).backward()
    assert torch.isfinite(x.grad).all()
    with pytest.raises(ValueError, match=r"FocalLoss\(gamma=-1\)"):
        FocalLossFlat(gamma=-1)


@pytest.mark.parametrize("flat, torchs", [(MSELossFlat, F.mse_loss), (L1LossFlat, F.l1_loss)])
def test_regression_losses_flatten_and_floatify(flat, torchs):
    x, y = logits(6, 1), ids(9, 6)
    close(flat()(x, y), torchs(x[:, 0], y.float()))
    close(flat()(x, y.float()), torchs(x[:, 0], y.float()))
    assert flat()(logits(6, 4).double(), torch.zeros(6, 2, 2)).dtype == torch.float64
    assert flat(reduction="none")(x, y).shape == (6,)


def test_binary_losses():
    x, y = logits(6, 3), ids(2, 6, 3)
    close(BCEWithLogitsLossFlat()(x, y), F.binary_cross_entropy_with_logits(x, y.float()))
    close(BCELossFlat()(x.sigmoid(), y), F.binary_cross_entropy(x.sigmoid(), y.float()))
    close(BCEWithLogitsLossFlat()(x[:, :1], y[:, 0]), F.binary_cross_entropy_with_logits(x[:, 0], y[:, 0].float()))
    pos = torch.tensor([1., 2., 3.])
    close(BCEWithLogitsLossFlat(pos_weight=pos)(x, y), F.binary_cross_entropy_with_logits(x, y.float(), pos_weight=pos))
    close(BCEWithLogitsLossFlat(weight=[1, 2, 3])(x, y), F.binary_cross_entropy_with_logits(x, y.float(), weight=pos))


def test_dice_loss_closed_form():
    y = torch.tensor([[[0, 1], [1, 1]]])
    x = torch.stack([1 - y, y], 1).float() * 1000                      # certain and right
    close(DiceLoss()(x, y), torch.tensor(0.))
    close(DiceLoss(reduction="none")(torch.zeros(1, 2, 2, 2), y), torch.tensor([[1 - 1 / 3, 1 - 3 / 5]]), rtol=1e-5, atol=1e-5)
    close(DiceLoss(square_in_union=True, reduction="mean")(torch.zeros(1, 2, 2, 2), y), torch.tensor((1 - 1 / 2 + 1 - 3 / 4) / 2))
    close(DiceLoss().decodes(DiceLoss().activation(x)), y)
    with pytest.raises(ValueError, match=r"DiceLoss\(axis=1\) takes one class id per pixel"):
        DiceLoss()(x, y[:, None])


@pytest.mark.parametrize("loss", [CrossEntropyLossFlat(), FocalLossFlat(), LabelSmoothingCrossEntropyFlat(), LabelSmoothingCrossEntropy()])
def test_gradients_of_class_losses(loss):
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True, generator=G)
    assert torch.autograd.gradcheck(lambda t: loss(t, torch.tensor([0, 2, 1, 1])), x)


# activation, decodes and the rest of what a loss says

def test_activation_and_decodes_of_flat_losses():
    x = logits(2, 3, 4, 4)
    loss = CrossEntropyLossFlat(axis=1)
    close(loss.activation(x), x.softmax(1))
    close(loss.decodes(loss.activation(x)), x.argmax(1))
    bce = BCEWithLogitsLossFlat(thresh=0.2)
    close(bce.activation(x), x.sigmoid())
    close(bce.decodes(torch.tensor([0.1, 0.3])), torch.tensor([False, True]))
    assert MSELossFlat().activation(x) is x and MSELossFlat().decodes(x) is x
    assert CrossEntropyLossFlat().y_int and not BCEWithLogitsLossFlat().y_int and not MSELossFlat().y_int


@pytest.mark.parametrize("loss, activation, decodes", [
    (nn.CrossEntropyLoss(), lambda x: x.softmax(1), lambda x: x.argmax(1)),
    (F.cross_entropy, lambda x: x.softmax(1), lambda x: x.argmax(1)),
    (partial(partial(F.cross_entropy, ignore_index=3), label_smoothing=.1), lambda x: x.softmax(1), lambda x: x.argmax(1)),
    (nn.NLLLoss(), torch.exp, lambda x: x.argmax(1)),
    (F.nll_loss, torch.exp, lambda x: x.argmax(1)),
    (nn.BCEWithLogitsLoss(), torch.sigmoid, lambda x: x > .5),
    (F.binary_cross_entropy_with_logits, torch.sigmoid, lambda x: x > .5),
    (nn.BCELoss(), lambda x: x, lambda x: x > .5),
    (nn.MSELoss(), lambda x: x, lambda x: x),
    (F.smooth_l1_loss, lambda x: x, lambda x: x),
    (nn.HuberLoss(), lambda x: x, lambda x: x),
    (lambda p, y: (p - y).abs().mean(), lambda x: x, lambda x: x),
    (FocalLoss(), lambda x: x.softmax(1), lambda x: x.argmax(1)),
    (partial(CrossEntropyLossFlat(axis=1)), lambda x: x.softmax(1), lambda x: x.argmax(1)),
    (BaseLoss(nn.CrossEntropyLoss, axis=1), lambda x: x.softmax(1), lambda x: x.argmax(1)),
    (None, lambda x: x, lambda x: x),
])
def test_activation_of_and_decodes_of(loss, activation, decodes):
    x = logits(3, 4, 2)
    close(activation_of(loss)(x), activation(x))
    close(decodes_of(loss)(x), decodes(x))


def test_a_loss_with_its_own_activation_keeps_it():
    class Mine(nn.CrossEntropyLoss):
        def activation(self, x):
            return x + 1
    close(activation_of(Mine())(torch.zeros(2, 2)), torch.ones(2, 2))
    close(decodes_of(Mine())(torch.eye(2)), torch.tensor([0, 1]))


def test_names_and_kinds():
    assert loss_name(F.cross_entropy) == loss_name(partial(F.cross_entropy, reduction="sum")) == "cross_entropy"
    assert loss_name(nn.MSELoss()) == "MSELoss" and loss_name(MSELossFlat()) == "MSELossFlat"
    assert all(map(needs_same_shape, (F.mse_loss, nn.L1Loss(), nn.BCEWithLogitsLoss(), partial(F.huber_loss, delta=2.))))
    assert not any(map(needs_same_shape, (F.cross_entropy, nn.CrossEntropyLoss(), MSELossFlat(), BCEWithLogitsLossFlat(), lambda p, y: 0)))
    assert all(map(y_int_of, (F.cross_entropy, nn.NLLLoss(), CrossEntropyLossFlat(), FocalLoss(), DiceLoss())))
    assert not any(map(y_int_of, (F.mse_loss, BCEWithLogitsLossFlat(), print)))
    assert "axis=1" in repr(CrossEntropyLossFlat(axis=1))


def test_reduction_is_settable_and_checked():
    loss = CrossEntropyLossFlat()
    loss.reduction = "none"
    assert loss(logits(4, 3), ids(3, 4)).shape == (4,)
    with pytest.raises(ValueError, match="reduction='average'"):
        loss.reduction = "average"
    with pytest.raises(ValueError, match=r"MSELossFlat\(reduction='avg'\)"):
        MSELossFlat(reduction="avg")


@pytest.mark.parametrize("loss", [CrossEntropyLossFlat(), CrossEntropyLossFlat(weight=torch.tensor([1., 2., 3.])), FocalLossFlat(),
                                  nn.CrossEntropyLoss(), F.cross_entropy, partial(F.cross_entropy, label_smoothing=.1), FocalLoss(),
                                  LabelSmoothingCrossEntropy()])
def test_reduction_none_gives_one_loss_per_item_and_changes_nothing(loss):
    x, y = logits(5, 3), ids(3, 5)
    before, state = loss(x, y), getattr(loss, "reduction", None)
    each = reduction_none(loss)
    assert each(x, y).shape == (5,)
    assert getattr(loss, "reduction", None) == state
    close(loss(x, y), before)
    if getattr(getattr(loss, "func", loss), "weight", None) is None:
        close(each(x, y).mean(), before)


def test_reduction_none_refuses_a_function_that_cannot():
    with pytest.raises(TypeError, match="<lambda> only gives one number per batch"):
        reduction_none(lambda p, y: (p - y).mean())

    def mine(p, y, reduction="mean"):
        return F.l1_loss(p, y, reduction=reduction)
    assert reduction_none(mine)(torch.ones(3), torch.zeros(3)).shape == (3,)


def test_weights_move_and_are_saved_with_the_loss():
    loss = CrossEntropyLossFlat(weight=torch.ones(3)).to(torch.float64)
    assert loss.func.weight.dtype == torch.float64 and list(loss.state_dict()) == ["func.weight"]


def test_the_kept_graph_is_of_the_right_dtype_under_autocast():
    x = torch.randn(4, 1, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss = MSELossFlat()(x @ torch.ones(1, 1), torch.arange(4) * 10000)
    assert loss.dtype == torch.float32 and torch.isfinite(loss)


# refusals

def test_flat_losses_refuse_shapes_that_do_not_go_together():
    with pytest.raises(ValueError, match=r"MSELossFlat: predictions float32\[4,2\].* and targets float32\[4\].* cannot be compared"):
        MSELossFlat()(torch.zeros(4, 2), torch.zeros(4))
    with pytest.raises(ValueError, match="cannot be compared"):
        MSELossFlat()(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4, 3))          # as many elements, but other axes
    with pytest.raises(ValueError, match="cannot be compared"):
        L1LossFlat()(torch.zeros(2, 6), torch.zeros(6, 2))
    with pytest.raises(ValueError, match=r"For class ids use CrossEntropyLossFlat\(\)"):
        BCEWithLogitsLossFlat()(torch.zeros(4, 3), torch.zeros(4))
    with pytest.raises(ValueError, match="cannot be compared"):
        BCEWithLogitsLossFlat(pos_weight=torch.ones(3))(torch.zeros(4, 3), torch.zeros(4))
    with pytest.raises(ValueError, match=r"float32\[2,5,4,4\].*int64\[2,4,4\].*write axis=1"):
        CrossEntropyLossFlat()(torch.zeros(2, 5, 4, 4), ids(5, 2, 4, 4))


def test_unknown_keywords_are_refused():
    with pytest.raises(TypeError):
        CrossEntropyLossFlat(axes=1)
    with pytest.raises(TypeError):
        BaseLoss(nn.MSELoss, smoothing=1)


@pytest.mark.parametrize("weight", [[1, 2, 3, 4, 5], np.arange(1, 6), torch.arange(1, 6), np.arange(1, 6.), pd.Series([1, 2, 3, 4, 5])])
@pytest.mark.parametrize("loss", [CrossEntropyLossFlat, LabelSmoothingCrossEntropyFlat, FocalLossFlat, LabelSmoothingCrossEntropy,
                                  FocalLoss])
def test_class_weights_of_any_type(loss, weight):
    x, y = torch.randn(8, 5), torch.arange(8) % 5
    close(loss(weight=weight)(x, y), loss(weight=torch.arange(1., 6))(x, y))
    assert torch.is_tensor(getattr(loss(weight=weight), "func", loss(weight=weight)).weight)


@pytest.mark.parametrize(("weight", "error", "words"), [
    ({"cat": 1, "dog": 2}, TypeError, r"received dict with names cat, dog: write \[w\[c\] for c in dls.vocab\]"),
    (pd.Series({"dog": 9, "cat": 1}), TypeError, "received Series with names dog, cat"),
    ([1, -1], ValueError, "weights are 0 or more and finite"), ([1, float("nan")], ValueError, "weights are 0 or more and finite")])
def test_class_weights_that_cannot_be_used(weight, error, words):
    with pytest.raises(error, match=rf"CrossEntropyLossFlat\(weight=...\).*{words}"):
        CrossEntropyLossFlat(weight=weight)
    if error is TypeError:                                  # what the message says to write
        CrossEntropyLossFlat(weight=[weight[c] for c in ["cat", "dog"]])
