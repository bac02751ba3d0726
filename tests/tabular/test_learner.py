"""`tabular_learner`: what it makes of the data, single rows and frames predicted alike, results as tables, real data."""
import copy
import time

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from minifast.callbacks.base import Callback
from minifast.data.block import CategoryBlock, RegressionBlock
from minifast.data.loaders import DataLoaders
from minifast.learner.learner import Learner
from minifast.metrics.functions import accuracy, accuracy_multi, rmse
from minifast.nn.losses import CrossEntropyLossFlat
from minifast.tabular.frames import TabularPandas
from minifast.tabular.learner import PredictedRow, TabularLearner, tabular_learner
from minifast.tabular.loaders import TabularDataLoaders
from minifast.tabular.model import tabular_config
from minifast.tabular.procs import Categorify, FillMissing, Normalize


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def make(n=200, seed=0):
    rng = np.random.default_rng(seed)
    df = pd.DataFrame({"k": rng.choice(["a", "b", "c"], n), "i": rng.integers(1, 5, n), "x": rng.normal(size=n),
                       "z": rng.normal(100, 20, n)})
    df["y"] = np.where((df["k"] == "a") ^ (df["x"] > 0), "yes", "no")
    df["price"] = df["x"] * 3 + df["i"] + 10
    df.loc[rng.random(n) < 0.1, "z"] = np.nan
    return df


@pytest.fixture(scope="module")
def df():
    return make()


@pytest.fixture
def learn(df):
    dls = TabularDataLoaders.from_df(df, cat_names=["k", "i"], cont_names=["x", "z"], y_names="y", bs=32)
    learn = tabular_learner(dls, layers=[20, 10], metrics=accuracy)
    learn.fit(1, 1e-2)
    return learn


def test_what_it_makes_of_the_data(df):
    dls = TabularDataLoaders.from_df(df, cat_names=["k", "i"], cont_names=["x", "z"], y_names="y", bs=32)
    learn = tabular_learner(dls)
    assert [(e.num_embeddings, e.embedding_dim) for e in learn.model.embeds] == [(4, 3), (5, 4), (3, 3)]        # k, i and z_na
    assert [m.out_features for m in learn.model.modules() if isinstance(m, torch.nn.Linear)] == [200, 100, 2]
    assert isinstance(learn, TabularLearner) and isinstance(learn.loss_func, CrossEntropyLossFlat) and learn.model.bn_cont.num_features == 2
    sized = tabular_learner(dls, layers=[8], emb_szs={"k": 9}, config=tabular_config(ps=0.3, embed_p=0.1), n_out=5)
    assert sized.model.embeds[0].embedding_dim == 9 and sized.model.emb_drop.p == 0.1 and sized.model.layers[-1][0].out_features == 5
    assert tabular_learner(dls, emb_szs=[(4, 1), (5, 2), (3, 3)]).model.n_emb == 6
    price = TabularDataLoaders.from_df(df, cat_names=["k"], cont_names=["x"], y_names="price", bs=32)
    assert tabular_learner(price, y_range=(0, 30)).model.layers[-1].high == 30
    assert tabular_learner(price, config=tabular_config(y_range=(0, 20))).model.layers[-1].high == 20


def test_what_it_refuses(df):
    dls = TabularDataLoaders.from_df(df, cat_names=["k", "i"], cont_names=["x", "z"], y_names="y", bs=32)
    with pytest.raises(ValueError, match=r"y_range=\(0, 1\) is for numbers, but the target 'y' has 2 classes"):
        tabular_learner(dls, y_range=(0, 1))
    with pytest.raises(TypeError, match=r"tabular_config\(...\) does not take emb_p=float 0.1; did you mean 'embed_p'"):
        tabular_learner(dls, config={"emb_p": 0.1})
    with pytest.raises(ValueError,
                       match=r"for each of \['k', 'i', 'z_na'\], whose categories are \[4, 5, 3\] with '#na#'; received \[\(3, 2\)\]"):
        tabular_learner(dls, emb_szs=[(3, 2)])
    with pytest.raises(TypeError, match=r"tabular_learner takes loaders of a table"):
        tabular_learner(DataLoaders([(torch.zeros(2, 2), torch.zeros(2))]))
    with pytest.raises(TypeError, match=r"tabular_learner\(...\) does not take metric=function accuracy; did you mean 'metrics'"):
        tabular_learner(dls, metric=accuracy)
    with pytest.raises(ValueError, match=r"the data has no target, so the number of outputs is not known"):
        tabular_learner(TabularDataLoaders.from_df(df, cat_names=["k"], cont_names=["x"], bs=32))


