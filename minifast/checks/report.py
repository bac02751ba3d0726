"""`Report`: what checks found, for people (text, HTML, plots), for scripts (`raise_if_failed`) and for tables (`frame`); and `run`."""
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.messages import plural
from .codes import CODES, known
from .outcomes import NEEDS, SIGNS, VERDICTS, Check, NotApplicable, Skipped, Verdict, number

if TYPE_CHECKING:
    import pandas as pd

_COLOURS = {"issue": "#c62828", "tip": "#b26a00", "pass": "#2e7d32"}


class ChecksFailed(ValueError):
    "Checks found issues; the message lists them, `report` has everything."

    def __init__(self, text: str, report: "Report"):
        super().__init__(text)
        self.report = report


class Report:
    """The results of several checks, in the order of causes: the first issue, `cause`, is the one to fix first.

    Iterate over its `Check`s or index it by code, `report["MF401"]`. Printed it is text, in a notebook a table.

    Args:
        checks: The results, in any order.
        subject: What was checked.
        times: Seconds by code.
    """

    def __init__(self, checks: Iterable[Check], subject: str = "", times: dict[str, float] | None = None):
        self.checks = sorted(checks, key=lambda c: [*CODES].index(c.code))
        self.subject, self.times = subject, dict(times or {})

    @property
    def seconds(self) -> float:
        "How long the checks took, preparations included; `times` has it by code."
        return sum(self.times.values())

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)

    def __len__(self) -> int:
        return len(self.checks)

    def __getitem__(self, code: str) -> Check:
        for check in self.checks:
            if check.code == known(code):
                return check
        raise KeyError(f"{code} ({CODES[known(code)].title}) is not in this report, which has {', '.join(c.code for c in self.checks)}")

    def with_verdict(self, *verdicts: Verdict) -> list[Check]:
        "The checks with one of these verdicts."
        return [c for c in self.checks if c.verdict in verdicts]

    @property
    def issues(self) -> list[Check]:
        "The checks that found something wrong, causes first."
        return self.with_verdict("issue")

    @property
    def tips(self) -> list[Check]:
        "The checks that found something to improve."
        return self.with_verdict("tip")

    @property
    def cause(self) -> Check | None:
        "The first issue, which may have caused the others."
        return next(iter(self.issues), None)

    @property
    def ok(self) -> bool:
        "Whether no check found an issue."
        return not self.issues

    def raise_if_failed(self, tips: bool = False) -> "Report":
        """Raise if there are issues; otherwise return the report. For scripts.

        Args:
            tips: Raise for tips, too.

        Raises:
            ChecksFailed: Lists the issues.
        """
        bad = self.with_verdict("issue", "tip") if tips else self.issues
        if bad:
            where = f" for {self.subject}" if self.subject else ""
            raise ChecksFailed("\n".join([f"{plural(len(bad), 'check')} failed{where}:", *map(str, bad)]), self)
        return self

    def frame(self) -> "pd.DataFrame":
        "A DataFrame with one row per check."
        import pandas as pd
        columns = ["code", "verdict", "title", "found", "evidence", "advice", "items", "card"]
        return pd.DataFrame([[getattr(c, name) for name in columns] for c in self.checks], columns=columns)

    def show(self, code: str | None = None) -> int:
        "Draw the plots of all checks (of one of them) that have any; returns how many were drawn."
        chosen = [c for c in (self.checks if code is None else [self[code]]) if c.draw is not None]
        for c in chosen:
            c.draw()
        return len(chosen)

    def _summary(self):
        counts = {v: len(self.with_verdict(v)) for v in VERDICTS}
        parts = [plural(counts["issue"], "issue"), plural(counts["tip"], "tip"), f"{counts['pass']} passed"]
        parts += [f"{counts[v]} {v}" for v in VERDICTS[3:] if counts[v]]
        return ", ".join(parts) + (f" ({self.seconds:.1f} s)" if self.times else "")

    def __str__(self) -> str:
        lines = [str(c) for v in VERDICTS[:3] for c in self.with_verdict(v)]
        for v in VERDICTS[3:]:
            named = ", ".join(f"{c.code} {c.title}" + (f" ({c.found})" if c.found else "") for c in self.with_verdict(v))
            lines += [f"{SIGNS[v]} {v}: {named}"] if named else []
        return "\n".join([f"{self.subject}: {self._summary()}" if self.subject else self._summary(), *lines])

    __repr__ = __str__

    def _repr_html_(self):
        rows = []
        for c in [o for v in VERDICTS for o in self.with_verdict(v)]:
            colour = _COLOURS.get(c.verdict, "#777")
            numbers = "<br>".join(f"{escape(k)} = {escape(number(v))}" for k, v in c.evidence.items())
            cells = (f"<b style='color:{colour}'>{SIGNS[c.verdict]}&nbsp;{escape(c.verdict)}</b>",
                     f"<a href='{escape(c.card)}'>{c.code}</a>", escape(c.title),
                     escape(c.found) + (f"<br><i>{escape(c.advice)}</i>" if c.advice else ""), f"<small>{numbers}</small>")
            rows.append("<tr>" + "".join(f"<td style='text-align:left;vertical-align:top'>{cell}</td>" for cell in cells) + "</tr>")
        head = "".join(f"<th style='text-align:left'>{t}</th>" for t in ("", "code", "subject", "finding and advice", "numbers"))
        return (f"<p><b>{escape(self.subject)}</b> {escape(self._summary())}</p><table><thead><tr>{head}</tr></thead>"
                f"<tbody>{''.join(rows)}</tbody></table>")


# -- running checks -----------------------------------------------------------------------------------------------------------------
class Entry(NamedTuple):
    "A check in the list of those that `run` runs."
    code: str
    function: Callable[[Any], Check]    #: of a probe
    needs: tuple[str, ...] = ()         #: codes that must not have found an issue; otherwise this check is skipped
    slow: bool = False                  #: whether fast=True leaves it out


def check_ignore(ignore: str | Iterable[str] | None) -> set[str]:
    "`ignore`, one code or several, as a set; an unknown code is an error."
    return {known(code) for code in ([ignore] if isinstance(ignore, str) else ignore or ())}


def run(entries: Iterable[Entry], probe: Any, ignore: Collection[str] = (), fast: bool = False, subject: str = "",
        began: float | None = None) -> Report:
    """Run `entries` on `probe`.

    A check that fails with an error is reported as skipped, with that error: one unusual model must not hide what the others found.

    Args:
        entries: The checks.
        probe: What they look at.
        ignore: Codes to leave out.
        fast: Leave out the slow ones.
        subject: What is checked, for the report.
        began: When (`time.perf_counter()`) the preparations began; the report has the seconds since then as `times["preparing"]`.
    """
    results: dict[str, Check] = {}
    times = {} if began is None else {"preparing": time.perf_counter() - began}
    for entry in entries:
        started = time.perf_counter()
        results[entry.code] = _run_one(entry, probe, results, ignore, fast)
        times[entry.code] = time.perf_counter() - started
    return Report(results.values(), subject, times)


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
