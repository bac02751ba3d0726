"""Overfitting is noticed, said in one line, and not where there is none."""
import math

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from minifast.callbacks.overfitting import Overfit, jitter, overfitting, sentence
from minifast.callbacks.progress import ProgressCallback
from minifast.callbacks.recorder import Recorder
from minifast.callbacks.trackers import EarlyStoppingCallback, SaveModelCallback
from minifast.core.progress import NotebookDisplay
from minifast.data.loaders import DataLoader, DataLoaders
from minifast.learner.learner import Learner
from minifast.metrics.base import AvgMetric
from minifast.metrics.functions import accuracy
from minifast.nn.losses import CrossEntropyLossFlat

FALLS = [1.0, 0.7, 0.5, 0.35, 0.25, 0.18, 0.12, 0.08]


# -- the function -------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("valid, best", [
    ([1.0, 0.8, 0.7, 0.72, 0.8, 0.9, 1.0, 1.1], 2),
    ([0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2], 0),
    ([1.0, 0.8, 0.7, 0.65, 0.6, 0.58, 0.7, 0.75], 5),
    ([1.0, math.nan, None, 0.6, 0.7, 0.8, 0.9, 1.0], 3),                    # epochs that are missing do not count
    ([-1.0, -1.5, -2.0, -1.9, -1.7, -1.5, -1.3, -1.1], 2),                  # losses may be negative
])
def test_a_rise_is_noticed(valid, best):
    found = overfitting(FALLS, valid)
    assert (found.best, found.epochs) == (best, 7 - best)
    assert found.valid == (valid[best], valid[-1]) and found.train == (FALLS[best], FALLS[-1])


@pytest.mark.parametrize("train, valid", [
    (FALLS, FALLS),                                                                     # healthy
    (FALLS, [1.0, 0.8, 0.7, 0.65, 0.63, 0.62, 0.62, 0.63]),                             # levels off
    (FALLS, [1.0, 0.7, 0.5, 0.57, 0.49, 0.56, 0.51, 0.58]),                             # goes to and fro
    (FALLS, [1.0, 0.8, 0.7, 0.9, 1.0, 0.9, 0.75, 0.66]),                                # high in the middle of one-cycle, best at the end
    (FALLS, [1.0, 0.8, 0.7, 0.6, 0.5, 0.45, 0.4, 0.6]),                                 # one bad epoch at the end
    (FALLS[::-1], [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2]),                            # both rise: that is divergence
    ([0.5] * 8, [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2]),                              # training stands still
    (FALLS, [None] * 8), ([None] * 8, FALLS), ([], []), ([1.0, 0.5], [0.5, 1.0]),       # it cannot be told
])
def test_what_is_no_overfitting(train, valid):
    assert overfitting(train, valid) is None


def test_a_trend_is_no_jitter():
    g = torch.Generator().manual_seed(0)
    line = torch.arange(400) * 0.1
    assert jitter(line.tolist()) == pytest.approx(0, abs=1e-5)
    assert jitter((line + 0.3 * torch.randn(400, generator=g)).tolist()) == pytest.approx(0.3, rel=0.15)
    assert jitter([1.0, 2.0]) == 0


def test_noise_is_rarely_taken_for_a_rise():
    g, found = torch.Generator().manual_seed(0), 0
    for _ in range(300):
        valid = 0.5 + 0.05 * torch.randn(12, generator=g)
        found += overfitting(torch.linspace(1, 0.1, 12).tolist(), valid.tolist()) is not None
    assert found <= 12


# -- what is said -------------------------------------------------------------------------------------------------------------------
def test_the_sentence():
    found = Overfit(3, 6, (0.412, 0.603), (0.35, 0.08), ("accuracy", 0.9, 0.92))
    assert sentence(found) == (
        "overfitting: valid_loss was lowest after epoch 3 (0.412), and in 6 epochs rose to 0.603 while train_loss fell from 0.35 to 0.08 "
        "(accuracy still went from 0.9 to 0.92: no more mistakes, but more confident ones). Keep the best with SaveModelCallback(); stop "
        "with EarlyStoppingCallback(patience=...); train fewer epochs; augment or regularise more")
    kept = SaveModelCallback()
    kept.file = "models/model.safetensors"
    said = sentence(found, [kept, EarlyStoppingCallback(patience=5)])
    assert "(0.412, the model that SaveModelCallback keeps)" in said
    assert said.endswith("mistakes, but more confident ones). Train fewer epochs; augment or regularise more")
    assert "\n" not in said


