"""Schedules against their closed forms."""
import math
import pickle
import timeit

import pytest

from minifast.optim.schedules import (
    SchedCos,
    SchedExp,
    SchedLin,
    SchedNo,
    SchedPoly,
    combine_scheds,
    combined_cos,
    flat_cos,
    one_cycle,
    sgdr,
)

GRID = [i / 40 for i in range(41)]
CLOSED = [
    (SchedLin(2.0, 5.0), lambda p: 2 + 3 * p),
    (SchedCos(2.0, 5.0), lambda p: 3.5 - 1.5 * math.cos(math.pi * p)),
    (SchedNo(2.0, 5.0), lambda p: 2.0),
    (SchedExp(1e-7, 10.0), lambda p: 10 ** (-7 + 8 * p)),
    (SchedPoly(2.0, 5.0, 3), lambda p: 2 + 3 * p**3),
]


@pytest.mark.parametrize(("sched", "closed"), CLOSED, ids=lambda v: type(v).__name__)
def test_closed_form(sched, closed):
    for p in GRID:
        assert sched(p) == pytest.approx(closed(p), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("sched", "closed"), CLOSED, ids=lambda v: type(v).__name__)
def test_one_value_per_layer_group(sched, closed):
    kind = type(sched)
    extra = (sched.power,) if kind is SchedPoly else ()
    many = kind([sched.start, 1.0], [sched.end, 3.0], *extra)
    for p in GRID:
        values = many(p)
        assert type(values) is list and values == [sched(p), kind(1.0, 3.0, *extra)(p)]


def test_a_number_goes_with_a_list():
    assert SchedLin([1.0, 2.0], 0.0)(0.5) == [0.5, 1.0]
    assert SchedLin(0.0, (1.0, 2.0))(0.5) == [0.5, 1.0]


def test_one_cycle_values():
    scheds = one_cycle(1.0, pct_start=0.25)
    for pos, value in [(0, 0.04), (0.1, 0.37167185), (0.25, 1), (0.5, 0.75000249), (0.9, 0.04323687), (1, 1e-5)]:
        assert scheds["lr"](pos) == pytest.approx(value, abs=1e-7)
    for p in GRID:
        up = p < 0.25
        local = p / 0.25 if up else (p - 0.25) / 0.75
        lo, hi = (0.04, 1) if up else (1, 1e-5)
        assert scheds["lr"](p) == pytest.approx(lo + (hi - lo) * (1 - math.cos(math.pi * local)) / 2, abs=1e-12)
        lo, hi = (0.95, 0.85) if up else (0.85, 0.95)
        assert scheds["mom"](p) == pytest.approx(lo + (hi - lo) * (1 - math.cos(math.pi * local)) / 2, abs=1e-12)


def test_one_cycle_of_layer_groups():
    scheds, alone = one_cycle([1e-4, 1e-2], div=10, pct_start=0.3, moms=None), one_cycle(1e-2, div=10, pct_start=0.3)
    assert list(scheds) == ["lr"]
    assert scheds["lr"](0) == pytest.approx([1e-5, 1e-3], rel=1e-12)
    for p in GRID:
        assert scheds["lr"](p)[1] == alone["lr"](p)


def test_flat_cos():
    f = flat_cos(0.1, pct_start=0.75)
    assert all(f(p) == pytest.approx(0.1, rel=1e-14) for p in GRID if p <= 0.75)
    assert f(0.875) == pytest.approx((0.1 + 1e-6) / 2, rel=1e-12) and f(1) == pytest.approx(1e-6, rel=1e-9)


def test_sgdr():
    f, n_epoch = sgdr(3, 2, 0.4, cycle_mult=2)
    assert n_epoch == 2 + 4 + 8
    for start, length in ((0, 2), (2, 4), (6, 8)):
        for local in (0, 0.25, 0.5, 0.75):
            pos = (start + local * length) / n_epoch
            assert f(pos) == pytest.approx(0.2 * (1 + math.cos(math.pi * local)), abs=1e-12)
    assert f(1) == pytest.approx(0, abs=1e-15)
    assert sgdr(3, 2, 0.4, cycle_mult=1)[1] == 6
    assert sgdr(1, 2, [0.1, 0.4])[0](0) == [0.1, 0.4]


def test_boundaries_belong_to_the_later_schedule():
    f = combine_scheds([0.25, 0.25, 0.5], [SchedNo(1, 1), SchedNo(2, 2), SchedLin(3, 4)])
    assert [f(p) for p in (0, 0.2499, 0.25, 0.4999, 0.5, 1)] == [1, 1, 2, 2, 3, 4]


