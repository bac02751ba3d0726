"""Forecasts that others must beat: the last value, and the value one season before.

Source: R. Hyndman, G. Athanasopoulos, "Forecasting: Principles and Practice", 3rd edition, section 5.2.
"""
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ...data.targets import base_dataset

#: What they are called in a report.
NAIVE = {"naive": "repeating the last value", "seasonal": "repeating the last season"}


def naive_forecasts(loader: Any, positions: Sequence[int]) -> dict[str, torch.Tensor]:
    """The naive forecasts of windows, by the names of `NAIVE`.

    Args:
        loader: of windows.
        positions: which items.

    Returns:
        float32 (windows, targets, horizon) each; nothing where the items are no windows with a horizon.
    """
    dataset, chosen = base_dataset(loader)
    windows, indices = getattr(dataset, "windows", None), getattr(dataset, "indices", None)
    if indices is None or not getattr(windows, "horizon", 0):
        return {}
    at = np.asarray(indices)[np.asarray(positions if chosen is None else np.asarray(chosen)[positions], dtype=np.int64)]
    x = windows.read(at, False)[0][:, :len(windows.target)]
    steps, season = torch.arange(windows.horizon), windows.freq.season
    found = {"naive": x[..., -1:].expand(-1, -1, windows.horizon)}
    if season is not None and 1 < season <= windows.window:
        found["seasonal"] = x[..., x.shape[-1] - season + steps % season]
    return found


def of_quantiles(forecasts: torch.Tensor, pred: torch.Tensor) -> torch.Tensor:
    "Forecasts in the shape of predictions, which may have one number per quantile."
    return forecasts if pred.ndim == forecasts.ndim else forecasts.unsqueeze(-1).expand(*forecasts.shape, pred.shape[-1])


def constant_quantiles(loss_func: Callable, y: torch.Tensor) -> torch.Tensor:
    """The constant quantiles that cost least.

    Args:
        loss_func: with the attribute `quantiles`.
        y: training targets (values, targets).

    Returns:
        float32 (targets, quantiles).
    """
    q = torch.tensor(loss_func.quantiles, dtype=torch.double)  # type: ignore[attr-defined]
    return torch.quantile(y[:100_000].double(), q, 0).T.float()
