"Interpretation of learners of series: tables, plots, and which steps a score is made of."
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch import nn

from minifast.interpret.classification import ClassificationInterpretation
from minifast.interpret.grad_cam import class_activation, grad_cam, plot_class_activation, plot_grad_cam
from minifast.timeseries.learner import ts_learner
from minifast.timeseries.loaders import TSDataLoaders
from minifast.timeseries.models.fcn import FCN
from minifast.timeseries.models.inception_time import InceptionTime
from minifast.timeseries.models.lstm_fcn import LSTM_FCN
from minifast.timeseries.models.omni_scale import OmniScaleCNN
from minifast.timeseries.models.patch_tst import PatchTST
from minifast.timeseries.models.resnet1d import ResNet1d
from minifast.timeseries.models.ts_transformer import TSTransformer

RNG = np.random.default_rng(0)
#: A class is told by a bump of the first channel at steps 5 to 8.
X = RNG.normal(size=(40, 2, 24)).astype("float32") * 0.3
Y = np.array(["flat", "bump"] * 20)
X[1::2, 0, 5:9] += 3
RAGGED = [x[:, :12 + i % 11] for i, x in enumerate(X)]
POOLING = {FCN: {"layers": (4, 4, 4)}, ResNet1d: {"layers": (4, 4)}, OmniScaleCNN: {"budgets": (20, 60)},
           InceptionTime: {"n_filters": 2, "depth": 3, "bottleneck": 2}}


def padded(n=4):
    x = torch.full((n, 2, 22), torch.nan)
    for row, series in zip(x, RAGGED, strict=False):
        row[:, :series.shape[1]] = torch.from_numpy(series)
    return x


@pytest.mark.parametrize("arch", POOLING, ids=lambda a: a.__name__)
def test_the_mean_over_its_own_steps_and_the_bias_are_the_score(arch):
    torch.manual_seed(0)
    model, x = arch(2, 3, seq_len=22, padded=True, **POOLING[arch]).eval(), padded()
    with torch.no_grad():
        pred = model(x)
    for k in range(3):
        found = class_activation(model, x, k)
        assert found.shape == (4, 22)
        assert torch.equal(found.isnan(), x.isnan().all(1))
        torch.testing.assert_close(found.nanmean(1) + model.head[-1].bias[k], pred[:, k], atol=1e-5, rtol=1e-4)
    alone = class_activation(model, torch.from_numpy(RAGGED[0])[None], 1)
    torch.testing.assert_close(alone[0], class_activation(model, x, 1)[0, :12], atol=1e-5, rtol=1e-4)


def test_grad_cam_of_series_leaves_padding_out():
    torch.manual_seed(0)
    model, x = FCN(2, 3, layers=(4, 4, 4), padded=True).eval(), padded()
    cam, shares = grad_cam(model, x, 1), class_activation(model, x, 1).relu()
    assert torch.equal(cam.isnan(), x.isnan().all(1))
    torch.testing.assert_close(cam, shares / shares.nan_to_num().amax(1, keepdim=True).clamp(min=1e-12), equal_nan=True)


@pytest.mark.parametrize("model", [
    LSTM_FCN(2, 3, 22, layers=(4, 4, 4)), TSTransformer(2, 3, 22, d_model=4, n_heads=1, n_layers=1, d_ff=4),
    nn.Sequential(nn.Conv1d(2, 5, 3, stride=2), nn.BatchNorm1d(5), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(5, 3))],
    ids=lambda m: type(m).__name__)
def test_what_pools_in_another_way_has_grad_cam(model):
    x = torch.from_numpy(X[:4, :, :22])
    with pytest.raises(ValueError, match=r"computed in another way: use grad_cam, or a model that ends so, such as FCN"):
        class_activation(model, x)
    cam = grad_cam(model, x)
    assert cam.shape[0] == 4 and cam.ndim == 2 and cam.min() >= 0 and cam.max() <= 1


def test_layers_of_convolutions_over_one_axis():
    model = nn.Sequential(nn.Conv1d(2, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(5, 3)).eval()
    x = torch.from_numpy(X[:4])
    torch.testing.assert_close(class_activation(model, x, 2).mean(1) + model[-1].bias[2], model(x)[:, 2])


@pytest.mark.parametrize("model", [PatchTST(2, 3, 24, d_model=4, n_heads=1, n_layers=1, d_ff=4),
                                   nn.Sequential(nn.Flatten(), nn.Linear(48, 3))], ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("function", [grad_cam, class_activation])
def test_models_without_features_of_steps_say_so(model, function):
    with pytest.raises(ValueError, match=r"no layer of \w+ gives features of the steps of .* take a model of convolutions, such as FCN"):
        function(model, torch.from_numpy(X[:4]))


@pytest.fixture(scope="module")
def fitted():
    learn = ts_learner(TSDataLoaders.from_array(RAGGED, Y, bs=8, seed=0), FCN, layers=(8, 8, 8))
    learn.logger = lambda row: None
    with learn.no_bar():
        learn.fit_one_cycle(8, 1e-2)
    return ClassificationInterpretation.from_learner(learn)


def test_a_trained_model_looks_where_the_class_is_told(fitted):
    indices = [i for i in range(len(fitted)) if fitted.target_text(i) == "bump"]
    xb = fitted.dl.make_batch(indices)[0]
    found = class_activation(fitted.learn.model, xb, fitted.vocab.index("bump"))
    assert len(indices) > 2 and (found[:, 4:10].mean(1) > found[:, 10:].nanmean(1) + 0.5).all()


@pytest.mark.parametrize("plot", [plot_class_activation, plot_grad_cam])
def test_scores_are_drawn_behind_the_lines(fitted, plot):
    axes = plot(fitted, [0, 1, 2, 3], target="bump")
    lengths = [sample[0].shape[1] for sample in fitted.decoded_inputs([0, 1, 2, 3])]
    assert len(set(lengths)) > 1
    for ax, n in zip(axes, lengths, strict=True):
        (image,) = ax.images
        assert image.get_array().shape == (1, n) and not np.isnan(np.asarray(image.get_array(), float)).any()
        assert len(ax.lines) == 2 and ax.get_ylim()[0] < ax.get_ylim()[1]
        low, high = image.get_clim()
        assert (low, image.cmap.name) == ((-high, "bwr") if plot is plot_class_activation else (0, "Reds"))
    plt.close("all")


def test_a_class_is_given_by_name_or_number_and_others_are_refused(fitted):
    for target in ("bump", fitted.vocab.index("bump")):
        assert len(plot_grad_cam(fitted, [0], target=target)) == 1
    for target in ("bumb", 7):
        with pytest.raises(ValueError, match=rf"target={target!r}: a class by name, 'bump', 'flat', or by number, from 0 to 1"):
            plot_class_activation(fitted, [0], target=target)
    plt.close("all")
