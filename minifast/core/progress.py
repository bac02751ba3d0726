"""Where progress is shown, and how: a bar in a terminal or notebook, the epoch table, or plain lines in a log.

It is drawn here and not by fastprogress because that imports fastcore, which changes `pathlib.Path`, and a web stack.
"""
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from html import escape
from numbers import Integral, Real
from typing import Any

from . import ranks
from .items import noop


def in_notebook() -> bool:
    "Whether output goes to a Jupyter front end (also Colab, Kaggle, VS Code and executed notebooks)."
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return any(c.__name__ == "ZMQInteractiveShell" for c in type(shell).__mro__)      # the shells of Colab and Spyder derive from it


def choose_display() -> "PlainDisplay":
    """The display that fits the output: notebook, terminal, or plain lines.

    Plain lines are used when the output is not a terminal, or with `MINIFAST_PROGRESS=0`. Of several ranks only the first shows anything.
    """
    if ranks.initialized() and not ranks.is_main():
        return SilentDisplay()
    if os.environ.get("MINIFAST_PROGRESS", "1") != "0":
        if in_notebook() and not ranks.initialized():       # a process that a notebook has started has no cell of its own
            return NotebookDisplay()
        if hasattr(sys.stdout, "isatty") and sys.stdout.isatty():
            return TerminalDisplay()
    return PlainDisplay()


def format_value(value: Any) -> str:
    "One cell of the epoch table."
    if value is None:
        return "-"
    return f"{value:.6f}" if isinstance(value, Real) and not isinstance(value, Integral) else str(value)


class PlainDisplay:
    "One line per epoch, nothing else: what belongs in a log file."

    def __init__(self) -> None:
        self.n_epoch, self.headers, self.rows = 0, list[str](), list[list[str]]()       # no epochs: a pass such as that of `get_preds`

    def start(self, n_epoch: int, headers: list[str]) -> None:
        "Start the display of a fit of `n_epoch` epochs, with these column names (none: no table is shown)."
        self.headers, self.n_epoch, self.rows = headers, n_epoch, []

    def open_bar(self, half: str, epoch: int, total: int | None, comment: Callable[[], str]) -> Callable[[int], Any]:
        """Open a bar for one half of an epoch; returns the function to call with the number of batches done.

        Args:
            half: what it is called, such as 'train'.
            epoch: index of the epoch.
            total: the number of batches (None: unknown).
            comment: called for the text at the end of the bar whenever it is redrawn.
        """
        return noop

    def close_bar(self) -> None:
        "Remove the bar: the half is over, or was interrupted."

    def write_row(self, row: Iterable[Any]) -> None:
        "Show the row of an epoch that is over."
        self.rows.append([format_value(v) for v in row])
        self._show_row()

    def _show_row(self):
        print("  ".join(f"{h} {v}" for h, v in zip(self.headers, self.rows[-1], strict=False)), flush=True)

    def note(self, text: str) -> None:
        "Show one line about the fit below its table."
        print(text, flush=True)

    def finish(self) -> None:
        "Finish: the fit is over, or was interrupted."


def _clock(seconds):
    minutes, seconds = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if minutes >= 60 else f"{minutes:02d}:{seconds:02d}"


def _make_bar(total, draw, comment):
    "The function of the number of batches done that calls `draw(done, text)` for the first few of them, and then five times a second."
    if total == 0:
        return noop
    started, due = time.perf_counter(), 0.0

    def update(done):
        nonlocal due
        now = time.perf_counter()
        if now < due and done > 5 and done != total:
            return
        passed, due = now - started, now + 0.2 if done else 0.0
        share = "" if total is None else f"{100 * done / total:.2f}% "
        left = "?" if total is None or not done else _clock(passed / done * max(total - done, 0))
        note = comment()
        draw(done, f"{share}[{done}/{'?' if total is None else total} {_clock(passed)}<{left}]{note and f' {note}'}")

    update(0)
    return update


def _aligned(row, widths):
    return "  ".join(v.ljust(w) for v, w in zip(row, widths, strict=False)).rstrip()


