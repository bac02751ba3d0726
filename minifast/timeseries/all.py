"""Everything for time series: `from minifast.timeseries.all import *`."""
from ..basics import *
from ..basics import __all__ as __all__           # written so that type checkers know its names
from ..metrics.forecasting import MASE, mase, pinball, smape
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
from .covariates import WithCovariates, covariate_blocks, covariate_sizes
from .forecasting.learner import ForecastLearner, ts_forecaster
from .forecasting.loss import ForecastLoss, PinballLoss
from .forecasting.model import Forecaster
from .forecasting.scale import Scale
from .frequency import Frequency
from .layout import trim_padding
from .learner import ts_ensemble, ts_learner
from .loader import SeriesDL
from .loaders import TSDataLoaders
from .missing import FillSteps, Missing, find_missing
from .models.dlinear import DLinear
from .models.fcn import FCN
from .models.inception_time import InceptionTime
from .models.lstm_fcn import LSTM_FCN
from .models.mini_rocket import MiniRocket, MiniRocketFeatures
from .models.naive import Naive, SeasonalNaive
from .models.omni_scale import OmniScaleCNN
from .models.patch_tst import PatchTST
from .models.resnet1d import ResNet1d
from .models.series_model import series_split
from .models.tcn import TCN
from .models.ts_transformer import TSTransformer
from .pad import PadSeries
from .padding import is_step, n_steps, split_padding
from .rocket_learner import fit_ridge, mini_rocket_learner
from .series_info import SeriesShape, series_shape
from .showing import show_forecast, show_scores, show_series
from .standardise import TSNormalize, TSStandardize
from .store import EqualSeries, SeriesStore, UnequalSeries
from .tensors import TensorForecast, TensorKnown, TensorSeries
from .timestamps import TimeAxis, resample, time_axis
from .ts_files import SeriesFile, read_arff, read_ts, read_tsv
from .window_loader import WindowDL
from .window_set import WindowSet
from .window_splits import check_window_splits, walk_forward_splits, window_splits
from .windows import SlidingWindows

__all__ = [*__all__]
__all__ += [
    "Cutout", "DLinear", "EqualSeries", "FCN", "FillSteps", "FlipSign", "FlipTime", "ForecastLearner", "ForecastLoss", "Forecaster",
    "Frequency", "InceptionTime", "Jitter", "LSTM_FCN", "MASE", "MagnitudeScale", "MagnitudeWarp", "MiniRocket", "MiniRocketFeatures",
    "Missing", "Naive", "OmniScaleCNN", "PadSeries", "PatchTST", "Permutation", "PinballLoss", "ResNet1d", "RotateAxes", "Scale",
    "SeasonalNaive", "SeriesDL", "SeriesFile", "SeriesShape", "SeriesStore", "SlidingWindows", "TCN", "TSBlock", "TSDataLoaders",
    "TSNormalize", "TSStandardize", "TSTransformer", "TensorForecast", "TensorKnown", "TensorSeries", "TimeAxis", "TimeWarp",
    "UnequalSeries", "WindowDL", "WindowSet", "WindowSlice", "WindowWarp", "WithCovariates", "check_window_splits", "covariate_blocks",
    "covariate_sizes", "find_missing", "fit_ridge", "is_step", "mase", "mini_rocket_learner", "n_steps", "pinball", "read_arff", "read_ts",
    "read_tsv", "resample", "series_shape", "series_split", "series_transforms", "show_forecast", "show_scores", "show_series", "smape",
    "split_padding", "time_axis", "trim_padding", "ts_ensemble", "ts_forecaster", "ts_learner", "walk_forward_splits", "window_splits",
]
__all__.sort()
