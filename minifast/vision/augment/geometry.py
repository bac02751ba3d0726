"""The random changes of geometry that people name: flips, turns, zoom, stretching, perspective, crops; each an `AffineWarp` of its own,
and together one (see `augment_affine`)."""
import numpy as np

from .affine import AffineWarp, identity, log_uniform
from .item import PadMode, central_crop, check_crop_range, random_crops

__all__ = ["Dihedral", "Flip", "RandomResizedCropGPU", "Rotate", "Scale", "Warp", "Zoom"]


def _is_whole_to(last):
    return lambda v: np.isin(v, np.arange(last + 1))


class Flip(AffineWarp):
    "Mirror left and right with probability `p`. draw: 1 = mirrored, 0 = not."
    split_idx = 0

    def __init__(self, p=0.5, draw=None, size=None, mode="bilinear", pad_mode=PadMode.Reflection, align_corners=True, batch=False):
        super().__init__((), size, mode, pad_mode, align_corners, p, batch)
        self.given = self.takes(draw=draw)

    def matrices(self, x, hw, rng):
        m = identity(len(x))
        m[:, 0, 0] -= 2 * self.pick(len(x), rng, np.ones, 0, self.given, x, allowed=(_is_whole_to(1), "1 (mirrored) or 0 (not)"))
        return m


class Dihedral(AffineWarp):
    """One of the eight symmetries of a square with probability `p`; a picture that is not square is stretched by the quarter turns.

    draw: a number 0 to 7, the sum of 1 (mirror left and right), 2 (mirror top and bottom) and 4 (swap rows and columns first).
    """
    split_idx = 0

    def __init__(self, p=0.5, draw=None, size=None, mode="bilinear", pad_mode=PadMode.Reflection, align_corners=True, batch=False):
        super().__init__((), size, mode, pad_mode, align_corners, p, batch)
        self.given = self.takes(draw=draw)

    def matrices(self, x, hw, rng):
        whole = _is_whole_to(7), "whole numbers from 0 to 7"
        k = self.pick(len(x), rng, lambda n: rng.integers(8, size=n), 0, self.given, x, allowed=whole).astype(int)
        m = np.zeros((len(x), 3, 3))
        sx, sy, swap = 1 - 2 * (k & 1), 1 - 2 * (k >> 1 & 1), (k >> 2 & 1).astype(bool)
        m[:, 0, 0], m[:, 1, 1] = np.where(swap, 0, sx), np.where(swap, 0, sy)
        m[:, 0, 1], m[:, 1, 0] = np.where(swap, sy, 0), np.where(swap, sx, 0)
        m[:, 2, 2] = 1
        return m


class Rotate(AffineWarp):
    "Turn by up to `max_deg` degrees either way, with probability `p`. draw: degrees, positive = anticlockwise."
    split_idx = 0

    def __init__(self, max_deg=10, p=0.5, draw=None, size=None, mode="bilinear", pad_mode=PadMode.Reflection, align_corners=True,
                 batch=False):
        super().__init__((), size, mode, pad_mode, align_corners, p, batch)
        if not max_deg >= 0:
            raise ValueError(f"Rotate(max_deg={max_deg}): degrees, 0 or more; it turns either way")
        self.max_deg, self.given = max_deg, self.takes(draw=draw)

    def matrices(self, x, hw, rng):
        angle = np.deg2rad(self.pick(len(x), rng, lambda n: rng.uniform(-self.max_deg, self.max_deg, n), 0.0, self.given, x))
        h, w = (max(s - 1, 1) for s in hw) if self.align_corners else hw
        m = identity(len(x))
        m[:, 0, 0] = m[:, 1, 1] = np.cos(angle)
        m[:, 0, 1], m[:, 1, 0] = -np.sin(angle) * h / w, np.sin(angle) * w / h       # h / w: a turn in pixels, not in -1..1
        return m


class Zoom(AffineWarp):
    """Enlarge by a factor of `min_zoom` to `max_zoom` around a random point, with probability `p`.

    draw: the factor. draw_x, draw_y: the part shown, 0 = leftmost or topmost, 1 = rightmost or bottommost.
    """
    split_idx = 0

    def __init__(self, min_zoom=1.0, max_zoom=1.1, p=0.5, draw=None, draw_x=None, draw_y=None, size=None, mode="bilinear",
                 pad_mode=PadMode.Reflection, align_corners=True, batch=False):
        super().__init__((), size, mode, pad_mode, align_corners, p, batch)
        if not 0 < min_zoom <= max_zoom:
            raise ValueError(f"Zoom(min_zoom={min_zoom}, max_zoom={max_zoom}): factors, 0 < min_zoom <= max_zoom")
        self.min_zoom, self.max_zoom = min_zoom, max_zoom
        self.given, self.given_x, self.given_y = self.takes(draw=draw, draw_x=draw_x, draw_y=draw_y)

    def matrices(self, x, hw, rng):
        n = len(x)
        scale = 1 / self.pick(n, rng, lambda k: rng.uniform(self.min_zoom, self.max_zoom, k), 1.0, self.given, x,
                              allowed=(lambda v: v > 0, "factors above 0"))
        m = identity(n)
        for i, (name, given) in enumerate((("draw_x", self.given_x), ("draw_y", self.given_y))):
            m[:, i, i] = scale
            m[:, i, 2] = (1 - scale) * (2 * self.pick(n, rng, rng.random, 0.5, given, x, name) - 1)
        return m


