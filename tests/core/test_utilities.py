"""Small functions of fastcore that fastai's users write: the same results."""
import inspect
import io

import numpy as np
import pytest

from minifast.core.items import L
from minifast.core.utilities import (
    GetAttr,
    Self,
    camel2snake,
    concat,
    delegates,
    fastuple,
    groupby,
    ifnone,
    is_listy,
    join_path_file,
    listify,
    merge,
    num_cpus,
    parallel,
    partialler,
    setify,
    snake2camel,
    tuplify,
    uniqueify,
)


def plus(x, by=1):
    return x + by


def test_ifnone():
    assert ifnone(None, 1) == 1 and ifnone(0, 1) == 0


def test_listify():
    assert listify() == [] and listify(None) == [] and listify("abc") == ["abc"] and listify([1, 2]) == [1, 2]
    assert listify((1, 2)) == [1, 2] and listify(range(2)) == [0, 1] and listify(1, 2) == [1, 2] and listify({1: 2}) == [{1: 2}]
    assert listify(x for x in [1, 2]) == [1, 2] and listify("ab", use_list=True) == ["a", "b"]
    assert listify(1, match=3) == [1, 1, 1] and listify([1], match=["a", "b"]) == [1, 1] and listify([1, 2], match=[1, 2]) == [1, 2]
    assert tuplify("a") == ("a",) and tuplify([1, 2]) == (1, 2) and setify([1, 1]) == {1} and setify(None) == set()
    assert is_listy([]) and is_listy(()) and is_listy(L()) and is_listy(slice(2)) and not is_listy("a") and not is_listy(np.zeros(2))


def test_collections():
    assert uniqueify([3, 1, 3]) == [3, 1] and uniqueify([3, 1, 3], sort=True) == [1, 3] and uniqueify([1], start=[7]) == [7, 1]
    assert uniqueify(["b", "a"], bidir=True) == (["b", "a"], {"b": 0, "a": 1})
    assert concat([1], (2, 3)) == [1, 2, 3] == concat([[1], [2, 3]])
    assert merge({1: 2}, None, {1: 3, 4: 5}) == {1: 3, 4: 5}
    assert groupby(["aa", "ab", "bb"], 0) == {"a": ["aa", "ab"], "b": ["bb"]} and groupby([1, 1, 2]) == {1: [1, 1], 2: [2]}
    assert groupby([(1, 3), (1, 4)], 0, 1) == {1: [3, 4]} and groupby([1 + 2j], "real") == {1.0: [1 + 2j]}


@pytest.mark.parametrize(("camel", "snake"), [("ClassAreCamel", "class_are_camel"), ("HTTPServer", "http_server"), ("A", "a"),
                                              ("Already_Snake", "already__snake")])
def test_names(camel, snake):
    assert camel2snake(camel) == snake
    assert snake2camel("a_b_cc") == "ABCc"


def test_join_path_file(tmp_path):
    assert join_path_file("a", tmp_path / "new", ".csv") == tmp_path / "new" / "a.csv" and (tmp_path / "new").is_dir()
    file = io.StringIO()
    assert join_path_file(file, tmp_path) is file


def test_partialler():
    f = partialler(plus, by=3, order=7)
    assert f(1) == 4 and f.order == 7 and num_cpus() >= 1


@pytest.mark.parametrize("how", [{"n_workers": 0}, {"n_workers": 2}, {"n_workers": 2, "threadpool": True}])
def test_parallel(how):
    assert list(parallel(plus, range(5), **how)) == [1, 2, 3, 4, 5]
    assert list(parallel(plus, [1, 2], 10, progress=False, **how)) == [11, 12] and list(parallel(plus, [1], by=5, **how)) == [6]
    assert isinstance(parallel(plus, [1], **how), L)


def test_attributes_are_passed_on():
    class Box(GetAttr):
        _default = "inner"

        def __init__(self, inner):
            self.inner = inner

    class Some(Box):
        _xtra = ["upper"]

    assert Box("abc").upper() == "ABC" and Some("abc").upper() == "ABC" and "upper" in dir(Some("abc"))
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

    class Parent:
        def __init__(self, x, y=1):
            self.y = y

    @delegates()
    class Child(Parent):
        def __init__(self, x, **kwargs):
            super().__init__(x, **kwargs)

    assert "y=1" in str(inspect.signature(Child)) and Child(1, y=3).y == 3


def test_fastuple():
    t = fastuple(1, 2)
    assert t + 1 == (2, 3) and t * (3, 4) == (3, 8) and -t == (-1, -2) and t - 1 == (0, 1) and t / 2 == (0.5, 1)
    assert fastuple([1, 2]) == (1, 2) and fastuple() == () and isinstance(t + 1, fastuple)


def test_self():
    assert list(map(Self.upper(), ["a", "b"])) == ["A", "B"] and Self[0]("xyz") == "x" and Self.split(" ")[1]("a b") == "b"
    assert (Self.strip().lower())(" A ") == "a"
