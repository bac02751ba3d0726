"""`Report`: what checks found, for people (text, HTML, plots), for scripts (`raise_if_failed`) and for tables (`frame`); and `run`."""
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.messages import plural
from .codes import CODES, known
from .html_page import AMBER, GREEN, GREY, RED
from .outcomes import NEEDS, SIGNS, VERDICTS, Check, NotApplicable, Skipped, Verdict, number

if TYPE_CHECKING:
    import pandas as pd

_COLOURS = {"issue": RED, "tip": AMBER, "pass": GREEN}


class ChecksFailed(ValueError):
    "Checks found issues; the message lists them, `report` has everything."

    def __init__(self, text: str, report: "Report"):
        super().__init__(text)
        self.report = report


class Report:
    """The results of several checks, in the order of causes: the first issue, `cause`, is the one to fix first.

    What an issue may explain, `consequences`, is folded under it and counts neither as an issue nor as a tip.

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
        "The checks that found something wrong, causes first, without what another issue may explain."
        return [c for c in self.with_verdict("issue") if not c.cause]

    @property
    def tips(self) -> list[Check]:
        "The checks that found something to improve, without what an issue may explain."
        return [c for c in self.with_verdict("tip") if not c.cause]

    def consequences(self, code: str) -> list[Check]:
        "What other checks found and the issue `code` may explain, itself or by what follows from it: look again when that is mended."
        direct = [c for c in self.checks if c.cause == known(code)]
        return direct + [o for c in direct for o in self.consequences(c.code)]

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
        bad = self.issues + self.tips if tips else self.issues
        if bad:
            where = f" for {self.subject}" if self.subject else ""
            raise ChecksFailed("\n".join([f"{plural(len(bad), 'check')} failed{where}:", *map(self._told, bad)]), self)
        return self

    def frame(self) -> "pd.DataFrame":
        "A DataFrame with one row per check."
        import pandas as pd
        columns = ["code", "verdict", "title", "found", "evidence", "advice", "items", "card", "cause"]
        return pd.DataFrame([[getattr(c, name) for name in columns] for c in self.checks], columns=columns)

    def show(self, code: str | None = None) -> int:
        "Draw the plots of all checks (of one of them) that have any; returns how many were drawn."
        chosen = [c for c in (self.checks if code is None else [self[code]]) if c.draw is not None]
        for c in chosen:
            c.draw()
        return len(chosen)

    def _summary(self):
        counts = {v: len(self.with_verdict(v)) for v in VERDICTS}
        parts = [plural(len(self.issues), "issue"), plural(len(self.tips), "tip"), f"{counts['pass']} passed"]
        parts += [f"{counts[v]} {v}" for v in VERDICTS[3:] if counts[v]]
        return ", ".join(parts) + (f" ({self.seconds:.1f} s)" if self.times else "")

    def _told(self, check):
        "A check as text, with what is folded under it."
        follows = "; ".join(f"{o.code} {o.title}" + (f" ({o.found})" if o.found else "") for o in self.consequences(check.code))
        return str(check) + (f"\n    look again when that is mended: {follows}" if follows else "")

    def __str__(self) -> str:
        lines = [*map(self._told, self.issues + self.tips)]
        passes, apart = self.with_verdict("pass"), self.with_verdict("not applicable")
        lines += [str(c) for c in passes if c.found]
        plain = ", ".join(f"{c.code} {c.title}" for c in passes if not c.found)
        lines += [f"{SIGNS['pass']} nothing found: {plain}"] if plain else []
        if apart:
            lines.append(f"{SIGNS['not applicable']} does not apply: {_ranges(c.code for c in apart)} (`frame()` has the reasons)")
        for why in dict.fromkeys(c.found for c in self.with_verdict("skipped")):
            which = ", ".join(f"{c.code} {c.title}" for c in self.with_verdict("skipped") if c.found == why)
            lines.append(f"{SIGNS['skipped']} skipped, {why}: {which}")
        return "\n".join([f"{self.subject}: {self._summary()}" if self.subject else self._summary(), *lines])

    __repr__ = __str__

    def _repr_html_(self):
        return self.html()

    def html(self) -> str:
        "The report in HTML: issues and tips as a table, and what passed or does not apply in another, which opens with a click."
        found = [o for c in self.issues for o in (c, *self.consequences(c.code))] + self.tips
        others = self.with_verdict(*VERDICTS[2:])
        counts = ", ".join(f"{n} {v}" + "ed" * (v == "pass") for v in VERDICTS[2:] if (n := len(self.with_verdict(v))))
        return (f"<p><b>{escape(self.subject)}</b> {escape(self._summary())}</p>{_table(found) if found else ''}"
                + (f"<details><summary>{counts}</summary>{_table(others)}</details>" if others else ""))


def _table(checks):
    rows = []
    for c in checks:
        numbers = "<br>".join(f"{escape(k)} = {escape(number(v))}" for k, v in c.evidence.items())
        cells = (f"<b style='color:{_COLOURS.get(c.verdict, GREY)}'>{SIGNS[c.verdict]}&nbsp;{escape(c.verdict)}</b>",
                 f"<span title='{escape(c.card)}'>{c.code}</span>", escape(c.title),
                 escape(f"look again after {c.cause}: " * bool(c.cause) + c.found) + (f"<br><i>{escape(c.advice)}</i>" if c.advice else ""),
                 f"<small>{numbers}</small>")
        rows.append("<tr>" + "".join(f"<td style='text-align:left;vertical-align:top'>{cell}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th style='text-align:left'>{t}</th>" for t in ("", "code", "subject", "finding and advice", "numbers"))
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _ranges(codes):
    "Codes as text, those that follow one another as 'MF801-MF804'."
    order, runs = [*CODES], []
    for code in codes:
        if runs and order.index(code) == order.index(runs[-1][-1]) + 1:
            runs[-1].append(code)
        else:
            runs.append([code])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs)


# -- running checks -----------------------------------------------------------------------------------------------------------------
class Entry(NamedTuple):
    "A check in the list of those that `run` runs."
    code: str
    function: Callable[[Any], Check]    #: of a probe
    needs: tuple[str, ...] = ()         #: codes that must not have found an issue; otherwise this check is skipped
    slow: bool = False                  #: whether fast=True leaves it out
    follows: tuple[str, ...] = ()       #: codes an issue of which may explain what this check finds
    turn: int = 0                       #: the cheap and telling ones come first: those of a higher turn run after all of a lower one
    of: Callable[[Any], Any] | None = None      #: raises `NotApplicable` for data of another kind: then it is not skipped, whatever failed


def check_ignore(ignore: str | Iterable[str] | None) -> set[str]:
    "`ignore`, one code or several, as a set; an unknown code is an error."
    return {known(code) for code in ([ignore] if isinstance(ignore, str) else ignore or ())}


def run(entries: Sequence[Entry], probe: Any, ignore: Collection[str] = (), fast: bool = False, subject: str = "",
        began: float | None = None, budget: float = math.inf) -> Report:
    """Run `entries` on `probe`.

    A check that fails with an error is reported as skipped, with that error: one unusual model must not hide what the others found.

    Args:
        entries: The checks.
        probe: What they look at.
        ignore: Codes to leave out.
        fast: Leave out the slow ones.
        subject: What is checked, for the report.
        began: When (`time.perf_counter()`) the preparations began; the report has the seconds since then as `times["preparing"]`.
        budget: Seconds, from `began` on, after which no other check is begun; those that are left out are skipped, and say so.
    """
    results: dict[str, Check] = {}
    times = {} if began is None else {"preparing": time.perf_counter() - began}
    end = (time.perf_counter() if began is None else began) + budget
    for entry in sorted(entries, key=lambda e: e.turn):
        started = time.perf_counter()
        late = f"left out by the budget of {budget:g} s (budget={3 * budget:g})" if started > end else ""
        results[entry.code] = _run_one(entry, probe, results, ignore, fast, late)
        times[entry.code] = time.perf_counter() - started
    wrong = {code for code, c in results.items() if c.verdict == "issue"}
    for entry in entries:
        cause = next((code for code in entry.follows if code in wrong), "")
        if cause and results[entry.code].verdict in ("issue", "tip"):
            results[entry.code] = replace(results[entry.code], cause=cause)
    return Report(results.values(), subject, times)


def _run_one(entry, probe, results, ignore, fast, late):
    # what needs a check cannot run where that failed, or was itself skipped because of what failed
    failed = [c.code for c in results.values() if c.verdict == "issue" or (c.verdict == "skipped" and c.found.startswith(NEEDS))]
    blocking = next((code for code in entry.needs if code in failed), None)
    why = ("ignored" if entry.code in ignore else "left out by fast=True" if fast and entry.slow
           else f"{NEEDS} {blocking}, which failed" if blocking else late)
    try:
        if blocking and entry.of is not None:
            entry.of(probe)
        if why:
            return Check(entry.code, "skipped", why)
        found = entry.function(probe)
    except NotApplicable as e:
        return Check(entry.code, "skipped" if isinstance(e, Skipped) else "not applicable", str(e))
    except Exception as e:
        return Check(entry.code, "skipped", f"could not be run here: {type(e).__name__}: {(str(e).splitlines() or [''])[0][:200]}")
    advice = found.advice or CODES[entry.code].advice
    return replace(found, code=entry.code, advice=advice if found.verdict in ("issue", "tip") else "")
