import pickle
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import TensorDataset

from minifast.callbacks.base import (
    Callback,
    CancelBackwardException,
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelStepException,
    CancelTrainException,
    CancelValidException,
)
from minifast.callbacks.lr_finder import minimum, slide, steep, valley
from minifast.callbacks.progress import ProgressCallback
from minifast.callbacks.recorder import NonFiniteLoss, Recorder
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.metrics.functions import accuracy
from minifast.nn.losses import CrossEntropyLossFlat, MSELossFlat
from minifast.optim.groups import get_hyper, trainable_params
from minifast.optim.optimizers import SGD


def body_and_head():
    torch.manual_seed(0)
    return nn.Sequential(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU()), nn.Sequential(nn.Linear(8, 8), nn.ReLU()),
                         nn.Linear(8, 3))


def three_groups(m):
    return [list(part.parameters()) for part in m]


def loaders(n=40, bs=8, kind=DataLoader):
    g = torch.Generator().manual_seed(1)
    x = torch.randn(n, 4, generator=g)
    ds = TensorDataset(x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long())
    return DataLoaders(kind(ds, batch_size=bs, shuffle=True), kind(ds, batch_size=bs))


def make(model=None, **kwargs):
    kwargs.setdefault("dls", loaders())
    kwargs.setdefault("loss_func", CrossEntropyLossFlat())
    learn = Learner(model=body_and_head() if model is None else model, **kwargs)
    learn.remove_cb(ProgressCallback)
    learn.logger = lambda row: None
    return learn


class Weights(Callback):
    "Records values at every training batch."

    def __init__(self):
        self.rows = []

    def before_step(self):
        self.rows.append((get_hyper(self.learn.opt, "lr"), get_hyper(self.learn.opt, "mom"), get_hyper(self.learn.opt, "wd")))


# -- fitting ------------------------------------------------------------------------------------------------------------------------
def test_training_learns_and_reports():
    learn = make(metrics=accuracy)
    learn.fit_one_cycle(20, 3e-2)
    assert learn.recorder.values[-1][1] < learn.recorder.values[0][1]
    assert learn.validate()[1] > 0.8
    assert learn.recorder.metric_names == ["epoch", "train_loss", "valid_loss", "accuracy", "time"]


def test_train_loss_is_the_mean_over_items_also_with_a_ragged_last_batch():
    learn = make(dls=loaders(n=20, bs=8), lr=0.0)
    learn.fit(1, lr=0.0, wd=0.0)
    sizes = torch.tensor([8.0, 8, 4])
    raw = torch.tensor(learn.recorder.raw_losses)
    assert learn.recorder.values[0][0] == pytest.approx(float((raw * sizes).sum() / 20), rel=1e-6)


def test_smoothed_losses_are_the_debiased_average():
    learn = make()
    learn.fit(2)
    average, expected = 0.0, []
    for t, loss in enumerate(learn.recorder.raw_losses, 1):
        average = 0.98 * average + 0.02 * loss
        expected.append(average / (1 - 0.98**t))
    assert learn.recorder.losses == pytest.approx(expected)
    assert learn.recorder.iters == [5, 10]


def test_one_cycle_schedule_per_group():
    learn = make(splitter=three_groups)
    seen = Weights()
    learn.fit_one_cycle(4, slice(1e-4, 1e-2), cbs=seen)
    first, peak = seen.rows[0], seen.rows[5]
    assert first[0] == pytest.approx([1e-4 / 25, 1e-3 / 25, 1e-2 / 25])
    assert peak[0] == pytest.approx([1e-4, 1e-3, 1e-2]) and peak[1] == pytest.approx([0.85] * 3)
    assert first[1] == pytest.approx([0.95] * 3)
    assert learn.recorder.hps["lr"][5] == pytest.approx(1e-2)


def test_fine_tune_uses_two_phases_with_the_published_numbers():
    learn = make(splitter=three_groups)
    seen = Weights()

    learn.fine_tune(2, base_lr=2e-3, cbs=Callback(before_step=lambda: seen.rows.append(get_hyper(learn.opt, "lr"))))
    frozen, tuned = seen.rows[:5], seen.rows[5:]
    assert frozen[0] == pytest.approx([2e-4 / 25, 2e-4 / 25, 2e-3 / 25])
    assert tuned[0] == pytest.approx([1e-5 / 5, 1e-4 / 5, 1e-3 / 5])
    assert tuned[3] == pytest.approx([1e-5, 1e-4, 1e-3])            # 30% of 10 batches


