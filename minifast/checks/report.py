"""`Report`: what checks found, for people (text, HTML, pictures), for scripts (`raise_if_failed`) and for tables (`frame`)."""
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape

from ..core.messages import plural
from .codes import CODES, card, known

#: The verdicts, the worst first.
VERDICTS = ("issue", "tip", "pass", "not applicable", "skipped")
_SIGNS = {"issue": "✗", "tip": "!", "pass": "✓", "not applicable": "·", "skipped": "-"}
_COLOURS = {"issue": "#c62828", "tip": "#b26a00", "pass": "#2e7d32", "not applicable": "#777", "skipped": "#777"}


class ChecksFailed(ValueError):
    "Checks found issues; the message lists them, `report` has everything."

    def __init__(self, text, report):
        super().__init__(text)
        self.report = report


@dataclass(frozen=True)
class Check:
    """The result of one check.

    code: such as 'MF401'. verdict: one of `VERDICTS`. found: one sentence, what was seen. evidence: the numbers behind it. advice: one
    line, what to do (only of issues and tips). items: the files or rows concerned, the worst first. draw: draws a picture of it.
    """
    code: str
    verdict: str
    found: str = ""
    evidence: dict = field(default_factory=dict)
    advice: str = ""
    items: list = field(default_factory=list)
    draw: Callable | None = field(default=None, repr=False, compare=False)

    def __post_init__(self):
        known(self.code)
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict={self.verdict!r}: one of {', '.join(map(repr, VERDICTS))}")

    @property
    def title(self):
        "What was looked at."
        return CODES[self.code].title

    @property
    def card(self):
        "Where the documentation of this check is."
        return card(self.code)

    def __str__(self):
        lines = [f"{_SIGNS[self.verdict]} {self.code} {self.title}: {self.verdict if self.verdict != 'pass' else 'ok'}"]
        if self.found:
            lines[0] += f". {self.found}"
        if self.verdict in ("issue", "tip"):
            if self.evidence:
                lines.append("    " + ", ".join(f"{k}={number(v)}" for k, v in self.evidence.items()))
            if self.advice:
                lines.append(f"    -> {self.advice}   [{self.card}]")
        return "\n".join(lines)


def number(value):
    "A value of the evidence as short text."
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(number, value[:6])) + (", ...]" if len(value) > 6 else "]")
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def passed(code, found="", items=(), draw=None, **evidence):
    return Check(code, "pass", found, evidence, items=list(items), draw=draw)


def issue(code, found, advice=None, items=(), draw=None, **evidence):
    return Check(code, "issue", found, evidence, CODES[known(code)].advice if advice is None else advice, list(items), draw)


def tip(code, found, advice=None, items=(), draw=None, **evidence):
    return Check(code, "tip", found, evidence, CODES[known(code)].advice if advice is None else advice, list(items), draw)


def not_applicable(code, why, **evidence):
    return Check(code, "not applicable", why, evidence)


def skipped(code, why):
    return Check(code, "skipped", why)


