"""Six rows that can be looked at, and a small table with a class and a price to predict, with learners trained on each."""
import numpy as np
import pandas as pd
import pytest
import torch

from minifast.metrics.functions import accuracy, rmse
from minifast.tabular.frames import TabularPandas
from minifast.tabular.learner import tabular_learner
from minifast.tabular.loaders import TabularDataLoaders
from minifast.tabular.procs import Categorify, FillMissing, Normalize


@pytest.fixture
def df():
    "Six homes: a missing size, an index with a value twice."
    return pd.DataFrame({"city": ["Rome", "Oslo", "Rome", "Bonn", "Oslo", "Oslo"], "size": [1.0, 2.0, np.nan, 4.0, 5.0, 6.0],
                         "rooms": [1, 2, 3, 4, 5, 6], "y": ["no", "yes", "no", "yes", "no", "no"], "price": [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]},
                        index=[10, 20, 30, 30, 40, 50])


@pytest.fixture
def to(df):
    "The six homes, two of them for validation."
    return TabularPandas(df, [Normalize, Categorify, FillMissing], ["city"], ["size", "rooms"], "y", splits=([0, 2, 3, 5], [4, 1]))


@pytest.fixture(scope="session")
def priced():
    rng = np.random.default_rng(0)
    n = 600
    df = pd.DataFrame({"k": rng.choice(["a", "b", "c"], n), "x": rng.normal(size=n), "noise": rng.normal(size=n),
                       "other": rng.choice(["u", "v"], n)})
    df["price"] = 2 * df["x"] + df["k"].map({"a": 0, "b": 3, "c": 6}) + 5
    df["y"] = np.where(df["price"] > 8, "high", "low")
    df.loc[::20, "noise"] = np.nan
    return df


def trained_on(df, y, **kwargs):
    torch.manual_seed(0)
    dls = TabularDataLoaders.from_df(df, cat_names=["k", "other"], cont_names=["x", "noise"], y_names=y, bs=32)
    learn = tabular_learner(dls, layers=[30], **kwargs)
    learn.fit_one_cycle(6, 3e-2)
    return learn


@pytest.fixture(scope="session")
def trained():
    return trained_on


@pytest.fixture(scope="session")
def classes(priced):
    return trained_on(priced, "y", metrics=accuracy)


@pytest.fixture(scope="session")
def prices(priced):
    return trained_on(priced, "price", metrics=rmse)
