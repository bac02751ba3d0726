"""MASE of naive, seasonal naive, DLinear and a convolutional network on held-out time, and batches of windows against a hand-written read.

    python benchmarks/series_forecasting.py [--data FOLDER] [--seeds 5] [--only TCN]

Airline: Box, Jenkins, "Time Series Analysis", 144 months; the last 36 are validated, 12 at a time. Hires: 180 days of hourly hires of three
stations, made here after the pattern of bike-sharing counts (hour of the day, weekday, weather, noise that grows with the level); the last
30 days are validated, 24 hours at a time; weekend, temperature and hour are known. MASE below 1 beats the value one season before on
average over the training rows; seasonal naive itself may be above 1 where a series grows.
"""
import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from minifast.timeseries.all import (
    MASE,
    TCN,
    DLinear,
    ForecastLoss,
    Naive,
    Scale,
    SeasonalNaive,
    SlidingWindows,
    TSDataLoaders,
    set_seed,
    smape,
    ts_forecaster,
)


def hires(days: int = 180) -> pd.DataFrame:
    "Hourly hires of three stations."
    rng, parts = np.random.default_rng(7), []
    times = pd.date_range("2023-02-01", periods=24 * days, freq="h", tz="UTC").tz_convert("Europe/Berlin")
    hour, weekend = times.hour.to_numpy(), (times.day_of_week.to_numpy() >= 5)
    k = np.arange(len(times))
    slow = np.convolve(rng.normal(0, 1, len(k)), np.ones(48) / 7, "same")
    temp = 12 - 10 * np.cos(2 * np.pi * k / 24 / 365) + 4 * np.sin(2 * np.pi * (hour - 9) / 24) + slow
    peak = np.where(weekend, np.exp(-(hour - 14.0) ** 2 / 18), np.exp(-(hour - 8.0) ** 2 / 3) + np.exp(-(hour - 17.5) ** 2 / 5))
    for i, level in enumerate((40, 120, 300)):
        drift = np.convolve(rng.normal(0, 0.3, len(k)), np.ones(24) / 24, "same")
        mean = level * (0.08 + peak) * np.exp(0.03 * (temp - 12) + drift)
        parts.append(pd.DataFrame({"station": f"s{i}", "time": times, "hires": rng.poisson(np.maximum(mean, 0.1)).astype(float),
                                   "weekend": weekend * 1.0, "temp": temp, "sin": np.sin(hour * np.pi / 12),
                                   "cos": np.cos(hour * np.pi / 12)}))
    return pd.concat(parts, ignore_index=True)


def loaders(data: str) -> dict[str, tuple[TSDataLoaders, int, int, float]]:
    "By data set: loaders, season, epochs and learning rate."
    airline = pd.read_csv(Path(data) / "timeseries" / "Airline" / "Airline.csv")
    months = SlidingWindows(airline, 24, 12, time="Date", target="Passengers")
    hours = SlidingWindows(hires(), 168, 24, stride=7, by="station", target="hires", known=["weekend", "temp", "sin", "cos"])
    return {"Airline": (TSDataLoaders.from_windows(months, n_valid=36, history=True, bs=16), 12, 100, 1e-2),
            "hires": (TSDataLoaders.from_windows(hours, n_valid=30 * 24, history=True, bs=64), 168, 15, 5e-3)}


def accuracy(data: str, seeds: int, only: str | None = None) -> None:
    "Print MASE and sMAPE of each model, mean and standard deviation over seeds."
    for name, (dls, season, epochs, lr) in loaders(data).items():
        print(f"{name}: {dls.train.dataset.windows!r}\n  {len(dls.train.dataset):,} training windows, {len(dls.valid.dataset):,} of "
              f"validation, season {season}")
        models = {"naive": (Naive, None), "seasonal naive": (SeasonalNaive, {"season": season}), "DLinear": (DLinear, None),
                  "TCN": (TCN, None)}
        for title, (arch, config) in models.items():
            if only not in (None, title):
                continue
            found, begin = [], time.perf_counter()
            for seed in range(1 if "naive" in title else seeds):
                set_seed(seed)
                loss = ForecastLoss("mae", Scale.of(dls.train.dataset).of_targets)              # as MASE has it
                learn = ts_forecaster(dls, arch, config=config, loss_func=loss, metrics=[MASE(season), smape])
                with learn.no_bar(), learn.no_logging():
                    if "naive" not in title:
                        learn.fit_one_cycle(epochs, lr)
                    found.append(learn.validate()[1:])
            mean, std = np.mean(found, 0), np.std(found, 0)
            print(f"  {title:15} MASE {mean[0]:.3f} ± {std[0]:.3f}   sMAPE {mean[1]:.2f} ± {std[1]:.2f}   "
                  f"{(time.perf_counter() - begin) / len(found):.1f} s", flush=True)


def speed(rounds: int = 7) -> None:
    "Print the time of an epoch of batches against a loop that reads the same windows by hand, alternated."
    windows = SlidingWindows(hires(), 168, 24, by="station", target="hires", known=["weekend", "temp"])
    dls = TSDataLoaders.from_windows(windows, valid_pct=0.2, bs=64)
    values, starts = windows.values, torch.from_numpy(windows.starts[dls.train.dataset.indices])

    def ours():
        for _ in dls.train:
            pass

    def by_hand():
        "A dataset of slices in torch's loader, as it is usually written."
        class Slices(torch.utils.data.Dataset):
            def __len__(self):
                return len(starts)

            def __getitem__(self, i):
                s = int(starts[i])
                return values[:, s:s + 168], values[1:, s + 168:s + 192], values[:1, s + 168:s + 192]

        for _ in torch.utils.data.DataLoader(Slices(), 64, shuffle=True):
            pass

    times = {f: [] for f in (ours, by_hand)}
    for _ in range(rounds):
        for f, spent in times.items():
            begin = time.perf_counter()
            f()
            spent.append(time.perf_counter() - begin)
    a, b = (sorted(t)[rounds // 2] for t in times.values())
    print(f"batches of {len(starts):,} windows: {a:.3f} s, a Dataset of slices in torch's DataLoader {b:.3f} s: {b / a:.1f}x")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default=os.environ.get("MINIFAST_TEST_DATA", "."))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", help="one of the models")
    args = parser.parse_args()
    if args.only is None:
        speed()
    accuracy(args.data, args.seeds, args.only)
