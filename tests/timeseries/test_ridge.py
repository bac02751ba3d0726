"""Ridge regression in closed form, against scikit-learn."""
import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge as SkRidge
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from minifast.timeseries.ridge import ridge

ALPHAS = np.logspace(-3, 3, 10)


def _data(n, p, noise, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((n, p)).astype(np.float32) * rng.random(p).astype(np.float32)
    x[:, 1] = 0.25                                                  # a feature that says nothing
    y = x[:, 2:5] @ rng.normal(size=(3, 2)) * 3 + rng.normal(size=(n, 2)) * noise + 5
    return x, y


@pytest.mark.parametrize(("n", "p", "noise"), [(30, 200, 0.1), (30, 200, 3), (80, 20, 0.1), (80, 20, 3), (20, 20, 1)])
def test_it_is_the_regression_that_scikit_learn_chooses(n, p, noise):
    x, y = _data(n, p, noise)
    scaler = StandardScaler(with_mean=False).fit(x.astype(np.float64))
    expected = RidgeCV(ALPHAS).fit(scaler.transform(x.astype(np.float64)), y)
    got = ridge(torch.from_numpy(x), torch.from_numpy(y), ALPHAS)
    assert got.alpha == pytest.approx(expected.alpha_)
    new, _ = _data(50, p, noise, seed=1)
    predicted = torch.from_numpy(new) @ got.weight.T + got.bias
    assert np.allclose(predicted, expected.predict(scaler.transform(new)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("n", "p"), [(12, 40), (40, 12)])
def test_what_is_predicted_for_a_left_out_sample_is_what_the_others_predict(n, p):
    x, y = _data(n, p, 1)
    got = ridge(torch.from_numpy(x), torch.from_numpy(y), [2.0])
    scaled = StandardScaler().fit_transform(x.astype(np.float64))
    for i in (0, 7):
        others = np.arange(n) != i
        alone = SkRidge(2.0).fit(scaled[others], y[others]).predict(scaled[[i]])
        assert np.allclose(got.left_out[i], alone)


def test_features_in_several_blocks_are_one_regression():
    x, y = _data(25, 2100, 1)
    order = np.random.default_rng(0).permutation(2100)
    a, b = (ridge(torch.from_numpy(o), torch.from_numpy(y), ALPHAS) for o in (x, x[:, order]))
    assert torch.allclose(a.weight[:, order], b.weight, atol=1e-6) and torch.allclose(a.bias, b.bias, atol=1e-4)
