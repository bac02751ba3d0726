"""Progressive resizing: train on small pictures first, because they are cheap, and on large ones at the end.

Source: J. Howard, "Training Imagenet in 3 hours for 25 minutes", 2018; M. Tan, Q. Le, "EfficientNetV2", 2021, section 4.
"""
import torch
import torch.nn.functional as F

from ..core.messages import describe
from ..core.nested import map_nested
from .base import Callback, Order


def size_at(progress, start, end, finish=0.75, multiple_of=4):
    """The size at `progress` (0 to 1) of training: linear from `start` to `end`, which it reaches at `finish`; rounded to a multiple of
    `multiple_of`, but never beyond `end`. Sizes are numbers of pixels."""
    share = 1.0 if finish <= 0 else min(1.0, progress / finish)
    size = start + (end - start) * share
    return end if share == 1.0 else min(max(start, end), max(multiple_of, round(size / multiple_of) * multiple_of))


def staged_size(progress, sizes):
    "The size at `progress` (0 to 1) of training where each of `sizes` has an equal part of it."
    return sizes[min(int(progress * len(sizes) + 1e-9), len(sizes) - 1)]


def resize_images(x, size, nearest=False):
    "Batch of pictures `x` (B,C,H,W) or (B,H,W) at `size` (height, width): antialiased; integers (masks) by the nearest pixel."
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    pictures = x if x.ndim == 4 else x[:, None]
    if nearest or not x.is_floating_point():
        out = F.interpolate(pictures.float(), size=size, mode="nearest-exact").to(x.dtype)
    else:
        out = F.interpolate(pictures, size=size, mode="bilinear", antialias=True, align_corners=False)
    return out if x.ndim == 4 else out[:, 0]


class ProgressiveResize(Callback):
    """Change the size of the training pictures from epoch to epoch; validation always sees the full size.

    start, end: sizes in pixels of the shorter side (end None: the loaders' own size; a start below 1 is a share of it). finish: the
    share of training after which the size is `end`. multiple_of: sizes are rounded to it. sizes: a list instead, such as
    `[128, 192, 224]`: each for an equal part of the epochs. part: `(first, total)` epochs, where this fit is only a part of a longer
    training.

    Transforms that make pictures of a given size (`Resize`, `RandomResizedCrop`, `RatioResize`, `aug_transforms(size=)`) work in
    proportion, so that small pictures are also decoded, cut and augmented as small ones; what is of another size after that is
    resized on the device, masks with it. The items and their order stay the same. Refuses sizes that do not end with the loaders' own.
    """

    order = Order.BATCH - 1                      # before mixing
    run_valid = False

    def __init__(self, start=0.5, end=None, finish=0.75, multiple_of=4, sizes=None, part=None):
        problems = []
        if sizes is not None and (not isinstance(sizes, (list, tuple)) or not sizes or not all(_is_size(s) for s in sizes)):
            problems.append(f"sizes={sizes!r}: a list of sizes in pixels, such as [128, 192, 224]")
        if sizes is None and (not isinstance(start, (int, float)) or start <= 0 or (start >= 1 and not _is_size(start))):
            problems.append(f"start={start!r}: a size in pixels, or a share of the full size between 0 and 1")
        if not 0 <= finish <= 1:
            problems.append(f"finish={finish!r}: a share of training, from 0 to 1")
        if problems:
            raise ValueError("ProgressiveResize: " + "; ".join(problems))
        self.start, self.end, self.finish, self.multiple_of, self.sizes, self.part = start, end, finish, multiple_of, sizes, part
        self._dls, self.used = None, []          # used: the size of each epoch of the latest fit

    def before_fit(self) -> None:
        learn = self.learn
        others = [cb for cb in learn.cbs if isinstance(cb, ProgressiveResize) and cb is not self]
        if others:
            raise ValueError("two callbacks change the size of the pictures: give either sizes= or a ProgressiveResize")
        image = next((t for t in _images(learn.dls.one_batch()) if t.ndim == 4), None)
        if image is None:
            raise TypeError("ProgressiveResize needs batches of pictures (B,C,H,W); received "
                            f"{describe(learn.dls.one_batch())}")
        self._full = tuple(image.shape[-2:])
        side = min(self._full)
        end = self.sizes[-1] if self.sizes is not None else side if self.end is None else self.end
        if end != side:
            given = f"sizes={list(self.sizes)}" if self.sizes is not None else f"end={end}"
            raise ValueError(f"ProgressiveResize({given}): the last size must be that of the loaders' pictures, which is "
                             f"{self._full[0]}x{self._full[1]}: validation is done at that size. End with {side}, or make the data with "
                             f"pictures of {end}")
        self._end, self._start = end, round(self.start * end) if self.start < 1 else self.start
        self._dls, self.used, self._loaders = learn.dls, [], {}

    def before_epoch(self) -> None:
        first, total = self.part or (0, self.learn.n_epoch)
        epoch = first + self.learn.epoch
        if self.sizes is not None:
            size = staged_size(epoch / total, self.sizes)
        else:
            size = size_at(epoch / (total - 1) if total > 1 else 1.0, self._start, self._end, self.finish, self.multiple_of)
        scale = size / self._end
        self._size = tuple(max(1, round(s * scale)) for s in self._full)
        self.used.append(size)
        self.learn.dls = self._dls if scale == 1 else self._resized(scale)

    def _resized(self, scale):
        "The loaders, the training loader with its transforms at `scale`."
        train = self._dls.train
        if not hasattr(train, "after_item"):
            return self._dls
        pipelines = {name: [f.rescaled(scale) if hasattr(f, "rescaled") else f for f in getattr(train, name)]
                     for name in ("after_item", "after_batch")}
        if all(new is old for name in pipelines for new, old in zip(pipelines[name], getattr(train, name), strict=True)):
            return self._dls
        new = train.new(**pipelines)
        new.epoch = train.epoch                          # goes on with the same order and augmentation
        return self._dls.new(new, *list(self._dls)[1:])

    def before_batch(self) -> None:
        learn, full, size = self.learn, self._full, self._size

        def resize(t):
            return resize_images(t, size) if isinstance(t, torch.Tensor) and t.ndim in (3, 4) and tuple(t.shape[-2:]) == full else t

        if size != full:
            learn.xb, learn.kw = map_nested(resize, learn.xb), map_nested(resize, learn.kw)
            learn.yb = map_nested(resize, learn.yb)

    def after_train(self) -> None:
        "The full loaders count the epoch too."
        if self.learn.dls is not self._dls:
            self._dls.train.epoch = self.learn.dls.train.epoch

    def cleanup_fit(self) -> None:
        if self._dls is not None:
            self.learn.dls, self._dls = self._dls, None


def _is_size(s):
    return isinstance(s, int) and not isinstance(s, bool) and s > 0


def _images(batch):
    "The tensors of a batch, in order."
    found = []
    map_nested(lambda t: found.append(t) if isinstance(t, torch.Tensor) else None, batch)
    return found


def in_sizes(sizes, first, total):
    "The callbacks of a fit that is asked for `sizes`, and begins after `first` of `total` epochs."
    if isinstance(sizes, (list, tuple)) and len(sizes) > total:
        raise ValueError(f"sizes={list(sizes)}: {len(sizes)} sizes need at least as many epochs, and this training has {total}")
    return [ProgressiveResize(sizes=sizes, part=(first, total))]
