"""Write docs/kinds.md from the table in tests/silent_failures/mends.py: kinds of fault, and the tests that fail without the mend.

    python docs/make_kinds.py
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "silent_failures"))
from mends import KINDS  # the folder above comes first

PAGE = Path(__file__).resolve().parent / "kinds.md"

HEAD = """# Kinds of fault found in public reports

About 70 bug reports of other frameworks were tried here. Where one showed a fault, the kind was mended, not the report: the neighbours were
tried too, and each mend has a test that fails when it is taken out. `S` rows are explained in [silent failures](silent-failures.md).

`python tests/silent_failures/mends.py` takes each mend out of a copy of the package and runs its test; for the `S` rows
`python tests/silent_failures/guards.py` does. This page is made by `python docs/make_kinds.py`.

| reported | kind | also tried | fails without the mend |
|---|---|---|---|
"""


def page():
    "The text of docs/kinds.md."
    lines = []
    for reported, kind, tried, rows, mends in KINDS.values():
        tests = {}                                          # of each test, what is taken out
        for what, (test, *_) in mends.items():
            tests.setdefault(test.split("[")[0], []).append(what)
        shown = [*rows.split(), *(f"{', '.join(what)}: `{test}`" for test, what in tests.items())]
        lines.append(f"| {reported} | {kind} | {tried} | {'<br>'.join(shown)} |")
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
