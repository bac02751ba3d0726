"""Random changes of the values of series: noise, scale, gaps, axes.

Sources: T. T. Um et al., "Data Augmentation of Wearable Sensor Data for Parkinson's Disease Monitoring using Convolutional Neural
Networks", 2017 (jitter, scaling, rotation, magnitude warping); B. K. Iwana and S. Uchida, "An empirical survey of data augmentation for
time series classification with neural networks", 2021; T. DeVries and G. W. Taylor, "Improved Regularization of Convolutional Neural
Networks with Cutout", 2017.
"""
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from ...core.arguments import check_arguments, is_number, is_whole
from ...core.messages import describe
from ..padding import n_steps
from .base import Drawn, SeriesTransform
from .curves import curve, own_steps

__all__ = ["Cutout", "FlipSign", "Jitter", "MagnitudeScale", "MagnitudeWarp", "RotateAxes"]

_SPREAD = "a number from 0 (no change) to 1"


class Jitter(SeriesTransform):
    """Add normal noise to every value. Training batches only.

    Source: Um et al. 2017.

    Args:
        std: standard deviation of the noise, as a share of that of the series in this channel; a constant channel stays as it is.
        p: probability for each series.
    """
    keeps_forecasts = True

    def __init__(self, std: float = 0.05, p: float = 0.5):
        super().__init__(p)
        check_arguments("Jitter", std=(std, is_number(std, 0, 1), _SPREAD))
        self.std = std

    def parameters(self, x: torch.Tensor, rng: np.random.Generator) -> Drawn:
        "The standard deviation."
        return {"std": (np.full((len(x), 1, 1), self.std), 0)}

    def draw(self, sample: Any, rng: np.random.Generator, split_idx: int | None) -> dict[str, Any] | None:
        "Standard deviations, and the seed of the noise."
        params = super().draw(sample, rng, split_idx)
        return None if params is None else {**params, "seed": int(rng.integers(2**62))}

    def change(self, x: torch.Tensor, std: torch.Tensor, seed: int) -> torch.Tensor:
        """Add noise.

        Args:
            x: series (B, C, T).
            std: (B, 1, 1).
            seed: of the noise.
        """
        noise = torch.empty_like(x).normal_(generator=torch.Generator(x.device).manual_seed(seed))
        spread = (x - x.nanmean(2, keepdim=True)).square_().nanmean(2, keepdim=True).sqrt_()
        return torch.addcmul(x, noise, (spread * std).to(x.dtype))


