"What the messages about forecasts of series, their losses and metrics say to write."
import numpy as np
import pandas as pd
import torch
from suggestions import told

from minifast.timeseries.all import *

DAYS = pd.date_range("2024-01-01", periods=24)
DF = pd.DataFrame([(s, d, float(i * (i % 3)), i % 2, 1.0 * i) for s in "ab" for i, d in enumerate(DAYS)],
                  columns=["shop", "day", "sales", "promo", "visitors"])
NEXT = pd.date_range(DAYS[-1], periods=9, inclusive="right")
FUTURE = pd.DataFrame([(s, d, 1) for s in "ab" for d in NEXT], columns=["shop", "day", "promo"])


def windows(df=DF, window=4, horizon=2, **options):
    return SlidingWindows(df, window, horizon, **{"by": "shop", "time": "day", "target": "sales"} | options)


def loaders(df=DF, window=4, horizon=2, batch_tfms=None, **options):
    made = windows(df, window, horizon, **options)
    return TSDataLoaders.from_windows(made, n_valid=3, history=True, bs=8, batch_tfms=batch_tfms)


def forecaster(*args, arch=DLinear, quantiles=None, config=None, metrics=None, **options):
    return ts_forecaster(loaders(*args, **options), arch, quantiles, config, metrics=metrics)


# -- what to forecast
def test_how_many_steps():
    learn = forecaster(past="visitors")
    with told("timeseries/forecasting/learner.py", "Write forecast(…), or train with SlidingWindows(horizon=…)"):
        learn.forecast(3)
    learn.forecast(2)
    assert len(forecaster(horizon=3, past="visitors").forecast(3)) == 6
    learn = forecaster(quantiles=(0.1, 0.5, 0.9))
    with told("timeseries/forecasting/learner.py", "Write forecast(…), or train with SlidingWindows(horizon=…)"):
        learn.forecast(3)
    learn.forecast(2)
    forecaster(horizon=3, quantiles=(0.1, 0.5, 0.9)).forecast(3)


def test_rows_up_to_now(tmp_path):
    learn = forecaster()
    expected = learn.forecast()
    learn.export(tmp_path / "a.mf")
    loaded = load_learner(tmp_path / "a.mf")
    with told("timeseries/forecasting/learner.py", "write learn.forecast(df=df), with the rows up to now"):
        loaded.forecast()
    pd.testing.assert_frame_equal(loaded.forecast(df=DF), expected)
    gap = DF.drop(index=[22, 46])
    with told("timeseries/forecasting/future.py", ". Give more rows, or fill gaps, SlidingWindows(..., gaps='forward')"):
        forecaster(gaps="split").forecast(df=gap)
    forecaster(gaps="split").forecast(df=pd.concat([gap, gap[gap["day"] == DAYS[23]].assign(day=DAYS[22])]))
    forecaster(gaps='forward').forecast(df=gap)


# -- known columns
def test_known_columns():
    learn, future = forecaster(), FUTURE
    with told("timeseries/forecasting/learner.py", "leave it out, or make them with SlidingWindows(known=...)"):
        learn.forecast(known=future)
    learn.forecast()
    learn = forecaster(known="promo")
    learn.forecast(known=future)
    with told("timeseries/forecasting/future.py", "write learn.forecast(…, known=future), a frame with …"):
        learn.forecast()
    learn.forecast(2, known=future[["shop", "day", "promo"]])
    known = pd.concat([FUTURE, FUTURE[:2]])
    with told("timeseries/forecasting/future.py", "leave one row per series and time, known.drop_duplicates(...)"):
        learn.forecast(known=known)
    learn.forecast(known=known.drop_duplicates(["shop", "day"]))


def test_clocks_of_known_columns():
    zone = "Europe/Berlin"
    plain, zoned = (forecaster(df, known="promo") for df in (DF, DF.assign(day=DF["day"].dt.tz_localize(zone))))
    known = FUTURE.assign(day=FUTURE["day"].dt.tz_localize(zone))
    with told("timeseries/forecasting/future.py", "write known[…] = pd.to_datetime(known[…]).dt.…"):
        plain.forecast(known=known)
    known['day'] = pd.to_datetime(known['day']).dt.tz_localize(None)
    plain.forecast(known=known)
    with told("timeseries/forecasting/future.py", "write known[…] = pd.to_datetime(known[…]).dt.…"):
        zoned.forecast(known=known)
    known['day'] = pd.to_datetime(known['day']).dt.tz_localize('Europe/Berlin')
    zoned.forecast(known=known)


