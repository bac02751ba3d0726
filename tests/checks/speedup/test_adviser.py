"""The speed adviser: what it finds where the answer is known, and that it leaves no trace."""
import re
import time
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
import torch
from slow_nets import Net, Slow, half, images, last, learner, sleep_takes_no_time, slow_unless  # noqa: F401  a fixture
from test_check_learner_untouched import assert_same, make, snapshot
from torch import nn
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import TensorDataset
from zoo import loaders, mlp, points

from minifast.callbacks import ChannelsLast, MixedPrecision
from minifast.callbacks.mix import MixUp
from minifast.checks.speedup import adviser
from minifast.checks.speedup.adviser import first_of, seconds_of, speedup
from minifast.checks.speedup.options import Option
from minifast.checks.speedup.report import Row
from minifast.checks.speedup.trials import Ratio, Trial
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.nn.losses import CrossEntropyLossFlat

quickly = pytest.mark.usefixtures("sleep_takes_no_time")        # `test_the_predicted_ratio_is_that_of_a_fit` and others really sleep


@pytest.fixture(autouse=True, scope="module")
def imported():
    "What torch imports at the first step is no matter of the budgets here."
    Learner(images(), Net(), CrossEntropyLossFlat()).create_opt()


# -- arguments ------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("budget, seconds", [("30s", 30), ("2min", 120), (5, 5), ("1.5 min", 90), ("1h", 3600)])
def test_budget(budget, seconds):
    assert seconds_of(budget) == seconds


@pytest.mark.parametrize("budget", ["soon", "30", 0, -3, None, "0s", True, float("inf"), [30]])
def test_budgets_that_are_none(budget):
    with pytest.raises(ValueError, match="speedup.budget="):
        make().speedup(budget)


@pytest.mark.slow
def test_what_refusals_say_works():
    learn = learner(Net())
    with pytest.raises((ValueError, RuntimeError), match=re.escape("such as budget='30s', '2min' or a number")):
        learn.speedup("soon")
    with pytest.raises((ValueError, RuntimeError), match=re.escape("the number of epochs that you plan to train, at least 1")):
        learn.speedup("1s", epochs=0)
    assert len(learn.speedup("1s", epochs=1)) and len(learn.speedup(1))
    bare = Learner(images(), Net())
    bare.loss_func = None
    with pytest.raises((ValueError, RuntimeError), match=re.escape("Learner(dls, model, loss_func=...)")):
        bare.speedup()
    assert len(Learner(images(), Net(), loss_func=CrossEntropyLossFlat()).speedup("1s"))


# -- what is found ---------------------------------------------------------------------------------------------------------------------
@quickly
def test_a_memory_format_that_helps_is_found_set_and_predicted():
    learn = learner(Net(slow_unless(last)))
    report = learn.speedup("6s", apply=True, epochs=2)
    row = report["channels-last"]
    assert row.verdict == "faster" and 2 < row.ratio.value < 7 and report.applied
    assert "learn.to_channelslast()" in report.best and any(isinstance(cb, ChannelsLast) for cb in learn.cbs)
    assert "applied: " in str(report) and "channels-last" in report._repr_html_()
    assert report.frame().set_index("setting").loc["channels-last", "verdict"] == "faster"
    assert report.bottleneck == "model"


def fit_seconds(learn, epochs):
    with learn.no_bar(), learn.no_logging():
        began = time.perf_counter()
        learn.fit(epochs)
        return time.perf_counter() - began


@pytest.mark.slow
def test_the_predicted_ratio_is_that_of_a_fit():
    def slow(x):
        return 0.03 if half(x) else 0.075              # long beside the few milliseconds that a step takes by itself, more on busy machines

    predicted = learner(Net(slow)).speedup("18s", epochs=5).ratio
    ratios = []
    for _ in range(3):
        before, after = learner(Net(slow)), learner(Net(slow)).to_bf16()
        ratios.append(fit_seconds(before, 5) / fit_seconds(after, 5))
    assert predicted == pytest.approx(np.median(ratios), rel=0.15)


@quickly
@pytest.mark.slow
@pytest.mark.parametrize("twist, words", [
    (lambda x, out: out * 3 if last(x) else out, "more than rounding explains"),
    (lambda x, out: out / 0 if last(x) else out, "no longer finite")])
def test_a_setting_that_changes_the_loss_is_refused(twist, words):
    learn = learner(Net(slow_unless(last), twist))
    report = learn.speedup("9s", apply=True)
    assert report["channels-last"].verdict == "refused" and words in report["channels-last"].note
    assert not any(isinstance(cb, ChannelsLast) for cb in learn.cbs) and "learn.to_channelslast()" not in report.best


@quickly
def test_half_precision_is_rounding_but_not_without_limit():
    def coarse(x, out):
        return out + 0.5 * torch.arange(2) if half(x) else out

    assert learner(Net(slow_unless(half))).speedup("4s")["bf16"].verdict == "faster"
    assert learner(Net(slow_unless(half), coarse)).speedup("4s")["bf16"].verdict == "refused"


