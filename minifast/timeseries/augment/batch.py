"""`series_transforms`: random changes of series that keep most labels, applied to whole batches on their device."""
from typing import Any

from ...core.arguments import check_arguments, is_number
from ...data.pipeline import as_list, as_transform
from ...data.transforms import Transform
from .base import SeriesTransform
from .time_maps import FlipTime, Permutation, TimeWarp, WindowSlice, WindowWarp
from .values import Cutout, FlipSign, Jitter, MagnitudeScale, MagnitudeWarp, RotateAxes

__all__ = ["Cutout", "FlipSign", "FlipTime", "Jitter", "MagnitudeScale", "MagnitudeWarp", "Permutation", "RotateAxes", "TimeWarp",
           "WindowSlice", "WindowWarp", "series_transforms"]


def series_transforms(mult: float = 1.0, min_share: float = 0.8, max_warp: float = 2.0, time_warp: float = 0.2, scale: float = 0.1,
                      magnitude_warp: float = 0.0, jitter: float = 0.05, max_cutout: float = 0.0, flip_sign: bool = False,
                      flip_time: bool = False, p_time: float = 0.3, p_values: float = 0.5, xtra_tfms: Any = None) -> list[Transform]:
    """Random windows, changes of speed, scale and noise for `batch_tfms` of series, as a list of transforms.

    A setting that means no change (0; 1 for `min_share` and `max_warp`) leaves its transform out. Where the answer lies in how fast or how
    late something happens, leave out those of time: `series_transforms(min_share=1, max_warp=1, time_warp=0)`; where it lies in how large
    the values are, `scale=0`.

    Args:
        mult: multiplies the strength of all of them.
        min_share: least share of the length that `WindowSlice` keeps.
        max_warp: greatest factor of `WindowWarp`.
        time_warp: std of `TimeWarp`.
        scale: std of `MagnitudeScale`.
        magnitude_warp: std of `MagnitudeWarp`.
        jitter: std of `Jitter`.
        max_cutout: greatest share of the steps that `Cutout` replaces.
        flip_sign: turn values upside down, with probability 0.5.
        flip_time: reverse the steps, with probability 0.5.
        p_time: probability of each change of time, for each series.
        p_values: probability of each change of values, for each series.
        xtra_tfms: more transforms, for example `from minifast.timeseries.all import Permutation, RotateAxes`, `xtra_tfms=[RotateAxes()]`.
    """
    check_arguments("series_transforms", mult=(mult, is_number(mult, 0), "a factor of all strengths, 0 (no change) or more"))
    strengths = {"min_share": (min_share, is_number(min_share, 0, 1), "a share of the length, above 0, at most 1 (no change)"),
                 "max_warp": (max_warp, is_number(max_warp, 1), "a factor of 1 (no change) or more")}
    check_arguments("series_transforms", mult=(mult, is_number(mult, 0), "a factor of all strengths, 0 (no change) or more"), **strengths)
    choices: list[tuple[Any, type[SeriesTransform], dict[str, Any]]] = [
        (min_share < 1 and mult, WindowSlice, {"min_share": 1 - (1 - min_share) * mult, "p": p_time}),
        (max_warp > 1 and mult, WindowWarp, {"max_factor": max_warp**mult, "p": p_time}),
        (time_warp * mult, TimeWarp, {"std": time_warp * mult, "p": p_time}),
        (flip_time, FlipTime, {"p": 0.5}),
        (scale * mult, MagnitudeScale, {"std": scale * mult, "p": p_values}),
        (magnitude_warp * mult, MagnitudeWarp, {"std": magnitude_warp * mult, "p": p_values}),
        (flip_sign, FlipSign, {"p": 0.5}),
        (jitter * mult, Jitter, {"std": jitter * mult, "p": p_values}),
        (max_cutout * mult, Cutout, {"max_share": max_cutout * mult, "p": p_values}),
    ]
    return [cls(**options) for chosen, cls, options in choices if chosen] + [as_transform(t) for t in as_list(xtra_tfms)]
