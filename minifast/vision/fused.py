"""Batch transforms of bytes in one go: floats, light, normalisation and geometry of a batch of pictures in two passes over the pixels.

A byte has 256 values. What `IntToFloatTensor`, `Lighting` and `Normalize` do to each of them is worked out once per picture (and channel) and
looked up for every pixel; then `AffineWarp` resamples the result. The parameters are drawn as they are by the transforms one by one, and
validation batches are the same to the last bit. In a training batch light comes before the geometry instead of after it, which differs
where neighbouring pixels differ and are blended: by less than one level of 255 on average.
"""
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torchvision import tv_tensors

from ..data.buffers import batches
from ..transform import Transform
from .augment_affine import AffineWarp, is_symmetry, resize_batch, symmetries, warp_batch
from .augment_lighting import Lighting

Image = tv_tensors.Image


def fuse(to_float, following, normalize):
    """`to_float` (an `IntToFloatTensor`) with those of the transforms `following` it that can be done in the same go: (transform, how many
    of them it replaces), or None. normalize: the class of the normalisation."""
    found = {}
    for kind in (AffineWarp, Lighting, normalize):
        if len(found) < len(following) and isinstance(following[len(found)], kind):
            found[kind] = following[len(found)]
    if not found or any(isinstance(f, AffineWarp) and f.mode == "nearest" for f in found.values()):
        return None
    return FusedPictures(to_float, found.get(AffineWarp), found.get(Lighting), found.get(normalize)), len(found)


class FusedPictures(Transform):
    "The given transforms together (None: left out), on batches of uint8 pictures; everything else gets them one by one."
    whole = True

    def __init__(self, to_float, warp=None, light=None, norm=None):
        super().__init__(order=to_float.order)
        self.to_float, self.warp, self.light, self.norm = to_float, warp, light, norm

    def __repr__(self):
        return f"FusedPictures({', '.join(map(repr, filter(None, (self.to_float, self.warp, self.light, self.norm))))})"

    def _is_fast(self, o):
        if not (isinstance(o, Image) and o.dtype == torch.uint8 and o.ndim == 4):
            return False
        return self.norm is None or self.norm.fits(o)

    def __call__(self, x, split_idx=None, rng=None):
        drawn = {}
        for f in (self.to_float, self.warp, self.light, self.norm):
            if f is None:
                continue
            if not isinstance(f, (AffineWarp, Lighting)):
                x = f._apply(x, lambda o, f=f: o if self._is_fast(o) else f.encodes(o))
                continue
            if f.split_idx is not None and split_idx is not None and split_idx != f.split_idx:
                continue
            params = drawn[f] = f.draw(x, rng, split_idx)
            if params is not None:
                x = f._apply(x, lambda o, f=f, params=params: o if self._is_fast(o) else f.encodes(o, **params))
        warp, light = drawn.get(self.warp), drawn.get(self.light)

        def done(o):
            return self._picture(o, warp, None if light is None else light["light"]) if self._is_fast(o) else o
        return tuple(map(done, x)) if type(x) is tuple else done(x)

    def _picture(self, x, warp, light):
        plain = x.as_subclass(torch.Tensor)
        matrix = None if warp is None else warp["matrix"]
        hw = tuple(plain.shape[-2:]) if warp is None else self.warp.size or tuple(plain.shape[-2:])
        if matrix is not None and hw == tuple(plain.shape[-2:]) and is_symmetry(matrix):
            plain, matrix = symmetries(plain, matrix), None         # pixels change places: as bytes
        black = matrix is not None and self.warp.pad_mode == "zeros"         # what is outside is black, not the mean
        out = self._values(plain, light, None if black else self.norm)
        if matrix is not None:
            perspective = bool((matrix[:, 2] != (0, 0, 1)).any())
            out = warp_batch(out, warp["tensor"], hw, self.warp.mode, self.warp.pad_mode, self.warp.align_corners, perspective)
            if black and self.norm is not None:
                out = self.norm.encodes(Image(out)).as_subclass(torch.Tensor)
        elif hw != tuple(plain.shape[-2:]):
            out = resize_batch(out, hw, self.warp.mode)
        return Image(out)

    def _values(self, plain, light, norm):
        "Bytes -> floats, contiguous, with the light changed and normalised."
        if plain.device.type == "cpu" and (light is None or light.is_pointwise()):
            return look_up(self._table(len(plain), plain.shape[1], light, norm), plain)
        x = plain.to(torch.float32, memory_format=torch.contiguous_format).div_(self.to_float.div)
        x = x if light is None else light.apply(x, x.device)
        return x if norm is None else norm.encodes(Image(x)).as_subclass(torch.Tensor)

    def _table(self, n, channels, light, norm):
        "What becomes of each byte: (pictures or 1, channels or 1, 256)."
        values = torch.arange(256, dtype=torch.float32).div_(self.to_float.div)
        if light is not None:
            values = light.apply(values.view(1, 1, 1, 256).expand(n, 1, 1, 256), values.device).view(n, 1, 256)
        else:
            values = values.view(1, 1, 256)
        if norm is not None:
            mean, std = (t.reshape(1, -1, 1) for t in norm._stats_on(values))
            values = values.sub(mean).div_(std)
        return values


def look_up(table, x):
    "`table` (B or 1,C or 1,256) at the bytes `x` (B,C,H,W): contiguous floats (B,C,H,W), in memory that is used again."
    n, channels = x.shape[:2]
    out = batches.empty(x.shape, torch.float32)
    table = table.expand(n, channels, 256).contiguous().numpy()
    source, target = x.numpy(), out.numpy()

    def planes(first, last):
        for i in range(first, last):
            for c in range(channels):
                # clip: the bytes are in range, and the default mode would go through a buffer
                np.take(table[i, c], source[i, c], out=target[i, c], mode="clip")

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
