"""torch's resize into given memory, and what takes its place where torch lacks it."""
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from minifast.vision.files.resize_internals import RESIZE_INTO, interpolate_into


def resizer(mode, internals):
    return RESIZE_INTO[mode] if internals else partial(interpolate_into, mode=mode)


@pytest.mark.parametrize("internals", [True, False])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_it_resizes_into_the_memory_given(mode, internals):
    x = torch.randint(0, 256, (1, 3, 61, 47), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    out = torch.zeros(1, 3, 20, 30, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    at = out.data_ptr()
    resizer(mode, internals)(x, (20, 30), False, None, None, out=out)
    assert out.data_ptr() == at and torch.equal(out, F.interpolate(x, (20, 30), mode=mode, antialias=True))


@pytest.mark.parametrize("internals", [True, False])
def test_factors_of_their_own_are_used_where_torch_can(internals):
    "A row of 9 pixels at a half of 17: the last pixel stands for half of one."
    x = torch.arange(0, 180, 20, dtype=torch.uint8).view(1, 1, 1, 9)
    out = torch.zeros(1, 1, 1, 3, dtype=torch.uint8)
    resizer("bilinear", internals)(x, (1, 3), False, None, 3 / 8.5, out=out)
    plain = F.interpolate(x, (1, 3), mode="bilinear", antialias=True)
    assert torch.equal(out, plain) != internals and (out.int() - plain.int()).abs().max() <= 15


def test_the_names_of_torch_are_used_where_it_has_them():
    assert all(not isinstance(f, partial) for f in RESIZE_INTO.values()) == hasattr(torch._C._nn, "_upsample_bilinear2d_aa")
