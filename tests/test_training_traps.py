"""What goes wrong without a word elsewhere when networks are trained: each test pulls the trigger and says what happens here."""
import os
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callback import Callback, CancelFitException, Order
from minifast.callbacks.accumulate import GradientAccumulation
from minifast.callbacks.batch import BnFreeze
from minifast.callbacks.loggers import CSVLogger
from minifast.callbacks.mix import CutMix, MixUp
from minifast.callbacks.precision import MixedPrecision
from minifast.callbacks.resume import Resume
from minifast.callbacks.trackers import EarlyStoppingCallback, ReduceLROnPlateau, SaveModelCallback
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.groups import get_hyper
from minifast.learner import Learner
from minifast.losses import CrossEntropyLossFlat, MSELossFlat
from minifast.metrics import Metric, as_metric
from minifast.optim import OptimWrapper
from minifast.transform import RandTransform


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


# -- freezing -----------------------------------------------------------------------------------------------------------------------
def test_statistics_of_a_frozen_body_do_not_drift():
    learn = make(train_bn=False)
    learn.freeze()
    before = learn.model[0][1].running_mean.clone()
    learn.fit(1)
    assert torch.equal(before, learn.model[0][1].running_mean)
    learn.unfreeze()
    learn.fit(1)
    assert not torch.equal(before, learn.model[0][1].running_mean)


def test_bn_freeze_does_what_it_says_with_the_default_train_bn():
    learn = make(cbs=BnFreeze())
    before = learn.model[0][1].running_var.clone()
    learn.fit(1)
    assert torch.equal(before, learn.model[0][1].running_var)


@pytest.mark.parametrize("verb", [lambda learn: learn.freeze(), lambda learn: learn.fine_tune(1)], ids=["freeze", "fine_tune"])
def test_freezing_one_group_is_refused(verb):
    learn = make(splitter=lambda m: list(m.parameters()))
    with pytest.raises(ValueError, match="this model has 1 layer group. Pass `splitter=`"):
        verb(learn)


def test_what_was_frozen_by_hand_stays_frozen():
    learn = make()
    learn.model[0][0].weight.requires_grad_(False)
    before = learn.model[0][0].weight.clone()
    learn.fine_tune(1)
    learn.unfreeze()
    learn.fit(1)
    assert not learn.model[0][0].weight.requires_grad and torch.equal(before, learn.model[0][0].weight)


def test_momentum_survives_freezing_and_unfreezing():
    learn = make()
    learn.fit(1)
    state = {id(p): learn.opt.state[p]["exp_avg"].clone() for p in learn.model.parameters()}
    learn.freeze()
    learn.unfreeze()
    assert all(torch.equal(state[id(p)], learn.opt.state[p]["exp_avg"]) for p in learn.model.parameters())


# -- optimizer ----------------------------------------------------------------------------------------------------------------------
def decayed(model, opt_func, **kwargs):
    "Names of the parameters that weight decay reaches."
    learn = make(model=model, splitter=lambda m: list(m.parameters()), opt_func=opt_func, wd=0.3, **kwargs)
    learn.create_opt()
    wd = {id(p): g["weight_decay"] for g in learn.opt.param_groups for p in g["params"]}
    return {n for n, p in model.named_parameters() if wd[id(p)]}


def test_a_wrapped_optimizer_does_not_decay_norms_and_biases():
    def wrapped(params, **kwargs):
        return OptimWrapper(params, opt=torch.optim.AdamW, **kwargs)

    assert decayed(net(), wrapped) == {"0.0.weight", "1.weight"}


def test_no_decay_of_recurrent_and_attention_biases_and_group_norms():
    model = nn.ModuleDict({"lstm": nn.LSTM(4, 4), "attention": nn.MultiheadAttention(4, 2), "norm": nn.GroupNorm(2, 4)})
    assert decayed(model, torch.optim.AdamW) == {"lstm.weight_ih_l0", "lstm.weight_hh_l0", "attention.in_proj_weight",
                                                 "attention.out_proj.weight"}


def test_what_one_fit_is_told_does_not_stick():
    learn = make(wd=0.01)
    learn.create_opt()
    before = {n: get_hyper(learn.opt, n) for n in ("lr", "wd", "mom")}
    learn.fit(1, 0.5, wd=0.2)
    learn.fit_one_cycle(1, 0.3)
    assert {n: get_hyper(learn.opt, n) for n in ("lr", "wd", "mom")} == before


def test_the_plateau_rule_and_a_schedule_are_refused_together():
    with pytest.raises(ValueError, match="ReduceLROnPlateau"):
        make().fit_one_cycle(1, cbs=ReduceLROnPlateau())


def test_stopping_early_inside_one_cycle_is_warned_of():
    with pytest.warns(UserWarning, match="patience"):
        make().fit_one_cycle(3, cbs=EarlyStoppingCallback(patience=1))


