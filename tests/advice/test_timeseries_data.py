"What the messages about the data of `minifast.timeseries` say to write."
import numpy as np
import pandas as pd
import torch
from suggestions import told

from minifast.timeseries.all import *

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 2, 5)).astype(np.float32)
Y = list("ab" * 6)
LONG = pd.DataFrame([(f"s{i}", t, float(i + t), "ab"[i % 2]) for i in range(10) for t in range(4)], columns=["id", "t", "v", "label"])
NET = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(10, 4))


def arrays(x=X, y=Y, **options):
    return TSDataLoaders.from_array(x, y, **{"bs": 4} | options)


def long(df=LONG, **options):
    return TSDataLoaders.from_df(df, **{"value_cols": ["v"], "label_col": "label", "id_col": "id", "time_col": "t", "bs": 4} | options)


# -- arrays
def test_a_table_and_turned_axes():
    df = pd.DataFrame(X[:, 0]).assign(y=Y)
    with told("timeseries/layout.py", "write TSDataLoaders.from_df(df, ...), or give its numbers, X.to_numpy()"):
        arrays(df)
    TSDataLoaders.from_df(df, label_col="y", bs=4)
    arrays(df.drop(columns="y").to_numpy())
    turned = np.ones((12, 80, 3))
    with told("timeseries/layout.py", "write X.transpose(0, 2, 1)"):
        arrays(turned)
    assert arrays(turned.transpose(0, 2, 1)).one_batch()[0].shape == (4, 3, 80)


def test_whole_numbers_as_floats():
    y = 1.0 + np.arange(12) % 2
    with told("timeseries/loaders.py", "write y_block=RegressionBlock; y.astype(int) says"):
        arrays(y=y)
    assert arrays(y=y, y_block=RegressionBlock).one_batch()[1].dtype == torch.float32 and arrays(y=y.astype(int)).c == 2


def test_names_that_are_taken():
    table = pd.DataFrame({"target": range(12)})
    with told("timeseries/loaders.py", "table.rename(columns={…: 'other name'})"):
        arrays(table=table)
    arrays(table=table.rename(columns={"target": "other name"}))


def test_missing_values():
    x = X.copy()
    x[3, 1, 2] = np.nan
    with told("timeseries/missing.py", "Say how to fill them when loaders are made, fill=FillSteps('linear')"):
        arrays(x)
    arrays(x, fill=FillSteps('linear'))
    with told("timeseries/reading.py", "write fill=FillSteps('linear')"):
        arrays(x, fill="linear")
    x[3, 1, 2] = np.inf
    with told("timeseries/missing.py", "Make them missing, x[~np.isfinite(x)] = np.nan"):
        arrays(x, fill=FillSteps('linear'))
    x[~np.isfinite(x)] = np.nan
    arrays(x, fill=FillSteps('linear'))
    x[3, 1] = np.nan
    with told("timeseries/missing.py", "say what these are filled with, FillSteps(…, empty=0)"):
        arrays(x, fill=FillSteps('linear'))
    arrays(x, fill=FillSteps('linear', empty=0))
    x = X.copy()
    x[3, :, 3:] = np.nan
    with told("timeseries/missing.py", "write X = trim_padding(X)"):
        arrays(x)
    x = trim_padding(x)
    assert series_shape(arrays(x)).shortest == 3


def test_statistics():
    with told("timeseries/standardise.py", "measures each series by itself: leave out"):
        TSStandardize(by_sample=True, mean=0, std=1)
    TSStandardize(by_sample=True)

    def loaders(block):
        return DataBlock(blocks=(block, CategoryBlock), get_x=lambda o: torch.tensor(X[o]), get_y=lambda o: Y[o],
                         batch_tfms=TSStandardize()).dataloaders(range(12), bs=4)
    with told("timeseries/standardise.py", "found none there: make them with TSBlock"):
        loaders(TransformBlock)
    loaders(TSBlock)


# -- tables
def test_long_tables():
    df = LONG.copy()
    df.loc[:1, "id"] = None
    with told("timeseries/frames.py", "leave them out, df.dropna(subset=[…])"):
        long(df)
    long(df.dropna(subset=["id"]), fill=FillSteps())
    df = pd.concat([LONG, LONG[:2]])
    with told("timeseries/frames.py", "or leave them out, df.drop_duplicates([…, …])"):
        long(df)
    long(df.drop_duplicates(["id", "t"]))
    long(resample(df, freq=1, time="t", by="id").assign(label="a"), vocab=["a", "b"])
    df = LONG.drop(index=[1, 2])
    with told("timeseries/frames.py", "Say how to fill them, fill=FillSteps('linear')"):
        long(df)
    long(df, fill=FillSteps('linear'))
    with told("timeseries/frames.py", "say which series it belongs to, id_col="):
        long(id_col=None)
    long(id_col="id")
    df = LONG.assign(v=LONG["v"].map(str))
    with told("timeseries/frames.py", "df[column] = pd.to_numeric(df[column], errors='coerce')"):
        long(df)
    for column in ["v"]:
        df[column] = pd.to_numeric(df[column], errors='coerce')
    long(df)
    wide = pd.DataFrame(X[:, 0], columns=list("abcde")).assign(y=Y, note="x")
    with told("timeseries/frames.py", "say which columns hold the values, value_cols=[...]"):
        TSDataLoaders.from_df(wide, label_col="y")
    dls = TSDataLoaders.from_df(wide, value_cols=[*"abcde"], label_col="y", bs=4)
    learn = Learner(dls, torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(5, 2)))
    df = wide.drop(columns="y")
    with told("timeseries/reading.py", "write dls.test_dl(df)"):
        learn.predict(df)
    learn.get_preds(dl=dls.test_dl(df))


def test_covariates():
    table = pd.DataFrame({"site": [1, 2, 3] * 4, "age": range(12)})
    with told("timeseries/covariates.py", "when they are made, cat_names=[...], cont_names=[...]"):
        covariate_sizes(arrays(table=table))
    dls = arrays(table=table, cat_names=["site"], cont_names=["age"])
    model = WithCovariates(NET, 4, 2, *covariate_sizes(dls))
    learn = Learner(dls, model)
    with told("timeseries/covariates.py", "dls.test_dl((X, table)), learn.predict((x, row))"):
        learn.predict(X[0])
    learn.get_preds(dl=dls.test_dl((X, table)))
    learn.predict((X[0], table.iloc[0]))
    with told("timeseries/covariates.py", "make loaders with as many, cat_names=, cont_names="):
        model(torch.zeros(1, 2, 5))
    model(*arrays(table=table, cat_names=["site"], cont_names=["age"]).to(next(model.parameters()).device).one_batch()[:3])
