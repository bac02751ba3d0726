"""`SpeedReport`: the table of what each setting is worth, for people (text, HTML) and for tables (`frame`)."""
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from ...core.messages import plural
from ..html_page import GREEN, RED
from .trials import Ratio

if TYPE_CHECKING:
    import pandas as pd

_COLOURS = {"faster": GREEN, "slower": RED, "refused": RED}

_COLUMNS = ("setting", "ratio", "spread", "of", "changes", "verdict")


@dataclass
class Row:
    """One setting.

    Attributes:
        setting: Its name.
        verdict: 'faster', 'no difference', 'slower', 'not judged' (too few rounds), 'refused' (faster, but the loss
            changes too much) or 'not tried'.
        ratio: How many times as fast a step (of another batch size: an item) is with it; None where it was not tried.
        of: What was timed: 'model' (batches that are there already) or 'loop' (with the data).
        changes: What it changes numerically.
        note: Why it was not tried, or what else is to be said.
        write: What to write for it.
        applied: Whether `apply=True` set it.
    """
    setting: str
    verdict: str
    ratio: Ratio | None = None
    of: str = ""
    changes: str = ""
    note: str = ""
    write: str = ""
    applied: bool = False


@dataclass
class SpeedReport:
    """What `Learner.speedup` found. Iterate over its `Row`s, or index it by the name of a setting, `report["bf16"]`.

    Attributes:
        subject: What was measured.
        rows: One for each setting.
        best: What to write, in order: the settings that together were the fastest, and change no more than rounding.
        ratio: How many times as fast a fit of the planned epochs is with them, validation and warm-up included, as measured in a run of
            them all together; 1 where there are none.
        spread: The quartiles of this ratio.
        step_ratio: The same of a training step, after the warm-up.
        times: Seconds of a training step as it was: 'step', 'model' (without data), 'wait' (for data), and 'best step'.
        applied: Whether the settings were set on the learner.
    """
    subject: str
    rows: list[Row] = field(default_factory=list)
    best: tuple[str, ...] = ()
    ratio: float = 1.0
    spread: tuple[float, float] = (1.0, 1.0)
    step_ratio: float = 1.0
    epochs: int = 1
    times: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    budget: float = 0.0
    notes: list[str] = field(default_factory=list)
    applied: bool = False

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, setting: str) -> Row:
        for row in self.rows:
            if row.setting == setting:
                return row
        raise KeyError(f"{setting!r} is not in this report, which has {', '.join(r.setting for r in self.rows)}")

    @property
    def bottleneck(self) -> str:
        "'data' where a training step spends most of its time on data, else 'model'."
        return "data" if self.data_share > 0.5 else "model"

    @property
    def data_share(self) -> float:
        "The share of a training step that is due to its data: what it takes longer than with batches that are there already."
        step = self.times.get("step", 0.0)
        return max(0.0, 1 - self.times.get("model", step) / step) if step else 0.0

    def frame(self) -> "pd.DataFrame":
        "A DataFrame with one row per setting."
        import pandas as pd
        return pd.DataFrame([{"setting": r.setting, "ratio": r.ratio and r.ratio.value, "low": r.ratio and r.ratio.low,
                              "high": r.ratio and r.ratio.high, "rounds": r.ratio and r.ratio.n, "of": r.of, "changes": r.changes,
                              "verdict": r.verdict, "note": r.note, "write": r.write, "applied": r.applied} for r in self.rows])

    def _head(self) -> list[str]:
        t = self.times
        lines = [f"{self.subject} ({self.seconds:.1f} s of {self.budget:g} s)"]
        if "step" in t:
            lines.append(f"a training step takes {1e3 * t['step']:.3g} ms, {self.data_share:.0%} of it for data"
                         + (f" ({1e3 * t['wait']:.3g} ms waiting for them)" if t.get("wait") else ""))
        return lines + self.notes

    def _foot(self) -> list[str]:
        if not self.best:
            return ["together: nothing that was tried makes training faster without changing more than rounding"]
        low, high = self.spread
        lines = [f"together: a step {self.step_ratio:.2f} times as fast; {plural(self.epochs, 'epoch')} {self.ratio:.2f} times "
                 f"({low:.2f}-{high:.2f}), validation and warm-up included",
                 ("applied: " if self.applied else "write: ") + "; ".join(self.best)]
        return lines if self.applied else [*lines, "or let it be set: learn.speedup(apply=True)"]

    def _cells(self, row: Row) -> tuple[str, str, str, str, str, str]:
        r = row.ratio
        shown = "" if r is None else f"{r.value:.2f}x"
        spread = "" if r is None else f"{r.low:.2f}-{r.high:.2f}"
        verdict = row.verdict + (", applied" if row.applied else "")
        return row.setting, shown, spread, row.of, row.changes if r is not None else "", verdict + (f": {row.note}" if row.note else "")

    def __str__(self) -> str:
        table = [_COLUMNS, *map(self._cells, self.rows)]
        widths = [max(len(line[i]) for line in table) for i in range(5)]
        lines = ["  ".join([*(cell.ljust(w) for cell, w in zip(line, widths, strict=False)), line[5]]).rstrip() for line in table]
        return "\n".join([*self._head(), *lines, *self._foot()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def cells(tag: str, texts: Any, colour: str = "") -> str:
            style = "text-align:left;vertical-align:top" + (f";color:{colour}" if colour else "")
            return "<tr>" + "".join(f"<{tag} style='{style}'>{escape(text)}</{tag}>" for text in texts) + "</tr>"

        rows = "".join(cells("td", self._cells(r), _COLOURS.get(r.verdict, "")) for r in self.rows)
        return ("".join(f"<p>{escape(line)}</p>" for line in self._head())
                + f"<table><thead>{cells('th', _COLUMNS)}</thead><tbody>{rows}</tbody></table>"
                + "".join(f"<p>{escape(line)}</p>" for line in self._foot()))