@pytest.mark.parametrize(("pcts", "at_0", "at_1"), [([0, 1], 2, 3), ([1, 0], 0, 1)])
def test_a_stretch_of_no_length_is_never_used(pcts, at_0, at_1):
    f = combine_scheds(pcts, [SchedLin(0, 1), SchedLin(2, 3)])
    assert f(0) == at_0 and f(1) == at_1


def test_fractions_may_have_rounding_errors():
    assert combine_scheds([0.1] * 10, [SchedLin(i, i + 1) for i in range(10)])(1) == 10


def test_any_function_can_be_combined():
    f = combine_scheds([0.5, 0.5], [math.sin, SchedNo(7, 7)])
    assert f(0.25) == math.sin(0.5) and f(0.5) == 7


def test_progress_may_be_off_by_rounding_only():
    f = one_cycle(1.0)["lr"]
    assert f(1 + 1e-12) == f(1) and f(-1e-12) == f(0)
    for pos in (1.01, -0.5, 17, math.nan):
        with pytest.raises(ValueError, match=r"asked for pos=.*function of progress, from 0 .* to 1"):
            f(pos)
        with pytest.raises(ValueError, match=r"SchedCos\(1.0, 0.0\) was asked for pos="):
            SchedCos(1, 0)(pos)


def test_repr_and_pickle():
    f = combined_cos(0.25, 0.04, 1, 1e-5)
    assert repr(f) == "combine_scheds([0.25, 0.75], [SchedCos(0.04, 1.0), SchedCos(1.0, 1e-05)])"
    assert repr(SchedPoly(0, 1, 2)) == "SchedPoly(0.0, 1.0, 2.0)" and repr(SchedLin([1, 2], 0)) == "SchedLin([1.0, 2.0], [0.0, 0.0])"
    for sched in [f, *(s for s, _ in CLOSED), one_cycle([1e-3, 1e-2])["lr"], sgdr(2, 1, 0.1)[0]]:
        again = pickle.loads(pickle.dumps(sched))
        assert [again(p) for p in GRID] == [sched(p) for p in GRID] and repr(again) == repr(sched)


def test_cheap_enough_for_every_step():
    f = one_cycle(1e-2)["lr"]
    assert min(timeit.repeat(lambda: f(0.4), number=2000, repeat=20)) / 2000 < 10e-6       # about 1 us; room for a busy machine


@pytest.mark.parametrize(("call", "error", "match"), [
    (lambda: combine_scheds([0.3, 0.3], [SchedNo(1, 1)] * 2), ValueError, "that sum to 1.*their sum is 0.6"),
    (lambda: combine_scheds([1.0], [SchedNo(1, 1)] * 2), ValueError, "received 1 for 2 schedules"),
    (lambda: combine_scheds([], []), ValueError, "received 0 for 0 schedules"),
    (lambda: combine_scheds([1.5, -0.5], [SchedNo(1, 1)] * 2), ValueError, r"pcts=\[1.5, -0.5\].*none negative"),
    (lambda: combine_scheds([0.5, 0.5], [SchedNo(1, 1), 0.1]), ValueError, r"scheds=\[0.1\].*is called with progress"),
    (lambda: combined_cos(1.5, 0, 1, 0), ValueError, "pct=1.5.*fraction of training"),
    (lambda: SchedExp(1, 0), ValueError, r"SchedExp\(end=0.0\).*needs positive ends"),
    (lambda: SchedExp([1, -1], 2), ValueError, r"start=\[1.0, -1.0\].*needs positive ends"),
    (lambda: SchedPoly(0, 1, 0), ValueError, "power must be positive"),
    (lambda: SchedLin("a", 1), TypeError, "`start`; received 'a'"),
    (lambda: SchedLin([1, 2], [1, 2, 3]), ValueError, "lists of 2 and 3 values"),
    (lambda: SchedLin([], 1), ValueError, "lists of 0 values"),
    (lambda: one_cycle(slice(1e-3)), TypeError, "write spread"),
    (lambda: one_cycle(1, div=0), ValueError, r"one_cycle\(div=0\): it must be positive"),
    (lambda: one_cycle(1, moms=0.9), ValueError, "moms=0.9.*moms=None"),
    (lambda: one_cycle(1, moms=(0.9, 0.8)), ValueError, "at the start, at the peak"),
    (lambda: flat_cos(1, div_final=-1), ValueError, "div_final=-1.*must be positive"),
    (lambda: sgdr(2, 1.5, 0.1), ValueError, "cycle_len=1.5.*a whole number"),
    (lambda: sgdr(0, 1, 0.1), ValueError, "n_cycles=0"),
])
def test_refusals(call, error, match):
    with pytest.raises(error, match=match):
        call()
