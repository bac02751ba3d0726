"`ts_learner`: the model that the data need, its layer groups, what is refused, and its way through a file."
import re
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch

from minifast.data.block import RegressionBlock
from minifast.learner.export import load_learner
from minifast.learner.learner import Learner
from minifast.timeseries.forecasting.learner import ts_forecaster
from minifast.timeseries.learner import ts_ensemble, ts_learner
from minifast.timeseries.loaders import TSDataLoaders
from minifast.timeseries.models.fcn import FCN
from minifast.timeseries.models.inception_time import InceptionTime
from minifast.timeseries.models.lstm_fcn import LSTM_FCN
from minifast.timeseries.models.omni_scale import OmniScaleCNN
from minifast.timeseries.models.patch_tst import PatchTST
from minifast.timeseries.models.resnet1d import ResNet1d
from minifast.timeseries.models.series_model import MASKING, ConvModel, linear_head, series_split
from minifast.timeseries.models.ts_transformer import TSTransformer
from minifast.timeseries.windows import SlidingWindows

TINY = {"n_filters": 2, "depth": 3, "bottleneck": 2}
#: Each architecture, small.
SETTINGS = {
    FCN: {"layers": (2, 2, 2)}, ResNet1d: {"layers": (2, 2)}, InceptionTime: TINY, OmniScaleCNN: {"budgets": (20, 60)},
    LSTM_FCN: {"layers": (2, 2, 2)}, TSTransformer: {"d_model": 4, "n_heads": 1, "n_layers": 1, "d_ff": 4},
    PatchTST: {"d_model": 4, "n_heads": 1, "n_layers": 1, "d_ff": 4}}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 2, 20)).astype("float32")
Y = np.array(["b", "a", "c"] * 8)
RAGGED = [x[:, :8 + i % 9] for i, x in enumerate(X)]


@pytest.fixture(scope="module")
def dls():
    return TSDataLoaders.from_array(X, Y, bs=8)


@pytest.fixture(scope="module")
def ragged():
    return TSDataLoaders.from_array(RAGGED, Y, bs=8)


@pytest.mark.parametrize("arch", SETTINGS, ids=lambda a: a.__name__)
def test_every_architecture_trains_and_goes_through_a_file(dls, arch, tmp_path):
    learn = ts_learner(dls, arch, path=tmp_path, default_cbs=False, **SETTINGS[arch])
    before = [p.detach().clone() for p in learn.model.parameters()]
    learn.fit(1, 1e-2)
    assert all(not torch.equal(p, q) for p, q in zip(learn.model.parameters(), before, strict=True))
    assert learn.arch is arch
    learn.export("model.pkl")
    loaded = load_learner(tmp_path / "model.pkl")
    assert type(loaded.model) is arch
    assert loaded.splitter is series_split
    assert loaded.predict(X[0])[0] in ("a", "b", "c")
    together = loaded.get_preds(dl=loaded.dls.test_dl(X[:5]))[0]
    torch.testing.assert_close(together, torch.stack([learn.predict(x)[2] for x in X[:5]]), atol=1e-5, rtol=1e-5)


def test_the_model_is_that_of_the_data(dls):
    learn = ts_learner(dls, **TINY)
    assert isinstance(learn, Learner)
    assert (learn.model.c_in, learn.model.seq_len, learn.model.head[-1].out_features, learn.model.padded) == (2, 20, 3, False)
    numbers = TSDataLoaders.from_array(X[:, 0], RNG.normal(size=(24, 2)), y_block=RegressionBlock(), bs=8)
    learn = ts_learner(numbers, y_range=(0, 1), **TINY)
    assert learn.model(numbers.one_batch()[0]).shape == (8, 2)
    assert ts_learner(dls, n_out=7, **TINY).model.head[-1].out_features == 7


def test_layer_groups_freeze_and_learn_at_their_own_rates(dls):
    learn = ts_learner(dls, default_cbs=False, **TINY)
    learn.freeze()
    assert {id(p) for p in learn.model.head.parameters()} <= {id(p) for p in learn.model.parameters() if p.requires_grad}
    assert not learn.model.body[0].layers[0].convs[0].weight.requires_grad
    learn.fine_tune(1, 1e-2, freeze_epochs=1)
    body, head = ([p.detach().clone() for p in part.parameters()] for part in (learn.model.body, learn.model.head))
    learn.fit(1, [0, 1e-2])                                     # the body stays as it is at a rate of 0
    assert all(map(torch.equal, learn.model.body.parameters(), body))
    assert not any(map(torch.equal, learn.model.head.parameters(), head))