def test_a_row_a_frame_and_get_preds_agree(learn, df):
    preds, _ = learn.get_preds(dl=learn.dls.test_dl(df))
    shown, classes, probs = learn.predict(df.iloc[:12])
    torch.testing.assert_close(probs, preds[:12])
    assert torch.equal(classes, preds[:12].argmax(1)) and [list(learn.dls.vocab)[c] for c in classes] == shown["y"].tolist()
    listed = learn.predict([df.iloc[i].to_dict() for i in range(12)])[2]
    torch.testing.assert_close(listed, preds[:12])
    for i in range(12):
        for row in (df.iloc[i], df.iloc[i].to_dict()):
            shown, clas, probs = learn.predict(row)
            torch.testing.assert_close(probs, preds[i], rtol=1e-5, atol=1e-6)
            assert clas == preds[i].argmax() and shown["y"] == learn.dls.vocab[clas]


def test_the_row_that_predict_returns(learn, df):
    row = df.iloc[3]
    shown, _, _ = learn.predict(row)
    assert isinstance(shown, PredictedRow) and set(shown) == {"k", "i", "z_na", "x", "z", "y"} and len(shown) == 6
    assert shown["k"] == row["k"] and shown["i"] == row["i"] and shown["x"] == pytest.approx(row["x"], abs=1e-6) and "k" in repr(shown)
    assert shown.show().shape == (1, 6)
    with pytest.raises(AttributeError, match=r"the row as a dict of its values, without 'decode': write row\['column'\].*row.show\(\)"):
        shown.decode()
    assert shown["k"] == shown.show()["k"].item()                   # as the message says


def test_rows_with_odd_values(learn, df):
    row = {"k": "a", "i": 2, "x": 0.5, "z": 90.0}
    _, _, probs = learn.predict(row)
    for same in ({**row, "i": 2.0}, {**row, "i": np.int8(2)}, pd.Series(row), {**row, "x": np.float64(0.5), "extra": 1}, {**row, "z": 90},
                 {**row, "k": np.str_("a")}, {**row, "x": "0.5"}):
        torch.testing.assert_close(learn.predict(same)[2], probs)
    for empty in (None, np.nan, pd.NA, pd.NaT):
        gap = learn.predict({**row, "z": empty})
        assert gap[0]["z_na"] is True and not torch.equal(gap[2], probs)
        learn.predict({**row, "k": empty})
    with pytest.warns(UserWarning) as caught:
        shown, _, _ = learn.predict({**row, "k": "zz"})
    assert str(caught[0].message).startswith("values not seen in training count as missing (#na#): 'k' has 1 (100.0%), such as 'zz'")
    assert caught[0].filename == __file__ and copy.copy(shown) == shown and shown["k"] == "#na#"
    with pytest.raises(ValueError, match=r"the row lacks the column 'z' of the training data"):
        learn.predict({"k": "a", "i": 2, "x": 0.5})
    with pytest.raises(TypeError, match=r"continuous column 'x' takes a number; received str 'abc'"):
        learn.predict({**row, "x": "abc"})
    with pytest.raises(ValueError, match=r"'x' takes finite numbers; received inf"):
        learn.predict({**row, "x": float("inf")})
    with pytest.raises(TypeError, match=r"categorical column 'k' takes one value; received list"):
        learn.predict({**row, "k": ["a"]})


def test_what_callbacks_and_batch_transforms_do_counts_for_rows_too(learn, df):
    class Nothing(Callback):
        def before_batch(self):
            self.learn.xb = (torch.zeros_like(self.learn.xb[0]), torch.zeros_like(self.learn.xb[1]))

    learn.add_cb(Nothing())
    row = learn.predict(df.iloc[0])[2]
    torch.testing.assert_close(row, learn.predict(df.iloc[:1])[2][0])
    torch.testing.assert_close(row, learn.predict(df.iloc[5])[2])                                  # the callback empties every row
    learn.remove_cbs(Nothing)
    learn.dls = learn.dls.with_tfms(lambda x: x * 0 if x.is_floating_point() else x)
    torch.testing.assert_close(learn.predict(df.iloc[0])[2], learn.predict(df.iloc[:1])[2][0])


