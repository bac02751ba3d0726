"""Series as tensors: channels by steps."""
from typing import TYPE_CHECKING, Any

import torch

from ..core.titled import TensorBase
from .showing import show_forecast, show_scores, show_series

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class TensorSeries(TensorBase):
    """A series: float32 (channels, steps).

    In a batch, (B, channels, steps), series are of one length: NaN in all channels from a step on is padding, see `split_padding`. Missing
    values are filled in before.
    """

    def show(self, ctx: "Axes | None" = None, **kwargs: Any) -> "Axes":
        """Draw a line for each channel, see `show_series`.

        Args:
            ctx: matplotlib axes. None: new ones.
            **kwargs: for `show_series`.
        """
        return show_series(self, ctx, **kwargs)

    def show_scores(self, scores: torch.Tensor, ctx: "Axes") -> "Axes":
        """Colour the steps on axes where it is drawn, see the function `show_scores`.

        Args:
            scores: (steps,).
            ctx: matplotlib axes.
        """
        return show_scores(self, scores, ctx)


class TensorForecast(TensorBase):
    "What comes after a series: float32 (targets, horizon)."

    continues_input: bool = True            #: drawn on the axes of the series, with the prediction beside it

    def show(self, ctx: "Axes | None" = None, **kwargs: Any) -> "Axes":
        """Draw it behind the series on the axes, see `show_forecast`.

        Args:
            ctx: matplotlib axes. None: new ones.
            **kwargs: for `show_forecast`.
        """
        return show_forecast(self, ctx, **kwargs)


class TensorKnown(TensorBase):
    "What is known of the steps to predict: float32 (known columns, horizon)."

    def show(self, ctx: Any = None, **kwargs: Any) -> Any:
        """Draw nothing: the columns have units of their own.

        Args:
            ctx: matplotlib axes.
            **kwargs: of no effect.

        Returns:
            The axes.
        """
        return ctx
