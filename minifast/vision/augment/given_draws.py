"""What is given for `draw=` of a batch transform, instead of drawing: a number, one per picture, or a function of the batch."""
from os import PathLike

import numpy as np
import torch

from ...core.messages import describe

__all__ = ["check_given", "given_values"]


def check_given(given, where):
    """Refuse, when a transform is made, what `draw=` can never take: text, dicts and the like. where: the argument as the user wrote it,
    such as `Rotate(draw=...)`."""
    if given is not None and not callable(given):
        _as_numbers(given, where, describe(given))


def given_values(given, x, k, where, allowed=None):
    """The `k` float64 parameters that `given` says, a number or `k` numbers (list, array or tensor), or a function of the batch `x` that
    returns them.

    allowed: (function of the array, words): which values the transform can work with.
    """
    made = given(x) if callable(given) else given
    received = f"the function returned {describe(made)}" if callable(given) else f"received {describe(made)}"
    values = _as_numbers(made, where, received)
    if values.shape not in ((), (1,), (k,)):
        several = "one number for all, as batch=True says" if k == 1 else f"one number for all, or one per picture of the batch, {k} here"
        raise ValueError(f"{where} takes {several}; {received}. Since the last batch may be smaller, a function of the batch, such as "
                         "lambda x: torch.linspace(0, 1, len(x)), is safer than a list")
    if not np.isfinite(values).all():
        raise ValueError(f"{where} takes numbers, not NaN, None or infinity; {received}")
    if allowed is not None and not allowed[0](values).all():
        raise ValueError(f"{where} takes {allowed[1]}; {received}")
    return np.broadcast_to(values, (k,))


def _as_numbers(values, where, received):
    received = received if received.startswith(("received", "the function")) else f"received {received}"
    try:
        if isinstance(values, (str, bytes, PathLike, dict, set)):
            raise TypeError
        return np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values, dtype=np.float64)
    except (TypeError, ValueError) as e:
        raise TypeError(f"{where} takes a number, a list or tensor of one number per picture, or a function of the batch that returns "
                        f"them; {received}") from e
