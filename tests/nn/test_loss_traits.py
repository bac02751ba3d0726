"""What a loss implies, and what can be done with any loss."""
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from minifast.nn.loss_traits import NoneReduce
from minifast.nn.losses import CrossEntropyLossFlat


@pytest.mark.parametrize("loss", [CrossEntropyLossFlat(), nn.CrossEntropyLoss(reduction="sum")], ids=["ours", "torch's"])
def test_none_reduce_sets_the_loss_itself_for_the_block(loss):
    before, preds, targs = loss.reduction, torch.zeros(2, 3), torch.tensor([0, 1])
    with pytest.raises(RuntimeError, match="in the block"), NoneReduce(loss) as each:
        assert each is loss and loss.reduction == "none" and loss(preds, targs).shape == (2,)
        raise RuntimeError("in the block")
    assert loss.reduction == before and loss(preds, targs).ndim == 0


def test_none_reduce_of_functions():
    with NoneReduce(F.mse_loss) as each:
        assert each(torch.zeros(2, 3), torch.ones(2, 3)).shape == (2, 3)
    with pytest.raises(TypeError, match="only gives one number per batch"), NoneReduce(lambda p, y: (p - y).mean()):
        pass
