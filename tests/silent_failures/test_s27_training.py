"""Silent failures of training: freezing, optimizers and schedules, the learning-rate finder, techniques, and where it runs."""
import os
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from small_learners import body_head, make, net, one_group, same, weights_of
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.base import Callback
from minifast.callbacks.batch import BnFreeze
from minifast.callbacks.gradients import GradientAccumulation
from minifast.callbacks.mix import CutMix, MixUp
from minifast.callbacks.precision import MixedPrecision
from minifast.callbacks.trackers import EarlyStoppingCallback, ReduceLROnPlateau
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.optim.groups import get_hyper
from minifast.optim.optimizers import OptimWrapper


def interrupt():
    raise KeyboardInterrupt


# -- freezing -----------------------------------------------------------------------------------------------------------------------
def test_s27_statistics_of_a_frozen_body_stand_still():
    """Batch norm in a frozen body.

    Elsewhere: even if the norm layers are frozen, too, their running statistics keep moving with every training batch, so the body that
    was meant to stay fixed predicts something else afterwards.
    Here: `Learner(train_bn=False)` keeps the norm layers of frozen groups in eval mode: parameters and statistics stay until
    `unfreeze`.
    """
    learn = make(train_bn=False)
    learn.freeze()
    before = learn.model[0][1].running_mean.clone()
    learn.fit(1)
    assert torch.equal(before, learn.model[0][1].running_mean)
    learn.unfreeze()
    learn.fit(1)
    assert not torch.equal(before, learn.model[0][1].running_mean)


def test_s28_bn_freeze_freezes_with_the_default_settings():
    """A callback that freezes batch norm.

    Elsewhere: it only considers norm layers whose parameters are frozen, and by default there are none: it does nothing.
    Here: `BnFreeze()` freezes the running statistics of every norm layer, whatever else is frozen.
    """
    learn = make(cbs=BnFreeze())
    before = learn.model[0][1].running_var.clone()
    learn.fit(1)
    assert torch.equal(before, learn.model[0][1].running_var)


