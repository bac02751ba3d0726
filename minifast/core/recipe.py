"""How an object was made: by which public class or function, with which arguments. An exported learner describes its parts by it."""
import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple, TypeVar

from .keywords import knows_keywords, takes_any

F = TypeVar("F", bound=Callable[..., Any])


class Recipe(NamedTuple):
    "`made_by(**args)` makes an equal object, apart from its weights."

    made_by: Callable[..., Any]
    args: dict[str, Any]


class Optional(NamedTuple):
    "A part of a recipe that is needed for some items only, such as a labelling function, so that a user's own may be left out."

    value: Any
    or_none: bool = False       #: left out, it is None; else a function that says what is missing
    is_named: bool = False      #: most items need it, so an export names a user's own


class Nearest(NamedTuple):
    "The class `cls`, or where it is not known, the nearest of its bases that is."

    cls: type


def recorded(**fixed: Any) -> Callable[[F], F]:
    """A decorator of a function that builds a model, or of an `__init__`: what it makes gets the attribute `recipe`.

    Args:
        **fixed: what to note for an argument instead of what was given: a value, or a function of what was given.
    """
    def decorate(f: F) -> F:
        signature, is_init = inspect.signature(f), f.__name__ == "__init__"
        make = f if takes_any(f) else knows_keywords(f)

        @wraps(f)
        def recording(*args: Any, **kwargs: Any) -> Any:
            made = make(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            target = args[0] if is_init else made
            noted = dict(list(bound.arguments.items())[is_init:])
            for kind, name in ((p.kind, p.name) for p in signature.parameters.values()):
                if kind is inspect.Parameter.VAR_KEYWORD:
                    noted.update(noted.pop(name, {}))
            noted.update({k: v(noted[k]) if callable(v) and k in noted else v for k, v in fixed.items() if k in noted or not callable(v)})
            target.recipe = Recipe(type(target) if is_init else recording, noted)
            return made
        recording.makes_model = True  # type: ignore[attr-defined]  # of a function
        return recording  # type: ignore[return-value]  # it takes and returns what `f` does
    return decorate