class MagnitudeScale(SeriesTransform):
    """Multiply each series by a random factor, exp(N(0, std)): about as often below 1 as above, never negative. Training batches only.

    Source: Um et al. 2017 ("scaling", with factors N(1, std)).

    Args:
        std: of the logarithm of the factor.
        by_var: a factor for each channel.
        p: probability for each series.
    """

    def __init__(self, std: float = 0.1, by_var: bool = True, p: float = 0.5):
        super().__init__(p)
        check_arguments("MagnitudeScale", std=(std, is_number(std, 0, 1), _SPREAD))
        self.std, self.by_var = std, by_var

    def parameters(self, x: torch.Tensor, rng: np.random.Generator) -> Drawn:
        "The factors."
        return {"factor": (np.exp(rng.normal(0, self.std, (len(x), x.shape[1] if self.by_var else 1, 1))), 1)}

    def change(self, x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        """Multiply.

        Args:
            x: series (B, C, T).
            factor: (B, C, 1) or (B, 1, 1).
        """
        return x * factor[:, :x.shape[1]].to(x.dtype)


class MagnitudeWarp(SeriesTransform):
    """Multiply each series by a smooth random curve around 1: the exponential of a cubic spline through N(0, std). Training batches only.

    Source: Um et al. 2017 (with a spline through N(1, std), which a large std makes negative).

    Args:
        std: of the values that the spline goes through.
        knots: how many of them lie between the first and the last step, at equal distances.
        by_var: a curve for each channel.
        p: probability for each series.
    """

    def __init__(self, std: float = 0.2, knots: int = 4, by_var: bool = True, p: float = 0.5):
        super().__init__(p)
        check_arguments("MagnitudeWarp", std=(std, is_number(std, 0, 1), _SPREAD),
                        knots=(knots, is_whole(knots), "a whole number of 1 or more"))
        self.std, self.knots, self.by_var = std, knots, by_var

    def parameters(self, x: torch.Tensor, rng: np.random.Generator) -> Drawn:
        "The coefficients of the pieces of the spline, (B, C, 4, pieces)."
        values = rng.normal(0, self.std, (len(x), x.shape[1] if self.by_var else 1, self.knots + 2))
        return {"pieces": (np.einsum("...k,kdm->...dm", values, spline_pieces(self.knots + 2)), 0)}

    def change(self, x: torch.Tensor, pieces: torch.Tensor) -> torch.Tensor:
        """Multiply.

        Args:
            x: series (B, C, T).
            pieces: coefficients (B, C, 4, pieces) or (B, 1, 4, pieces) of the logarithm of the curve.
        """
        return x * curve(pieces[:, :x.shape[1]], *own_steps(x)).exp_().to(x.dtype)


@lru_cache(maxsize=16)
def spline_pieces(n: int) -> np.ndarray:
    """The natural cubic spline through `n` values at 0, 1, ..., n - 1, as a linear map of the values.

    Returns:
        (n, 4, n - 1): of each value, what it adds to the coefficients (constant first) of the n - 1 pieces, each a polynomial on 0..1.
    """
    eye = np.eye(n)
    second = np.zeros((n, n))           # second derivatives at the knots, 0 at the ends
    if n > 2:
        system = 4 * np.eye(n - 2) + np.eye(n - 2, k=1) + np.eye(n - 2, k=-1)
        second[:, 1:-1] = np.linalg.solve(system, 6 * np.diff(eye, 2, axis=1).T).T
    left, right = second[:, :-1], second[:, 1:]
    return np.stack([eye[:, :-1], np.diff(eye, axis=1) - (2 * left + right) / 6, left / 2, (right - left) / 6], 1)


class Cutout(SeriesTransform):
    """Replace a stretch of steps, in all channels, by the mean of the series in each. Training batches only.

    Source: DeVries and Taylor 2017 (of images, whose mean is 0).

    Args:
        max_share: greatest share of the steps; shares from 0 up are equally likely.
        p: probability for each series.
    """
    keeps_forecasts = True

    def __init__(self, max_share: float = 0.2, p: float = 0.5):
        super().__init__(p)
        check_arguments("Cutout", max_share=(max_share, is_number(max_share, 0, 1), "a share of the steps, from 0 to 1"))
        self.max_share = max_share

    def parameters(self, x: torch.Tensor, rng: np.random.Generator) -> Drawn:
        "Where the stretch begins, and how long it is, as shares of the length."
        share = rng.uniform(0, self.max_share, (len(x), 1))
        return {"start": (rng.random((len(x), 1)) * (1 - share), 0), "share": (share, 0)}

    def change(self, x: torch.Tensor, start: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """Replace.

        Args:
            x: series (B, C, T).
            start: (B, 1), as a share of the length of each series.
            share: (B, 1), likewise.
        """
        n, steps = n_steps(x)[:, None], torch.arange(x.shape[2], device=x.device)
        first = (start * n).round()
        cut = (steps >= first) & (steps < torch.minimum(first + (share * n).round(), n))
        return torch.where(cut[:, None], x.nanmean(2, keepdim=True), x)


class FlipSign(SeriesTransform):
    """Change the sign of all values: a sensor that is mounted the other way round. Training batches only.

    Only where a series upside down has the same label; after `TSStandardize`, since it turns the values about 0. Source: Iwana and Uchida
    2021 ("rotation").

    Args:
        p: probability for each series.
    """

    def parameters(self, x: torch.Tensor, rng: np.random.Generator) -> Drawn:
        "The signs."
        return {"sign": (-np.ones((len(x), 1, 1)), 1)}

    def change(self, x: torch.Tensor, sign: torch.Tensor) -> torch.Tensor:
        """Multiply.

        Args:
            x: series (B, C, T).
            sign: 1 or -1, (B, 1, 1).
        """
        return x * sign.to(x.dtype)


class RotateAxes(SeriesTransform):
    """Turn the axes of sensors by a random angle about a random direction: another way to wear them. Training batches only.

    Source: Um et al. 2017 ("rotation").

    Args:
        axes: the channels that are the x, y and z of one sensor; of several sensors, such as an accelerometer and a gyroscope, a list of
            such triples, which turn together.
        max_deg: greatest angle, in degrees; 180: any direction.
        p: probability for each series.
    """

    def __init__(self, axes: Sequence[int] | Sequence[Sequence[int]] = (0, 1, 2), max_deg: float = 30.0, p: float = 0.5):
        super().__init__(p)
        triples: list[Any] = [axes] if all(map(_is_channel, axes)) else list(axes)
        good = all(not isinstance(o, int) and len(o) == len(set(o)) == 3 and all(map(_is_channel, o)) for o in triples)
        check_arguments("RotateAxes", axes=(axes, good, "three channels, such as (0, 1, 2), or a list of such triples"),
                        max_deg=(max_deg, is_number(max_deg, 0, 180), "degrees, from 0 to 180"))
        self.axes, self.max_deg = tuple(map(tuple, triples)), max_deg

    def parameters(self, x: torch.Tensor, rng: np.random.Generator) -> Drawn:
        "The rotations, (B, 3, 3), by Rodrigues' formula."
        if max(map(max, self.axes)) >= x.shape[1]:
            raise ValueError(f"RotateAxes(axes={self.axes}) names channels of a sensor, but these series have {x.shape[1]} "
                             f"({describe(x)}): their channels are 0 to {x.shape[1] - 1}")
        n = len(x)
        u = rng.normal(size=(n, 3))
        u /= np.linalg.norm(u, axis=1, keepdims=True)
        angle = np.deg2rad(rng.uniform(-self.max_deg, self.max_deg, (n, 1, 1)))
        cross = np.zeros((n, 3, 3))
        cross[:, [2, 0, 1], [1, 2, 0]], cross[:, [1, 2, 0], [2, 0, 1]] = u, -u
        return {"matrix": (np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross, np.eye(3))}

    def change(self, x: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
        """Turn.

        Args:
            x: series (B, C, T).
            matrix: (B, 3, 3).
        """
        out, matrix = x.clone(), matrix.to(x.dtype)
        for triple in self.axes:
            channels = list(triple)
            before = out[:, channels]
            # a sum rather than a matrix product, which TF32 would round
            out[:, channels] = (matrix[..., None] * before[:, None]).sum(2)
        return out


def _is_channel(i: Any) -> bool:
    return is_whole(i, 0)