@pytest.mark.parametrize("verb", [lambda learn: learn.freeze(), lambda learn: learn.fine_tune(1)], ids=["freeze", "fine_tune"])
def test_s29_freezing_a_model_of_one_group_says_that_all_of_it_trains(verb):
    """Freezing a model without layer groups.

    Elsewhere: `freeze` and the first phase of `fine_tune` freeze nothing, because everything is in the last group, and train the whole
    model.
    Here: a warning, once: "this model has 1 layer group, so nothing is frozen and all of it trains; to freeze a part write
    Learner(splitter=...)".
    """
    learn = make(splitter=one_group)
    with pytest.warns(UserWarning, match="this model has 1 layer group, so nothing is frozen and all of it trains; .* Learner.splitter="):
        verb(learn)
    assert all(p.requires_grad for p in learn.model.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learn.freeze()


def test_s30_what_was_frozen_by_hand_stays_frozen():
    """`requires_grad_(False)` before `unfreeze` or `fine_tune`.

    Elsewhere: both make every parameter trainable again, including those that the user froze by hand.
    Here: a parameter frozen by hand stays frozen through `freeze`, `unfreeze` and `fine_tune` until its flag is reset by hand.
    """
    learn = make()
    learn.model[0][0].weight.requires_grad_(False)
    before = learn.model[0][0].weight.clone()
    learn.fine_tune(1)
    learn.unfreeze()
    learn.fit(1)
    assert not learn.model[0][0].weight.requires_grad and torch.equal(before, learn.model[0][0].weight)
    assert all(p.requires_grad for n, p in learn.model.named_parameters() if n != "0.0.weight")


def test_s31_momentum_survives_freezing():
    """Optimizer state when layers are frozen or unfrozen.

    Elsewhere: each `freeze` and `unfreeze` clears the optimizer, and training restarts without momentum.
    Here: averages and momentum are kept; `create_opt()` or `fit(..., reset_opt=True)` starts afresh.
    """
    learn = make()
    learn.fit(1)
    state = [learn.opt.state[p]["exp_avg"].clone() for p in learn.model.parameters()]
    learn.freeze()
    learn.unfreeze()
    assert all(torch.equal(s, learn.opt.state[p]["exp_avg"]) for s, p in zip(state, learn.model.parameters(), strict=True))


# -- optimizers and schedules -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("opt_func", [partial(OptimWrapper, opt=torch.optim.AdamW), torch.optim.AdamW], ids=["wrapped", "torch's own"])
def test_s32_no_optimizer_decays_norm_layers(opt_func):
    """Weight decay of norm layers and biases with an optimizer of torch.

    Elsewhere: they are exempt only with the framework's own optimizers; with a wrapped one the setting has no effect, and the scale of
    batch norm shrinks.
    Here: they are in a parameter group of their own with weight decay 0, whatever the optimizer; `Learner(wd_bn_bias=True)` decays
    them.
    """
    def trained(**kwargs):
        learn = make(opt_func=opt_func, loss=lambda pred, y: (pred * 0).sum(), wd=0.5, **kwargs)      # no gradient: nothing but decay
        learn.fit(1, 0.1)
        return learn.model[0][1].weight, learn.model[0][0].weight

    norm, linear = trained()
    assert (norm == 1).all() and not torch.equal(linear, net()[0][0].weight)
    assert (trained(wd_bn_bias=True)[0] < 1).all()


def test_s33_biases_are_known_by_what_they_are():
    """Weight decay of the biases of recurrent and attention layers, and of group norm.

    Elsewhere: only parameters named exactly `bias` and a few batch norm classes are exempt; the rest is decayed.
    Here: every parameter with the word bias in its name (`bias_ih_l0`, `in_proj_bias`) and of any norm layer is exempt.
    """
    model = nn.ModuleDict({"lstm": nn.LSTM(4, 4), "attention": nn.MultiheadAttention(4, 2), "norm": nn.GroupNorm(2, 4)})
    learn = make(model=model, splitter=one_group, wd=0.3)
    learn.create_opt()
    decay = {id(p): g["weight_decay"] for g in learn.opt.param_groups for p in g["params"]}
    assert {n for n, p in model.named_parameters() if decay[id(p)]} == {
        "lstm.weight_ih_l0", "lstm.weight_hh_l0", "attention.in_proj_weight", "attention.out_proj.weight"}


def test_s34_what_one_fit_is_told_does_not_stick():
    """`fit(1, lr=..., wd=...)`, then another fit.

    Elsewhere: the weight decay of one fit applies to all later ones, and after one-cycle the momentum stays where the schedule left it.
    Here: arguments of a fit apply to that fit; afterwards lr, weight decay and momentum are what they were.
    """
    learn = make(wd=0.01)
    learn.create_opt()
    before = {n: get_hyper(learn.opt, n) for n in ("lr", "wd", "mom")}
    learn.fit(1, 0.5, wd=0.2)
    learn.fit_one_cycle(1, 0.3, wd=0.4)
    assert {n: get_hyper(learn.opt, n) for n in ("lr", "wd", "mom")} == before


@pytest.mark.parametrize("verb", ["fit_one_cycle", "fit_flat_cos", "fine_tune"])
def test_s35_a_plateau_rule_beside_a_schedule_is_warned_of(verb):
    """`ReduceLROnPlateau` together with one-cycle.

    Elsewhere: it reports that it lowered the learning rate, and the schedule sets it back at the next batch.
    Here: said before the first batch: "the schedule sets the learning rate anew at every batch, so that lowering it would have no effect.
    Use it with fit()"; it then does nothing, and reports nothing.
    """
    learn, reduce = make(), ReduceLROnPlateau(min_delta=1e9)
    with pytest.warns(UserWarning, match="lowering it would have no effect. Use it with fit"):
        getattr(learn, verb)(3, cbs=reduce)
    assert reduce.reductions == []


def test_s36_little_patience_inside_one_cycle_is_warned_of():
    """Early stopping with one-cycle.

    Elsewhere: with a patience of an epoch or two, training stops at the peak of the learning rate, where the loss stalls for a while,
    and the best part of the schedule never runs.
    Here: a warning before training names the smallest sensible value: "Use patience=2 or more, or fit_flat_cos, whose rate only falls".
    """
    with pytest.warns(UserWarning, match=r"EarlyStoppingCallback\(patience=1\).*Use patience=2 or more, or fit_flat_cos"):
        make().fit_one_cycle(3, cbs=EarlyStoppingCallback(patience=1))


@pytest.mark.parametrize("verb", ["fit_flat_cos", "fit_one_cycle", "fit"])
def test_s37_a_start_epoch_leaves_the_first_epochs_out(verb):
    """`fit_flat_cos(4, start_epoch=3)`.

    Elsewhere: this one method ignores `start_epoch` and trains all epochs again.
    Here: every method starts at that epoch, at its place in the schedule.
    """
    whole, learn = make(), make()
    getattr(whole, verb)(4)
    getattr(learn, verb)(4, start_epoch=3)
    assert [r["epoch"] for r in learn.recorder.history] == [3] and learn.recorder.lrs == pytest.approx(whole.recorder.lrs[9:])


# -- the learning-rate finder -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("broken", [False, True], ids=["finished", "interrupted"])
def test_s38_the_finder_leaves_no_trace(broken):
    """`lr_find`, even if it is interrupted.

    Elsewhere: it advances the random streams, so a run with it differs from one without; and Ctrl-C leaves the weights as the last,
    enormous learning rate made them.
    Here: weights, buffers, optimizer, random streams and history are restored, also after Ctrl-C.
    """
    learn = make()
    learn.fit(1)
    before, momentum = weights_of(learn), [learn.opt.state[p]["exp_avg"].clone() for p in learn.model.parameters()]
    rng, numpy_rng, history = torch.get_rng_state(), np.random.get_state()[1].copy(), list(learn.recorder.history)
    if broken:
        with learn.added_cbs(Callback(after_step=lambda cb: interrupt() if cb.learn.train_iter == 7 else None)):
            with pytest.raises(KeyboardInterrupt):
                learn.lr_find(num_it=20, show_plot=False)
    else:
        learn.lr_find(num_it=20, show_plot=False)
    assert same(learn, before) and learn.recorder.history == history
    assert all(torch.equal(m, learn.opt.state[p]["exp_avg"]) for m, p in zip(momentum, learn.model.parameters(), strict=True))
    assert torch.equal(rng, torch.get_rng_state()) and (np.random.get_state()[1] == numpy_rng).all()


# -- techniques ---------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("cls", [MixUp, CutMix])
def test_s39_interrupted_mixing_leaves_the_loss_as_it_was(cls):
    """Ctrl-C during a fit with MixUp or CutMix.

    Elsewhere: the learner's loss function was wrapped for that fit and stays wrapped, so every later fit computes something else.
    Here: `learn.loss_func` is never replaced; the losses of both targets are mixed in `after_loss`.
    """
    x, y = torch.randn(8, 3, 6, 6), torch.arange(8) % 3
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    loss = CrossEntropyLossFlat()
    learn = Learner(DataLoaders(DataLoader(TensorDataset(x, y), bs=4)), model, loss, default_cbs=False)
    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, cbs=[cls(), Callback(after_backward=interrupt)])
    assert learn.loss_func is loss and loss.reduction == "mean" and loss(torch.zeros(4, 3), y[:4]).ndim == 0


