"""`Normalize`: images with mean 0 and standard deviation 1 per channel, as the weights of a model expect them."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import torch
from torchvision import tv_tensors

from ..core.messages import describe
from ..data.transforms import Transform

__all__ = ["Normalize", "cifar_stats", "imagenet_stats", "mnist_stats"]

#: (mean, std) per channel of pixels in 0..1
imagenet_stats: tuple[list[float], list[float]] = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
cifar_stats: tuple[list[float], list[float]] = ([0.491, 0.482, 0.447], [0.247, 0.243, 0.261])
mnist_stats: tuple[list[float], list[float]] = ([0.131], [0.308])


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


class Normalize(Transform):
    """Images: subtract the mean and divide by the standard deviation, per channel; `decode` undoes it.

    Without statistics they are measured when the loaders are made, over `n_batches` (10) batches of training items without augmentation.

    Args:
        mean: one number per channel, of pixels in 0..1; see `imagenet_stats`.
        std: the same for the standard deviation. Give both or neither.
        axes: the axes of the batch that share a mean.
    """
    order = 99
    types = (tv_tensors.Image,)
    fuses_as: str = "norm"              #: see `fused`
    only_one = "normalise"
    n_batches: int = 10                 #: how many batches are measured

    def __init__(self, mean: Sequence[float] | torch.Tensor | float | None = None,
                 std: Sequence[float] | torch.Tensor | float | None = None, axes: Sequence[int] = (0, 2, 3)):
        super().__init__()
        if (mean is None) != (std is None):
            raise ValueError(f"Normalize takes mean and std together or neither; received mean={mean}, std={std}")
        self.axes = tuple(axes)
        self.mean, self.std = (None, None) if mean is None else (self._shaped(mean), self._shaped(std))
        if self.std is not None and not (self.std > 0).all():
            raise ValueError(f"Normalize(std={std}): every standard deviation must be above 0")

    @classmethod
    def from_stats(cls, mean: Sequence[float], std: Sequence[float], dim: int = 1, ndim: int = 4, cuda: bool = True) -> Normalize:
        """Normalize by given statistics.

        Args:
            mean: one number per channel, as in `imagenet_stats`.
            std: the same for the standard deviation.
            dim: the axis of the channels.
            ndim: number of axes of a batch.
            cuda: accepted for fastai's signature; the statistics follow the batch to its device.
        """
        return cls(mean, std, axes=tuple(i for i in range(ndim) if i != dim % ndim))

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
        if x.ndim >= self.mean.ndim:
            return self.mean, self.std
        shape = self.mean.shape[-x.ndim:]
        return self.mean.view(shape), self.std.view(shape)

    def fits(self, x: torch.Tensor) -> bool:
        "Whether there are statistics for the channels of batch `x` (B,C,H,W), and they do not differ from place to place."
        return self.mean is not None and self.mean.numel() in (1, x.shape[1]) and self.mean.ndim == 4 and self.axes == (0, 2, 3)

    def encodes(self, x: Any) -> tv_tensors.Image:
        "Subtract the mean and divide by the standard deviation."
        mean, std = self.stats_on(x)
        if not x.is_floating_point():
            raise TypeError(f"Normalize works on images as floats in 0..1; received {describe(x)}. Put IntToFloatTensor() before it "
                            "(ImageBlock does).")
        if any(n not in (1, m) for n, m in zip(mean.shape, x.shape, strict=False)):
            raise ValueError(f"Normalize has statistics for {mean.numel()} channels; received {describe(x)}")
        return tv_tensors.Image(x.as_subclass(torch.Tensor).sub(mean).div_(std))

    def decodes(self, x: Any) -> Any:
        "Undo `encodes`."
        if not isinstance(x, tv_tensors.Image) or not x.is_floating_point():
            return x
        mean, std = self.stats_on(x)
        return tv_tensors.Image(x.as_subclass(torch.Tensor).mul(std).add_(mean))

    def __repr__(self) -> str:
        if self.mean is None:
            return "Normalize()"
        mean, std = ([round(v, 3) for v in t.flatten().tolist()] for t in (self.mean, self.std))
        return f"Normalize(mean={mean}, std={std})"
