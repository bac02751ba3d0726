"""Builds the documentation: `pip install -e ".[docs]"`, then `sphinx-build docs docs/_build`.

The notebooks of `nbs/` are copied into `docs/nbs/`, which git ignores, and shown with the outputs that are stored in them.
"""
import re
import shutil
from pathlib import Path

import minifast

project, author, release = "minifast", "the minifast authors", minifast.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "myst_nb"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"minifast {release}"
html_show_copyright = False
myst_heading_anchors = 3
nb_execution_mode = "off"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "ignore-module-all": True}     # each thing once, in the module that defines it
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Source"]
napoleon_use_ivar = True             # else attributes of a class are listed twice
autodoc_inherit_docstrings = False      # else what PIL and torch say of their methods is repeated here
python_maximum_signature_line_length = 100

HERE = Path(__file__).parent


def copy_notebooks():
    "Bring `../nbs` to where Sphinx looks, with the links that lead back here."
    (HERE / "nbs").mkdir(exist_ok=True)
    for file in (HERE.parent / "nbs").glob("*.ipynb"):
        text = file.read_text(encoding="utf-8").replace("](../docs/", "](../")
        text = re.sub(r"\]\(#[\w-]+\)", lambda link: link[0].lower(), text)          # Jupyter's anchors keep capitals, Sphinx's do not
        (HERE / "nbs" / file.name).write_text(text, encoding="utf-8")
    for file in (HERE / "nbs").glob("*.ipynb"):
        if not (HERE.parent / "nbs" / file.name).exists():
            file.unlink()


_SPAN = re.compile(r"`([^`]+)`")
_SPECIAL = re.compile(r"([*|_\\])")


def _in_rst(text):
    "Part of a docstring, in which `code` and plain text is all there is, as reStructuredText."
    parts = _SPAN.split(text)           # text, code, text, code, ..., text
    for i in range(0, len(parts), 2):
        parts[i] = _SPECIAL.sub(r"\\\1", parts[i])
    out = parts[0]
    for code, plain in zip(parts[1::2], parts[2::2], strict=True):
        before, after = out and not out[-1].isspace(), plain and not plain[0].isspace()
        out += (r"\ " if before else "") + f"``{code}``" + (r"\ " if after else "") + plain
    return out


def to_rst(app, what, name, obj, options, lines):
    """Docstrings are written to be read in the source: make code spans, and indented code, what Sphinx expects.

    The signatures have the types. Napoleon would take the text before the first colon of an attribute's docstring, or of `Returns:`, for a
    type; an empty comment before it prevents that.
    """
    if what == "module":
        lines[:] = obj.__doc__.splitlines()         # Sphinx takes away the indentation if everything but the first line has it
    elif what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]
    for i, line in enumerate(lines[:-1]):
        if line.strip() in ("Returns:", "Yields:") and ":" in lines[i + 1]:
            indent = lines[i + 1][:len(lines[i + 1]) - len(lines[i + 1].lstrip())]
            lines[i + 1:i + 1] = [indent + "..", ""]
            break
    blocks = re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))
    new = []
    for block in blocks:
        if block.startswith("    "):
            new += ["::", "", *block.splitlines(), ""]
        elif ">>>" in block:
            new += [*block.splitlines(), ""]
        else:
            new += [*_in_rst(block).splitlines(), ""]
    lines[:] = new


def setup(app):
    copy_notebooks()
    app.connect("autodoc-process-docstring", to_rst, priority=100)          # before napoleon sets out `Args:`
    app.connect("build-finished", lambda app, error: shutil.rmtree(HERE / "nbs", ignore_errors=True))
