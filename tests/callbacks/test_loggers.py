import json
import math
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import TensorDataset

from minifast.callbacks import loggers
from minifast.callbacks.base import Callback
from minifast.callbacks.dynamics import PredictionDynamics
from minifast.callbacks.loggers import CSVLogger, FileLogger, JSONLogger, LiveLogger, ShowGraphCallback, TensorBoardCallback, WandbCallback
from minifast.callbacks.progress import ProgressCallback
from minifast.callbacks.recorder import Recorder
from minifast.callbacks.trackers import EarlyStoppingCallback, SaveModelCallback
from minifast.callbacks.training_run import check_folder, new_run
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.ensemble.runner import Store
from minifast.ensemble.search import choice, random_search
from minifast.learner.learner import Learner
from minifast.metrics.base import ValueMetric
from minifast.metrics.functions import mae
from minifast.nn.losses import MSELossFlat


def loaders(n=8, bs=4, kind=DataLoader, valid=True):
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    ds = TensorDataset(x, x.sum(1, keepdim=True))
    return DataLoaders(*[kind(ds, batch_size=bs, shuffle=True), kind(ds, batch_size=bs)][:2 if valid else 1])


def make(path, metrics=None, dls=None, **kwargs):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.2), nn.Linear(4, 1))
    learn = Learner(loaders() if dls is None else dls, model, MSELossFlat(), metrics=metrics, path=path, **kwargs)
    learn.remove_cb(ProgressCallback)
    learn.logger = lambda row: None
    return learn


def two_groups(m):
    return [list(m[0].parameters()), list(m[2].parameters())]


# -- files --------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("cls", [CSVLogger, JSONLogger])
def test_rows_survive_everything_else(cls, tmp_path):
    learn, log = make(tmp_path, mae), cls()
    learn.add_cb(log)
    learn.fit(2, 1e-3)
    learn.validate()
    learn.get_preds()
    learn.lr_find(num_it=6, show_plot=False, suggest_funcs=None)
    assert log.run
    learn.fit_one_cycle(1, 1e-2)
    frame = log.read()
    assert list(frame.columns) == ["run", "started", "fit", "epoch", "train_loss", "valid_loss", "mae", "time", "lr"]
    assert frame["fit"].tolist() == [0, 0, 1] and frame["epoch"].tolist() == [0, 1, 0]
    history = learn.recorder.frame()
    for column in ("train_loss", "valid_loss", "mae"):
        assert frame[column].tolist() == pytest.approx(history[column].tolist(), rel=1e-15)
    assert frame["lr"].tolist() == pytest.approx([1e-3, 1e-3, learn.recorder.lrs[-1]])
    assert frame["run"].nunique() == 2 and frame["run"][0] == frame["run"][1]


@pytest.mark.parametrize("cls", [CSVLogger, JSONLogger])
def test_another_learner_appends_under_its_own_id(cls, tmp_path):
    ids = []
    for _ in range(2):
        log = cls()
        make(tmp_path).fit(2, cbs=log)
        ids.append(log.training_run.id)
    assert log.read()["run"].tolist() == [ids[0]] * 2 + [ids[1]] * 2 and ids[0] != ids[1]
    assert log.file == tmp_path / log.fname


def test_both_phases_of_fine_tune_are_one_run(tmp_path):
    log = CSVLogger("logs/history.csv")
    make(tmp_path, splitter=two_groups).fine_tune(2, freeze_epochs=1, cbs=log)
    frame = log.read_log()
    assert frame["run"].nunique() == 1 and frame["fit"].tolist() == [0, 1, 1] and (tmp_path / "logs" / "history.csv").exists()


def test_ids_do_not_touch_the_random_streams():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert new_run().id != new_run().id and torch.equal(torch.get_rng_state(), before)


