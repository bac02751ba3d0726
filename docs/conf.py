"""Builds the documentation: `pip install -e ".[docs]"`, then `sphinx-build docs docs/_build`.

The notebooks of `nbs/` are copied into `docs/nbs/`, which git ignores, and shown with the outputs that are stored in them; the examples of
the reference stand in `api/examples`. `-t plain` leaves out the coloured source of the package, half of the time that it takes to build.
"""
import importlib
import inspect
import json
import os
import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.domains.python import PythonDomain

import minifast

sys.path.append(str(Path(__file__).parent))
from docstrings import SECTIONS, to_rst

import examples

project, author, release = "minifast", "the minifast authors", minifast.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb"]
with_source = not tags.has("plain")       # noqa: F821 -- Sphinx puts it there
if with_source:
    extensions.append("sphinx.ext.viewcode")
exclude_patterns = ["_build", "api/examples"]
html_theme = "furo"
html_title = f"minifast {release}"
html_show_copyright = False
html_static_path, html_css_files = ["_static"], ["site.css"]
html_search_scorer = str(Path(__file__).parent / "scorer.js")
myst_heading_anchors = 3
nb_execution_mode = "off"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "ignore-module-all": True}     # each thing once, in the module that defines it
autodoc_preserve_defaults = True
autodoc_use_type_comments = False       # there are none to look for
autodoc_typehints = "signature"
napoleon_numpy_docstring = False
napoleon_custom_sections = SECTIONS
autodoc_inherit_docstrings = False      # else what PIL and torch say of their methods is repeated here
python_maximum_signature_line_length = 100

HERE = Path(__file__).parent
PAGES = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "README.md": "index.md",
         "benchmarks/README.md": "benchmarks.md"}           # files outside `docs` that are a page of the site
MODULES = {module for page in (HERE / "api").glob("*.md") for module in re.findall(r"automodule:: (\S+)", page.read_text(encoding="utf-8"))}


STARS = ["vision.all", "tabular.all", "collab", "text.all", "timeseries.all"]


def first_line(obj):
    "What a table says of a name: the first sentence of its docstring, or the value of a constant."
    if not (inspect.isclass(obj) or inspect.isroutine(obj)):
        return f"`{str(obj)[:60]}`" if isinstance(obj, (str, int, float, tuple)) else ""
    text = " ".join((inspect.getdoc(obj) or "").split("\n\n")[0].split())
    end = re.search(r"(?<=[^. ][^. ])[.:](?= |$)", text)
    return (text[:end.start()] if end else text).replace("|", r"\|")


def names():
    "Tables of the public names, one for each import that brings them: what all star imports bring, then what each adds."
    common = importlib.import_module("minifast.basics")
    groups, seen = {"from minifast.basics import *": common}, set()
    groups |= {f"from minifast.{star} import *": importlib.import_module(f"minifast.{star}") for star in STARS}
    groups["from minifast.distributed import ..."] = importlib.import_module("minifast.distributed")
    for line, module in groups.items():
        rows = []
        for name in sorted(set(module.__all__) - seen, key=str.lower):
            obj = getattr(module, name)
            home = getattr(obj, "__module__", None) or ""
            if inspect.ismodule(obj) or not (home.startswith("minifast") or isinstance(obj, (str, int, float, tuple))):
                continue            # np, Path, resnet34: of other libraries
            code = f"{{py:obj}}`{name} <{home}.{getattr(obj, '__qualname__', name)}>`" if home in MODULES else f"`{name}`"
            rows.append(f"| {code} | {first_line(obj)} |")
            seen.add(name)
        yield f"## `{line}`\n\n| name | what |\n|---|---|\n" + "\n".join(rows)


def for_site(text, folder, name):
    """A page as the site has it. In the repository, too, its links work.

    Links to files outside `docs` lead to the pages made of them, and anchors are what Sphinx knows as targets.

    Args:
        text: Markdown.
        folder: where the file is, to which its links are relative.
        name: of the page in the site.
    """
    def link(found):
        target, _, anchor = found[2].partition("#")
        file = Path(os.path.normpath(folder / target))
        if "://" in target or not target or not file.is_relative_to(HERE.parent):
            return found[0]
        inside = file.relative_to(HERE.parent).as_posix()
        module = inside.removesuffix(".py").replace("/", ".")
        here = (HERE / name).parent
        if module in MODULES and with_source:
            page = os.path.relpath(HERE / "_modules" / f"{module.replace('.', '/')}.html", here)
            return f'<a href="{page}">{found[1].replace("`", "")}</a>'
        page = HERE / inside.removeprefix("docs/") if inside.startswith(("docs/", "nbs/")) else HERE / PAGES.get(inside, f"../{inside}")
        return f"[{found[1]}]({os.path.relpath(page, here)}{'#' + anchor if anchor else ''})"

    text = re.sub(r"(?<!!)\[([^\[\]]*)\]\(([^()\s]+)\)", link, text)
    return re.sub(r'^<a id="([\w-]+)"></a>$', r"(\1)=", text, flags=re.MULTILINE)


