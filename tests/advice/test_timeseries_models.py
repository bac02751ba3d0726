"What the messages about the models of series, their learners and files say to write."
import numpy as np
import pandas as pd
import torch
from suggestions import told

from minifast.timeseries.all import *

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 2, 20)).astype(np.float32)
Y = list("ab" * 6)
LONG = pd.DataFrame([(f"s{i}", t, float(i + t), "ab"[i % 2]) for i in range(10) for t in range(9)], columns=["id", "t", "v", "label"])


def arrays(x=X, y=Y, **options):
    return TSDataLoaders.from_array(x, y, **{"bs": 4} | options)


def forecasts(window=3, horizon=1):
    rows = LONG[LONG["id"] == "s0"]
    return TSDataLoaders.from_windows(SlidingWindows(rows, window, horizon, time="t", target="v"), n_valid=2, history=True, bs=2)


def tiny(dls, **options):
    return ts_learner(dls, FCN, **{"layers": [4], "kernel_sizes": [3]} | options)


# -- learners
def test_what_ts_learner_takes():
    dls, model = arrays(), torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(40, 2))
    with told("timeseries/learner.py", "For a model of your own write Learner(dls, model)"):
        ts_learner(dls, model)
    Learner(dls, model).validate()
    dls = forecasts()
    with told("timeseries/learner.py", "write ts_forecaster(dls…), which knows their scale"):
        ts_learner(dls, TCN)
    ts_forecaster(dls, TCN).validate()
    with told("timeseries/learner.py", "write ts_forecaster(dls…), which knows their scale"):
        mini_rocket_learner(dls)
    ts_forecaster(dls).validate()
    dls = DataBlock(blocks=(TSBlock, TransformBlock), get_x=lambda o: torch.tensor(X[o]),
                    get_y=lambda o: torch.tensor([o / 12])).dataloaders(range(12), bs=4)
    with told("timeseries/learner.py", "pass n_out=, the number of classes or of numbers to predict"):
        tiny(dls)
    tiny(dls, n_out=1, loss_func=MSELossFlat()).validate()


def test_augmented_predictions():
    learn = tiny(arrays())
    with told("timeseries/loader.py", "Add some, such as `batch_tfms=series_transforms()`, or use get_preds()"):
        learn.tta()
    learn.get_preds()
    tiny(arrays(batch_tfms=series_transforms())).tta(n=1)


def test_a_ridge_head():
    dls = arrays()
    with told("timeseries/rocket_learner.py", "write mini_rocket_learner(dls)"):
        fit_ridge(tiny(dls))
    mini_rocket_learner(dls, n_features=84)
    with told("timeseries/rocket_learner.py", "numbers (MSELossFlat), and loss_func=…: pass one of these"):
        mini_rocket_learner(dls, n_features=84, loss_func=torch.nn.NLLLoss())
    for loss_func, y in (CrossEntropyLossFlat(), Y), (BCEWithLogitsLossFlat(), [["a"], ["b", "a"], []] * 4), (MSELossFlat(), X[:, 0, 0]):
        mini_rocket_learner(arrays(y=y), n_features=84, loss_func=loss_func)
    y = np.arange(12) / 12
    with told("timeseries/rocket_learner.py", "Make the loaders with targets, TSDataLoaders.from_array(X, y)"):
        mini_rocket_learner(arrays(y=None), n_features=84, n_out=1, loss_func=MSELossFlat())
    mini_rocket_learner(TSDataLoaders.from_array(X, y), n_features=84)


# -- models
def test_settings_of_models():
    dls = arrays()
    with told("timeseries/models/fcn.py", "give one kernel size for each layer"):
        ts_learner(dls, FCN, layers=[4, 4], kernel_sizes=[3])
    ts_learner(dls, FCN, layers=[4, 4], kernel_sizes=[3, 3]).validate()
    with told("timeseries/models/mini_rocket.py", "write n_features=… or more"):
        mini_rocket_learner(dls, n_features=50)
    mini_rocket_learner(dls, n_features=84)
    x = torch.tensor(X)
    features = MiniRocketFeatures(2, 20, n_features=84)
    with told("timeseries/models/mini_rocket.py", "call fit(training series) first, or make a learner with mini_rocket_learner(dls)"):
        features(x)
    assert features.fit(x)(x).shape == (12, 84)
    assert mini_rocket_learner(dls, n_features=84).model.features(x).shape == (12, 84)


