import math
import operator
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Subset, TensorDataset, WeightedRandomSampler

from minifast.callbacks.averaging import EMA
from minifast.callbacks.base import Callback, CancelFitException, CancelValidException
from minifast.callbacks.batch import TerminateOnNaNCallback, bad_rows
from minifast.callbacks.first_batch import FirstBatch
from minifast.callbacks.loggers import LiveLogger
from minifast.callbacks.progress import ProgressCallback
from minifast.callbacks.recorder import NonFiniteLoss, Recorder
from minifast.callbacks.resume import Resume
from minifast.callbacks.scheduler import TorchScheduler
from minifast.callbacks.trackers import (
    EarlyStoppingCallback,
    ReduceLROnPlateau,
    SaveModelCallback,
    TrackerCallback,
    column_directions,
    is_better,
    lower_wins,
    patience_for,
)
from minifast.data.engine.samplers import WeightedSampler
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.metrics import convert as all_metrics
from minifast.metrics.base import ValueMetric
from minifast.metrics.convert import as_metric
from minifast.metrics.functions import mae, rmse
from minifast.nn.losses import MSELossFlat
from minifast.optim.schedules import combined_cos, sgdr


def loaders(n=8, bs=4, valid=True):
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    ds = TensorDataset(x, x.sum(1, keepdim=True))
    parts = [DataLoader(ds, bs=bs, shuffle=True), DataLoader(ds, bs=bs)]
    return DataLoaders(*(parts if valid else parts[:1]))


def scripted(values, name="score", lower=False):
    "A metric that takes these values, one per epoch."
    it = iter(values)
    return ValueMetric(lambda: next(it), name, lower)


def make(tmp_path, metrics=None, model=None, dls=None, **kwargs):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1)) if model is None else model
    learn = Learner(loaders() if dls is None else dls, model, MSELossFlat(), metrics=metrics, path=tmp_path, **kwargs)
    learn.remove_cb(ProgressCallback)
    learn.logger = lambda row: None
    return learn


class WeightsOfEachEpoch(Callback):
    "A copy of the weights at the end of every epoch."

    def __init__(self):
        self.seen = []

    def after_epoch(self):
        self.seen.append([p.detach().clone() for p in self.learn.model.parameters()])


def same(learn, weights):
    return all(torch.equal(a, b) for a, b in zip(learn.model.parameters(), weights, strict=True))


def two_groups(m):
    return [list(part.parameters()) for part in m]


# -- what is better -----------------------------------------------------------------------------------------------------------------
HIGHER = {"accuracy", "top_k_accuracy", "accuracy_multi", "foreground_acc", "dice", "jaccard_coeff", "dice_multi", "jaccard_coeff_multi",
          "corpus_bleu"}
LOWER = {"error_rate", "mse", "mae", "msle", "rmse", "exp_rmspe", "perplexity"}


def test_every_metric_declares_its_direction():
    made = [as_metric(f) for f in all_metrics.FUNCTIONS + tuple(m() for m in all_metrics.MAKERS)]
    for metric in made:
        assert metric.lower_is_better in (True, False), metric
        if metric.name in HIGHER | LOWER:
            assert metric.lower_is_better == (metric.name in LOWER), metric
    assert {m.name for m in made} >= HIGHER | LOWER


@pytest.mark.parametrize("name", sorted(HIGHER | LOWER))
def test_the_tracker_follows_the_metric_and_not_its_name(name, tmp_path):
    metric = scripted([0.5, 0.4, 0.6], "_" + name, name in LOWER)
    tracker = TrackerCallback("_" + name)
    make(tmp_path, metric).fit(3, cbs=tracker)
    assert tracker.best == (0.4 if name in LOWER else 0.6)


@pytest.mark.parametrize(("comp", "lower"), [(np.less, True), (np.greater, False), (operator.lt, True), (operator.gt, False),
                                             (operator.le, True)])
def test_comp_overrides(comp, lower, tmp_path):
    assert lower_wins(comp) is lower
    tracker = TrackerCallback("score", comp=comp)
    make(tmp_path, scripted([2.0, 1.0, 3.0], lower=not lower)).fit(3, cbs=tracker)
    assert tracker.best == (1.0 if lower else 3.0) and tracker.best_epoch == (1 if lower else 2)


def test_comp_that_does_not_compare_is_refused():
    with pytest.raises(ValueError, match="cannot tell which is better: use np.less"):
        TrackerCallback(comp=operator.eq)
    with pytest.raises(TypeError, match="comp compares two numbers"):
        TrackerCallback(comp="less")


