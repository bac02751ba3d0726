"""torchvision's own transforms (`torchvision.transforms.v2`) in `item_tfms` and `batch_tfms`."""
import math
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from ..core.messages import describe
from ..core.nested import with_attributes
from ..core.recipe import Recipe
from ..core.seeds import draw_seed, item_rng
from ..nn.layers import Scaling
from .coords import XYXY, BoundingBoxes, KeyPoints, blank_empty, in_pixels, is_scaled, on_canvas, scale_coords
from .transforms import ItemTransform, is_sample, like_sample

__all__ = ["V2", "for_validation", "is_random", "normalizes"]

_RANDOM_WITHOUT_PARAMS = (v2.RandomApply, v2.RandomChoice, v2.RandomOrder, v2.GaussianNoise, v2.AutoAugment, v2.AugMix, v2.RandAugment,
                          v2.TrivialAugmentWide)
_ORDERS = {v2.GaussianNoise: 40, v2.Normalize: 99, v2.RandomErasing: 100}


def is_random(t: Any) -> bool:
    "Whether torchvision transform `t` draws random parameters."
    return (type(t).make_params is not v2.Transform.make_params or isinstance(t, _RANDOM_WITHOUT_PARAMS)
            or any(c.__name__ == "_RandomApplyTransform" for c in type(t).__mro__))


def for_validation(t: Any) -> Any:
    """What takes the place of torchvision transform `t` for validation items, or None for nothing.

    Random crops, which also fix the size: the central crop (`RandomResizedCrop` first scales the short side to size / 0.875, as
    torchvision's own evaluation does). Other random transforms: nothing. The rest: the transform itself.
    """
    if isinstance(t, v2.Compose):
        kept = [o for o in map(for_validation, t.transforms) if o is not None]
        return v2.Compose(kept) if kept else None
    if isinstance(t, v2.RandomResizedCrop):
        scale = math.ceil(max(t.size) / 0.875)
        return v2.Compose([v2.Resize(scale, interpolation=t.interpolation, antialias=True), v2.CenterCrop(t.size)])
    if isinstance(t, v2.RandomCrop):
        return v2.CenterCrop(t.size)
    return None if is_random(t) else t