class Report:
    """The results of several checks, in the order of causes: the first issue is the one to repair first (`cause`).

    A list of `Check`s that can be asked by code, `report["MF401"]`. Printed it is text, in a notebook a table.
    """

    def __init__(self, checks, subject="", times=None):
        order = {code: i for i, code in enumerate(CODES)}
        self.checks = sorted(checks, key=lambda c: order[c.code])
        self.subject, self.times = subject, dict(times or {})

    @property
    def seconds(self):
        "How long the checks took, preparations included; `times` has it by code."
        return sum(self.times.values())

    def __iter__(self):
        return iter(self.checks)

    def __len__(self):
        return len(self.checks)

    def __getitem__(self, code):
        found = next((c for c in self.checks if c.code == known(code)), None)
        if found is None:
            raise KeyError(f"{code} ({CODES[code].title}) is not in this report, which has {', '.join(c.code for c in self.checks)}")
        return found

    def with_verdict(self, *verdicts):
        "The checks with one of these verdicts, as a list."
        return [c for c in self.checks if c.verdict in verdicts]

    @property
    def issues(self):
        "The checks that found something wrong, causes first."
        return self.with_verdict("issue")

    @property
    def tips(self):
        "The checks that found something to improve."
        return self.with_verdict("tip")

    @property
    def cause(self):
        "The first issue, which may have brought about the others; None where there is none."
        return next(iter(self.issues), None)

    @property
    def ok(self):
        "Whether no check found an issue."
        return not self.issues

    def raise_if_failed(self, tips=False):
        "Raise `ChecksFailed`, which lists the issues (tips=True: and tips), if there are any; else return the report. For scripts."
        bad = self.with_verdict("issue", "tip") if tips else self.issues
        if bad:
            raise ChecksFailed(f"{plural(len(bad), 'check')} failed{f' for {self.subject}' if self.subject else ''}:\n"
                               + "\n".join(map(str, bad)), self)
        return self

    def frame(self):
        "A DataFrame with a row per check."
        import pandas as pd
        return pd.DataFrame([{"code": c.code, "verdict": c.verdict, "title": c.title, "found": c.found, "evidence": dict(c.evidence),
                              "advice": c.advice, "items": list(c.items), "card": c.card} for c in self.checks],
                            columns=["code", "verdict", "title", "found", "evidence", "advice", "items", "card"])

    def show(self, code=None):
        "Draw the pictures of the checks (of one of them) that have any; returns how many were drawn."
        chosen = [self[code]] if code is not None else self.checks
        with_picture = [c for c in chosen if c.draw is not None]
        for c in with_picture:
            c.draw()
        return len(with_picture)

    def _summary(self):
        counts = {v: len(self.with_verdict(v)) for v in VERDICTS}
        parts = [plural(counts["issue"], "issue"), plural(counts["tip"], "tip"), f"{counts['pass']} passed"]
        parts += [f"{counts[v]} {v}" for v in VERDICTS[3:] if counts[v]]
        return ", ".join(parts) + (f" ({self.seconds:.1f} s)" if self.times else "")

    def __str__(self):
        head = f"{self.subject}: {self._summary()}" if self.subject else self._summary()
        unusual = [str(c) for v in ("issue", "tip") for c in self.with_verdict(v)]
        rest = [str(c) for c in self.with_verdict("pass")]
        names = [f"{_SIGNS[v]} {v}: " + ", ".join(f"{c.code} {c.title} ({c.found})" if c.found else f"{c.code} {c.title}"
                                                  for c in self.with_verdict(v)) for v in VERDICTS[3:] if self.with_verdict(v)]
        return "\n".join([head, *unusual, *rest, *names])

    __repr__ = __str__

    def _repr_html_(self):
        def cell(text):
            return f"<td style='text-align:left;vertical-align:top'>{text}</td>"

        rows = []
        for c in [o for v in VERDICTS for o in self.with_verdict(v)]:
            sign = f"<b style='color:{_COLOURS[c.verdict]}'>{_SIGNS[c.verdict]}&nbsp;{escape(c.verdict)}</b>"
            numbers = "<br>".join(f"{escape(k)} = {escape(number(v))}" for k, v in c.evidence.items())
            advice = f"<br><i>{escape(c.advice)}</i>" if c.advice else ""
            rows.append("<tr>" + cell(sign) + cell(f"<a href='{escape(c.card)}'>{c.code}</a>") + cell(escape(c.title))
                        + cell(escape(c.found) + advice) + cell(f"<small>{numbers}</small>") + "</tr>")
        head = "".join(f"<th style='text-align:left'>{t}</th>" for t in ("", "code", "looked at", "found, and what to do", "numbers"))
        return (f"<p><b>{escape(self.subject)}</b> {escape(self._summary())}</p><table><thead><tr>{head}</tr></thead>"
                f"<tbody>{''.join(rows)}</tbody></table>")


def check_ignore(ignore):
    "`ignore`, a code or several, as a set; an unknown code is an error."
    codes = [] if ignore is None else [ignore] if isinstance(ignore, str) else list(ignore)
    return {known(c) for c in codes}


NEEDS = "needs"


def _stops(check):
    "Whether what needs this check cannot be run: it failed, or was itself skipped because of what failed."
    return check.verdict == "issue" or (check.verdict == "skipped" and check.found.startswith(NEEDS))


def run(entries, subject_of, ignore=(), fast=False):
    """`(results, seconds by code)` of `entries`, a sequence of `(code, function, needs, slow)`, each called with `subject_of`.

    ignore: codes to leave out. needs: codes that must not have found an issue, else this check is skipped. slow: leave out if `fast`.
    A check that fails with an error is reported as skipped, with that error: one unusual model must not hide what the others found.
    """
    ignore, results, times = check_ignore(ignore), {}, {}
    for code, function, needs, slow in entries:
        began = time.perf_counter()
        blocking = [n for n in needs if n in results and _stops(results[n])]
        if code in ignore:
            results[code] = skipped(code, "ignored")
        elif fast and slow:
            results[code] = skipped(code, "left out by fast=True")
        elif blocking:
            results[code] = skipped(code, f"{NEEDS} {blocking[0]}, which failed")
        else:
            try:
                results[code] = function(subject_of)
            except Exception as e:
                first = (str(e).splitlines() or [""])[0]
                results[code] = skipped(code, f"could not be run here: {type(e).__name__}: {first[:200]}")
        times[code] = time.perf_counter() - began
    return list(results.values()), times
