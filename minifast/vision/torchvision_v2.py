"""torchvision's own transforms (`torchvision.transforms.v2`) in `item_tfms` and `batch_tfms`."""
import math

import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from ..messages import describe
from ..seeds import draw_seed, item_rng
from ..transform import ItemTransform
from .images import PILBase, PILImage, PILMask, image2tensor

__all__ = ["V2", "for_validation", "is_random", "normalizes"]

_RANDOM_WITHOUT_PARAMS = (v2.RandomApply, v2.RandomChoice, v2.RandomOrder, v2.GaussianNoise, v2.AutoAugment, v2.AugMix, v2.RandAugment,
                          v2.TrivialAugmentWide)
_ORDERS = {v2.GaussianNoise: 40, v2.Normalize: 99, v2.RandomErasing: 100}


def is_random(t):
    "Whether torchvision transform `t` draws random parameters."
    return (type(t).make_params is not v2.Transform.make_params or isinstance(t, _RANDOM_WITHOUT_PARAMS)
            or any(c.__name__ == "_RandomApplyTransform" for c in type(t).__mro__))


def for_validation(t):
    """What takes the place of torchvision transform `t` for validation items, or None for nothing.

    Random crops, which also fix the size: the central crop (`RandomResizedCrop` first scales the short side to size / 0.875, as
    torchvision's own evaluation does). Other random transforms: nothing. The rest: the transform itself.
    """
    if isinstance(t, v2.Compose):
        kept = [o for o in map(for_validation, t.transforms) if o is not None]
        return v2.Compose(kept) if kept else None
    if isinstance(t, v2.RandomResizedCrop):
        h, w = t.size
        scale = max(h, w)
        return v2.Compose([v2.Resize(math.ceil(scale / 0.875), interpolation=t.interpolation, antialias=True), v2.CenterCrop((h, w))])
    if isinstance(t, v2.RandomCrop):
        return v2.CenterCrop(t.size)
    return None if is_random(t) else t


class V2(ItemTransform):
    """A transform of `torchvision.transforms.v2`, called on the whole sample, so that a picture and its mask change alike.

    Training items get the transform; validation items what `for_validation` says. A `PILMask` is handed over as a `tv_tensors.Mask`
    and comes back as a `PILMask`. The transform's randomness comes from the sample's generator and leaves torch's global stream as it is
    (on the CPU: transforms that draw noise on a GPU use the GPU's stream).
    order: place in the pipeline. By default 1, before pictures become tensors (items) or floats (batches); transforms that need
    floats come later (`GaussianNoise` 40, `Normalize` 99, `RandomErasing` 100).
    """

    def __init__(self, t, order=None):
        late = next((n for c, n in _ORDERS.items() if isinstance(t, c)), 1)
        super().__init__(order=late if order is None else order)
        if not isinstance(t, v2.Transform):
            name = type(t).__name__
            hint = f"use torchvision.transforms.v2.{name}" if hasattr(v2, name) else "wrap it in a function of one picture"
            raise TypeError(f"{name} belongs to torchvision's old transforms, which know nothing of masks and of samples: {hint}")
        if isinstance(t, v2.Compose):
            for o in t.transforms:
                if not isinstance(o, v2.Transform) and type(o).__module__.startswith("torchvision."):
                    V2(o)
        self.transform, self.valid = t, for_validation(t)
        self.is_random = self.varies = self.valid is not t
        self.name = f"v2.{type(t).__name__}"

    def __call__(self, x, split_idx=None, rng=None):
        t = self.valid if split_idx == 1 else self.transform
        if t is None:
            return x
        sample = x if type(x) is tuple else (x,)
        if not any(isinstance(o, (torch.Tensor, Image.Image)) for o in sample):
            return x
        given = [_mask_as_tensor(o) for o in sample]
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
        done = tuple(map(_as_before, sample, done))
        return done if type(x) is tuple else done[0]

    def applies_to(self, sample):
        parts = sample if type(sample) is tuple else (sample,)
        return any(isinstance(o, (tv_tensors.TVTensor, Image.Image)) for o in parts) or (type(sample) is torch.Tensor)

    def __repr__(self):
        return f"V2({self.transform})"


def normalizes(t):
    "Whether transform `t` is or holds torchvision's `Normalize`."
    t = t.transform if isinstance(t, V2) else t
    return isinstance(t, v2.Normalize) or any(map(normalizes, getattr(t, "transforms", ())))


def _mask_as_tensor(o):
    return tv_tensors.Mask(image2tensor(o)[0]) if isinstance(o, PILMask) else o


def _as_before(before, after):
    if isinstance(before, PILMask) and isinstance(after, tv_tensors.Mask):
        return PILMask.create(after.as_subclass(torch.Tensor))
    if isinstance(before, PILBase) and isinstance(after, Image.Image) and type(after) is not type(before):
        return type(before)._cast(after) if after.mode == before.mode else PILImage._cast(after)
    return after