def test_lengths_of_models():
    small = {"d_model": 8, "n_heads": 2, "n_layers": 1, "d_ff": 8}
    with told("timeseries/models/series_model.py", "write …(…, …, seq_len=...), the steps of the longest series"):
        TSTransformer(2, 3, **small)
    model = TSTransformer(2, 3, seq_len=5, **small)
    model(torch.zeros(1, 2, 5))
    with told("timeseries/models/series_model.py",
              "Make it with seq_len=…, or take a model that reads series of any length, such as InceptionTime"):
        model(torch.zeros(1, 2, 9))
    TSTransformer(2, 3, seq_len=9, **small)(torch.zeros(1, 2, 9))
    InceptionTime(2, 3)(torch.zeros(1, 2, 9))
    dls = arrays(X[:, :, :9])
    with told("timeseries/models/patch_tst.py", ", or make the patches shorter, patch_len="):
        ts_learner(dls, PatchTST, **small)
    ts_learner(dls, PatchTST, patch_len=9, **small).validate()


def test_a_season_is_no_longer_than_a_window():
    def forecaster(window, season):
        return ts_forecaster(forecasts(window), SeasonalNaive, config={"season": season})
    with told("timeseries/models/naive.py", "write a smaller season=, or a larger window="):
        forecaster(window=3, season=4)
    forecaster(window=3, season=3)
    forecaster(window=4, season=4)


# -- tables and files
def test_targets_of_arrays_for_loaders_of_tables():
    dls = TSDataLoaders.from_df(LONG, value_cols=["v"], label_col="label", id_col="id", time_col="t", bs=4)
    x = np.ones((4, 1, 9))
    with told("timeseries/columns.py", "write dls.test_dl((X, …), with_labels=True) with an array (samples, channels, steps)",
              ", or dls.test_dl(X) without them"):
        dls.test_dl(x, with_labels=True).one_batch()
    table = pd.DataFrame({"label": list("abba")})
    assert len(dls.test_dl((x, table), with_labels=True).one_batch()) == 2
    assert len(dls.test_dl(x).one_batch()) == 1


def test_infinite_covariates():
    df = pd.DataFrame({"age": [1.0, np.inf] * 6})
    with told("timeseries/covariates.py", "make them missing, which stands for the mean, df.replace([np.inf, -np.inf], np.nan)"):
        arrays(table=df, cont_names=["age"])
    arrays(table=df.replace([np.inf, -np.inf], np.nan), cont_names=["age"])


def test_files(tmp_path):
    file = tmp_path / "a.ts"
    file.write_text("@timeStamps true\n@classLabel false\n@data\n(0,1.5),(1,2.5)\n")
    with told("timeseries/ts_files.py",
              "make a table of them with the columns id, time and value, TSDataLoaders.from_df(df, id_col='id', time_col='time')"):
        TSDataLoaders.from_ts_file(file)
    df = pd.DataFrame([(i, t, i + t) for i in range(8) for t in range(3)], columns=["id", "time", "value"])
    TSDataLoaders.from_df(df, id_col='id', time_col='time', bs=2)
    file = tmp_path / "a.csv"
    pd.DataFrame(X[:, 0]).assign(y=Y).to_csv(file, index=False)
    with told("timeseries/ts_files.py", "Of a table write TSDataLoaders.from_df(pd.read_csv(file), ...)"):
        TSDataLoaders.from_ts_file(file)
    TSDataLoaders.from_df(pd.read_csv(file), label_col="y", bs=4)


def test_features_take_tensors():
    features = MiniRocketFeatures(2, 20, n_features=84)
    with told("timeseries/models/mini_rocket.py", "write torch.from_numpy(x)"):
        features.fit(X)
    features.fit(torch.from_numpy(X))
    with told("timeseries/models/mini_rocket.py", "write torch.from_numpy(x)"):
        features(X)
    assert features(torch.from_numpy(X)).shape == (12, 84)
