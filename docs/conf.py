"""Builds the documentation: `pip install -e ".[docs]"`, then `sphinx-build docs docs/_build`.

The notebooks of `nbs/` are copied into `docs/nbs/`, which git ignores, and shown with the outputs that are stored in them.
"""
import re
import shutil
from pathlib import Path

import minifast

project, author, release = "minifast", "the minifast authors", minifast.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode", "myst_nb"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"minifast {release}"
myst_heading_anchors = 3
nb_execution_mode = "off"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 100

HERE = Path(__file__).parent


def copy_notebooks():
    "Bring `../nbs` to where Sphinx looks, with the links that lead back here."
    (HERE / "nbs").mkdir(exist_ok=True)
    for file in (HERE.parent / "nbs").glob("*.ipynb"):
        (HERE / "nbs" / file.name).write_text(file.read_text(encoding="utf-8").replace("](../docs/", "](../"), encoding="utf-8")
    for file in (HERE / "nbs").glob("*.ipynb"):
        if not (HERE.parent / "nbs" / file.name).exists():
            file.unlink()


_SPAN = re.compile(r"`([^`]+)`")
_SPECIAL = re.compile(r"([*|_\\])")


def _in_rst(line):
    "A line of a docstring, in which `code` and plain text is all there is, as reStructuredText."
    parts = _SPAN.split(line)           # text, code, text, code, ..., text
    for i in range(0, len(parts), 2):
        parts[i] = _SPECIAL.sub(r"\\\1", parts[i])
    out = parts[0]
    for code, text in zip(parts[1::2], parts[2::2], strict=True):
        out += (r"\ " if out and not out[-1].isspace() else "") + f"``{code}``" + (r"\ " if text and not text[0].isspace() else "") + text
    return out


def to_rst(app, what, name, obj, options, lines):
    "Docstrings are written to be read in the source: make headings, code spans and indented code what Sphinx expects."
    new, in_code = [], False
    for i, line in enumerate(lines):
        indented, after_blank = line.startswith("    "), i == 0 or not lines[i - 1].strip()
        if indented and after_blank and not in_code:
            in_code = True
            new += ["::", ""]
        elif line.strip() and not indented:
            in_code = False
        new.append(line if in_code or line.lstrip().startswith(">>>") else _in_rst(line))
    lines[:] = new


def setup(app):
    copy_notebooks()
    app.connect("autodoc-process-docstring", to_rst)
    app.connect("build-finished", lambda app, error: shutil.rmtree(HERE / "nbs", ignore_errors=True))
