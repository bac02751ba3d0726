"""`RegressionInterpretation`: how far off the predicted numbers are, and where."""
from typing import Any

import pandas as pd
import torch

from ..core.messages import describe
from ..core.plots import subplots
from .base import Interpretation


class RegressionInterpretation(Interpretation):
    """`Interpretation` of numbers.

    Args:
        learn, dl, preds, targs, decoded, losses: see `Interpretation`.
    """

    score_name = "absolute_error"

    def __init__(self, learn: Any, dl: Any = None, preds: Any = None, targs: Any = None, decoded: Any = None, losses: Any = None):
        super().__init__(learn, dl, preds, targs, decoded, losses)
        if not isinstance(preds, torch.Tensor) or not isinstance(targs, torch.Tensor) or preds.numel() != targs.numel():
            raise TypeError(
                f"RegressionInterpretation takes one predicted number per target; received {describe(preds)} and {describe(targs)}"
            )
        self.guesses = preds.reshape(len(preds), -1).float()
        self.truth = targs.reshape(len(targs), -1).float()

    @property
    def residuals(self) -> torch.Tensor:
        "Predictions minus targets: (items, numbers)."
        return self.guesses - self.truth

    def _score(self):
        return self.residuals.abs().mean(1)

    def summary(self) -> pd.DataFrame:
        "A DataFrame with a row per number: bias (mean error), MAE, RMSE, R2."
        r, t = self.residuals.double(), self.truth.double()
        r2 = 1 - r.square().sum(0) / (t - t.mean(0)).square().sum(0).clamp(min=1e-12)
        return pd.DataFrame(
            {"bias": r.mean(0).tolist(), "mae": r.abs().mean(0).tolist(), "rmse": r.square().mean(0).sqrt().tolist(), "r2": r2.tolist()}
        )

    def frame(self) -> pd.DataFrame:
        "`Interpretation.frame`; of one number per item with the residual."
        table = super().frame()
        if self.residuals.shape[1] == 1:
            table["target"], table["prediction"] = self.truth[:, 0].tolist(), self.guesses[:, 0].tolist()
            table.insert(table.columns.get_loc("loss"), "residual", self.residuals[:, 0].tolist())
        return table

    def plot_predictions(self, column: int = 0, ax: Any = None) -> Any:
        "Draw predictions against targets, with a dashed line where they are equal. Returns the axes."
        ax = subplots(figsize=(5, 5))[1][0] if ax is None else ax
        t, p = self.truth[:, column], self.guesses[:, column]
        low, high = float(min(t.min(), p.min())), float(max(t.max(), p.max()))
        ax.plot([low, high], [low, high], "--", color="0.6", zorder=0)
        ax.scatter(t, p, s=12, alpha=0.6)
        ax.set(xlabel="target", ylabel="prediction")
        return ax

    def plot_residuals(self, column: int = 0, axes: Any = None) -> Any:
        "Draw residuals against predictions (a slope or a funnel shows what the model misses) and their histogram; returns two axes."
        axes = subplots(1, 2, figsize=(10, 4), layout="constrained")[1] if axes is None else axes
        r, p = self.residuals[:, column], self.guesses[:, column]
        axes[0].axhline(0, ls="--", color="0.6", zorder=0)
        axes[0].scatter(p, r, s=12, alpha=0.6)
        axes[0].set(xlabel="prediction", ylabel="prediction minus target")
        axes[1].hist(r.numpy(), bins=min(40, max(5, len(r) // 8)))
        axes[1].axvline(float(r.mean()), color="C1", label=f"mean {float(r.mean()):.3g}")
        axes[1].set(xlabel="prediction minus target", ylabel="items")
        axes[1].legend()
        return axes
