"""What a class or function passes on, as fastcore has it: attributes (`GetAttr`) and keyword arguments (`delegates`)."""
import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from .utilities import listify

F = TypeVar("F", bound=Callable[..., Any])


class GetAttr:
    """Base of a class that passes on what it does not have itself to its attribute `default` (or the one named by `_default`).

    `_xtra`: the names that are passed on (default: all).
    """

    _default = "default"
    _xtra: list[str] | None = None

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__") and name != self._default and (self._xtra is None or name in self._xtra):
            target = getattr(self, self._default, None)
            if target is not None:
                return getattr(target, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(dir(getattr(self, self._default, None)) if self._xtra is None else self._xtra)})


def delegates(to: Any = None, keep: bool = False, but: Iterable[str] | str | None = None, sort_args: bool = False) -> Callable[[F], F]:
    """Decorator: show the keyword arguments of `to` in the signature, in the place of `**kwargs`.

    Args:
        to: a function or class (default: the base class of the decorated class).
        keep: keep `**kwargs` in the signature.
        but: names to leave out, a list or separated by commas.
        sort_args: sort the keyword arguments by name.
    """
    omitted = re.split(", *", but) if isinstance(but, str) else listify(but)

    def decorate(f: F) -> F:
        decorated: Any = f
        source = decorated.__base__ if to is None else to
        target = source.__init__ if isinstance(source, type) else source  # type: ignore[misc]  # of a class
        own: Any = decorated.__init__ if isinstance(f, type) else getattr(f, "__func__", f)  # type: ignore[misc]  # of a class
        params = dict(inspect.signature(own).parameters)
        rest = params.pop(next((n for n, p in params.items() if p.kind is p.VAR_KEYWORD), ""), None)
        taken = [p.replace(kind=p.KEYWORD_ONLY) for n, p in inspect.signature(target).parameters.items()
                 if p.default is not p.empty and n not in params and n not in omitted]
        own.__signature__ = inspect.Signature([*params.values(), *(sorted(taken, key=lambda p: p.name) if sort_args else taken),
                                               *([rest] if keep and rest is not None else [])])
        own.__doc__ = own.__doc__ or target.__doc__
        return f

    return decorate
