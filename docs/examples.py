"""The examples of the reference: read, run, and write what they print.

    python docs/examples.py                   # runs docs/api/examples/*.md and writes the outputs into them
    python docs/examples.py data metrics      # those files only
    python docs/examples.py --check           # exit status 1 if an output is not what the file says

Each file belongs to the page of the same name in docs/api, whose names it has as headings: one, or several that share an example. The site
shows an example below its name. The first block of code of a file is run once, the second before each example, with fresh random streams,
in a folder of its own. Outputs are compared number by number, because another processor rounds otherwise.
"""
import contextlib
import doctest
import importlib
import io
import os
import re
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "api" / "examples"
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?(?![\d])")
TIME = re.compile(r"\b(?:\d{4}-\d\d-\d\d )?\d\d:\d\d(?::\d\d)?\b")


class Example(NamedTuple):
    "Names that share an example, and its lines, with the prompts and what they print."
    names: tuple[str, ...]
    text: str


def read(file: Path) -> tuple[list[str], list[Example]]:
    "The two blocks that set up, and the examples."
    head, *parts = re.split(r"^### ", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    setup = re.findall(r"^```python\n(.*?)^```$", head, re.MULTILINE | re.DOTALL)
    examples = [Example(tuple(part.split("\n", 1)[0].split(", ")), re.search(r"```pycon\n(.*?)```", part, re.DOTALL)[1]) for part in parts]
    return setup + [""] * (2 - len(setup)), examples


def modules_of(page: str) -> list[str]:
    "The modules on the page of a file of examples."
    return re.findall(r"automodule:: (\S+)", (FOLDER.parent / f"{page.split('_')[0]}.md").read_text(encoding="utf-8"))


def full_names(name: str, page: str) -> list[str]:
    "What a heading stands for, with the module that defines it; one, if all is well."
    found = []
    for module in map(importlib.import_module, modules_of(page)):
        value = getattr(module, name.split(".")[0], None)
        if getattr(value, "__module__", None) == module.__name__ and all(hasattr(value, part) for part in name.split(".")[1:]):
            found.append(f"{module.__name__}.{name}")
    return found


def same(want: str, got: str) -> bool:
    "Whether two outputs are the same, but for the last digits of numbers, for times and for how space is spread."
    want, got = (" ".join(TIME.sub("00:00", t.replace("<BLANKLINE>", "")).split()) for t in (want, got))
    if NUMBER.sub("#", want) != NUMBER.sub("#", got):
        return False
    pairs = zip(map(float, NUMBER.findall(want)), map(float, NUMBER.findall(got)), strict=True)
    return all(abs(a - b) <= (0 if a.is_integer() and b.is_integer() and abs(a) < 1e6 else 1e-3 + 0.02 * abs(a)) for a, b in pairs)


def run_one(text: str, names: dict) -> tuple[list[tuple[str, str, str]], str]:
    "Run an example: for each statement its source, what it printed and what it was to print; and the error that ended it, if any."
    done = []
    for statement in doctest.DocTestParser().get_examples(text):
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                exec(compile(statement.source, "<example>", "single"), names)
        except Exception as error:
            if not statement.exc_msg:
                return done, statement.source + traceback.format_exc()
            out = io.StringIO(f"{type(error).__name__}: {error}\n".splitlines(keepends=True)[0])
            statement.want = statement.exc_msg.splitlines(keepends=True)[0]
        done.append((statement.source, out.getvalue().replace(os.getcwd(), "."), statement.want))
    return done, ""


def with_prompts(source: str) -> str:
    first, *rest = source.rstrip("\n").split("\n")
    return "\n".join([f">>> {first}", *(f"... {line}".rstrip() for line in rest)]) + "\n"


def as_said(printed: str) -> str:
    "An output as a doctest has it."
    return "".join(f"{line.rstrip() or '<BLANKLINE>'}\n" for line in printed.rstrip().split("\n")) if printed.strip() else ""


def run(file: Path) -> tuple[str, list[str]]:
    "Run the examples of a file: its text with what they print, and what is wrong."
    (once, each), examples = read(file)
    import matplotlib
    import torch

    from minifast.core.seeds import set_seed
    matplotlib.use("Agg")
    text, wrong, shared, here = file.read_text(encoding="utf-8"), [], {}, os.getcwd()
    threads, shown = torch.get_num_threads(), sys.displayhook
    torch.set_num_threads(1)
    sys.displayhook = lambda value: value is None or print(repr(value))          # that of a notebook would show it elsewhere
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            set_seed(0)
            exec(once, shared)
            for example in examples:
                names = dict(shared)
                set_seed(0)
                exec(each, names)
                done, error = run_one(example.text, names)
                title = f"{file.stem}: {', '.join(example.names)}"
                if error:
                    wrong.append(f"{title}\n{error}")
                    continue
                bad = [f"{title}\n{source}said:   {want}prints: {got}" for source, got, want in done if not same(want, got)]
                wrong += bad
                if bad:
                    new = "".join(with_prompts(source) + as_said(got) for source, got, _ in done)
                    text = text.replace(f"```pycon\n{example.text}```", f"```pycon\n{new}```")
                matplotlib.pyplot.close("all")
        finally:
            os.chdir(here)
            torch.set_num_threads(threads)
            sys.displayhook = shown
    return text, wrong


if __name__ == "__main__":
    wanted = [a for a in sys.argv[1:] if not a.startswith("--")]
    faults = []
    for page in sorted(FOLDER.glob("*.md")):
        if not wanted or page.stem in wanted:
            new, wrong = run(page)
            faults += wrong
            if "--check" not in sys.argv:
                page.write_text(new, encoding="utf-8")
    print("\n".join(faults))
    sys.exit(bool(faults) and "--check" in sys.argv)
