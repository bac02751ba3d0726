"""What a check function returns: `passed`, `tip`, `issue`, or one of them by thresholds (`graded`); what it raises if it cannot judge.

A check function takes a probe (`learner.probe.Probe` or `DataProbe`), calls `require` for what it needs, and returns a `Check`;
`report.run` fills in the code, and the advice of `CODES` where the function gave none.
"""
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ..core.arguments import check_choice
from .codes import CODES, known

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
        cause: The code of an issue that may explain this; empty where none was found.
    """
    code: str
    verdict: Verdict
    found: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    advice: str = ""
    items: list = field(default_factory=list)
    draw: Callable[[], Any] | None = field(default=None, repr=False, compare=False)
    cause: str = ""

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
        verdict = "" if self.verdict == "pass" and self.found else "ok" if self.verdict == "pass" else self.verdict
        line = f"{SIGNS[self.verdict]} {self.code} {self.title}: " + ". ".join(filter(None, (verdict, self.found)))
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


#: How the reason of a check begins that was skipped because of what failed.
NEEDS = "needs"


class NotApplicable(Exception):
    "Raised by a check that cannot judge this learner or these data; its text says why."


class Skipped(NotApplicable):
    "Raised by a check that cannot run because of what another check reports."


def require(condition: Any, otherwise: str) -> None:
    "Make the check not applicable, with the reason `otherwise`, unless `condition` holds."
    if not condition:
        raise NotApplicable(otherwise)


def in_time(items: Iterable, seconds: float) -> Iterator:
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
