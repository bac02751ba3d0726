"""Tuples that compute element by element, with fastcore's results."""
from minifast.core.fastuple import fastuple


def test_fastuple():
    t = fastuple(1, 2)
    assert t.add(1) == (2, 3) and t.mul((3, 4)) == (3, 8) and -t == (-1, -2) and t - 1 == (0, 1) and t / 2 == (0.5, 1) and t // 2 == (0, 1)
    assert t + (1,) == (1, 2, 1) and t * 2 == (1, 2, 1, 2)                   # as every tuple
    assert t.gt(1) == (False, True) and t.max((3, 0)) == (3, 2) and ~t == (False, False) and t <= fastuple(1, 2) and t == (1, 2)
    assert fastuple([1, 2]) == (1, 2) and fastuple() == () and fastuple("ab") == ("a", "b") and fastuple((1, 2), 3) == (1, 2, 3)
    assert fastuple(3) == (3,) and fastuple([1], 3) == ([1], 3) and isinstance(t - 1, fastuple)
