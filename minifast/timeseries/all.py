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
from .block import TSBlock
from .layout import trim_padding
from .loader import SeriesDL
from .loaders import TSDataLoaders
from .missing import FillSteps, Missing, find_missing
from .models.fcn import FCN
from .models.inception_time import InceptionTime
from .models.resnet1d import ResNet1d
from .models.series_model import series_split
from .pad import PadSeries
from .padding import is_step, n_steps, split_padding
from .series_info import SeriesShape, series_shape
from .standardise import TSNormalize, TSStandardize
from .store import EqualSeries, SeriesStore, UnequalSeries
from .tensors import TensorSeries

__all__ = sorted([*_basics,
    "Cutout", "EqualSeries", "FCN", "FillSteps", "FlipSign", "FlipTime", "InceptionTime", "Jitter", "MagnitudeScale", "MagnitudeWarp",
    "Missing", "PadSeries", "Permutation", "ResNet1d", "RotateAxes", "SeriesDL", "SeriesShape", "SeriesStore", "TSBlock", "TSDataLoaders",
    "TSNormalize", "TSStandardize", "TensorSeries", "TimeWarp", "UnequalSeries", "WindowSlice", "WindowWarp", "find_missing", "is_step",
    "n_steps", "series_shape", "series_split", "series_transforms", "split_padding", "trim_padding",
])
