"""What code written for fastai expects of fastcore, of more than a line: `Self.split(" ")[0]`, a function of one object; `fastuple`, a
tuple that computes element by element; attributes (`GetAttr`) and keyword arguments (`delegates`) that are passed on. `patch` and
`typedispatch` say what to write instead."""
import inspect
import itertools
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeVar

from .messages import name_of
from .utilities import is_listy, listify


class _Expression:
    """What `Self` builds up: attributes, indices and calls, which become a function.

    `Self.method(args)` is `lambda o: o.method(args)`, `Self[i]` is `lambda o: o[i]`, and `~Self.name` is `lambda o: o.name`.

    Args:
        *args: of the method that was named last; or, of a complete expression, the object to apply it to.
        **kwargs: keyword arguments of that method.
    """

    def __init__(self, steps: tuple = ()):
        self._steps = steps

    def __getattr__(self, name: str) -> "_Expression":
        if name.startswith("__"):
            raise AttributeError(name)
        return _Expression((*self._steps, (name, None, {})))

    def __getitem__(self, i: Any) -> "_Expression":
        return _Expression((*self._steps, ("__getitem__", (i,), {})))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._steps:
            return _Expression((("__call__", args, kwargs),))
        if self._steps[-1][1] is None:
            return _Expression((*self._steps[:-1], (self._steps[-1][0], args, kwargs)))
        if not args:
            raise TypeError(f"{self!r} is a function of one object: write {self!r}(object)")
        return (~self)(args[0])

    def __invert__(self) -> Callable[[Any], Any]:
        def f(o: Any) -> Any:
            for name, args, kwargs in self._steps:
                o = getattr(o, name)
                o = o if args is None else o(*args, **kwargs)
            return o

        return f

    def __bool__(self) -> bool:
        if self._steps and self._steps[-1][1] is None:
            raise TypeError(f"{self!r} is not complete: write ~{self!r} for the function that returns this attribute")
        return True

    def __repr__(self) -> str:
        text = "Self"
        for name, args, kwargs in self._steps:
            given = ", ".join([*map(repr, args or ()), *(f"{k}={v!r}" for k, v in kwargs.items())])
            call = "" if args is None else f"({given})"
            text += {"__getitem__": f"[{given}]", "__call__": call}.get(name, f".{name}{call}")
        return text


#: Where an expression begins.
Self = _Expression()


def _by_element(op: Callable) -> Callable[..., Any]:
    "The method of `fastuple` that applies `op` to each element, and to the elements of further tuples or the same further value."
    def method(self: "fastuple", *args: Any) -> "fastuple":
        return fastuple(tuple(map(op, self, *(itertools.cycle(o if is_listy(o) else [o]) for o in args))))

    return method


class fastuple(tuple):
    """A tuple that computes element by element: `fastuple(1, 2) - 1`, `fastuple(4, 6) / (2, 3)`.

    `+` and `*` join and repeat, as those of every tuple: write `t.add(1)` and `t.mul((3, 4))`. Comparisons are `eq`, `ne`, `lt`, `le`,
    `gt` and `ge`; `~t` is the logical not of each element.
    """

    def __new__(cls, x: Any = None, *rest: Any) -> "fastuple":
        if x is None:
            x = ()
        elif not isinstance(x, tuple):
            x = tuple(x) if isinstance(x, Iterable) and not rest else (x,)
        return super().__new__(cls, (*x, *rest))

    add, mul = _by_element(operator.add), _by_element(operator.mul)
    eq, ne, lt, le, gt, ge = (_by_element(op) for op in (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge))
    min, max = _by_element(min), _by_element(max)
    __sub__, __matmul__, __pow__ = _by_element(operator.sub), _by_element(operator.matmul), _by_element(operator.pow)
    __truediv__, __floordiv__, __mod__ = _by_element(operator.truediv), _by_element(operator.floordiv), _by_element(operator.mod)
    __and__, __xor__ = _by_element(operator.and_), _by_element(operator.xor)
    __lshift__, __rshift__ = _by_element(operator.lshift), _by_element(operator.rshift)
    __neg__, __pos__, __abs__, __invert__ = (_by_element(op) for op in (operator.neg, operator.pos, operator.abs, operator.not_))


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


def patch(f: Any = None, **kwargs: Any) -> NoReturn:
    """Refused: classes are not changed from outside.

    Args:
        f: what would become a method.
        **kwargs: fastai's options.

    Raises:
        NotImplementedError: says what to write.
    """
    what = "" if f is None else name_of(f)
    raise NotImplementedError(f"patch({what}): minifast adds no methods to classes that exist. Write a subclass, a `Callback`, or assign "
                              "the function: Learner.my_method = my_method")


def typedispatch(f: Any) -> NoReturn:
    """Refused: there is no registry of functions by the types of their arguments.

    Args:
        f: what would be registered.

    Raises:
        NotImplementedError: says what to write.
    """
    raise NotImplementedError(f"typedispatch({name_of(f)}): nothing is dispatched on types here. For how items are shown, give their class "
                              "a method `show(self, ctx=None)`; for a transform, write one `encodes` for each type in a subclass of "
                              "`Transform`; elsewhere use functools.singledispatch")
