"""What else is known of a series, as further inputs."""
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from minifast.timeseries.all import (
    FCN,
    Learner,
    TSDataLoaders,
    WithCovariates,
    accuracy,
    covariate_sizes,
    load_learner,
    nn,
    series_shape,
    ts_learner,
)
from minifast.timeseries.covariates import EncodeCategories

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 2, 5)).astype(np.float32)
TABLE = pd.DataFrame({"sex": ["f", "m", None, "m"] * 20, "site": np.arange(80) % 3, "age": np.arange(80.0), "note": "x"})
TABLE.loc[7, "age"] = np.nan
SPLITS = (range(60), range(60, 80))


def loaders(**options):
    options = {"cat_names": ["sex", "site"], "cont_names": ["age"], "bs": 8, "splits": SPLITS} | options
    return TSDataLoaders.from_array(X, list("ab" * 40), table=TABLE, **options)


def features():
    return nn.Sequential(nn.Flatten(), nn.Linear(10, 4))


def test_batches_have_classes_and_numbers_after_the_series():
    dls = loaders()
    assert type(dls.train._fetcher).__name__ == "WholeBatches" and dls.n_inp == 3 and dls.c == 2
    x, cats, conts, _ = dls.valid.one_batch()
    known = TABLE["age"].iloc[:60]
    assert x.numpy().tolist() == X[60:68].tolist() and cats.dtype == torch.int64 and conts.dtype == torch.float32
    assert cats[:4].tolist() == [[1, 1], [2, 2], [0, 3], [2, 1]], "0: missing"
    assert np.allclose(conts[:, 0], (TABLE["age"].iloc[60:68] - known.mean()) / known.std(ddof=0), atol=1e-5)
    assert loaders(splits=(range(60, 80), range(60))).valid.one_batch()[2][7] == 0, "missing is the mean"
    assert covariate_sizes(dls) == ([3, 4], 1) and series_shape(dls).n_channels == 2
    one_by_one = loaders(item_tfms=lambda o: o)
    for a, b in zip(dls.valid, one_by_one.valid, strict=True):
        assert all(u.equal(v) for u, v in zip(a, b, strict=True))


def test_one_kind_alone_and_classes_that_training_did_not_have():
    assert [b.shape for b in loaders(cat_names=[]).one_batch()] == [(8, 2, 5), (8, 1), (8,)]
    dls = loaders(cont_names=[], splits=([i for i in range(60) if i % 3], range(60, 80)))
    assert dls.valid.one_batch()[1][0, 1] == 0


@pytest.mark.parametrize("options", [{}, {"cat_names": []}, {"cont_names": []}])
def test_a_model_trains_predicts_and_is_loaded(tmp_path, options):
    dls = loaders(**options)
    learn = Learner(dls, WithCovariates(features(), 4, 2, *covariate_sizes(dls)))
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learn.export(tmp_path / "learner.mf")
    again = load_learner(tmp_path / "learner.mf")
    assert series_shape(again.dls) == series_shape(dls) == (2, 5, 5, False)
    for each in (learn, again):
        for n in (3, 80):
            preds, _ = each.get_preds(dl=each.dls.test_dl((X[:n], TABLE.iloc[:n])))
            assert len(preds) == n and each.predict((X[1], TABLE.iloc[1]))[2].allclose(preds[1], atol=1e-6)
    with pytest.raises(KeyError, match=r"with which the model was trained.*dls.test_dl\(\(X, table\)\), learn.predict\(\(x, row\)\)"):
        learn.predict(X[0])


