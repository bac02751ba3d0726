"""`EMA` and `SWA`: against closed forms and torch's own averaging."""
import copy
import gc

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn
from torch.utils.data import TensorDataset

from minifast.callbacks.averaging import EMA, SWA, WeightAverage, ema_decay, ema_update, update_norm_statistics
from minifast.callbacks.base import Callback, CancelFitException
from minifast.callbacks.lr_finder import leaving_no_trace
from minifast.callbacks.resume import Resume
from minifast.callbacks.trackers import SaveModelCallback
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.optim.optimizers import SGD


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def make(*cbs, model=None, n=12, valid=True, **kwargs):
    g = torch.Generator().manual_seed(1)
    ds = TensorDataset(torch.randn(n, 3, generator=g), torch.arange(n) % 2)
    loaders = [DataLoader(ds, bs=4), *([DataLoader(ds, bs=4)] if valid else [])]
    learn = Learner(DataLoaders(*loaders), model or net(), F.cross_entropy, opt_func=SGD, cbs=list(cbs), **kwargs)
    learn.remove_cb(type(learn.progress))
    learn.logger = lambda row: None
    return learn


def snapshot(model):
    return {n: t.detach().clone() for n, t in model.state_dict().items()}


def equal(a, b):
    return list(a) == list(b) and all(torch.equal(a[n], b[n]) for n in a)


class Trace(Callback):
    "The weights after each step, before and after validation, and at the end of each epoch."
    order = 64

    def __init__(self):
        self.steps, self.validated, self.epochs, self.before_train_ = [], [], [], []

    def _now(self):
        return snapshot(self.learn.model)

    def before_train(self):
        self.before_train_.append(self._now())

    def after_step(self):
        self.steps.append(self._now())

    def before_validate(self):
        self.validated.append(self._now())

    def after_epoch(self):
        self.epochs.append(self._now())


# -- functions ----------------------------------------------------------------------------------------------------------------------
def test_ema_update_and_decay():
    averaged, current = [torch.zeros(3), torch.ones(2, 2)], [torch.ones(3), nn.Parameter(torch.full((2, 2), 3.0))]
    ema_update(averaged, current, 0.75)
    torch.testing.assert_close(averaged, [torch.full((3,), 0.25), torch.full((2, 2), 1.5)])
    assert not averaged[1].requires_grad
    assert [ema_decay(t, 0.5) for t in (0, 8, 100)] == [0.1, 0.5, 0.5]


def test_norm_statistics_as_torch_computes_them():
    batches = [torch.randn(5, 3) for _ in range(4)]
    ours, theirs = net(), net()
    update_norm_statistics(ours.train(), [((b,), {}) for b in batches])
    update_bn(batches, theirs)
    assert equal(snapshot(ours), snapshot(theirs)) and ours[1].momentum == 0.1

    def interrupted():
        yield (batches[0],), {}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        update_norm_statistics(ours, interrupted())
    assert ours[1].momentum == 0.1


def test_what_is_averaged():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
    model.register_buffer("count", torch.tensor(3))
    model.tied = model[0]
    average = WeightAverage()
    average.start(model)
    assert set(average.values) == {"0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"}
    for v in average.values.values():
        v.fill_(7)
    average.swap_in(model)
    state = {n: t.clone() for n, t in model.state_dict().items()}
    average.swap_out(model)
    assert list(state) == list(model.state_dict()) and torch.equal(state["mask"], model.mask) and (state["tied.weight"] == 7).all()
    assert not (model[0].weight == 7).any()
    average.start(model.bfloat16())
    assert average.values["0.weight"].dtype is torch.float32


# -- EMA ----------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("decay", "every"), [(0.3, 1), (0.99, 1), (0.3, 2)])
def test_ema_closed_form(decay, every):
    ema, trace = EMA(decay, every=every), Trace()
    learn = make(ema, trace)
    expected = snapshot(learn.model)
    learn.fit(3, 0.1)
    for i, weights in enumerate(trace.steps[every - 1::every]):
        d = min(decay, (1 + i) / (10 + i))
        expected = {n: d * expected[n] + (1 - d) * w if w.is_floating_point() else w for n, w in weights.items()}
    assert ema.updates == 9 // every
    got = ema.averaged_state()
    for name, value in expected.items():
        if value.is_floating_point():
            torch.testing.assert_close(got[name], value)
    assert got["1.num_batches_tracked"] == 9


