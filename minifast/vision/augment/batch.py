"""`aug_transforms`: a good set of random changes for photos, applied to whole batches on their device; and random erasing."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors

from ...core.arguments import check_arguments
from ...core.keywords import knows_keywords
from ...core.messages import describe
from ...data.pipeline import as_transform
from ...data.transforms import Transform
from .affine import AffineWarp, BatchTransform, first_image, fuse_geometry
from .geometry import Dihedral, Flip, RandomResizedCropGPU, Rotate, Scale, Warp, Zoom
from .lighting import Brightness, Contrast, Grey, Hue, Lighting, Saturation, Tint
from .options import PadMode, Size

__all__ = ["AffineWarp", "Brightness", "Contrast", "Dihedral", "Flip", "Grey", "Hue", "Lighting", "PadMode", "RandomErasing",
           "RandomResizedCropGPU", "Rotate", "Saturation", "Scale", "Tint", "Warp", "Zoom", "aug_transforms", "setup_aug_tfms"]


def setup_aug_tfms(tfms: Sequence[Any]) -> list[Transform]:
    """Fuse batch transforms: all geometric ones into one `AffineWarp`, all lighting ones into one `Lighting`.

    Args:
        tfms: transforms or functions; those of other kinds stay as they are.

    Returns:
        The fused transforms, then the others.
    """
    tfms = [as_transform(t) for t in tfms]
    geometry = [t for t in tfms if isinstance(t, AffineWarp)]
    lighting = [inner for t in tfms if isinstance(t, Lighting) for inner in (t.tfms if type(t) is Lighting else [t])]
    others = [t for t in tfms if not isinstance(t, (AffineWarp, Lighting))]
    return fuse_geometry(geometry) + ([Lighting(lighting)] if lighting else []) + others


@knows_keywords
def aug_transforms(mult: float = 1.0, do_flip: bool = True, flip_vert: bool = False, max_rotate: float = 10.0, min_zoom: float = 1.0,
                   max_zoom: float = 1.1, max_lighting: float = 0.2, max_warp: float = 0.2, p_affine: float = 0.75,
                   p_lighting: float = 0.75, xtra_tfms: Any = None, size: Size | None = None, mode: str = "bilinear",
                   pad_mode: str = PadMode.Reflection, align_corners: bool = True, batch: bool = False,
                   min_scale: float = 1.0) -> list[Transform]:
    """Random flip, perspective, rotation, zoom, brightness and contrast for `batch_tfms`, as a list of two fused transforms.

    Args:
        mult: multiplies max_rotate, max_lighting and max_warp.
        do_flip: mirror left and right, with probability 0.5.
        flip_vert: all eight symmetries of a square instead of the mirror image.
        max_rotate: greatest angle either way, in degrees.
        min_zoom: least factor of the zoom.
        max_zoom: greatest factor of the zoom.
        max_lighting: greatest change of brightness and contrast, 0 to below 1.
        max_warp: greatest perspective, 0 to below 0.5.
        p_affine: probability of each geometric change, for each image.
        p_lighting: probability of each lighting change, for each image.
        xtra_tfms: more transforms, fused with the rest where possible, for example `from minifast.vision.augment import Grey, Scale, Tint`,
            `xtra_tfms=[Tint(), Grey(), Scale(), Saturation(), Hue()]`.
        size: resize to this in the same step, also validation batches.
        mode: interpolation of images, 'bilinear', 'bicubic' or 'nearest'.
        pad_mode: 'zeros', 'border' or 'reflection', what is outside.
        align_corners: whether -1 and 1 are the centres of the outermost pixels, or their outer edges.
        batch: one draw for the whole batch.
        min_scale: below 1, also a random square crop of at least that share of the area; needs `size`.
    """
    max_rotate, max_lighting, max_warp = max_rotate * mult, max_lighting * mult, max_warp * mult
    sampling: dict[str, Any] = {"batch": batch, "mode": mode, "pad_mode": pad_mode, "align_corners": align_corners}
    choices: list[tuple[Any, type[AffineWarp], dict[str, Any]]] = [
        (do_flip or flip_vert, Dihedral if flip_vert else Flip, {"p": 0.5}),
        (max_warp, Warp, {"magnitude": max_warp, "p": p_affine}),
        (max_rotate, Rotate, {"max_deg": max_rotate, "p": p_affine}),
        (max_zoom > 1 or min_zoom < 1, Zoom, {"min_zoom": min_zoom, "max_zoom": max_zoom, "p": p_affine}),
    ]
    res: list[Any] = [cls(**options, **sampling) for chosen, cls, options in choices if chosen]
    if min_scale != 1.0:
        if size is None:
            raise ValueError(f"aug_transforms(min_scale={min_scale}) cuts out parts of several sizes: give the size they shall all get, "
                             "for example aug_transforms(size=224, min_scale=0.75)")
        res.append(RandomResizedCropGPU(size, min_scale=min_scale, ratio=(1, 1), **sampling))
    elif size is not None:
        res.append(AffineWarp(size=size, mode=mode, pad_mode=pad_mode, align_corners=align_corners))
    if max_lighting:
        res += [t(max_lighting=max_lighting, p=p_lighting, batch=batch) for t in (Brightness, Contrast)]
    extra = [] if xtra_tfms is None else list(xtra_tfms) if isinstance(xtra_tfms, (list, tuple)) else [xtra_tfms]
    return setup_aug_tfms(res + extra)


class RandomErasing(BatchTransform):
    """Replace rectangles by normal noise. Training batches only.

    Placed after `Normalize`, since the noise has mean 0 and standard deviation 1. Source: Zhong et al. 2017,
    https://arxiv.org/abs/1708.04896.

    Args:
        p: probability for each image.
        sl: least share of the image erased.
        sh: greatest share of the image erased.
        min_aspect: least height / width of a rectangle; its inverse is the greatest.
        max_count: up to so many rectangles, which share the area.
        batch: one draw for the whole batch.
    """
    order = 100
    types = (tv_tensors.Image,)

    def __init__(self, p: float = 0.5, sl: float = 0.0, sh: float = 0.3, min_aspect: float = 0.3, max_count: int = 1, batch: bool = False):
        super().__init__(p, batch)
        check_arguments("RandomErasing", sl=(sl, 0 <= sl <= sh <= 1, f"shares of the image, 0 <= sl <= sh <= 1, and {sh=}"),
                        min_aspect=(min_aspect, 0 < min_aspect <= 1, "above 0, at most 1"),
                        max_count=(max_count, max_count >= 1, "1 or more"))
        self.sl, self.sh, self.min_aspect, self.max_count = sl, sh, min_aspect, max_count

    def draw(self, sample: Any, rng: np.random.Generator, split_idx: int | None) -> dict[str, Any] | None:
        "Rectangles for the images of `sample`: array (4, B, max_count) of top, bottom, left, right."
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

    def encodes(self, x: Any, boxes: np.ndarray, seed: int) -> tv_tensors.Image:
        "Fill the rectangles `boxes` of a batch of images."
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
