"""Series as lines."""
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from minifast.timeseries.all import (
    Interpretation,
    Learner,
    SlidingWindows,
    TensorForecast,
    TensorSeries,
    TSDataLoaders,
    TSStandardize,
    nn,
    pd,
    show_forecast,
    show_series,
    ts_forecaster,
)

RNG = np.random.default_rng(0)
UNEQUAL = [RNG.normal(size=(2, n)) * 5 + 100 for n in (5, 9, 3, 7, 4, 6, 8, 5)]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def loaders():
    return TSDataLoaders.from_array(UNEQUAL, list("abababab"), splits=(range(4), range(4, 8)), bs=4, batch_tfms=TSStandardize())


def test_a_batch_is_drawn_in_its_own_units_without_padding():
    dls = loaders()
    dls.valid.show_batch(channels=["temp", "load"])
    axes = plt.gcf().axes
    assert len(axes) == 4 and [ax.get_title() for ax in axes] == ["a", "b", "a", "b"]
    for ax, series in zip(axes, UNEQUAL[4:], strict=True):
        assert np.allclose([line.get_ydata() for line in ax.lines], series, rtol=1e-4)
        assert [t.get_text() for t in ax.get_legend().get_texts()] == ["temp", "load"]
    assert dls.show_batch(show=False, max_n=2)[0][0].shape[0] == 2


def test_axes_may_share_their_units():
    loaders().valid.show_batch(sharey=True)
    assert len({ax.get_ylim() for ax in plt.gcf().axes}) == 1
    loaders().valid.show_batch()
    assert len({ax.get_ylim() for ax in plt.gcf().axes}) == 4


def test_forecasts_are_drawn_behind_their_windows_by_the_names_of_columns():
    t = np.arange(200)
    df = pd.DataFrame({"time": t, "load": np.sin(t / 3) * 5 + 20, "temp": t / 10, "sun": RNG.random(200)})
    dls = TSDataLoaders.from_windows(SlidingWindows(df, 8, 4, target=["load", "temp"], past="sun"), bs=4)
    axes = ts_forecaster(dls).show_results(max_n=3)
    assert len(axes) == len(plt.gcf().axes) == 3 and plt.gcf().get_suptitle() == "target dashed, prediction dotted"
    for ax in axes:
        assert [t.get_text() for t in ax.get_legend().get_texts()] == ["load", "temp", "sun"]
        assert [line.get_linestyle() for line in ax.lines] == ["-", "-", "-", "--", "--", ":", ":"]
        assert all(list(line.get_xdata()) == [8, 9, 10, 11] for line in ax.lines[3:])
        colours = [line.get_color() for line in ax.lines]
        assert colours[3:5] == colours[5:7] == colours[:2]
        assert np.allclose(ax.lines[4].get_ydata(), np.arange(4) / 10 + ax.lines[1].get_ydata()[-1] + 0.1, atol=1e-4)


def test_results_and_losses():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(2, 2)

        def forward(self, x):
            return self.head(x.nanmean(2))
    learn = Learner(loaders(), Mean())
    learn.show_results(max_n=3)
    assert len(plt.gcf().axes) == 3 and all(len(ax.lines) == 2 for ax in plt.gcf().axes)
    Interpretation.from_learner(learn).plot_top_losses(2)
    assert all(len(ax.lines) == 2 and "loss" in ax.get_title(loc="left") for ax in plt.gcf().axes)


def test_many_channels_and_few_steps():
    ax = TensorSeries(torch.zeros(20, 2)).show(title="x")
    assert len(ax.lines) == 8 and ax.get_legend().get_title().get_text() == "and 12 more" and ax.lines[0].get_marker() == "."
    assert show_series(torch.zeros(1, 9)).get_legend() is None


def test_a_forecast_begins_after_the_series():
    ax = show_series(torch.arange(12.0).reshape(2, 6))
    TensorForecast(torch.ones(1, 3)).show(ctx=ax)
    assert list(ax.lines[-1].get_xdata()) == [6, 7, 8] and ax.lines[-1].get_linestyle() == "--"
    show_forecast(torch.zeros(1, 3), ctx=ax, color="red", title="both")
    assert list(ax.lines[-1].get_xdata()) == [6, 7, 8] and ax.get_title() == "both", "a prediction beside the target"
    assert list(show_forecast(torch.zeros(1, 3)).lines[0].get_xdata()) == [0, 1, 2]