def test_other_columns_go_to_another_file_and_nothing_is_lost(tmp_path):
    foreign = "epoch,train_loss\n0,1.5\n"
    (tmp_path / "history.csv").write_text(foreign)
    log = CSVLogger()
    with pytest.warns(UserWarning, match=r"has other columns than this training.*writes to history_1.csv"):
        make(tmp_path).fit(1, cbs=log)
    assert (tmp_path / "history.csv").read_text() == foreign and len(log.read()) == 1
    log = CSVLogger()
    with pytest.warns(UserWarning, match="history_1.csv"):
        make(tmp_path).fit(1, cbs=log)                         # the columns of history_1.csv fit
    assert log.file.name == "history_1.csv" and len(log.read()) == 2
    learn, log = make(tmp_path), CSVLogger()
    learn.add_cb(log)
    with pytest.warns(UserWarning, match="history_1.csv"):
        learn.fit(1)
    learn.metrics = mae
    with pytest.warns(UserWarning, match="history_2.csv"):
        learn.fit(1)
    assert len(pd.read_csv(tmp_path / "history_1.csv")) == 3 and list(log.read()["mae"]) == [learn.recorder.values[0][2]]


def test_json_takes_any_columns(tmp_path):
    learn, log = make(tmp_path), JSONLogger()
    learn.add_cb(log)
    learn.fit(1)
    learn.metrics = [ValueMetric(lambda: math.nan, "odd"), ValueMetric(lambda: -math.inf, "low")]
    learn.fit(1)
    rows = [json.loads(line, parse_constant=pytest.fail) for line in log.file.read_text().splitlines()]
    assert "odd" not in rows[0] and rows[1]["odd"] == "nan"
    frame = log.read()
    assert math.isnan(frame["odd"][1]) and frame["low"][1] == -math.inf


def test_a_crash_keeps_the_rows(tmp_path):
    def crash(cb):
        if cb.learn.epoch == 2:
            raise KeyboardInterrupt

    log = CSVLogger()
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path).fit(5, cbs=[log, Callback(before_batch=crash)])
    assert log.read()["epoch"].tolist() == [0, 1]


def test_a_line_that_was_cut_short_spoils_only_itself(tmp_path):
    make(tmp_path).fit(1, cbs=CSVLogger())
    file = tmp_path / "history.csv"
    file.write_text(file.read_text() + "abc123,2020")
    log = CSVLogger()
    make(tmp_path).fit(1, cbs=log)
    frame = log.read()
    assert len(frame) == 3 and frame["epoch"].tolist()[::2] == [0, 0] and frame["run"].tolist()[1] == "abc123"


def test_missing_values_are_empty(tmp_path):
    log = CSVLogger()
    make(tmp_path, dls=loaders(valid=False)).fit(1, cbs=log)
    assert ",,00:00," in log.file.read_text() and log.read()["valid_loss"].isna().all()


def test_append_false_starts_the_file_once(tmp_path):
    make(tmp_path).fit(3, cbs=CSVLogger())
    learn, log = make(tmp_path, mae), CSVLogger(append=False)
    learn.add_cb(log)
    learn.fit(1)
    learn.fit(1)
    assert log.file.name == "history.csv" and log.read()["fit"].tolist() == [0, 1]


def test_the_last_epoch_of_an_early_stop_is_logged(tmp_path):
    log = CSVLogger()
    values = iter([2, 1, 0])
    make(tmp_path, ValueMetric(lambda: next(values), "score", False)).fit(3, cbs=[EarlyStoppingCallback("score"), log])
    assert log.read()["score"].tolist() == [2, 1]


def test_what_cannot_be_written_is_refused_before_training(tmp_path):
    (tmp_path / "taken").write_text("")
    learn = make(tmp_path)
    with pytest.raises(OSError, match="taken"):
        learn.fit(1, cbs=CSVLogger("taken/history.csv"))
    with pytest.raises(IsADirectoryError, match="is a folder; give a file name"):
        learn.fit(1, cbs=JSONLogger("."))
    with pytest.raises(OSError) as caught:
        check_folder(tmp_path / "taken" / "x", "CSVLogger")
    assert "CSVLogger cannot write to" in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    with pytest.raises(FileNotFoundError, match="has written nothing to"):
        CSVLogger(tmp_path / "none.csv").read()
    learn.remove_cb(Recorder)
    with pytest.raises(ValueError, match="CSVLogger reads the epoch table from the Recorder"):
        learn.fit(1, cbs=CSVLogger())
    assert not list(tmp_path.glob("*.csv"))


