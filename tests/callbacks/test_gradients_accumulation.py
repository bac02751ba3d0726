"""Gradient accumulation: n small batches == one big batch."""
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.base import Callback, CancelTrainException
from minifast.callbacks.gradients import GradientAccumulation, mean_of_means
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.loss_traits import batch_weight
from minifast.nn.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, FocalLossFlat, LabelSmoothingCrossEntropyFlat, MSELossFlat
from minifast.optim.optimizers import SGD, Adam

WEIGHT = torch.tensor([0.2, 1.0, 5.0])


def data(loss_kind, n=24):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(n, 4, generator=g)
    if loss_kind == "class":
        return TensorDataset(x, torch.randint(0, 3, (n,), generator=g))
    if loss_kind == "multi":
        return TensorDataset(x, torch.randint(0, 2, (n, 3), generator=g).float())
    return TensorDataset(x, torch.randn(n, 3, generator=g))


def trained(loss_func, kind, bs, cbs=None, n=24, opt_func=Adam, epochs=2, dtype=torch.float64):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)
    ds = data(kind, n)
    ds = TensorDataset(*(t.to(dtype) if t.is_floating_point() else t for t in ds.tensors))
    loss_func = loss_func.to(dtype) if isinstance(loss_func, nn.Module) else loss_func
    learn = Learner(DataLoaders(DataLoader(ds, bs=bs)), model, loss_func, opt_func=opt_func, cbs=cbs)
    with learn.no_bar(), learn.no_logging():
        learn.fit(epochs, 1e-2)
    return torch.cat([p.detach().flatten() for p in model.parameters()]), learn


LOSSES = [(CrossEntropyLossFlat(), "class"), (nn.CrossEntropyLoss(weight=WEIGHT), "class"), (CrossEntropyLossFlat(weight=WEIGHT), "class"),
          (CrossEntropyLossFlat(ignore_index=1), "class"), (LabelSmoothingCrossEntropyFlat(weight=WEIGHT), "class"),
          (FocalLossFlat(weight=WEIGHT), "class"), (CrossEntropyLossFlat(reduction="sum"), "class"), (F.cross_entropy, "class"),
          (BCEWithLogitsLossFlat(), "multi"), (MSELossFlat(), "values"), (lambda p, y: (p - y).abs().mean(), "values")]


@pytest.mark.parametrize(("loss_func", "kind"), LOSSES, ids=lambda o: str(o).split(" at 0x")[0][:30])
def test_small_batches_equal_a_big_one(loss_func, kind):
    "24 items in steps of 12, and as small batches of 4: the same weights to float tolerance."
    big, _ = trained(loss_func, kind, 12)
    small, _ = trained(loss_func, kind, 4, GradientAccumulation(12))
    assert torch.allclose(big, small, rtol=1e-6, atol=1e-8)


def test_a_ragged_end_is_stepped_with():
    "22 items: steps of 12 and of the 10 that are left, in batches of 4 (the last has 2)."
    big, _ = trained(MSELossFlat(), "values", 12, n=22)
    small, learn = trained(MSELossFlat(), "values", 4, GradientAccumulation(12), n=22)
    assert torch.allclose(big, small, rtol=1e-6, atol=1e-8)
    assert all(p.grad is None for p in learn.model.parameters())
    assert len(learn.recorder.raw_losses) == 12               # every small batch is recorded, with its own loss


def test_a_cancelled_epoch_steps_with_what_it_has():
    steps = []

    class Stop(Callback):
        def before_batch(self):
            if self.learn.iter == 2:
                raise CancelTrainException

    _, learn = trained(MSELossFlat(), "values", 4, [GradientAccumulation(100), Stop(), Callback(before_step=lambda: steps.append(1))],
                       opt_func=SGD)
    assert len(steps) == 2 and all(p.grad is None for p in learn.model.parameters())


def test_the_recorded_loss_is_the_plain_one():
    x, y = (t.double() for t in data("values").tensors)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    expected = [F.mse_loss(model(x[i:i + 4]), y[i:i + 4]).item() for i in (0, 4)]      # no step before the third
    _, learn = trained(MSELossFlat(), "values", 4, GradientAccumulation(8), epochs=1)
    assert learn.recorder.raw_losses[:2] == pytest.approx(expected, rel=1e-6)


def test_pure_functions():
    losses, weights = [torch.tensor(1.0), torch.tensor(4.0)], [3, 1]
    assert float(mean_of_means(losses, weights)) == pytest.approx(7 / 4)
    y = torch.tensor([0, 1, 2, 2])
    assert float(batch_weight(nn.CrossEntropyLoss(weight=WEIGHT), (y,), 4)) == pytest.approx(11.2)
    assert float(batch_weight(nn.CrossEntropyLoss(ignore_index=2), (y,), 4)) == 2
    assert batch_weight(nn.CrossEntropyLoss(reduction="sum"), (y,), 4) is None
    assert batch_weight(lambda p, y: 0, (y,), 4) == 4


@pytest.mark.parametrize("n", [0, 1.5, True, "32"])
def test_refuses_what_is_no_number_of_items(n):
    with pytest.raises(ValueError, match="number of items per step"):
        GradientAccumulation(n)
