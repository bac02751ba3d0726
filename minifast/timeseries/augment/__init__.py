"""Random changes of whole batches of series."""
from .batch import series_transforms
from .time_maps import FlipTime, Permutation, TimeWarp, WindowSlice, WindowWarp
from .values import Cutout, FlipSign, Jitter, MagnitudeScale, MagnitudeWarp, RotateAxes

__all__ = ["Cutout", "FlipSign", "FlipTime", "Jitter", "MagnitudeScale", "MagnitudeWarp", "Permutation", "RotateAxes", "TimeWarp",
           "WindowSlice", "WindowWarp", "series_transforms"]