def test_fit_flat_cos_and_sgdr():
    learn = make()
    learn.fit_flat_cos(4, 1e-2, pct_start=0.5)
    lrs = learn.recorder.lrs
    assert lrs[:10] == pytest.approx([1e-2] * 10) and lrs[-1] < 1e-3
    learn.fit_sgdr(2, 1, 1e-2)
    lrs = learn.recorder.lrs
    assert len(lrs) == 15 and lrs[0] == lrs[5] == pytest.approx(1e-2) and lrs[4] < 2e-3


def test_sgd_without_momentum_stays_without():
    learn = make(opt_func=SGD)
    learn.fit_one_cycle(1, 1e-2)
    assert set(learn.recorder.hps) == {"lr"}


@pytest.mark.parametrize("wrong", [-1, 1.5, "3"])
def test_n_epoch_must_be_a_number_of_epochs(wrong):
    with pytest.raises((ValueError, TypeError), match="n_epoch must be a whole number"):
        make().fit(wrong)


def test_zero_epochs_train_nothing():
    learn = make()
    before = [p.clone() for p in learn.model.parameters()]
    learn.fit(0)
    assert all(torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True))


def test_non_finite_loss_stops_with_the_reason():
    learn = make()
    with pytest.raises(NonFiniteLoss, match="became nan at batch .* learning rate"):
        learn.fit(5, lr=1.0, cbs=Callback(after_loss=lambda: setattr(learn, "loss", learn.loss * (float("nan") if learn.epoch else 1))))
    assert len(learn.recorder.history) == 1


# -- batches of every shape -----------------------------------------------------------------------------------------------------------
class ByName(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 3)

    def forward(self, features):
        return self.lin(features)


@dataclass
class Sample:
    features: torch.Tensor
    label: torch.Tensor


@pytest.mark.parametrize("wrap", [lambda x, y: {"features": x, "labels": y}, Sample], ids=["dict", "dataclass"])
def test_dict_and_dataclass_batches(wrap):
    samples = [wrap(torch.randn(4), torch.tensor(i % 3)) for i in range(12)]

    def collate(items):
        items = [vars(o) if isinstance(o, Sample) else o for o in items]
        columns = [torch.stack(c) for c in zip(*(o.values() for o in items), strict=True)]
        return wrap(*columns)
    dls = DataLoaders(TorchDataLoader(samples, 4, collate_fn=collate), TorchDataLoader(samples, 4, collate_fn=collate))
    learn = make(ByName(), dls=dls, metrics=accuracy)
    learn.fit(1)
    preds, targs = learn.get_preds()
    assert preds.shape == (12, 3) and targs.tolist() == [0, 1, 2] * 4


def test_two_inputs_and_two_targets():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(5, 2)

        def forward(self, a, b):
            return self.lin(torch.cat([a, b], 1))
    ds = TensorDataset(torch.randn(12, 3), torch.randn(12, 2), torch.randn(12), torch.randn(12))
    dls = DataLoaders(DataLoader(ds, bs=4, n_inp=2), DataLoader(ds, bs=4, n_inp=2))
    learn = make(Two(), dls=dls, loss_func=lambda p, a, b: ((p[:, 0] - a) ** 2 + (p[:, 1] - b) ** 2).mean())
    learn.fit(1)
    _, targs = learn.get_preds()
    assert isinstance(targs, tuple) and targs[0].shape == (12,)


def test_plain_torch_loaders_work():
    learn = make(dls=loaders(kind=TorchDataLoader), metrics=accuracy)
    learn.fit(1)
    assert len(learn.validate()) == 2


def test_no_validation_loader():
    learn = make(dls=DataLoaders(loaders().train))
    learn.fit(2)
    assert learn.recorder.values[-1][1] is None
    with pytest.raises(IndexError, match="no validation data"):
        learn.validate()


