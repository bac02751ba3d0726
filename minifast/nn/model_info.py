"""Looking into a model: its parameters, its layers, the shapes it makes."""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ..core.seeds import fixed_seed


def params(m: nn.Module) -> list[nn.Parameter]:
    """All parameters of a module, as a list.

    Args:
        m: a model or layer.
    """
    return list(m.parameters())


def one_param(m: nn.Module) -> nn.Parameter:
    "The first parameter of `m`, which tells its device and dtype."
    for p in m.parameters():
        return p
    raise ValueError(f"{type(m).__name__} has no parameters")


def requires_grad(m: nn.Module) -> bool:
    "Whether the first parameter of `m` is trainable; False without parameters."
    return next((p.requires_grad for p in m.parameters()), False)


def children_of(m: nn.Module) -> list[nn.Module]:
    "The direct children of `m`, as a list."
    return list(m.children())


def flatten_model(m: nn.Module) -> list[nn.Module]:
    "The layers of `m` in order: its modules that have no children, and those that hold parameters besides their children."
    return [o for o in m.modules() if not any(True for _ in o.children()) or any(True for _ in o.parameters(recurse=False))]


def total_params(m: nn.Module) -> tuple[int, bool]:
    "The number of parameters of `m`, and whether any of them is trainable."
    return sum(p.numel() for p in m.parameters()), any(p.requires_grad for p in m.parameters())


def in_channels(m: nn.Module) -> int:
    "Channels that the first convolution of `m` takes."
    for layer in m.modules():
        if isinstance(layer, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
            return layer.in_channels
    raise ValueError(f"{type(m).__name__} has no convolution, so its number of input channels is not known")


@contextmanager
def eval_mode(m: nn.Module) -> Iterator[nn.Module]:
    "Within the block `m` is in evaluation mode without gradients; afterwards each of its modules is in the mode it was in."
    modes = [(o, o.training) for o in m.modules()]
    try:
        with torch.no_grad():
            yield m.eval()
    finally:
        for o, mode in modes:
            o.training = mode


def dummy_eval(m: nn.Module, size: tuple[int, int] = (64, 64)) -> Any:
    "The output of `m` for one random image of `size` (height, width), in evaluation mode. Modes and random streams stay as they are."
    p = one_param(m)
    x = torch.rand(1, in_channels(m), *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with fixed_seed(), eval_mode(m):
        return m(x.to(p.device, p.dtype if p.is_floating_point() else None))


def model_sizes(m: nn.Module, size: tuple[int, int] = (64, 64)) -> list[torch.Size | None]:
    "The output shape of each child of `m` for one image of `size` (height, width)."
    shapes, children = {}, children_of(m)
    handles = [c.register_forward_hook(lambda mod, inp, out, i=i: shapes.__setitem__(i, getattr(out, "shape", None)))
               for i, c in enumerate(children)]
    try:
        dummy_eval(m, size)
    finally:
        for h in handles:
            h.remove()
    return [shapes.get(i) for i in range(len(children))]


def num_features_model(m: nn.Module) -> int:
    "Channels of the output of the body `m`, an `nn.Sequential` of convolutional layers."
    for size in (32, 64, 128, 256, 512, 1024):
        try:
            return model_sizes(m, (size, size))[-1][1]
        except (RuntimeError, ValueError) as e:                 # the image may be too small for the strides of this model
            error = e
    raise ValueError(f"no image from 32 to 1024 pixels passes through this {type(m).__name__}: {error}") from error