def set_up(page):
    "What the examples of a reference page take for granted, folded."
    for file in sorted(examples.FOLDER.glob(f"{page}*.md")):
        if file.stem.split("_")[0] == page:
            once, each = examples.read(file)[0]
            title = file.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
            yield (f"<details><summary>{title}: what they take for granted</summary>\n\n```python\n{once}```\n\nand before each:\n\n"
                   f"```python\n{each}```\n\n</details>\n\n")


def find_examples():
    "`{name with its module: lines of its example}`. One that many names share stands below the first of them."
    found = {}
    for file in sorted(examples.FOLDER.glob("*.md")):
        for names, text in examples.read(file)[1]:
            for name in names:
                lines = text.rstrip().split("\n") if len(names) < 7 or name == names[0] else [f"See the one of `{names[0]}`."]
                found |= dict.fromkeys(examples.full_names(name, file.stem), lines)
    return found


def copy_notebooks():
    "Bring `../nbs` to where Sphinx looks."
    (HERE / "nbs").mkdir(exist_ok=True)
    for file in (HERE.parent / "nbs").glob("*.ipynb"):
        book = json.loads(file.read_text(encoding="utf-8"))
        for cell in book["cells"]:
            if cell["cell_type"] == "markdown":
                text = for_site("".join(cell["source"]), file.parent, f"nbs/{file.name}")
                cell["source"] = re.sub(r"\]\(#[\w-]+\)", lambda link: link[0].lower(), text)      # Jupyter's anchors keep capitals
            for output in cell.get("outputs", []):
                if "text/html" in output.get("data", {}):           # reports link to the page of the checks
                    output["data"]["text/html"] = re.sub(r"docs/checks\.md#", "../checks.html#", "".join(output["data"]["text/html"]))
        text = json.dumps(book, ensure_ascii=False)
        copy = HERE / "nbs" / file.name
        if not copy.exists() or copy.read_text(encoding="utf-8") != text:           # else Sphinx would read it again
            copy.write_text(text, encoding="utf-8")
    for file in (HERE / "nbs").glob("*.ipynb"):
        if not (HERE.parent / "nbs" / file.name).exists():
            file.unlink()


def read(app, docname, content):
    "Adapt what is written for the repository, also in files that a page includes."
    if not (HERE / f"{docname}.md").exists():
        return
    folder = (HERE / docname).parent

    def included(found):
        file = Path(os.path.normpath(folder / found[1]))
        app.env.note_dependency(str(file))
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        return for_site("".join(lines[int(found[2] or 0):]), file.parent, docname)

    text = for_site(content[0], folder, docname)
    text = re.sub(r"^```{include} (\S+)\n(?::start-line: (\d+)\n)?```$", included, text, flags=re.MULTILINE)
    if docname.startswith("api/"):
        text = re.sub(r"^## ", lambda found: "".join(set_up(docname[4:])) + found[0], text, count=1, flags=re.MULTILINE)
    if "<!-- names -->" in text:
        text = text.replace("<!-- names -->", "\n\n".join(names()))
    content[0] = text


EXAMPLES = find_examples()


def docstring(app, what, name, obj, options, lines):
    "A docstring as Sphinx expects it, with the example of its name."
    if what == "module":
        lines[:] = obj.__doc__.splitlines()         # Sphinx takes away the indentation if everything but the first line has it
    lines[:] = to_rst(what, lines)
    if name in EXAMPLES:
        lines += ["", "Examples:", *(f"    {line}" for line in EXAMPLES[name])]


class Names(PythonDomain):
    """Sphinx's, which looks through all names for the end of each type that it does not know, such as `int` and `Tensor`: those are known
    by their last part."""

    _ends: tuple[int, set[str]] = (0, set())

    def find_obj(self, env, modname, classname, name, type, searchmode=0):
        if self._ends[0] != len(self.objects):
            self._ends = len(self.objects), {known.rpartition(".")[2] for known in self.objects}
        if name.removesuffix("()").rpartition(".")[2] not in self._ends[1]:
            return []
        return super().find_obj(env, modname, classname, name, type, searchmode)


#: The contents of each page, and its title alone.
CONTENTS = {}


def leave_titles(app, env):
    """Every page has a list of all pages, made of copies of their contents, of which it shows the titles. Without the rest, thousands of
    names of the reference, a page is written in a fifth of the time."""
    if app.builder.name == "html":
        for page, toc in env.tocs.items():
            if not any(toc.findall(addnodes.toctree)):
                CONTENTS[page] = toc, nodes.bullet_list("", *(nodes.list_item("", item[0].deepcopy()) for item in toc))
                env.tocs[page] = CONTENTS[page][1]


def before_page(app, doctree, page):
    "The page itself shows all its contents."
    if page in CONTENTS:
        app.env.tocs[page] = CONTENTS[page][0]


def after_page(app, page, template, context, doctree):
    if page in CONTENTS:
        app.env.tocs[page] = CONTENTS[page][1]


def setup(app):
    copy_notebooks()
    app.add_domain(Names, override=True)
    app.connect("source-read", read)
    app.connect("autodoc-process-docstring", docstring, priority=100)          # before napoleon sets out `Args:`
    app.connect("env-check-consistency", leave_titles)
    app.connect("doctree-resolved", before_page)
    app.connect("html-page-context", after_page, priority=900)              # when the theme has asked for the contents
