"""Which part of a batch is whose."""
import pytest

from minifast.core import shares
from minifast.core.shares import Share, share_of


@pytest.mark.parametrize("world", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 16, 64])
def test_a_batch_is_divided_without_rest_and_nobody_has_a_single_item(monkeypatch, n, world):
    monkeypatch.setattr(shares, "world_size", lambda: world)
    monkeypatch.setattr(shares, "rank", lambda: 0)
    sizes = share_of(n).sizes
    assert len(sizes) == world and sum(sizes) == n
    assert max(sizes) - min(s for s in sizes if s) <= 1 and (n == 1 or 1 not in sizes)
    parts = [list(range(n))[Share(sizes, r).held] for r in range(world) if sizes[r]]
    assert [i for part in parts for i in part] == list(range(n))
    assert all(1 <= len(list(range(n))[Share(sizes, r).held]) <= max(2, max(sizes)) for r in range(world))      # those who stand in, too


def test_the_weighted_gradients_average_to_that_of_the_batch():
    losses, sizes = [2.0, 5.0, 1.0], (3, 2, 2)
    factors = [Share(sizes, r).weighed(sizes[r])[0] for r in range(3)]
    assert sum(f * loss for f, loss in zip(factors, losses, strict=True)) / 3 == pytest.approx((3 * 2 + 2 * 5 + 2 * 1) / 7)
    assert Share((5, 0), 1).weighed(2) == (0, 5)
    assert Share((5, 0), 0).weighed(None) == (2, None) and Share((5, 0), 1).weighed(None) == (0, None)