def test_ts_learner_makes_the_model_of_the_loaders(tmp_path):
    table = TABLE.assign(age=np.where(np.arange(80) % 2, 1.0, -1.0), site=np.arange(80) % 4 // 2)
    labels = [f"{a > 0}{b}" for a, b in zip(table["age"], table["site"], strict=True)]           # no word of the series
    dls = TSDataLoaders.from_array(X, labels, table=table, cat_names=["site"], cont_names=["age"], splits=SPLITS, bs=10)
    learn = ts_learner(dls, FCN, layers=(4, 4), kernel_sizes=(3, 3), metrics=accuracy)
    learn.freeze()
    assert all(p.requires_grad for p in learn.model.vectors.parameters()) and not learn.model.series.body[0].conv.weight.requires_grad
    learn.unfreeze()
    with learn.no_bar(), learn.no_logging():
        learn.fit(12, 1e-2)
    assert learn.validate()[1] == 1
    learn.export(tmp_path / "learner.mf")
    new = (X[:3], table.iloc[:3])
    again = load_learner(tmp_path / "learner.mf")
    assert again.get_preds(dl=again.dls.test_dl(new))[0].allclose(learn.get_preds(dl=dls.test_dl(new))[0], atol=1e-6)
    numbers = TSDataLoaders.from_array(X, np.linspace(0, 1, 80), table=table, cont_names=["age"], splits=SPLITS, bs=10)
    preds = ts_learner(numbers, FCN, layers=(4, 4), kernel_sizes=(3, 3), y_range=(0, 1)).get_preds()[0]
    assert preds.shape == (20, 1) and preds.min() > 0 and preds.max() < 1


def test_of_a_long_table():
    rows = [(i, t, float(i + t), "ab"[i % 2], "mf"[i % 2], i * 1.0) for i in range(10) for t in range(4)]
    df = pd.DataFrame(rows, columns=["id", "t", "v", "label", "sex", "age"])
    dls = TSDataLoaders.from_df(df, label_col="label", id_col="id", time_col="t", cat_names=["sex"], cont_names=["age"], bs=4)
    assert [b.shape for b in dls.one_batch()] == [(4, 1, 4), (4, 1), (4, 1), (4,)]
    assert len(dls.test_dl(df.drop(columns="label"), bs=64).one_batch()) == 3
    with pytest.raises(ValueError, match="'v' are not the same in all rows of a series.*name it in value_cols"):
        TSDataLoaders.from_df(df, ["age"], label_col="label", id_col="id", time_col="t", cont_names=["v"])
    assert TSDataLoaders.from_df(df, ["age", "v"], label_col="label", id_col="id", time_col="t", bs=4).one_batch()[0].shape == (4, 2, 4)


def test_what_cannot_be_is_refused():
    with pytest.raises(TypeError, match="'sex' hold values that are not numbers.*cat_names"):
        loaders(cont_names=["sex"])
    with pytest.raises(ValueError, match="'empty' have no value in the training set: leave them out of cont_names"):
        TSDataLoaders.from_array(X, table=TABLE.assign(empty=np.nan), cont_names=["empty"])
    with pytest.raises(KeyError, match="there is no column 'size'"):
        loaders(cat_names=["size"])
    with pytest.raises(ValueError, match=r"no covariates.*cat_names=\[...\], cont_names=\[...\]"):
        covariate_sizes(TSDataLoaders.from_array(X, list("ab" * 40)))
    with pytest.raises(ValueError, match="reads series and 2 tensors of covariates; received 0"):
        WithCovariates(features(), 4, 2, [3], 1)(torch.zeros(1, 2, 5))
    with pytest.raises(ValueError, match="80 series and 3 rows"):
        loaders().test_dl((X, TABLE[:3]))
    assert EncodeCategories(["a"], [["u", "v"]]).encodes({"a": "v"}).tolist() == [2]


def test_infinite_and_absent_covariates_are_refused():
    table = pd.DataFrame({"age": [1.0, np.inf] * 10})
    x, y = np.zeros((20, 1, 3)), list("ab" * 10)
    with pytest.raises(ValueError, match=r"'age' hold infinite values.*df.replace\(\[np.inf, -np.inf\], np.nan\)"):
        TSDataLoaders.from_array(x, y, table=table, cont_names=["age"])
    dls = TSDataLoaders.from_array(x, y, table=table.replace([np.inf, -np.inf], np.nan), cont_names=["age"], bs=4)
    assert (dls.one_batch()[1] == 0).all()
    with pytest.raises(KeyError, match="there is no column 'sex' for cat_names= and cont_names=. Columns: age"):
        TSDataLoaders.from_array(x, y, table=table, cat_names=["sex"])
    with pytest.raises(KeyError, match="'age' for cat_names= and cont_names=, and no table"):
        TSDataLoaders.from_array(x, y, cont_names=["age"])


def test_one_series_of_a_long_table_is_predicted_with_its_covariates():
    df = pd.DataFrame({"id": np.repeat(range(8), 3), "t": [*range(3)] * 8, "v": np.arange(24.0), "y": np.repeat([*"ab"] * 4, 3),
                       "age": np.repeat(np.arange(8.0), 3)})
    learn = ts_learner(TSDataLoaders.from_df(df, ["v"], "y", "id", "t", cont_names=["age"], bs=2), FCN)
    probs = learn.get_preds(dl=learn.dls.test_dl(df))[0]
    assert torch.allclose(learn.predict(df[df["id"] == 5])[2], probs[5], atol=1e-6)