# -- learners
def test_what_ts_forecaster_takes():
    df, window, horizon = DF[DF["shop"] == "a"], 4, 2
    arrays = TSDataLoaders.from_array(np.ones((8, 1, 5)), [0, 1] * 4, bs=4)
    with told("timeseries/forecasting/learner.py",
              "Write TSDataLoaders.from_windows(SlidingWindows(df, window, horizon, time=..., target=...))"):
        ts_forecaster(arrays)
    with told("timeseries/forecasting/learner.py",
              "Write TSDataLoaders.from_windows(SlidingWindows(df, window, horizon, time=..., target=...))"):
        ts_forecaster(TSDataLoaders.from_windows(SlidingWindows(df, window, time="day", past="sales", label="promo", labelling="last")))
    ts_forecaster(TSDataLoaders.from_windows(SlidingWindows(df, window, horizon, time="day", target="sales"), history=True))
    with told("timeseries/forecasting/learner.py", "leave it out of batch_tfms="):
        forecaster(batch_tfms=[TSStandardize(), Jitter()])
    forecaster(batch_tfms=[Jitter()])
    with told("timeseries/forecasting/learner.py", "write another one, such as arch=TCN"):
        forecaster(arch=MiniRocket)
    forecaster(arch=TCN).validate()


def test_windows_of_patches():
    small = {"d_model": 8, "n_heads": 2, "n_layers": 1, "d_ff": 8}
    with told("timeseries/forecasting/learner.py", "write SlidingWindows(window=…)"):
        forecaster(window=8, arch=PatchTST, config=small)
    forecaster(window=16, arch=PatchTST, config=small).validate()
    with told("timeseries/models/patch_tst.py", ", or make the patches shorter, patch_len="):
        forecaster(window=4, arch=PatchTST, config=small | {"patch_len": 5})
    forecaster(window=4, arch=PatchTST, config=small | {"patch_len": 4}).validate()


def test_losses_of_quantiles():
    quantiles, y = (0.1, 0.5, 0.9), torch.zeros(4, 1, 2)
    forecasts = torch.ones(4, 1, 2, 3)
    with told("timeseries/forecasting/loss.py", ". For quantiles write PinballLoss(quantiles)"):
        ForecastLoss()(forecasts, y)
    PinballLoss(quantiles)(forecasts, y)


# -- metrics
def test_mase_of_forecasts():
    history = torch.stack([torch.arange(8.0), torch.ones(8)])[:, None]
    pred, target = torch.zeros(2, 1, 3), torch.ones(2, 1, 3)
    with told("metrics/forecasting.py", "Leave such series out, or measure mae"):
        mase(pred, target, history)
    mase(pred[:1], target[:1], history[:1])
    mae(pred, target)
    season, X = 2, np.arange(96.0).reshape(12, 1, 8)
    dls = TSDataLoaders.from_array(X[:, :, :6], X[:, 0, 6:], bs=4)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 2))
    learn = Learner(dls, net, metrics=MASE())
    with told("metrics/forecasting.py",
              "TSDataLoaders.from_windows(windows). Of other forecasts write mase(pred, target, history, season)"):
        learn.validate()
    x, target = dls.valid.one_batch()
    pred, history = net(x), x
    mase(pred[:, None], target[:, None], history, season)
    ts_forecaster(TSDataLoaders.from_windows(windows(), n_valid=3, history=True), metrics=MASE()).validate()


def test_mase_of_windows():
    ups = DF.assign(sales=DF["sales"].where(DF["shop"] == "a", range(48)))
    weekly = ups.assign(sales=np.tile([1.0, 2.0], 24))
    with told("metrics/forecasting.py", "Write a smaller season=, or metrics=[mae]"):
        forecaster(weekly, metrics=[MASE(season=2)]).validate()
    forecaster(weekly, metrics=[MASE(season=1)]).validate()
    forecaster(weekly, metrics=[mae]).validate()
    with told("metrics/forecasting.py", "Write a smaller season=, or metrics=[mae]"):
        forecaster(ups, metrics=[MASE(season=23)]).validate()
    forecaster(ups, metrics=[MASE(season=7)]).validate()
