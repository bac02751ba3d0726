"""Checks of the numbers that users pass."""
import math

import pytest

from minifast.core.arguments import check_arguments, check_choice, is_number, is_whole


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
