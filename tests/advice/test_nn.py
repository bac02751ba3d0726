"What the messages of `minifast.nn` say to write."
import pytest
from suggestions import told
from torch import nn

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
