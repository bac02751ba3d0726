"""What torch has no public name for: its fused operations over lists of tensors, and what `torch.compile` was given.

Measured (2 cores, resnet18, 62 tensors): an EMA update by `_foreach_lerp_` takes a third of the time of a loop over the tensors.
`_iterator` of torch's `DataLoader` holds the workers that are kept between epochs: forgotten where a pass failed, as Ctrl-C ends them too,
and the next epoch would wait for them for ever. Fallback: that.
Fallback of the rest: the same operation tensor by tensor, where a version of torch lacks the name; what was compiled then stands
for itself. `tests/core/test_torch_internals.py` forces both.
"""
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

Tensors = Sequence[torch.Tensor]


def _fused(name: str, fallback: Callable) -> Callable:
    return getattr(torch, f"_foreach_{name}", None) or fallback


def lerp_(tensors: Tensors, ends: Tensors, weight: float) -> None:
    "Move each tensor towards its end by the fraction `weight`, in place."
    _fused("lerp_", lambda xs, ys, w: [x.lerp_(y, w) for x, y in zip(xs, ys, strict=True)])(tensors, ends, weight)


def mul_(tensors: Tensors, factor: float | torch.Tensor) -> None:
    "Multiply each tensor by `factor`, in place."
    _fused("mul_", lambda xs, f: [x.mul_(f) for x in xs])(tensors, factor)


def mul(tensors: Tensors, factor: float | torch.Tensor | Tensors) -> list[torch.Tensor]:
    "Each tensor times `factor`, or times its own one of several factors."
    def each(xs, f):
        return [x * (f[i] if isinstance(f, (list, tuple)) else f) for i, x in enumerate(xs)]

    return list(_fused("mul", each)(tensors, factor))


def add_(tensors: Tensors, others: Tensors) -> None:
    "Add to each tensor its own other one, in place."
    _fused("add_", lambda xs, ys: [x.add_(y) for x, y in zip(xs, ys, strict=True)])(tensors, others)


def copy_(tensors: Tensors, sources: Tensors) -> None:
    "Copy into each tensor its source, in place."
    _fused("copy_", lambda xs, ys: [x.copy_(y) for x, y in zip(xs, ys, strict=True)])(tensors, sources)


def norm(tensors: Tensors) -> list[torch.Tensor]:
    "The 2-norm of each tensor, as 0-d tensors."
    return list(_fused("norm", lambda xs: [x.norm() for x in xs])(tensors))


def uncompiled(f: Callable) -> Any:
    "The module or function that `torch.compile` made `f` of; `f` itself where it was not compiled."
    return getattr(f, "_orig_mod", None) or getattr(f, "_torchdynamo_orig_callable", None) or f


def forget_workers(loader: Any) -> None:
    "Let go of the workers that torch's `DataLoader` keeps between epochs, if `loader` is one: its next epoch starts new ones."
    if isinstance(loader, DataLoader):
        loader._iterator = None
