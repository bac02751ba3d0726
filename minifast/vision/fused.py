"""Batch transforms of bytes in one go: floats, light, normalisation and geometry of a batch of pictures in two passes over the pixels.

A byte has 256 values. What `IntToFloatTensor`, `Lighting` and `Normalize` do to each of them is worked out once per picture (and channel)
and looked up for every pixel; then `AffineWarp` resamples the result. The parameters are drawn as they are by the transforms one by one,
and validation batches are the same to the last bit. In a training batch light comes before the geometry instead of after it, which differs
where neighbouring pixels differ and are blended: by less than one level of 255 on average.
"""
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torchvision import tv_tensors

from ..data.transforms import Transform, is_sample, like_sample
from .symmetry import flips, symmetries

Image = tv_tensors.Image


def fuse(to_float, following):
    """`to_float` (an `IntToFloatTensor`) with those of the transforms `following` it that can be done in the same go, one of each kind
    ('geometry', 'light', 'norm': their `fuses_as`), in this order: (transform, how many of them it replaces), or None."""
    found, left = {}, list(following)
    for kind in ("geometry", "light", "norm"):
        if left and getattr(left[0], "fuses_as", None) == kind:
            found[kind] = left.pop(0)
    return (FusedPictures(to_float, **found), len(found)) if found else None


class FusedPictures(Transform):
    "The given transforms together (None: left out), on batches of uint8 pictures; everything else gets them one by one."
    whole = True

    def __init__(self, to_float, geometry=None, light=None, norm=None):
        super().__init__(order=to_float.order)
        self.to_float, self.geometry, self.light, self.norm = to_float, geometry, light, norm

    @property
    def members(self):
        return [f for f in (self.to_float, self.geometry, self.light, self.norm) if f is not None]

    def idle_members(self, sample):
        "Those that would change nothing about `sample`."
        return [f for f in self.members if not f.applies_to(sample)]

    def __repr__(self):
        return f"FusedPictures({', '.join(map(repr, self.members))})"

    def _is_fast(self, o):
        return isinstance(o, Image) and o.dtype == torch.uint8 and o.ndim == 4 and (self.norm is None or self.norm.fits(o))

    def __call__(self, x, split_idx=None, rng=None):
        drawn = {}
        for f in self.members:
            if f.split_idx is not None and split_idx is not None and split_idx != f.split_idx:
                continue
            params = {}
            if hasattr(f, "draw"):
                params = drawn[f] = f.draw(x, rng, split_idx)
            if params is not None:              # what is not a batch of bytes gets this transform now
                x = f.map_parts(x, lambda o, f=f, params=params: o if self._is_fast(o) else f.encodes(o, **params))
        geometry, light = drawn.get(self.geometry), drawn.get(self.light)

        def done(o):
            return self._picture(o, geometry, None if light is None else light["light"]) if self._is_fast(o) else o
        return like_sample(map(done, x), x) if is_sample(x) else done(x)

    def _picture(self, x, geometry, light):
        plain = x.as_subclass(torch.Tensor)
        matrix = None if geometry is None else geometry["matrix"]
        moves = None
        if matrix is not None and self.geometry.only_moves(plain, matrix):
            moves, geometry = matrix, None                      # pixels change places: on the way
        black = geometry is not None and matrix is not None and self.geometry.pad_mode == "zeros"
        out = self._values(plain, light, None if black else self.norm, moves)
        if geometry is not None:
            out = self.geometry.resampled(out, matrix, geometry["tensor"])
        if black and self.norm is not None:                     # what is outside is black, not the mean
            out = self.norm.encodes(Image(out)).as_subclass(torch.Tensor)
        return Image(out)

    def _values(self, plain, light, norm, moves=None):
        "Bytes -> floats, contiguous, with the light changed and normalised. moves: matrices of flips."
        if plain.device.type == "cpu" and (light is None or light.is_pointwise()):
            return look_up(self._table(plain.shape[:2], light, norm), plain, None if moves is None else flips(moves))
        plain = plain if moves is None else symmetries(plain, moves)
        x = plain.to(torch.float32, memory_format=torch.contiguous_format).div_(self.to_float.div)
        x = x if light is None else light.apply(x, x.device)
        return x if norm is None else norm.encodes(Image(x)).as_subclass(torch.Tensor)

    def _table(self, shape, light, norm):
        "What becomes of each byte: (pictures or 1, channels or 1, 256)."
        values = torch.arange(256, dtype=torch.float32).div_(self.to_float.div)
        if light is not None:
            n, channels = shape[0], shape[1] if len(light.offset) > 1 else 1
            values = light.apply(values.view(1, 1, 1, 256).expand(n, channels, 1, 256), values.device).view(n, channels, 256)
        values = values.view(-1, 1, 256) if light is None else values
        if norm is not None:
            mean, std = (t.reshape(1, -1, 1) for t in norm.stats_on(values))
            values = values.sub(mean).div_(std)
        return values


def look_up(table, x, mirrored=None):
    """`table` (B or 1,C or 1,256) at the bytes `x` (B,C,H,W): contiguous floats (B,C,H,W).

    mirrored: which pictures to mirror left and right, and which top and bottom, see `flips`.
    """
    n, channels = x.shape[:2]
    out = torch.empty(x.shape)
    table = table.contiguous().numpy()              # one for all, or one each
    table = np.broadcast_to(table, (n, channels, 256))
    source, target = x.numpy(), out.numpy()

    def planes(first, last):
        for i in range(first, last):
            picture = source[i]
            if mirrored is not None:
                picture = picture[:, ::-1 if mirrored[1][i] else 1, ::-1 if mirrored[0][i] else 1]
            for c in range(channels):
                # wrap: the bytes are in range, and the default mode would go through a buffer
                np.take(table[i, c], picture[c], out=target[i, c], mode="wrap")

    threads = min(torch.get_num_threads(), n)
    edges = [n * i // threads for i in range(threads + 1)]
    shares = [_pool(threads - 1).submit(planes, edges[i], edges[i + 1]) for i in range(1, threads)]
    planes(edges[0], edges[1])
    for share in shares:
        share.result()
    return out


_pools = {}


def _pool(n):
    "Threads for looking up; of this process, not of the one it was forked from."
    key = os.getpid(), n
    if key not in _pools:
        _pools.clear()
        _pools[key] = ThreadPoolExecutor(n, thread_name_prefix="minifast-batch")
    return _pools[key]
