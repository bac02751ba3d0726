"""Small functions of fastcore that fastai's users write: the same results."""
import inspect
import io

import numpy as np
import pytest
import torch

from minifast.core.items import L, noop
from minifast.core.utilities import (
    camel2snake,
    concat,
    groupby,
    ifnone,
    is_listy,
    join_path_file,
    listify,
    merge,
    partialler,
    setify,
    snake2camel,
    tuplify,
    uniqueify,
)


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
    f = partialler(pow, exp=2, order=7)
    assert f(3) == 9 and f.order == 7


def test_doc_prints_the_docstring(capsys):
    assert inspect.getmodule(camel2snake).doc(camel2snake) is None
    assert "camel2snake" in capsys.readouterr().out
