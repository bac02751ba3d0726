"""Write docs/checks.md: the question and advice of every check, and the zoo of broken set-ups that it is tested on.

    python docs/make_checks.py          # writes the page
    python docs/make_checks.py --check  # exit status 1 if the page is not up to date
"""
import itertools
import json
import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "checks.md"
GROUPS = {
    "MF1": "The model meets a batch",
    "MF2": "Independence",
    "MF3": "The learning signal",
    "MF4": "The start",
    "MF5": "Capacity and baselines",
    "MF6": "Evaluation",
    "MF7": "Speed",
    "MF80": "Data: files",
    "MF81": "Data: labels",
    "MF82": "Data: tables",
    "MF83": "Data: batches",
    "MF84": "Data: texts",
    "MF85": "Data: series",
}

HEAD = """# Checks: the recipe as one call

"Everything could be correct syntactically, but the whole thing isn't arranged properly, and it's really hard to tell"
(A. Karpathy, "A Recipe for Training Neural Networks", 2019). `check` does in seconds what practitioners do by hand before a long training
run.

```python
dls.check()                                 # files, labels, splits, tables, texts, series, batches
report = learn.check()                      # wiring, gradients, initial loss, capacity, evaluation, speed
report.raise_if_failed()                    # in a script
learn.check(fast=True, ignore=["MF309"])
report.cause, report.frame(), report.show()
```

A report is sorted by causes: an earlier problem can bring about a later one, so the first issue (`report.cause`) is the one to fix first.
What it may explain, by a fixed list of what can follow from what, is folded under it: look at that again when the issue is mended. A
verdict is *pass*, *tip* (could be better), *issue* (wrong), *not applicable* or *skipped*; each issue and tip comes with its numbers, the
items concerned and one line of advice. In a notebook the report is a table.

`learn.report("report.html")` writes one page to mail or to keep: both reports with their pictures, and beside them the epochs, training
items, the confusion matrix or the errors, the validation items with the largest losses, and the settings of the run. The file needs nothing
else.

**Nothing is changed.** Everything runs on a copy of the learner with loaders of its own: weights, buffers, gradients, optimizer, modes,
history, callbacks and random streams are afterwards bit for bit what they were, also after Ctrl-C. Files are only read.

**What it cannot know.** Whether labels about which a quick model finds nothing are shuffled or merely hard (so MF815 is a tip), which items
belong together unless their names say so (pass `groups=`), and which columns will be known at prediction time.

Besides the checks, `learn.init_head()` makes the last layer start from the best constant guess for the training labels, `learn.profile()`
shows where the time of a step goes, `learn.speedup()` [what would make it faster here](speed.md), and `ActivationStats`, `GradientNorms`
and `LossSpikes` look inside while the model trains. Overfitting cannot be seen beforehand: it is reported below the epoch table of a fit
([card](techniques/overfitting.md)).
"""


def zoo():
    "The animals: (broken, healthy)."
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "checks")]
    import zoo
    import zoo_data  # noqa: F401  each adds its animals
    import zoo_healthy  # noqa: F401
    import zoo_learners  # noqa: F401
    import zoo_rest  # noqa: F401
    import zoo_series  # noqa: F401
    import zoo_texts  # noqa: F401
    return zoo.BROKEN, zoo.HEALTHY


def found():
    "What a report said, by code: the lines of the first issue, or tip, in docs/reports.md or in what the notebooks print."
    texts = [(ROOT / "docs" / "reports.md").read_text(encoding="utf-8")]
    for file in sorted((ROOT / "nbs").glob("*.ipynb")):
        for cell in json.loads(file.read_text(encoding="utf-8"))["cells"]:
            texts += ["".join(o.get("text", o.get("data", {}).get("text/plain", ""))) for o in cell.get("outputs", [])]
    out = {}
    for text, kind in itertools.product(texts, ("issue", "tip")):
        for said in re.finditer(rf"^[✗!] (MF\d+) .*: {kind}\. .*(?:\n    .*)*", text, re.MULTILINE):
            out.setdefault(said[1], re.sub(r" +\[docs/checks\.md#\w+\]", "", said[0]))
    return out


def page():
    "The text of docs/checks.md."
    broken, healthy = zoo()
    from minifast.checks.codes import CODES
    lines, said = [HEAD], found()
    for prefix, title in GROUPS.items():
        lines.append(f"## {title}\n")
        for code, (name, asks, advice) in ((c, v) for c, v in CODES.items() if c.startswith(prefix) and _group(c) == prefix):
            caught = [a.name for a in broken if a.code == code]
            lines.append(f'<a id="{code.lower()}"></a>\n### {code} {name}\n\n{asks}\n\nIf not: {advice}.\n')
            lines.append(f"![{code} in a report, of: {caught[0]}](images/checks/{code.lower()}.png)\n")
            if code in said:
                block = "\n".join(textwrap.fill(line, 100, subsequent_indent="    ") for line in said[code].splitlines())
                lines.append(f"In a report of other data:\n\n```text\n{block}\n```\n")
            lines.append(f"Tested on: {'; '.join(caught)}.\n")
    lines.append(
        "## The zoo\n\nEach of these set-ups is broken in one way. A test demands that the check reports this code and, if it is an issue, "
        "that it comes first.\n\n| broken set-up | code | verdict |\n|---|---|---|"
    )
    lines += [f"| {a.name} | [{a.code}](#{a.code.lower()}) | {a.verdict} |" for a in broken]
    lines.append("\nThese set-ups are healthy: the checks must find no issue.\n")
    lines.append("; ".join(a.name for a in healthy) + ".\n")
    return "\n".join(lines)


def _group(code):
    return next(p for p in sorted(GROUPS, key=len, reverse=True) if code.startswith(p))


if __name__ == "__main__":
    text = page()
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text() != text)
    PAGE.write_text(text)
    print(f"wrote {PAGE}")