def test_s40_what_is_left_of_accumulated_gradients_is_stepped_with():
    """Gradient accumulation when the epoch is not a multiple of it.

    Elsewhere: the last batches of an epoch never lead to a step, and their gradients are added to those of the next epoch.
    Here: `GradientAccumulation` steps at the end of the epoch with what it has, as the mean over those items, and nothing is left over.
    """
    learn, sizes = make(n=20, bs=8, shuffle=False), []
    learn.fit(1, cbs=[GradientAccumulation(16), Callback(after_step=lambda cb: sizes.append(cb.learn.iter))])
    assert sizes == [1, 2] and all(p.grad is None for p in learn.model.parameters())


def test_s41_half_precision_is_never_ignored():
    """`to_fp16()` without an accelerator.

    Elsewhere: the learner says that it trains in half precision, and trains in single precision.
    Here: `to_fp16()` on a CPU warns, "training is in full precision (to_bf16() works on a CPU too)"; `to_bf16()` really computes in
    bf16 there.
    """
    with pytest.warns(UserWarning, match=r"fp16 needs an accelerator.*training is in full precision \(to_bf16\(\) works on a CPU too"):
        learn = make().to_fp16()
    assert "fp16, off: the data is on the CPU" in str(learn.summary())
    seen = []
    learn = make().to_bf16()
    learn.model[1].register_forward_hook(lambda m, args, out: seen.append(out.dtype))
    learn.fit(1)
    assert set(seen) == {torch.bfloat16}


