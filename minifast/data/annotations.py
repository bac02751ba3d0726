"""What the annotations of a transform's methods mean: which values it takes, what it returns, and several `encodes` in one class.

In a class body a second `encodes` is, to Python, another value for the same name, and the first is gone without a word. Code written for
fastai has such pairs everywhere, so the class of transform classes looks at its body while it is made. That is all it does. A value goes
to the function of the narrowest class that it is an instance of (`functools.singledispatch` would go by its class alone, but every
`tv_tensors.Image` is an instance of `TensorImage`).
"""
import typing
from collections.abc import Callable
from functools import lru_cache
from types import FunctionType, UnionType
from typing import Any

import torch

from ..core.nested import typed_again

#: The methods of a transform that can be there several times, for different classes of values.
REVERSIBLE = "encodes", "decodes"


def _hints(func: Callable) -> tuple[Any, Any]:
    """The annotations of the first parameter of `func` (besides `self`) and of what it returns; None where there is none.

    Raises:
        NameError: one is a text that stands for nothing.
    """
    if not func.__annotations__:
        return None, None
    code = func.__code__
    names = [n for n in code.co_varnames[:code.co_argcount] if n != "self"]         # of a class method `cls`, which limits nothing
    hints = typing.get_type_hints(func)
    return hints.get(names[0]) if names and names[0] != "cls" else None, hints.get("return")


def _classes(hint: Any) -> tuple[type, ...] | None:
    "The classes that an annotation names, or None where it limits nothing."
    union = typing.get_origin(hint) in (typing.Union, UnionType)
    options = tuple(typing.get_origin(o) or o for o in (typing.get_args(hint) if union else hint if isinstance(hint, tuple) else (hint,)))
    usable = all(isinstance(o, type) for o in options) and object not in options and typing.Any not in options
    return options if usable and options else None


@lru_cache(maxsize=1000)
def annotated(func: Callable) -> tuple[tuple[type, ...] | None, type | None]:
    """What the annotations of a function say: the classes of its first parameter (besides `self`), and the class of what it returns. None
    where there is none, or one that limits nothing.

    Args:
        func: a function, not a bound method.
    """
    try:
        hint, returned = _hints(func)
        return _classes(hint), returned if isinstance(returned, type) and returned not in (object, typing.Any) else None
    except Exception:                       # an annotation that is not a type, or cannot be resolved
        return None, None


def returns(f: Callable, kind: type) -> bool:
    """Whether a function says that it returns objects of a class, or a list of them.

    Args:
        f: the function or method.
        kind: the class.
    """
    try:
        hint = typing.get_type_hints(f).get("return")
    except Exception:                       # not a function, or an annotation that cannot be resolved
        return False
    options = typing.get_args(hint) or (hint,)
    return any(isinstance(o, type) and issubclass(o, kind) for o in options)


# -- several `encodes` (or `decodes`) in one class ---------------------------------------------------------------------------------
def _variants(func: Callable, owner: str) -> list[tuple[tuple[type, ...] | None, Callable]]:
    "The functions that `func` was joined from, or itself, each with its classes."
    known = getattr(func, "variants", None)
    if known is not None:
        return known
    try:
        return [(_classes(_hints(func)[0]), func)]
    except Exception as e:
        raise TypeError(f"{owner} is defined several times, and the class of values of one of them is not known yet ({e}): write "
                        "classes that exist already as annotations") from e


def joined(first: Callable, second: Callable, owner: str, first_types: tuple[type, ...] | None = None) -> Callable:
    """One method of two: the values of the classes that `second` names go to it, the others to `first`. `second` alone where it takes
    everything, as in any class."""
    before, added = _variants(first, owner), _variants(second, owner)
    before = [(first_types or types, f) for types, f in before]
    if any(types is None for types, _ in added):
        return second
    table = {t: f for types, f in (*before, *added) for t in types or (object,)}
    narrow_first = sorted(table, key=lambda t: -sum(issubclass(t, other) for other in table))
    ordered = [(t, table[t], annotated(table[t])[1]) for t in narrow_first]

    def either(self: Any, x: Any, *args: Any, **params: Any) -> Any:
        for t, f, returned in ordered:
            if isinstance(x, t):
                new = f(self, x, *args, **params)
                return typed_again(new, x, returned) if type(new) is torch.Tensor else new
        return x

    taken = [types for types, _ in (*before, *added)]
    either.__annotations__ = {"return": torch.Tensor}                # typed already
    if None not in taken:
        either.__annotations__["x"] = tuple(dict.fromkeys(t for types in taken for t in types or ()))
    either.__name__, either.__qualname__, either.__module__ = second.__name__, owner, second.__module__
    either.variants = [*before, *added]     # type: ignore[attr-defined]
    return either


class _Body(dict):
    "The names of a class body, where a second `encodes` or `decodes` joins the first instead of taking its place."

    def __setitem__(self, name: str, value: Any) -> None:
        first, owner = self.get(name), f"{self.get('__qualname__')}.{name}"
        if isinstance(first, FunctionType) and isinstance(value, FunctionType):
            if name in REVERSIBLE:
                value = joined(first, value, owner)
            elif name == "setups":
                raise TypeError(f"{owner} is defined twice, and only the last would be called: write one `setups(self, items)`. It gets "
                                "the training items, or in a pipeline of batches the training batches")
        super().__setitem__(name, value)


class TransformType(type):
    """The class of transform classes. Only here can a second `encodes` in a class body be seen at all: to Python the first is gone."""

    @classmethod
    def __prepare__(cls, name: str, bases: tuple[type, ...], /, **kwargs: Any) -> dict[str, object]:
        return _Body()

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any], **kwargs: Any) -> Any:
        return super().__new__(cls, name, bases, dict(body), **kwargs)
