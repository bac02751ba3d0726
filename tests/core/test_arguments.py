"""Checks of what users pass."""
import math
import re

import pytest
from suggestions import told

from minifast.core.arguments import check_arguments, check_choice, is_number, is_whole, listed_in_order, refuse_class, required_parameters


@pytest.mark.parametrize(("value", "expected"), [(0, True), (0.5, True), (1, True), (1.5, False), (-1, False), (True, False),
                                                 (math.nan, False), ("1", False), (None, False)])
def test_numbers(value, expected):
    assert is_number(value, 0, 1) is expected


@pytest.mark.parametrize(("value", "expected"), [(2, True), (3, True), (1, False), (2.0, False), (True, False), ("2", False)])
def test_whole_numbers(value, expected):
    assert is_whole(value, 2) is expected


def test_every_wrong_argument_is_named():
    with pytest.raises(ValueError, match=r"^EMA\(decay=2\): below 1; EMA\(every='x'\): a whole number$"):
        check_arguments("EMA", decay=(2, False, "below 1"), every=("x", False, "a whole number"), start=(1, True, "never said"))
    assert check_arguments("EMA", decay=(0.5, True, "below 1")) is None


def test_choices_are_named_with_the_closest():
    check_choice("RocAuc", "average", "macro", ("macro", "micro"))
    with pytest.raises(ValueError, match=r"^RocAuc\(average='macor'\): average is one of 'macro', 'micro'; did you mean 'macro'\?$"):
        check_choice("RocAuc", "average", "macor", ("macro", "micro"))
    with pytest.raises(ValueError, match=r"^keep=3: keep is one of 'all', None$"):
        check_choice("", "keep", 3, ("all", None))


@pytest.mark.parametrize(("text", "names"), [("bg fg", "['bg', 'fg']"), ("a,b; c", "['a', 'b', 'c']"), ("dog", "['dog']")])
def test_a_text_is_one_name(text, names):
    with pytest.raises(TypeError, match=re.escape(f"and a text would be read letter by letter; write codes={names}")):
        listed_in_order("MaskBlock", "codes", text)


def test_names_in_order():
    assert listed_in_order("f", "x", ("b", "a")) == listed_in_order("f", "x", {"b": 1, "a": 2}.keys()) == ["b", "a"]
    for wrong in ({"a"}, frozenset("a"), {"a": 1}, 3):
        with pytest.raises(TypeError, match=r"f\(x=\.\.\.\) takes "):
            listed_in_order("f", "x", wrong)


class Adds:
    def __init__(self, n, *more, sign=1, **kwargs):
        self.n = n

    def __call__(self, x):
        return x + self.n


def test_a_class_where_its_object_is_meant():
    with pytest.raises(TypeError, match=r"^f\(add=\.\.\.\) received the class Adds itself, not one that is made: write Adds\(n\)$"):
        refuse_class("f(add=...)", Adds)
    for fine in (Adds(1), int, str, len, None, lambda x: x):
        refuse_class("f(add=...)", fine)
    assert required_parameters(Adds) == ["n"] and required_parameters(math.sqrt) == ["x"] and required_parameters(dict) == []


def test_a_dict_of_ids_becomes_the_names_in_their_order():
    ids = {"dog": 1, "cat": 0}
    with told("core/arguments.py", "Of a dict `ids` from names to 0, 1, ... write …=sorted(ids, key=ids.get)"):
        listed_in_order("Categorize", "vocab", ids)
    assert listed_in_order("Categorize", "vocab", sorted(ids, key=ids.get)) == ["cat", "dog"]
