"""The scale of training rows, and where it comes from."""
import numpy as np
import pandas as pd
import pytest
import torch

from minifast.timeseries.all import Scale, SlidingWindows, TSDataLoaders


def test_the_scale_is_that_of_the_training_rows_each_counted_once():
    v = np.r_[np.arange(30.0), np.full(20, 1e6)]                 # what is validated is far off
    df = pd.DataFrame({"time": range(50), "v": v, "c": 5.0})
    dls = TSDataLoaders.from_windows(SlidingWindows(df, 4, 2, target="v", known="c"), n_valid=20)
    scale = Scale.of(dls.train.dataset)
    assert scale.mean.tolist() == pytest.approx([v[:30].mean(), 5]) and scale.std.tolist() == pytest.approx([v[:30].std(), 1])
    x, known, _ = dls.train.dataset[0]
    assert torch.allclose(scale.undo(scale(x[None])[:, :1, :, None])[..., 0], x[None, :1]) and (scale.known(known[None]) == 0).all()
    assert scale.of_targets.tolist() == pytest.approx([v[:30].std()])
