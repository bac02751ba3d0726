"""`ts_forecaster`: a learner that forecasts, from loaders of windows."""
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from torch import nn

from ...callbacks.base import Callback
from ...core.arguments import check_arguments, is_whole, refuse_class
from ...core.keywords import knows_keywords
from ...core.messages import describe, name_of
from ...core.types import LossFunc, PathLike, Splitter
from ...data.loaders import DataLoaders
from ...learner.learner import Learner
from ...optim.groups import trainable_params
from ...optim.optimizers import Adam
from ..models.dlinear import DLinear
from ..standardise import TSNormalize, TSStandardize
from ..window_set import WindowSet
from ..windows import SlidingWindows
from .future import LastWindows, as_table, ends_of, known_future
from .loss import ForecastLoss, PinballLoss, check_quantiles
from .model import Forecaster
from .scale import Scale


class ForecastLearner(Learner):
    "A `Learner` of a `Forecaster`, which can `forecast`."

    def forecast(self, horizon: int | None = None, df: pd.DataFrame | None = None, known: pd.DataFrame | None = None) -> pd.DataFrame:
        """Forecast the steps after the last row of each series, those of validation included.

        More steps than the model was trained for are forecast in parts, each from the forecasts before it. That is refused with quantiles
        (the intervals would not widen) and with past-only columns (they are unknown there).

        Args:
            horizon: how many steps; None: those of the windows.
            df: other series with the same columns; None: those of the data.
            known: the known columns for the steps to forecast, with those of id and time; required where there are such columns.

        Returns:
            The columns of id and time, and one per target (per quantile `target_0.1`, ...), `horizon` rows per series in the units of the
            data.

        Raises:
            ValueError: a series is too short, known columns do not reach far enough, or so many steps cannot be forecast.
        """
        windows = windows_of(self.dls)
        steps = windows.horizon if horizon is None else horizon
        check_arguments("forecast", horizon=(steps, is_whole(steps), "steps, a whole number of at least 1"))
        if known is not None and not windows.known:
            raise ValueError("forecast(known=...): these windows have no known columns: leave it out, or make them with "
                             "SlidingWindows(known=...)")
        model = self.model
        quantiles = getattr(model, "quantiles", None)
        if steps > windows.horizon and (windows.past or quantiles):
            why = (f"the intervals of quantiles={quantiles} would not widen" if quantiles else
                   f"the past-only columns {windows.past} are unknown there")
            raise ValueError(f"forecast({steps}): this model forecasts {windows.horizon} steps, and cannot go on from its own "
                             f"forecasts: {why}. Write forecast({windows.horizon}), or train with SlidingWindows(horizon={steps})")
        if df is not None:
            rows = windows.rows_alone(df)
        elif getattr(self.dls.train.dataset, "is_template", False):
            raise ValueError("this learner was loaded without data: write learn.forecast(df=df), with the rows up to now")
        else:
            rows = windows
        ends = ends_of(rows, windows.window)
        future = known_future(windows, ends, known, steps) if windows.known else None
        x, found, n = ends.x, [], windows.horizon
        for begin in range(0, steps, n):
            part = None if future is None else future[:, :, begin:begin + n]
            y = self._forecast_part(x, part)
            found.append(y)
            if begin + n < steps:
                seen = y if part is None else torch.cat([y, part], 1)
                x = torch.cat([x, seen], 2)[:, :, -windows.window:]
        return as_table(windows, ends, torch.cat(found, 2)[:, :, :steps], quantiles)

    def _forecast_part(self, x, known):
        like = self.dls[min(1, len(self.dls) - 1)]
        dl = like.new(LastWindows(x, known), shuffle=False, drop_last=False, split_idx=1, device=self.dls.device)
        return self.get_preds(dl=dl, with_targs=False)[0]


def windows_of(dls: Any) -> SlidingWindows:
    """The windows of forecasts that loaders are made of.

    Args:
        dls: the loaders.

    Raises:
        TypeError: they are of something else.
    """
    dataset = getattr(getattr(dls, "train", None), "dataset", None)
    if not isinstance(dataset, WindowSet) or not dataset.windows.horizon:
        made = "SlidingWindows(label=...), which have no horizon" if isinstance(dataset, WindowSet) else describe(dls)
        raise TypeError(f"ts_forecaster takes loaders of windows with a horizon; received {made}. Write TSDataLoaders.from_windows("
                        "SlidingWindows(df, window, horizon, time=..., target=...))")
    return dataset.windows


