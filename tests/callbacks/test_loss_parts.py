"What losses of parts are told of a loss function: here of a single process, whose part is the whole. Ranks: test_distributed.py."
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from minifast.callbacks.loss_parts import LossParts


def parts(loss_func, n):
    torch.manual_seed(0)
    learn = SimpleNamespace(pred=torch.randn(n, 2), yb=(torch.randn(n, 2),), xb=(torch.zeros(n, 1),), kw={}, loss_func=loss_func,
                            training=True, dls=SimpleNamespace(device=torch.device("cpu")))
    return LossParts(learn)


def of_several(pred, y):
    "A mean over items that takes two or more."
    assert len(pred) > 1
    return F.mse_loss(pred, y)


@pytest.mark.parametrize("n", [4, 8])
def test_a_mean_that_takes_no_single_item_is_known_and_asked_no_more_than_needed(n, recwarn):
    sizes = []

    def counting(pred, y):
        sizes.append(len(pred))
        return of_several(pred, y)

    assert parts(counting, n).known and not recwarn.list and sizes == [n, n // 2, n // 2]


@pytest.mark.parametrize("n", [4, 8])
def test_a_sum_and_a_penalty_is_refused(n):
    with pytest.raises(RuntimeError, match="is a sum over items and 3 more, whatever the items are"):
        _ = parts(lambda pred, y: (pred - y).square().sum() + 3, n).known


def test_what_compares_items_is_no_sum():
    with pytest.warns(UserWarning, match="is neither the mean nor the sum of the losses of its parts"):
        assert not parts(lambda pred, y: torch.pdist(pred).sum() + 3, 8).known
