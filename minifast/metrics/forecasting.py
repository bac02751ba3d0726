"""Metrics of forecasts: MASE, sMAPE and the pinball loss of quantiles.

Predictions are numbers (B, targets, horizon), or quantiles (B, targets, horizon, q), of which the middle one is the median.
"""
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..core.arguments import check_arguments, is_whole
from ..core.messages import describe
from .base import MeanMetric, check_tensor
from .functions import declare

if TYPE_CHECKING:
    from ..learner.learner import Learner


def point_of(inp: Tensor, targ: Tensor) -> Tensor:
    """The forecast itself: of quantiles the middle one.

    Args:
        inp: numbers of the shape of `targ`, or with one more axis of an odd number of quantiles.
        targ: what came.

    Raises:
        ValueError: the shapes do not go together.
    """
    if inp.shape == targ.shape:
        return inp
    if inp.shape[:-1] == targ.shape and inp.shape[-1] % 2:
        return inp[..., inp.shape[-1] // 2]
    raise ValueError(f"forecasts {describe(inp)} do not go with targets {describe(targ)}: they need one shape, or one more axis for an odd "
                     "number of quantiles, the median in the middle")


@declare(lower_is_better=True)
def smape(inp: Tensor, targ: Tensor) -> Tensor:
    """Symmetric mean absolute percentage error, from 0 to 200: the mean of 200 |f - y| / (|f| + |y|); where both are 0, 0.

    Args:
        inp: forecasts, see `point_of`.
        targ: what came.
    """
    f = point_of(inp, targ)
    size = f.abs() + targ.abs()
    return 200 * ((f - targ).abs() / size.clamp(min=torch.finfo(size.dtype).tiny)).mean()


@declare(lower_is_better=True)
def mase(inp: Tensor, targ: Tensor, insample: Tensor, season: int = 1) -> Tensor:
    """Mean absolute scaled error: that of the forecasts over that which the value one season before has in the history.

    Source: R. Hyndman, A. Koehler, "Another look at measures of forecast accuracy", 2006.

    Args:
        inp: forecasts (B, targets, horizon), see `point_of`.
        targ: what came.
        insample: the history (B, targets, steps), of training alone.
        season: steps of a season; 1: against the last value.

    Raises:
        ValueError: the history of a series does not change over a season.
    """
    check_arguments("mase", season=(season, is_whole(season) and season < insample.shape[-1],
                                    f"steps of a season, fewer than the {insample.shape[-1]} of the history"))
    naive = (insample[..., season:] - insample[..., :-season]).abs().mean(-1, keepdim=True)
    if not (naive > 0).all():
        raise ValueError(f"mase(season={season}) divides by the mean change over a season in the history, which is "
                         f"{float(naive[~(naive > 0)][0]):g} for a series: it is constant, or values are missing. Leave such series "
                         "out, or measure mae")
    return ((point_of(inp, targ) - targ).abs() / naive).mean()


def pinball(inp: Tensor, targ: Tensor, quantiles: Sequence[float]) -> Tensor:
    """Mean pinball loss of quantiles: with e = y - f, q e where y is above and (q - 1) e where it is below.

    Source: R. Koenker, G. Bassett, "Regression Quantiles", 1978.

    Args:
        inp: forecasts (..., q).
        targ: what came (...).
        quantiles: which ones, between 0 and 1.
    """
    check_quantile_shape(inp, targ, len(quantiles), "pinball")
    return pinball_errors(inp, targ, torch.as_tensor(quantiles, dtype=inp.dtype, device=inp.device)).mean()


def pinball_errors(inp: Tensor, targ: Tensor, quantiles: Tensor) -> Tensor:
    """The pinball loss of each element.

    Args:
        inp: forecasts (..., q).
        targ: what came (...).
        quantiles: (q,).
    """
    e = targ.unsqueeze(-1) - inp
    return torch.maximum(quantiles * e, (quantiles - 1) * e)


def check_quantile_shape(inp: Tensor, targ: Tensor, n: int, where: str) -> None:
    """Refuse forecasts that are not `n` quantiles of each target.

    Args:
        inp: forecasts.
        targ: what came.
        n: how many quantiles.
        where: who asks.
    """
    if inp.shape != (*targ.shape, n):
        raise ValueError(f"{where}: {n} quantiles of targets {describe(targ)} have the shape {(*targ.shape, n)}; received {describe(inp)}")


class MASE(MeanMetric):
    """Mean absolute scaled error (see `mase`) over a whole set, of forecasts of windows: the error of each series is divided by the mean
    absolute error of the value one season before within its own training rows.

    Args:
        season: steps of a season, such as 12 for months and 24 for hours; 1: against the last value.
    """

    lower_is_better = True
    _name = "mase"

    def __init__(self, season: int = 1):
        check_arguments("MASE", season=(season, is_whole(season), "steps of a season, a whole number of at least 1"))
        super().__init__()
        self.season = season
        self._known: tuple[Any, Any, Tensor] | None = None

    def accumulate(self, learn: "Learner") -> None:
        check_tensor(self, learn.pred)
        dl: Any = learn.dl
        dataset, training = getattr(dl, "dataset", None), getattr(learn.dls.train, "dataset", None)
        if not hasattr(dataset, "naive_errors") or not hasattr(training, "naive_errors"):
            raise TypeError("MASE needs the training rows of each series, which loaders of windows know: "
                            "TSDataLoaders.from_windows(windows). Of other forecasts write mase(pred, target, history, season)")
        if self._known is None or self._known[0] is not dataset or self._known[1] is not training:
            self._known = dataset, training, dataset.naive_errors(self.season, training)
        rows = dl.indices_of_batch(learn.iter)
        targ = learn.yb[0]
        scale = self._known[2][rows]                                            # (B, targets), on the CPU
        none = ~(scale > 0).all(1)
        if none.any():
            raise ValueError(f"MASE(season={self.season}) divides by the mean change over a season in the training rows of a series, and "
                             f"there is none for {dataset.item_name(int(rows[int(none.nonzero()[0])]))}: it is constant, or has too few "
                             "rows. Write a smaller season=, or metrics=[mae]")
        self.add(((point_of(learn.pred, targ) - targ).abs() / scale[..., None].to(targ.device, targ.dtype)).mean(), len(targ))
