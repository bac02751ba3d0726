"""torch's own schedulers on a learner: the same learning rates as in a loop written by hand."""
from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import TensorDataset

from minifast.callbacks.scheduler import TorchScheduler
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import MSELossFlat


def make(**kwargs):
    torch.manual_seed(0)
    ds = TensorDataset(torch.randn(12, 3), torch.randn(12, 1))
    learn = Learner(DataLoaders(DataLoader(ds, bs=4), DataLoader(ds, bs=4)), nn.Linear(3, 1), MSELossFlat(), **kwargs)
    learn.logger = lambda row: None
    return learn.remove_cb(learn.progress)


def by_hand(make_scheduler, epochs, per_batch, lr=0.1):
    opt = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    sched, lrs = make_scheduler(opt), []
    for _ in range(epochs):
        for _ in range(3):
            lrs.append(opt.param_groups[0]["lr"])
            opt.step()
            if per_batch and len(lrs) < epochs * 3:
                sched.step()
        if not per_batch:
            sched.step()
    return lrs


CASES = [(partial(lr_scheduler.StepLR, step_size=2, gamma=0.5), False), (partial(lr_scheduler.ExponentialLR, gamma=0.7), False),
         (partial(lr_scheduler.CosineAnnealingLR, T_max=4), False),
         (partial(lr_scheduler.OneCycleLR, max_lr=0.3, total_steps=12, cycle_momentum=False), True)]


@pytest.mark.parametrize(("make_scheduler", "per_batch"), CASES, ids=lambda o: getattr(getattr(o, "func", None), "__name__", str(o)))
def test_learning_rates_as_by_hand(make_scheduler, per_batch):
    learn = make()
    learn.fit(4, 0.1, cbs=TorchScheduler(make_scheduler))
    assert learn.recorder.lrs == pytest.approx(by_hand(make_scheduler, 4, per_batch), rel=1e-12)
    learn.fit(1, 0.02)
    assert learn.recorder.lrs == pytest.approx([0.02] * 3)       # nothing stuck


def test_an_object_can_be_given_as_a_callback():
    learn = make(lr=0.1)
    learn.create_opt()
    learn.fit(4, cbs=lr_scheduler.StepLR(learn.opt, 2, gamma=0.5))
    assert learn.recorder.lrs == pytest.approx([0.1] * 6 + [0.05] * 6)


def test_plateau_reads_the_validation_loss():
    learn = make()
    learn.fit(3, 0.1, cbs=TorchScheduler(partial(lr_scheduler.ReduceLROnPlateau, patience=0, threshold=10.0, threshold_mode="abs")))
    assert learn.recorder.lrs == pytest.approx([0.1] * 6 + [0.01] * 3)


def test_refusals():
    learn = make()
    with pytest.raises(TypeError, match="TorchScheduler takes one of torch"):
        TorchScheduler(3)
    with pytest.raises(ValueError, match="both set the learning rate"):
        learn.fit_one_cycle(1, 0.1, cbs=TorchScheduler(partial(lr_scheduler.StepLR, step_size=1)))
    with pytest.raises(ValueError, match="belongs to another optimizer"):
        learn.fit(1, cbs=lr_scheduler.StepLR(torch.optim.SGD(learn.model.parameters(), lr=1), 1))
    with pytest.raises(TypeError, match="must return a torch scheduler"):
        learn.fit(1, cbs=TorchScheduler(lambda opt: None))
