"""What is given for `draw=` of a batch transform, instead of drawing: a number, one per image, or a function of the batch."""
from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch

from ...core.messages import describe

__all__ = ["Allowed", "Given", "check_given", "given_values"]

Given = float | Sequence[float] | np.ndarray | torch.Tensor | Callable[[torch.Tensor], Any]
Allowed = tuple[Callable[[np.ndarray], np.ndarray], str]        #: which values a transform can work with, and that in words


def check_given(given: Given | None, where: str) -> None:
    """Refuse, when a transform is made, what `draw=` can never take: text, dicts and the like. where: the argument as the user wrote it,
    such as `Rotate(draw=...)`."""
    if given is not None and not callable(given):
        _as_numbers(given, where, f"received {describe(given)}")


def given_values(given: Given | None, x: torch.Tensor, k: int, where: str, allowed: Allowed | None = None) -> np.ndarray:
    "The `k` float64 parameters that `given` says, for the batch `x`."
    made = given(x) if callable(given) else given
    received = f"the function returned {describe(made)}" if callable(given) else f"received {describe(made)}"
    values = _as_numbers(made, where, received)
    if values.shape not in ((), (1,), (k,)):
        several = "one number for all, as batch=True says" if k == 1 else f"one number for all, or one per image of the batch, {k} here"
        raise ValueError(f"{where} takes {several}; {received}. Since the last batch may be smaller, a function of the batch, such as "
                         "lambda x: torch.linspace(0, 1, len(x)), is safer than a list")
    if not np.isfinite(values).all():
        raise ValueError(f"{where} takes numbers, not NaN, None or infinity; {received}")
    if allowed is not None and not allowed[0](values).all():
        raise ValueError(f"{where} takes {allowed[1]}; {received}")
    return np.broadcast_to(values, (k,))


def _as_numbers(values: Any, where: str, received: str) -> np.ndarray:
    try:
        if isinstance(values, (str, bytes, PathLike, dict, set)):
            raise TypeError
        return np.asarray(values.detach().cpu() if isinstance(values, torch.Tensor) else values, dtype=np.float64)
    except (TypeError, ValueError) as e:
        raise TypeError(f"{where} takes a number, a list or tensor of one number per image, or a function of the batch that returns "
                        f"them; {received}") from e
