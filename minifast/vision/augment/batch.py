"""`aug_transforms`: a good set of random changes for photos, applied to whole batches on their device; and random erasing."""
import numpy as np
import torch
from torchvision import tv_tensors

from ...core.messages import describe
from ...data.pipeline import as_transform
from .affine import AffineWarp, BatchTransform, first_image, fuse_geometry
from .geometry import Dihedral, Flip, RandomResizedCropGPU, Rotate, Scale, Warp, Zoom
from .item import PadMode
from .lighting import Brightness, Contrast, Grey, Hue, Lighting, Saturation, Tint, fuse_lighting

__all__ = ["AffineWarp", "Brightness", "Contrast", "Dihedral", "Flip", "Grey", "Hue", "Lighting", "PadMode", "RandomErasing",
           "RandomResizedCropGPU", "Rotate", "Saturation", "Scale", "Tint", "Warp", "Zoom", "aug_transforms", "setup_aug_tfms"]


def setup_aug_tfms(tfms):
    "`tfms` with all geometric ones fused into one `AffineWarp` and all lighting ones into one `Lighting`; the others as they are."
    tfms = [as_transform(t) for t in tfms]
    geometry = [t for t in tfms if isinstance(t, AffineWarp)]
    lighting = [t for t in tfms if isinstance(t, Lighting)]
    others = [t for t in tfms if not isinstance(t, (AffineWarp, Lighting))]
    return fuse_geometry(geometry) + fuse_lighting(lighting) + others


def aug_transforms(mult=1.0, do_flip=True, flip_vert=False, max_rotate=10.0, min_zoom=1.0, max_zoom=1.1, max_lighting=0.2, max_warp=0.2,
                   p_affine=0.75, p_lighting=0.75, xtra_tfms=None, size=None, mode="bilinear", pad_mode=PadMode.Reflection,
                   align_corners=True, batch=False, min_scale=1.0):
    """Random flip, perspective, rotation, zoom, brightness and contrast for `batch_tfms`, as a list of two fused transforms.

    mult: multiplies max_rotate (degrees), max_lighting and max_warp. flip_vert: all eight symmetries of a square instead of the mirror
    image. p_affine, p_lighting: probability of each geometric and each lighting change, per picture (a flip: 0.5). size: resize to
    this in the same step, also for validation batches. min_scale: below 1, also a random square crop of at least that share of the
    area. batch: one draw for the whole batch. xtra_tfms: more transforms, fused with the rest where possible, for instance
    `from minifast.vision.augment.batch import Grey, Scale, Tint`, `xtra_tfms=[Tint(), Grey(), Scale(), Saturation(), Hue()]`.
    """
    max_rotate, max_lighting, max_warp = max_rotate * mult, max_lighting * mult, max_warp * mult
    sampling = {"mode": mode, "pad_mode": pad_mode, "align_corners": align_corners}
    res = []
    if do_flip or flip_vert:
        res.append((Dihedral if flip_vert else Flip)(p=0.5, batch=batch, **sampling))
    if max_warp:
        res.append(Warp(magnitude=max_warp, p=p_affine, batch=batch, **sampling))
    if max_rotate:
        res.append(Rotate(max_deg=max_rotate, p=p_affine, batch=batch, **sampling))
    if max_zoom > 1 or min_zoom < 1:
        res.append(Zoom(min_zoom=min_zoom, max_zoom=max_zoom, p=p_affine, batch=batch, **sampling))
    if min_scale != 1.0:
        if size is None:
            raise ValueError(f"aug_transforms(min_scale={min_scale}) cuts out parts of several sizes: give the size they shall all get, "
                             "for instance aug_transforms(size=224, min_scale=0.75)")
        res.append(RandomResizedCropGPU(size, min_scale=min_scale, ratio=(1, 1), batch=batch, **sampling))
    elif size is not None:
        res.append(AffineWarp(size=size, **sampling))
    if max_lighting:
        res += [t(max_lighting=max_lighting, p=p_lighting, batch=batch) for t in (Brightness, Contrast)]
    extra = [] if xtra_tfms is None else list(xtra_tfms) if isinstance(xtra_tfms, (list, tuple)) else [xtra_tfms]
    return setup_aug_tfms(res + extra)


class RandomErasing(BatchTransform):
    """Replace rectangles by normal noise, with probability `p` per picture (Zhong et al. 2017, https://arxiv.org/abs/1708.04896).

    sl, sh: least and greatest share of the picture erased. min_aspect: least height / width, its inverse the greatest. max_count: up
    to so many rectangles, which share the area. Placed after `Normalize`, since the noise has mean 0 and standard deviation 1.
    Training batches only.
    """
    order = 100
    split_idx = 0
    types = (tv_tensors.Image,)

    def __init__(self, p=0.5, sl=0.0, sh=0.3, min_aspect=0.3, max_count=1, batch=False):
        super().__init__(p, batch)
        if not (0 <= sl <= sh <= 1 and 0 < min_aspect <= 1 and max_count >= 1):
            raise ValueError(f"RandomErasing(sl={sl}, sh={sh}, min_aspect={min_aspect}, max_count={max_count}): "
                             "0 <= sl <= sh <= 1, 0 < min_aspect <= 1 and max_count >= 1")
        self.sl, self.sh, self.min_aspect, self.max_count = sl, sh, min_aspect, max_count

    def draw(self, sample, rng, split_idx):
        x = first_image(sample)
        if x is None or not isinstance(x, tv_tensors.Image):
            return None
        n, (h, w) = (1 if self.batch else len(x)), x.shape[-2:]
        count = rng.integers(1, self.max_count + 1, n)
        count[rng.random(n) >= self.p] = 0
        if not count.any():
            return None
        shape = n, self.max_count
        area = rng.uniform(self.sl, self.sh, shape) * h * w / np.maximum(count, 1)[:, None]
        limit = -np.log(self.min_aspect)
        aspect = np.exp(rng.uniform(-limit, limit, shape))
        eh = np.minimum(np.rint(np.sqrt(area * aspect)), h)
        ew = np.minimum(np.rint(np.sqrt(area / aspect)), w)
        top, left = np.floor(rng.random(shape) * (h - eh + 1)), np.floor(rng.random(shape) * (w - ew + 1))
        eh[np.arange(self.max_count) >= count[:, None]] = 0
        boxes = np.broadcast_to(np.stack([top, top + eh, left, left + ew]), (4, len(x) if n > 1 else n, self.max_count))
        return {"boxes": boxes.astype(np.int32), "seed": int(rng.integers(2**62))}

    def encodes(self, x, boxes, seed):
        if not x.is_floating_point():
            raise TypeError(f"RandomErasing fills in normal noise and works on floats; received {describe(x)}. Put it after Normalize")
        plain = x.as_subclass(torch.Tensor)
        h, w = plain.shape[-2:]
        noise = torch.empty_like(plain).normal_(generator=torch.Generator(plain.device).manual_seed(seed))
        top, bottom, left, right = torch.from_numpy(boxes).to(plain.device, non_blocking=True)
        row, column = (torch.arange(s, device=plain.device, dtype=torch.int32) for s in (h, w))
        for i in range(boxes.shape[2]):
            rows = (row >= top[:, i, None]) & (row < bottom[:, i, None])
            columns = (column >= left[:, i, None]) & (column < right[:, i, None])
            plain = torch.where((rows[:, :, None] & columns[:, None, :])[:, None], noise, plain)
        return tv_tensors.wrap(plain, like=x)
