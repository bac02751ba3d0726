"""Functions written as expressions, with fastcore's results."""
import pytest

from minifast.core.expressions import Self


def test_self():
    assert list(map(Self.upper(), ["a", "b"])) == ["A", "B"] and Self[0]("xyz") == "x" and Self.split(" ")[1]("a b") == "b"
    assert (Self.strip().lower())(" A ") == "a"
    assert (~Self.real)(1 + 2j) == 1 and (~Self.real.imag)(1 + 2j) == 0 and Self(2)(range(3).__getitem__) == 2
    assert repr(Self.split(" ", maxsplit=1)[0].strip) == "Self.split(' ', maxsplit=1)[0].strip" and Self[0]
    with pytest.raises(TypeError, match=r"Self.real is not complete: write ~Self.real"):
        bool(Self.real)
    with pytest.raises(TypeError, match=r"Self\[0\] is a function of one object: write Self\[0\]\(object\)"):
        Self[0]()