class V2(ItemTransform):
    """A transform of `torchvision.transforms.v2`, called on the whole sample, so that an image and its mask change alike.

    Training items get the transform; validation items what `for_validation` says. A value whose class has `to_tv_tensor()` and
    `from_tv_tensor(changed)` is handed over as what the first returns, and comes back as what the second makes of it: a `PILMask`
    travels as a `tv_tensors.Mask`. The transform's randomness comes from the sample's generator and leaves torch's global stream as
    it is (on the CPU: transforms that draw noise on a GPU use the GPU's stream). Points and boxes, also those scaled to -1..1, move
    along; what a crop cuts off is moved to its edge (points) or cut (boxes).

    Args:
        t: a transform of `torchvision.transforms.v2`.
        order: place in the pipeline. By default 1, before images become tensors (items) or floats (batches); transforms that need
            floats come later (`GaussianNoise` 40, `Normalize` 99, `RandomErasing` 100).

    Raises:
        TypeError: `t` is one of torchvision's old transforms, which do not change a mask with its image.
    """

    def __init__(self, t: Any, order: int | None = None):
        late = next((n for c, n in _ORDERS.items() if isinstance(t, c)), 1)
        super().__init__(order=late if order is None else order)
        if not isinstance(t, v2.Transform):
            name = type(t).__name__
            hint = f"use torchvision.transforms.v2.{name}" if hasattr(v2, name) else "wrap it in a function of one image"
            raise TypeError(f"{name} belongs to torchvision's old transforms, which do not handle masks and samples: {hint}")
        if isinstance(t, v2.Compose):
            for o in t.transforms:
                if not isinstance(o, v2.Transform) and type(o).__module__.startswith("torchvision."):
                    V2(o)
        self.transform, self.valid = t, for_validation(t)
        self.is_random = self.varies = self.draws_globally = self.valid is not t
        self.name = f"v2.{type(t).__name__}"

    def __call__(self, x: Any, split_idx: int | None = None, rng: np.random.Generator | None = None) -> Any:
        t = self.valid if split_idx == 1 else self.transform
        if t is None:
            return x
        x = on_canvas(x)
        sample = x if is_sample(x) else (x,)
        if not any(isinstance(o, (torch.Tensor, Image.Image)) for o in sample):
            return x
        given = [_for_torchvision(o) for o in sample]
        if self.is_random and split_idx != 1:
            rng = item_rng(draw_seed()) if rng is None else rng
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(int(rng.integers(2**62)))      # torch.manual_seed would reseed the GPUs as well
                done = t(*given)
        else:
            done = t(*given)
        done = (done,) if len(given) == 1 else done
        if not isinstance(done, (tuple, list)) or len(done) != len(sample):
            raise TypeError(f"{self.name} made {describe(done)} of a sample of {len(sample)}: a transform must keep the number of elements")
        done = blank_empty(tuple(map(_as_before, sample, done)))
        return like_sample(done, x) if is_sample(x) else done[0]

    def at_validation(self) -> "V2 | None":
        "The transform that takes its place for validation items."
        return None if self.split_idx == 0 or self.valid is None else V2(self.valid, self.order)

    @property
    def recipe(self) -> Recipe:
        "How to make this transform."
        return Recipe(type(self), {"t": self.transform, "order": self.order})

    def scaling(self, x: Any) -> Scaling | None:
        "torchvision's `Normalize` of an image, as a layer."
        if not isinstance(self.transform, v2.Normalize) or not isinstance(x, tv_tensors.Image):
            return None
        return Scaling(*(torch.tensor(o, dtype=torch.float32).view(-1, 1, 1) for o in (self.transform.mean, self.transform.std)))

    def applies_to(self, sample: Any) -> bool:
        "Whether there is an image, a mask, a tensor or coordinates in `sample`."
        parts = sample if is_sample(sample) else (sample,)
        return any(isinstance(o, (tv_tensors.TVTensor, Image.Image)) for o in parts) or (type(sample) is torch.Tensor)

    def __repr__(self) -> str:
        return f"V2({self.transform})"


def normalizes(t: Any) -> bool:
    "Whether transform `t` is or holds torchvision's `Normalize`."
    t = t.transform if isinstance(t, V2) else t
    return isinstance(t, v2.Normalize) or any(map(normalizes, getattr(t, "transforms", ())))


def _for_torchvision(o):
    "The value of a sample as torchvision gets it."
    if isinstance(o, (KeyPoints, BoundingBoxes)):
        return _coords_as_boxes(o)
    return o.to_tv_tensor() if hasattr(o, "to_tv_tensor") else o


def _coords_as_boxes(o):
    """Points as boxes without extent, and all in pixels and in one list: torchvision mirrors its own `KeyPoints` as if they were the
    numbers of pixels, one pixel off from where it puts the pixels of a resized image, and it takes no batches of boxes."""
    o = in_pixels(o)
    plain = o.as_subclass(torch.Tensor)
    plain = plain if plain.is_floating_point() else plain.float()
    is_box = isinstance(o, BoundingBoxes)
    flat = plain.reshape(-1, plain.shape[-1]) if is_box else plain.reshape(-1, 2).repeat(1, 2)
    return BoundingBoxes(flat, format=o.format if is_box else XYXY, canvas_size=o.canvas_size)


def _coords_as_before(before, after):
    plain, size = after.as_subclass(torch.Tensor), tuple(after.canvas_size)
    plain = plain if isinstance(before, BoundingBoxes) else plain[:, :2]
    if len(plain) == before.numel() // before.shape[-1]:
        plain = plain.reshape(*before.shape[:-1], plain.shape[-1])
    return with_attributes(scale_coords(plain, size) if is_scaled(before) else plain, before, canvas_size=size)


def _as_before(before, after):
    "What torchvision made of the value `before`, as a value of the same class."
    if isinstance(before, (KeyPoints, BoundingBoxes)) and isinstance(after, BoundingBoxes):
        return _coords_as_before(before, after)
    return before.from_tv_tensor(after) if hasattr(before, "from_tv_tensor") else after
