"""Small functions that course notebooks use everywhere."""
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

Inf = float("inf")      #: infinity, as fastai's notebooks write it


def noop(x: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Return `x` unchanged.

    Args:
        x: anything.
        args: not used.
        kwargs: not used.
    """
    return x


def tensor(x: Any, *rest: float, **kwargs: Any) -> torch.Tensor:
    """Make a tensor of numbers, `tensor(1, 2, 3)`, of a list, an array or an image.

    Args:
        x: a number, list, array or tensor, or an image, which becomes uint8 (height, width[, channels]).
        rest: further numbers.
        kwargs: `dtype`, `device`.
    """
    if rest:
        return torch.tensor((x, *rest), **kwargs)
    if isinstance(x, torch.Tensor):
        return x.to(**kwargs) if kwargs else x
    if isinstance(x, (list, tuple)) and x and isinstance(x[0], torch.Tensor) and x[0].ndim:
        return torch.stack(list(x)).to(**kwargs)
    return torch.as_tensor(np.array(x) if hasattr(x, "getbands") else x, **kwargs)


def array(a: Any, dtype: Any = None) -> np.ndarray:
    """A numpy array.

    Args:
        a: a list, tensor, array or image.
        dtype: of the array (default: numpy's choice).
    """
    return np.array(a, dtype=dtype)


def one_hot(x: int | Sequence[int] | torch.Tensor, c: int) -> torch.Tensor:
    """A float vector (c,) that is 1 at some class ids and 0 elsewhere.

    Args:
        x: a class id, or several.
        c: the number of classes.
    """
    out = torch.zeros(c)
    out[torch.as_tensor(x, dtype=torch.int64)] = 1.0
    return out


def store_attr(names: str | None = None, self: Any = None) -> None:
    """Inside `__init__`: keep its arguments as attributes.

    Args:
        names: which ones, comma-separated (default: all).
        self: the object (default: the caller's `self`).
    """
    values = inspect.currentframe().f_back.f_locals
    self = values["self"] if self is None else self
    wanted = [n.strip() for n in names.split(",")] if names else [n for n in values if n not in ("self", "__class__")]
    for name in wanted:
        setattr(self, name, values[name])
