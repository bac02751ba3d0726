"""Keywords that a call does not take, with the name that was meant: before version 3.13 Python's own error does not give it."""
import inspect
from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any, TypeVar

from .messages import reject_unknown

F = TypeVar("F", bound=Callable[..., Any])


def knows_keywords(f: F) -> F:
    """A decorator of a function, a class method below `@classmethod`, or an `__init__`, that names every keyword: others are refused.

    >>> vision_learner(dls, resnet18, metric=accuracy)
    TypeError: vision_learner(...) does not take metric=function accuracy; did you mean 'metrics'? It takes: ...

    Args:
        f: a function without `**kwargs`.
    """
    code = inspect.unwrap(f).__code__
    is_init, of = f.__name__ == "__init__", f.__qualname__.rpartition(".")[0]
    is_of_class = code.co_varnames[:1] == ("cls",) and bool(of) and not of.endswith("<locals>")     # unlike `ImageBlock(cls=...)`
    names = [name for name in code.co_varnames[is_of_class:code.co_argcount + code.co_kwonlyargcount] if name != "self"]

    @wraps(f)
    def checking(*args: Any, **kwargs: Any) -> Any:
        if not kwargs.keys() <= known:
            name = type(args[0]).__name__ if is_init else f"{args[0].__name__}.{f.__name__}" if is_of_class else f.__name__
            reject_unknown(kwargs, names, f"{name}(...)")
        return f(*args, **kwargs)
    known = set(names)
    return checking  # type: ignore[return-value]  # it takes and returns what `f` does


def takes_any(f: Callable[..., Any]) -> bool:
    "Whether a function has `**kwargs`."
    return bool(inspect.unwrap(f).__code__.co_flags & inspect.CO_VARKEYWORDS)


class KnowsKeywords:
    "Base of classes whose `__init__`, where it names every keyword and has optional ones, refuses others with the one that was meant."

    def __init_subclass__(cls, check_keywords: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        init = vars(cls).get("__init__")
        if check_keywords and isinstance(init, FunctionType) and not takes_any(init) and (init.__defaults__ or init.__kwdefaults__):
            cls.__init__ = knows_keywords(init)  # type: ignore[method-assign]