@pytest.mark.slow
def test_a_setting_that_fails_is_listed_with_the_reason():
    def refuse(x, out):
        if last(x):
            raise RuntimeError("view size is not compatible")
        return out

    row = learner(Net(twist=refuse)).speedup("3s")["channels-last"]
    assert row.verdict == "not tried" and "it failed: RuntimeError: view size is not compatible" in row.note


@pytest.mark.slow
def test_noise_is_no_difference():
    report = learner(Net(lambda x: 0.06)).speedup("12s", apply=True)
    assert report["channels-last"].verdict in ("no difference", "not judged") and report["bf16"].verdict != "faster"
    assert report.ratio == 1.0 and not report.best and not report.applied


@pytest.mark.slow
def test_data_that_are_slow_are_named_and_workers_found():
    dls = DataLoaders(DataLoader(Slow(), bs=12, shuffle=True, num_workers=0), DataLoader(Slow(), bs=12, num_workers=0))
    learn = learner(mlp(), dls)
    report = learn.speedup("60s", apply=True)
    assert report.bottleneck == "data" and report.data_share > 0.5 and report.times["wait"] > 0.5 * report.times["step"]
    assert "waits for data" in str(report)
    assert report.ratio > 1.5 and learn.dls.train.num_workers and "num_workers=" in report.best[-1]
    assert dls.train.num_workers == 0                       # the caller's own


@pytest.mark.slow
def test_loaders_of_torch():
    dls = DataLoaders(TorchDataLoader(Slow(), 12, shuffle=True), TorchDataLoader(Slow(), 12))
    report = learner(mlp(), dls, opt_func=torch.optim.AdamW).speedup("4s")
    assert report.bottleneck == "data" and "DataLoader(dataset, ...)" in report["workers, cache"].note
    assert report["fused optimizer"].verdict != "not tried"


@pytest.mark.slow
def test_several_processes_are_refused(monkeypatch):
    from minifast.core import ranks
    learn = learner(Net())
    with monkeypatch.context() as m:
        m.setattr(ranks, "world_size", lambda: 2)
        with pytest.raises((ValueError, RuntimeError), match=re.escape("run it once without a launcher")):
            learn.speedup("2s")
    learn.speedup("2s")


def test_what_is_on_already_is_said_and_not_tried():
    learn = learner(Net()).to_bf16().to_channelslast()
    report = learn.speedup("3s")
    assert "on already" in report["bf16, fp16"].note and "on already" in report["channels-last"].note
    notes = "; ".join(row.note for row in report)
    assert "`learn.to_fp32()` turns it off" in notes and "`learn.to_contiguous()` turns it off" in notes
    learn.to_fp32().to_contiguous()
    assert not any(isinstance(cb, (MixedPrecision, ChannelsLast)) for cb in learn.cbs)


@pytest.mark.slow
def test_the_budget_is_kept():
    for budget in (2, 5):
        began = time.perf_counter()
        report = learner(Net(lambda x: 0.05)).speedup(budget)
        assert time.perf_counter() - began < budget + 2 and report.seconds <= budget + 2


@pytest.mark.slow
@quickly
def test_compile_is_weighed_against_the_planned_steps():
    note = learner(Net()).speedup("2s", epochs=1)["compile"].note
    assert "warm-up" in note and "planned 4 steps" in note
    note = learner(Net(lambda x: 0.05)).speedup("3s", epochs=1000)["compile"].note
    assert "learn.speedup(budget='2min') tries it" in note


@pytest.mark.slow
def test_compile_is_tried_where_it_can_pay_off():
    learn = learner(Net(lambda x: 0.05))
    assert "learn.speedup(budget='2min') tries it" in learn.speedup("3s", epochs=1000)["compile"].note
    row = learn.speedup(budget="2min", epochs=1000)["compile"]
    assert row.ratio is not None or "it failed" in row.note or "Error" in row.note
    assert learn.compiled_with is None


@quickly
def test_the_first_setting_alone():
    row = first_of(learner(Net(slow_unless(last))), 2.0)
    assert "channels-last" in row.setting and row.ratio.value > 2
    assert first_of(learner(Net(lambda x: 0.01)), 1.5) is None


def test_where_there_is_no_time_for_a_run_of_all_together_it_is_computed():
    chosen = adviser.Adviser(learner(Net()), 5.0)
    chosen.chosen = Option("a + b", write=("a", "b"))
    chosen.report.times = {"step": 0.2, "model": 0.1}
    chosen.report.rows = [Row(name, "faster", Ratio(value, value, value, 5), of, write=name)
                          for name, value, of in (("a", 2.0, "model"), ("b", 1.5, "loop"), ("c", 9.0, "model"))]
    assert chosen.expected().value == pytest.approx(1 / (0.5 + 0.5 / 2) * 1.5)


# -- no trace --------------------------------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("torch_loaders", [False, True])
@pytest.mark.parametrize("trained", [False, True])
def test_the_learner_is_as_it_was(trained, torch_loaders):
    learn = make(trained, torch_loaders)
    before = snapshot(learn)
    learn.speedup("3s")
    assert_same(before, snapshot(learn))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("at", [1, 2, 6])
