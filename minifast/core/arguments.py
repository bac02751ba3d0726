"""Checks of what users pass: numbers, choices, lists of names, and objects where a class was given; errors say what to write."""
import inspect
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from .messages import brief, describe, did_you_mean, listing


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


def listed_in_order(call: str, name: str, values: Any) -> list:
    """Several names as a list, where their order counts: refuses a text, which is one name, and what has no order of its own.

    Args:
        call: the class or function as the user writes it, such as `MaskBlock`.
        name: the argument.
        values: what the user gave.

    Raises:
        TypeError: if it is a text, a set, a dict, or nothing that can be listed.
    """
    if isinstance(values, str):
        words = [o for o in re.split(r"[\s,;]+", values) if o]
        raise TypeError(f"{call}({name}={brief(values)}): {name} is a list of names, and a text would be read letter by letter; write "
                        f"{name}={brief(words)}")
    if isinstance(values, (set, frozenset)):
        raise TypeError(f"{call}({name}=...) takes names in order, and a set has none: the order differs from run to run. Write "
                        f"{name}=sorted(...), or list them")
    if isinstance(values, dict) or not hasattr(values, "__iter__"):
        raise TypeError(f"{call}({name}=...) takes a list of names; received {describe(values)}"
                        + (f". Of a dict `ids` from names to 0, 1, ... write {name}=sorted(ids, key=ids.get)" if values and
                           isinstance(values, dict) else ""))
    return list(values)


def required_parameters(f: Callable) -> list[str]:
    "The names of the parameters of a function, or of the `__init__` of a class, that have no default."
    try:
        parameters = list(inspect.signature(f.__init__ if isinstance(f, type) else f).parameters.values())[isinstance(f, type):]  # type: ignore[misc]  # of a class
    except (TypeError, ValueError):                     # written in C
        return []
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def refuse_class(where: str, f: Any) -> None:
    """Refuse a class where an object that can be called is wanted: `RandomSplitter` instead of `RandomSplitter()`.

    A class whose objects cannot be called, such as `int` or `Path`, is taken: it is itself the function that is wanted.

    Args:
        where: the argument as the user writes it, such as `DataBlock(splitter=...)`.
        f: what the user gave.

    Raises:
        TypeError: with what to write.
    """
    if isinstance(f, type) and any("__call__" in vars(c) for c in f.__mro__):
        raise TypeError(f"{where} received {describe(f)} itself, not one that is made: write "
                        f"{f.__name__}({', '.join(required_parameters(f))})")
