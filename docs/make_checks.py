"""Write docs/checks.md: what every check asks and advises, and the zoo of broken set-ups that each is tested on.

    python docs/make_checks.py          # writes the page
    python docs/make_checks.py --check  # exit status 1 if the page is not up to date
"""
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "checks.md"
GROUPS = {
    "MF1": "The model meets a batch",
    "MF2": "Independence",
    "MF3": "The learning signal",
    "MF4": "The start",
    "MF5": "Capacity, and the score to beat",
    "MF6": "Evaluation",
    "MF7": "Speed",
    "MF80": "Data: files",
    "MF81": "Data: labels",
    "MF82": "Data: tables",
    "MF83": "Data: batches",
}

HEAD = """# Checks: the recipe as one call

"Everything could be correct syntactically, but the whole thing isn't arranged properly, and it's really hard to tell"
(A. Karpathy, "A Recipe for Training Neural Networks", 2019). `check` does what practitioners do by hand before they spend the money, in
seconds.

```python
from minifast.checks.check_learner import check_learner
from minifast.checks.check_loaders import check_loaders

check_loaders(dls)                          # files, labels, splits, tables, batches just before the net
report = check_learner(learn)               # wiring, gradients, the first loss, capacity, evaluation, speed
report.raise_if_failed()                    # in a script
check_learner(learn, fast=True, ignore=["MF309"])
report.cause, report.frame(), report.show()
```

A report is sorted by causes: what comes first can bring about what comes later, so the first issue (`report.cause`) is the one to repair
first. A verdict is *pass*, *tip* (could be better), *issue* (wrong), *not applicable* or *skipped*; each issue and tip has its numbers,
the items concerned and one line of advice. In a notebook the report is a table.

**Nothing is changed.** All runs on a copy of the learner and with loaders of its own: weights, buffers, gradients, optimizer, modes,
history, callbacks and random streams are afterwards bit for bit what they were, also after Ctrl-C. Files are only read.

**What it cannot know.** Whether labels that a quick model finds nothing in are shuffled or simply hard (MF815 is a tip), which items
belong together unless their names say so (give `groups=`), and which columns will be known at the time of prediction.

Beside the checks: `learn.init_head()` lets the last layer begin with the guess that knows the training labels, `profile(learn)` is the
table of where the time of a step goes, and `ActivationStats`, `GradientNorms` and `LossSpikes` look inside while the model trains.
Overfitting cannot be seen beforehand: it is said below the epoch table of a fit ([card](techniques/overfitting.md)).
"""


def zoo():
    "The animals: (broken, healthy)."
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "checks")]
    import zoo
    import zoo_data  # noqa: F401  each adds its animals
    import zoo_healthy  # noqa: F401
    import zoo_learners  # noqa: F401
    import zoo_rest  # noqa: F401
    return zoo.BROKEN, zoo.HEALTHY


def page():
    "The text of docs/checks.md."
    broken, healthy = zoo()
    from minifast.checks.codes import CODES
    lines = [HEAD]
    for prefix, title in GROUPS.items():
        lines.append(f"## {title}\n")
        for code, (name, asks, advice) in ((c, v) for c, v in CODES.items() if c.startswith(prefix) and _group(c) == prefix):
            caught = [a.name for a in broken if a.code == code]
            lines.append(f'<a id="{code.lower()}"></a>\n### {code} {name}\n\n{asks}\n\nIf not: {advice}.\n')
            if caught:
                lines.append(f"Tested on: {'; '.join(caught)}.\n")
    lines.append(
        "## The zoo\n\nEach of these is broken in one way. The test demands that the check names this code, and, where it is an "
        "issue, that it is "
        "the first of the report.\n\n| broken set-up | code | verdict |\n|---|---|---|"
    )
    lines += [f"| {a.name} | [{a.code}](#{a.code.lower()}) | {a.verdict} |" for a in broken]
    lines.append("\nThese are healthy: `check_learner` and `check_loaders` must find no issue.\n")
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