def test_series_of_several_lengths_train_and_predict_as_alone(ragged, tmp_path):
    learn = ts_learner(ragged, path=tmp_path, default_cbs=False, **TINY)
    assert learn.model.padded
    learn.fit(1, 1e-2)
    learn.export("model.pkl")
    loaded = load_learner(tmp_path / "model.pkl")
    assert loaded.model.padded
    together = loaded.get_preds(dl=loaded.dls.test_dl(RAGGED))[0]
    torch.testing.assert_close(together, torch.stack([learn.predict(x)[2] for x in RAGGED]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("arch", [LSTM_FCN, PatchTST, partial(LSTM_FCN)], ids=["LSTM_FCN", "PatchTST", "partial"])
def test_models_that_do_not_mask_refuse_series_of_several_lengths(ragged, arch):
    with pytest.raises(ValueError, match=f"reads series of one length, and these differ: .*{', '.join(MASKING)}"):
        ts_learner(ragged, arch)


@pytest.mark.parametrize("name", MASKING)
def test_the_models_they_name_read_them(ragged, name):
    arch = next(a for a in SETTINGS if a.__name__ == name)
    learn = ts_learner(ragged, arch, default_cbs=False, **SETTINGS[arch])
    assert torch.isfinite(learn.get_preds()[0]).all()


def test_series_that_are_too_short_are_refused_with_what_to_write():
    short = TSDataLoaders.from_array(X[..., :12], Y, bs=8)
    with pytest.raises(ValueError, match="PatchTST needs series of 16 steps or more, .* have 12: .*InceptionTime.*patch_len=12"):
        ts_learner(short, PatchTST)
    assert ts_learner(short, PatchTST, patch_len=12, **SETTINGS[PatchTST]).model.min_steps == 12
    assert ts_learner(short, InceptionTime, **TINY)


def test_the_shortest_series_counts_not_the_longest(ragged):
    class Long(FCN):
        min_steps = 9

    with pytest.raises(ValueError, match="Long needs series of 9 steps or more, and the shortest here has 8: leave it out"):
        ts_learner(ragged, Long, layers=(2, 2, 2))
    kept = [i for i, x in enumerate(RAGGED) if x.shape[1] >= 9]
    assert ts_learner(TSDataLoaders.from_array([RAGGED[i] for i in kept], Y[kept], bs=8), Long, layers=(2, 2, 2))


def test_what_cannot_be_meant_is_refused(dls):
    with pytest.raises(TypeError, match=re.escape("received FCN") + "|takes an architecture such as InceptionTime"):
        ts_learner(dls, FCN(2, 3))
    with pytest.raises(TypeError, match=r"ts_learner\(dls, InceptionTime, ...\) does not take deph=.*depth"):
        ts_learner(dls, deph=3)
    with pytest.raises(TypeError, match="does not take c_in="):
        ts_learner(dls, c_in=3)
    unlabelled = TSDataLoaders.from_array(X, bs=8)
    with pytest.raises(ValueError, match="how many outputs .* pass n_out="):
        ts_learner(unlabelled)
    assert ts_learner(unlabelled, n_out=2, loss_func=torch.nn.functional.mse_loss, **TINY).model.head[-1].out_features == 2


def test_windows_to_forecast_are_for_the_learner_that_forecasts():
    df = pd.DataFrame({"t": pd.date_range("2020-01-01", periods=120), "y": RNG.normal(size=120)})
    windows = TSDataLoaders.from_windows(SlidingWindows(df, window=16, horizon=3, time="t", target="y"), bs=8)
    with pytest.raises(TypeError, match=r"for forecasts of 3 steps: write ts_forecaster\(dls, InceptionTime\)"):
        ts_learner(windows)
    learn = ts_forecaster(windows, InceptionTime, config=TINY, default_cbs=False)
    learn.fit(1)
    assert learn.forecast().shape == (3, 2)


class OneConv(ConvModel):
    "A model of a user's own."

    def __init__(self, c_in, c_out, seq_len=None, width=3):
        super().__init__(c_in, c_out)
        from minifast.timeseries.models.masked import ConvNormAct
        self.body, self.head = ConvNormAct(c_in, width, 3), linear_head(width, c_out)


def test_an_architecture_of_ones_own(dls, ragged):
    for loaders in (dls, ragged):
        learn = ts_learner(loaders, OneConv, width=4, default_cbs=False)
        learn.fit(1)
        assert torch.isfinite(learn.get_preds()[0]).all()
        assert learn.splitter is series_split
    plain = ts_learner(dls, lambda c_in, c_out, seq_len: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(c_in * seq_len, c_out)))
    assert plain.model(dls.one_batch()[0]).shape == (8, 3)


@pytest.mark.parametrize("seed", [1, None])
def test_an_ensemble_differs_in_its_random_numbers(dls, seed):
    state = torch.get_rng_state()
    ensemble = ts_ensemble(dls, n=2, seed=seed, fit=lambda learn: learn.fit(1), default_cbs=False, **TINY)
    a, b = (learn.get_preds()[0] for learn in ensemble.learners)
    assert not torch.allclose(a, b)
    torch.testing.assert_close(ensemble.get_preds()[0], (a + b) / 2)
    assert torch.equal(state, torch.get_rng_state()) == (seed is not None)
    with pytest.raises(ValueError, match="n=0"):
        ts_ensemble(dls, n=0, fit=print)


@pytest.mark.slow
@pytest.mark.parametrize("arch", SETTINGS, ids=lambda a: a.__name__)
def test_a_graph_for_onnx_predicts_the_same(dls, arch, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    learn = ts_learner(dls, arch, path=tmp_path, default_cbs=False, **SETTINGS[arch])
    learn.fit(1)
    file = learn.to_onnx("model.onnx")
    session = runtime.InferenceSession(str(file))
    out = session.run(None, {session.get_inputs()[0].name: X[:5]})[0]
    torch.testing.assert_close(torch.from_numpy(out), torch.stack([learn.predict(x)[2] for x in X[:5]]), atol=1e-4, rtol=1e-4)
