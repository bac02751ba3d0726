"""A notebook run as a script: `python -m minifast.distributed.notebooks FILE.ipynb [args]`. Its code cells, one after another.

What only IPython understands is left out, and said: lines of `%` and `!`, and whole cells of `%%` (but for `%%time` and its like).
"""
import ast
import json
import linecache
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from ..core import PathLike
from ..core.ranks import is_main

_SHELL = re.compile(r"\s*([%!?]|[\w.]+\?{1,2}\s*$)")
_ASSIGNED = re.compile(r"\s*[\w, ]+=\s*[%!]")
#: Cell magics of which the rest of the cell is Python.
_PYTHON = ("%%time", "%%timeit", "%%capture", "%%prun")


class Cell(NamedTuple):
    "A code cell: its name in tracebacks, its Python, and the lines that were left out."

    name: str
    source: str
    left_out: list[str]


def cells_of(file: PathLike) -> Iterator[Cell]:
    """The code cells of a notebook as Python.

    Args:
        file: a notebook.

    Raises:
        ValueError: it is no notebook, or a cell takes its value from a line for IPython.
    """
    try:
        with open(file, encoding="utf-8") as f:
            cells = json.load(f)["cells"]
    except (ValueError, LookupError, TypeError) as e:
        raise ValueError(f"{file} is no notebook of nbformat 4 ({type(e).__name__}: {e})") from e
    for number, cell in enumerate((c for c in cells if c.get("cell_type") == "code"), 1):
        source = cell.get("source", "")
        name = f"{file}, code cell {number}"
        yield Cell(name, *_python_of("".join(source), name))


def _python_of(source, name):
    lines, left_out = source.splitlines(), []
    first = next((line.strip() for line in lines if line.strip()), "")
    if first.startswith("%%") and not first.startswith(_PYTHON):
        return "", [first]
    shell = _shell_lines(source, lines)
    for i in sorted(shell):
        if _ASSIGNED.match(lines[i]):
            raise ValueError(f"{name}: {lines[i].strip()!r} takes its value from IPython, which is not there in a script: write it in "
                             "Python, such as `subprocess.check_output(['ls'], text=True).split()`")
        left_out.append(lines[i].strip())
        indent = lines[i][:len(lines[i]) - len(lines[i].lstrip())]
        lines[i] = f"{indent}pass"                      # so that lines keep their numbers, and blocks a body
    return "\n".join(lines) + "\n", left_out


def _shell_lines(source, lines):
    "The numbers of the lines that are for IPython: none where the cell is Python as it is."
    try:
        ast.parse(source)
        return set()
    except SyntaxError:
        return {i for i, line in enumerate(lines) if _SHELL.match(line) or _ASSIGNED.match(line)}


def run_notebook(file: PathLike, namespace: dict[str, Any]) -> None:
    """Run the code cells of a notebook.

    Args:
        file: a notebook.
        namespace: the variables.
    """
    cells = list(cells_of(file))
    left_out = [line for cell in cells for line in cell.left_out]
    if left_out and is_main():
        print(f"{file}: left out, because only IPython understands them: {'; '.join(left_out)}", file=sys.stderr)
    namespace.setdefault("display", print)
    with suppress(ImportError):
        from IPython.display import display
        namespace["display"] = display
    for cell in cells:
        linecache.cache[cell.name] = len(cell.source), None, cell.source.splitlines(keepends=True), cell.name     # for tracebacks
        exec(compile(cell.source, cell.name, "exec"), namespace)


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    run_notebook(sys.argv[0], globals())
