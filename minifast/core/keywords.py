"""Keywords that a call does not take, with the name that was meant: Python's own error does not give it."""
import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from .messages import reject_unknown

F = TypeVar("F", bound=Callable[..., Any])


def knows_keywords(f: F) -> F:
    """A decorator of a function, or of the `__init__` of a class, whose signature names every keyword: others are refused.

    >>> vision_learner(dls, resnet18, metric=accuracy)
    TypeError: vision_learner(...) does not take metric=function accuracy; did you mean 'metrics'? It takes: ...

    Args:
        f: a function without `**kwargs`.
    """
    names = [name for name in inspect.signature(f).parameters if name != "self"]

    @wraps(f)
    def checking(*args: Any, **kwargs: Any) -> Any:
        if not kwargs.keys() <= known:
            reject_unknown(kwargs, names, f"{type(args[0]).__name__ if is_init else f.__name__}(...)")
        return f(*args, **kwargs)
    known, is_init = set(names), f.__name__ == "__init__"
    return checking  # type: ignore[return-value]  # it takes and returns what `f` does
