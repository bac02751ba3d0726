"Learners of series as graphs: classes, forecasts with what is known, padding; what cannot be one says so."
import numpy as np
import pandas as pd
import pytest
import torch

from minifast.timeseries.forecasting.learner import ts_forecaster
from minifast.timeseries.learner import ts_learner
from minifast.timeseries.loaders import TSDataLoaders
from minifast.timeseries.models.fcn import FCN
from minifast.timeseries.standardise import TSStandardize
from minifast.timeseries.windows import SlidingWindows

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 2, 20)).astype("float32") + 4
ROWS = pd.DataFrame({"time": range(60), "y": RNG.normal(size=60), "free": np.arange(60) % 7 == 0})


def classifier():
    return ts_learner(TSDataLoaders.from_array(X, ["a", "b"] * 8, batch_tfms=TSStandardize(), bs=8), FCN, layers=(2, 2, 2))


def forecaster():
    return ts_forecaster(TSDataLoaders.from_windows(SlidingWindows(ROWS, 8, 2, target="y", known="free"), bs=8), quantiles=(0.1, 0.5, 0.9))


@pytest.mark.slow
@pytest.mark.parametrize("make", [classifier, forecaster])
def test_a_graph_of_any_number_of_series_predicts_the_same(make, tmp_path):
    learn = make()
    learn.path = tmp_path
    with learn.no_logging():
        file = learn.to_torch_export("model")
    program = torch.export.load(str(file)).module()
    dl = learn.dls.valid
    raw = [learn.dls.valid_ds[i][:dl.n_inp] for i in range(3)]
    inputs = [torch.stack([torch.as_tensor(sample[k]).as_subclass(torch.Tensor) for sample in raw]) for k in range(dl.n_inp)]
    torch.testing.assert_close(program(*inputs), learn.get_preds()[0][:3], atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_a_graph_of_padded_series_takes_the_longest(tmp_path):
    series = [x[:, :5 + i] for i, x in enumerate(X)]
    told = []
    learn = ts_learner(TSDataLoaders.from_array(series, ["a", "b"] * 8, splits=(range(4, 16), range(4)), bs=2), FCN,
                       layers=(2, 2, 2), path=tmp_path)
    learn.logger = told.append
    program = torch.export.load(str(learn.to_torch_export("model"))).module()
    assert "float32[batch,2,20]" in told[0]
    batch = torch.full((4, 2, 20), torch.nan)
    for i, row in enumerate(batch):
        row[:, :5 + i] = torch.from_numpy(series[i])
    torch.testing.assert_close(program(batch), learn.get_preds()[0], atol=1e-5, rtol=1e-4)
