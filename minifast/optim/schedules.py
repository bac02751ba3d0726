"""Schedules: pure functions of progress `pos`, from 0 at the start of training to 1 at its end.

A schedule is anything callable as `value = sched(pos)`; the ones here are small picklable objects. `start` and `end` are floats, or
lists with one value per layer group, and then the value is such a list. The learner evaluates a schedule before each batch, so the
first step uses `pos` 0 and the last one `1 - 1/steps`.
"""
import math
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from numbers import Real
from typing import Any, TypeAlias

from ..core.arguments import check_arguments, is_whole
from ..core.messages import brief

Values: TypeAlias = float | Sequence[float]
Schedule: TypeAlias = Callable[[float], Any]

_ROUNDING = 1e-6      # progress summed up batch after batch may miss 1 by a rounding error


def _checked_pos(pos: float, sched: Schedule) -> float:
    "`pos` put into 0..1 when it is out by no more than rounding; else `ValueError`."
    if -_ROUNDING <= pos <= 1 + _ROUNDING:
        return min(max(pos, 0.0), 1.0)
    raise ValueError(f"{sched!r} was asked for pos={pos!r}: a schedule is a function of progress, from 0 (start of training) "
                     "to 1 (its end). Divide the step by the number of steps.")


def _number(value: Any, name: str, where: str) -> float:
    if not isinstance(value, Real):
        raise TypeError(f"{where} takes a number or a list of numbers (one per layer group) as `{name}`; received {brief(value)}.")
    return float(value)


def _ends(start, end, where):
    "Both ends as floats, or both as lists of equal length."
    sizes = [len(v) for v in (start, end) if hasattr(v, "__len__") and not isinstance(v, str)]
    if not sizes:
        return _number(start, "start", where), _number(end, "end", where)
    if 0 in sizes or len(set(sizes)) > 1:
        raise ValueError(f"{where} was given lists of {' and '.join(map(str, sizes))} values: give one number, or one per layer group.")
    both = [v if hasattr(v, "__len__") and not isinstance(v, str) else [v] * sizes[0] for v in (start, end)]
    return tuple([_number(v, name, where) for v in values] for name, values in zip(("start", "end"), both, strict=True))


class _Sched:
    "From `start` to `end` as progress goes from 0 to 1; this one stays at `start`."

    def __init__(self, start: Values, end: Values):
        self.start, self.end = _ends(start, end, type(self).__name__)
        self._many = isinstance(self.start, list)

    def __call__(self, pos: float) -> Any:
        if not 0 <= pos <= 1:
            pos = _checked_pos(pos, self)
        if self._many:
            return [self._value(s, e, pos) for s, e in zip(self.start, self.end, strict=True)]
        return self._value(self.start, self.end, pos)

    def _value(self, start: float, end: float, pos: float) -> float:
        return start

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(repr(v) for name, v in vars(self).items() if not name.startswith('_'))})"


class SchedLin(_Sched):
    """A straight line from `start` to `end`.

    Args:
        start: a number, or one per layer group.
        end: likewise.
    """

    def _value(self, start: float, end: float, pos: float) -> float:
        return start + pos * (end - start)


class SchedCos(_Sched):
    """Half a cosine from `start` to `end`, flat at both ends (Loshchilov & Hutter 2016, arXiv:1608.03983).

    Args:
        start: a number, or one per layer group.
        end: likewise.
    """

    def _value(self, start: float, end: float, pos: float) -> float:
        return start + (1 + math.cos(math.pi * (1 - pos))) * (end - start) / 2


class SchedNo(_Sched):
    """`start` throughout.

    Args:
        start: a number, or one per layer group.
        end: not used; it is there so that `SchedNo` can stand in for the other schedules.
    """


class SchedExp(_Sched):
    """A constant factor per unit of progress, from `start` to `end`.

    Args:
        start: a positive number, or one per layer group.
        end: likewise.
    """

    def _value(self, start: float, end: float, pos: float) -> float:
        return start * (end / start) ** pos

    def __init__(self, start: Values, end: Values):
        super().__init__(start, end)
        check_arguments("SchedExp", **{name: (v, all(o > 0 for o in (v if self._many else [v])), "an exponential schedule needs positive "
                                              "ends. Use SchedCos or SchedLin to reach 0, or a small positive end such as 1e-8")
                                       for name, v in (("start", self.start), ("end", self.end))})


class SchedPoly(_Sched):
    """`start` to `end` as a power of progress.

    Args:
        start: a number, or one per layer group.
        end: likewise.
        power: the exponent, positive.
    """

    def __init__(self, start: Values, end: Values, power: float):
        super().__init__(start, end)
        self.power = _number(power, "power", "SchedPoly")
        check_arguments("SchedPoly", power=(power, self.power > 0, "the power must be positive"))

    def _value(self, start: float, end: float, pos: float) -> float:
        return start + (end - start) * pos ** self.power


class _Combined:
    "What `combine_scheds` returns: the schedule of the stretch of training that contains `pos`, at its own progress."

    def __init__(self, pcts, scheds):
        self.pcts, self.scheds = list(pcts), list(scheds)
        stretches = zip(pairwise(accumulate(self.pcts, initial=0.0)), self.scheds, strict=True)
        self._parts = [(start, end, sched) for (start, end), sched in stretches if end > start]        # one of length 0 is never reached
        self._parts[-1] = (self._parts[-1][0], 1.0, self._parts[-1][2])

    def __call__(self, pos: float) -> Any:
        if not 0 <= pos <= 1:
            pos = _checked_pos(pos, self)
        for start, end, sched in self._parts:
            if pos < end:
                return sched((pos - start) / (end - start))
        return sched(1.0)

    def __repr__(self) -> str:
        return f"combine_scheds({self.pcts!r}, {self.scheds!r})"