def test_predict_leaves_the_learner_as_it_is(learn, df):
    learn.model.train()
    a = learn.predict(df.iloc[0])[2]
    b = learn.predict(df.iloc[0])[2]
    assert torch.equal(a, b) and len(learn.recorder.history) == 1 and not a.requires_grad


def test_one_row_costs_little_more_than_the_model(learn, df):
    row = df.iloc[0].to_dict()
    codes, floats = learn.table().encode_row(row)
    xb = torch.tensor([codes]), torch.tensor([floats])

    def best_of(f, n=30):
        times = []
        for _ in range(n):
            start = time.perf_counter()
            f()
            times.append(time.perf_counter() - start)
        return min(times)

    with torch.no_grad():
        model = best_of(lambda: learn.model(*xb).softmax(1))
    assert best_of(lambda: learn.predict(row)) - model < 1e-3


def test_show_results(learn):
    shown = learn.show_results(max_n=4)
    assert list(shown)[-2:] == ["y", "y_pred"] and len(shown) == 4 and set(shown["y_pred"]) <= {"yes", "no"}
    whole = learn.show_results(shuffle=False, max_n=40)
    decoded = learn.get_preds(with_decoded=True)[2]
    assert whole["y_pred"].tolist() == [learn.dls.vocab[i] for i in decoded[:len(whole)]]


def test_regression_and_several_targets(df):
    dls = TabularDataLoaders.from_df(df, cat_names=["k", "i"], cont_names=["x", "z"], y_names="price", bs=32)
    learn = tabular_learner(dls, layers=[20], y_range=(0, 25), metrics=rmse)
    learn.fit_one_cycle(8, 3e-2)
    assert learn.validate()[1] < 0.7 * df["price"].std()
    shown, value, raw = learn.predict(df.iloc[0])
    assert shown["price"] == pytest.approx(value.item()) and value.shape == (1,) and torch.equal(value, raw)
    dls = TabularDataLoaders.from_df(df.assign(other=df["x"] * 2), cat_names=["k", "i"], cont_names=["x"], y_names=["price", "other"],
                                     bs=32)
    learn = tabular_learner(dls, layers=[20])
    learn.fit(1, 1e-2)
    shown, values, _ = learn.predict(df.iloc[0])
    assert values.shape == (2,) and shown["other"] == pytest.approx(values[1].item())
    assert list(learn.show_results())[-2:] == ["price_pred", "other_pred"]


def test_several_labels(df):
    data = df.assign(p=df["x"] > 0, q=df["k"] == "a")
    dls = TabularDataLoaders.from_df(data, cat_names=["k"], cont_names=["x"], y_names=["p", "q"], bs=32)
    learn = tabular_learner(dls, layers=[20], metrics=accuracy_multi)
    learn.fit_one_cycle(8, 3e-2)
    assert learn.validate()[1] > 0.9
    shown, labels, probs = learn.predict(data.iloc[0])
    assert labels.dtype == torch.bool and shown["p"] == labels[0].item() and probs.shape == (2,)


def test_one_kind_of_column_is_enough(df):
    for kwargs in ({"cat_names": ["k"], "cont_names": []}, {"cat_names": [], "cont_names": ["x"]}):
        learn = tabular_learner(TabularDataLoaders.from_df(df, y_names="y", bs=32, **kwargs), layers=[10])
        learn.fit(1)
        torch.testing.assert_close(learn.predict(df.iloc[0])[2], learn.predict(df.iloc[:1])[2][0])
    assert "TabularModel on 32 x 0, 32 x 1" in str(learn.summary())


def test_save_and_load_into_a_learner_made_from_the_columns_in_another_order(learn, df, tmp_path):
    learn.path = tmp_path
    learn.save("m")
    other = tabular_learner(TabularDataLoaders.from_df(df[["z", "y", "price", "i", "x", "k"]], cat_names=["k", "i"], cont_names=["x", "z"],
                                                       y_names="y", bs=32), layers=[20, 10], path=tmp_path)
    other.load("m")
    torch.testing.assert_close(other.get_preds()[0], learn.get_preds()[0])


