"""Which part of an image a random crop shows. Sizes are (height, width); boxes are (left, top, right, bottom) in pixels, or as fractions of
the image (left, top, width, height)."""
from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..files.jpeg import Box, draft_scale

__all__ = ["central_crop", "check_crop_range", "in_pixels", "random_crop", "whole_pixels"]


def check_crop_range(where: str, min_scale: float, max_scale: float, ratio: Sequence[float]) -> None:
    "Refuse a crop range that no crop can have."
    if not 0 < min_scale <= max_scale <= 1:
        raise ValueError(f"{where}(min_scale={min_scale}, max_scale={max_scale}): shares of the area, 0 < min_scale <= max_scale <= 1")
    if not 0 < ratio[0] <= ratio[1]:
        raise ValueError(f"{where}(ratio={ratio}): a pair (least, greatest) of width / height")


def random_crop(hw: tuple[int, int], rng: np.random.Generator, min_scale: float, max_scale: float, ratio: Sequence[float],
                tries: int = 10) -> Box:
    """A random box in an image of `hw` pixels: (left, top, width, height) as fractions of the image.

    Area uniform in min_scale..max_scale, aspect ratio log-uniform in `ratio`; the first of `tries` draws that fits into the image, else the
    largest centred box of an allowed aspect ratio.
    """
    h, w = hw
    low, high = math.log(ratio[0]), math.log(ratio[1])
    draws = rng.random(2 * tries + 2).tolist()
    places = draws[-2:]
    for k in range(0, 2 * tries, 2):
        area, aspect = h * w * (min_scale + (max_scale - min_scale) * draws[k]), math.exp(low + (high - low) * draws[k + 1])
        cw, ch = float(round(math.sqrt(area * aspect))), float(round(math.sqrt(area / aspect)))
        if 0 < cw <= w and 0 < ch <= h:
            break
    else:
        (cw, ch), places = central_crop(hw, ratio), [0.5, 0.5]
    return places[0] * (w - cw) / w, places[1] * (h - ch) / h, cw / w, ch / h


def central_crop(hw: tuple[int, int], ratio: Sequence[float]) -> tuple[float, float]:
    "(width, height) in pixels of the largest box with a width / height within `ratio`."
    h, w = hw
    if w / h < ratio[0]:
        return w, w / ratio[0]
    return (h * ratio[1], h) if w / h > ratio[1] else (w, h)


def in_pixels(hw: tuple[int, int], box: Box) -> Box:
    "`box`, fractions (left, top, width, height) of an image of `hw` pixels, as (left, top, right, bottom) in pixels."
    (h, w), (left, top, fw, fh) = hw, box
    return left * w, top * h, (left + fw) * w, (top + fh) * h


def whole_pixels(box: Box, hw: tuple[int, int], size: tuple[int, int]) -> Box:
    """`box` in an image of `hw` pixels, that is to become `size`, moved to where its pixels can be had without interpolating between them:
    to multiples of the scale at which a JPEG is decoded for it."""
    k = draft_scale(box, size[::-1])
    edges = []
    for low, high, whole, least in ((box[0], box[2], hw[1], size[1]), (box[1], box[3], hw[0], size[0])):
        n = max(round((high - low) / k), least if k > 1 else 1)     # length and start, in pixels of the decoded image
        first = max(min(round(low / k), whole // k - n), 0)
        # what reaches from edge to edge stays whole
        edges.append((0, whole) if high - low > whole - 0.5 else (first * k, (first + n) * k))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom
