"""`minifast demo timeseries`: forecast a series. The demand is generated, so that the best error that can be reached is known."""
from typing import TYPE_CHECKING

from .shared import Asked, column_of, read_table

if TYPE_CHECKING:
    import pandas as pd

    from ...learner.learner import Learner

NOISE = 25.0        #: standard deviation of what nobody can foresee in the generated demand


def make_demand(days: int = 150, seed: int = 0) -> "pd.DataFrame":
    """Make the hourly demand of a small town for electricity: a day, a week, a slow rise, and noise. Columns `hour` and `demand`.

    Args:
        days: how many.
        seed: of the noise.
    """
    import numpy as np
    import pandas as pd
    t = np.arange(24 * days)
    hour, weekday = t % 24, t // 24 % 7
    day = np.exp(-((hour - 8) / 2.5) ** 2) + 1.4 * np.exp(-((hour - 19) / 3.5) ** 2) - 0.5 * np.exp(-((hour - 3) / 3) ** 2)
    demand = 900 + 0.6 * t / 24 + 220 * day * np.where(weekday >= 5, 0.65, 1) + np.random.default_rng(seed).normal(0, NOISE, len(t))
    return pd.DataFrame({"hour": pd.date_range("2025-01-06", periods=len(t), freq="h"), "demand": demand.round(1)})


def time_column(frame: "pd.DataFrame") -> str:
    "The first column that can be read as times. frame: the table."
    import warnings

    import pandas as pd
    for name in frame:
        if not pd.api.types.is_numeric_dtype(frame[name]):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")         # that pandas guesses the format value by value
                if pd.to_datetime(frame[name], errors="coerce").notna().mean() > 0.99:
                    return name
    raise ValueError(f"none of the columns {', '.join(map(str, frame.columns[:20]))} can be read as times; a forecast needs one, such as "
                     "2025-01-31 or 2025-01-31 18:00")


def run(asked: Asked) -> "Learner":
    "Train forecasts with their uncertainty, and compare with the last season. asked: see `Asked`."
    import math

    import matplotlib.pyplot as plt
    import pandas as pd

    from ...timeseries.all import DLinear, SeasonalNaive, SlidingWindows, TSDataLoaders, set_seed, ts_forecaster
    set_seed(asked.seed)
    file = asked.data or asked.out / "demand.csv"
    if asked.data is None:
        make_demand().to_csv(file, index=False)
    frame = read_table(file, "minifast demo timeseries")
    time = time_column(frame)
    numbers = [c for c in frame.select_dtypes("number") if c != time]
    if not numbers:
        raise ValueError(f"--data {file}: no column of numbers besides the time {time!r}, so there is nothing to forecast")
    target = column_of(frame, asked, numbers[-1])
    frame = frame[[time, target]].assign(**{time: pd.to_datetime(frame[time])}).sort_values(time).reset_index(drop=True)
    if asked.data is None:
        print(f"Wrote {len(frame):,} hours of demand for electricity to {file}. They are generated: a day, a week, a slow rise, and noise\n"
              f"of standard deviation {NOISE:g}, so the mean absolute error of the best forecast is {NOISE * math.sqrt(2 / math.pi):.1f}.")
    horizon, window = (24, 336) if asked.data is None else (max(1, min(24, len(frame) // 12)), max(2, min(96, len(frame) // 4)))
    season = 168 if asked.data is None else horizon
    windows = SlidingWindows(frame, window=window, horizon=horizon, time=time, target=target)
    dls = TSDataLoaders.from_windows(windows, n_valid=max(horizon, len(frame) // 6), history=True, bs=64, path=asked.out)
    print(f"Forecasting {horizon} steps of {target!r} from the {window} before them: {len(dls.train_ds):,} training windows, and "
          f"{len(dls.valid_ds):,} later ones for validation")
    dls.show_batch(max_n=4)
    asked.save_figure("batch.png")
    learn = ts_forecaster(dls, DLinear, quantiles=(0.1, 0.5, 0.9), by_window=False, path=asked.out)
    learn.fit_one_cycle(asked.epochs or 25, 1e-2)
    learn.recorder.plot_metrics()
    asked.save_figure("metrics.png")
    coming, recent = learn.forecast(), frame.tail(4 * horizon)
    plt.figure(figsize=(10, 4))
    plt.plot(recent[time], recent[target], label="observed")
    plt.plot(coming[time], coming[f"{target}_0.5"], "--", label="median of the forecast")
    plt.fill_between(coming[time], coming[f"{target}_0.1"], coming[f"{target}_0.9"], alpha=0.3, label="10 % to 90 %")
    plt.ylabel(target, parse_math=False)
    plt.legend()
    plt.gcf().autofmt_xdate()
    asked.save_figure("forecast.png")
    coming.to_csv(asked.out / "forecast.csv", index=False)
    asked.files.append("forecast.csv")
    naive = ts_forecaster(dls, SeasonalNaive, config={"season": min(season, window)})
    error, others = (_mean_error(*model.get_preds()) for model in (learn, naive))
    return asked.finish(learn, f"\nMean absolute error on the last part of the series: {error:.4g}; of the values one season "
                               f"({min(season, window)} steps) before: {others:.4g}", "nbs/14_timeseries.ipynb",
                        "FILE.csv (a column of times) [--target COLUMN]")


def _mean_error(preds, targets):
    "Of the medians, where there are quantiles."
    return float(((preds[..., 1] if preds.ndim > targets.ndim else preds) - targets).abs().mean())