def test_is_better():
    assert is_better(1.0, None, True) and is_better(0.8, 1.0, True, 0.1) and not is_better(0.95, 1.0, True, 0.1)
    assert is_better(1.2, 1.0, False, 0.1) and not is_better(1.05, 1.0, False, 0.1)
    for value in (math.nan, math.inf, -math.inf, None):
        assert not is_better(value, 1.0, True) and not is_better(value, None, False)


def test_directions_of_all_columns():
    metrics = [as_metric(mae), ValueMetric(lambda: 1.0, "odd")]
    recorder = Recorder(train_metrics=True)
    recorder.learn = learn = type("L", (), {"metrics": metrics})()
    assert recorder.learn is learn
    assert column_directions(recorder, metrics) == {"train_loss": True, "train_mae": True, "train_odd": None, "valid_loss": True,
                                                    "valid_mae": True, "valid_odd": None}


def test_unknown_direction_is_refused_before_training(tmp_path):
    learn = make(tmp_path, ValueMetric(lambda: 1.0, "score"))
    with pytest.raises(ValueError, match="does not say whether lower or higher is better. Write comp=np.less or comp=np.greater"):
        learn.fit(1, cbs=SaveModelCallback("score"))
    assert learn.recorder.history == []
    learn.fit(1, cbs=SaveModelCallback("score", comp=np.greater))


def test_unknown_monitor_lists_the_columns_before_training(tmp_path):
    learn = make(tmp_path, [mae, rmse])
    with pytest.raises(ValueError, match=r"monitor='mea'.*did you mean 'mae'\? It has: train_loss, valid_loss, mae, rmse"):
        learn.fit(1, cbs=EarlyStoppingCallback("mea"))
    assert learn.recorder.history == []
    with pytest.raises(TypeError, match="takes the name of a column.*write 'mae'"):
        TrackerCallback(mae)


def test_monitors_that_cannot_work_are_refused(tmp_path):
    with pytest.raises(ValueError, match="2 columns have this name"):
        make(tmp_path, [scripted([1]), scripted([1])]).fit(1, cbs=TrackerCallback("score"))
    with pytest.raises(ValueError, match="no validation data, so there is nothing to monitor but train_loss"):
        make(tmp_path, dls=loaders(valid=False)).fit(1, cbs=TrackerCallback())
    learn = make(tmp_path)
    learn.remove_cb(Recorder)
    with pytest.raises(ValueError, match="reads the epoch table from the Recorder"):
        learn.fit(1, cbs=TrackerCallback())
    with pytest.raises(ValueError, match="smallest change that counts"):
        TrackerCallback(min_delta=-0.1)
    tracker = TrackerCallback("train_loss")
    learn = make(tmp_path, dls=loaders(valid=False))
    learn.fit(2, cbs=tracker)
    assert tracker.best == min(row[0] for row in learn.recorder.values)


def test_an_epoch_without_the_value_is_no_epoch_without_improvement(tmp_path):
    def no_validation(cb):
        if cb.learn.epoch in (1, 2):
            raise CancelValidException

    stop = EarlyStoppingCallback("score", patience=1)
    make(tmp_path, scripted([1, 2, 3, 4])).fit(4, cbs=[stop, Callback(before_validate=no_validation)])
    assert stop.stopped is None and stop.best == 2


# -- saving the best ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("values", "best"), [([1, 3, 2, 0], 1), ([3, 2, 1, 0], 0), ([math.nan, 1, math.nan, 2], 3),
                                              ([math.inf, 1, 0, -1], 1)])
def test_the_best_epoch_is_put_back(values, best, tmp_path):
    learn, weights, save = make(tmp_path, scripted(values)), WeightsOfEachEpoch(), SaveModelCallback("score")
    learn.fit(4, 1e-2, cbs=[weights, save])
    assert same(learn, weights.seen[best]) and not same(learn, weights.seen[(best + 1) % 4])
    assert save.best == values[best] and save.best_epoch == best and save.file == tmp_path / "models" / "model.safetensors"
    with torch.no_grad():
        learn.model[0].weight.zero_()
    learn.load("model")
    assert same(learn, weights.seen[best])


