"""Set-ups for time series: waves whose frequency is the class, sensors, and a shop's sales."""
import numpy as np
import zoo_data  # noqa: F401  the others come first in the page of checks, whichever test imports this
import zoo_healthy  # noqa: F401
import zoo_learners  # noqa: F401
import zoo_rest  # noqa: F401
import zoo_texts  # noqa: F401
from zoo import Model, broken, healthy, trained


def waves(n=160, channels=2, steps=40, shortest=None, seed=0):
    "Noisy waves of two frequencies, by turns: a list of series (channels, steps) and their classes."
    r = np.random.default_rng(seed)
    lengths = r.integers(shortest, steps + 1, n) if shortest else np.full(n, steps)
    x = [(np.sin(2 * np.pi * ((2.5 + 1.5 * (i % 2)) * np.arange(t) / steps + r.random((channels, 1)))) + r.normal(0, 0.4, (channels, t))
          ).astype(np.float32) for i, t in enumerate(lengths)]
    return x, np.array(["slow", "fast"])[np.arange(n) % 2]


def series_loaders(x, y, n_train=None, **kw):
    from minifast.timeseries.all import TSDataLoaders
    n_train = 3 * len(x) // 4 if n_train is None else n_train
    return TSDataLoaders.from_array(x, y, splits=kw.pop("splits", (range(n_train), range(n_train, len(x)))), **{"bs": 32, **kw})


def sales(days=200, shops=("north", "south"), seed=0):
    "A long frame of daily sales with a weekly pattern: shop, day, promotion, sold."
    import pandas as pd
    r = np.random.default_rng(seed)
    parts = []
    for k, shop in enumerate(shops):
        day = pd.date_range("2024-01-01", periods=days)
        promo = (r.random(days) < 0.2).astype(float)
        week = 20 * np.sin(2 * np.pi * np.arange(days) / 7)
        parts.append(pd.DataFrame({"shop": shop, "day": day, "promo": promo,
                                   "sold": 100 + 30 * k + week + 15 * promo + r.normal(0, 5, days).cumsum() * 0.3 + r.normal(0, 4, days)}))
    return pd.concat(parts, ignore_index=True)


def windows(df=None, window=21, horizon=7, **kw):
    from minifast.timeseries.all import SlidingWindows
    return SlidingWindows(sales() if df is None else df, window, horizon, **{"by": "shop", "time": "day", "target": "sold", **kw})


def window_loaders(w=None, **kw):
    from minifast.timeseries.all import TSDataLoaders
    return TSDataLoaders.from_windows(windows() if w is None else w, **{"bs": 32, **kw})


def by_hand(w, train, valid):
    "Loaders of windows that were split by hand."
    from minifast.data.loaders import DataLoaders
    from minifast.timeseries.window_loader import WindowDL
    from minifast.timeseries.window_set import WindowSet
    return DataLoaders.from_dsets(WindowSet(w, train, 0), WindowSet(w, valid, 1), dl_type=WindowDL, bs=32)


