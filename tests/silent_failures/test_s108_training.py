"Rows S108 to S109: series that are mixed or changed at random."
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from minifast.callbacks.base import Callback
from minifast.timeseries.all import (
    CutMix,
    Jitter,
    Learner,
    MagnitudeScale,
    MSELossFlat,
    SlidingWindows,
    TSDataLoaders,
    split_padding,
)


class MeanOfSteps(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        x, mask = split_padding(x)
        return self.scale * x.sum(2) / mask.sum(1, keepdim=True)


class Means(Callback):
    "The mean of each mixed series, and its target."
    order = 5

    def __init__(self):
        self.seen = []

    def before_batch(self):
        self.seen.append((MeanOfSteps()(self.learn.xb[0]), self.learn.yb[0].view(-1, 1)))


def test_s108_cutmix_of_padded_series():
    """CutMix of series of several lengths, in a batch that is padded to one.

    Elsewhere: the stretch is drawn from the padded length, and so is lam: what is pasted, or pasted over, may be padding, and targets are
    blended by a share that is not in the series.
    Here: the stretch lies where both series have steps, lam is the share of a series' own steps, and lengths stay.
    """
    series = [np.full((1, 4 + 5 * (i % 4)), i + 0.5, dtype=np.float32) for i in range(16)]        # the target is the mean of the series
    dls = TSDataLoaders.from_array(series, [float(o.mean()) for o in series], splits=(range(12), range(12, 16)), bs=12, device="cpu")
    means = Means()
    learn = Learner(dls, MeanOfSteps(), MSELossFlat(), cbs=[CutMix(), means])
    learn.logger = lambda row: None
    with learn.no_bar():
        learn.fit(1, 1e-3)
    mean, y = means.seen[0]
    torch.testing.assert_close(mean.detach(), y)
    assert (y * 2 % 1).any(), "something was pasted"


def test_s109_a_window_that_is_changed_and_its_forecast():
    """Scaling or warping the windows of a forecast at random.

    Elsewhere: the inputs alone are changed: the model learns that after a window that is 20 % larger come values that are not.
    Here: an error: "what is to be forecast stays as it was ... Write batch_tfms=[Jitter(), Cutout()]".
    """
    df = pd.DataFrame({"time": pd.date_range("2024", periods=80, freq="D"), "y": np.arange(80.0)})
    windows = SlidingWindows(df, window=6, horizon=2, target="y")
    with pytest.raises(ValueError, match=r"what is to be forecast stays as it was.*Write batch_tfms=\[Jitter\(\), Cutout\(\)\]"):
        TSDataLoaders.from_windows(windows, bs=8, batch_tfms=MagnitudeScale(p=1), device="cpu").one_batch()
    TSDataLoaders.from_windows(windows, bs=8, batch_tfms=Jitter(p=1), device="cpu").one_batch()