# -- cancelling and cleaning up ---------------------------------------------------------------------------------------------------------
CANCELS = [
    ("before_epoch", CancelFitException, "after_cancel_fit", "after_fit"),
    ("before_train", CancelEpochException, "after_cancel_epoch", "after_epoch"),
    ("before_batch", CancelTrainException, "after_cancel_train", "after_train"),
    ("before_validate", CancelValidException, "after_cancel_validate", "after_validate"),
    ("after_pred", CancelBatchException, "after_cancel_batch", "after_batch"),
    ("before_backward", CancelBackwardException, "after_cancel_backward", "after_backward"),
    ("before_step", CancelStepException, "after_cancel_step", "after_step"),
]


@pytest.mark.parametrize(("event", "cancel", "caught", "after"), CANCELS)
def test_cancel_goes_to_its_events(event, cancel, caught, after):
    heard = []

    def stop():
        if learn.training or event != "before_batch":
            raise cancel

    learn = make(cbs=Callback(**{event: stop, caught: lambda: heard.append(caught), after: lambda: heard.append(after)}))
    learn.fit(1)
    assert heard[:2] == [caught, after]


def test_cancelled_step_drops_the_gradient_and_cancelled_batch_keeps_it():
    def stop(cancel):
        def f():
            raise cancel
        return f
    learn = make(cbs=Callback(before_step=stop(CancelStepException)))
    before = [p.clone() for p in learn.model.parameters()]
    learn.fit(1)
    assert all(torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True))
    assert all(p.grad is None for p in learn.model.parameters())
    learn = make(cbs=Callback(before_step=stop(CancelBatchException)))
    learn.fit(1)
    assert all(p.grad is not None for p in learn.model.parameters())


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_interrupting_leaves_a_clean_learner(error):
    def stop():
        if learn.iter == 2:
            raise error
    learn = make(lr=1e-3)
    cleaned = []
    with pytest.raises(error):
        learn.fit_one_cycle(1, 1e-1, wd=0.5, cbs=[Callback(after_backward=stop), Callback(cleanup_fit=lambda: cleaned.append(1))])
    assert cleaned == [1] and len(learn.cbs) == 2 and not learn.training and learn.dl is None
    assert get_hyper(learn.opt, "lr") == [1e-3] and get_hyper(learn.opt, "wd") == [0.01] and get_hyper(learn.opt, "mom") == [0.9]
    assert len(learn.recorder.raw_losses) == 2
    learn.fit(1)


def test_predicting_from_inside_a_fit_does_not_disturb_it():
    class Peek(Callback):
        def after_step(self):
            if self.iter == 1:
                self.learn.get_preds()
                self.learn.validate()
    a, b = make(dls=loaders(kind=TorchDataLoader)), make(dls=loaders(kind=TorchDataLoader), cbs=Peek())
    for learn in (a, b):
        torch.manual_seed(5)
        order = list(learn.dls.train)            # one fixed order: evaluating draws from no global stream that matters here
        learn.dls = DataLoaders(order, learn.dls.valid)
        learn.fit(1)
    assert a.recorder.raw_losses == b.recorder.raw_losses
    assert all(torch.equal(p, q) for p, q in zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True))


# -- freezing -----------------------------------------------------------------------------------------------------------------------------
def flags(model):
    return [p.requires_grad for p in model.parameters()]


def test_freeze_keeps_norm_layers_training():
    learn = make(splitter=three_groups)
    learn.freeze()
    assert flags(learn.model) == [False, False, True, True, False, False, True, True]
    learn.unfreeze()
    assert all(flags(learn.model))
    learn.freeze_to(1)
    assert flags(learn.model)[4:] == [True] * 4


def test_layers_frozen_by_hand_stay_frozen():
    learn = make(splitter=lambda m: three_groups(m))
    learn.model[1][0].weight.requires_grad_(False)
    learn.freeze()
    learn.unfreeze()
    assert not learn.model[1][0].weight.requires_grad and sum(flags(learn.model)) == 7
    learn.model[0][0].weight.requires_grad_(False)
    learn.fit(1)
    learn.unfreeze()
    assert not learn.model[0][0].weight.requires_grad


