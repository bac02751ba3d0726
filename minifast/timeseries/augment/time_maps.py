"""Random changes of the time of series: each step of the result is read somewhere else.

Sources: A. Le Guennec et al., "Data Augmentation for Time Series Classification using Convolutional Neural Networks", 2016 (window slicing
and window warping); T. T. Um et al. 2017 (time warping, permutation); B. K. Iwana and S. Uchida 2021, as in `values.py`.
"""
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ...core.arguments import check_arguments, is_number, is_whole
from .base import Drawn, SeriesTransform
from .curves import curve, own_steps, read_at

__all__ = ["FlipTime", "Permutation", "TimeTransform", "TimeWarp", "WindowSlice", "WindowWarp"]


class TimeTransform(SeriesTransform):
    """Base of those that read each step elsewhere in its series: override `parameters` and `places`. Series keep their lengths.

    Args:
        p: probability for each series.
    """

    def places(self, steps: torch.Tensor, last: torch.Tensor, *args: Any, **params: Any) -> torch.Tensor:
        """Where each step of the result is read: override this.

        Args:
            steps: 0, 1, ... (T,).
            last: the number of the last step of each series, (B, 1).
            *args: none.
            **params: what was drawn.

        Returns:
            Places (B, T), in steps.
        """
        raise NotImplementedError

    def change(self, x: torch.Tensor, *args: Any, **params: Any) -> torch.Tensor:
        """Read.

        Args:
            x: series (B, C, T).
            *args: none.
            **params: what was drawn.
        """
        steps, last = own_steps(x)
        return read_at(x, self.places(steps, last, **params), steps, last)


class TimeWarp(TimeTransform):
    """Let time run faster and slower: the first and the last step stay, and no step changes places with another. Training batches only.

    The speed is exp(N(0, std)) at the knots and linear between them; where a step is read is its integral, so it never runs backwards.
    Source: Um et al. 2017 (with a cubic spline as speed, which may).

    Args:
        std: of the logarithm of the speed.
        knots: how many knots lie between the first and the last step, at equal distances.
        p: probability for each series.
    """

    def __init__(self, std: float = 0.2, knots: int = 4, p: float = 0.5):
        super().__init__(p)
        check_arguments("TimeWarp", std=(std, is_number(std, 0, 1), "a number from 0 (no change) to 1"),
                        knots=(knots, is_whole(knots), "a whole number of 1 or more"))
        self.std, self.knots = std, knots

    def parameters(self, x: torch.Tensor, rng: np.random.Generator) -> Drawn:
        "The coefficients (B, 1, 3, pieces) of how far ahead each step is read, as a share of the length."
        m = self.knots + 1
        speed = np.exp(rng.normal(0, self.std, (len(x), m + 1)))
        passed = np.pad(np.cumsum((speed[:, 1:] + speed[:, :-1]) / 2, axis=1), ((0, 0), (1, 0)))
        speed, passed = speed / passed[:, -1:], passed / passed[:, -1:]
        # the integral less the steps themselves: exact where nothing changes, and nearly so where little does
        ahead = np.stack([passed[:, :-1] - np.arange(m) / m, speed[:, :-1] - 1 / m, np.diff(speed, axis=1) / 2], 1)
        return {"ahead": (ahead[:, None], 0)}

    def places(self, steps: torch.Tensor, last: torch.Tensor, ahead: torch.Tensor) -> torch.Tensor:
        """Where each step is read.

        Args:
            steps: (T,).
            last: (B, 1).
            ahead: (B, 1, 3, pieces).
        """
        return steps + curve(ahead, steps, last)[:, 0] * last


