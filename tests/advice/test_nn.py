"What the messages of `minifast.nn` say to write."
from types import SimpleNamespace

import pandas as pd
import pytest
from suggestions import told
from torch import nn
from workshop import learner, numbers

from minifast.basics import *
from minifast.nn.conv import ConvLayer, NormType
from minifast.nn.init import icnr_init
from minifast.nn.loss_traits import reduction_none
from minifast.nn.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat


@pytest.mark.parametrize("norm_type", [None, NormType.Batch])
def test_a_norm_by_its_name(norm_type):
    with told("nn/conv.py", "write None or one of"):
        ConvLayer(3, 4, norm_type="Batch")
    ConvLayer(3, 4, norm_type=norm_type)


def test_channels_of_a_pixel_shuffle():
    with told("nn/init.py", "needs a number of output channels divisible by"):
        icnr_init(torch.zeros(6, 2, 1, 1), scale=2)
    assert icnr_init(torch.zeros(8, 2, 1, 1), scale=2).shape == (8, 2, 1, 1)


def test_a_loss_that_is_one_number():
    def loss(inp, targ):
        return (inp - targ).abs().mean()

    with told("nn/loss_traits.py", "Give it a parameter `reduction='mean'` that also takes 'none' (a function), or an attribute"):
        reduction_none(loss)

    def with_parameter(inp, targ, reduction="mean"):
        each = (inp - targ).abs()
        return each if reduction == "none" else each.mean()

    class WithAttribute(nn.Module):
        reduction = "mean"

        def forward(self, inp, targ):
            return with_parameter(inp, targ, self.reduction)

    for f in (with_parameter, WithAttribute()):
        assert reduction_none(f)(torch.ones(2), torch.zeros(2)).shape == (2,)


def test_class_ids_for_a_loss_of_labels():
    preds, targets = torch.rand(4, 3), torch.tensor([0, 1, 2, 0])
    with told("nn/losses.py", "For class ids use CrossEntropyLossFlat()"):
        BCEWithLogitsLossFlat()(preds, targets)
    assert CrossEntropyLossFlat()(preds, targets) > 0


def test_masks_with_the_classes_first():
    preds, masks = torch.rand(2, 3, 4, 4), torch.zeros(2, 4, 4).long()
    with told("nn/losses.py", "For masks write axis=1"):
        CrossEntropyLossFlat()(preds, masks)
    assert CrossEntropyLossFlat(axis=1)(preds, masks) > 0


# -- outputs that are no tensor, or lack the axis of the items -------------------------------------------------------------------------
class Packed(nn.Module):
    "Three outputs for four numbers, packed by `pack`."

    def __init__(self, pack):
        super().__init__()
        self.net, self.pack = nn.Linear(4, 3), pack

    def forward(self, x):
        return self.pack(self.net(x))


class OfDict:
    "A loss that takes a dict."

    def __call__(self, pred, *targets):
        return nn.functional.cross_entropy(pred["out"], *targets)

    def activation(self, pred):
        return pred["out"].softmax(1)

    def decodes(self, probs):
        return probs.argmax(1)


def test_an_output_that_is_no_tensor():
    def packed(pack=lambda p: {"out": p}, loss=None, **kwargs):
        return learner(Packed(pack), loss_func=loss, **kwargs)

    passes = (lambda learn: learn.fit(1), lambda learn: learn.validate(), lambda learn: learn.get_preds())
    for run in passes:
        with told("nn/loss_traits.py",
                  "takes one tensor. Return it from the model's `forward`; or pick it with cbs=Callback(after_pred=lambda "
                  "cb: setattr(cb.learn, 'pred', …)); or write a class with the methods `__call__(pred, *targets)` (the loss), "
                  "`activation(pred)` (probabilities, as one tensor) and `decodes(probs)` (decisions), and give an instance as loss_func="):
            run(packed())
        run(packed(lambda p: p))
        run(packed(cbs=Callback(after_pred=lambda cb: setattr(cb.learn, "pred", cb.pred["out"]))))
        run(packed(loss=OfDict()))


def test_predictions_that_cannot_be_decoded():
    def loss(pred, y):
        return nn.functional.cross_entropy(pred["out"], y)

    block = DataBlock((TransformBlock, CategoryBlock(vocab=["a", "b", "c"])), get_x=lambda i: torch.full((4,), i / 9),
                      get_y=lambda i: "abc"[i % 3], splitter=RandomSplitter(seed=0))
    dls = block.dataloaders(list(range(9)), bs=3, num_workers=0)

    def of(loss):
        return learner(Packed(lambda p: {"out": p}), dls, loss)

    with told("nn/loss_traits.py",
              "does not say how. Write a class with the methods `__call__(pred, *targets)` (the loss), `activation(pred)` "
              "(probabilities) and `decodes(probs)` (decisions), these with one tensor per target, and give an instance as loss_func=; "
              "`get_preds()` gives the output as it is"):
        of(loss).predict(2)
    assert of(OfDict()).predict(2)[2].shape == (3,)
    assert of(loss).get_preds()[0]["out"].shape == (1, 3)


def test_the_axis_of_the_items():
    def squeezed(*axis):
        return learner(Packed(lambda p: p.squeeze(*axis)), numbers(21))

    for run in (lambda learn: learn.get_preds(with_decoded=True), lambda learn: learn.predict(torch.zeros(4))):
        with told("nn/loss_traits.py",
                  "a `squeeze()` in it also drops the axis of the items. Write squeeze(-1), which drops the last axis alone"):
            run(squeezed())
        run(squeezed(-1))


def test_weights_with_names():
    w, dls = {"b": 2.0, "a": 1.0, "c": 3.0}, SimpleNamespace(vocab=["a", "b", "c"])
    for given in (w, pd.Series(w)):
        with told("nn/losses.py",
                  "takes one number per class in the order of dls.vocab; received … with names …: write [w[c] for c in dls.vocab]"):
            CrossEntropyLossFlat(weight=given)
        assert CrossEntropyLossFlat(weight=[given[c] for c in dls.vocab]).func.weight.tolist() == [1, 2, 3]
