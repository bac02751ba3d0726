"""Conflicting, swapped and shuffled labels."""
import numpy as np

from minifast.checks.data.labels import association, conflicting, fit_forest, swapped_classes


def test_conflicting_and_swapped_labels():
    assert conflicting([[0, 1], [2, 3]], ["x", "y", "z", "z"]) == [[0, 1]]
    y = np.repeat([0, 1, 2], 10)
    swapped = np.array([1, 0, 2])[y]
    assert swapped_classes(y, y, swapped, y) == [(0, 1)] and swapped_classes(y, y, y, y) == []


def test_association_is_found_and_noise_is_not():
    r = np.random.default_rng(0)
    x = r.normal(size=(300, 5))
    y = (x[:, 0] > 0).astype(int)
    assert association(fit_forest(x, y, True))[1] > 5
    noise = r.permutation(y)
    assert association(fit_forest(x, noise, True))[1] < 2.5
    values = x[:, 0] + 0.1 * r.normal(size=300)
    score, z = association(fit_forest(x, values, False))
    assert score > 0.8 and z > 5
