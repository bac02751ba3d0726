"""`ts_forecaster` and `forecast`: original units, right times, known columns, export, and no look into the future."""
import numpy as np
import pandas as pd
import pytest
import torch

from minifast.timeseries.all import (
    FCN,
    MASE,
    TCN,
    DLinear,
    MSELossFlat,
    Naive,
    Predictor,
    SeasonalNaive,
    SlidingWindows,
    TSDataLoaders,
    TSStandardize,
    load_learner,
    mae,
    set_seed,
    smape,
    ts_forecaster,
)


def daily(n=60, names=("a", "b"), start="2024-01-01"):
    "A week's rhythm of another level for each series; `promo` is known, `visitors` are not."
    k, parts = np.arange(n), []
    for i, name in enumerate(names):
        promo = (k % 5 == 0).astype(float)
        parts.append(pd.DataFrame({"shop": name, "day": pd.date_range(start, periods=n), "promo": promo, "visitors": k % 3 + 1.0,
                                   "sales": 100.0 * (i + 1) + 10 * (k % 7) + 20 * promo}))
    return pd.concat(parts, ignore_index=True)


def loaders(df=None, window=14, horizon=7, n_valid=14, bs=16, **kwargs):
    "Loaders of windows of these series."
    windows = SlidingWindows(daily() if df is None else df, window, horizon, by="shop", time="day", target="sales", **kwargs)
    return TSDataLoaders.from_windows(windows, n_valid=n_valid, history=True, bs=bs)


def quietly(learn, epochs=1, lr=1e-2):
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, lr)
    return learn


def test_a_seasonal_forecast_of_a_season_is_exact_and_in_the_units_of_the_data():
    df = daily().drop(columns="promo").assign(sales=lambda d: d["sales"].round(-1) % 70 + 100)
    dls = loaders(df.assign(sales=np.tile(np.arange(60) % 7 * 10.0 + 300, 2)))
    learn = ts_forecaster(dls, SeasonalNaive, config={"season": 7}, metrics=[mae, smape])
    assert learn.validate() == pytest.approx([0, 0, 0], abs=1e-3)
    preds, targs = learn.get_preds()
    assert preds.shape == targs.shape == (16, 1, 7) and torch.allclose(preds, targs, rtol=1e-5)
    found = learn.forecast()
    assert list(found) == ["shop", "day", "sales"] and found["shop"].tolist() == ["a"] * 7 + ["b"] * 7
    assert found["day"].tolist() == 2 * pd.date_range("2024-03-01", periods=7).tolist()
    assert found["sales"].tolist() == pytest.approx(2 * [300 + 10 * ((60 + k) % 7) for k in range(7)], rel=1e-5)


@pytest.mark.parametrize("arch", [DLinear, TCN, FCN, Naive])
@pytest.mark.parametrize("more", [{}, {"known": "promo", "past": "visitors"}])
@pytest.mark.parametrize("quantiles", [None, (0.1, 0.5, 0.9)])
def test_every_architecture_trains_exports_and_forecasts_the_same(arch, more, quantiles, tmp_path):
    set_seed(1)
    learn = quietly(ts_forecaster(loaders(**more), arch, quantiles=quantiles, metrics=[MASE(7), smape]))
    assert all(np.isfinite(learn.validate()))
    known = daily(70) if more else None
    found = learn.forecast(known=known)
    assert found.shape == (14, 3 if quantiles is None else 5) and found.notna().all().all()
    if quantiles:
        assert list(found)[2:] == ["sales_0.1", "sales_0.5", "sales_0.9"]
    learn.export(tmp_path / "l.mf")
    loaded = load_learner(tmp_path / "l.mf")
    with pytest.raises(ValueError, match=r"without data: write learn\.forecast\(df=df\)"):
        loaded.forecast(known=known)
    mixed = daily().sample(frac=1, random_state=0).sort_values("shop", kind="stable")
    pd.testing.assert_frame_equal(loaded.forecast(df=mixed, known=known), found)


def test_the_scale_travels_with_the_export(tmp_path):
    learn = ts_forecaster(loaders())
    learn.export(tmp_path / "l.mf")
    own = load_learner(tmp_path / "l.mf").model.scale
    assert own.mean.equal(learn.model.scale.mean) and own.mean.item() > 100 and own.std.equal(learn.model.scale.std)


@pytest.mark.parametrize("future", [0, 1])
def test_no_leakage_a_future_of_noise_changes_nothing(future):
    "What comes after the cut is noise of another size: training, scale and divisor of MASE are the same to the bit."
    df = daily()
    late = df["day"] >= "2024-02-16"
    noise = np.random.default_rng(future).normal(1e4, 1e4, int(late.sum()))
    other = df.assign(sales=df["sales"].where(~late, 0))
    other.loc[late, "sales"] = noise
    weights, errors = [], []
    for data in (df, other):
        set_seed(0)
        dls = loaders(data)
        learn = quietly(ts_forecaster(dls), 2)
        weights.append(torch.cat([t.flatten() for t in learn.model.state_dict().values()]))
        errors.append(dls.valid.dataset.naive_errors(7, dls.train.dataset))
    assert weights[0].equal(weights[1]) and errors[0].equal(errors[1])