class WindowSlice(TimeTransform):
    """A random window of each series, stretched to its length. Training batches only.

    Source: Le Guennec et al. 2016 ("window slicing", with windows of 90 %).

    Args:
        min_share: least share of the length; shares from there to 1 are equally likely.
        p: probability for each series.
    """

    def __init__(self, min_share: float = 0.8, p: float = 0.5):
        super().__init__(p)
        check_arguments("WindowSlice", min_share=(min_share, is_number(min_share, 0, 1) and min_share > 0,
                                                  "a share of the length, above 0, at most 1 (no change)"))
        self.min_share = min_share

    def parameters(self, x: torch.Tensor, rng: np.random.Generator) -> Drawn:
        "Where the window begins, and how long it is, as shares of the length."
        share = rng.uniform(self.min_share, 1, (len(x), 1))
        return {"start": (rng.random((len(x), 1)) * (1 - share), 0), "share": (share, 1)}

    def places(self, steps: torch.Tensor, last: torch.Tensor, start: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """Where each step is read.

        Args:
            steps: (T,).
            last: (B, 1).
            start: (B, 1).
            share: (B, 1).
        """
        return torch.addcmul(start * last, steps, share)


class WindowWarp(TimeTransform):
    """A random window of each series passes slower or faster, the rest accordingly: series keep their lengths. Training batches only.

    Source: Le Guennec et al. 2016 ("window warping": 10 % of the series, at half or double speed).

    Args:
        share: of the window, of the length.
        max_factor: the window gets up to this many times as many steps, or as few; factors and their inverses are equally likely.
        p: probability for each series.
    """

    def __init__(self, share: float = 0.1, max_factor: float = 2.0, p: float = 0.5):
        super().__init__(p)
        check_arguments("WindowWarp", share=(share, is_number(share, 0, 1), "a share of the length, from 0 (no change) to 1"),
                        max_factor=(max_factor, is_number(max_factor, 1, 100), "a factor from 1 (no change) to 100"))
        self.share, self.max_factor = share, max_factor

    def parameters(self, x: torch.Tensor, rng: np.random.Generator) -> Drawn:
        "Where the window begins, as a share of the length, and its factor."
        n, limit = len(x), np.log(self.max_factor)
        return {"start": (rng.random((n, 1)) * (1 - self.share), 0), "factor": (np.exp(rng.uniform(-limit, limit, (n, 1))), 1)}

    def places(self, steps: torch.Tensor, last: torch.Tensor, start: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
        """Where each step is read.

        Args:
            steps: (T,).
            last: (B, 1).
            start: (B, 1).
            factor: (B, 1).
        """
        stretch = self.share * (factor - 1)
        place = steps * (1 + stretch)                       # as if the series had got longer by the window
        inside = torch.minimum((place - start * last).clamp_min_(0), self.share * last * factor)
        return place - inside * (1 - 1 / factor)


class Permutation(TimeTransform):
    """Cut each series into segments of equal length and put them together in another order. Training batches only.

    Keeps the label only where the order in time says nothing of it. Source: Um et al. 2017.

    Args:
        max_segments: at most this many; from 2 up they are equally likely.
        p: probability for each series.
    """

    def __init__(self, max_segments: int = 5, p: float = 0.5):
        super().__init__(p)
        check_arguments("Permutation", max_segments=(max_segments, is_whole(max_segments, 2), "a whole number of 2 or more"))
        self.max_segments = max_segments

    def parameters(self, x: torch.Tensor, rng: np.random.Generator) -> Drawn:
        "Where the segments begin and end, as shares of the length (those beyond their number are empty), and their order."
        n, most = len(x), self.max_segments
        count = rng.integers(2, most + 1, (n, 1))
        return {"edges": (np.minimum(np.arange(most + 1) / count, 1), np.minimum(np.arange(most + 1) / most, 1)),
                "order": (rng.random((n, most)).argsort(1), np.arange(most))}

    def places(self, steps: torch.Tensor, last: torch.Tensor, edges: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        """Where each step is read.

        Args:
            steps: (T,).
            last: (B, 1).
            edges: (B, segments + 1).
            order: (B, segments).
        """
        edges, order = (edges * (last + 1)).round(), order.long()
        starts = edges[:, :-1].gather(1, order)
        ends = edges.diff(dim=1).gather(1, order).cumsum(1)                     # in the result
        moves = starts - F.pad(ends[:, :-1], (1, 0))
        segment = (steps[:, None] >= ends[:, None]).sum(2).clamp_max_(order.shape[1] - 1)
        return steps + moves.gather(1, segment)


class FlipTime(TimeTransform):
    """Reverse the order of the steps. Training batches only; only where a series backwards has the same label.

    Source: Iwana and Uchida 2021.

    Args:
        p: probability for each series.
    """

    def parameters(self, x: torch.Tensor, rng: np.random.Generator) -> Drawn:
        "Whether to reverse."
        return {"flip": (np.ones((len(x), 1)), 0)}

    def places(self, steps: torch.Tensor, last: torch.Tensor, flip: torch.Tensor) -> torch.Tensor:
        """Where each step is read.

        Args:
            steps: (T,).
            last: (B, 1).
            flip: 1 or 0, (B, 1).
        """
        return torch.where(flip > 0, last - steps, steps)
