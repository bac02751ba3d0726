"""Attributes and keyword arguments that are passed on, with fastcore's results."""
import inspect

import pytest

from minifast.core.delegation import GetAttr, delegates


def test_attributes_are_passed_on():
    class Box(GetAttr):
        _default = "inner"

        def __init__(self, inner):
            self.inner = inner

    class Some(Box):
        _xtra = ["upper"]

    assert Box("abc").upper() == "ABC" and Some("abc").upper() == "ABC" and "upper" in dir(Some("abc"))
    class Computed(GetAttr):
        _default = "made"

        @property
        def made(self):
            return "abc"

    assert Computed().upper() == "ABC"
    with pytest.raises(AttributeError, match="'Some' object has no attribute 'lower'"):
        Some("abc").lower
    with pytest.raises(AttributeError):
        Box.__new__(Box).anything


def test_delegates():
    def base(a, b=1, c=2):
        return a + b + c

    @delegates(base, but="c")
    def f(a, d=0, **kwargs):
        return base(a, **kwargs) + d

    assert str(inspect.signature(f)) == "(a, d=0, *, b=1)" and f(1, b=2) == 5
    assert "(x, *, c=2)" in str(inspect.signature(delegates(base, but="a, b")(lambda x, **kw: x)))

    @delegates(base, keep=True, sort_args=True)
    def g(b, **kwargs):
        return b

    assert str(inspect.signature(g)) == "(b, *, c=2, **kwargs)"

    class Parent:
        def __init__(self, x, y=1):
            self.y = y

    @delegates()
    class Child(Parent):
        def __init__(self, x, **kwargs):
            super().__init__(x, **kwargs)

    assert "y=1" in str(inspect.signature(Child)) and Child(1, y=3).y == 3
