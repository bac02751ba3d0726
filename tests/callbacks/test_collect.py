"""HookCallback and CollectDataCallback keep what passes by."""
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from minifast.callbacks import CollectDataCallback, HookCallback, TrainEvalCallback, event
from minifast.data.loaders import DataLoaders
from minifast.learner.learner import Learner


def learner(**kwargs):
    x = torch.arange(24.0).view(12, 2) / 24
    loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), 4)
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    return Learner(DataLoaders(loader, loader), model, nn.functional.mse_loss, **kwargs)


class Means(HookCallback):
    def before_fit(self):
        super().before_fit()
        self.seen = []

    def hook(self, m, i, o):
        return o.mean().item()

    def after_pred(self):
        self.seen.append(list(self.hooks.stored))


def test_outputs_of_layers_are_kept():
    learn, cb = learner(), Means()
    learn.fit(1, 0.0, cbs=cb)
    assert len(cb.seen) == 3 and all(len(row) == 2 for row in cb.seen)          # two layers have parameters; training batches alone
    x = learn.dls.train.dataset.tensors[0][:4]
    assert cb.seen[0] == pytest.approx([learn.model[0](x).mean().item(), learn.model(x).mean().item()])
    assert not any(m._forward_hooks for m in learn.model.modules())


def test_every_which_modules_and_a_function():
    learn = learner()
    cb = HookCallback(learn.model[1:2], every=2, hook=lambda m, i, o: tuple(o.shape), remove_end=False)
    kept = []
    cb.after_pred = lambda: kept.append(list(cb.hooks.stored))
    learn.fit(1, 0.0, cbs=cb)
    assert kept[0] and kept[0][0] and not learn.model[1]._forward_hooks
    cb = Means(include_paramless=True)
    learn.fit(1, 0.0, cbs=cb)
    assert len(cb.seen[0]) == 3
    with pytest.raises(NotImplementedError, match=r"HookCallback has no `hook`: define `def hook\(self, m, i, o\)`"):
        learn.fit(1, cbs=HookCallback())


def test_batches_are_collected():
    learn, cb = learner(), CollectDataCallback()
    learn.fit(1, cbs=[cb, TrainEvalCallback()])
    assert len(cb.data) == 6
    (xb,), (yb,), pred, loss = cb.data[0]
    assert xb.shape == (4, 2) and yb.shape == pred.shape == (4, 1) and loss.ndim == 0 and not pred.requires_grad


def test_events_by_name():
    assert event.after_batch == "after_batch" and event.before_fit == "before_fit" and not hasattr(event, "begin_fit")
