"""`FirstBatch`: which targets and outputs are refused for which loss. More of it in a fit: tests/silent_failures."""
import re
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from small_learners import make, one_group, rows, same, weights_of
from torch import nn
from torch.utils.data import DataLoader as TorchLoader
from torch.utils.data import TensorDataset, WeightedRandomSampler

from minifast.callbacks.base import Callback
from minifast.callbacks.first_batch import check_output, check_target
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.metrics.functions import accuracy
from minifast.nn.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, DiceLoss, FocalLossFlat, MSELossFlat


@dataclass
class Out:
    "An output as a dataclass."
    logits: torch.Tensor


def ids(n, *shape):
    return torch.randint(n, shape, generator=torch.Generator().manual_seed(0))


def logits(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("loss, pred, y, match", [
    (F.cross_entropy, torch.zeros(4, 10), torch.tensor([1, 2, 36, 0]), r"n_out=10 outputs but a target is 36: write n_out=37"),
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
    (nn.PoissonNLLLoss(), torch.zeros(4), torch.tensor([1, -2, 0, 3]), r"counts, 0 or more, received targets down to -2.*MSELossFlat\(\)"),
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


# -- outputs ------------------------------------------------------------------------------------------------------------------------
SPREAD = 3 * logits(8, 3)


@pytest.mark.parametrize("loss, pred, match", [
    (nn.NLLLoss(), SPREAD, r"NLLLoss takes log-probabilities.*values from -.* to .*without end.*CrossEntropyLossFlat\(\).*dim=1"),
    (F.nll_loss, SPREAD - 20, "whose exp.. sums to"),                                   # below 0, but no log-probabilities
    (partial(F.nll_loss, ignore_index=2), SPREAD.softmax(1), "nll_loss takes log-probabilities"),
    (nn.NLLLoss(), logits(2, 3, 4, 4), r"CrossEntropyLossFlat\(axis=1\)"),
    (nn.KLDivLoss(reduction="batchmean"), SPREAD, r"KLDivLoss takes log-prob.* End the model with nn.LogSoftmax\(dim=1\)"),
    (nn.CTCLoss(), logits(7, 2, 5), "CTCLoss takes log-probabilities"),
    (CrossEntropyLossFlat(), SPREAD.softmax(1), r"probabilities already.*would never fall below 0.55.*Remove the softmax"),
    (nn.CrossEntropyLoss(), logits(2, 3, 4, 4).softmax(1), "probabilities already"),
    (FocalLossFlat(), SPREAD.softmax(1), "probabilities already"),
    (BCEWithLogitsLossFlat(), SPREAD.requires_grad_().sigmoid(), "applies a sigmoid itself.*Remove the sigmoid"),
    (nn.BCEWithLogitsLoss(), logits(4, 1).requires_grad_().sigmoid().squeeze(1), "applies a sigmoid itself"),
    (F.cross_entropy, logits(4, 3).requires_grad_().sigmoid(), "applies a softmax itself, but the model ends with a sigmoid"),
    (nn.PoissonNLLLoss(log_input=False), logits(9), r"takes rates, 0 or more.*log_input=True.*Softplus\(\)"),
])
def test_outputs_that_the_loss_does_not_take_are_refused(loss, pred, match):
    with pytest.raises(ValueError, match=match):
        check_output(loss, pred)


class Normalising(nn.NLLLoss):
    "A loss of one's own that does what the plain one leaves to the model."

    def forward(self, pred, y):
        return super().forward(pred.log_softmax(1), y)


@pytest.mark.parametrize("loss, pred", [
    (nn.NLLLoss(), SPREAD.log_softmax(1)),
    (nn.NLLLoss(), SPREAD.bfloat16().log_softmax(1)),
    (nn.KLDivLoss(), logits(2, 5, 3).log_softmax(-1)),
    (nn.CTCLoss(), logits(7, 2, 5).log_softmax(2)),
    (Normalising(), SPREAD),
    (lambda p, y: p.sum(), SPREAD.softmax(1)),
    (CrossEntropyLossFlat(), SPREAD), (CrossEntropyLossFlat(), torch.zeros(4, 3)), (CrossEntropyLossFlat(), torch.rand(4, 2)),
    (F.cross_entropy, SPREAD.log_softmax(1)),
    (BCEWithLogitsLossFlat(), torch.rand(4, 3)),                                        # logits may well be between 0 and 1
    (BCEWithLogitsLossFlat(), logits(4, 1).requires_grad_().sigmoid() * 8 - 4),
    (MSELossFlat(), logits(4, 1).requires_grad_().sigmoid()),
    (nn.PoissonNLLLoss(), logits(9)),
])
def test_other_outputs_are_not(loss, pred):
    assert check_output(loss, pred) is None


@pytest.mark.parametrize("loss, end, cure", [
    (nn.NLLLoss(), nn.Identity(), lambda net: (CrossEntropyLossFlat(), net)),
    (nn.NLLLoss(), nn.Identity(), lambda net: (nn.NLLLoss(), nn.Sequential(net, nn.LogSoftmax(dim=1)))),
    (CrossEntropyLossFlat(), nn.Softmax(1), lambda net: (CrossEntropyLossFlat(), net[0])),
    (nn.BCELoss(), nn.Identity(), lambda net: (BCEWithLogitsLossFlat(), net)),
])
def test_a_fit_refuses_them_at_its_first_batch_and_what_the_message_says_works(loss, end, cure):
    hot = {"targets": torch.eye(3)[torch.arange(24) % 3]} if isinstance(loss, nn.BCELoss) else {}
    learn = make(model=nn.Sequential(nn.Linear(4, 3), end), loss=loss, splitter=one_group, **hot)
    before = weights_of(learn)
    with pytest.raises(ValueError):
        learn.fit(1)
    assert same(learn, before)
    loss, model = cure(learn.model)
    learn = make(model=model, loss=loss, splitter=one_group, **hot)
    learn.fit(1)
    probs = learn.get_preds()[0]
    assert probs.min() >= 0 and probs.max() <= 1


# -- outputs that are not a tensor ----------------------------------------------------------------------------------------------------
class Wrapped(nn.Module):
    "A linear layer whose output is packed by `pack`."

    def __init__(self, pack):
        super().__init__()
        self.net, self.pack = nn.Linear(4, 3), pack

    def forward(self, x):
        return self.pack(self.net(x))


class FromDict:
    "What the message describes."

    def __call__(self, pred, y):
        return F.cross_entropy(pred["out"], y)

    def activation(self, pred):
        return pred["out"].softmax(1)

    def decodes(self, probs):
        return probs.argmax(1)


@pytest.mark.parametrize("pack, words", [
    (lambda p: {"out": p}, r"returned dict of out=float32\[8,3\].*CrossEntropyLossFlat takes one tensor.*cb.pred\['out'\]"),
    (lambda p: OrderedDict(out=p, aux=p), r"returned dict of out=.*cb.pred\['out'\]"),
    (lambda p: (p, p), r"returned tuple of 2 .*cb.pred\[0\]"),
    (lambda p: [p], r"cb.pred\[0\]"),
    (Out, r"cb.pred.logits"),
])
def test_an_output_that_is_not_a_tensor_is_refused_and_the_callback_that_the_message_writes_picks_one(pack, words):
    learn = make(model=Wrapped(pack), splitter=one_group)
    with pytest.raises(TypeError, match=words) as caught:
        learn.fit(1)
    callback = eval(re.search(r"cbs=(Callback\(.*?\)\));", str(caught.value))[1], {"Callback": Callback})
    learn = make(model=Wrapped(pack), splitter=one_group, cbs=callback, metrics=accuracy)
    learn.fit(1)
    assert learn.get_preds()[0].sum(1).allclose(torch.ones(24))


def test_a_loss_of_ones_own_may_take_it():
    learn = make(model=Wrapped(lambda p: {"out": p}), splitter=one_group, loss=FromDict())
    learn.fit(1)
    assert learn.get_preds(with_decoded=True)[2].shape == (24,)

    class Heads(CrossEntropyLossFlat):
        def forward(self, pred, y):
            return super().forward(pred[0], y) + super().forward(pred[1], y)
    make(model=Wrapped(lambda p: (p, p)), splitter=one_group, loss=Heads()).fit(1)


# -- batch norm and weights ---------------------------------------------------------------------------------------------------------
def normed(bs, n=25, spatial=False):
    "Plain torch loaders, which keep a last batch of one item."
    ds = rows(n)
    net = nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten()) \
        if spatial else nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    learn = make(model=net, splitter=one_group)
    learn.dls = DataLoaders(TorchLoader(ds, bs, shuffle=True), TorchLoader(ds, bs))
    return learn


@pytest.mark.parametrize(("bs", "n", "words"), [(1, 8, r"this batch has one \(n=8, bs=1\): .* batch size, such as bs=2(?!.*drop)"),
                                                (8, 25, r"the last batch of each epoch has one \(n=25, bs=8\).*such as bs=7, or drop"),
                                                (2, 3, ".* such as bs=3")])
def test_batch_norm_on_one_item_is_refused_at_the_first_batch_and_the_batch_size_of_the_message_works(bs, n, words):
    learn = normed(bs, n)
    before = weights_of(learn)
    with pytest.raises(ValueError, match=f"BatchNorm1d cannot train on one item, and {words}") as caught:
        learn.fit(1)
    assert same(learn, before)
    other = normed(int(re.search(r"such as bs=(\d+)", str(caught.value))[1]), n)
    other.fit(1)
    assert other.recorder.values[-1][0] > 0 and not any(m._forward_pre_hooks for m in (*other.model.modules(), *learn.model.modules()))


@pytest.mark.parametrize(("bs", "spatial"), [(8, True), (1, True), (5, False)])
def test_where_batch_norm_has_several_values_one_item_trains(bs, spatial):
    learn = normed(bs, spatial=spatial)
    learn.fit(1)
    assert learn.recorder.values[-1][0] > 0


def test_the_items_that_a_sampler_draws_are_counted():
    learn = normed(8, 25)
    learn.dls = DataLoaders(TorchLoader(rows(25), 8, sampler=WeightedRandomSampler(torch.ones(25), 32)), TorchLoader(rows(25), 8))
    learn.fit(1)
    assert learn.recorder.values[-1][0] > 0


def test_an_output_that_a_callback_activates_is_checked_as_it_then_is():
    activate = Callback(after_pred=lambda cb: setattr(cb.learn, "pred", cb.pred.log_softmax(1)))
    learn = make(splitter=one_group, loss=nn.NLLLoss(), cbs=activate)
    learn.fit(1)
    assert learn.recorder.values[-1][0] > 0
    with pytest.raises(ValueError, match="probabilities already"):
        make(splitter=one_group, cbs=Callback(after_pred=lambda cb: setattr(cb.learn, "pred", cb.pred.softmax(1)))).fit(1)


def test_a_loss_of_ones_own_may_take_points_for_maps():
    x, points = torch.randn(8, 3, 6, 6), torch.rand(8, 5, 2)
    dl = DataLoader(TensorDataset(x, points), bs=4)
    learn = make(model=nn.Conv2d(3, 5, 1), splitter=one_group, loss=lambda p, y: (p.flatten(2).mean(2, keepdim=True) - y).square().mean())
    learn.dls = DataLoaders(dl, dl)
    learn.fit(1)
    assert learn.recorder.values[-1][0] > 0


def test_a_loader_that_drops_the_last_item_trains():
    assert make(25, 8, splitter=one_group).fit(1) is None and len(DataLoader(rows(25), 8, shuffle=True)) == 3


@pytest.mark.parametrize(("loss", "words", "cure"), [
    (CrossEntropyLossFlat(weight=[1, 2]), r"CrossEntropyLossFlat\(weight=...\) has 2 numbers, but the model has 3 outputs",
     CrossEntropyLossFlat(weight=[1, 2, 3])),
    (nn.CrossEntropyLoss(weight=torch.ones(4)), "has 4 numbers, but the model has 3", nn.CrossEntropyLoss(weight=torch.ones(3))),
    (nn.CrossEntropyLoss(weight=torch.tensor([1, 2, 3])), r"takes floats, received int64\[3\].*write weight.float\(\)",
     nn.CrossEntropyLoss(weight=torch.tensor([1, 2, 3]).float())),
    (FocalLossFlat(weight=[1, 2, 3, 4]), "has 4 numbers", FocalLossFlat(weight=[1, 2, 3])),
    (partial(F.cross_entropy, weight=torch.ones(2)), "has 2 numbers", partial(F.cross_entropy, weight=torch.ones(3))),
    (nn.CrossEntropyLoss(weight=torch.ones(3).double()), r"float64\[3\].*outputs of the model are float32.*weight.to\(torch.float32\)",
     nn.CrossEntropyLoss(weight=torch.ones(3).double().to(torch.float32))),
])
def test_class_weights_are_compared_with_the_outputs(loss, words, cure):
    with pytest.raises(ValueError, match=words):
        make(model=nn.Linear(4, 3), splitter=one_group, loss=loss).fit(1)
    learn = make(model=nn.Linear(4, 3), splitter=one_group, loss=cure)
    learn.fit(1)
    assert learn.recorder.values[-1][0] > 0


def test_weights_of_double_precision_go_with_outputs_of_it():
    pred, y, weight = torch.zeros(4, 3).double(), ids(3, 4), torch.ones(3).double()
    check_target(CrossEntropyLossFlat(weight=weight), pred, (y,))
    assert CrossEntropyLossFlat(weight=weight)(pred, y).dtype == torch.float64
    assert CrossEntropyLossFlat(weight=weight.numpy())(pred.float(), y).dtype == torch.float32


def test_so_are_weights_of_labels():
    pred, y = torch.zeros(4, 3), torch.ones(4, 3)
    with pytest.raises(ValueError, match=r"BCEWithLogitsLossFlat\(pos_weight=...\) has 2 numbers, but the model has 3 outputs"):
        check_target(BCEWithLogitsLossFlat(pos_weight=[1, 2]), pred, (y,))
    assert check_target(BCEWithLogitsLossFlat(pos_weight=[1, 2, 3]), pred, (y,)) is None
    assert check_target(BCEWithLogitsLossFlat(pos_weight=[5]), pred, (y,)) is None


def test_an_output_without_the_axis_of_the_items_is_named():
    with pytest.raises(ValueError, match=r"returned float32\[3\] on cpu for a batch of one item: a `squeeze\(\)` .*squeeze\(-1\)"):
        check_output(nn.CrossEntropyLoss(), torch.zeros(3))
