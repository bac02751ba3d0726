"""Batch transforms of bytes done together: floats, lighting, normalisation and geometry of a batch of images in two passes over the pixels.

A byte has 256 values. What `IntToFloatTensor`, `Lighting` and `Normalize` do to each of them is worked out once per image (and channel)
and looked up for every pixel; then `AffineWarp` resamples the result. The parameters are drawn as they are by the transforms one by one,
and validation batches are the same to the last bit. In a training batch lighting comes before the geometry instead of after it, which
differs where neighbouring pixels differ and are blended: by less than one level of 255 on average.
"""
from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torchvision import tv_tensors

from ..data.transforms import Transform, is_sample, like_sample
from .symmetry import flips, symmetries

if TYPE_CHECKING:
    from .augment.affine import AffineWarp
    from .augment.lighting import Lighting, LightingChange
    from .images import IntToFloatTensor
    from .normalize import Normalize

Image: TypeAlias = tv_tensors.Image


def fuse(to_float: IntToFloatTensor, following: Sequence[Transform]) -> tuple[FusedTransforms, int] | None:
    """`to_float` with those of the transforms `following` it that can be done together with it, one of each kind ('geometry', 'lighting',
    'norm': their `fuses_as`), in this order: (transform, how many of them it replaces), or None."""
    found: dict[str, Any] = {}
    left = list(following)
    for kind in ("geometry", "lighting", "norm"):
        if left and getattr(left[0], "fuses_as", None) == kind:
            found[kind] = left.pop(0)
    return (FusedTransforms(to_float, **found), len(found)) if found else None


class FusedTransforms(Transform):
    "The given transforms together (None: left out), on batches of uint8 images; everything else gets them one by one."
    whole = True

    def __init__(self, to_float: IntToFloatTensor, geometry: AffineWarp | None = None, lighting: Lighting | None = None,
                 norm: Normalize | None = None):
        super().__init__(order=to_float.order)
        self.to_float, self.geometry, self.lighting, self.norm = to_float, geometry, lighting, norm

    @property
    def members(self) -> list[Transform]:
        "The transforms that are done together."
        return [f for f in (self.to_float, self.geometry, self.lighting, self.norm) if f is not None]

    def idle_members(self, sample: Any) -> list[Transform]:
        "Those that would change nothing about `sample`."
        return [f for f in self.members if not f.applies_to(sample)]

    def __repr__(self) -> str:
        return f"FusedTransforms({', '.join(map(repr, self.members))})"

    def _is_fast(self, o: Any) -> bool:
        return isinstance(o, tv_tensors.Image) and o.dtype == torch.uint8 and o.ndim == 4 and (self.norm is None or self.norm.fits(o))

    def __call__(self, x: Any, split_idx: int | None = None, rng: np.random.Generator | None = None) -> Any:
        "Encode the batch `x`: draw what each member needs, then change all bytes in one go."
        drawn = {}
        for f in self.members:
            if f.split_idx is not None and split_idx is not None and split_idx != f.split_idx:
                continue
            params = {}
            if hasattr(f, "draw"):
                params = drawn[f] = f.draw(x, rng, split_idx)
            if params is not None:              # what is not a batch of bytes gets this transform now
                x = f.map_parts(x, lambda o, f=f, params=params: o if self._is_fast(o) else f.encodes(o, **params))
        geometry, lighting = drawn.get(self.geometry), drawn.get(self.lighting)

        def done(o: Any) -> Any:
            return self._image(o, geometry, None if lighting is None else lighting["change"]) if self._is_fast(o) else o
        return like_sample(map(done, x), x) if is_sample(x) else done(x)

    def _image(self, x: torch.Tensor, geometry: dict | None, change: LightingChange | None) -> Image:
        plain = x.as_subclass(torch.Tensor)
        matrix = None if geometry is None else geometry["matrix"]
        moves = None
        if matrix is not None and self.geometry.only_moves(plain, matrix):
            moves, geometry = matrix, None                      # pixels change places, which the look-up does on the way
        black = geometry is not None and matrix is not None and self.geometry.pad_mode == "zeros"
        out = self._values(plain, change, None if black else self.norm, moves)
        if geometry is not None:
            out = self.geometry.resampled(out, matrix, geometry["tensor"])
        if black and self.norm is not None:                     # what is outside is black, not the mean
            return self.norm.encodes(Image(out))
        return Image(out)

    def _values(self, plain: torch.Tensor, change: LightingChange | None, norm: Normalize | None,
                moves: np.ndarray | None) -> torch.Tensor:
        "Bytes -> contiguous floats, with the lighting changed and normalised. moves: matrices of flips."
        if plain.device.type == "cpu" and (change is None or change.is_pointwise()):
            return look_up(self._table(plain.shape[:2], change, norm), plain, None if moves is None else flips(moves))
        plain = plain if moves is None else symmetries(plain, moves)
        x = plain.to(torch.float32, memory_format=torch.contiguous_format).div_(self.to_float.div)
        x = x if change is None else change.apply(x, x.device)
        return x if norm is None else norm.encodes(Image(x)).as_subclass(torch.Tensor)

    def _table(self, shape: Sequence[int], change: LightingChange | None, norm: Normalize | None) -> torch.Tensor:
        "What becomes of each byte: (images or 1, channels or 1, 256)."
        values = torch.arange(256, dtype=torch.float32).div_(self.to_float.div).view(1, 1, 256)
        if change is not None:
            n, channels = shape[0], shape[1] if len(change.offset) > 1 else 1
            values = change.apply(values[:, :, None].expand(n, channels, 1, 256), values.device).view(n, channels, 256)
        if norm is not None:
            mean, std = (t.reshape(1, -1, 1) for t in norm.stats_on(values))
            values = values.sub(mean).div_(std)
        return values


def look_up(table: torch.Tensor, x: torch.Tensor, mirrored: tuple[np.ndarray, np.ndarray] | None = None) -> torch.Tensor:
    """`table` (B or 1,C or 1,256) at the bytes `x` (B,C,H,W): contiguous floats (B,C,H,W).

    mirrored: which images to mirror left and right, and which top and bottom, see `flips`.
    """
    n, channels = x.shape[:2]
    out = torch.empty(x.shape)
    values = np.broadcast_to(table.contiguous().numpy(), (n, channels, 256))
    source, target = x.numpy(), out.numpy()

    def planes(first: int, last: int) -> None:
        for i in range(first, last):
            image = source[i]
            if mirrored is not None:
                image = image[:, ::-1 if mirrored[1][i] else 1, ::-1 if mirrored[0][i] else 1]
            for c in range(channels):
                # wrap: the bytes are in range, and the default mode would go through a buffer
                np.take(values[i, c], image[c], out=target[i, c], mode="wrap")

    threads = min(torch.get_num_threads(), n)
    edges = [n * i // threads for i in range(threads + 1)]
    shares = [_pool(threads - 1).submit(planes, edges[i], edges[i + 1]) for i in range(1, threads)]
    planes(edges[0], edges[1])
    for share in shares:
        share.result()
    return out


_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def _pool(n: int) -> ThreadPoolExecutor:
    "Threads for looking up; of this process, not of the one it was forked from."
    key = os.getpid(), n
    if key not in _pools:
        _pools.clear()
        _pools[key] = ThreadPoolExecutor(n, thread_name_prefix="minifast-batch")
    return _pools[key]
