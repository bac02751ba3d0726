"""Training that meets something unusual: a read-only folder, an interruption, an overflow, a pass within a pass.

Mistakes that raise no error elsewhere are in tests/silent_failures.
"""
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.base import Callback, CancelFitException, Order
from minifast.callbacks.gradients import GradientAccumulation
from minifast.callbacks.mix import MixUp
from minifast.callbacks.precision import MixedPrecision
from minifast.callbacks.resume import Resume
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat, MSELossFlat


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU()), nn.Linear(8, 3))


def body_head(m):
    return [list(part.parameters()) for part in m]


def make(n=24, bs=8, shuffle=True, model=None, path=None, loss=None, targets=None, **kwargs):
    g = torch.Generator().manual_seed(1)
    ds = TensorDataset(torch.randn(n, 4, generator=g), torch.arange(n) % 3 if targets is None else targets)
    learn = Learner(DataLoaders(DataLoader(ds, bs=bs, shuffle=shuffle), DataLoader(ds, bs=bs)), net() if model is None else model,
                    CrossEntropyLossFlat() if loss is None else loss, **{"splitter": body_head, "path": path, **kwargs})
    learn.logger = lambda row: None
    return learn.remove_cb(learn.progress)


def interrupt():
    raise KeyboardInterrupt


# -- the learning-rate finder -------------------------------------------------------------------------------------------------------
def test_the_finder_writes_nothing(tmp_path):
    folder = tmp_path / "read_only"
    folder.mkdir()
    folder.chmod(0o500)
    learn = make(path=folder)
    learn.lr_find(num_it=10, show_plot=False)
    assert list(folder.iterdir()) == []


# -- techniques ---------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("weights", [None, torch.tensor([0.1, 1.0, 4.0])])
def test_accumulating_in_half_precision_steps_as_one_batch_does(monkeypatch, weights):
    monkeypatch.setattr(MixedPrecision, "works_on", lambda self, device: True)
    monkeypatch.setattr(MixedPrecision, "forward_context", lambda self: torch.autocast("cpu", enabled=False))

    def trained(bs, *cbs):
        model = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))
        torch.manual_seed(3)
        for p in model.parameters():
            nn.init.normal_(p, std=0.5)
        learn = make(bs=bs, shuffle=False, model=model, loss=CrossEntropyLossFlat(weight=weights), cbs=[MixedPrecision("fp16"), *cbs])
        learn.fit(2, 1e-2)
        return torch.cat([p.detach().flatten() for p in model.parameters()]), learn.recorder.lrs

    big, lrs = trained(12)
    small, small_lrs = trained(4, GradientAccumulation(12))
    assert torch.allclose(big, small, atol=1e-5) and set(lrs) == set(small_lrs) == {1e-2}


# -- interruptions and overflows ---------------------------------------------------------------------------------------------------
def test_an_interrupted_fit_goes_on_exactly(tmp_path):
    def run(path, *cbs):
        learn = make(path=path)
        torch.manual_seed(4)
        learn.fit_one_cycle(3, 0.02, cbs=[Resume(), *cbs])
        return learn

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", Callback(before_validate=lambda cb: interrupt() if cb.learn.epoch == 1 else None))
    again = run(tmp_path / "broken")
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), again.model.parameters(), strict=True))


def test_a_loss_that_overflows_stops_the_fit_with_a_reason():
    learn = make(loss=MSELossFlat(), targets=torch.full((24, 3), 1e30))
    with pytest.raises(FloatingPointError, match="lower learning rate"):
        learn.fit(1, 1e10)


def test_cancelling_a_fit_is_no_error():
    class Stop(Callback):
        order = Order.DECIDE

        def after_epoch(self):
            raise CancelFitException

    learn = make()
    learn.fit(3, cbs=Stop())
    assert len(learn.recorder.history) == 1


# -- passes inside a fit ------------------------------------------------------------------------------------------------------------
class ValidateFirst(Callback):
    "Validates before anything was trained."

    def before_epoch(self):
        if self.learn.epoch == 0:
            self.learn.validate()


def test_validating_before_the_first_batch_cleans_nothing_up(tmp_path):
    from minifast.callbacks.batch import ShortEpochCallback
    learn = make(n=64, path=tmp_path)
    learn.fit(1, cbs=[ValidateFirst(), ShortEpochCallback(0.1)])
    assert len(learn.recorder.raw_losses) == 1


def test_a_fit_inside_a_fit_is_refused():
    learn = make()
    with pytest.raises(RuntimeError, match="started by a callback of a fit that is under way"):
        learn.fit(2, cbs=Callback(after_epoch=lambda: learn.lr_find(show_plot=False)))
    learn.fit(1)


def test_a_pass_inside_a_pass_leaves_its_metrics_alone():
    def trained(*cbs):
        learn = make(n=64, metrics="accuracy")
        learn.recorder.train_metrics = True
        torch.manual_seed(2)
        learn.fit(1, cbs=cbs)
        return learn.recorder.values

    def look(cb):
        if cb.learn.iter == 3 and not cb.learn.dry_run and not getattr(cb, "busy", False):
            cb.busy = True
            cb.learn.validate()
            cb.busy = False

    assert trained() == trained(Callback(after_batch=look))


def test_a_second_scheduler_starts_from_the_rate_of_its_fit():
    from functools import partial

    from torch.optim.lr_scheduler import LambdaLR

    from minifast.callbacks.scheduler import TorchScheduler
    learn = make()
    for lr in (1e-3, 1e-1):
        learn.fit(1, lr, cbs=TorchScheduler(partial(LambdaLR, lr_lambda=lambda e: 1.0)))
        assert learn.recorder.lrs[-1] == lr


def test_training_metrics_of_mixed_labels_compare_with_true_labels():
    from minifast.nn.losses import BCEWithLogitsLossFlat

    def accuracy_of(*cbs):
        y = (torch.arange(72).reshape(24, 3) % 2).float()
        learn = make(targets=y, loss=BCEWithLogitsLossFlat(), metrics="accuracy_multi")
        learn.recorder.train_metrics = True
        seen = []
        learn.fit(1, 0.0, wd=0.0, cbs=[*cbs, Callback(after_batch=lambda: seen.append(learn.yb[0]) if learn.training else None)])
        return torch.cat(seen).unique().tolist()

    assert accuracy_of(MixUp(5.0)) == [0.0, 1.0]


def test_averages_and_resizers_that_fight_are_refused():
    from minifast.callbacks.averaging import EMA, SWA
    with pytest.raises(ValueError, match="keep one of them"):
        make().fit(2, cbs=[EMA(), SWA()])
