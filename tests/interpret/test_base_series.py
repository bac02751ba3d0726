"Interpretation of series, windows and forecasts: what items are called, tables, and pictures."
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from minifast.data.block import RegressionBlock
from minifast.interpret.base import Interpretation
from minifast.interpret.classification import ClassificationInterpretation
from minifast.interpret.regression import RegressionInterpretation
from minifast.timeseries.forecasting.learner import ts_forecaster
from minifast.timeseries.learner import ts_learner
from minifast.timeseries.loaders import TSDataLoaders
from minifast.timeseries.models.fcn import FCN
from minifast.timeseries.standardise import TSStandardize
from minifast.timeseries.windows import SlidingWindows

RNG = np.random.default_rng(0)
RAGGED = [(RNG.normal(size=(2, 8 + i % 5)) + 50).astype("float32") for i in range(20)]
SPLITS = (range(12), range(12, 20))
ROWS = pd.concat([pd.DataFrame({"shop": k, "day": pd.date_range("2024-01-01", periods=60), "sales": RNG.normal(size=60),
                                "kind": np.repeat(["low", "high"], 30)}) for k in "uv"])


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def of_windows(**settings):
    return TSDataLoaders.from_windows(SlidingWindows(ROWS, 6, by="shop", time="day", **settings), valid_pct=0.5, bs=8)


def classifier(dls):
    return ts_learner(dls, FCN, layers=(2, 2, 2))


def test_series_are_called_by_their_rows_and_drawn_in_their_own_units_and_lengths():
    y = pd.Series(["b", "a"] * 10, index=[f"patient {i}" for i in range(20)])
    learn = classifier(TSDataLoaders.from_array(RAGGED, y, splits=SPLITS, batch_tfms=TSStandardize(), bs=8))
    interp = ClassificationInterpretation.from_learner(learn)
    frame = interp.frame()
    assert frame.index.tolist() == y.index[12:].tolist() and "path" not in frame
    assert frame["target"].tolist() == y.iloc[12:].tolist()
    axes = interp.plot_top_losses(3)
    for ax, i in zip(axes, interp.top_losses(3)[1].tolist(), strict=True):
        assert f"patient {12 + i}" in ax.get_title(loc="left")
        for line, channel in zip(ax.lines, RAGGED[12 + i], strict=True):
            np.testing.assert_allclose(line.get_ydata(), channel, rtol=1e-4)
    assert interp.confusion_matrix().sum() == 8 and len(interp.plot_least_confident(2)) == 2
    assert interp.plot_confusion_matrix().texts and len(interp.likely_label_errors().columns) == 5


def test_several_numbers_are_written_short():
    x = np.stack([series[:, :8] for series in RAGGED])
    learn = classifier(TSDataLoaders.from_array(x, x.mean(2), y_block=RegressionBlock, splits=SPLITS, bs=8))
    interp = RegressionInterpretation.from_learner(learn)
    assert interp.summary().shape == (2, 4) and len(interp.plot_residuals(1)) == 2
    titles = [ax.get_title() for ax in learn.show_results(max_n=2)]
    assert all(len(title) < 40 and title.count(";") == 2 for title in titles)


def test_windows_are_called_by_their_series_and_time():
    learn = classifier(of_windows(past="sales", label="kind"))
    interp = ClassificationInterpretation.from_learner(learn)
    assert interp.frame().index.names == ["shop", "day"] and interp.frame().index[0][0] == "u" and "path" not in interp.frame()
    first = interp.items[0]
    assert first["last day"] - first["day"] == pd.Timedelta(days=5) and interp.item_name(0) == ("u", first["day"])
    assert interp.plot_top_losses(2)[0].get_title(loc="left").startswith(("u, 2024-02-", "v, 2024-02-"))
    assert sorted(interp.per_group(lambda row: row["shop"]).index) == ["u", "v"]
    assert {interp.target_text(i) for i in range(len(interp))} == {"high"}


@pytest.mark.parametrize("quantiles", [None, (0.1, 0.5, 0.9)])
def test_forecasts_are_drawn_beside_what_came(quantiles):
    learn = ts_forecaster(of_windows(target="sales", horizon=2), quantiles=quantiles)
    interp = Interpretation.from_learner(learn)
    assert len(interp.frame()["target"].iloc[0].split(", ")) == 2 == len(interp.frame()["prediction"].iloc[0].split(", "))
    indices = interp.top_losses(2)[1].tolist()
    for ax, i in zip(interp.plot_top_losses(2), indices, strict=True):
        _, target, guess = ax.lines
        assert (target.get_linestyle(), guess.get_linestyle()) == ("--", ":")
        assert list(target.get_xdata()) == list(guess.get_xdata()) == [6, 7]
        np.testing.assert_allclose(target.get_ydata(), interp.targs[i, 0], rtol=1e-5)
        np.testing.assert_allclose(guess.get_ydata(), interp.decoded[i, 0], rtol=1e-5)
        assert "target dashed, prediction dotted" in ax.get_title(loc="left")


def test_forecasts_of_many_steps_are_described():
    interp = Interpretation.from_learner(ts_forecaster(of_windows(target="sales", horizon=14)))
    assert interp.frame()["target"].iloc[0] == "float32[1,14] on cpu"
    assert isinstance(interp.targs, torch.Tensor)


def test_windows_of_one_series_are_called_by_their_time():
    days = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=40), "sales": np.arange(40.0)})
    dls = TSDataLoaders.from_windows(SlidingWindows(days, 6, 2, time="day", target="sales"), bs=8)
    title = Interpretation.from_learner(ts_forecaster(dls)).plot_top_losses(1)[0].get_title(loc="left")
    assert title.startswith("row 2024-02-")
