"""`fastuple`, fastcore's tuple that computes element by element."""
import itertools
import operator
from collections.abc import Callable, Iterable
from typing import Any

from .utilities import is_listy


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