def test_noise_cannot_be_forecast_better_than_by_its_mean():
    "The error of a model that sees the future would be below that."
    rng = np.random.default_rng(0)
    df = pd.DataFrame({"day": range(400), "shop": "a", "sales": rng.normal(0, 1, 400)})
    dls = loaders(df, 8, 4, n_valid=120, bs=64)
    learn = quietly(ts_forecaster(dls, by_window=False, metrics=[mae]), 5)
    constant = np.abs(df["sales"][-120:]).mean()
    assert learn.validate()[1] > 0.95 * constant


def test_rows_of_validation_are_all_predicted():
    learn = ts_forecaster(loaders(bs=5), Naive)
    assert len(learn.get_preds()[0]) == 16 == sum(len(b[0]) for b in learn.dls.valid)


def test_known_columns_are_checked_for_reach_and_the_advice_works():
    learn = ts_forecaster(loaders(known="promo"))
    with pytest.raises(ValueError, match=r"'promo' are needed.*until 2024-03-07 00:00:00 for 'a': write learn\.forecast\(7, "
                                         r"known=future\), a frame with 'shop', 'day', 'promo'"):
        learn.forecast()
    future = daily(70)
    with pytest.raises(ValueError, match=r"do not reach .* in 1 of 2 series: 'b': the last needed is 2024-03-07 00:00:00, the last given "
                                         r"is 2024-03-04 00:00:00, the first missing 2024-03-05 00:00:00\. Add these rows"):
        learn.forecast(known=future[(future["shop"] == "a") | (future["day"] < "2024-03-05")])
    hole = future.assign(promo=future["promo"].where(future["day"] != "2024-03-03"))
    with pytest.raises(ValueError, match="the first missing 2024-03-03"):
        learn.forecast(known=hole)
    with pytest.raises(ValueError, match="with more than one row.*drop_duplicates"):
        learn.forecast(known=pd.concat([future, future]))
    assert len(learn.forecast(known=future.sample(frac=1))) == 14
    assert len(learn.forecast(3, known=future[future["day"] < "2024-03-04"])) == 6
    with pytest.raises(ValueError, match="no known columns: leave it out"):
        ts_forecaster(loaders()).forecast(known=future)


def test_what_is_known_moves_the_forecast():
    set_seed(0)
    promo = np.random.default_rng(0).integers(0, 2, 120)
    df = daily().assign(promo=promo, sales=np.tile(np.arange(60) % 7 * 10.0, 2) + 40 * promo)
    learn = quietly(ts_forecaster(loaders(df, known="promo")), 15, 3e-2)
    plain, promoted = (learn.forecast(known=daily(70).assign(promo=p))["sales"] for p in (0.0, 1.0))
    assert (promoted - plain).mean() > 10


def test_more_steps_than_trained_for_are_forecast_in_parts():
    dls = loaders(daily().assign(sales=np.tile(np.arange(60) % 7 * 10.0 + 300, 2)))
    learn = ts_forecaster(dls, SeasonalNaive, config={"season": 7})
    found = learn.forecast(20)
    assert len(found) == 40 and found["sales"][:20].tolist() == pytest.approx([300 + 10 * ((60 + k) % 7) for k in range(20)], rel=1e-5)
    assert found["day"].iloc[-1] == pd.Timestamp("2024-03-20")
    assert len(ts_forecaster(loaders(known="promo")).forecast(9, known=daily(70))) == 18
    assert len(ts_forecaster(loaders(window=4)).forecast(19)) == 38, "also where the horizon is longer than the window"
    for refused in (ts_forecaster(loaders(), quantiles=(0.1, 0.5, 0.9)), ts_forecaster(loaders(past="visitors"))):
        with pytest.raises(ValueError, match=r"forecasts 7 steps, .*Write forecast\(7\), or train with SlidingWindows\(horizon=8\)"):
            refused.forecast(8)
        assert len(refused.forecast(7)) == 14
    with pytest.raises(ValueError, match="horizon=0"):
        learn.forecast(0)


def test_times_of_the_forecast_follow_the_clock():
    times = pd.date_range("2024-03-27 00:00", periods=98, freq="h", tz="Europe/Berlin")         # to 2024-03-31 01:00, an hour before
    df = pd.DataFrame({"time": times.tz_localize(None), "v": np.arange(98) % 24 * 1.0})
    dls = TSDataLoaders.from_windows(SlidingWindows(df, 24, 3, target="v", tz="Europe/Berlin"), history=True)
    assert [str(t)[11:] for t in ts_forecaster(dls, Naive).forecast()["time"]] == ["03:00:00+02:00", "04:00:00+02:00", "05:00:00+02:00"]


