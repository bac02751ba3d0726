"""Checks of the numbers that users pass: one error names every wrong argument of a call."""
import math
from collections.abc import Iterable
from typing import Any

from .messages import brief, did_you_mean, listing


def is_number(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    "Whether `value` is an int or a float from `low` to `high`; a bool or NaN is neither."
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def is_whole(value: Any, least: int = 1) -> bool:
    "Whether `value` is an int (not a bool) of `least` or more."
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def check_arguments(call: str, **arguments: tuple[Any, object, str]) -> None:
    """Refuse wrong arguments of a call, all in one error.

    Args:
        call: the class or function as the user writes it, such as `GradientClip`.
        **arguments: `name=(value, whether it is valid, what to give instead)`.

    Raises:
        ValueError: if any argument is not valid.
    """
    wrong = [f"{call}({name}={brief(value)}): {meaning}" for name, (value, valid, meaning) in arguments.items() if not valid]
    if wrong:
        raise ValueError("; ".join(wrong))


def check_choice(call: str, name: str, value: Any, choices: Iterable[Any]) -> None:
    """Refuse a value that is none of `choices`, naming them all and the closest.

    Args:
        call: the class or function as the user writes it, such as `ImageCleaner`; '' where the argument alone says enough.
        name: the argument.
        value: what the user gave.
        choices: what it may be.

    Raises:
        ValueError: if `value` is not among `choices`.
    """
    choices = list(choices)
    if value not in choices:
        given = f"{call}({name}={brief(value)})" if call else f"{name}={brief(value)}"
        raise ValueError(f"{given}: {name} is one of {listing(map(repr, choices))}{did_you_mean(value, choices)}")