def test_the_home_folder_is_found_by_all_that_write(tmp_path, monkeypatch):
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(home))
    learn = make(here, cbs=[CSVLogger("~/log.csv"), SaveModelCallback(fname="~/best"), PredictionDynamics(path="~/dynamics")])
    learn.fit(1)
    learn.get_preds(save_preds="~/preds")
    assert TensorBoardCallback("~/runs").log_dir == home / "runs" and Store("~/parts", {}).path == home / "parts"
    random_search(lambda params: make(here), {"lr": choice([0.1])}, 1, fit=lambda learn, params: learn.fit(1), csv="~/trials.csv")
    assert {p.name for p in home.iterdir()} == {"best.run.json", "best.safetensors", "dynamics", "log.csv", "parts", "preds", "trials.csv"}
    assert not list(here.rglob("~"))


def test_names():
    assert [cls().name for cls in (CSVLogger, JSONLogger, FileLogger, ShowGraphCallback)] == ["csv_logger", "json_logger", "file_logger",
                                                                                                 "show_graph"]


# -- graph --------------------------------------------------------------------------------------------------------------------------
def test_show_graph_draws_only_in_a_notebook(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt
    shown, open_before = [], plt.get_fignums()

    def display(figure, display_id=None):
        shown.append(figure)
        return SimpleNamespace(update=shown.append)

    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    learn = make(tmp_path)
    learn.fit(1, cbs=ShowGraphCallback())
    assert shown == []
    monkeypatch.setattr(loggers, "in_notebook", lambda: True)
    learn.fit(2, cbs=ShowGraphCallback())
    assert len(shown) == 2 and [line.get_label() for line in shown[1].axes[0].lines] == ["train (smoothed)", "valid"]
    learn.lr_find(num_it=6, show_plot=False, suggest_funcs=None)
    assert len(shown) == 2 and plt.get_fignums() == open_before


# -- what trackers are sent ---------------------------------------------------------------------------------------------------------
class Kept(LiveLogger):
    "Keeps what would be sent."

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.sent, self.calls = {}, []

    def open(self, is_new):
        self.calls.append(("open", is_new))

    def write_scalars(self, values, step):
        for name, value in values.items():
            assert isinstance(value, float)
            self.sent.setdefault(name, []).append((step, value))

    def close(self):
        self.calls.append(("close",))


def test_what_is_sent(tmp_path):
    learn, log = make(tmp_path, mae, loaders(12)), Kept()
    learn.fit_one_cycle(2, 1e-2, cbs=log)
    fit = learn.recorder.fits[0]
    assert [s for s, _ in log.sent["batch/loss"]] == [1, 2, 3, 4, 5, 6]
    assert [v for _, v in log.sent["batch/loss"]] == pytest.approx(fit.losses, rel=1e-6)
    assert [v for _, v in log.sent["hyper/lr"]] == fit.lrs and [v for _, v in log.sent["hyper/mom"]] == fit.hps["mom"]
    assert log.sent["epoch/mae"] == [(3, fit.values[0][2]), (6, fit.values[1][2])]
    assert log.sent["epoch/valid_loss"] == [(3, fit.values[0][1]), (6, fit.values[1][1])]
    assert {"epoch/epoch", "epoch/time"} & log.sent.keys() == set() and log.calls == [("open", True), ("close",)]


def test_losses_that_wait_on_the_device_are_read_together():
    log = Kept()
    log._pending = [(1, "batch/loss", torch.tensor(0.5), {"hyper/lr": 0.1}), (1, "batch/valid_loss", torch.tensor(0.25), {}),
                    (2, "batch/loss", torch.tensor(0.75, dtype=torch.bfloat16), {})]
    log.flush()
    assert log.sent == {"batch/loss": [(1, 0.5), (2, 0.75)], "batch/valid_loss": [(1, 0.25)], "hyper/lr": [(1, 0.1)]}
    log.flush()
    assert len(log.sent["batch/loss"]) == 2


def test_log_every_layer_groups_and_phases(tmp_path):
    learn, log = make(tmp_path, dls=loaders(20), splitter=two_groups), Kept(log_every=2)
    learn.fine_tune(1, freeze_epochs=1, cbs=log)
    assert [s for s, _ in log.sent["batch/loss"]] == [2, 4, 6, 8, 10]
    assert log.calls == [("open", True), ("close",), ("open", False), ("close",)]
    assert [s for s, _ in log.sent["hyper/lr_0"]] == [2, 4, 6, 8, 10] and "hyper/lr" not in log.sent
    assert [v for _, v in log.sent["hyper/lr_1"]] == [v for fit in learn.recorder.fits for v in fit.lrs][1::2]
    learn.lr_find(num_it=6, show_plot=False, suggest_funcs=None)
    learn.validate()
    assert len(log.calls) == 4
    learn.fit(1, cbs=log)
    assert log.calls[4:] == [("open", True), ("close",)] and log.step == 5


def test_an_interruption_sends_what_was_there(tmp_path):
    def interrupt(cb):
        if cb.learn.iter == 2:
            raise KeyboardInterrupt

    log = Kept()
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, dls=loaders(20)).fit(1, cbs=[log, Callback(before_batch=interrupt)])
    assert len(log.sent["batch/loss"]) == 2 and log.calls[-1] == ("close",)


