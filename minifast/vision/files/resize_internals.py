"""torch's antialiased resize of bytes, written straight into memory that is there already.

Measured (2 cores, torch 2.14, a training pass with RandomResizedCrop(224), CPU time per image): with the fallback a pass takes 3 to 6 %
longer for photos of 500x375 and 1 to 7 % longer for photos of 1600x1200.
Fallback: `torch.nn.functional.interpolate(antialias=True)` and a copy, where torch lacks these names. It knows no fractions of pixels: at a
half of an odd size the last pixel counts in full. `tests/vision/files/test_resize_internals.py` forces it.
"""
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F


def interpolate_into(x: torch.Tensor, size: Sequence[int], align_corners: bool, scale_height: float | None, scale_width: float | None,
                     out: torch.Tensor, mode: str) -> None:
    "What stands in for torch's functions: the scales are not used."
    out.copy_(F.interpolate(x, size, mode=mode, antialias=True))


#: By mode: `f(x, size, False, scale of the height, of the width, out=out)` resizes `x` (1,C,h,w) uint8 to `size`, into `out` (1,C,H,W).
#: The scales are None where they are those of the sizes.
RESIZE_INTO = {mode: getattr(torch._C._nn, f"_upsample_{mode}2d_aa", None) or partial(interpolate_into, mode=mode)
               for mode in ("bilinear", "bicubic")}