def test_the_learner_is_as_it_was_after_an_interruption(at, error, monkeypatch):
    learn = make()
    before, calls, run = snapshot(learn), [], Trial.run

    def interrupted(self, *args, **kwargs):
        calls.append(1)
        block = run(self, *args, **kwargs)
        if len(calls) == at:
            raise error("now")
        return block

    monkeypatch.setattr(Trial, "run", interrupted)
    with pytest.raises(KeyboardInterrupt) if error is KeyboardInterrupt else suppress(RuntimeError):
        learn.speedup("3s")
    assert len(calls) >= at
    assert_same(before, snapshot(learn))


def fitted(advised):
    torch.manual_seed(3)
    np.random.seed(3)
    x, y = points()
    model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))
    learn = Learner(loaders(x, y), model, CrossEntropyLossFlat(), cbs=MixUp())
    threads = torch.get_num_threads()
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1)
        if advised:
            learn.speedup("2s")
        assert torch.get_num_threads() == threads and not torch.is_autocast_enabled("cpu")
        learn.fit_one_cycle(2)
    return [p.detach().clone() for p in learn.model.state_dict().values()], learn.recorder.values


@pytest.mark.slow
def test_a_fit_after_it_is_the_fit_without_it_to_the_bit():
    (weights, values), (others, other_values) = fitted(False), fitted(True)
    assert all(map(torch.equal, weights, others)) and values == other_values


@quickly
def test_a_model_that_cannot_be_copied():
    class Lonely(Net):
        def __deepcopy__(self, memo):
            raise TypeError("one of a kind")

    learn = learner(Lonely(slow_unless(last)))
    before = [p.detach().clone() for p in learn.model.parameters()]
    report = learn.speedup("4s")
    assert report["channels-last"].verdict == "faster" and all(map(torch.equal, before, learn.model.parameters()))


# -- other learners ----------------------------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_a_table():
    from minifast.tabular.all import TabularDataLoaders, tabular_learner
    df = pd.DataFrame({"a": np.arange(400) / 400, "y": np.arange(400) % 2})
    learn = tabular_learner(TabularDataLoaders.from_df(df, cont_names=["a"], y_names="y", bs=32))
    report = learn.speedup("3s")
    assert report["channels-last"].verdict == report["fused optimizer"].verdict == "not tried" and report.times["step"] > 0
    assert report["bf16"].ratio is not None


def texts():
    from minifast.text.all import TextDataLoaders, text_classifier_learner
    df = pd.DataFrame({"text": ["a good film", "a bad film"] * 40, "label": [1, 0] * 40})
    return text_classifier_learner(TextDataLoaders.from_df(df, bs=8), pretrained=False)


def ratings():
    from minifast.collab import CollabDataLoaders, collab_learner
    df = pd.DataFrame({"user": np.arange(200) % 20, "item": np.arange(200) % 9, "rating": np.arange(200) % 5 + 1.0})
    return collab_learner(CollabDataLoaders.from_df(df, bs=16), n_factors=4, y_range=(0, 5.5))


def series():
    from minifast.timeseries.all import TSDataLoaders, ts_learner
    x = np.random.default_rng(0).normal(size=(60, 2, 20)).astype("float32")
    return ts_learner(TSDataLoaders.from_array(x, np.arange(60) % 2, bs=8))


@pytest.mark.slow
@pytest.mark.parametrize("make_learner", [texts, ratings, series])
def test_learners_of_every_kind(make_learner):
    learn = make_learner()
    before = {n: t.clone() for n, t in learn.model.state_dict().items()}
    report = learn.speedup("5s")
    assert report.times["step"] > 0 and report["bf16"].of == "model" and "it failed" not in str(report)
    assert all(torch.equal(t, learn.model.state_dict()[n]) for n, t in before.items())


@pytest.mark.slow
def test_items_are_cached_where_images_are_decoded(tmp_path):
    from PIL import Image

    from minifast.vision.all import ImageDataLoaders, Resize
    for i in range(32):
        noise = np.random.default_rng(i).integers(0, 255, (900, 900, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{'ab'[i % 2]}_{i}.jpg", quality=95)
    files = sorted(tmp_path.glob("*.jpg"))
    dls = ImageDataLoaders.from_path_func(tmp_path, files, lambda f: f.name[0], item_tfms=Resize(24), bs=4, num_workers=0, seed=1)
    learn = learner(nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 2)), dls)
    report = speedup(learn, "60s", apply=True)
    row = report["cache='ram'"]
    assert row.verdict == "faster" and row.of == "loop" and row.changes == "images resampled once more"
    assert learn.dls.train.cache is not None and learn.dls.valid.cache is not None and dls.train.cache is None


def test_a_learner_of_a_fit_on_one_batch():
    x, y = points(20)
    dls = DataLoaders(DataLoader(TensorDataset(x, y), bs=20))
    assert learner(mlp(), dls).speedup("2s").times["step"] > 0
    assert adviser.Adviser(learner(mlp(), dls), 2.0).n_valid == 0
