"""Lists of one value for each class."""
import numpy as np
import pytest

from minifast.data.indicators import indicator_values


@pytest.mark.parametrize(("lists", "expected"), [
    ([[0, 1], [0, 0]], {0, 1}), ([[0.0, 1.0, -1.0], [1.0, 1.0, 0.0]], {0, 1, -1}), ([[1, 0, None], [1, 1, float("nan")]], {0, 1}),
    ([["yes", "no", "no"], ["no", "no", "no"]], {"yes", "no"}), (np.eye(3), {0, 1}), ([(True, False), (False, False)], {0, 1}),
    ([["a"], ["b", "a"]], None), ([[0], [1]], None), ([["a", "b"], ["b", "c"]], None), ([[0, 1, 2, 3], [3, 2, 1, 0]], None),
    ([[10, 20], [20, 20]], None), ([[0.5, 0.5], [0.5, 1.0]], None), ([["a", "a", "b"], ["c", "d", "a"]], None), ([], None),
    ([[], []], None),
])
def test_lists_of_one_value_for_each_class(lists, expected):
    found = indicator_values(lists)
    assert found is None if expected is None else set(found) == expected