def test_min_delta(tmp_path):
    save = SaveModelCallback("score", min_delta=0.5)
    make(tmp_path, scripted([1.0, 1.4, 1.6, 2.2])).fit(4, cbs=save)
    assert (save.best, save.best_epoch) == (2.2, 3)      # 1.4 is too close to 1.0; 1.6 is not; 2.2 beats 1.6
    save = SaveModelCallback("score", min_delta=0.5)
    make(tmp_path, scripted([1.0, 1.4, 1.6, 2.0])).fit(4, cbs=save)
    assert (save.best, save.best_epoch) == (1.6, 2)


def test_the_best_is_put_back_after_an_early_stop_and_after_a_cancel(tmp_path):
    learn, weights, save = make(tmp_path, scripted([1, 3, 2, 0, 5])), WeightsOfEachEpoch(), SaveModelCallback("score")
    learn.fit(5, 1e-2, cbs=[weights, save, EarlyStoppingCallback("score", patience=2)])
    assert len(weights.seen) == 4 and same(learn, weights.seen[1])

    def cancel(cb):
        if cb.learn.epoch == 3 and cb.learn.training:
            raise CancelFitException

    learn, weights, save = make(tmp_path, scripted([1, 3, 2, 0, 5])), WeightsOfEachEpoch(), SaveModelCallback("score")
    learn.fit(5, 1e-2, cbs=[weights, save, Callback(before_batch=cancel)])
    assert same(learn, weights.seen[1])


def test_nothing_is_loaded_after_an_error(tmp_path):
    def fail(cb):
        if cb.learn.epoch == 2:
            raise KeyError("broken")

    learn, weights = make(tmp_path, scripted([3, 2, 1])), WeightsOfEachEpoch()
    with pytest.raises(KeyError):
        learn.fit(3, 1e-2, cbs=[weights, SaveModelCallback("score"), Callback(before_epoch=fail)])
    assert same(learn, weights.seen[1])                  # where training was, and not the best
    assert (tmp_path / "models" / "model.safetensors").exists()


def test_a_stale_file_is_never_loaded(tmp_path):
    learn = make(tmp_path)
    learn.save("model")
    learn = make(tmp_path, scripted([math.nan, math.nan]))
    weights, save = WeightsOfEachEpoch(), SaveModelCallback("score")
    with pytest.warns(UserWarning, match="saved nothing, because score was never a finite number"):
        learn.fit(2, 1e-2, cbs=[weights, save])
    assert same(learn, weights.seen[1]) and save.file is None


def test_the_file_of_another_training_of_the_same_callback_is_not_loaded(tmp_path):
    learn, weights = make(tmp_path, scripted([1, math.nan])), WeightsOfEachEpoch()
    learn.add_cbs([weights, SaveModelCallback("score")])
    learn.fit(1, 1e-2)
    with pytest.warns(UserWarning, match="saved nothing"):
        learn.fit(1, 1e-2)
    assert same(learn, weights.seen[1])


def test_a_file_that_somebody_else_changed_is_not_loaded(tmp_path):
    learn, weights = make(tmp_path, scripted([2, 1])), WeightsOfEachEpoch()
    other = make(tmp_path)

    def overwrite(cb):
        if cb.learn.epoch == 1:
            other.save("model")

    with pytest.warns(UserWarning, match="was changed or removed since SaveModelCallback"):
        learn.fit(2, 1e-2, cbs=[weights, SaveModelCallback("score"), Callback(before_epoch=overwrite)])
    assert same(learn, weights.seen[1])


def test_every_epoch_and_at_end(tmp_path):
    learn, weights = make(tmp_path), WeightsOfEachEpoch()
    learn.fit(4, 1e-2, cbs=[weights, SaveModelCallback(every_epoch=2, fname="sub/w", at_end=True)])
    folder = tmp_path / "models" / "sub"
    assert sorted(f.name for f in folder.glob("*.safetensors")) == ["w_0.safetensors", "w_2.safetensors", "w_end.safetensors"]
    assert same(learn, weights.seen[3])
    assert same(learn.load("sub/w_2"), weights.seen[2]) and same(learn.load("sub/w_end"), weights.seen[3])


def test_at_end_keeps_the_best_too(tmp_path):
    learn, weights = make(tmp_path, scripted([1, 2, 0])), WeightsOfEachEpoch()
    learn.fit(3, 1e-2, cbs=[weights, SaveModelCallback("score", at_end=True)])
    assert same(learn, weights.seen[1]) and same(learn.load("model_end"), weights.seen[2])