@pytest.mark.parametrize("kind", [DataLoader, TorchDataLoader])
def test_a_random_validation_batch_within_an_epoch_changes_nothing(kind, tmp_path):
    weights, losses = [], []
    for valid_every in (0, 2):
        learn, log = make(tmp_path, mae, loaders(24, kind=kind)), Kept(valid_every=valid_every)
        learn.recorder.train_metrics = True
        torch.manual_seed(3)
        learn.fit(2, 1e-2, cbs=log)
        weights.append([p.detach().clone() for p in learn.model.parameters()])
        losses.append(learn.recorder.fits[0].values)
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True)) and losses[0] == losses[1]
    assert [s for s, _ in log.sent["batch/valid_loss"]] == [2, 4, 6, 8, 10, 12]
    assert len({v for _, v in log.sent["batch/valid_loss"]}) > 3


def test_the_validation_loss_of_a_whole_batch_is_right(tmp_path):
    learn, log = make(tmp_path, dls=loaders(8, bs=8)), Kept(valid_every=1)
    learn.fit(1, 1e-2, cbs=log)                       # one batch of everything: the random one is the validation set, in another order
    assert log.sent["batch/valid_loss"][0][1] == pytest.approx(learn.recorder.values[0][1], rel=1e-5)


def test_live_log_refusals(tmp_path):
    with pytest.raises(ValueError, match=r"log_every=0\): a whole number from 1 up; LiveLogger\(valid_every=-1\): a whole number from 0"):
        LiveLogger(log_every=0, valid_every=-1)
    with pytest.raises(ValueError, match="valid_every=2.: this learner has no validation data"):
        make(tmp_path, dls=loaders(valid=False)).fit(1, cbs=LiveLogger(valid_every=2))