def test_without_train_bn_frozen_statistics_do_not_drift():
    for train_bn in (True, False):
        learn = make(splitter=three_groups, train_bn=train_bn)
        learn.freeze()
        before = learn.model[0][1].running_mean.clone(), learn.model[0][1].weight.clone()
        learn.fit(1, 1e-1)
        moved = [not torch.equal(a, b) for a, b in zip(before, (learn.model[0][1].running_mean, learn.model[0][1].weight), strict=True)]
        assert moved == [train_bn, train_bn]


@pytest.mark.parametrize("verb", [lambda learn: learn.freeze(), lambda learn: learn.freeze_to(-2), lambda learn: learn.fine_tune(1)],
                         ids=["freeze", "freeze_to", "fine_tune"])
def test_one_layer_group_trains_as_a_whole_and_says_so_once(verb):
    learn = make(splitter=trainable_params)
    before = [p.clone() for p in learn.model.parameters()]
    with pytest.warns(UserWarning, match=r"1 layer group, so nothing is frozen and all of it trains.*Learner\(splitter=") as told:
        verb(learn)
        learn.fit(1)
        learn.create_opt()
        verb(learn)
    assert len(told) == 1 and "\n" not in str(told[0].message) and learn.freezer.frozen_to == 0
    assert all(p.requires_grad and not torch.equal(p, b) for p, b in zip(learn.model.parameters(), before, strict=True))


def test_freezing_beyond_the_layer_groups_is_refused():
    with pytest.raises(ValueError, match=r"1 layer group, so n must be from -1 to 0"):
        make(splitter=trainable_params).freeze_to(1)
    with pytest.raises(ValueError, match=r"n must be from -3 to 2"):
        make(splitter=three_groups).freeze_to(3)


def test_a_changed_model_is_noticed():
    learn = make()
    learn.fit(1)
    learn.model = body_and_head()
    with pytest.raises(ValueError, match=r"would not be trained.*create_opt"):
        learn.fit(1)


# -- results ------------------------------------------------------------------------------------------------------------------------------
def test_history_only_grows():
    learn = make(metrics=accuracy)
    learn.fit(2)
    losses, history = list(learn.recorder.losses), list(learn.recorder.history)
    learn.validate()
    learn.get_preds(ds_idx=0)
    learn.lr_find(show_plot=False, num_it=10)
    assert learn.recorder.losses == losses and learn.recorder.history == history
    learn.fit(1)
    assert learn.recorder.history[:2] == history and [r["fit"] for r in learn.recorder.history] == [0, 0, 1]
    assert list(learn.recorder.frame().columns)[:2] == ["fit", "epoch"]


@pytest.mark.parametrize("loss_func", [CrossEntropyLossFlat(), nn.CrossEntropyLoss(), nn.functional.cross_entropy])
def test_get_preds_gives_probabilities_in_dataset_order(loss_func):
    learn = make(loss_func=loss_func)
    for ds_idx in (0, 1):
        inputs, preds, targs, decoded, losses = learn.get_preds(ds_idx, with_input=True, with_decoded=True, with_loss=True)
        x, y = learn.dls.train_ds.tensors
        assert torch.equal(inputs, x) and torch.equal(targs, y)
        logits = learn.model.eval()(x)
        torch.testing.assert_close(preds, logits.softmax(1).detach())
        assert torch.equal(decoded, logits.argmax(1))
        torch.testing.assert_close(losses, nn.functional.cross_entropy(logits, y, reduction="none").detach())


def test_validate_equals_the_mean_over_items():
    learn = make(dls=loaders(n=20), metrics=accuracy)
    loss, acc = learn.validate()
    x, y = learn.dls.valid_ds.tensors
    with torch.no_grad():
        logits = learn.model.eval()(x)
    assert loss == pytest.approx(float(nn.functional.cross_entropy(logits, y)), rel=1e-5)
    assert acc == pytest.approx(float((logits.argmax(1) == y).float().mean()))


def test_train_metrics():
    learn = make(metrics=accuracy)
    learn.remove_cb(Recorder)
    learn.add_cb(Recorder(train_metrics=True))
    learn.fit(1)
    assert learn.recorder.metric_names == ["epoch", "train_loss", "train_accuracy", "valid_loss", "valid_accuracy", "time"]
    assert len(learn.recorder.values[0]) == 4 and 0 <= learn.recorder.values[0][1] <= 1


