"""Everything for time series: `from minifast.timeseries.all import *`."""
from ..basics import *
from ..basics import __all__ as _basics
from .padding import is_step, n_steps, split_padding
from .tensors import TensorSeries

__all__ = sorted([*_basics,
    "TensorSeries",
    "is_step",
    "n_steps",
    "split_padding",
])
