"""Write the picture and the tables of docs/architecture.md from the package: which rooms there are, and what each file says it holds.

    python docs/make_architecture.py          # updates the page
    python docs/make_architecture.py --check  # exit status 1 if the page is not up to date

The order of the rooms is that of `ROOMS` in tests/contracts/test_rooms.py; what a file holds is the first paragraph of its docstring.
"""
import ast
import importlib.util
import re
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGE = ROOT / "minifast"

#: What each room is for, in a few words.
PURPOSE = {
    "core": "what everything uses: messages, lists, nested batches, devices, seeds, plots, checkpoints",
    "nn": "layers, losses, hooks, what a model looks like",
    "sources": "where data come from: downloads, archives, and shards that are read as streams",
    "optim": "layer groups, optimizers, schedules, freezing",
    "metrics": "metrics, and scikit-learn's under their own names",
    "data": "from a source to batches on the device",
    "callbacks": "the events, and one file per technique",
    "learner": "the loop, and everything a learner can do",
    "interpret": "looking at what a model predicts",
    "ensemble": "several models: k-fold, bagging, search",
    "distributed": "how several processes are started",
    "checks": "the recipe: is the learner, is the data right?",
    "basics": "the public names that all applications share",
    "vision": "images",
    "tabular": "tables",
    "collab": "recommendations",
    "text": "texts",
    "timeseries": "series of measurements over time",
    "compat": "code written for fastai: its module paths and names",
    "cli": "the command line",
}


@cache
def rooms():
    "The rows of rooms, from the ground up."
    spec = importlib.util.spec_from_file_location("rooms_of_the_contract", ROOT / "tests" / "contracts" / "test_rooms.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [row.split() for row in module.ROOMS]


def files_of(room):
    "The files of a room, those of its own folder first."
    folder = PACKAGE / room
    if not folder.is_dir():
        return [PACKAGE / f"{room}.py"]
    files = [f for f in folder.rglob("*.py") if f.name != "__init__.py" or f.read_text().strip()]
    return sorted(files, key=lambda f: (f.parent.relative_to(folder).as_posix().replace(".", ""), f.name != "__init__.py", f.name))


def says(file):
    "The first paragraph of a file's docstring, on one line."
    doc = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    if not doc:
        raise ValueError(f"{file.relative_to(ROOT)} has no docstring: its first paragraph says what the file holds")
    return " ".join(doc.split("\n\n")[0].split()).replace("|", "\\|")


def picture():
    "The rooms as a drawing: each imports only what is below it."
    rows = [[f" {room} " for room in row] for row in rooms()]
    width = max(len("|".join(row)) for row in rows) + 8
    edge = "+" + "-" * width + "+"
    lines = [edge]
    for row in reversed(rows):
        share = [width // len(row)] * len(row)
        share[-1] += width - sum(share)
        cells = [cell.center(w - (i > 0)) for i, (cell, w) in enumerate(zip(row, share, strict=True))]
        lines += ["|" + "|".join(cells) + "|", edge]
    return "```text\n" + "\n".join(lines) + "\n```"


def tables():
    "One heading and one table per room, from the ground up."
    parts = []
    for row in rooms():
        for room in row:
            files = files_of(room)
            parts.append(f"### {room}: {PURPOSE[room]}\n\n| file | what it holds |\n|---|---|\n" + "\n".join(
                f"| `{f.relative_to(PACKAGE).as_posix()}` | {says(f)} |" for f in files))
    return "\n\n".join(parts)


def page(text):
    "`text` of the page with its generated parts made anew."
    for name, made in (("picture", picture()), ("tables", tables())):
        pattern = re.compile(rf"(<!-- {name}: .*?-->\n).*?(<!-- end of {name} -->)", re.S)
        if not pattern.search(text):
            raise ValueError(f"{PAGE.name} has no part between '<!-- {name}: ... -->' and '<!-- end of {name} -->'")
        text = pattern.sub(lambda m, made=made: f"{m[1]}\n{made}\n\n{m[2]}", text)
    return text


if __name__ == "__main__":
    before = PAGE.read_text(encoding="utf-8")
    after = page(before)
    if "--check" in sys.argv:
        sys.exit(before != after)
    PAGE.write_text(after, encoding="utf-8")
