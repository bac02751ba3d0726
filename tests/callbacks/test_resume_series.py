"A fit on series that was interrupted goes on to the bit: of one length with augmentation, padded, windows."
import numpy as np
import pandas as pd
import pytest
import torch

from minifast.callbacks import EMA, Callback, MixUp, Resume
from minifast.timeseries.augment import series_transforms
from minifast.timeseries.forecasting.learner import ts_forecaster
from minifast.timeseries.learner import ts_learner
from minifast.timeseries.loaders import TSDataLoaders
from minifast.timeseries.models.fcn import FCN
from minifast.timeseries.windows import SlidingWindows

X = np.random.default_rng(0).normal(size=(20, 2, 16)).astype("float32")
Y = ["a", "b"] * 10
ROWS = pd.DataFrame({"time": range(50), "y": np.random.default_rng(1).normal(size=50)})


def loaders(kind, scale=1.0):
    if kind == "windows":
        return TSDataLoaders.from_windows(SlidingWindows(ROWS.assign(y=ROWS["y"] * scale), 8, 2, target="y"), bs=8)
    series = [x[:, :9 + i % 8] for i, x in enumerate(X * scale)] if kind == "padded" else X * np.float32(scale)
    return TSDataLoaders.from_array(series, Y, batch_tfms=series_transforms(), bs=4)


def learner(kind, path, scale=1.0):
    torch.manual_seed(0)
    dls = loaders(kind, scale)
    learn = ts_forecaster(dls, path=path) if kind == "windows" else ts_learner(dls, FCN, layers=(3, 3, 3), dropout=0.2, path=path)
    learn.logger = lambda row: None
    return learn.remove_cb(learn.progress)


def crash(cb):
    if cb.learn.training and cb.learn.epoch == 1 and cb.learn.iter == 2:
        raise KeyboardInterrupt


def callbacks(kind):
    return [Resume(), *([] if kind == "windows" else [MixUp(), EMA(0.9)])]


@pytest.mark.parametrize("kind", ["equal", "padded", "windows"])
def test_to_the_bit(kind, tmp_path):
    whole = learner(kind, tmp_path / "whole")
    whole.fit_one_cycle(3, 1e-2, cbs=callbacks(kind))
    with pytest.raises(KeyboardInterrupt):
        learner(kind, tmp_path / "parts").fit_one_cycle(3, 1e-2, cbs=[*callbacks(kind), Callback(before_batch=crash)])
    resumed = learner(kind, tmp_path / "parts")
    resumed.fit_one_cycle(3, 1e-2, cbs=callbacks(kind))
    for (name, a), b in zip(whole.model.state_dict().items(), resumed.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert [row["valid_loss"] for row in whole.recorder.history] == [row["valid_loss"] for row in resumed.recorder.history]
    assert torch.equal(whole.get_preds()[0], resumed.get_preds()[0])


@pytest.mark.parametrize("kind", ["equal", "padded"])
def test_other_values_are_another_fit(kind, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        learner(kind, tmp_path).fit(3, 1e-2, cbs=[Resume(), Callback(before_batch=crash)])
    with pytest.raises(ValueError, match="belongs to another fit .*data.train.items not the same"):
        learner(kind, tmp_path, scale=2.0).fit(3, 1e-2, cbs=Resume())