def test_with_opt(tmp_path):
    learn, states = make(tmp_path, scripted([1, 2, 0])), []
    keep = Callback(after_epoch=lambda cb: states.append({p: s["exp_avg"].clone() for p, s in cb.learn.opt.state.items()}))
    learn.fit(3, 1e-2, cbs=[keep, SaveModelCallback("score", with_opt=True)])
    assert all(torch.equal(learn.opt.state[p]["exp_avg"], v) for p, v in states[1].items())


def test_with_averaged_weights_what_was_validated_is_saved(tmp_path):
    validated, save = [], SaveModelCallback("score")
    see = Callback(after_validate=lambda cb: validated.append([p.detach().clone() for p in cb.learn.model.parameters()]))
    learn = make(tmp_path, scripted([1, 2, 0]))
    learn.fit(3, 1e-2, cbs=[see, save, EMA(0.9)])
    assert same(learn, validated[1]) and not same(learn, validated[2])


def test_a_file_name_has_no_suffix_of_another_format():
    assert all(SaveModelCallback(fname=f"model.{suffix}").fname == "model" for suffix in ("safetensors", "pth", "pt"))
    assert SaveModelCallback(fname=Path("v1.2")).fname == "v1.2"


def test_saving_is_refused_where_it_cannot_work(tmp_path):
    learn = make(tmp_path)
    with pytest.raises(ValueError, match="two SaveModelCallbacks save to 'model'"):
        learn.fit(1, cbs=[SaveModelCallback(), SaveModelCallback(every_epoch=True)])
    with pytest.raises(ValueError, match="a file name without a suffix"):
        SaveModelCallback(fname="model.pkl")
    with pytest.raises(ValueError, match="every_epoch=-1"):
        SaveModelCallback(every_epoch=-1)
    (tmp_path / "models").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="models"):
        learn.fit(1, cbs=SaveModelCallback())
    assert learn.recorder.history == []


def test_lr_find_neither_saves_nor_resets(tmp_path):
    learn = make(tmp_path, scripted([1, 2]))
    save = SaveModelCallback("score")
    learn.add_cb(save)
    learn.fit(2)
    stamp = save.file.stat().st_mtime_ns
    learn.lr_find(num_it=6, show_plot=False, suggest_funcs=None)
    assert save.best == 2 and save.run and save.file.stat().st_mtime_ns == stamp


# -- one tracker over the phases of fine_tune ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("with_opt", [False, True])
def test_fine_tune_keeps_the_best_of_both_phases(with_opt, tmp_path):
    learn, weights = make(tmp_path, scripted([5, 9, 1, 2]), splitter=two_groups), WeightsOfEachEpoch()
    save = SaveModelCallback("score", with_opt=with_opt)
    learn.fine_tune(2, 1e-2, freeze_epochs=2, cbs=[weights, save])
    assert (save.best, save.best_epoch) == (9, 1) and same(learn, weights.seen[1]) and not same(learn, weights.seen[3])


@pytest.mark.parametrize("scores", [[9, 5, 1, 2], [5, 9, 1, 2]])
def test_loading_the_best_with_its_optimizer_does_not_turn_back_what_callbacks_know(scores, tmp_path):
    learn, weights = make(tmp_path, scripted(scores), splitter=two_groups), WeightsOfEachEpoch()
    save, stop, log = SaveModelCallback("score", with_opt=True), EarlyStoppingCallback("score", patience=5), LiveLogger()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learn.fine_tune(2, 1e-2, freeze_epochs=2, cbs=[weights, save, stop, log])
    assert same(learn, weights.seen[scores.index(9)]) and save.file.exists()
    assert (save.n_seen, stop.n_seen, log.step) == (4, 4, 8)


def test_fine_tune_takes_a_better_second_phase_and_starts_it_from_the_best_of_the_first(tmp_path):
    learn, weights = make(tmp_path, scripted([5, 3, 1, 8]), splitter=two_groups), WeightsOfEachEpoch()
    starts = []
    first = Callback(before_epoch=lambda cb: starts.append([p.detach().clone() for p in cb.learn.model.parameters()]))
    learn.fine_tune(2, 1e-2, freeze_epochs=2, cbs=[first, weights, SaveModelCallback("score")])
    assert same(learn, weights.seen[3])
    assert all(torch.equal(a, b) for a, b in zip(starts[2], weights.seen[0], strict=True))


