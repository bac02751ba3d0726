"""Progressive resizing: train on small images first, because they are cheap, and on large ones at the end.

Source: J. Howard, "Training Imagenet in 3 hours for 25 minutes", 2018; M. Tan, Q. Le, "EfficientNetV2", 2021, section 4.
"""
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from ..core import check_arguments, describe, is_number, is_whole, leaves, map_nested
from .base import DataLoaders, Order, TrainingCallback


def size_at(progress: float, start: int, end: int, finish: float = 0.75, multiple_of: int = 4) -> int:
    """The size at `progress` (0 to 1) of training, in pixels: linear from `start` to `end`, which it reaches at `finish`; rounded to a
    multiple of `multiple_of`, but never beyond `end`."""
    share = 1.0 if finish <= 0 else min(1.0, progress / finish)
    size = start + (end - start) * share
    return end if share == 1.0 else min(max(start, end), max(multiple_of, round(size / multiple_of) * multiple_of))


def staged_size(progress: float, sizes: Sequence[int]) -> int:
    "The size at `progress` (0 to 1) of training in which each of `sizes` gets an equal part."
    return sizes[min(int(progress * len(sizes) + 1e-9), len(sizes) - 1)]


def resize_images(x: torch.Tensor, size: tuple[int, int], nearest: bool = False) -> torch.Tensor:
    "Batch of images `x` (B,C,H,W) or (B,H,W) at `size` (height, width): antialiased; integers (masks) by the nearest pixel."
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    images = x if x.ndim == 4 else x[:, None]
    if nearest or not x.is_floating_point():
        out = F.interpolate(images.float(), size=size, mode="nearest-exact").to(x.dtype)
    else:
        out = F.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)
    return out if x.ndim == 4 else out[:, 0]


class ProgressiveResize(TrainingCallback):
    """Change the size of the training images from epoch to epoch; validation always sees the full size.

    Transforms that make images of a given size (`Resize`, `RandomResizedCrop`, `RatioResize`, `aug_transforms(size=)`) work in
    proportion, so that small images are also decoded, cropped and augmented as small ones; what still has the full size after that is
    resized on the device, masks with it. The items and their order stay the same. Refuses sizes that do not end with the loaders' own.

    Args:
        start: size of the shorter side in pixels, or below 1: a fraction of `end`.
        end: size of the shorter side in pixels; None: the loaders' own size.
        finish: the fraction of training after which the size is `end`.
        multiple_of: sizes are rounded to it.
        sizes: a list instead, such as `[128, 192, 224]`: each for an equal part of the epochs.
        part: `(first, total)` epochs, if this fit is only a part of a longer training.

    Attributes:
        used: the size of each epoch of the latest fit.
    """

    order = Order.BATCH - 1                      # before mixing

    def __init__(self, start: float = 0.5, end: int | None = None, finish: float = 0.75, multiple_of: int = 4,
                 sizes: Sequence[int] | None = None, part: tuple[int, int] | None = None):
        listed = sizes is None or (isinstance(sizes, (list, tuple)) and sizes and all(map(is_whole, sizes)))
        check_arguments("ProgressiveResize", sizes=(sizes, listed, "a list of sizes in pixels, such as [128, 192, 224]"),
                        start=(start, sizes is not None or is_whole(start) or (is_number(start) and 0 < start < 1),
                               "a size in pixels, or a fraction of the full size between 0 and 1"),
                        finish=(finish, is_number(finish, 0, 1), "a fraction of training, from 0 to 1"))
        self.start, self.end, self.finish, self.multiple_of, self.sizes, self.part = start, end, finish, multiple_of, sizes, part
        self._dls: DataLoaders | None = None
        self.used: list[int] = []

    def before_fit(self) -> None:
        learn = self.learn
        if any(isinstance(cb, ProgressiveResize) and cb is not self for cb in learn.cbs):
            raise ValueError("two callbacks change the size of the images: give either sizes= or a ProgressiveResize")
        batch = learn.dls.one_batch()
        image = next((t for t in leaves(batch) if isinstance(t, torch.Tensor) and t.ndim == 4), None)
        if image is None:
            raise TypeError(f"ProgressiveResize needs batches of images (B,C,H,W); received {describe(batch)}")
        self._full = image.shape[-2], image.shape[-1]
        side = min(self._full)
        end = self.sizes[-1] if self.sizes is not None else side if self.end is None else self.end
        if end != side:
            given = f"sizes={list(self.sizes)}" if self.sizes is not None else f"end={end}"
            raise ValueError(f"ProgressiveResize({given}): the last size must be that of the loaders' images, which is "
                             f"{self._full[0]}x{self._full[1]}: validation is done at that size. End with {side}, or make the data with "
                             f"images of {end}")
        self._end, self._start = end, round(self.start * end) if self.start < 1 else int(self.start)
        self._dls, self.used = learn.dls, []

    def before_epoch(self) -> None:
        first, total = self.part or (0, self.learn.n_epoch)
        epoch = first + self.learn.epoch
        size = (staged_size(epoch / total, self.sizes) if self.sizes is not None else
                size_at(epoch / (total - 1) if total > 1 else 1.0, self._start, self._end, self.finish, self.multiple_of))
        scale = size / self._end
        self._size = max(1, round(self._full[0] * scale)), max(1, round(self._full[1] * scale))
        self.used.append(size)
        self.learn.dls = self._dls if scale == 1 else self._resized(scale)

    def _resized(self, scale: float) -> "DataLoaders":
        "The loaders, the training loader with its transforms at `scale`."
        train = self._dls.train
        names = [name for name in ("after_item", "after_batch") if hasattr(train, "after_item")]
        pipelines = {name: [f.rescaled(scale) if hasattr(f, "rescaled") else f for f in getattr(train, name)] for name in names}
        if all(new is old for name in names for new, old in zip(pipelines[name], getattr(train, name), strict=True)):
            return self._dls
        new = train.new(**pipelines)
        new.epoch = train.epoch                          # continues with the same order and augmentation
        return self._dls.new(new, *list(self._dls)[1:])

    def before_batch(self) -> None:
        learn, full, size = self.learn, self._full, self._size

        def resize(t: Any) -> Any:
            return resize_images(t, size) if isinstance(t, torch.Tensor) and t.ndim in (3, 4) and tuple(t.shape[-2:]) == full else t

        if size != full:
            learn.xb, learn.kw, learn.yb = map_nested(resize, (learn.xb, learn.kw, learn.yb))

    def after_train(self) -> None:
        "The full loaders count the epoch too."
        if self.learn.dls is not self._dls:
            self._dls.train.epoch = self.learn.dls.train.epoch

    def cleanup_fit(self) -> None:
        if self._dls is not None:
            self.learn.dls, self._dls = self._dls, None


def in_sizes(sizes: Sequence[int], first: int, total: int) -> list[ProgressiveResize]:
    "The callbacks of a fit that is given `sizes`, and begins after `first` of `total` epochs."
    if isinstance(sizes, (list, tuple)) and len(sizes) > total:
        raise ValueError(f"sizes={list(sizes)}: {len(sizes)} sizes need at least as many epochs, and this training has {total}")
    return [ProgressiveResize(sizes=sizes, part=(first, total))]