def test_validation_sees_the_average_and_training_does_not():
    ema, trace = EMA(0.5), Trace()
    learn = make(ema, trace)
    assert learn.ema is ema
    learn.fit(3, 0.1)
    for i in range(3):
        assert not equal(trace.validated[i], trace.steps[3 * i + 2])                # averaged
        assert equal(trace.epochs[i], trace.validated[i])                           # still, for those that save what was validated
    for i in (1, 2):
        assert equal(trace.before_train_[i], trace.steps[3 * i - 1])                # bit by bit
    plain = make(trace2 := Trace())
    plain.fit(3, 0.1)
    assert all(equal(a, b) for a, b in zip(trace.steps, trace2.steps, strict=True))  # training is as without it
    raw, trace3 = EMA(0.5, validate=False, load_at_end=False), Trace()
    make(raw, trace3).fit(2, 0.1)
    assert equal(trace3.validated[0], trace3.steps[2])


@pytest.mark.parametrize("load_at_end", [True, False])
@pytest.mark.parametrize("valid", [True, False])
def test_what_the_model_ends_with(load_at_end, valid):
    ema, trace = EMA(0.5, load_at_end=load_at_end), Trace()
    learn = make(ema, trace, valid=valid)
    learn.fit(2, 0.1)
    assert equal(snapshot(learn.model), ema.averaged_state() if load_at_end else trace.steps[-1])
    assert ema._average.raw is None


def test_start_epoch():
    ema, trace = EMA(0.5, start_epoch=1), Trace()
    learn = make(ema, trace)
    learn.fit(2, 0.1)
    assert ema.updates == 3 and equal(trace.validated[0], trace.steps[2]) and not equal(trace.validated[1], trace.steps[5])


@pytest.mark.parametrize("average", [EMA(0.5, load_at_end=False), SWA(0.5)])
def test_averages_can_be_used_right_after_load(average, tmp_path):
    learn = make(average, path=tmp_path)
    learn.fit(2, 0.1)
    wanted, own = average.averaged_state(), snapshot(learn.model)
    learn.save("a")
    cb = type(average)(0.5)
    other = make(cb, model=net(1), path=tmp_path).load("a")
    assert equal(cb.averaged_state(), wanted)
    with cb.averaged():
        assert equal(snapshot(other.model), wanted)
    assert equal(snapshot(other.model), own)
    cb.apply()
    assert equal(snapshot(other.model), wanted)


def test_using_the_average():
    ema = EMA(0.5, load_at_end=False)
    learn = make(ema)
    with pytest.raises(RuntimeError, match=r"EMA\(0.5\) has no averaged weights yet"):
        ema.apply()
    learn.fit(1, 0.1)
    own, average = snapshot(learn.model), ema.averaged_state()
    before = learn.get_preds()[0]
    with learn.ema.averaged() as inside:
        assert inside is ema and equal(snapshot(learn.model), average)
        preds = learn.get_preds()[0]                                                # a pass does not end it
        assert equal(snapshot(learn.model), average) and not torch.equal(preds, before)
        with ema.averaged():
            pass
        assert equal(snapshot(learn.model), average)
        with pytest.raises(RuntimeError, match="the model holds averaged weights now"):
            learn.fit(1)
    assert equal(snapshot(learn.model), own)
    with pytest.raises(KeyError), ema.averaged():
        raise KeyError
    assert equal(snapshot(learn.model), own)
    ema.apply()
    assert equal(snapshot(learn.model), average) and torch.equal(learn.get_preds()[0], preds)


