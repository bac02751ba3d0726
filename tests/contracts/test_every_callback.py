"""Every callback of the package trains two batches and one batch, and survives Ctrl-C without leaving anything behind."""
import importlib
import pkgutil

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import minifast.callbacks
from minifast.callback import Callback
from minifast.callbacks.lr_finder import LRFinder
from minifast.callbacks.precision import MixedPrecision
from minifast.callbacks.scheduler import ParamScheduler
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner import Learner
from minifast.losses import CrossEntropyLossFlat
from minifast.schedule import SchedCos

#: Callbacks that need arguments, or another setting than the default on this device.
MAKE = {ParamScheduler: lambda: ParamScheduler({"lr": SchedCos(1e-2, 1e-3)}), MixedPrecision: lambda: MixedPrecision("bf16"),
        LRFinder: lambda: LRFinder(num_it=6)}


def all_callbacks():
    modules = [importlib.import_module(m.name) for m in pkgutil.iter_modules(minifast.callbacks.__path__, "minifast.callbacks.")]
    found = {o for m in modules for o in vars(m).values() if isinstance(o, type) and issubclass(o, Callback) and o is not Callback}
    return sorted(found, key=lambda c: c.__name__)


def make(n_batches, cbs):
    torch.manual_seed(0)
    ds = TensorDataset(torch.randn(4 * n_batches, 3), torch.arange(4 * n_batches) % 2)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    learn = Learner(DataLoaders(DataLoader(ds, bs=4), DataLoader(ds, bs=4)), model, CrossEntropyLossFlat(), cbs=cbs)
    learn.logger = lambda row: None
    return learn


def hooks_of(model):
    return sum(len(getattr(m, kind)) for m in model.modules()
               for kind in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"))


def assert_clean(learn, loss_func):
    assert hooks_of(learn.model) == 0
    assert not torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()
    assert learn.loss_func is loss_func and not learn.training and not learn.model.training and learn.dl is None
    assert all(cb.run for cb in learn.cbs)


@pytest.mark.parametrize("n_batches", [2, 1])
@pytest.mark.parametrize("cls", all_callbacks(), ids=lambda c: c.__name__)
def test_trains(cls, n_batches):
    learn = make(n_batches, MAKE.get(cls, cls)())
    loss_func = learn.loss_func
    before = [p.clone() for p in learn.model.parameters()]
    learn.fit(1, 1e-2)
    assert any(not torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True))
    assert all(torch.isfinite(p).all() for p in learn.model.parameters())
    learn.get_preds()
    assert_clean(learn, loss_func)


EVENTS = ["before_batch", "after_pred", "after_backward", "after_step", "before_validate"]
# the learning-rate finder cancels validation, so nothing can be interrupted there
INTERRUPTED = [(c, e) for c in all_callbacks() for e in EVENTS if (c, e) != (LRFinder, "before_validate")]


@pytest.mark.parametrize(("cls", "event"), INTERRUPTED, ids=lambda o: getattr(o, "__name__", o))
def test_survives_interruption(cls, event):
    learn = make(2, MAKE.get(cls, cls)())
    loss_func = learn.loss_func

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, cbs=Callback(**{event: interrupt}))
    assert_clean(learn, loss_func)
    learn.fit(1)
    assert_clean(learn, loss_func)


def test_the_list_is_not_empty():
    assert {"Recorder", "ProgressCallback", "ParamScheduler", "LRFinder", "MixedPrecision", "GatherPreds", "FirstBatch"} <= {
        c.__name__ for c in all_callbacks()}
