"""Small words that course notebooks use everywhere."""
import inspect

import numpy as np
import torch

Inf = float("inf")      #: infinity, as fastai's notebooks write it


def noop(x=None, *args, **kwargs):
    "Return `x` unchanged, whatever else is passed."
    return x


def tensor(x, *rest, **kwargs):
    "A tensor from numbers (`tensor(1, 2, 3)`), a list, an array or a picture (`tensor(im)`: uint8, height x width [x channels])."
    if rest:
        return torch.tensor((x, *rest), **kwargs)
    if isinstance(x, torch.Tensor):
        return x.to(**kwargs) if kwargs else x
    if isinstance(x, (list, tuple)) and x and isinstance(x[0], torch.Tensor) and x[0].ndim:
        return torch.stack(list(x)).to(**kwargs)
    return torch.as_tensor(np.array(x) if hasattr(x, "getbands") else x, **kwargs)


def array(a, dtype=None):
    "A numpy array of `a`."
    return np.array(a, dtype=dtype)


def one_hot(x, c):
    "A float vector (c,) that is 1 at the class ids `x` (an int or a list of them) and 0 elsewhere."
    out = torch.zeros(c)
    out[torch.as_tensor(x, dtype=torch.int64)] = 1.0
    return out


def store_attr(names=None, self=None):
    "Inside `__init__`: keep its arguments (all, or those named in the comma-separated `names`) as attributes of `self`."
    values = inspect.currentframe().f_back.f_locals
    self = values["self"] if self is None else self
    wanted = [n.strip() for n in names.split(",")] if names else [n for n in values if n not in ("self", "__class__")]
    for name in wanted:
        setattr(self, name, values[name])