def test_every_epoch_counts_on_in_the_second_phase(tmp_path):
    make(tmp_path, splitter=two_groups).fine_tune(2, freeze_epochs=1, cbs=SaveModelCallback(every_epoch=True))
    assert sorted(f.stem for f in (tmp_path / "models").glob("*.safetensors")) == ["model_0", "model_1", "model_2"]


class TwoFits(Learner):
    "A verb of two phases, as a subclass may have one."

    def two_fits(self, cbs):
        self.fit(2, cbs=cbs)
        self.continues = True
        try:
            self.fit(2, cbs=cbs)
        finally:
            self.continues = False


def test_when_a_tracker_forgets():
    def trained(reset_on_fit, verbs):
        learn = TwoFits(loaders(), nn.Linear(3, 1), MSELossFlat(), metrics=scripted([4, 3, 2, 1] * 2))
        learn.remove_cb(ProgressCallback)
        learn.logger = lambda row: None
        tracker = TrackerCallback("score", reset_on_fit=reset_on_fit)
        learn.add_cb(tracker)
        for verb in verbs:
            learn.two_fits(None) if verb == "two" else learn.fit(2)
        return tracker.best

    assert trained(None, ["two"]) == 4                  # over both phases
    assert trained(True, ["two"]) == 2                  # starts again with each fit
    assert trained(None, ["two", "fit"]) == 4           # a new verb: 4, 3
    assert trained(None, ["fit", "fit"]) == 2           # a new verb: 2, 1
    assert trained(False, ["fit", "fit"]) == 4


def test_another_learner_is_another_training(tmp_path):
    tracker = TrackerCallback("score")
    make(tmp_path, scripted([9])).fit(1, cbs=tracker)
    learn = make(tmp_path, scripted([1]))
    learn.continues = True
    learn.fit(1, cbs=tracker)
    assert tracker.best == 1


def test_a_resumed_fit_continues(tmp_path):
    learn, save = make(tmp_path, scripted([5, 1])), SaveModelCallback("score")
    learn.fit(1, cbs=save)
    learn.fit(2, start_epoch=1, cbs=save)
    assert (save.best, save.best_epoch, save.n_seen) == (5, 0, 2)


def test_state_continues_in_another_process(tmp_path):
    learn, save = make(tmp_path, scripted([5])), SaveModelCallback("score")
    learn.fit(1, cbs=save)
    state, best = save.state_dict(), [p.detach().clone() for p in learn.model.parameters()]
    assert all(v is None or isinstance(v, (int, float, str)) for v in state.values())
    learn, save = make(tmp_path, scripted([1])), SaveModelCallback("score")
    save.load_state_dict(state)
    learn.fit(2, start_epoch=1, cbs=save)
    assert save.best == 5 and same(learn, best)


def test_the_best_survives_a_crash_and_resume(tmp_path):
    scores = [1, 9, 3]

    def learner(crash_in):
        learn = make(tmp_path, splitter=two_groups)
        learn.metrics = ValueMetric(lambda: scores[save.n_seen], "score", False)

        def crash(cb):
            if save.n_seen == crash_in:
                raise RuntimeError("power cut")

        return learn.add_cbs([Resume(), save, weights, Callback(before_batch=crash)])

    save, weights = SaveModelCallback("score"), WeightsOfEachEpoch()
    with pytest.raises(RuntimeError, match="power cut"):
        learner(2).fine_tune(2, freeze_epochs=1)
    best = weights.seen[1]
    save, weights = SaveModelCallback("score"), WeightsOfEachEpoch()
    learn = learner(None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "Resume: this fit")
        learn.fine_tune(2, freeze_epochs=1)
    assert len(weights.seen) == 1 and (save.best, save.best_epoch) == (9, 1) and same(learn, best)


# -- early stopping -----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("values", "patience", "epochs"), [
    ([1, 2, 3, 3, 4], 1, 4), ([1, 2, 1, 1, 3], 2, 4), ([1, 2, 1, 3, 1, 1, 9], 2, 6), ([5, 4, 3, 2, 1], 3, 4), ([1, 2, 3], 1, 3),
    ([math.nan, math.nan, 1], 2, 2)])
def test_early_stop_at_the_exact_epoch(values, patience, epochs, tmp_path):
    learn, stop = make(tmp_path, scripted(values)), EarlyStoppingCallback("score", patience=patience)
    learn.fit(len(values), cbs=stop)
    assert len(learn.recorder.values) == epochs
    assert stop.stopped == (epochs - 1 if epochs < len(values) or stop.wait >= patience else None)


