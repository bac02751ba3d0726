"""Changes of time against closed forms: of a series whose values are the numbers of its steps, the result says where it was read."""
import pytest
import torch

from minifast.core.seeds import item_rng
from minifast.timeseries.all import FlipTime, Permutation, TensorSeries, TimeWarp, WindowSlice, WindowWarp


def ramps(n, lengths=(41,), channels=1):
    "`n` series for each length: 0, 1, 2 ..."
    x = torch.arange(float(max(lengths))).expand(n * len(lengths), channels, -1).clone()
    for i, length in enumerate(lengths):
        x[i * n:(i + 1) * n, :, length:] = torch.nan
    return x


def test_time_warp_is_monotone_and_keeps_the_ends():
    x = ramps(300, (41, 17))
    out = TimeWarp(0.7, knots=4, p=1)(x, 0, item_rng(0))[:, 0]
    for part, n in ((out[:300, :41], 41), (out[300:, :17], 17)):
        assert part[:, 0].eq(0).all() and torch.allclose(part[:, -1], torch.tensor(n - 1.0), atol=1e-4)
        assert (part.diff() > 0).all()
        assert part.mean() == pytest.approx((n - 1) / 2, rel=0.02), "as often ahead as behind"


def test_time_warp_is_the_integral_of_a_speed_that_is_linear_between_knots():
    import numpy as np
    tfm, x = TimeWarp(0.5, knots=1, p=1), TensorSeries(ramps(1, (1001,)))
    speed = np.exp(item_rng_normal(0.5, 3))
    grid = np.interp(np.linspace(0, 1, 1001), [0, 0.5, 1], speed)
    passed = np.concatenate([[0], np.cumsum((grid[1:] + grid[:-1]) / 2)])
    assert np.allclose(tfm(x, 0, item_rng(0))[0, 0].numpy(), passed / passed[-1] * 1000, atol=1e-2)


def item_rng_normal(std, n):
    rng = item_rng(0)
    rng.random(1)                                                       # whether to apply it
    return rng.normal(0, std, (1, n))[0]


def test_window_slice_is_a_straight_line():
    out = WindowSlice(0.6, p=1)(ramps(400, (41, 21)), 0, item_rng(0))[:, 0]
    for part, n in ((out[:400, :41], 41), (out[400:, :21], 21)):
        share = (part[:, -1] - part[:, 0]) / (n - 1)
        assert torch.allclose(part.diff(), share[:, None].expand(-1, n - 1), atol=1e-4)
        assert 0.6 - 1e-4 <= share.min() < 0.62 and 0.98 < share.max() <= 1 + 1e-4 and share.mean() == pytest.approx(0.8, abs=0.02)
        assert part.min() >= 0 and part.max() <= n - 1
        assert (part[:, 0] / (n - 1) / (1 - share).clamp_min(1e-3)).mean() == pytest.approx(0.5, abs=0.05), "anywhere"


def test_window_warp_is_slower_or_faster_in_one_window():
    tfm, x = WindowWarp(0.25, 2.0, p=1), TensorSeries(ramps(2, (41,)))
    start, factor = torch.tensor([[0.5], [0.25]]), torch.tensor([[2.0], [0.5]])
    out = tfm.encodes(x, start=start, factor=factor)[:, 0]
    for line, a, k in zip(out, (20, 10), (2.0, 0.5), strict=True):
        v = torch.arange(41) * (1 + 0.25 * (k - 1))                     # ten steps become 10 k
        expected = torch.where(v < a, v, torch.where(v < a + 10 * k, a + (v - a) / k, v - 10 * (k - 1)))
        assert torch.allclose(line, expected, atol=1e-4)
        assert line[0] == 0 and line[-1] == 40
    logs = tfm.draw(TensorSeries(ramps(3000)), item_rng(0), 0)["factor"].log()
    assert abs(logs.mean()) < 0.03 and logs.abs().max() <= 0.6932


def test_permutation_moves_whole_segments():
    x = ramps(600, (41, 23), channels=2)
    out = Permutation(4, p=1)(x, 0, item_rng(0))
    assert torch.equal(out[:, 0].nan_to_num(), out[:, 1].nan_to_num())
    counts = set()
    for part, n in ((out[:600, 0, :41], 41), (out[600:, 0, :23], 23)):
        assert torch.equal(part.sort(1)[0], torch.arange(float(n)).expand_as(part)), "each step once"
        breaks = (part.diff() != 1).sum(1)
        counts |= set(breaks.tolist())
        for line in part[:20]:
            starts = [0, *[i + 1 for i, d in enumerate(line.diff().tolist()) if d != 1], n]
            edges = {round(n * i / k) for k in (2, 3, 4) for i in range(k + 1)}
            assert {int(line[s]) for s in starts[:-1]} <= edges
    assert counts == {0, 1, 2, 3}


def test_flip_time_reverses_each_series_within_its_length():
    x = ramps(1, (6, 4))
    out = FlipTime(p=1)(x, 0, item_rng(0))[:, 0]
    assert out[0].tolist() == [5, 4, 3, 2, 1, 0] and out[1, :4].tolist() == [3, 2, 1, 0] and out[1, 4:].isnan().all()


def test_a_long_series_is_read_where_it_should_be():
    x = TensorSeries(ramps(1, (100_000,)))
    out = WindowSlice(p=1).encodes(x, start=torch.tensor([[0.25]]), share=torch.tensor([[0.5]]))[0, 0]
    assert torch.allclose(out, torch.linspace(24999.75, 74999.25, 100_000), atol=0.02)
