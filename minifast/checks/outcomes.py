"""What a check function returns: `passed`, `tip`, `issue`, or one of them by thresholds (`graded`); what it raises if it cannot judge.

A check function takes a probe (`learner.probe.Probe` or `DataProbe`), calls `require` for what it needs, and returns a `Check`; `run` fills
in the code, and the advice of `CODES` where the function gave none.
"""
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeVar

from ..core.arguments import check_choice
from .codes import CODES, known

T = TypeVar("T")
Verdict = Literal["issue", "tip", "pass", "not applicable", "skipped"]
#: The verdicts, worst first.
VERDICTS: tuple[Verdict, ...] = ("issue", "tip", "pass", "not applicable", "skipped")
SIGNS: dict[str, str] = dict(zip(VERDICTS, "✗!✓·-", strict=True))


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        code: Such as 'MF401'; empty until `run` fills it in.
        verdict: One of `VERDICTS`.
        found: What was seen, in one sentence.
        evidence: The numbers behind it.
        advice: What to do, in one line; of issues and tips only.
        items: The files or rows concerned, worst first.
        draw: Draws a plot of it.
    """
    code: str
    verdict: Verdict
    found: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    advice: str = ""
    items: list = field(default_factory=list)
    draw: Callable[[], Any] | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.code:
            known(self.code)
        check_choice("", "verdict", self.verdict, VERDICTS)

    @property
    def title(self) -> str:
        "The subject of the check."
        return CODES[self.code].title

    @property
    def card(self) -> str:
        "Where the check is documented."
        return f"docs/checks.md#{self.code.lower()}"

    def __str__(self) -> str:
        line = (f"{SIGNS[self.verdict]} {self.code} {self.title}: {'ok' if self.verdict == 'pass' else self.verdict}"
                + (f". {self.found}" if self.found else ""))
        if self.verdict not in ("issue", "tip"):
            return line
        numbers = ", ".join(f"{k}={number(v)}" for k, v in self.evidence.items())
        return line + (f"\n    {numbers}" if numbers else "") + (f"\n    -> {self.advice}   [{self.card}]" if self.advice else "")


def number(value: Any) -> str:
    "A value of the evidence as short text."
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(number, value[:6])) + (", ...]" if len(value) > 6 else "]")
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


class NotApplicable(Exception):
    "Raised by a check that cannot judge this learner or these data; its text says why."


class Skipped(NotApplicable):
    "Raised by a check that cannot run because of what another check reports."


def require(condition: Any, otherwise: str) -> None:
    "Make the check not applicable, with the reason `otherwise`, unless `condition` holds."
    if not condition:
        raise NotApplicable(otherwise)


def in_time(items: Iterable[T], seconds: float) -> Iterator[T]:
    "Those of the items, at least one, that are asked for before `seconds` are over."
    end = time.perf_counter() + seconds
    for item in items:
        yield item
        if time.perf_counter() > end:
            return


def graded(found: str, issue: Any = False, tip: Any = False, advice: str = "", fine: str = "", items: Iterable = (),
           draw: Callable[[], Any] | None = None, **evidence: Any) -> Check:
    """A check with the worse of the two verdicts whose condition holds; `passed` if neither does.

    Args:
        found: What is wrong; evaluated, but not shown, where nothing is.
        issue: Whether it is an issue.
        tip: Whether it is worth a tip.
        advice: What to do; the advice of `CODES` if empty.
        fine: What was seen where nothing is wrong.
        items: The files or rows concerned, worst first; kept for issues and tips.
        draw: Draws a plot of it.
        evidence: The numbers behind it.
    """
    if issue or tip:
        return Check("", "issue" if issue else "tip", found, evidence, advice, list(items), draw)
    return Check("", "pass", fine, evidence, draw=draw)


def passed(fine: str = "", **details: Any) -> Check:
    "The check found nothing wrong; `details` are those of `graded`."
    return graded("", fine=fine, **details)


def issue(found: str, advice: str = "", **details: Any) -> Check:
    "The check found something wrong; `details` are those of `graded`."
    return graded(found, True, advice=advice, **details)


def tip(found: str, advice: str = "", **details: Any) -> Check:
    "The check found something to improve; `details` are those of `graded`."
    return graded(found, tip=True, advice=advice, **details)


class Entry(NamedTuple):
    "A check in the list of those that `run` runs."
    code: str
    function: Callable[[Any], Check]    #: of a probe
    needs: tuple[str, ...] = ()         #: codes that must not have found an issue; otherwise this check is skipped
    slow: bool = False                  #: whether fast=True leaves it out


NEEDS = "needs"


def check_ignore(ignore: str | Iterable[str] | None) -> set[str]:
    "`ignore`, one code or several, as a set; an unknown code is an error."
    return {known(code) for code in ([ignore] if isinstance(ignore, str) else ignore or ())}


def run(entries: Iterable[Entry], probe: Any, ignore: Collection[str] = (), fast: bool = False) -> tuple[list[Check], dict[str, float]]:
    """Run `entries` on `probe`: their results, and the seconds that each took by code.

    A check that fails with an error is reported as skipped, with that error: one unusual model must not hide what the others found.
    """
    results: dict[str, Check] = {}
    times = {}
    for entry in entries:
        began = time.perf_counter()
        results[entry.code] = _run_one(entry, probe, results, ignore, fast)
        times[entry.code] = time.perf_counter() - began
    return list(results.values()), times


def _run_one(entry, probe, results, ignore, fast):
    # what needs a check cannot run where that failed, or was itself skipped because of what failed
    failed = [c.code for c in results.values() if c.verdict == "issue" or (c.verdict == "skipped" and c.found.startswith(NEEDS))]
    blocking = next((code for code in entry.needs if code in failed), None)
    why = ("ignored" if entry.code in ignore else "left out by fast=True" if fast and entry.slow
           else f"{NEEDS} {blocking}, which failed" if blocking else "")
    if why:
        return Check(entry.code, "skipped", why)
    try:
        found = entry.function(probe)
    except NotApplicable as e:
        return Check(entry.code, "skipped" if isinstance(e, Skipped) else "not applicable", str(e))
    except Exception as e:
        return Check(entry.code, "skipped", f"could not be run here: {type(e).__name__}: {(str(e).splitlines() or [''])[0][:200]}")
    advice = found.advice or CODES[entry.code].advice
    return replace(found, code=entry.code, advice=advice if found.verdict in ("issue", "tip") else "")