def test_every_callback_sees_the_last_epoch_of_an_early_stop(tmp_path):
    class Late(Callback):
        order = 70
        called = 0

        def after_epoch(self):
            self.called += 1

    late = Late()
    make(tmp_path, scripted([2, 1, 0])).fit(3, cbs=[EarlyStoppingCallback("score"), late])
    assert late.called == 2


def test_patience_starts_again_with_a_phase_but_the_best_stays(tmp_path):
    learn = make(tmp_path, scripted([5, 1, 2, 3, 4]), splitter=two_groups)
    stop = EarlyStoppingCallback("score", patience=2)
    learn.fine_tune(3, freeze_epochs=2, cbs=stop)
    assert stop.best == 5 and len(learn.recorder.history) == 4        # 1 worse epoch in the first phase, 2 in the second


def test_patience_within_one_cycle_warns_once(tmp_path):
    learn, stop = make(tmp_path), EarlyStoppingCallback(patience=2)
    with pytest.warns(UserWarning, match=r"schedule that raises the learning rate.*Use patience=5 or more, or fit_flat_cos") as caught:
        learn.fit_one_cycle(10, cbs=stop)
        learn.fit_one_cycle(10, cbs=stop)
    assert len([w for w in caught if "patience" in str(w.message)]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learn.fit_one_cycle(10, cbs=EarlyStoppingCallback(patience=5))
        learn.fit_flat_cos(4, cbs=EarlyStoppingCallback())
        learn.fit(2, cbs=EarlyStoppingCallback())


def test_patience_for():
    one_cycle = combined_cos(0.25, [1 / 25], [1.0], [1e-5])
    high = sum(one_cycle(i / 1000)[0] > 0.5 for i in range(1000)) / 1000
    assert patience_for(one_cycle, 10) == math.ceil(10 * round(high, 2)) == 5
    assert patience_for(lambda p: 1 - p, 10) == 0 and patience_for(lambda p: 0.1, 10) == 0
    assert patience_for(sgdr(3, 1, [1.0])[0], 7) > 0                   # restarts raise the rate


def test_patience_is_checked():
    for patience in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="how many epochs without improvement"):
            EarlyStoppingCallback(patience=patience)