@pytest.mark.parametrize("verb", ["fit_flat_cos", "fit_one_cycle", "fit"])
def test_a_start_epoch_leaves_the_first_epochs_out(verb):
    learn = make()
    getattr(learn, verb)(4, start_epoch=3)
    assert [r["epoch"] for r in learn.recorder.history] == [3]


# -- the learning-rate finder -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("broken", [False, True], ids=["finished", "interrupted"])
def test_the_finder_leaves_nothing_changed(broken):
    learn = make()
    learn.fit(1)
    before = {k: v.clone() for k, v in learn.model.state_dict().items()}
    momentum = [learn.opt.state[p]["exp_avg"].clone() for p in learn.model.parameters()]
    rng, numpy_rng, history = torch.get_rng_state(), np.random.get_state()[1].copy(), list(learn.recorder.history)
    if broken:
        calls = []

        def forward(module, args):
            calls.append(1)
            if len(calls) == 7:
                raise KeyboardInterrupt

        handle = learn.model.register_forward_pre_hook(forward)
        with pytest.raises(KeyboardInterrupt):
            learn.lr_find(num_it=20, show_plot=False)
        handle.remove()
    else:
        learn.lr_find(num_it=20, show_plot=False)
    assert all(torch.equal(before[k], v) for k, v in learn.model.state_dict().items())
    assert all(torch.equal(m, learn.opt.state[p]["exp_avg"]) for m, p in zip(momentum, learn.model.parameters(), strict=True))
    assert torch.equal(rng, torch.get_rng_state()) and (np.random.get_state()[1] == numpy_rng).all()
    assert learn.recorder.history == history


def test_the_finder_writes_nothing(tmp_path):
    folder = tmp_path / "read_only"
    folder.mkdir()
    folder.chmod(0o500)
    learn = make(path=folder)
    learn.lr_find(num_it=10, show_plot=False)
    assert list(folder.iterdir()) == []


# -- techniques ---------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("cls", [MixUp, CutMix])
def test_interrupted_mixing_leaves_the_loss_as_it_was(cls):
    x, y = torch.randn(8, 3, 6, 6), torch.arange(8) % 3
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    learn = Learner(DataLoaders(DataLoader(TensorDataset(x, y), bs=4)), model, CrossEntropyLossFlat(), default_cbs=False)
    loss = learn.loss_func
    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, cbs=[cls(), Callback(after_loss=interrupt)])
    assert learn.loss_func is loss and loss.reduction == "mean"
    before = x.clone()
    learn.fit(1, cbs=cls())
    assert torch.equal(x, before)                                  # the data are not edited in place


def test_mixing_takes_a_last_batch_of_one():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3))
    make(n=9, bs=4, shuffle=False, model=model, splitter=lambda m: list(m.parameters())).fit(1, cbs=MixUp())


def test_what_is_left_of_accumulated_gradients_is_stepped_with():
    learn, steps = make(n=20, bs=8, shuffle=False), []
    learn.fit(1, cbs=[GradientAccumulation(16), Callback(after_step=lambda: steps.append(1))])
    assert len(steps) == 2 and all(p.grad is None for p in learn.model.parameters())


def test_half_precision_is_never_ignored():
    with pytest.raises(ValueError, match=r"to_fp16\(\) needs an accelerator.*use to_bf16"):
        make().to_fp16()
    seen = []
    learn = make().to_bf16()
    learn.model[1].register_forward_hook(lambda m, args, out: seen.append(out.dtype))
    learn.fit(1)
    assert set(seen) == {torch.bfloat16}


def test_skipped_steps_are_counted(monkeypatch):
    monkeypatch.setattr(MixedPrecision, "check", lambda self, learn: None)
    monkeypatch.setattr(MixedPrecision, "forward_context", lambda self: torch.autocast("cpu", dtype=torch.bfloat16))
    learn = make(loss=lambda p, y: p.float().sum() * 1e30, cbs=MixedPrecision("fp16", init_scale=2.0**40))
    learn.fit(1)
    assert learn.mixed_precision.skipped_steps == 3


@pytest.mark.parametrize("weights", [None, torch.tensor([0.1, 1.0, 4.0])])
def test_accumulating_in_half_precision_steps_as_one_batch_does(monkeypatch, weights):
    monkeypatch.setattr(MixedPrecision, "check", lambda self, learn: None)
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


# -- processes and names ------------------------------------------------------------------------------------------------------------
def test_a_job_number_in_the_environment_does_not_stop_saving(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "RANK", "1")
    learn = make(path=tmp_path)
    assert learn.save("model").exists()


def test_a_misspelt_attribute_of_the_learner_is_refused():
    with pytest.raises(AttributeError, match="did you mean 'metrics'"):
        make().mterics = ["accuracy"]


# -- metrics and records ------------------------------------------------------------------------------------------------------------
class Scripted(Metric):
    "Says what it is told, epoch by epoch."
    name = "scripted"

    def __init__(self, values, lower_is_better):
        self.values, self.lower_is_better = list(values), lower_is_better

    def reset(self):
        pass

    def accumulate(self, learn):
        pass

    @property
    def value(self):
        return self.values.pop(0)


