"""Series as tensors: channels by steps."""
from ..core.titled import TensorBase


class TensorSeries(TensorBase):
    """A series: float32 (channels, steps).

    In a batch, (B, channels, steps), series are of one length: NaN in all channels from a step on is padding, see `split_padding`. Missing
    values are filled in before.
    """


class TensorForecast(TensorBase):
    "What comes after a series: float32 (targets, horizon)."