def test_series_that_end_too_early_are_listed():
    df = pd.concat([daily(), daily(10, ["new"])])
    learn = ts_forecaster(loaders(daily()), Naive)
    with pytest.warns(UserWarning, match=r"1 of 3 series without 14 steps in a row at the end: 'new' \(until 2024-01-10 00:00:00\)\. They "
                                         "are left out"):
        assert set(learn.forecast(df=df)["shop"]) == {"a", "b"}
    gappy = loaders(daily().drop(index=[55, 115]), gaps="split")
    with pytest.raises(ValueError, match=r"2 of 2 series without 14 steps.*gaps='forward'"):
        ts_forecaster(gappy, Naive).forecast()
    assert len(ts_forecaster(loaders(daily().drop(index=[55, 115]), gaps="forward"), Naive).forecast()) == 14


def test_what_it_does_not_take():
    labels = daily().assign(kind=["x", "y"] * 60)
    w = SlidingWindows(labels, 5, by="shop", time="day", label="kind", past="sales", labelling="last")
    with pytest.raises(TypeError, match="have no horizon. Write TSDataLoaders.from_windows"):
        ts_forecaster(TSDataLoaders.from_windows(w))
    with pytest.raises(TypeError, match=r"takes the class, DLinear.*config="):
        ts_forecaster(loaders(), DLinear(1, 7, 14))
    with pytest.raises(ValueError, match="0.5 in the middle"):
        ts_forecaster(loaders(), quantiles=(0.1, 0.9))
    windows = loaders().train.dataset.windows
    with pytest.raises(ValueError, match=r"scale the series already \(TSStandardize\).*leave it out of batch_tfms="):
        ts_forecaster(TSDataLoaders.from_windows(windows, history=True, batch_tfms=TSStandardize()))


def test_loss_and_prediction_of_one_series(tmp_path):
    learn = ts_forecaster(loaders(), Naive, loss_func=MSELossFlat())
    assert learn.predict(daily(30, "a"))[0].tolist() == [[pytest.approx(daily(30)["sales"][29], rel=1e-5)] * 7]
    learn.export(tmp_path / "l.mf")
    assert Predictor(tmp_path / "l.mf").predict(daily(30, "a")).probs.shape == (1, 7)


def test_healthy_forecasts_give_no_alarm():
    assert "MF832" not in [i.code for i in loaders().check().issues]
    learn = quietly(ts_forecaster(loaders()))
    assert "MF107" not in [i.code for i in learn.check(fast=True).issues]


def test_metrics_of_quantiles_are_those_that_take_the_median():
    learn = ts_forecaster(loaders(), quantiles=(0.1, 0.5, 0.9), metrics=mae)
    with pytest.raises(ValueError, match=r"for quantiles of forecasts smape or MASE\(\), which take the median"):
        learn.validate()
    learn.metrics = [smape, MASE()]
    assert all(np.isfinite(learn.validate()))


def test_known_values_of_another_clock_or_without_end_are_refused():
    df = daily(30)
    learn = ts_forecaster(loaders(df, known="promo", n_valid=7))
    future = daily(37)
    zoned = future.assign(day=future["day"].dt.tz_localize("Asia/Tokyo"))
    with pytest.raises(ValueError, match=r"have the zone Asia/Tokyo, those of the series none.*dt.tz_localize\(None\)"):
        learn.forecast(known=zoned)
    zoned["day"] = pd.to_datetime(zoned["day"]).dt.tz_localize(None)
    assert learn.forecast(known=zoned).equals(learn.forecast(known=future))
    with pytest.raises(ValueError, match=r"forecast\(known=...\): the column 'promo' holds infinite values.*and fill them in"):
        learn.forecast(known=future.assign(promo=np.inf))
    with pytest.raises(TypeError, match="the column 'promo' holds no numbers"):
        learn.forecast(known=future.assign(promo="a"))


@pytest.mark.parametrize("steps", [1, 5, 9])
def test_fewer_steps_are_the_first_of_all_with_what_is_known(steps):
    learn = ts_forecaster(loaders(daily(60), known="promo"))
    with torch.no_grad():
        learn.model.backbone.others.weight.normal_()
    future = daily(80)
    found, whole = (learn.forecast(n, known=future).groupby("shop").head(steps) for n in (steps, 14))
    assert np.allclose(found["sales"], whole["sales"], rtol=1e-4)
    last = future[future["day"] <= future["day"].iloc[59 + steps]]
    assert len(learn.forecast(steps, known=last)) == 2 * steps, "later ones are used, not needed"