@pytest.mark.parametrize("name", ["rmse", "mae", "mse", "msle", "perplexity", "exp_rmspe", "error_rate"])
def test_metrics_of_errors_are_better_when_lower(name):
    assert as_metric(name).lower_is_better is True


def weights_of(learn):
    return learn.model[1].weight.clone()


def test_the_best_model_is_kept_by_the_direction_of_the_metric(tmp_path):
    learn, seen = make(path=tmp_path, metrics=Scripted([5.0, 1.0, 3.0], lower_is_better=True)), []
    learn.fit(3, cbs=[SaveModelCallback(monitor="scripted"), Callback(after_epoch=lambda: seen.append(weights_of(learn)))])
    assert torch.equal(weights_of(learn), seen[1])


def test_only_what_this_run_saved_is_loaded(tmp_path):
    make(path=tmp_path).save("model")                                           # of an earlier run
    learn = make(path=tmp_path, metrics=Scripted([float("nan")] * 2, lower_is_better=True))
    before = weights_of(learn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        learn.fit(2, cbs=SaveModelCallback(monitor="scripted"))
    assert not torch.equal(before, weights_of(learn))                           # trained, and not replaced by the old file


def test_the_best_of_both_phases_of_fine_tune_is_kept(tmp_path):
    learn, seen = make(path=tmp_path, metrics=Scripted([1.0, 4.0, 3.0], lower_is_better=True)), []
    learn.fine_tune(2, cbs=[SaveModelCallback(monitor="scripted"), Callback(after_epoch=lambda: seen.append(weights_of(learn)))])
    assert torch.equal(weights_of(learn), seen[0])


def test_the_log_file_only_grows(tmp_path):
    learn = make(path=tmp_path, cbs=CSVLogger())
    learn.fit(2)
    learn.validate()
    learn.lr_find(num_it=10, show_plot=False)
    learn.fine_tune(1)
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 1 + 2 + 2


def test_validating_and_predicting_leave_the_record_alone():
    learn = make()
    learn.fit(1)
    losses, rows = list(learn.recorder.losses), list(learn.recorder.history)
    learn.validate()
    learn.get_preds()
    assert learn.recorder.losses == losses and len(losses) == 3 and learn.recorder.history == rows


def test_the_training_loss_is_the_mean_over_the_epoch():
    learn, losses = make(n=20, bs=8, shuffle=False), []
    learn.fit(2, cbs=Callback(after_loss=lambda: losses.append(learn.loss.item()) if learn.training else None))
    for epoch in range(2):
        per_batch = losses[3 * epoch:3 * epoch + 3]
        expected = np.average(per_batch, weights=[8, 8, 4])
        assert learn.recorder.values[epoch][0] == pytest.approx(expected, rel=1e-6)


# -- data and files -----------------------------------------------------------------------------------------------------------------
def test_photos_are_turned_upright(tmp_path):
    from minifast.vision.images import PILImage
    im = Image.new("RGB", (6, 4))
    exif = im.getexif()
    exif[0x0112] = 6
    im.save(tmp_path / "a.jpg", exif=exif)
    assert PILImage.create(tmp_path / "a.jpg").size == (4, 6)


def test_predictions_on_the_training_set_are_the_same_each_time():
    class Noise(RandTransform):
        def draw(self, sample, rng, split_idx):
            return {"by": float(rng.random())}

        def encodes(self, x: torch.Tensor, by):
            return x + by if x.is_floating_point() else x

    learn = make()
    train = learn.dls.train.new(after_batch=[Noise(split_idx=0)], split_idx=0)
    learn.dls = DataLoaders(train, learn.dls.valid)
    assert torch.equal(learn.get_preds(ds_idx=0)[0], learn.get_preds(ds_idx=0)[0])


def test_an_interrupted_fit_goes_on_exactly(tmp_path):
    def run(path, *cbs):
        learn = make(path=path)
        torch.manual_seed(4)
        learn.fit_one_cycle(3, 0.02, cbs=[Resume(), *cbs])
        return learn

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", Callback(before_validate=lambda cb: interrupt() if cb.learn.epoch == 1 else None))
    again = make(path=tmp_path / "broken")
    again.fit_one_cycle(3, 0.02, cbs=Resume())
    assert all(torch.equal(a, b) for a, b in zip(whole.model.parameters(), again.model.parameters(), strict=True))


def test_an_unknown_monitor_lists_those_there_are():
    with pytest.raises((ValueError, KeyError), match="valid_loss"):
        make(metrics="accuracy").fit(1, cbs=SaveModelCallback(monitor="acuracy"))


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
        if cb.learn.iter == 3 and not cb.learn.rehearsing and not getattr(cb, "busy", False):
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
    from minifast.losses import BCEWithLogitsLossFlat

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