@pytest.mark.parametrize("event", ["before_batch", "after_train", "before_validate", "after_validate", "after_epoch"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_interruption_leaves_the_models_own_weights(event, error):
    ema, trace = EMA(0.5), Trace()

    def stop():
        if trace.learn.epoch == 1:
            raise error

    learn = make(ema, trace)
    with pytest.raises(error):
        learn.fit(3, 0.1, cbs=Callback(**{event: stop}))
    assert equal(snapshot(learn.model), trace.steps[2 if event == "before_batch" else 5]) and ema._average.raw is None
    updates = ema.updates
    learn.fit(1, 0.1)
    assert ema.updates == updates + 3                                               # it went on


def test_interruption_while_swapping(monkeypatch):
    ema, trace = EMA(0.5), Trace()
    learn = make(ema, trace)

    def half(self, model):
        targets, sources = self.current(model), list(self.values.values())
        with torch.no_grad():
            targets[0].copy_(sources[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(WeightAverage, "load_into", half)
    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, 0.1)
    assert equal(snapshot(learn.model), trace.steps[-1])


def test_the_average_continues_from_fit_to_fit_unless_the_weights_were_changed():
    ema = EMA(0.5)
    learn = make(ema)
    learn.fit(1, 0.1)
    learn.fit(1, 0.1)
    assert ema.updates == 6
    average = ema.averaged_state()
    learn.lr_find(num_it=8, show_plot=False)
    with leaving_no_trace(learn):
        learn.fit(1, 0.1)
    assert ema.updates == 6 and equal(ema.averaged_state(), average)
    with torch.no_grad():
        learn.model[0].weight.mul_(2)
    learn.fit(1, 0.1)
    assert ema.updates == 3
    learn.model = nn.Sequential(nn.Linear(3, 2))
    learn.create_opt()
    learn.fit(1, 0.1)
    assert ema.updates == 3 and set(ema.averaged_state()) == {"0.weight", "0.bias"}


def test_lr_find_and_fine_tune():
    ema = EMA(0.5)
    learn = make(ema, splitter=lambda m: [list(m[0].parameters()), [p for part in list(m)[1:] for p in part.parameters()]])
    before = snapshot(learn.model)
    learn.lr_find(num_it=8, show_plot=False)
    assert equal(snapshot(learn.model), before) and ema.updates == 0
    learn.fine_tune(1)
    assert ema.updates == 6 and equal(snapshot(learn.model), ema.averaged_state())


def test_with_the_best_model_saved(tmp_path):
    ema, trace = EMA(0.5), Trace()
    save = SaveModelCallback()
    learn = make(ema, trace, save, path=tmp_path)
    learn.fit(3, 0.5)
    best = save.best_epoch
    assert equal(snapshot(learn.model), trace.validated[best])                       # the averaged weights that were validated
    learn.load("model")
    assert equal(snapshot(learn.model), trace.validated[best])


def test_a_callback_that_stops_training():
    def stop():
        raise CancelFitException

    for load_at_end in (True, False):
        for event in ("after_epoch", "before_batch", "after_validate"):
            ema, trace = EMA(0.5, load_at_end=load_at_end), Trace()
            learn = make(ema, trace)
            learn.fit(3, 0.1, cbs=Callback(**{event: lambda cb: stop() if cb.learn.epoch == 1 else None}))
            assert equal(snapshot(learn.model), ema.averaged_state() if load_at_end else trace.steps[-1]), (event, load_at_end)


def test_skipped_steps_do_not_count():
    from minifast.callbacks.base import CancelStepException

    def skip(cb):
        if cb.learn.iter == 1:
            raise CancelStepException

    ema = EMA(0.5)
    make(ema, Callback(before_step=skip)).fit(1, 0.1)
    assert ema.updates == 2


@pytest.mark.parametrize("make_cb", [lambda: EMA(0.5, every=2), lambda: SWA(0.3, lr=0.05, anneal_epochs=2)], ids=["EMA", "SWA"])
def test_resumed_to_the_bit(tmp_path, make_cb):
    whole = make(make_cb(), path=tmp_path)
    whole.fit(4, 0.1)

    def stop(cb):
        if cb.learn.epoch == 2 and cb.learn.iter == 1:
            raise KeyboardInterrupt

    first = make(make_cb(), path=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        first.fit(4, 0.1, cbs=[Resume(), Callback(before_batch=stop)])
    second = make(make_cb(), path=tmp_path, model=net(5))
    torch.manual_seed(0)
    second.fit(4, 0.1, cbs=Resume())
    assert equal(snapshot(second.model), snapshot(whole.model))


def test_half_precision_weights():
    def halve(cb):
        cb.learn.xb = (cb.learn.xb[0].bfloat16(),)

    ema, trace = EMA(0.999), Trace()
    learn = make(ema, trace, Callback(before_batch=halve), model=nn.Linear(3, 2).bfloat16(), valid=False)
    learn.fit(2, 0.1)
    assert ema._average.values["weight"].dtype is torch.float32 and learn.model.weight.dtype is torch.bfloat16
    assert torch.equal(learn.model.weight, ema._average.values["weight"].bfloat16())


# -- SWA ----------------------------------------------------------------------------------------------------------------------------
def test_swa_is_torchs():
    trace, swa = Trace(), SWA(start=0.5)
    learn = make(trace, swa)
    learn.fit(4, 0.1)
    assert learn.swa is swa and swa.n_averaged == 2
    model, averaged = net(), None
    for i in (8, 11):                                                               # the ends of the last two epochs
        model.load_state_dict(trace.steps[i])
        averaged = averaged or AveragedModel(model)
        averaged.update_parameters(model)
    update_bn([b[0] for b in learn.dls.train], averaged)
    torch.testing.assert_close(list(learn.model.parameters()), list(averaged.module.parameters()))
    torch.testing.assert_close(snapshot(learn.model)["1.running_var"], averaged.module[1].running_var)
    assert learn.model[1].momentum == 0.1 and not learn.model.training
    assert equal(trace.validated[-1], trace.steps[-1])                              # validation was on the weights of the moment


def test_swa_learning_rate():
    class Rates(Callback):
        order = 68

        def before_batch(self):
            rates.append(self.learn.opt.param_groups[0]["lr"])

    rates = []
    learn = make(Rates(), SWA(start=0.5, lr=0.01, anneal_epochs=1))
    learn.fit_one_cycle(4, 0.1, moms=None)
    scheduled = learn.recorder.hps["lr"]
    rates = [r for i, r in enumerate(rates) if i % 6 < 3]                           # the training half of each epoch
    assert len(scheduled) == 12 and rates[:6] == pytest.approx(scheduled[:6])
    cos = [0.01 + (1 + torch.cos(torch.tensor(torch.pi * k / 3)).item()) / 2 * (scheduled[6] - 0.01) for k in range(3)]
    assert rates[6:9] == pytest.approx(cos) and rates[9:] == pytest.approx([0.01] * 3)


def test_swa_keeps_frozen_statistics():
    swa = SWA(start=0.0)
    learn = make(swa, Callback(before_train=lambda cb: cb.learn.model[1].eval()))
    before = learn.model[1].running_mean.clone()
    learn.fit(2, 0.1)
    assert torch.equal(learn.model[1].running_mean, before)


def test_swa_interrupted_in_the_pass_for_statistics(monkeypatch):
    swa, trace = SWA(start=0.0), Trace()
    learn = make(trace, swa)
    calls = []

    def split(*args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return (args[0][0],), {}, ()

    monkeypatch.setattr("minifast.callbacks.averaging.split_batch", split)
    with pytest.raises(KeyboardInterrupt):
        learn.fit(2, 0.1)
    assert equal(snapshot(learn.model), trace.steps[-1]) and learn.model[1].momentum == 0.1
    assert not learn.model.training


def test_swa_cancelled_before_it_began():
    def stop():
        raise CancelFitException

    swa, trace = SWA(start=0.75), Trace()
    learn = make(swa, trace)
    learn.fit(4, 0.1, cbs=Callback(after_epoch=stop))
    assert swa.n_averaged == 0 and equal(snapshot(learn.model), trace.steps[-1])
    with pytest.raises(RuntimeError, match="no averaged weights yet"):
        swa.averaged_state()


# -- refusals -----------------------------------------------------------------------------------------------------------------------
def test_refusals():
    with pytest.raises(ValueError, match=r"EMA\(decay=1\): from 0 to below 1, such as 0.999; EMA\(every=0\): a whole number of steps"):
        EMA(1, every=0)
    with pytest.raises(ValueError, match=r"start_epoch=-1\): 0 or more"):
        EMA(start_epoch=-1)
    with pytest.raises(ValueError, match=r"SWA\(start=5\): the fraction of training"):
        SWA(start=5)
    with pytest.raises(ValueError, match=r"SWA\(anneal_epochs=-1\)"):
        SWA(anneal_epochs=-1)


def test_the_model_can_be_copied_and_the_callback_lets_it_go():
    ema = EMA(0.5)
    learn = make(ema)
    learn.fit(1, 0.1)
    assert isinstance(copy.deepcopy(learn.model), nn.Module)
    learn.remove_cb(ema)
    learn.model = None
    learn.opt = learn.freezer = None
    gc.collect()
    with pytest.raises(RuntimeError, match="the model they belong to is gone"):
        ema.averaged_state()


def test_averages_may_be_asked_for_between_forward_and_backward():
    class Teacher(Callback):
        def after_loss(self):
            if self.learn.training and self.learn.iter:
                self.teacher = self.learn.ema.averaged_state()

    learn, teacher = make(EMA(0.5)), Teacher()
    learn.fit(1, cbs=teacher)
    assert set(teacher.teacher) == set(learn.model.state_dict()) and not any(t.requires_grad for t in teacher.teacher.values())


def test_a_resumed_fit_that_a_callback_stops_at_once_ends_with_the_mean_so_far(tmp_path):
    def stop(error):
        def after_batch(cb):
            if cb.learn.training and cb.learn.epoch == 2:
                raise error
        return Callback(after_batch=after_batch)

    with pytest.raises(KeyboardInterrupt):
        make(SWA(0.25), Resume(), path=tmp_path).fit(4, cbs=stop(KeyboardInterrupt))
    learn = make(SWA(0.25), Resume(), path=tmp_path)
    learn.fit(4, cbs=stop(CancelFitException))
    assert learn.swa.n_averaged == 1 and equal(learn.swa.averaged_state(), snapshot(learn.model))