# -- saving -------------------------------------------------------------------------------------------------------------------------------
def test_save_and_load_go_on_identically(tmp_path):
    a, b = make(path=tmp_path, dls=loaders(kind=TorchDataLoader)), make(path=tmp_path, dls=loaders(kind=TorchDataLoader))
    a.fit(1)
    file = a.save("here")
    assert file == tmp_path / "models" / "here.safetensors"
    with torch.no_grad():
        b.model[0][0].weight.add_(1)
    b.load("here")
    for learn in (a, b):
        torch.manual_seed(2)
        learn.fit(1)
    assert all(torch.equal(p, q) for p, q in zip(a.model.state_dict().values(), b.model.state_dict().values(), strict=True))


def test_load_says_what_does_not_fit(tmp_path):
    make(path=tmp_path).save("three")
    with pytest.raises(ValueError, match=r"do not fit this model: 0.0.weight is float32.8,4."):
        make(nn.Sequential(nn.Sequential(nn.Linear(4, 9))), path=tmp_path).load("three")
    with pytest.raises(FileNotFoundError, match="Saved here: three"):
        make(path=tmp_path).load("two")
    learn = make(path=tmp_path)
    learn.fit(1)
    learn.save("opt")
    with pytest.raises(ValueError, match=r"."):
        make(path=tmp_path, splitter=three_groups).load("opt")
    make(path=tmp_path, splitter=three_groups).load("opt", with_opt=False)


def test_load_plain_torch_weights(tmp_path):
    learn = make(path=tmp_path)
    saved = {name: torch.full_like(t, 7) for name, t in learn.model.state_dict().items()}
    torch.save(saved, tmp_path / "w.pth")
    learn.load(tmp_path / "w.pth")
    loaded = learn.model.state_dict()
    assert loaded.keys() == saved.keys() and all(torch.equal(t, saved[name]) for name, t in loaded.items())