class SilentDisplay(PlainDisplay):
    "Nothing: for the ranks whose progress is that of the first."

    def write_row(self, row: Iterable[Any]) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class TerminalDisplay(PlainDisplay):
    "A bar that is overwritten in place, and the table as aligned text."

    width = 0

    def start(self, n_epoch: int, headers: list[str]) -> None:
        super().start(n_epoch, headers)
        self.columns = [max(len(h), 9) for h in headers]
        if headers:
            print(_aligned(headers, self.columns), flush=True)

    def open_bar(self, half: str, epoch: int, total: int | None, comment: Callable[[], str]) -> Callable[[int], Any]:
        prefix = f"Epoch {epoch + 1}/{self.n_epoch} {half}" if self.n_epoch else half

        def draw(done, text):
            room = shutil.get_terminal_size().columns - 3       # a line that wraps could not be overwritten; 3: the terminal echoes ^C
            length = max(0, min(30, room - len(prefix) - len(text) - 4))
            filled = min(int(length * done / total), length) if total else 0
            line = f"{prefix} |{'#' * filled}{'-' * (length - filled)}| {text}"
            line = line if len(line) <= room else line[:room].rpartition(" ")[0]      # half a number would mislead
            print("\r" + line.ljust(self.width), end="", flush=True)
            self.width = len(line)

        return _make_bar(total, draw, comment)

    def close_bar(self) -> None:
        if self.width:
            print("\r" + " " * (self.width + 2) + "\r", end="", flush=True)       # 2: the terminal may have echoed ^C
            self.width = 0

    def _show_row(self):
        print(_aligned(self.rows[-1], self.columns), flush=True)


class NotebookDisplay(PlainDisplay):
    """Bars and the epoch table in one output cell that is updated in place; only its last state stays in the notebook.

    A bar without a table, such as that of `get_preds`, appears once it has been needed for `PATIENCE` seconds: an output cannot be
    taken back, so a short pass would leave an empty one.
    """

    PATIENCE = 0.5
    handle = None
    bar_html = ""
    said = ""                   # what was noted below the table

    def start(self, n_epoch: int, headers: list[str]) -> None:
        super().start(n_epoch, headers)
        if headers:
            self._draw()

    def open_bar(self, half: str, epoch: int, total: int | None, comment: Callable[[], str]) -> Callable[[int], Any]:
        label = f"Epoch {epoch + 1}/{self.n_epoch} {half}: " if self.n_epoch else ""
        appears = time.perf_counter() + (0 if self.headers else self.PATIENCE)

        def draw(done, text):
            if time.perf_counter() < appears:
                return
            value = "" if total is None else f'value="{done}" max="{total}" '
            self.bar_html = (f'<div><progress {value}style="width:300px;height:20px;vertical-align:middle"></progress> '
                             f"{escape(label + text)}</div>")
            self._draw()

        return _make_bar(total, draw, comment)

    def close_bar(self) -> None:
        if self.bar_html:
            self.bar_html = ""
            self._draw()

    def _show_row(self):
        self._draw()

    def note(self, text: str) -> None:
        self.said += f"{text}\n"
        self._draw()

    def table_html(self) -> str:
        "The epoch table as HTML, with inline styles only (they survive export and code hosts)."
        if not self.headers:
            return ""
        cell = 'style="text-align:left;padding:2px 8px"'
        head = "".join(f"<th {cell}>{escape(h)}</th>" for h in self.headers)
        body = "".join("<tr>" + "".join(f"<td {cell}>{escape(v)}</td>" for v in row) + "</tr>" for row in self.rows)
        return f'<table border="1" class="dataframe"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'

    def table_text(self) -> str:
        "The epoch table as aligned text."
        table = [self.headers, *self.rows]
        widths = [max(map(len, column)) for column in zip(*table, strict=False)]
        return "\n".join(_aligned(row, widths) for row in table)

    def _draw(self):
        from IPython.display import display
        notes = "".join(f"<p>{escape(line)}</p>" for line in self.said.splitlines())
        data = {"text/html": self.table_html() + self.bar_html + notes, "text/plain": f"{self.table_text()}\n{self.said}".strip("\n")}
        if self.handle is None:
            self.handle = display(data, raw=True, display_id=True)
        else:
            self.handle.update(data, raw=True)


def progress_bar(items: Iterable[Any], total: int | None = None, comment: str = "") -> Iterator[Any]:
    """Iterate with a progress bar where one can be shown (fastai's name).

    Args:
        items: an iterable.
        total: the number of items (None: `len(items)`, where it has a length).
        comment: text at the end of the bar.
    """
    total = len(items) if total is None and isinstance(items, Sized) else total
    display = choose_display()
    advance = display.open_bar("", 0, total, lambda: comment)
    try:
        for done, item in enumerate(items, 1):
            yield item
            advance(done)
    finally:
        display.close_bar()