# -- TensorBoard --------------------------------------------------------------------------------------------------------------------
def test_tensorboard_files_can_be_read_back(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    learn, cb = make(tmp_path, mae, loaders(12), splitter=two_groups), TensorBoardCallback(trace_model=True, valid_every=2)
    learn.add_cb(cb)
    learn.fine_tune(1, freeze_epochs=1)
    assert cb.folder.parent == tmp_path / "runs" and cb.writer is None and all(not m.training for m in learn.model.modules())
    events = EventAccumulator(str(cb.folder))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert tags >= {"batch/loss", "batch/valid_loss", "hyper/lr_0", "hyper/mom_1", "epoch/train_loss", "epoch/valid_loss", "epoch/mae"}
    losses = events.Scalars("batch/loss")
    assert [e.step for e in losses] == [1, 2, 3, 4, 5, 6]
    assert [e.value for e in losses] == pytest.approx([v for fit in learn.recorder.fits for v in fit.losses], rel=1e-6)
    assert [e.value for e in events.Scalars("epoch/mae")] == pytest.approx([row["mae"] for row in learn.recorder.history], rel=1e-6)
    assert events.Tags()["graph"]
    first = cb.folder
    learn.fit(1)
    assert cb.folder != first and len(list((tmp_path / "runs").iterdir())) == 2


def test_tensorboard_missing(monkeypatch):
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    for cls in (TensorBoardCallback, WandbCallback):
        with pytest.raises(ImportError, match=r'pip install "minifast\[trackers\]"'):
            cls()


def test_a_model_that_cannot_be_traced_is_trained_all_the_same(tmp_path):
    pytest.importorskip("tensorboard")

    class Stubborn(nn.Linear):
        def forward(self, x):
            if torch.jit.is_tracing():
                raise RuntimeError("not me")
            return super().forward(x)

    learn = make(tmp_path)
    learn.model[0] = Stubborn(3, 4)
    with pytest.warns(UserWarning, match="cannot be traced"):
        learn.fit(1, cbs=TensorBoardCallback(trace_model=True))
    assert len(learn.recorder.values) == 1


# -- Weights & Biases ---------------------------------------------------------------------------------------------------------------
class FakeRun:
    def __init__(self):
        self.logged, self.finished, self.facts = [], False, {}
        self.config = SimpleNamespace(update=lambda facts, allow_val_change: self.facts.update(facts))

    def define_metric(self, *args, **kwargs):
        pass

    def log(self, values):
        self.logged.append(values)


@pytest.fixture
def fake_wandb(monkeypatch):
    fake = SimpleNamespace(run=None, inits=[], Image=lambda figure: "picture")

    def init(**kwargs):
        fake.inits.append(kwargs)
        fake.run = FakeRun()
        return fake.run

    def finish():
        fake.run.finished, fake.run = True, None

    fake.init, fake.finish = init, finish
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr(loggers, "find_spec", lambda name: True)
    return fake


def test_wandb_runs_begin_and_end_with_trainings(tmp_path, fake_wandb):
    learn, cb = make(tmp_path, dls=loaders(12), splitter=two_groups), WandbCallback("mine", mode="offline", config={"note": "x"})
    learn.fine_tune(1, freeze_epochs=1, cbs=cb)
    run = fake_wandb.run
    assert len(fake_wandb.inits) == 1 and not run.finished and fake_wandb.inits[0]["dir"] == str(tmp_path)
    assert [row["batch"] for row in run.logged if "batch/loss" in row] == [1, 2, 3, 4, 5, 6] and run.facts["note"] == "x"
    other = WandbCallback()
    learn.fit(1, cbs=other)
    assert run.finished and len(fake_wandb.inits) == 2 and not fake_wandb.run.finished
    cb.finish()
    assert not fake_wandb.run.finished                  # that is not its run
    last = fake_wandb.run
    other.finish()
    assert last.finished


def test_wandb_uses_the_run_of_the_user(tmp_path, fake_wandb):
    fake_wandb.run = mine = FakeRun()
    learn, cb = make(tmp_path), WandbCallback()
    learn.fit(1, cbs=cb)
    learn.fit(1, cbs=cb)
    cb.finish()
    assert fake_wandb.inits == [] and fake_wandb.run is mine and len([r for r in mine.logged if "epoch/valid_loss" in r]) == 2
    with pytest.raises(ValueError, match="mode is one of"):
        WandbCallback(mode="off")


def test_wandb_has_the_numbers_of_an_epoch_by_fastais_names(tmp_path, fake_wandb):
    fake_wandb.run = mine = FakeRun()
    learn = make(tmp_path, mae)
    learn.fit(2, cbs=WandbCallback())
    rows = [r for r in mine.logged if "mae" in r]
    assert [r["epoch"] for r in rows] == [1, 2]
    assert rows[-1] == {"epoch": 2, "batch": 4, **dict(zip(("train_loss", "valid_loss", "mae"), learn.recorder.values[-1], strict=True))}


@pytest.mark.slow
def test_wandb_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    if wandb.run is not None:
        wandb.finish()
    learn, cb = make(tmp_path, mae), WandbCallback("minifast-test", mode="offline")
    try:
        learn.fit(2, cbs=cb)
        summary = dict(cb.wandb_run.summary)
    finally:
        cb.finish()
    assert summary["epoch/mae"] == pytest.approx(learn.recorder.values[-1][2]) and summary["batch"] == 4
    assert list((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
