"""torch's resize into given memory, and what takes its place where torch lacks it."""
import pytest
import torch
import torch.nn.functional as F

from minifast.vision.files import resize_internals
from minifast.vision.files.resize_internals import resize_into


@pytest.mark.parametrize("internals", [True, False])
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_it_resizes_into_the_memory_given(monkeypatch, mode, internals):
    if not internals:
        monkeypatch.setattr(resize_internals, "_NAMES", dict.fromkeys(resize_internals._NAMES, "_gone"))
    x = torch.randint(0, 256, (1, 3, 61, 47), dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    out = torch.zeros(1, 3, 20, 30, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    at = out.data_ptr()
    resize_into(out, x, mode)
    assert out.data_ptr() == at and torch.equal(out, F.interpolate(x, (20, 30), mode=mode, antialias=True))


@pytest.mark.parametrize("internals", [True, False])
def test_factors_of_their_own_are_used_where_torch_can(monkeypatch, internals):
    "A row of 9 pixels at a half of 17: the last pixel stands for half of one."
    if not internals:
        monkeypatch.setattr(resize_internals, "_NAMES", dict.fromkeys(resize_internals._NAMES, "_gone"))
    x = torch.arange(0, 180, 20, dtype=torch.uint8).view(1, 1, 1, 9)
    out = torch.zeros(1, 1, 1, 3, dtype=torch.uint8)
    resize_into(out, x, "bilinear", (None, 3 / 8.5))
    plain = F.interpolate(x, (1, 3), mode="bilinear", antialias=True)
    assert torch.equal(out, plain) != internals and (out.int() - plain.int()).abs().max() <= 15