class Scale(AffineWarp):
    """Stretch or shrink width and height around the centre, each by a factor of its own from 1 - max_scale to its inverse, as likely below
    1 as above, with probability `p`.

    Zoom keeps the proportions of what is shown; this changes them. draw_x, draw_y: the factors of width and height.
    """
    split_idx = 0

    def __init__(self, max_scale=0.2, p=0.5, draw_x=None, draw_y=None, size=None, mode="bilinear", pad_mode=PadMode.Reflection,
                 align_corners=True, batch=False):
        super().__init__((), size, mode, pad_mode, align_corners, p, batch)
        if not 0 <= max_scale < 1:
            raise ValueError(f"Scale(max_scale={max_scale}): a number from 0 (no change) to below 1, about 0.2")
        self.max_scale = max_scale
        self.given_x, self.given_y = self.takes(draw_x=draw_x, draw_y=draw_y)

    def matrices(self, x, hw, rng):
        m = identity(len(x))
        for i, (name, given) in enumerate((("draw_x", self.given_x), ("draw_y", self.given_y))):
            m[:, i, i] = 1 / self.pick(len(x), rng, log_uniform(rng, self.max_scale), 1.0, given, x, name,
                                       allowed=(lambda v: v > 0, "factors above 0"))
        return m


class Warp(AffineWarp):
    """Perspective: see the picture from the side, by up to `magnitude` each way, with probability `p`.

    With (u, v) drawn for a picture, its corner (sx, sy) is taken from (sx - v sx sy, sy - u sx sy): u moves left and right edge nearer
    or further, v top and bottom edge. draw_x, draw_y: u and v.
    """
    split_idx = 0

    def __init__(self, magnitude=0.2, p=0.5, draw_x=None, draw_y=None, size=None, mode="bilinear", pad_mode=PadMode.Reflection,
                 align_corners=True, batch=False):
        super().__init__((), size, mode, pad_mode, align_corners, p, batch)
        if not 0 <= magnitude < 0.5:
            raise ValueError(f"Warp(magnitude={magnitude}): a number from 0 to below 0.5, about 0.2")
        self.magnitude = magnitude
        self.given_x, self.given_y = self.takes(draw_x=draw_x, draw_y=draw_y)

    def matrices(self, x, hw, rng):
        n = len(x)
        u, v = (self.pick(n, rng, lambda k: rng.uniform(-self.magnitude, self.magnitude, k), 0.0, given, x, name)
                for name, given in (("draw_x", self.given_x), ("draw_y", self.given_y)))
        # The projective map through these four corners has a closed form, so no linear system is solved (Apple's MPS has no solver).
        m = identity(n)
        m[:, 0, 0], m[:, 0, 1], m[:, 0, 2] = 1 - v * v, -u * v, u
        m[:, 1, 0], m[:, 1, 1], m[:, 1, 2] = -u * v, 1 - u * u, v
        m[:, 2, 0], m[:, 2, 1] = u, v
        return m


class RandomResizedCropGPU(AffineWarp):
    """A random part of each picture at `size`, as `RandomResizedCrop` but on the whole batch; one draw per picture.

    Validation batches: the central part of an aspect ratio within `ratio`, of `valid_scale` times its largest extent.
    """
    split_idx = None

    def __init__(self, size, min_scale=0.08, ratio=(3 / 4, 4 / 3), mode="bilinear", valid_scale=1.0, max_scale=1.0,
                 pad_mode=PadMode.Reflection, align_corners=True, batch=False):
        super().__init__((), size, mode, pad_mode, align_corners, 1.0, batch)
        check_crop_range("RandomResizedCropGPU", min_scale, max_scale, ratio)
        self.min_scale, self.max_scale, self.ratio, self.valid_scale = min_scale, max_scale, tuple(ratio), valid_scale

    @staticmethod
    def _to_box(left, top, fw, fh):
        m = identity(np.size(left))
        m[:, 0, 0], m[:, 1, 1] = fw, fh
        m[:, 0, 2], m[:, 1, 2] = 2 * np.asarray(left) + fw - 1, 2 * np.asarray(top) + fh - 1
        return m

    def matrices(self, x, hw, rng):
        boxes = random_crops(1 if self.batch else len(x), hw, rng, self.min_scale, self.max_scale, self.ratio)
        return np.broadcast_to(self._to_box(*boxes.T), (len(x), 3, 3))

    def valid_matrix(self, hw):
        w, h = central_crop(hw, self.ratio)
        fw, fh = w / hw[1] * self.valid_scale, h / hw[0] * self.valid_scale
        return self._to_box((1 - fw) / 2, (1 - fh) / 2, fw, fh)[0]