@knows_keywords
def ts_forecaster(dls: DataLoaders, arch: Any = DLinear, quantiles: Sequence[float] | None = None, config: Mapping[str, Any] | None = None,
                  by_window: bool = True, loss_func: LossFunc | None = None, opt_func: Callable[..., Any] = Adam, lr: float = 1e-3,
                  splitter: Splitter | None = None, cbs: Callback | Sequence[Callback] | None = None, metrics: Any = None,
                  path: PathLike | None = None, model_dir: str = "models", wd: float | None = None, wd_bn_bias: bool = False,
                  train_bn: bool = True, moms: tuple[float, float, float] | None = (0.95, 0.85, 0.95),
                  default_cbs: bool = True) -> ForecastLearner:
    """A learner that forecasts. Data, forecasts, targets and metrics are in the units of the data: the model holds the mean and the spread
    of the training rows.

    Args:
        dls: loaders of `SlidingWindows` with a horizon.
        arch: `DLinear`, `Naive`, `SeasonalNaive`, `TCN` or any other architecture, called as `arch(c_in, c_out, seq_len=..., **config)`.
        quantiles: forecast quantiles, the median in the middle, such as (0.1, 0.5, 0.9); None: one number per step.
        config: further arguments of `arch`, such as {'season': 12}.
        by_window: also scale each window by itself, see `Forecaster`.
        loss_func: None: `ForecastLoss('mse')`, with quantiles `PinballLoss`, in units of the spread of each target.
        opt_func, lr, splitter, cbs, metrics, path, model_dir, wd, wd_bn_bias, train_bn, moms, default_cbs: see `Learner`.

    Raises:
        TypeError: `dls` are not made of windows with a horizon.
        ValueError: the windows are too short for `arch`.
    """
    windows = windows_of(dls)
    if isinstance(arch, nn.Module):
        raise TypeError(f"ts_forecaster(arch=...) takes the class, {type(arch).__name__}, and makes the model itself; its arguments go to "
                        "config=")
    if getattr(arch, "closed_form", False):
        raise TypeError(f"ts_forecaster trains a model in steps, and {name_of(arch)} is fitted at once, to classes or numbers: write "
                        "another one, such as arch=TCN")
    twice = [f for f in dls.train.after_batch if isinstance(f, (TSStandardize, TSNormalize))]
    if twice:
        raise ValueError(f"ts_forecaster: these loaders scale the series already ({type(twice[0]).__name__}), and the model does it "
                         "itself, so that forecasts are in the units of the data: leave it out of batch_tfms=")
    quantiles = None if quantiles is None else check_quantiles(quantiles, "ts_forecaster")
    scale = Scale.of(dls.train.dataset)
    n, config = len(windows.target), dict(config or {})
    c_out = n * windows.horizon * (1 if quantiles is None else len(quantiles))
    seq_len = windows.window
    if getattr(arch, "forecasts", False):
        n_known = len(windows.known) * windows.horizon
        config = {"n_targets": n, "n_known": n_known, **({"horizon": windows.horizon} if getattr(arch, "repeats", False) else {}), **config}
    elif windows.known:
        seq_len += windows.horizon
    least = getattr(arch, "min_steps", 1)
    if seq_len < least and "patch_len" not in config:           # which moves it: then the architecture knows
        raise ValueError(f"{getattr(arch, '__name__', arch)} needs {least} steps, and a window has {seq_len}: write "
                         f"SlidingWindows(window={least})")
    if getattr(arch, "needs_seq_len", True):
        config = {"seq_len": seq_len, **config}
    model = Forecaster(arch(len(windows.channels), c_out, **config), scale, windows.horizon, quantiles, by_window)
    if loss_func is None:
        loss_func = ForecastLoss("mse", scale.of_targets) if quantiles is None else PinballLoss(quantiles, scale.of_targets)
    refuse_class("ts_forecaster(loss_func=...)", loss_func)
    learn = ForecastLearner(dls, model, loss_func=loss_func, opt_func=opt_func, lr=lr,
                            splitter=trainable_params if splitter is None else splitter, cbs=cbs, metrics=metrics, path=path,
                            model_dir=model_dir, wd=wd, wd_bn_bias=wd_bn_bias, train_bn=train_bn, moms=moms, default_cbs=default_cbs)
    learn.arch = arch
    return learn
