"""From bytes to what a model expects: `IntToFloatTensor` makes floats in 0..1, `Normalize` gives them mean 0 and standard deviation 1 per
channel; and both together with lighting and geometry, in two passes over the pixels of a batch.

A byte has 256 values. What `IntToFloatTensor`, `Lighting` and `Normalize` do to each of them is worked out once per image (and channel)
and looked up for every pixel; then `AffineWarp` resamples the result. The parameters are drawn as they are by the transforms one by one,
and validation batches are the same to the last bit. In a training batch lighting comes before the geometry instead of after it, which
differs where neighbouring pixels differ and are blended: by less than one level of 255 on average.
"""
from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torchvision import tv_tensors

from ..core.messages import describe
from ..data.transforms import Transform
from ..nn.layers import Scaling
from .symmetry import flips, symmetries
from .tensors import TensorImage, TensorMask

if TYPE_CHECKING:
    from .augment.affine import AffineWarp
    from .augment.lighting import Lighting, LightingChange

__all__ = ["FusedTransforms", "IntToFloatTensor", "Normalize", "cifar_stats", "imagenet_stats", "look_up", "mnist_stats"]

Image: TypeAlias = TensorImage

#: (mean, std) per channel of pixels in 0..1
imagenet_stats: tuple[list[float], list[float]] = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
cifar_stats: tuple[list[float], list[float]] = ([0.491, 0.482, 0.447], [0.247, 0.243, 0.261])
mnist_stats: tuple[list[float], list[float]] = ([0.131], [0.308])


