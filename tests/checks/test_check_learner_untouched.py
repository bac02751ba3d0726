"""A check changes nothing: not when it ends, and not when it is interrupted anywhere."""
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import TensorDataset
from zoo import loaders, points, table, table_loaders

from minifast.callbacks.base import Callback
from minifast.callbacks.mix import MixUp
from minifast.checks import check_learner as checks_of_learners
from minifast.checks.check_learner import check_learner
from minifast.checks.check_loaders import check_loaders
from minifast.checks.learner import activations, evaluation, outputs, overfit_batch, updates
from minifast.checks.learner.baseline import baselines
from minifast.checks.learner.dependency import unused_inputs
from minifast.data.loaders import DataLoaders
from minifast.learner.learner import Learner
from minifast.metrics.functions import accuracy
from minifast.nn.losses import CrossEntropyLossFlat


class Counting(nn.Sequential):
    "A model that keeps count of its calls, in Python."
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


def make(trained=True, torch_loaders=False):
    torch.manual_seed(0)
    x, y = points()
    dls = loaders(x, y)
    if torch_loaders:
        g = torch.Generator().manual_seed(3)
        dls = DataLoaders(TorchDataLoader(TensorDataset(x[:160], y[:160]), 32, shuffle=True, generator=g),
                          TorchDataLoader(TensorDataset(x[160:], y[160:]), 32))
    model = Counting(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))
    learn = Learner(dls, model, CrossEntropyLossFlat(), metrics=accuracy, cbs=MixUp())
    if trained:
        with learn.no_bar(), learn.no_logging():
            learn.fit(1, 1e-2)
        learn.model[0].weight.grad = torch.ones_like(learn.model[0].weight)
        learn.model[4].bias.requires_grad_(False)
    return learn


def snapshot(learn):
    "Everything that must stay, as values."
    tensors = {n: t.detach().clone() for n, t in [*learn.model.named_parameters(), *learn.model.named_buffers()]}
    grads = {n: None if p.grad is None else p.grad.clone() for n, p in learn.model.named_parameters()}
    rest = {
        "flags": [p.requires_grad for p in learn.model.parameters()],
        "modes": [m.training for m in learn.model.modules()],
        "calls": learn.model.calls,
        "hooks": sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in learn.model.modules()),
        "history": repr(learn.recorder.history),
        "losses": list(learn.recorder.raw_losses),
        "fits": len(learn.recorder.fits),
        "cbs": [id(cb) for cb in learn.cbs],
        "attached": [cb.learn is learn for cb in learn.cbs],
        "dl": learn.dl,
        "loss": learn.loss,
        "model": id(learn.model),
        "opt": id(learn.opt),
        "lr": learn.lr,
        "loss_func": id(learn.loss_func),
        "metrics": [id(m) for m in learn.metrics],
        "loaders": [
            (
                id(dl),
                getattr(dl, "peeks", 0),
                dl.state_dict() if hasattr(dl, "state_dict") else None,
            )
            for dl in learn.dls
        ],
        "random": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),
        "grad": torch.is_grad_enabled(),
        "hypers": [{k: v for k, v in g.items() if k != "params"} for g in learn.opt.param_groups] if learn.opt else None,
    }
    state = [torch.get_rng_state()]
    for dl in learn.dls:
        if isinstance(getattr(dl, "generator", None), torch.Generator):
            state.append(dl.generator.get_state())
    if learn.opt is not None:
        state += [t.clone() for s in learn.opt.state.values() for t in s.values() if isinstance(t, torch.Tensor)]
    return tensors, grads, rest, state


def assert_same(before, after):
    for a, b in zip(before[0].items(), after[0].items(), strict=True):
        assert a[0] == b[0] and torch.equal(a[1], b[1])
    for (n, a), b in zip(before[1].items(), after[1].values(), strict=True):
        assert (a is None) == (b is None) and (a is None or torch.equal(a, b)), n
    assert before[2] == after[2]
    assert all(torch.equal(a, b) for a, b in zip(before[3], after[3], strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("torch_loaders", [False, True])
@pytest.mark.parametrize("trained", [False, True])
def test_a_check_changes_nothing(trained, torch_loaders):
    learn = make(trained, torch_loaders)
    before = snapshot(learn)
    check_learner(learn)
    assert_same(before, snapshot(learn))
    check_loaders(learn.dls)
    assert_same(before, snapshot(learn))


FUNCTIONS = [outputs.model_runs, activations.train_and_eval_mode, unused_inputs, updates.missing_gradients,
             updates.update_to_weight_ratio, overfit_batch.overfit_one_batch, baselines, evaluation.repeatable_validation,
             evaluation.consistent_predictions]


@pytest.mark.parametrize("at", ["forward 1", "forward 7", "forward 40", "backward 2", "backward 12", "step 3"])
def test_ctrl_c_anywhere_changes_nothing(at, monkeypatch):
    learn = make()
    before = snapshot(learn)
    kind, number = at.split()
    count = [0]

    def interrupting(original):
        def call(*args, **kwargs):
            count[0] += 1
            if count[0] == int(number):
                raise KeyboardInterrupt
            return original(*args, **kwargs)
        return call

    target = {"forward": (Counting, "forward"), "backward": (torch.Tensor, "backward"), "step": (torch.optim.AdamW, "step")}[kind]
    monkeypatch.setattr(*target, interrupting(getattr(*target)))
    with pytest.raises(KeyboardInterrupt):
        check_learner(learn)
    monkeypatch.undo()
    assert count[0] == int(number)
    assert_same(before, snapshot(learn))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_ctrl_c_in_each_check_changes_nothing(function, monkeypatch):
    learn = make()
    before = snapshot(learn)

    def interrupted(probe):
        probe.model[0].weight.data.fill_(0)
        torch.rand(3)
        raise KeyboardInterrupt

    entries = tuple(e._replace(function=interrupted) if e.function is function else e for e in checks_of_learners.CHECKS)
    assert entries != checks_of_learners.CHECKS
    monkeypatch.setattr(checks_of_learners, "CHECKS", entries)
    with pytest.raises(KeyboardInterrupt):
        check_learner(learn, fast=True)
    assert_same(before, snapshot(learn))


def test_training_goes_on_as_if_nothing_had_happened():
    results = []
    for check in (False, True):
        learn = make()
        torch.manual_seed(7)
        if check:
            check_learner(learn, fast=True)
            check_loaders(learn.dls, fast=True)
        with learn.no_bar(), learn.no_logging():
            learn.fit(2, 1e-2)
        results.append([p.detach().clone() for p in learn.model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_model_that_cannot_be_copied_is_put_back():
    learn = make()
    learn.model.odd = learn.model[0].weight * 2             # a tensor with a graph: deepcopy refuses it
    before = snapshot(learn)
    report = check_learner(learn, fast=True)
    assert report["MF102"].verdict == "pass"
    after = snapshot(learn)
    assert_same((*before[:2], {k: v for k, v in before[2].items() if k != "calls"}, before[3]),
                (*after[:2], {k: v for k, v in after[2].items() if k != "calls"}, after[3]))


def test_inside_a_fit():
    learn, found = make(), []
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, cbs=Callback(after_epoch=lambda cb: found.append(check_learner(cb.learn, fast=True, ignore="MF701"))))
        learn.fit(1)
    assert found[0].ok or found[0].cause is not None


def test_tables_stay_as_they_are():
    dls = table_loaders(table())
    first = [t.clone() for t in dls.train_ds.tensors]
    check_loaders(dls)
    assert all(torch.equal(a, b) for a, b in zip(first, dls.train_ds.tensors, strict=True))