# -- lower learning rate ------------------------------------------------------------------------------------------------------------
def test_reduce_lr_on_plateau(tmp_path):
    learn = make(tmp_path, scripted([5, 4, 4, 6, 1, 1, 1, 1]), splitter=two_groups)
    rates = []
    reduce = ReduceLROnPlateau("score", patience=2, factor=10.0, min_lr=1e-4)
    learn.fit(8, [1e-3, 1e-2], cbs=[reduce, Callback(before_epoch=lambda cb: rates.append([g["lr"] for g in cb.learn.opt.param_groups]))])
    per_group = [r[:: len(r) // 2] for r in rates]
    assert [p[0] for p in per_group] == pytest.approx([1e-3] * 3 + [1e-4] * 5)          # stopped by min_lr
    assert [p[-1] for p in per_group] == pytest.approx([1e-2] * 3 + [1e-3] * 3 + [1e-4] * 2)
    assert [r.epoch for r in reduce.reductions] == [2, 5]
    assert reduce.reductions[0].before == pytest.approx(1e-2) and reduce.reductions[0].after == pytest.approx(1e-3)
    assert {g["lr"] for g in learn.opt.param_groups} == {learn.lr}                      # for this fit only


def test_reduce_lr_never_raises_a_rate_that_is_already_below_min_lr(tmp_path):
    reduce = ReduceLROnPlateau("score", min_lr=1e-3)
    make(tmp_path, scripted([2, 1, 0])).fit(3, 1e-5, cbs=reduce)
    assert reduce.reductions == []


def test_reduce_lr_beside_a_schedule_warns_and_does_nothing(tmp_path):
    step = TorchScheduler(partial(torch.optim.lr_scheduler.StepLR, step_size=1))
    for verb, cbs, rival in (("fit_one_cycle", [], "a learning-rate schedule"), ("fit", [step], "a scheduler of torch")):
        rates, cb = [], ReduceLROnPlateau("score")
        for also in ([], [cb]):
            learn = make(tmp_path, scripted([3, 2, 1]), splitter=two_groups)
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                getattr(learn, verb)(3, cbs=[*cbs, *also])
            rates.append(learn.recorder.lrs)
            assert [rival in str(w.message) and "Use it with fit()" in str(w.message) for w in said if "Plateau" in str(w.message)] == \
                [True] * len(also)
        assert rates[0] == rates[1] and cb.reductions == []
    make(tmp_path, scripted([3, 2, 1])).fit(3, 1e-2, cbs=cb)                     # as the warning says
    assert [r.epoch for r in cb.reductions] == [1, 2]


def test_comp_is_what_the_monitored_column_says(tmp_path):
    assert TrackerCallback().comp is np.less and TrackerCallback("score").comp is None
    assert TrackerCallback(comp=operator.gt).comp is operator.gt

    class Mine(TrackerCallback):
        def after_epoch(self):
            super().after_epoch()
            assert self.comp(2, 1) == (not self.learn.metrics[0].lower_is_better)

    for metric in (scripted([1, 2]), scripted([2, 1], lower=True)):
        tracker = Mine("score")
        make(tmp_path, metric).fit(2, cbs=tracker)
        assert tracker.comp is (np.less if metric.lower_is_better else np.greater)


def test_reduce_lr_notices_that_somebody_else_sets_the_rate(tmp_path):
    def meddle(cb):
        cb.learn.opt.param_groups[0]["lr"] = 0.5

    with pytest.warns(UserWarning, match="one of the two has no effect"):
        make(tmp_path, scripted([3, 2, 1])).fit(3, cbs=[ReduceLROnPlateau("score"), Callback(before_batch=meddle)])


def test_reduce_lr_arguments():
    with pytest.raises(ValueError, match=r"divided by factor, so it must be above 1: write factor=10"):
        ReduceLROnPlateau(factor=0.1)
    with pytest.raises(ValueError, match="min_lr=-1"):
        ReduceLROnPlateau(min_lr=-1)


# -- which items were in a batch ----------------------------------------------------------------------------------------------------
class Files:
    "Items that are files, each read as its own number."

    def __init__(self, n, bad=()):
        self.items, self.bad = [Path(f"pictures/{i}.png") for i in range(n)], bad

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return torch.tensor([math.nan if i in self.bad else float(i)]), torch.tensor([1.0])

    def item_name(self, i):
        return f"item {i}, '{self.items[i]}'"


@pytest.mark.parametrize("workers", [0, 2])
def test_the_items_of_every_batch_are_known(workers):
    dl = DataLoader(Files(11), bs=3, shuffle=True, num_workers=workers, seed=3)
    assert dl.indices_of_batch() is None
    for _ in range(2):
        seen = []
        for x, _y in dl:
            seen.append([int(v) for v in x[:, 0]])
            assert dl.indices_of_batch() == seen[-1] == dl.indices_of_batch(len(seen) - 1)
            if len(seen) == 2:
                dl.one_batch()                           # looking at another batch changes nothing
            assert dl.items_of_batch(-len(seen)) == [Path(f"pictures/{i}.png") for i in seen[0]]
        assert dl.names_of_batch(0)[0] == f"item {seen[0][0]}, 'pictures/{seen[0][0]}.png'"
        assert dl.items_of_batch(1) == [Path(f"pictures/{i}.png") for i in seen[1]]
    with pytest.raises(IndexError, match="4 of 4 batches"):
        dl.indices_of_batch(4)


def test_items_in_the_middle_of_an_epoch_taken_up_again():
    dl = DataLoader(Files(8), bs=2, shuffle=True, seed=1, num_workers=0)
    it = iter(dl)
    next(it), next(it)
    state = dl.state_dict()
    other = DataLoader(Files(8), bs=2, shuffle=True, seed=1, num_workers=0)
    other.load_state_dict(state)
    for x, _ in other:
        assert other.indices_of_batch() == x[:, 0].int().tolist()


def test_items_of_subsets_and_samplers():
    dl = DataLoader(Subset(Files(6), [5, 3, 1]), bs=2, num_workers=0)
    next(iter(dl))
    assert dl.items_of_batch() == [Path("pictures/5.png"), Path("pictures/3.png")] and dl.names_of_batch()[1] == "item 3, 'pictures/3.png'"
    dl = DataLoader(Files(6), bs=4, sampler=WeightedSampler([0, 0, 1, 1, 0, 0]), num_workers=0)
    for x, _ in dl:
        assert dl.indices_of_batch() == x[:, 0].int().tolist()
    dl = DataLoader(Files(6), bs=4, sampler=WeightedRandomSampler([1.0] * 6, 6), num_workers=0)
    next(iter(dl))
    assert dl.items_of_batch() is None and dl.names_of_batch() is None     # torch's samplers cannot be asked again
    dl = DataLoader(TensorDataset(torch.arange(4.0)), bs=4)
    next(iter(dl))
    assert dl.items_of_batch() == [0, 1, 2, 3] and dl.names_of_batch()[2] == "item 2"


# -- stop at the first loss that is no number ---------------------------------------------------------------------------------------
def nan_learner(workers, tmp_path, bad=(7,), kind=DataLoader, **kwargs):
    dls = DataLoaders(kind(Files(40, bad), batch_size=4, num_workers=workers, **kwargs), kind(Files(8), batch_size=4, num_workers=0))
    learn = make(tmp_path, model=nn.Linear(1, 1), dls=dls)
    return learn.remove_cb(FirstBatch)               # which looks at the first batch itself


@pytest.mark.parametrize("workers", [0, 2])
def test_nan_names_the_item(workers, tmp_path):
    torch.manual_seed(5)
    learn, seen = nan_learner(workers, tmp_path, bad=(7, 23), shuffle=True), []

    def look(cb):
        seen.append((cb.learn.x[:, 0].clone(), [p.detach().clone() for p in learn.model.parameters()]))

    with pytest.raises(NonFiniteLoss, match="the inputs of 1 item hold NaN") as caught:
        learn.fit(1, 1e-4, cbs=[Callback(before_batch=look), TerminateOnNaNCallback()])
    last, weights = seen[-1]
    row = int(torch.isnan(last).nonzero())
    assert [int(torch.isnan(x).sum()) for x, _ in seen] == [0] * (len(seen) - 1) + [1]
    error = caught.value
    assert error.culprits in (["item 7, 'pictures/7.png'"], ["item 23, 'pictures/23.png'"]) and error.items[row] == error.culprits[0]
    others = [f"item {int(v)}, 'pictures/{int(v)}.png'" for i, v in enumerate(last.tolist()) if i != row]
    assert [name for i, name in enumerate(error.items) if i != row] == others
    assert f"at batch {len(seen) - 1} of epoch 0" in str(error) and f"item at fault: {error.culprits[0]}" in str(error)
    assert same(learn, weights)                          # the batch did not reach the weights


def test_nan_without_known_items(tmp_path):
    learn = nan_learner(0, tmp_path, bad=(1,), kind=TorchDataLoader)
    with pytest.raises(NonFiniteLoss, match="its items are not known here") as caught:
        learn.fit(1, cbs=TerminateOnNaNCallback())
    assert caught.value.items is None and caught.value.culprits == []


@pytest.mark.parametrize(("event", "change", "message"), [
    ("before_batch", lambda cb: cb.learn.yb[0].__setitem__(2, math.inf), "the targets of 1 item hold"),
    ("after_pred", lambda cb: setattr(cb.learn, "pred", cb.learn.pred * torch.tensor([[1.0], [1], [1], [math.nan]])),
     "the model's output for 1 item is not"),
    ("after_loss", lambda cb: setattr(cb.learn, "loss", cb.learn.loss * math.nan), "it arises in the loss.*the 4 items of this batch"),
    ("before_batch", lambda cb: cb.learn.model.weight.data.fill_(math.nan),
     "1 parameter of the model .weight. was not finite before.* an earlier step broke"),
])
def test_nan_says_where_it_arose(event, change, message, tmp_path):
    def once(cb):
        if cb.learn.training and cb.learn.iter == 2:
            change(cb)

    learn = nan_learner(0, tmp_path, bad=())
    with pytest.raises(NonFiniteLoss, match=message):
        learn.fit(1, 1e-6, cbs=[Callback(**{event: once}), TerminateOnNaNCallback()])
    assert len(learn.recorder.lrs) == 2                  # at once: batches 0 and 1 were done


def test_bad_rows():
    x = torch.ones(3, 2, 2)
    x[1, 0, 1] = math.nan
    assert bad_rows((x, {"a": torch.tensor([1.0, 2.0, math.inf]), "b": torch.tensor([1, 2, 3]), "c": torch.tensor(math.nan)}), 3) == [1, 2]
    assert bad_rows((), 3) == []


def test_finite_training_is_left_alone(tmp_path):
    learn = nan_learner(0, tmp_path, bad=())
    learn.fit(1, 1e-4, cbs=TerminateOnNaNCallback())
    assert len(learn.recorder.values) == 1
