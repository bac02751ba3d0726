import pickle
import random
import warnings

import numpy as np
import pytest
import torch

from minifast.core.items import L, coll_repr, first, one_hot, one_hot_decode, range_of, tensor


def test_negation_and_tensors():
    assert ~L(1, 0, None, [1]) == [False, True, True, False] and isinstance(~L(1), L)
    rows = L([1, 2], [3, 4])
    assert [t.tolist() for t in rows.tensored()] == [[1, 2], [3, 4]]
    assert rows.stack().tolist() == [[1, 2], [3, 4]] and rows.stack(1).tolist() == [[1, 3], [2, 4]]
    assert rows.cat().tolist() == [1, 2, 3, 4] and L([[1, 2]], [[3, 4]]).cat(1).tolist() == [[1, 2, 3, 4]]


def test_construction():
    assert L() == [] and L(None) == [] and L([1, 2]) == [1, 2] and L(1, 2, 3) == [1, 2, 3]
    assert L("abc") == ["abc"] and L(range(3)) == [0, 1, 2] and L(o * 2 for o in [1, 2]) == [2, 4]
    assert len(L(np.arange(3))) == 1 and L(np.arange(3), use_list=True) == [0, 1, 2]
    assert L(5) == [5] and L({"a": 1}) == ["a"]


def test_indexing():
    items = L("a", "b", "c", "d")
    assert items[1] == "b" and items[-1] == "d"
    for index in ([0, 2], (0, 2), np.array([0, 2]), torch.tensor([0, 2]), [True, False, True, False], np.array([True, False, True, False])):
        got = items[index]
        assert got == ["a", "c"] and isinstance(got, L)
    assert isinstance(items[1:], L) and items[1:] == ["b", "c", "d"]
    assert items[np.int64(2)] == "c" and items[torch.tensor(2)] == "c"
    with pytest.raises(IndexError, match="mask needs one value per item: received 2 values for 4 items"):
        items[[True, False]]
    items[[0, 1]] = ["x", "y"]
    items[2] = "z"
    assert items == ["x", "y", "z", "d"]
    items[[0, 1]] = 0
    assert items == [0, 0, "z", "d"]
    with pytest.raises(ValueError, match="cannot set 2 items from 3 values"):
        items[[0, 1]] = [1, 2, 3]


def test_a_lone_string_item_is_not_taken_apart():
    assert L("ab", "cd")[1:] == ["cd"] and L(["ab"]).map(str.upper) == ["AB"]


def test_map_and_filter():
    items = L(3, 1, 2)
    assert items.map(lambda o, k=1: o * k, k=10) == [30, 10, 20]
    assert items.map({1: "a", 2: "b", 3: "c"}) == ["c", "a", "b"] and items.map("n{}") == ["n3", "n1", "n2"]
    with pytest.raises(TypeError, match="map takes a function"):
        items.map(3)
    assert items.filter(lambda o: o > 1) == [3, 2] and items.filter(lambda o: o > 1, negate=True) == [1]
    assert L(0, 1, None, 2).filter() == [1, 2]
    assert items.argwhere(lambda o: o > 1) == [0, 2]
    assert L(1, 2, 1).unique() == [1, 2] and L(2, 1, 2).unique(sort=True) == [1, 2]
    assert L((1, 2), (3, 4)).starmap(lambda a, b: a + b) == [3, 7]


def test_sorting():
    assert L(3, 1, 2).sorted() == [1, 2, 3] and L(3, 1, 2).sorted(reverse=True) == [3, 2, 1]
    assert L((1, "b"), (2, "a")).sorted(key=1) == [(2, "a"), (1, "b")]
    assert L(3 + 1j, 1 + 5j).sorted(key="imag") == [3 + 1j, 1 + 5j] and L("bb", "a").sorted(key=len) == ["a", "bb"]


def test_getting_parts():
    assert L((1, 2), (3, 4)).itemgot(1) == [2, 4] and L([{"a": (5, 6)}]).itemgot("a", 0) == [5]
    assert L({"a": 1}, {"b": 2}).attrgot("a", 0) == [1, 0] and L(1 + 2j).attrgot("imag") == [2.0]
    assert L("a", "b").enumerate() == [(0, "a"), (1, "b")] and L("a", "b").val2idx() == {"a": 0, "b": 1}
    assert L([1, 2], [3, 4]).zip() == [(1, 3), (2, 4)] and L([1, 2, 3], [4]).zip(cycled=True) == [(1, 4), (2, 4), (3, 4)]
    assert L(1, 2).zipwith([3, 4], [5, 6]) == [(1, 3, 5), (2, 4, 6)]


def test_together():
    assert L([1], [2, 3], 4).concat() == [1, 2, 3, 4] and L(1, 2, 3).sum() == 6 and L(1, 2, 3).reduce(lambda a, b: a * b) == 6
    assert L.range(3) == [0, 1, 2] and L.range("abcd") == [0, 1, 2, 3] and L.range(1, 7, 2) == [1, 3, 5]
    assert L(torch.zeros(2), torch.ones(2)).stack().shape == (2, 2)
    both = L(1) + [2]
    assert both == [1, 2] and isinstance(both, L) and [0] + L(1) == [0, 1] and L(1, 2) * 2 == [1, 2, 1, 2]


def test_shuffle_follows_the_seed():
    random.seed(1)
    a = L.range(20).shuffle()
    random.seed(1)
    assert L.range(20).shuffle() == a and a != list(range(20)) and sorted(a) == list(range(20))


def test_repr():
    assert repr(L(1, "a")) == "(#2) [1,'a']"
    assert repr(L.range(12)) == "(#12) [0,1,2,3,4,5,6,7,8,9...]" and coll_repr([1, 2, 3], 2) == "(#3) [1,2...]"


def test_it_is_a_list_that_can_be_sent():
    assert isinstance(L(1), list) and pickle.loads(pickle.dumps(L(1, [2]))) == [1, [2]] and type(L(1).copy()) is L


def test_helpers():
    assert first([3, 4]) == 3 and first([], None) is None and first([1, 2, 3], lambda o: o > 1) == 2
    assert first([1, 2, 3], lambda o: o == 1, negate=True) == 2 and range_of("abc") == [0, 1, 2]


def test_one_hot_decode():
    assert one_hot_decode(one_hot([0, 2], 3)) == [0, 2] and one_hot_decode(one_hot([0, 2], 3), ["a", "b", "c"]) == ["a", "c"]
    assert one_hot_decode([0, 1, True]) == [1, 2] and one_hot_decode(np.array([1, 0])) == [0] and one_hot_decode([0]) == []
    assert one_hot_decode(torch.tensor([1.0, 0, 0.5]), ["a", "b", "c"]) == ["a"] and isinstance(one_hot_decode([1], [[3]]), L)


def test_an_array_that_must_not_be_written_to_is_copied_without_a_warning():
    values = np.arange(3.0)
    values.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        t = tensor(values)
    t += 1
    assert t.tolist() == [1, 2, 3] and values.tolist() == [0, 1, 2]
    shared = np.arange(3.0)
    assert tensor(shared).data_ptr() == shared.ctypes.data