class IntToFloatTensor(Transform):
    """Images: integers divided by `div` -> floats in 0..1. Masks: integers floor-divided by `div_mask` -> int64 class numbers.

    Args:
        div: the value of white.
        div_mask: 255 for masks of 0 and 255 that stand for 0 and 1.
    """
    order = 10
    types = (tv_tensors.Image, tv_tensors.Mask)
    any_layout: bool = True          #: read by loaders: images may come with their channels last in memory

    def __init__(self, div: float = 255.0, div_mask: int = 1):
        super().__init__()
        self.div, self.div_mask = div, div_mask

    def encodes(self, x: Any) -> torch.Tensor:
        "Turn integers into floats (images) or int64 (masks)."
        plain = x.as_subclass(torch.Tensor)
        if isinstance(x, tv_tensors.Mask):
            return (plain.long() if self.div_mask == 1 else plain.long() // self.div_mask).as_subclass(TensorMask)
        if plain.is_floating_point():
            return x
        return plain.to(torch.float32, memory_format=torch.contiguous_format).div_(self.div).as_subclass(Image)

    def fuse(self, following: Sequence[Transform]) -> tuple[FusedTransforms, int] | None:
        """This transform with those of `following` that can be done together with it.

        Args:
            following: the transforms after this one. Fused are one of each kind ('geometry', 'lighting', 'norm': their `fuses_as`), in
                this order.

        Returns:
            The fused transform and how many of `following` it replaces, or None.
        """
        found: dict[str, Any] = {}
        left = list(following)
        for kind in ("geometry", "lighting", "norm"):
            if left and getattr(left[0], "fuses_as", None) == kind:
                found[kind] = left.pop(0)
        return (FusedTransforms(self, **found), len(found)) if found else None

    def decodes(self, x: Any) -> Any:
        "Clip images to 0..1, where they can be shown."
        shown = isinstance(x, tv_tensors.Image) and x.is_floating_point()
        return Image(x.as_subclass(torch.Tensor).clamp(0.0, 1.0)) if shown else x


def _channel_stats(batches: Iterable, axes: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    "Mean and standard deviation per channel over all pixels of the images in `batches`."
    n, total, squares = 0, torch.zeros(()), torch.zeros(())
    for batch in batches:
        for x in [o for o in (batch if isinstance(batch, (tuple, list)) else (batch,)) if isinstance(o, tv_tensors.Image)][:1]:
            x = x.as_subclass(torch.Tensor).cpu()
            x = (x if x.is_floating_point() else x / 255).double()
            total, squares = total + x.sum(axes), squares + (x * x).sum(axes)
            n += x.numel() // total.numel()
    if not n:
        raise ValueError("Normalize() without mean and std measures them on the images of the training batches, and found none there. "
                         "Write Normalize.from_stats(mean, std), for example Normalize.from_stats(*imagenet_stats).")
    mean = total / n
    return mean.float(), (squares / n - mean * mean).clamp_min(0).sqrt().float()


def _check_scale(mean: torch.Tensor, std: torch.Tensor, value_range: tuple[float, float]) -> None:
    "Refuse statistics that values in this range cannot have; for pixels in 0..1 also those of -1..1 may be meant."
    low, high = value_range
    width = high - low
    lowest = -1 if value_range == (0, 1) else low
    if mean.min() >= lowest and mean.max() <= high and std.max() <= width:
        return
    shown, shown_std = ([round(v, 3) for v in t.tolist()] for t in (mean, std))
    lines = f"Normalize(mean={shown}, std={shown_std}): these are not statistics of values in {low}..{high}"
    if value_range == (0, 1) and mean.min() >= 0 and mean.max() <= 255 and std.max() <= 128:
        m, s = ([round(v / 255, 4) for v in t.tolist()] for t in (mean, std))
        lines += f", but of pixels in 0..255, and IntToFloatTensor makes 0..1 of those: write mean={m}, std={s}"
    raise ValueError(f"{lines}. For inputs on another scale say which, value_range=(low, high)")


class Normalize(Transform):
    """Images: subtract the mean and divide by the standard deviation, per channel; `decode` undoes it.

    Without statistics they are measured when the loaders are made, over `n_batches` (10) batches of training items without augmentation.

    Args:
        mean: one number per channel, of pixels in 0..1; see `imagenet_stats`.
        std: the same for the standard deviation. Give both or neither.
        axes: the axes of the batch that share a mean.
        value_range: (low, high) of inputs that are not pixels in 0..1, such as decibels.

    Raises:
        ValueError: one of mean and std is missing, a std is not above 0, or they are of values on another scale than `value_range`.
    """
    order = 99
    types = (tv_tensors.Image,)
    fuses_as: str = "norm"              #: see `IntToFloatTensor.fuse`
    only_one = "normalise"
    n_batches: int = 10                 #: how many batches are measured

    def __init__(self, mean: Sequence[float] | torch.Tensor | float | None = None,
                 std: Sequence[float] | torch.Tensor | float | None = None, axes: Sequence[int] = (0, 2, 3),
                 value_range: tuple[float, float] = (0, 1)):
        super().__init__()
        if (mean is None) != (std is None):
            raise ValueError(f"Normalize takes mean and std together or neither; received mean={mean}, std={std}")
        self.axes, self.value_range = tuple(axes), (value_range[0], value_range[1])
        self.mean, self.std = (None, None) if mean is None else (self._shaped(mean), self._shaped(std))
        if self.std is not None and not (self.std > 0).all():
            raise ValueError(f"Normalize(std={std}): every standard deviation must be above 0")
        if self.mean is not None and getattr(mean, "ndim", 1) < 2:          # what was measured, as one number for each axis, is right
            _check_scale(self.mean.flatten(), self.std.flatten(), self.value_range)

    @classmethod
    def from_stats(cls, mean: Sequence[float], std: Sequence[float], dim: int = 1, ndim: int = 4, cuda: bool = True,
                   value_range: tuple[float, float] = (0, 1)) -> Normalize:
        """Normalize by given statistics.

        Args:
            mean: one number per channel, as in `imagenet_stats`.
            std: the same for the standard deviation.
            dim: the axis of the channels.
            ndim: number of axes of a batch.
            cuda: accepted for fastai's signature; the statistics follow the batch to its device.
            value_range: (low, high) of inputs that are not pixels in 0..1.
        """
        return cls(mean, std, tuple(i for i in range(ndim) if i != dim % ndim), value_range)

    def _shaped(self, value: Any) -> torch.Tensor:
        t = torch.as_tensor(value, dtype=torch.float32)
        return t if t.ndim > 1 else t.reshape([1 if i in self.axes else -1 for i in range(len(self.axes) + 1)])

    def setups(self, items: Iterable) -> None:
        "Measure mean and std on batches of training items, unless they were given."
        if self.mean is None:
            mean, std = _channel_stats(islice(iter(items), self.n_batches), self.axes)
            self.mean, self.std = self._shaped(mean), self._shaped(std.clamp_min(1e-7))

    def stats_on(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        "Mean and std on the device of `x`, in a shape that fits it: `x` may be one image of a batch."
        if self.mean is None:
            raise RuntimeError("Normalize() has no mean and std yet: they are measured when the DataLoaders are made. "
                               "Outside them write Normalize.from_stats(*imagenet_stats).")
        if self.mean.device != x.device:
            self.mean, self.std = self.mean.to(x.device), self.std.to(x.device)
        shape = self.mean.shape[-x.ndim:]
        return self.mean.view(shape), self.std.view(shape)

    def fits(self, x: torch.Tensor) -> bool:
        "Whether there are statistics for the channels of batch `x` (B,C,H,W), and they do not differ from place to place."
        return self.mean is not None and self.mean.numel() in (1, x.shape[1]) and self.mean.ndim == 4 and self.axes == (0, 2, 3)

    def encodes(self, x: Any) -> torch.Tensor:
        "Subtract the mean and divide by the standard deviation."
        mean, std = self.stats_on(x)
        if not x.is_floating_point():
            raise TypeError(f"Normalize works on images as floats in 0..1; received {describe(x)}. Put IntToFloatTensor() before it "
                            "(ImageBlock does).")
        if any(n not in (1, m) for n, m in zip(mean.shape, x.shape, strict=False)):
            raise ValueError(f"Normalize has statistics for {mean.numel()} channels; received {describe(x)}")
        return x.as_subclass(torch.Tensor).sub(mean).div_(std).as_subclass(TensorImage)

    def scaling(self, x: Any) -> Scaling | None:
        "`encodes` as a layer, for images."
        return Scaling(*(t.clone() for t in self.stats_on(x))) if isinstance(x, tv_tensors.Image) else None

    def decodes(self, x: Any) -> Any:
        "Undo `encodes`."
        if not isinstance(x, tv_tensors.Image) or not x.is_floating_point():
            return x
        mean, std = self.stats_on(x)
        return x.as_subclass(torch.Tensor).mul(std).add_(mean).as_subclass(TensorImage)

    def __repr__(self) -> str:
        if self.mean is None:
            return "Normalize()"
        mean, std = ([round(v, 3) for v in t.flatten().tolist()] for t in (self.mean, self.std))
        return f"Normalize(mean={mean}, std={std})"


# -- together with what comes before it -------------------------------------------------------------------------------------------

class FusedTransforms(Transform):
    "The given transforms together (None: left out), on batches of uint8 images; everything else gets them one by one."
    whole = True

    def __init__(self, to_float: IntToFloatTensor, geometry: AffineWarp | None = None, lighting: Lighting | None = None,
                 norm: Normalize | None = None):
        super().__init__(order=to_float.order)
        self.to_float, self.geometry, self.lighting, self.norm = to_float, geometry, lighting, norm
        self.members: list[Transform] = [f for f in (to_float, geometry, lighting, norm) if f is not None]

    def idle_members(self, sample: Any) -> list[Transform]:
        "Those that would change nothing about `sample`."
        return [f for f in self.members if not f.applies_to(sample)]

    def __repr__(self) -> str:
        return f"FusedTransforms({', '.join(map(repr, self.members))})"

    def _is_fast(self, o: Any) -> bool:
        return isinstance(o, tv_tensors.Image) and o.dtype == torch.uint8 and o.ndim == 4 and (self.norm is None or self.norm.fits(o))

    def __call__(self, x: Any, split_idx: int | None = None, rng: np.random.Generator | None = None) -> Any:
        "Encode the batch `x`: draw what each member needs, then change all bytes in one go."
        drawn: dict[Transform, dict[str, Any] | None] = {}
        for f in self.members:
            if f.skips(split_idx):
                continue
            params = drawn[f] = f.draw(x, rng, split_idx) if hasattr(f, "draw") else {}
            if params is not None:              # what is not a batch of bytes gets this transform now
                x = f.map_parts(x, lambda o, f=f, params=params: o if self._is_fast(o) else f.encodes(o, **params))
        geometry, lighting = drawn.get(self.geometry), drawn.get(self.lighting)
        change = None if lighting is None else lighting["change"]
        return self.to_float.map_parts(x, lambda o: self._image(o, geometry, change) if self._is_fast(o) else o)

    def _image(self, x: torch.Tensor, geometry: dict | None, change: LightingChange | None) -> torch.Tensor:
        plain = x.as_subclass(torch.Tensor)
        matrix = None if geometry is None else geometry["matrix"]
        # where pixels only change places, the look-up does it on the way
        moves = matrix if matrix is not None and self.geometry.only_moves(plain, matrix) else None
        black = matrix is not None and moves is None and self.geometry.pad_mode == "zeros"
        out = self._values(plain, change, None if black else self.norm, moves)
        if geometry is not None and moves is None:
            out = self.geometry.resampled(out, matrix, geometry["tensor"])
        # what is outside is black, not the mean
        return self.norm.encodes(Image(out)) if black and self.norm is not None else Image(out)

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
    others = _pool(os.getpid(), threads - 1).map(planes, edges[1:-1], edges[2:]) if threads > 1 else ()
    planes(edges[0], edges[1])
    list(others)                                # waits for them, and raises their errors
    return out


@lru_cache(maxsize=1)
def _pool(pid: int, n: int) -> ThreadPoolExecutor:
    "Threads for looking up; of process `pid`, not of the one it was forked from."
    return ThreadPoolExecutor(n, thread_name_prefix="minifast-batch")
