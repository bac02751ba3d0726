"""Write docs/silent-failures.md from the docstrings of tests/silent_failures: one test per row, and one row per test.

    python docs/make_silent_failures.py          # writes the page
    python docs/make_silent_failures.py --check  # exit status 1 if the page is not up to date
"""
import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "silent-failures.md"
TESTS = ROOT / "tests" / "silent_failures"
ROWS = 120
#: heading of each section, and the end of the names of its files
SECTIONS = {"Data in, labels, splits": "data", "Training loop, optimizer, schedule": "training", "Loss, metrics, logging": "losses",
            "Inference, interpretation, persistence": "inference"}

HEAD = """# Silent failures

Most mistakes in training a network raise no error: the loop runs, the results are worse than they could be, and nothing says so. These are
the ones we know of, each reproduced in at least one widely used framework or found in its source. minifast does one of three things: it
gives the right result, raises an error at the moment the mistake is made, or counts the case in a report.

Each row is a test, named on the right, that triggers the failure as a user would, and this page is generated from the docstrings of these
tests (`python docs/make_silent_failures.py`). `python tests/silent_failures/guards.py` removes the guards from a copy of the package, one
at a time, and shows that the tests then fail.
"""


def read_rows(folder=TESTS):
    "`{number: (title, elsewhere, here, file name)}` of the tests in `folder`; ValueError lists what is missing, duplicate or malformed."
    rows, problems = {}, []
    for file in sorted(folder.glob("test_s*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            number, place = re.match(r"test_s(\d{2,3})_\w", node.name), f"{file.name}: {node.name}"
            if number is None:
                problems.append(f"{place} is not named test_sNN_...")
                continue
            row = int(number[1])
            if file.stem.rpartition("_")[2] not in SECTIONS.values():
                problems.append(f"{place}: the name of a file ends in its section: {', '.join(SECTIONS.values())}")
            if row in rows:
                problems.append(f"{place}: row {row} is in {rows[row][3]} already")
            try:
                rows[row] = *parts_of(ast.get_docstring(node) or ""), file.name
            except ValueError as e:
                problems.append(f"{place}: {e}")
                rows[row] = "", "", "", file.name
    missing, unknown = sorted(set(range(1, ROWS + 1)) - rows.keys()), sorted(rows.keys() - set(range(1, ROWS + 1)))
    if missing:
        problems.append(f"rows without a test: {', '.join(map(str, missing))}")
    if unknown:
        problems.append(f"no such rows: {', '.join(map(str, unknown))}")
    if problems:
        raise ValueError("\n".join(problems))
    return dict(sorted(rows.items()))


def parts_of(docstring):
    "`(title, elsewhere, here)` of a docstring; ValueError where it is not a title, an empty line, 'Elsewhere: ...' and 'Here: ...'."
    found = re.fullmatch(r"([^\n]+)\.\n\nElsewhere: (.+?)\nHere: (.+)", docstring, re.DOTALL)
    if found is None or "\n\n" in found[2] + found[3] or re.search(r"^(Elsewhere|Here):", found[3], re.MULTILINE):
        raise ValueError("the docstring must be 'Title.', an empty line, 'Elsewhere: ...' and, on a new line, 'Here: ...'")
    title, *rest = (" ".join(part.split()) for part in found.groups())
    for part in rest:
        if part.count("`") % 2 or part[-1] not in ".\"":
            raise ValueError(f"a code span or the sentence is not closed: ...{part[-40:]!r}")
    return title, *rest


def _cell(text):
    "Text in a table of Markdown: bars would end the cell, and what is not code must not be taken for emphasis or HTML."
    parts = re.split(r"(`[^`]*`)", text.replace("|", "\\|"))
    return "".join(part if part.startswith("`") else re.sub(r"([*_<>\[\]])", r"\\\1", part) for part in parts)


def page(folder=TESTS):
    "The text of docs/silent-failures.md."
    rows, lines = read_rows(folder), [HEAD]
    for heading, kind in SECTIONS.items():
        lines += [f"## {heading}\n", "| row | what | elsewhere | here | test |", "|---|---|---|---|---|"]
        lines += [f"| S{row} | {_cell(title)} | {_cell(elsewhere)} | {_cell(here)} | `{file}` |"
                  for row, (title, elsewhere, here, file) in rows.items() if file.endswith(f"_{kind}.py")]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        text = page()
    except ValueError as e:
        sys.exit(str(e))
    if "--check" in sys.argv:
        sys.exit(int(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text))
    PAGE.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE}")
