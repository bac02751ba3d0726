"""Random changes of geometry on a batch, in one resampling.

Every transform here gives one 3x3 matrix per image that maps a point of the result to the point of the image it is taken from, in
coordinates from -1 (left, top) to 1 (right, bottom). `AffineWarp` multiplies the matrices of its transforms, so that flip, rotation,
zoom, perspective, crop and resize cost one `grid_sample` together and the image is interpolated once. Parameters are drawn on the CPU
from the batch's own generator, one set per image (one for all with `batch=True`), and the device is never waited for.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torchvision import tv_tensors

from ...core.arguments import check_choice
from ...core.messages import describe
from ...core.seeds import draw_seed, item_rng
from ...data.coords import COORDS, blank_empty, move_batch, on_canvas
from ...data.transforms import RandTransform, Transform, is_sample
from ..symmetry import is_symmetry, symmetries
from .options import HW, Allowed, Given, PadMode, Resizing, Size, check_given, given_values, image_size

__all__ = ["AffineWarp", "BatchTransform", "first_image", "fuse_geometry", "log_uniform"]

Image, Mask = tv_tensors.Image, tv_tensors.Mask


class BatchTransform(RandTransform):
    """A `RandTransform` of a batch of images whose probability `p` holds for each image, not for the batch.

    Args:
        p: probability for each image (default: 1).
        batch: one draw for the whole batch.
        tfms: what is done instead, in one pass; then each of them has its own `p` and `batch`.
    """
    types: tuple[type, ...] = (Image, Mask)
    where_idle = "They change images: for series write batch_tfms=series_transforms(), else leave them out"

    def __init__(self, p: float | None = None, batch: bool = False, tfms: Sequence[Any] = ()):
        super().__init__(p)
        self.batch, self.tfms = batch, list(tfms)
        if self.tfms and (self.p != 1 or batch):
            raise ValueError(f"{type(self).__name__}([...], p={p}, batch={batch}): p and batch belong to the transforms in the list, each "
                             "has its own")

    def __call__(self, x: Any, split_idx: int | None = None, rng: np.random.Generator | None = None) -> Any:
        "Draw and encode the batch `x`."
        if self.skips(split_idx):
            return x
        if type(x) is torch.Tensor and x.ndim == 4:                  # called by hand on a plain batch of images
            return self(Image(x), split_idx, rng).as_subclass(torch.Tensor)
        if isinstance(image := first_image(x), Image) and image.ndim == 3:
            raise TypeError(f"{type(self).__name__} works on batches of images (B,C,H,W); received one, {describe(image)}. Put "
                            "it into batch_tfms (after_batch) instead of item_tfms; by hand, pass image[None]")
        params = self.draw(x, item_rng(draw_seed()) if rng is None else rng, split_idx)
        return x if params is None else self.map_parts(x, lambda o: self.encodes(o, **params))

    def pick(self, n: int, rng: np.random.Generator, values: Callable[[int], np.ndarray], neutral: float, given: Given | None = None,
             x: torch.Tensor | None = None, called: str = "draw", allowed: Allowed | None = None) -> np.ndarray:
        """Draw `n` parameters.

        Args:
            n: how many images there are.
            rng: the generator of the batch.
            values: a function of k that draws k of them from `rng`.
            neutral: what an image keeps with probability 1 - p.
            given: fixed value or values instead, or a function of the batch `x` that returns them (the `draw=` of the transforms).
            x: the batch.
            called: the name of that argument.
            allowed: which values are, see `given_values`.
        """
        k = 1 if self.batch else n
        drawn = values(k) if given is None else given_values(given, x, k, f"{type(self).__name__}({called}=...)", allowed)
        applied = rng.random(k) < self.p
        return np.broadcast_to(np.where(applied, drawn, neutral), (n,))

    def takes(self, **given: Given | None) -> Any:
        "Check what is given instead of draws, by the name of the argument, and return it: one value, or a list of them."
        for name, value in given.items():
            check_given(value, f"{type(self).__name__}({name}=...)")
        return list(given.values()) if len(given) > 1 else value


def log_uniform(rng: np.random.Generator, amount: float) -> Callable[[int], np.ndarray]:
    "A function of n: n draws from `rng` of a factor between 1 - amount and 1 / (1 - amount), as likely below 1 as above."
    top = -np.log(1 - amount)
    return lambda n: np.exp(rng.uniform(-top, top, n))


def first_image(sample: Any) -> torch.Tensor | None:
    "The images (else masks) of `sample` that decide size and number, or None."
    found = [o for o in (sample if is_sample(sample) else (sample,)) if isinstance(o, (Image, Mask))]
    return next((o for o in found if isinstance(o, Image)), found[0] if found else None)


@lru_cache(maxsize=16)
def _base_coords(h: int, w: int, align_corners: bool, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    def line(n: int) -> torch.Tensor:
        return torch.linspace(-1, 1, n) if align_corners and n > 1 else (torch.arange(n) * 2 + 1) / n - 1
    return line(w).view(1, 1, w).to(device), line(h).view(1, h, 1).to(device)


def sampling_grid(matrix: torch.Tensor, hw: HW, align_corners: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """Coordinates (B,H,W,2) for `grid_sample`: where in the image each pixel of an `hw` result is taken from; and their depth (B,H,W,1), by
    which perspective divides them.

    matrix: (B,3,3), result -> image. Sums over rows and columns rather than a matrix product, which TF32 would round.
    """
    x, y = _base_coords(*hw, align_corners, matrix.device)
    m = matrix[:, :, :, None, None]
    grid = torch.empty(len(matrix), *hw, 2, device=matrix.device)
    for i in range(2):
        torch.add(m[:, i, 0] * x + m[:, i, 2], m[:, i, 1] * y, out=grid[..., i])
    return grid, (m[:, 2, 0] * x + m[:, 2, 1] * y + m[:, 2, 2])[..., None]


def resize_batch(x: torch.Tensor, hw: HW, mode: str = "bilinear") -> torch.Tensor:
    "Batch of images (B,C,H,W) at size `hw`, antialiased; masks ('nearest') by their nearest pixel."
    if x.shape[-2:] == tuple(hw):
        return x
    options = {"mode": "nearest-exact"} if mode == "nearest" else {"mode": mode, "align_corners": False, "antialias": True}
    return F.interpolate(x, hw, **options)


def warp_batch(x: torch.Tensor, matrix: torch.Tensor, hw: HW, mode: str = "bilinear", pad_mode: str = "reflection",
               align_corners: bool = True, perspective: bool = True) -> torch.Tensor:
    """Resample float batch `x` (B,C,H,W) at size `hw` through `matrix` (B,3,3).

    A result of less than half the size would skip pixels: `x` is then first brought to twice the size of the result, antialiased.
    """
    h, w = x.shape[-2:]
    if mode != "nearest" and min(h / hw[0], w / hw[1]) > 2:
        x = resize_batch(x, (hw[0] * 2, hw[1] * 2), mode)
    grid, depth = sampling_grid(matrix, hw, align_corners)
    if perspective:
        grid.div_(depth.clamp_(min=0.05))             # never behind the eye, however far a point is outside the image
    return F.grid_sample(x, grid.to(x.dtype), mode=mode, padding_mode=pad_mode, align_corners=align_corners)


class AffineWarp(Resizing, BatchTransform):
    """The geometric transforms `tfms` together with a resize to `size`, in one resampling. Training batches only, but for the resize.

    Validation batches are only resized (antialiased). Images are uint8 or floats (B,C,H,W); masks integers (B,H,W), which always take the
    nearest pixel.

    Args:
        tfms: `Flip`, `Rotate` and the like.
        size: (height, width) or one number of the result (default: as the batch is).
        mode: interpolation of images, 'bilinear', 'bicubic' or 'nearest'.
        pad_mode: 'zeros', 'border' or 'reflection', what is outside.
        align_corners: whether -1 and 1 are the centres of the outermost pixels, or their outer edges.
        p: of one of those classes, its probability; in a list each transform has its own.
        batch: of one of those classes, whether the whole batch gets one draw.
    """
    order = 30
    types = (*BatchTransform.types, *COORDS)
    fuses_as: str = "geometry"          #: see `IntToFloatTensor.fuse`
    drawn: list | None = None           #: a list, to which each batch adds what was drawn for it; see `tta_geometry.recording`

    def __init__(self, tfms: Sequence[AffineWarp] = (), size: Size | None = None, mode: str = "bilinear",
                 pad_mode: str = PadMode.Reflection, align_corners: bool = True, p: float = 1.0, batch: bool = False):
        super().__init__(p, batch, tfms)
        name = type(self).__name__
        check_choice(name, "mode", mode, ("bilinear", "bicubic", "nearest"))
        check_choice(name, "pad_mode", pad_mode, ("zeros", "border", "reflection"))
        self.size = None if size is None else image_size(size, name)
        self.mode, self.pad_mode, self.align_corners = mode, pad_mode, align_corners
        if self.size is not None:
            self.split_idx = None

    def matrices(self, x: torch.Tensor, hw: HW, rng: np.random.Generator) -> np.ndarray:
        "Override: one matrix per image of batch `x`, array (B,3,3). `hw`: size of the images in pixels."
        return reduce(np.matmul, (t.matrices(x, hw, rng) for t in self.tfms), np.tile(np.eye(3), (len(x), 1, 1)))

    def valid_matrix(self, hw: HW) -> np.ndarray | None:
        "Override: the matrix (3,3) for every validation image, or None for no change but the resize."
        return next((m for t in self.tfms if (m := t.valid_matrix(hw)) is not None), None)

    def at_validation(self) -> Transform | None:
        "The resize, and the crop of validation images where there is one; nothing random."
        if self.split_idx == 0 or type(self).valid_matrix is not AffineWarp.valid_matrix:
            return super().at_validation()
        crops = [t for t in self.tfms if type(t).valid_matrix is not AffineWarp.valid_matrix]
        return AffineWarp(crops, self.size, self.mode, self.pad_mode, self.align_corners)

    def result_to_source(self, matrix: np.ndarray, hw: HW) -> np.ndarray:
        "`matrix` (B,3,3) in coordinates where -1 and 1 are the outer edges of the image, as points have them, for images of `hw` pixels."
        size = self.size or hw
        if not self.align_corners or (size == hw and is_symmetry(matrix)):
            return matrix
        shrunk = self.mode != "nearest" and min(hw[0] / size[0], hw[1] / size[1]) > 2           # see `warp_batch`
        source = (size[0] * 2, size[1] * 2) if shrunk else hw

        def outer(hw: HW) -> np.ndarray:
            return np.array([*(n / max(n - 1, 1) for n in hw[::-1]), 1.0])
        return matrix * outer(size) / outer(source)[:, None]

    def draw(self, sample: Any, rng: np.random.Generator, split_idx: int | None) -> dict[str, Any] | None:
        "The matrices for the images of `sample`, and what points and boxes need; None where nothing changes."
        x = first_image(sample)
        if x is None:
            return None
        hw = x.shape[-2], x.shape[-1]
        new_size = self.size or hw
        m = self.valid_matrix(hw) if split_idx == 1 else self.matrices(x, hw, rng)
        m = None if m is None or (m == np.eye(3)).all() else np.broadcast_to(m, (len(x), 3, 3))
        outer = None if m is None else self.result_to_source(m, hw)
        if self.drawn is not None:
            self.drawn.append((np.tile(np.eye(3), (len(x), 1, 1)) if outer is None else outer, new_size))
        if m is None and new_size == hw:
            return None
        params = {"matrix": m, "tensor": _on_device(m, x)}
        if any(isinstance(o, COORDS) for o in (sample if is_sample(sample) else ())):
            params.update(forward=_on_device(None if outer is None else np.linalg.inv(outer), x), new_size=new_size)
        return params

    def map_parts(self, x: Any, f: Callable[[Any], Any]) -> Any:
        "Apply `f` to the images, masks, points and boxes of the batch `x`."
        return blank_empty(super().map_parts(on_canvas(x), f))

    def only_moves(self, plain: torch.Tensor, matrix: np.ndarray) -> bool:
        "Whether batch `plain` through `matrix` means that pixels change places and nothing else."
        return self.size in (None, tuple(plain.shape[-2:])) and is_symmetry(matrix)

    def resampled(self, work: torch.Tensor, matrix: np.ndarray | None, tensor: torch.Tensor | None, is_mask: bool = False) -> torch.Tensor:
        "Floats `work` (B,C,H,W) through `matrix` (`tensor`: the same on the device; None: only resized)."
        hw = self.size or tuple(work.shape[-2:])
        mode = "nearest" if is_mask else self.mode
        if matrix is None:
            return resize_batch(work, hw, "nearest" if is_mask else "bilinear" if mode == "nearest" else mode)
        perspective = bool((matrix[:, 2] != (0, 0, 1)).any())
        return warp_batch(work, tensor, hw, mode, self.pad_mode, self.align_corners, perspective)

    def encodes(self, x: Any, matrix: np.ndarray | None, tensor: torch.Tensor | None, forward: torch.Tensor | None = None,
                new_size: HW | None = None) -> torch.Tensor:
        """Move a batch of images, masks, points or boxes.

        Args:
            x: the batch.
            matrix: (B,3,3), result -> image; None: only resized.
            tensor: the same on the device.
            forward: its inverse, which points and boxes follow.
            new_size: (height, width) of the result.
        """
        if isinstance(x, COORDS):
            return move_batch(x, forward, new_size)
        plain, is_mask = x.as_subclass(torch.Tensor), isinstance(x, Mask)
        if matrix is not None and self.only_moves(plain, matrix):
            return tv_tensors.wrap(symmetries(plain, matrix), like=x)
        flat_mask = plain.ndim == 3
        work = plain[:, None] if flat_mask else plain
        work = work if work.dtype in (torch.float32, torch.float64) else work.float()
        out = self.resampled(work, matrix, tensor, is_mask)
        if out.dtype != plain.dtype:
            keep = is_mask or plain.is_floating_point()
            out = (out if keep else out.round_().clamp_(0, 255)).to(plain.dtype)
        return tv_tensors.wrap(out[:, 0] if flat_mask else out, like=x)

    def __repr__(self) -> str:
        inner = ", ".join(map(repr, self.tfms))
        return f"AffineWarp([{inner}], size={self.size})" if type(self) is AffineWarp else super().__repr__()


def _on_device(m: np.ndarray | None, like: torch.Tensor) -> torch.Tensor | None:
    return None if m is None else torch.from_numpy(np.ascontiguousarray(m, dtype=np.float32)).to(like.device, non_blocking=True)


def fuse_geometry(tfms: Sequence[AffineWarp]) -> list[AffineWarp]:
    """The geometric transforms `tfms` as few `AffineWarp`: one for each way of sampling (mode, pad_mode, align_corners) among them.

    Their sizes must agree; the one size goes to the last.
    """
    sizes = {t.size for t in tfms if t.size is not None}
    if len(sizes) > 1:
        raise ValueError(f"batch transforms ask for several sizes: {sorted(sizes)}. Give one of them the size, as (height, width)")
    groups = {}
    for t in tfms:
        groups.setdefault((t.mode, t.pad_mode, t.align_corners), []).extend(t.tfms if type(t) is AffineWarp else [t])
    last = len(groups) - 1
    return [AffineWarp(group, size=next(iter(sizes), None) if i == last else None, mode=key[0], pad_mode=key[1], align_corners=key[2])
            for i, (key, group) in enumerate(groups.items())]
