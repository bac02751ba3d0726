"""Target leakage and distribution shift."""
import numpy as np
import pytest

from minifast.checks.data.tables import single_column_score, tell_apart


def test_single_columns_and_drift():
    r = np.random.default_rng(0)
    v = r.normal(size=400)
    assert (
        single_column_score(v, (v > 0).astype(int), True) > 0.98 and single_column_score(r.permutation(v), (v > 0).astype(int), True) < 0.7
    )
    assert single_column_score(v, 3 * v - 2, False) == pytest.approx(1) and single_column_score(np.ones(50), np.arange(50.0), False) == 0
    a, b = r.normal(size=(300, 3)), r.normal(size=(300, 3))
    assert tell_apart(a, b)[0] == pytest.approx(0.5, abs=0.08)
    b[:, 1] += 3
    auc, importances = tell_apart(a, b)
    assert auc > 0.95 and importances.argmax() == 1
