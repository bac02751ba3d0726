"k-fold of series and of windows: by group, by time, with folds of one's own; bagging and ensembles of padded series."
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import TimeSeriesSplit

from minifast.ensemble.averaging import average_preds
from minifast.ensemble.bagging import bagging
from minifast.ensemble.kfold import kfold
from minifast.timeseries.forecasting.learner import ts_forecaster
from minifast.timeseries.learner import ts_ensemble, ts_learner
from minifast.timeseries.loaders import TSDataLoaders
from minifast.timeseries.models.fcn import FCN
from minifast.timeseries.standardise import TSStandardize
from minifast.timeseries.window_splits import walk_forward_splits
from minifast.timeseries.windows import SlidingWindows

RNG = np.random.default_rng(0)
RAGGED = [RNG.normal(size=(2, 8 + i % 5)).astype("float32") for i in range(24)]
Y = np.array(["b", "a"] * 12)
SUBJECT = [i // 4 for i in range(24)]
ROWS = pd.concat([pd.DataFrame({"id": k, "time": range(40), "y": RNG.normal(size=40)}) for k in "uvw"])
WINDOWS = SlidingWindows(ROWS, 6, 2, by="id", target="y")


def classifier(splits):
    learn = ts_learner(TSDataLoaders.from_array(RAGGED, Y, splits=splits, batch_tfms=TSStandardize(), bs=8), FCN, layers=(2, 2, 2))
    learn.logger = lambda row: None
    return learn


def forecaster(splits):
    learn = ts_forecaster(TSDataLoaders.from_windows(WINDOWS, splits=splits, bs=32))
    learn.logger = lambda row: None
    return learn


def fit(learn):
    with learn.no_bar():
        learn.fit(1, 1e-2)


def test_by_group_predictions_come_in_the_order_of_the_series():
    result = kfold(classifier, RAGGED, 3, groups=SUBJECT, fit=fit)
    assert [result.vocab[t] for t in result.targs] == Y.tolist()
    for learn, (train, valid) in zip(result.learners, result.splits, strict=True):
        assert not {SUBJECT[i] for i in train} & {SUBJECT[i] for i in valid}
        for i in valid[:2]:
            torch.testing.assert_close(result.preds[i], learn.predict(RAGGED[i])[2], atol=1e-5, rtol=1e-4)
    # each scales new series by the statistics of its own training set
    each = torch.stack([learn.get_preds(dl=learn.dls.test_dl(RAGGED[:4]))[0] for learn in result.learners])
    torch.testing.assert_close(result.predict(items=RAGGED[:4]), each.mean(0))


def test_of_windows_by_series():
    result = kfold(forecaster, WINDOWS, 3, groups=WINDOWS.series, fit=fit)
    assert result.preds.shape == (len(WINDOWS), 1, 2)
    torch.testing.assert_close(result.targs, WINDOWS.read(np.arange(len(WINDOWS)))[-1])


def test_of_windows_at_random_is_refused_with_what_to_write():
    with pytest.raises(ValueError, match=r"validation windows have rows that are in training windows.*window_splits\(windows\)"):
        kfold(forecaster, WINDOWS, 3, fit=fit)


def test_of_windows_forward_in_time():
    folds = walk_forward_splits(WINDOWS, 3)
    result = kfold(forecaster, WINDOWS, splits=folds, fit=fit)
    assert len(result.learners) == 3 and result.positions == sorted(i for _, valid in folds for i in valid.tolist())
    torch.testing.assert_close(result.targs, WINDOWS.read(np.array(result.positions))[-1])


def test_with_the_folds_of_scikit_learn():
    result = kfold(classifier, RAGGED, splits=TimeSeriesSplit(3).split(RAGGED), fit=fit)
    assert result.positions == list(range(6, 24)) and len(result.table) >= 3


@pytest.mark.parametrize(("splits", "options", "text"), [
    ([([0, 1], [2]), ([0, 3], [2])], {}, "1 item are for validation in more than one fold, first item 2"),
    ([([0, 1], [2])], {"groups": SUBJECT}, "and so do groups= and stratify=: leave these out"),
    ([([0, 1],)], {}, "fold 0 has 1 part, and a fold is a pair"), ([], {}, "has no fold"), ([([0, 1], [99])], {}, "99")])
def test_folds_that_are_none(splits, options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        kfold(classifier, RAGGED, splits=splits, fit=fit, **options)


def test_bagging_of_groups_of_padded_series():
    result = bagging(classifier, RAGGED, 2, groups=SUBJECT, fit=fit)
    preds, _ = result.ensemble.get_preds(items=RAGGED[:5])
    torch.testing.assert_close(result.ensemble.predict(RAGGED[3])[2], preds[3], atol=1e-5, rtol=1e-4)


def test_an_ensemble_of_padded_series():
    dls = TSDataLoaders.from_array(RAGGED, Y, bs=8)
    ensemble = ts_ensemble(dls, FCN, 2, fit=fit, layers=(2, 2, 2), cbs=[])
    preds, targets = ensemble.get_preds()
    torch.testing.assert_close(preds, torch.stack([learn.get_preds()[0] for learn in ensemble.learners]).mean(0))
    torch.testing.assert_close(preds, average_preds(ensemble.learners)[0])
    assert len(targets) == len(dls.valid_ds) and ensemble.predict(RAGGED[0])[0] in ("a", "b")
