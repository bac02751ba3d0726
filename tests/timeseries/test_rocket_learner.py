"""MiniRocket with a ridge head: a learner that predicts at once."""
import math

import numpy as np
import pytest
import torch

from minifast.timeseries.all import (
    FCN,
    Interpretation,
    MiniRocket,
    TSDataLoaders,
    TSStandardize,
    accuracy,
    accuracy_multi,
    fit_ridge,
    load_learner,
    mini_rocket_learner,
    nn,
    rmse,
    ts_learner,
)

RNG = np.random.default_rng(0)
T = np.arange(40)
SPEED = RNG.integers(0, 3, 90)
X = np.sin(T * (SPEED[:, None] + 1) / 4 + RNG.random((90, 1)) * 6).astype(np.float32) + RNG.normal(size=(90, 40)).astype(np.float32) * 0.3
LABELS = np.array(["fast", "middle", "slow"])[SPEED]
SPLITS = (range(60), range(60, 90))


def _dls(X=X, y=LABELS, **kwargs):
    return TSDataLoaders.from_array(X, y, splits=SPLITS, bs=16, **kwargs)


def test_classes_are_told_apart_with_probabilities_that_mean_something():
    learn = mini_rocket_learner(_dls(batch_tfms=TSStandardize()), n_features=1000, seed=0, metrics=accuracy)
    loss, acc = learn.validate()
    assert acc > 0.95 and loss < 0.3
    label, _, probabilities = learn.predict(X[61])
    assert label == LABELS[61] and probabilities.max() > 0.6
    preds, targets = learn.get_preds()
    assert preds.shape == (30, 3) and len(targets) == 30
    assert len(Interpretation.from_learner(learn).top_losses(3)[0]) == 3


def test_an_exported_learner_predicts_the_same(tmp_path):
    unequal = [x[: 20 + 2 * (i % 11)] for i, x in enumerate(X)]
    learn = mini_rocket_learner(_dls(unequal), n_features=500, seed=0, path=tmp_path, metrics=accuracy)
    learn.export("rocket.pkl")
    again = load_learner(tmp_path / "rocket.pkl")
    assert torch.equal(again.predict(unequal[70])[2], learn.predict(unequal[70])[2])
    assert torch.allclose(learn.predict(unequal[70])[2], learn.get_preds()[0][10], atol=1e-6)         # alone and in a padded batch
    assert learn.validate()[1] > 0.8


def test_numbers_and_several_classes():
    learn = mini_rocket_learner(_dls(y=SPEED + 0.5), n_features=1000, seed=0, metrics=rmse)
    assert learn.validate()[1] < 0.4
    tags = [["even", "any"] if s != 1 else ["odd"] for s in SPEED]
    learn = mini_rocket_learner(_dls(y=tags), n_features=1000, seed=0, metrics=accuracy_multi)
    assert learn.validate()[1] > 0.9


def test_the_seed_decides_and_without_one_torch_does():
    dls = _dls()
    a, b, c = (mini_rocket_learner(dls, 200, seed=seed).model.head.weight for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)
    torch.manual_seed(0)
    d = mini_rocket_learner(dls, 200).model.head.weight
    torch.manual_seed(0)
    assert torch.equal(d, mini_rocket_learner(dls, 200).model.head.weight)


def test_it_can_be_trained_further():
    learn = mini_rocket_learner(_dls(), 200, seed=0)
    biases, weight = learn.model.features.biases.clone(), learn.model.head.weight.clone()
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    assert torch.equal(biases, learn.model.features.biases) and not torch.equal(weight, learn.model.head.weight)


def test_what_cannot_be_fitted_is_said():
    dls = _dls()
    with pytest.raises(TypeError, match=r"fit_ridge fits a MiniRocket; the model is .*FCN.*write mini_rocket_learner\(dls\)"):
        fit_ridge(ts_learner(dls, FCN))
    with pytest.raises(TypeError, match=r"ridge head is fitted for classes \(CrossEntropyLossFlat\).*loss_func=BCELoss: pass one of these"):
        mini_rocket_learner(dls, 200, loss_func=nn.BCELoss())
    with pytest.raises(ValueError, match=r"series of 9 steps or more"):
        mini_rocket_learner(_dls(X[:, :8]))
    with pytest.raises(TypeError, match=r"Make the loaders with targets, TSDataLoaders\.from_array\(X, y\)"):
        mini_rocket_learner(_dls(y=None), 200, n_out=3, loss_func=nn.CrossEntropyLoss())
    learn = ts_learner(dls, MiniRocket, n_features=200)
    with pytest.raises(RuntimeError, match=r"make a learner with mini_rocket_learner\(dls\)"):
        learn.get_preds()
    assert fit_ridge(learn, alphas=[1.0], seed=0) == 1.0 and math.isfinite(learn.validate()[0])
