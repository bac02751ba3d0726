"""Small functions of fastcore that fastai's users write: the same results."""
import inspect
import io

import numpy as np
import pytest
import torch

from minifast.core.items import L, noop
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


def minus(by, x):
    return x - by


def inverse(x):
    return 1 / x


def test_ifnone():
    assert ifnone(None, 1) == 1 and ifnone(0, 1) == 0


def test_listify():
    assert listify() == [] and listify(None) == [] and listify("abc") == ["abc"] and listify([1, 2]) == [1, 2]
    assert listify((1, 2)) == [1, 2] and listify(range(2)) == [0, 1] and listify(1, 2) == [1, 2] and listify({1: 2}) == [{1: 2}]
    assert listify(x for x in [1, 2]) == [1, 2] and listify("ab", use_list=True) == ["a", "b"]
    assert listify({1}) == [1] and listify({1: 2}.keys()) == [1] and listify(slice(3)) == [slice(3)]
    array = np.zeros(2)
    assert listify(array)[0] is array and listify(b"ab") == [b"ab"]
    with pytest.raises(ValueError, match=r"listify\(match=...\) asks for 3 elements; received 2"):
        listify([1, 2], match=3)
    assert listify(1, match=3) == [1, 1, 1] and listify([1], match=["a", "b"]) == [1, 1] and listify([1, 2], match=[1, 2]) == [1, 2]
    assert tuplify("a") == ("a",) and tuplify([1, 2]) == (1, 2) and setify([1, 1]) == {1} and setify(None) == set()
    assert is_listy([]) and is_listy(()) and is_listy(L()) and is_listy(slice(2)) and is_listy({1})
    assert not is_listy("a") and not is_listy(np.zeros(2))


def test_collections():
    assert uniqueify([3, 1, 3]) == [3, 1] and uniqueify([3, 1, 3], sort=True) == [1, 3] and uniqueify([1], start=[7]) == [7, 1]
    assert uniqueify(["b", "a"], bidir=True) == (["b", "a"], {"b": 0, "a": 1})
    assert concat([1], (2, 3)) == [1, 2, 3] and concat((1,), [2]) == (1, 2) and concat([[1], [2]]) == [[1], [2]] and concat() == []
    assert concat(np.array([1]), np.array([2])).tolist() == [1, 2]
    assert concat(torch.tensor([1]), torch.tensor([2])).tolist() == [1, 2]
    assert list(concat("ab", "c")) == ["ab", "c"] and isinstance(concat(L(1), [2]), L)
    assert merge({1: 2}, None, {1: 3, 4: 5}) == {1: 3, 4: 5}
    assert groupby(["aa", "ab", "bb"], 0) == {"a": ["aa", "ab"], "b": ["bb"]} and groupby([1, 1, 2], noop) == {1: [1, 1], 2: [2]}
    assert groupby([(1, 3), (1, 4)], 0, 1) == {1: [3, 4]} and groupby([1 + 2j], "real") == {1.0: [1 + 2j]}
    assert groupby([(1, 2, 3)], (0, 1)) == {(1, 2): [(1, 2, 3)]}


@pytest.mark.parametrize(("camel", "snake"), [("ClassAreCamel", "class_are_camel"), ("HTTPServer", "http_server"), ("A", "a"),
                                              ("Already_Snake", "already_snake"), ("getHTTPResponseCode", "get_http_response_code"),
                                              ("XResNet50", "x_res_net50"), ("R2Score", "r2_score")])
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
    assert list(parallel(minus, [1, 2], 10, progress=False, **how)) == [-9, -8] and list(parallel(plus, [1], by=5, **how)) == [6]
    assert isinstance(parallel(plus, [1], **how), L)
    one, error = parallel(inverse, [1, 0], return_exceptions=True, **how)
    assert one == 1 and isinstance(error, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        parallel(inverse, [0], **how)


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


def test_fastuple():
    t = fastuple(1, 2)
    assert t.add(1) == (2, 3) and t.mul((3, 4)) == (3, 8) and -t == (-1, -2) and t - 1 == (0, 1) and t / 2 == (0.5, 1) and t // 2 == (0, 1)
    assert t + (1,) == (1, 2, 1) and t * 2 == (1, 2, 1, 2)                   # as every tuple
    assert t.gt(1) == (False, True) and t.max((3, 0)) == (3, 2) and ~t == (False, False) and t <= fastuple(1, 2) and t == (1, 2)
    assert fastuple([1, 2]) == (1, 2) and fastuple() == () and fastuple("ab") == ("a", "b") and fastuple((1, 2), 3) == (1, 2, 3)
    assert fastuple(3) == (3,) and fastuple([1], 3) == ([1], 3) and isinstance(t - 1, fastuple)


def test_self():
    assert list(map(Self.upper(), ["a", "b"])) == ["A", "B"] and Self[0]("xyz") == "x" and Self.split(" ")[1]("a b") == "b"
    assert (Self.strip().lower())(" A ") == "a"
    assert (~Self.real)(1 + 2j) == 1 and (~Self.real.imag)(1 + 2j) == 0 and Self(2)(range(3).__getitem__) == 2
    assert repr(Self.split(" ", maxsplit=1)[0].strip) == "Self.split(' ', maxsplit=1)[0].strip" and Self[0]
    with pytest.raises(TypeError, match=r"Self.real is not complete: write ~Self.real"):
        bool(Self.real)
    with pytest.raises(TypeError, match=r"Self\[0\] is a function of one object: write Self\[0\]\(object\)"):
        Self[0]()


def test_doc_prints_the_docstring(capsys):
    assert inspect.getmodule(camel2snake).doc(camel2snake) is None
    assert "camel2snake" in capsys.readouterr().out