def test_s42_skipped_steps_are_counted(monkeypatch):
    """Steps that fp16 skips because gradients overflow.

    Elsewhere: the optimizer does not step, the epoch table looks normal, and nothing says how often.
    Here: `learn.mixed_precision.skipped_steps` counts them, `learn.summary()` shows the count, and a fit that skipped more than a
    quarter of its steps warns: "3 of 3 steps of this fit did nothing, because gradients overflowed".
    """
    monkeypatch.setattr(MixedPrecision, "works_on", lambda self, device: True)              # so that it can be tried on a CPU
    monkeypatch.setattr(MixedPrecision, "forward_context", lambda self: torch.autocast("cpu", dtype=torch.bfloat16))
    learn = make(loss=lambda p, y: p.float().sum() * 1e30, cbs=MixedPrecision("fp16", init_scale=2.0**40))
    before = weights_of(learn)
    with pytest.warns(UserWarning, match="fp16: 3 of 3 steps of this fit did nothing, because gradients overflowed"):
        learn.fit(1)
    assert learn.mixed_precision.skipped_steps == 3 and same(learn, before)
    assert "MixedPrecision(fp16, 3 steps skipped)" in str(learn.summary())


# -- where it runs, and names ---------------------------------------------------------------------------------------------------------
def test_s43_a_job_number_does_not_stop_saving(tmp_path, monkeypatch):
    """The environment variable `RANK`, as cluster schedulers set it.

    Elsewhere: it is taken for the rank of a process in distributed training; all but rank 0 return from `save` without a file.
    Here: the environment does not matter: `learn.save` writes the file and returns its path, or raises.
    """
    monkeypatch.setitem(os.environ, "RANK", "1")
    learn = make(path=tmp_path)
    assert learn.save("model").exists()
    assert same(make(path=tmp_path).load("model"), weights_of(learn))


def test_s44_mixing_takes_a_batch_of_one_and_writes_into_none():
    """MixUp on a last batch of one item; CutMix on batches that are used again.

    Elsewhere: the first fails with a shape error at the end of the epoch; the second pastes into the batch itself, so tensors that are
    reused are cut up a little more in every epoch.
    Here: a batch of any size is mixed, and always into a copy.
    """
    make(n=9, bs=4, shuffle=False, model=nn.Sequential(nn.Linear(4, 3)), splitter=one_group).fit(1, cbs=MixUp())
    x, y = torch.randn(4, 3, 6, 6), torch.arange(4) % 3
    before = x.clone()
    model = nn.Sequential(nn.Flatten(), nn.Linear(108, 3))
    Learner(DataLoaders([(x, y)], device="cpu"), model, CrossEntropyLossFlat(), default_cbs=False).fit(3, cbs=CutMix())
    assert torch.equal(x, before)


def test_s45_a_misspelt_attribute_of_the_learner_is_refused():
    """`learn.mterics = [accuracy]`.

    Elsewhere: the attribute is created, and training continues without the metric.
    Here: an `AttributeError`: "a Learner has no attribute 'mterics'; did you mean 'metrics'?"
    """
    learn = make(splitter=body_head)
    with pytest.raises(AttributeError, match="a Learner has no attribute 'mterics'; did you mean 'metrics'"):
        learn.mterics = ["accuracy"]
    learn.metrics = ["accuracy"]
    assert [m.name for m in learn.metrics] == ["accuracy"]
