"""Write docs/from_fastai.md from the table of fastai's names in minifast/compat/fastai_names.py.

    python docs/make_from_fastai.py          # updates the page
    python docs/make_from_fastai.py --check  # exit status 1 if the page is not up to date

`minifast port` and the module paths read the same table.
"""
import sys
from pathlib import Path

from minifast.compat.fastai_names import DIFFERENT, FASTCORE, MODULES, instead_of
from minifast.compat.modules import names_here

PAGE = Path(__file__).resolve().parent / "from_fastai.md"

INTRODUCTION = """# Code written for fastai

Change the import line, and keep the rest:

```python
from minifast.vision.all import *        # was: from fastai.vision.all import *
```

Every module path of fastai 2.8 can be imported below `minifast.` as well: `from minifast.callback.fp16 import MixedPrecision` finds the
class that `minifast.vision.all` has. A name that minifast does not have raises an `ImportError` that says what to write instead.

`minifast port FILE.py|FILE.ipynb|DIR` changes the import lines of scripts and notebooks in place, and prints line by line which of the
names that they use are different or absent. With `--check` it changes nothing. It exits with status 1 where something is absent.

This page lists the names of each module of fastai. Names that are not named as different are meant to be used in the same way; if you
find one that is not, please report it. Small functions of fastcore that most code uses come with the star imports; for the others write
`from fastcore.all import ...`. torchvision's networks (`densenet121`, `vit_b_16` and the rest) come with
`from minifast.vision.models.all import ...`.
"""


def methods():
    "The section on what works differently in methods, which belong to no module."
    rows = [f"- `{name}`: {how}" for name, how in DIFFERENT.items() if "." in name]
    return "## Methods that work differently\n\n" + "\n".join(rows)


def section(path):
    "The section of a module: the names that are the same in one line, the others with a sentence each."
    here, same, rows = names_here(), [], {}
    for name in MODULES[path].split():
        if name in here and name not in DIFFERENT:
            same.append(f"`{name}`")
        else:
            rows.setdefault(("different: " if name in here else "absent: ") + (DIFFERENT[name] if name in here else instead_of(name)),
                            []).append(f"`{name}`")
    parts = [f"## {path}"]
    if same:
        parts.append("The same: " + ", ".join(same) + ".")
    if rows:
        parts.append("| name | here |\n|---|---|\n" + "\n".join(
            f"| {', '.join(names)} | {text.replace('|', chr(92) + '|')} |" for text, names in rows.items()))
    return "\n\n".join(parts)


def counts():
    "How many of fastai's own names are the same, different and absent."
    names, here = {name for listed in MODULES.values() for name in listed.split()}, names_here()
    different = sum(name in here and name in DIFFERENT for name in names)
    return len(names & here) - different, different, len(names - here)


def page():
    "The text of the page."
    same, different, absent = counts()
    utilities = [f"`{name}`" + (f" (different: {DIFFERENT[name]})" if name in DIFFERENT else "")
                 for name in FASTCORE.split() if name in names_here()]
    figures = (f"Of the {same + different + absent} names that fastai defines, {same} are the same, {different} are different and {absent} "
               "are absent, each with what to write instead.")
    empty = ", ".join(f"`{path}`" for path in MODULES if not MODULES[path])
    return "\n\n".join([
        INTRODUCTION.strip(), figures, methods(), *(section(path) for path in MODULES if MODULES[path].split()),
        f"## Modules that define no names\n\nThey can be imported, and those called `all` bring all public names: {empty}.",
        "## Names of fastcore in the star imports\n\n" + ", ".join(utilities) + "."]) + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text(encoding="utf-8") != page())
    PAGE.write_text(page(), encoding="utf-8")
    print("same, different, absent:", *counts())