def test_class_weights_and_lr_find(df):
    dls = TabularDataLoaders.from_df(df, cat_names=["k", "i"], cont_names=["x", "z"], y_names="y", bs=32)
    learn = tabular_learner(dls, layers=[10], loss_func=CrossEntropyLossFlat(weight=torch.tensor([1.0, 50.0])))
    learn.fit(8, 3e-2)
    assert learn.get_preds()[0][:, 1].mean() > 0.7
    learn.lr_find(show_plot=False, num_it=10)


# -- real data ---------------------------------------------------------------------------------------------------------------------
def test_adult(data_dir):
    df = pd.read_csv(data_dir / "adult" / "adult.csv").iloc[:8000]
    dls = TabularDataLoaders.from_df(df, procs=[Categorify, FillMissing, Normalize], y_names="salary", bs=128, cont_names=[
        "age", "fnlwgt", "education-num", "capital-gain", "hours-per-week"], cat_names=[
        "workclass", "education", "marital-status", "occupation", "relationship", "race"])
    learn = tabular_learner(dls, metrics=accuracy)
    learn.fit_one_cycle(2, 1e-2)
    share = (df["salary"] == "<=50K").mean()
    assert learn.validate()[1] > share + 0.05
    test = pd.read_csv(data_dir / "adult" / "adult_test.csv").iloc[:3000]
    assert learn.validate(dl=dls.test_dl(test, with_labels=True))[1] > share + 0.05
    assert dls.train.dataset.missing["workclass"] > 300


def test_titanic(data_dir):
    folder = data_dir / "titanic"
    train = next(f for f in sorted(folder.glob("*.csv")) if "Survived" in pd.read_csv(f, nrows=1))
    df = pd.read_csv(train)
    dls = TabularDataLoaders.from_df(df, cat_names=["Pclass", "Sex", "Embarked", "SibSp", "Parch"], cont_names=["Age", "Fare"],
                                     y_names="Survived",
                                     bs=64, valid_pct=0.25)
    assert list(dls.vocab) == [0, 1] and "Age_na" in dls.classes
    learn = tabular_learner(dls, metrics=accuracy)
    learn.fit_one_cycle(10, 1e-2)
    assert learn.validate()[1] > 0.74 > 1 - df["Survived"].mean()


def test_california(data_dir):
    df = pd.read_csv(data_dir / "california_housing" / "housing.csv").iloc[::4]
    df["median_house_value"] = df["median_house_value"] / 1e5
    dls = TabularDataLoaders.from_df(df, y_names="median_house_value", y_block=RegressionBlock, bs=128)
    learn = tabular_learner(dls, y_range=(0, 6), metrics=rmse)
    learn.fit_one_cycle(3, 1e-2)
    assert learn.validate()[1] < 0.7 * df["median_house_value"].std()


def test_y_block_of_few_whole_numbers(df):
    to = TabularPandas(df.assign(n=df["i"]), [Categorify, Normalize], ["k"], ["x"], "n", CategoryBlock,
                       splits=([*range(150)], [*range(150, 200)]))
    learn = tabular_learner(to.dataloaders(bs=32), layers=[10])
    learn.fit(1)
    shown, clas, probs = learn.predict(df.iloc[0])
    assert probs.shape == (4,) and shown["n"] == clas.item() + 1


def test_an_ordinary_learner_predicts_rows_too(df):
    dls = TabularDataLoaders.from_df(df, procs=[Categorify, FillMissing, Normalize], cat_names="k", cont_names=["x", "z"], y_names="price",
                                     device="cpu")
    table = tabular_learner(dls, layers=[8])
    plain = Learner(dls, table.model)
    row, value, pred = plain.predict(df.iloc[3])
    assert row["k"] == df["k"].iloc[3] and row["price"] == pytest.approx(float(value), rel=1e-5)
    assert torch.allclose(pred, table.predict(df.iloc[3])[2], atol=1e-6)


