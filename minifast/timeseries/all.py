"""Everything for time series: `from minifast.timeseries.all import *`."""
from ..basics import *
from ..basics import __all__ as _basics
from .augment import (
    Cutout,
    FlipSign,
    FlipTime,
    Jitter,
    MagnitudeScale,
    MagnitudeWarp,
    Permutation,
    RotateAxes,
    TimeWarp,
    WindowSlice,
    WindowWarp,
    series_transforms,
)
from .padding import is_step, n_steps, split_padding
from .tensors import TensorSeries

__all__ = sorted([*_basics,
    "Cutout",
    "FlipSign",
    "FlipTime",
    "Jitter",
    "MagnitudeScale",
    "MagnitudeWarp",
    "Permutation",
    "RotateAxes",
    "TensorSeries",
    "TimeWarp",
    "WindowSlice",
    "WindowWarp",
    "is_step",
    "n_steps",
    "series_transforms",
    "split_padding",
])
