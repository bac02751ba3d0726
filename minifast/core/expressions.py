"""`Self`, fastcore's way to write a function of one object: `Self.split(" ")[0]`."""
from collections.abc import Callable
from typing import Any


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