# -- data ---------------------------------------------------------------------------------------------------------------------------
@broken("windows that were cut before they were split at random", "MF851")
def _():
    r = np.random.default_rng(0)
    long = np.sin(np.arange(900) / 5) + r.normal(0, 0.3, 900)
    x = np.stack([long[i:i + 40] for i in range(0, 860, 5)])
    order = r.permutation(len(x))
    return series_loaders(x, (np.arange(len(x)) // 20) % 2, splits=(order[:130], order[130:]))


@broken("series that stand in both splits", "MF852")
def _():
    x, y = waves()
    return series_loaders([*x, *x[:20]], [*y, *y[:20]], n_train=150)


@broken("series that stand in both splits, in other units", "MF852", "tip")
def _():
    x, y = waves()
    return series_loaders([*x, *(3 * a - 5 for a in x[:20])], [*y, *y[:20]], n_train=150, batch_tfms=standardised())


@broken("a sensor that was off in training", "MF853")
def _():
    x, y = waves(channels=3)
    for a in x[:120]:
        a[1] = 0
    return series_loaders(x, y)


@broken("channels of other units, standardised together", "MF854")
def _():
    from minifast.timeseries.all import TSStandardize
    x, y = waves()
    return series_loaders([a * np.array([[5000], [1]], np.float32) for a in x], y, batch_tfms=TSStandardize(by_var=False))


@broken("forecasts that are validated on the past", "MF855")
def _():
    w = windows()
    first, later = (np.flatnonzero((w.starts % 200 < 60) == early) for early in (True, False))
    return by_hand(w, later[w.starts[later] % 200 >= 95], first)


@broken("most rows beside a gap", "MF856")
def _():
    df = sales()
    return window_loaders(windows(df[(np.arange(len(df)) % 200 > 130) | (np.arange(len(df)) % 20 > 0)], gaps="split"), history=True)


@broken("the target as a known covariate", "MF857")
def _():
    df = sales()
    return window_loaders(windows(df.assign(orders=2 * df.sold + np.random.default_rng(0).normal(0, 0.5, len(df))),
                                  known=["promo", "orders"]))


@broken("the class of a window as one of its channels", "MF857")
def _():
    df = sales().assign(open=lambda d: (np.arange(len(d)) // 40) % 2)
    from minifast.timeseries.all import SlidingWindows
    w = SlidingWindows(df.assign(shift=df.open * 8), 10, by="shop", time="day", label="open", past=["sold", "shift"])
    return window_loaders(w, batch_tfms=standardised())


@broken("a length for each class", "MF858")
def _():
    x, y = waves()
    return series_loaders([a[:, :30 + (i // 2) % 5 if label == "slow" else 36 + (i // 2) % 5] for i, (a, label) in
                           enumerate(zip(x, y, strict=True))], y)


@broken("values that are missing in one class alone", "MF858")
def _():
    from minifast.timeseries.all import FillSteps
    x, y = waves()
    for i in range(0, len(x), 2):
        x[i][0, 5 + i % 7] = np.nan
    return series_loaders(x, y, fill=FillSteps())


@broken("series that max_len= cuts to a quarter", "MF859")
def _():
    x, y = waves(shortest=30)
    return series_loaders(x, y, max_len=10)


@broken("shorter series that end in zeros", "MF859", "tip")
def _():
    x, y = waves(shortest=20)
    return series_loaders(np.stack([np.pad(a, ((0, 0), (0, 40 - a.shape[1]))) for a in x]), y)


@broken("shuffled labels of series", "MF815", "tip")
def _():
    x, y = waves()
    return series_loaders(x, np.random.default_rng(1).permutation(y))


# -- learners -----------------------------------------------------------------------------------------------------------------------
def standardised():
    from minifast.timeseries.all import TSStandardize
    return TSStandardize()


def mean_of_all(dls, value=0.0):
    "Convolutions, and their mean over all steps, padding included, which is read as `value`."
    import torch
    from torch import nn

    from minifast.learner.learner import Learner
    torch.manual_seed(0)
    model = Model(lambda s, x: s.head(s.conv(x.nan_to_num(value)).relu().mean(2)), conv=nn.Conv1d(2, 16, 5, padding=2),
                  head=nn.Linear(16, 2))
    return Learner(dls, model)


@broken("a MiniRocket that was not fitted", "MF101", fast=True)
def _():
    x, y = waves()
    return small(series_loaders(x, y), "MiniRocket", n_features=336)


@broken("a model that takes padding for values", "MF602", fast=True)
def _():
    x, y = waves(shortest=12)
    return mean_of_all(series_loaders(x, y))


@broken("a forecaster that cannot follow a trend", "MF504", fast=True)
def _():
    import torch

    from minifast.timeseries.all import TCN, ts_forecaster
    torch.manual_seed(0)
    return trained(ts_forecaster(window_loaders(windows(walks())), TCN, by_window=False), 6)


def walks(days=400, shops=("north", "south")):
    "Sales that wander off."
    r, df = np.random.default_rng(3), sales(days, shops)
    return df.assign(sold=np.concatenate([1000 + 5 * np.arange(days) + r.normal(0, 3, days).cumsum() for _ in shops]))


def small(dls, arch="FCN", **kw):
    "A small model of series."
    import torch

    import minifast.timeseries.all as ts
    torch.manual_seed(0)
    return ts.ts_learner(dls, getattr(ts, arch), **kw)


@healthy("FCN of series of several lengths", fast=True)
def _():
    x, y = waves(shortest=20)
    return small(series_loaders(x, y), layers=(16, 32, 16))


@healthy("InceptionTime", fast=True)
def _():
    x, y = waves()
    return small(series_loaders(x, y, batch_tfms=standardised()), "InceptionTime", depth=3, n_filters=8)


@healthy("MiniRocket of series of several lengths", fast=True)
def _():
    from minifast.timeseries.all import mini_rocket_learner
    x, y = waves(shortest=20)
    return mini_rocket_learner(series_loaders(x, y), n_features=336, seed=0)


@healthy("DLinear that forecasts sales of several shops", fast=True)
def _():
    import torch

    from minifast.timeseries.all import ts_forecaster
    torch.manual_seed(0)
    return ts_forecaster(window_loaders(windows(known="promo")))


@healthy("quantiles of sales", fast=True)
def _():
    import torch

    from minifast.timeseries.all import ts_forecaster
    torch.manual_seed(0)
    return ts_forecaster(window_loaders(windows()), quantiles=(0.1, 0.5, 0.9))
