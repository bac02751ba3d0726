"""Random changes of geometry by name: flips, turns, zoom, stretching, perspective, crops. Each is an `AffineWarp` by itself, and together
they are one (see `affine`)."""
from collections.abc import Sequence

import numpy as np
import torch

from ...core.arguments import check_arguments
from .affine import AffineWarp, log_uniform
from .item import central_crop, random_crop
from .options import Given, PadMode, Size, check_crop_range

__all__ = ["Dihedral", "Flip", "RandomResizedCropGPU", "Rotate", "Scale", "Warp", "Zoom"]


def from_rows(n: int, *rows: Sequence[float | np.ndarray]) -> np.ndarray:
    "`n` matrices (3,3) with these `rows`, whose entries are numbers or arrays (n,)."
    return np.stack([np.broadcast_to(entry, (n,)) for row in rows for entry in row], 1).reshape(n, 3, 3)


class _Symmetry(AffineWarp):
    "Which of several symmetries an image gets is all that is drawn."

    def __init__(self, p: float = 0.5, draw: Given | None = None, size: Size | None = None, mode: str = "bilinear",
                 pad_mode: str = PadMode.Reflection, align_corners: bool = True, batch: bool = False):
        super().__init__((), size, mode, pad_mode, align_corners, p, batch)
        self.given = self.takes(draw=draw)