# -- in a fit -----------------------------------------------------------------------------------------------------------------------
def memoriser(n=24, signal=0.0, metrics=accuracy, valid=True, cbs=None):
    "A large network on few points: with signal=0 the labels are coin flips, so it can only learn them by heart."
    g = torch.Generator().manual_seed(0)
    x = torch.randn(n + 200, 10, generator=g)
    y = ((signal * x[:, 0] + torch.randn(n + 200, generator=g) * (signal < 1)) > 0).long()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 2))
    parts = [DataLoader(TensorDataset(x[:n], y[:n]), bs=8, shuffle=True, seed=0)]
    parts += [DataLoader(TensorDataset(x[n:], y[n:]), bs=100)] if valid else []
    return Learner(DataLoaders(*parts), model, CrossEntropyLossFlat(), metrics=metrics, lr=1e-2, cbs=cbs)


def lines(capsys):
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("overfitting")]


def test_an_overfit_run_says_so_once(capsys):
    learn = memoriser()
    learn.fit(10)
    said, = lines(capsys)
    losses = [v[1] for v in learn.recorder.values]
    best = losses.index(min(losses))
    assert f"lowest after epoch {best} ({losses[best]:.3g})" in said and f"rose to {losses[-1]:.3g} while train_loss fell" in said
    found = learn.recorder.overfitting()
    assert found.best == best and found.epochs == 9 - best
    learn.get_preds()
    learn.validate()
    assert lines(capsys) == []


def test_a_healthy_run_is_not_commented_on(capsys):
    learn = memoriser(n=400, signal=2.0)
    learn.fit_one_cycle(6, 1e-2)
    assert learn.recorder.overfitting() is None and lines(capsys) == []


@pytest.mark.parametrize("silent", ["option", "off", "no_logging", "no_bar"])
def test_it_can_be_turned_off(silent, capsys):
    learn = memoriser()
    if silent == "option":
        learn.remove_cb(ProgressCallback).add_cb(ProgressCallback(overfitting=False))
        learn.fit(8)
    elif silent == "off":
        learn.progress.overfitting = False
        learn.fit(8)
    else:
        with getattr(learn, silent)():
            learn.fit(8)
    assert lines(capsys) == [] and learn.recorder.overfitting() is not None


def test_without_validation_or_its_loss_nothing_is_said(capsys):
    learn = memoriser(valid=False)
    learn.fit(6)
    no_targets = memoriser(metrics=None)
    no_targets.dls = DataLoaders(no_targets.dls.train, DataLoader(TensorDataset(torch.randn(8, 10)), bs=8, n_inp=1))
    no_targets.fit(6)
    nothing = memoriser()
    nothing.remove_cb(Recorder)
    nothing.fit(6)
    assert learn.recorder.overfitting() is None and no_targets.recorder.overfitting() is None and lines(capsys) == []


def test_a_metric_that_gets_better_is_named(capsys):
    steps = iter(range(100))
    learn = memoriser(metrics=[AvgMetric(lambda p, y: torch.tensor(float(next(steps))), name="rising", lower_is_better=False)])
    learn.fit(8)
    assert learn.recorder.overfitting().better[0] == "rising"
    assert "(rising still went from" in lines(capsys)[0]


def test_both_halves_of_a_metric(capsys):
    learn = memoriser()
    learn.remove_cb(Recorder).add_cb(Recorder(train_metrics=True))
    learn.fit(8)
    assert learn.recorder.overfitting() is not None and len(lines(capsys)) == 1


def test_epochs_of_an_early_stop_and_a_second_fit(capsys, tmp_path):
    learn = memoriser(cbs=[EarlyStoppingCallback(patience=4), SaveModelCallback()])
    learn.path = tmp_path
    learn.fit(30)
    said, = lines(capsys)
    assert "that SaveModelCallback keeps" in said and "EarlyStopping" not in said
    assert learn.early_stopping.best_epoch == learn.recorder.overfitting().best
    learn.fit(1)
    assert learn.recorder.overfitting() is None and lines(capsys) == []


def test_an_interrupted_fit_says_it_too(capsys):
    learn = memoriser()

    def stop(cb):
        if cb.epoch == 8:
            raise KeyboardInterrupt
    from minifast.callbacks.base import Callback
    with pytest.raises(KeyboardInterrupt):
        learn.fit(30, cbs=Callback(before_epoch=stop))
    assert len(lines(capsys)) == 1


def test_the_notebook_shows_it_below_the_table(monkeypatch):
    shown = []
    display = NotebookDisplay()
    monkeypatch.setattr(display, "_draw", lambda: shown.append(display.said))
    display.start(1, ["epoch"])
    display.write_row([0])
    display.note("overfitting: a < b")
    assert shown[-1] == "overfitting: a < b\n"
    pytest.importorskip("IPython")
    monkeypatch.undo()
    import IPython.display
    drawn = []
    monkeypatch.setattr(IPython.display, "display", lambda data, **kw: drawn.append(data) or type("H", (), {"update": None})())
    display._draw()
    assert drawn[0]["text/html"].endswith("</table><p>overfitting: a &lt; b</p>")
    assert drawn[0]["text/plain"] == "epoch\n0\noverfitting: a < b"