# -- the learning-rate finder ------------------------------------------------------------------------------------------------------------
def everything(learn):
    opt = [] if learn.opt is None else [v for s in learn.opt.state.values() for v in s.values() if isinstance(v, torch.Tensor)]
    return [t.clone() for t in [*learn.model.state_dict().values(), *opt, torch.get_rng_state()]]


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("interrupted", [False, True])
def test_lr_find_leaves_no_trace(trained, interrupted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    learn = make(splitter=three_groups, model=body_and_head())
    if trained:
        learn.fit(1)
    before, opt, hypers = everything(learn), learn.opt, trained and get_hyper(learn.opt, "lr")
    if interrupted:
        def stop():
            if learn.iter == 3:
                raise KeyboardInterrupt
        learn.add_cb(Callback(after_backward=stop))
        with pytest.raises(KeyboardInterrupt):
            learn.lr_find(show_plot=False)
    else:
        learn.lr_find(show_plot=False)
    assert all(torch.equal(a, b) for a, b in zip(before, everything(learn), strict=True))
    assert learn.opt is opt and (not trained or get_hyper(learn.opt, "lr") == hypers)
    assert all(p.grad is None for p in learn.model.parameters()) and list(tmp_path.iterdir()) == []


def test_lr_find_suggests_and_draws():
    learn = make()
    found = learn.lr_find(suggest_funcs=(valley, slide, minimum, steep))
    assert found._fields == ("valley", "slide", "minimum", "steep") and all(1e-8 < v < 10 for v in found)
    ax = learn.recorder.plot_lr_find()
    assert ax.get_xscale() == "log" and len(ax.get_legend().get_texts()) == 4


def test_valley_matches_the_published_value():
    lrs = [1e-7 * (10 / 1e-7) ** (i / 85) for i in range(86)]
    assert valley(lrs, [100.0 - i for i in range(86)], 100) == pytest.approx(7.2248e-4, rel=1e-4)


# -- guard rails --------------------------------------------------------------------------------------------------------------------------
def test_misspelt_attribute():
    learn = make()
    with pytest.raises(AttributeError, match="no attribute 'mterics'; did you mean 'metrics'"):
        learn.mterics = accuracy
    with pytest.raises(AttributeError, match="no attribute 'recoder'; did you mean 'recorder'"):
        learn.recoder


def test_subclass_may_declare_its_own():
    class Mine(Learner):
        alpha: float

    learn = Mine(loaders(), body_and_head(), CrossEntropyLossFlat())
    learn.alpha = 2.0
    assert learn.alpha == 2.0


def test_callback_found_by_name_and_attached_once():
    class MyThing(Callback):
        pass
    learn, cb = make(), MyThing()
    learn.add_cb(cb)
    assert learn.my_thing is cb
    with pytest.raises(ValueError, match="already attached to this learner"):
        learn.add_cb(cb)
    with pytest.raises(ValueError, match="already attached to another learner"):
        make().add_cb(cb)
    learn.remove_cb(MyThing)
    assert cb not in learn.cbs and cb.learn is None


def test_regression_shapes_are_refused_before_they_broadcast():
    ds = TensorDataset(torch.randn(12, 4), torch.randn(12))
    dls = DataLoaders(DataLoader(ds, bs=4), DataLoader(ds, bs=4))
    with pytest.raises(ValueError, match=r"\[4,1\]|4, 1"):
        make(nn.Linear(4, 1), dls=dls, loss_func=nn.MSELoss()).fit(1)
    make(nn.Linear(4, 1), dls=dls, loss_func=MSELossFlat()).fit(1)


def test_summary_and_training_loop(capsys):
    learn = make()
    text = str(learn.summary())
    assert "Linear" in text and "Adam" in text and "CrossEntropyLossFlat" in text
    learn.show_training_loop()
    assert "after_batch    <- Recorder" in capsys.readouterr().out


def test_mixed_precision_on_the_cpu():
    learn = make()
    seen = []
    learn.to_bf16().fit(1, cbs=Callback(after_pred=lambda: seen.append(learn.pred.dtype)))
    assert set(seen) == {torch.bfloat16}
    learn.to_fp32().fit(1, cbs=Callback(after_pred=lambda: seen.append(learn.pred.dtype)))
    assert seen[-1] == torch.float32 and not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("wrong", [{"epochs": 1.5}, {"epochs": "3"}, {"epochs": 1, "freeze_epochs": -1}, {"epochs": 1, "pct_start": 2},
                                   {"epochs": 1, "div": -1}, {"epochs": 1, "lr_mult": 0}], ids=str)
def test_fine_tune_refuses_before_its_first_phase(wrong):
    learn = make(body_and_head(), splitter=three_groups)
    before = learn.model[2].weight.clone()
    with pytest.raises(ValueError, match="must be|fraction|number above 0"):
        learn.fine_tune(**wrong)
    assert torch.equal(before, learn.model[2].weight) and not learn.recorder.fits


@pytest.mark.parametrize("call, meant", [
    (lambda learn: learn.fit(epochs=3), "n_epoch"),
    (lambda learn: learn.fit_one_cycle(1, lr=1e-3), "lr_max"),
    (lambda learn: learn.fine_tune(1, lr=1e-3), "base_lr"),
    (lambda learn: learn.lr_find(num_iter=9), "num_it"),
    (lambda learn: learn.fit(1, callbacks=[]), "cbs"),
    (lambda learn: Learner(learn.dls, learn.model, metric="mse"), "metrics"),
])
def test_the_keyword_that_was_meant(call, meant):
    with pytest.raises(TypeError, match=rf"does not take .*did you mean '{meant}'\?"):
        call(make(body_and_head()))


def test_an_error_in_the_model_names_the_layer():
    learn = make(nn.Sequential(nn.Linear(4, 8), nn.Linear(5, 3)))
    with pytest.raises(RuntimeError) as caught:
        learn.fit(1)
    said = "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert "in the layer '1' of the model, Linear(in_features=5" in said and "write nn.Linear(8, 3)" in said


def test_a_learner_can_be_pickled():
    learn = Learner(loaders(), body_and_head(), CrossEntropyLossFlat(), metrics=accuracy)
    learn.fit(1, 0.1)
    again = pickle.loads(pickle.dumps(learn))
    assert again.validate() == learn.validate()
    again.fit(1, 0.1)
    assert not torch.equal(again.model[2].weight, learn.model[2].weight)