class Flip(_Symmetry):
    """Mirror left and right.

    Args:
        p: probability for each image.
        draw: 1 = mirrored, 0 = not, instead of a random choice; one per image, or a function of the batch.
        size: (height, width) or one number of the result (default: as the batch is).
        mode: interpolation of images, 'bilinear', 'bicubic' or 'nearest'.
        pad_mode: 'zeros', 'border' or 'reflection', what is outside.
        align_corners: whether -1 and 1 are the centres of the outermost pixels, or their outer edges.
        batch: one draw for the whole batch.
    """

    def matrices(self, x: torch.Tensor, hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        "Draw one matrix per image, array (B,3,3)."
        n, allowed = len(x), (lambda v: np.isin(v, (0, 1)), "1 (mirrored) or 0 (not)")
        return from_rows(n, (1 - 2 * self.pick(n, rng, np.ones, 0, self.given, x, allowed=allowed), 0, 0), (0, 1, 0), (0, 0, 1))


class Dihedral(_Symmetry):
    """One of the eight symmetries of a square; the quarter turns stretch an image that is not square.

    Args:
        p: probability for each image.
        draw: a number 0 to 7 instead of a random one, the sum of 1 (mirror left and right), 2 (mirror top and bottom) and 4 (swap rows
            and columns first); one per image, or a function of the batch.
        size: (height, width) or one number of the result (default: as the batch is).
        mode: interpolation of images, 'bilinear', 'bicubic' or 'nearest'.
        pad_mode: 'zeros', 'border' or 'reflection', what is outside.
        align_corners: whether -1 and 1 are the centres of the outermost pixels, or their outer edges.
        batch: one draw for the whole batch.
    """

    def matrices(self, x: torch.Tensor, hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        "Draw one matrix per image, array (B,3,3)."
        k = self.pick(len(x), rng, lambda n: rng.integers(8, size=n), 0, self.given, x,
                      allowed=(lambda v: np.isin(v, range(8)), "whole numbers from 0 to 7")).astype(int)
        sx, sy, swap = 1 - 2 * (k & 1), 1 - 2 * (k >> 1 & 1), k >> 2 & 1
        return from_rows(len(x), (sx * (1 - swap), sy * swap, 0), (sx * swap, sy * (1 - swap), 0), (0, 0, 1.0))


class Rotate(AffineWarp):
    """Turn by a random angle.

    Args:
        max_deg: greatest angle either way, in degrees.
        p: probability for each image.
        draw: degrees instead of a random angle, positive = anticlockwise; one per image, or a function of the batch.
        size: (height, width) or one number of the result (default: as the batch is).
        mode: interpolation of images, 'bilinear', 'bicubic' or 'nearest'.
        pad_mode: 'zeros', 'border' or 'reflection', what is outside.
        align_corners: whether -1 and 1 are the centres of the outermost pixels, or their outer edges.
        batch: one draw for the whole batch.
    """

    def __init__(self, max_deg: float = 10, p: float = 0.5, draw: Given | None = None, size: Size | None = None, mode: str = "bilinear",
                 pad_mode: str = PadMode.Reflection, align_corners: bool = True, batch: bool = False):
        super().__init__((), size, mode, pad_mode, align_corners, p, batch)
        check_arguments("Rotate", max_deg=(max_deg, max_deg >= 0, "degrees, 0 or more; it turns either way"))
        self.max_deg, self.given = max_deg, self.takes(draw=draw)

    def matrices(self, x: torch.Tensor, hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        "Draw one matrix per image, array (B,3,3)."
        angle = np.deg2rad(self.pick(len(x), rng, lambda n: rng.uniform(-self.max_deg, self.max_deg, n), 0.0, self.given, x))
        h, w = (max(s - 1, 1) for s in hw) if self.align_corners else hw
        cos, sin = np.cos(angle), np.sin(angle)
        return from_rows(len(x), (cos, -sin * h / w, 0), (sin * w / h, cos, 0), (0, 0, 1))        # h / w: a turn in pixels, not in -1..1


class Zoom(AffineWarp):
    """Enlarge around a random point.

    Args:
        min_zoom: least factor; below 1 the image gets smaller.
        max_zoom: greatest factor.
        p: probability for each image.
        draw: the factor instead of a random one; one per image, or a function of the batch.
        draw_x: the part shown, 0 = leftmost, 1 = rightmost.
        draw_y: the part shown, 0 = topmost, 1 = bottommost.
        size: (height, width) or one number of the result (default: as the batch is).
        mode: interpolation of images, 'bilinear', 'bicubic' or 'nearest'.
        pad_mode: 'zeros', 'border' or 'reflection', what is outside.
        align_corners: whether -1 and 1 are the centres of the outermost pixels, or their outer edges.
        batch: one draw for the whole batch.
    """

    def __init__(self, min_zoom: float = 1.0, max_zoom: float = 1.1, p: float = 0.5, draw: Given | None = None, draw_x: Given | None = None,
                 draw_y: Given | None = None, size: Size | None = None, mode: str = "bilinear", pad_mode: str = PadMode.Reflection,
                 align_corners: bool = True, batch: bool = False):
        super().__init__((), size, mode, pad_mode, align_corners, p, batch)
        check_arguments("Zoom", min_zoom=(min_zoom, 0 < min_zoom <= max_zoom, f"factors, 0 < min_zoom <= max_zoom, and {max_zoom=}"))
        self.min_zoom, self.max_zoom = min_zoom, max_zoom
        self.given, self.given_x, self.given_y = self.takes(draw=draw, draw_x=draw_x, draw_y=draw_y)

    def matrices(self, x: torch.Tensor, hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        "Draw one matrix per image, array (B,3,3)."
        n = len(x)
        scale = 1 / self.pick(n, rng, lambda k: rng.uniform(self.min_zoom, self.max_zoom, k), 1.0, self.given, x,
                              allowed=(lambda v: v > 0, "factors above 0"))
        cx, cy = (2 * self.pick(n, rng, rng.random, 0.5, given, x, name) - 1
                  for name, given in (("draw_x", self.given_x), ("draw_y", self.given_y)))
        return from_rows(n, (scale, 0, (1 - scale) * cx), (0, scale, (1 - scale) * cy), (0, 0, 1))


class Scale(AffineWarp):
    """Stretch or shrink width and height around the centre, each by its own factor, as likely below 1 as above.

    Zoom keeps the proportions of what is shown; this changes them.

    Args:
        max_scale: the factors go from 1 - max_scale to its inverse.
        p: probability for each image.
        draw_x: factor of the width instead of a random one; one per image, or a function of the batch.
        draw_y: factor of the height.
        size: (height, width) or one number of the result (default: as the batch is).
        mode: interpolation of images, 'bilinear', 'bicubic' or 'nearest'.
        pad_mode: 'zeros', 'border' or 'reflection', what is outside.
        align_corners: whether -1 and 1 are the centres of the outermost pixels, or their outer edges.
        batch: one draw for the whole batch.
    """

    def __init__(self, max_scale: float = 0.2, p: float = 0.5, draw_x: Given | None = None, draw_y: Given | None = None,
                 size: Size | None = None,
                 mode: str = "bilinear", pad_mode: str = PadMode.Reflection, align_corners: bool = True, batch: bool = False):
        super().__init__((), size, mode, pad_mode, align_corners, p, batch)
        check_arguments("Scale", max_scale=(max_scale, 0 <= max_scale < 1, "a number from 0 (no change) to below 1, about 0.2"))
        self.max_scale = max_scale
        self.given_x, self.given_y = self.takes(draw_x=draw_x, draw_y=draw_y)

    def matrices(self, x: torch.Tensor, hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        "Draw one matrix per image, array (B,3,3)."
        sx, sy = (self.pick(len(x), rng, log_uniform(rng, self.max_scale), 1.0, given, x, name, (lambda v: v > 0, "factors above 0"))
                  for name, given in (("draw_x", self.given_x), ("draw_y", self.given_y)))
        return from_rows(len(x), (1 / sx, 0, 0), (0, 1 / sy, 0), (0, 0, 1))


class Warp(AffineWarp):
    """Perspective: see the image from the side.

    With (u, v) drawn for an image, its corner (sx, sy) is taken from (sx - v sx sy, sy - u sx sy): u moves the left and right edge nearer
    or further away, v the top and bottom edge.

    Args:
        magnitude: greatest u and v either way, 0 to below 0.5.
        p: probability for each image.
        draw_x: u instead of a random number; one per image, or a function of the batch.
        draw_y: the same for v.
        size: (height, width) or one number of the result (default: as the batch is).
        mode: interpolation of images, 'bilinear', 'bicubic' or 'nearest'.
        pad_mode: 'zeros', 'border' or 'reflection', what is outside.
        align_corners: whether -1 and 1 are the centres of the outermost pixels, or their outer edges.
        batch: one draw for the whole batch.
    """

    def __init__(self, magnitude: float = 0.2, p: float = 0.5, draw_x: Given | None = None, draw_y: Given | None = None,
                 size: Size | None = None,
                 mode: str = "bilinear", pad_mode: str = PadMode.Reflection, align_corners: bool = True, batch: bool = False):
        super().__init__((), size, mode, pad_mode, align_corners, p, batch)
        check_arguments("Warp", magnitude=(magnitude, 0 <= magnitude < 0.5, "a number from 0 to below 0.5, about 0.2"))
        self.magnitude = magnitude
        self.given_x, self.given_y = self.takes(draw_x=draw_x, draw_y=draw_y)

    def matrices(self, x: torch.Tensor, hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        "Draw one matrix per image, array (B,3,3)."
        n = len(x)
        u, v = (self.pick(n, rng, lambda k: rng.uniform(-self.magnitude, self.magnitude, k), 0.0, given, x, name)
                for name, given in (("draw_x", self.given_x), ("draw_y", self.given_y)))
        # the projective map through these four corners has a closed form, so no linear system is solved (Apple's MPS has no solver)
        return from_rows(n, (1 - v * v, -u * v, u), (-u * v, 1 - u * u, v), (u, v, 1))


class RandomResizedCropGPU(AffineWarp):
    """A random part of each image at `size`, as `RandomResizedCrop` but on the whole batch; one draw per image.

    Validation batches: the central part of an aspect ratio within `ratio`, of `valid_scale` times its largest extent.

    Args:
        size: (height, width) or one number of the result.
        min_scale: least share of the area.
        ratio: (least, greatest) width / height of the part.
        mode: interpolation of images, 'bilinear', 'bicubic' or 'nearest'.
        valid_scale: how much of the largest central part validation images show.
        max_scale: greatest share of the area.
        pad_mode: 'zeros', 'border' or 'reflection', what is outside.
        align_corners: whether -1 and 1 are the centres of the outermost pixels, or their outer edges.
        batch: one draw for the whole batch.
    """

    def __init__(self, size: Size, min_scale: float = 0.08, ratio: Sequence[float] = (3 / 4, 4 / 3), mode: str = "bilinear",
                 valid_scale: float = 1.0, max_scale: float = 1.0, pad_mode: str = PadMode.Reflection, align_corners: bool = True,
                 batch: bool = False):
        super().__init__((), size, mode, pad_mode, align_corners, 1.0, batch)
        check_crop_range("RandomResizedCropGPU", min_scale, max_scale, ratio)
        self.min_scale, self.max_scale, self.ratio, self.valid_scale = min_scale, max_scale, tuple(ratio), valid_scale

    def matrices(self, x: torch.Tensor, hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        "Draw one matrix per image, array (B,3,3)."
        boxes = [random_crop(hw, rng, self.min_scale, self.max_scale, self.ratio) for _ in range(1 if self.batch else len(x))]
        return np.broadcast_to(_cutting(np.array(boxes)), (len(x), 3, 3))

    def valid_matrix(self, hw: tuple[int, int]) -> np.ndarray:
        "The central part, for every validation image."
        w, h = central_crop(hw, self.ratio)
        fw, fh = w / hw[1] * self.valid_scale, h / hw[0] * self.valid_scale
        return _cutting(np.array([[(1 - fw) / 2, (1 - fh) / 2, fw, fh]]))[0]


def _cutting(boxes: np.ndarray) -> np.ndarray:
    "The matrices (n,3,3) that show `boxes` (n,4): left, top, width, height, as fractions of the image."
    left, top, w, h = boxes.T
    return from_rows(len(boxes), (w, 0, 2 * left + w - 1), (0, h, 2 * top + h - 1), (0, 0, 1))