def test_numbers_are_shown_as_they_were_written():
    df = pd.DataFrame({"x": [0.5, 1.0, 2.0, 4.0] * 4, "y": [18.45, 0.1, 7.3, 1e6] * 4})
    dls = TabularDataLoaders.from_df(df, procs=[Normalize], cont_names="x", y_names="y", y_block=RegressionBlock, device="cpu")
    assert set(dls.show_batch()["y"]) <= {18.45, 0.1, 7.3, 1e6}


def test_a_row_says_what_a_frame_says_of_missing_values():
    learn = tabular_learner(TabularDataLoaders.from_df(make(), cat_names=["k"], cont_names=["x", "z"], y_names="price"), layers=[4])
    for row in ({"k": "a", "x": np.nan, "z": 1.0}, {"k": None, "x": 1.0, "z": 1.0}):
        for asked in (row, pd.DataFrame([row])):
            with pytest.warns(UserWarning, match="missing values in columns that had none in training"):
                learn.predict(asked)


@pytest.mark.parametrize("procs, x, message", [([Categorify, Normalize], np.nan, "missing values, .* 'x' in 1 row"),
                                               ([Categorify, FillMissing, Normalize], 1e300, "too large for float32: 'x' in 1 row")])
def test_a_row_refuses_what_a_frame_refuses(procs, x, message):
    df = make()
    df["y"] = df["price"]
    learn = tabular_learner(TabularDataLoaders.from_df(df, procs=procs, cat_names=["k"], cont_names=["x"], y_names="y"), layers=[4])
    for asked in ({"k": "a", "x": x}, pd.DataFrame([{"k": "a", "x": x}])):
        with pytest.raises(ValueError, match=message):
            learn.predict(asked)


def test_a_single_class_is_refused():
    df = make()
    dls = TabularDataLoaders.from_df(df.assign(y="only"), cat_names=["k"], cont_names=["x"], y_names="y")
    with pytest.raises(ValueError, match="the target 'y' has a single class in the training rows, 'only'"):
        tabular_learner(dls)


def test_predictions_and_targets_can_be_subtracted(df):
    "(n,1) minus (n,) would be (n,n), without a word."
    dls = TabularDataLoaders.from_df(df, procs=[Categorify, FillMissing, Normalize], cat_names="k", cont_names=["x", "z"], y_names="price",
                                     device="cpu")
    learn = tabular_learner(dls, layers=[8])
    preds, targs = learn.get_preds()
    assert preds.shape == targs.shape == (len(dls.valid_ds), 1)
    loss = learn.validate()[0]
    assert ((preds - targs) ** 2).mean().item() == pytest.approx(loss, rel=1e-5)
    assert learn.get_preds(with_input=True, with_loss=True)[2].shape == (len(dls.valid_ds), 1)


@pytest.mark.parametrize("y_range", [[0, 30], torch.tensor([0, 30.0]), np.array([0, 30])], ids=["list", "tensor", "array"])
def test_a_loss_of_torch_and_any_pair_as_range(priced, y_range):
    dls = TabularDataLoaders.from_df(priced, cat_names=["k"], cont_names=["x"], y_names="price", bs=32)
    assert dls.one_batch()[2].shape == (32, 1)
    learn = tabular_learner(dls, layers=[5], y_range=y_range, loss_func=F.mse_loss, metrics=lambda p, y: ((p - y) ** 2).mean())
    learn.fit(1)
    assert learn.recorder.values[-1][1] == pytest.approx(learn.recorder.values[-1][2], rel=1e-5)
    with pytest.raises(ValueError, match=r"y_range takes \(low, high\), low < high; received"):
        tabular_learner(dls, y_range=y_range[:1])


def test_validate_on_new_rows(prices, classes, priced):
    loss = classes.validate(dl=classes.dls.test_dl(priced))
    assert len(loss) == 2 and all(np.isfinite(loss))
    with pytest.raises(ValueError, match=r"validate\(\) needs targets, and this loader has none: .*with_labels=True"):
        classes.validate(dl=classes.dls.test_dl(priced, with_labels=False))
    preds, targs = prices.get_preds(dl=prices.dls.test_dl(priced))
    assert np.allclose(targs.squeeze(), priced["price"]) and preds.shape == targs.shape