def combine_scheds(pcts: Sequence[float], scheds: Sequence[Schedule]) -> Schedule:
    """Run one schedule after the other.

    Args:
        pcts: the fraction of training that each schedule takes; they sum to 1. At a boundary the later schedule holds.
        scheds: functions of progress, each evaluated from its 0 to its 1.
    """
    pcts, scheds = [_number(p, "pcts", "combine_scheds") for p in pcts], list(scheds)
    if not all(map(callable, scheds)):
        raise ValueError(f"combine_scheds(scheds={[s for s in scheds if not callable(s)]!r}): a schedule is called with progress, from 0 "
                         "to 1")
    if len(pcts) != len(scheds) or not pcts or min(pcts) < 0 or not math.isclose(sum(pcts), 1, rel_tol=0, abs_tol=1e-9):
        raise ValueError(f"combine_scheds(pcts={brief(pcts)}): give one fraction of training per schedule, none negative, that sum to 1, "
                         "such as combine_scheds([0.25, 0.75], [SchedCos(0.1, 1), SchedCos(1, 0)]); received "
                         f"{len(pcts)} for {len(scheds)} schedules, and their sum is {sum(pcts):.6g}")
    return _Combined(pcts, scheds)


def combined_cos(pct: float, start: Values, middle: Values, end: Values) -> Schedule:
    """Cosine from `start` to `middle`, then cosine from `middle` to `end`.

    Args:
        pct: the fraction of training from `start` to `middle`.
        start: a number, or one per layer group.
        middle: likewise.
        end: likewise.
    """
    if not 0 <= pct <= 1:
        raise ValueError(f"combined_cos(pct={brief(pct)}): the fraction of training spent going from start to middle, 0 to 1")
    return combine_scheds([pct, 1 - pct], [SchedCos(start, middle), SchedCos(middle, end)])


def _divided(lr, by):
    return [v / by for v in lr] if hasattr(lr, "__len__") else lr / by


def _check_rate(lr, where, **positive):
    if isinstance(lr, slice):
        raise TypeError(f"{where} takes a learning rate per layer group, not {brief(lr)}: write spread(lr, n_layer_groups).")
    wrong = {name: v for name, v in positive.items() if not v > 0}
    if wrong:
        raise ValueError("; ".join(f"{where}({name}={brief(v)}): it must be positive" for name, v in wrong.items()))


def one_cycle(lr_max: Values, div: float = 25.0, div_final: float = 1e5, pct_start: float = 0.25,
              moms: Sequence[float] | None = (0.95, 0.85, 0.95)) -> dict[str, Schedule]:
    """The schedules of one cycle (Smith 2018, arXiv:1803.09820, with cosines in place of lines).

    Args:
        lr_max: the highest learning rate: a number, or one per layer group.
        div: the learning rate starts at `lr_max/div`.
        div_final: it ends at `lr_max/div_final`.
        pct_start: the fraction of training before the peak.
        moms: momentum at the start, at the peak and at the end; None leaves it out.

    Returns:
        `{'lr': schedule, 'mom': schedule}`.
    """
    _check_rate(lr_max, "one_cycle", div=div, div_final=div_final)
    scheds = {"lr": combined_cos(pct_start, _divided(lr_max, div), lr_max, _divided(lr_max, div_final))}
    if moms is None:
        return scheds
    if not hasattr(moms, "__len__") or len(moms) != 3:
        raise ValueError(f"one_cycle(moms={brief(moms)}): give the momentum at the start, at the peak of the learning rate and at the end, "
                         "such as moms=(0.95, 0.85, 0.95), or moms=None to leave momentum alone")
    return scheds | {"mom": combined_cos(pct_start, *moms)}


def flat_cos(lr: Values, div_final: float = 1e5, pct_start: float = 0.75) -> Schedule:
    """A constant learning rate, then a cosine down to almost 0.

    Args:
        lr: a number, or one per layer group.
        div_final: it ends at `lr/div_final`.
        pct_start: the fraction of training at `lr`.
    """
    _check_rate(lr, "flat_cos", div_final=div_final)
    return combined_cos(pct_start, lr, lr, _divided(lr, div_final))


def sgdr(n_cycles: int, cycle_len: int, lr_max: Values, cycle_mult: int = 2) -> tuple[Schedule, int]:
    """Cosine from `lr_max` to 0 with warm restarts (Loshchilov & Hutter 2016, arXiv:1608.03983).

    Args:
        n_cycles: the number of cycles.
        cycle_len: epochs of the first cycle.
        lr_max: the learning rate at each start: a number, or one per layer group.
        cycle_mult: each cycle lasts this many times as long as the one before.

    Returns:
        The schedule, and the number of epochs of all cycles.
    """
    _check_rate(lr_max, "sgdr")
    check_arguments("sgdr", **{name: (v, is_whole(v), "a whole number of at least 1: cycles last whole epochs") for name, v in
                               (("n_cycles", n_cycles), ("cycle_len", cycle_len), ("cycle_mult", cycle_mult))})
    lengths = [cycle_len * cycle_mult**i for i in range(n_cycles)]
    n_epoch = sum(lengths)
    return combine_scheds([n / n_epoch for n in lengths], [SchedCos(lr_max, 0.0) for _ in lengths]), n_epoch
