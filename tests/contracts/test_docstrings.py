"""Docstrings in Google style, one parameter a line, for every name of the star imports and every public method of the main classes, and
every docstring is reStructuredText that the site can show."""
import ast
import importlib.util
import inspect
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

DOORS = ["minifast.vision.all", "minifast.tabular.all", "minifast.collab", "minifast.text.all", "minifast.timeseries.all"]
CLASSES = ["Learner", "DataLoaders", "DataLoader", "DataBlock", "Callback", "Transform", "ItemTransform", "RandTransform", "Pipeline"]
SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Attributes|Example|Examples|Source|Note):", re.M)


def own(value):
    return callable(value) and (getattr(value, "__module__", None) or "").split(".")[0] == "minifast"


def parameters(value):
    "The parameters that a docstring must set out: those of the function, or of the class's own `__init__`."
    if inspect.isclass(value):
        if "__init__" not in vars(value):
            return []
        value = value.__init__
    try:
        found = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in found if p.name not in ("self", "cls") and not p.name.startswith("_")]


def documented(doc):
    "The names under `Args:` and, of classes, `Attributes:`."
    names = []
    for section in re.findall(r"^(?:Args|Attributes):\n((?:[ ]+.*\n?|\n)*)", inspect.cleandoc(doc or "") + "\n", re.M):
        names += re.findall(r"^    (\*{0,2}\w+)(?:, \*{0,2}\w+)*(?: \([^)]*\))?:", section, re.M)
        for several in re.findall(r"^    ((?:\*{0,2}\w+, )+\*{0,2}\w+)(?: \([^)]*\))?:", section, re.M):
            names += several.split(", ")
    return {n.lstrip("*") for n in names}


def room(value):
    return value.__module__.split(".")[1]


def targets():
    "`{qualified name: object}` of everything that must be set out."
    found = {}
    for door in DOORS:
        module = importlib.import_module(door)
        for name in module.__all__:
            value = getattr(module, name)
            if own(value):
                found[f"{value.__module__}.{getattr(value, '__qualname__', name)}"] = value
                if name in CLASSES:
                    for method, f in vars(value).items():
                        f = f.__func__ if isinstance(f, (classmethod, staticmethod)) else f
                        if not method.startswith("_") and inspect.isfunction(f):
                            found[f"{value.__module__}.{name}.{method}"] = f
    return found


TARGETS = targets()


def faults(value):
    doc = value.__doc__ if not inspect.isclass(value) else vars(value).get("__doc__")
    missing = [p for p in parameters(value) if p not in documented(doc)]
    return ([] if doc else ["no docstring"]) + ([f"Args: lacks {', '.join(missing)}"] if missing else [])


@pytest.mark.parametrize("name", sorted({room(v) for v in TARGETS.values()}))
def test_parameters_are_set_out(name):
    bad = {n: f for n, v in TARGETS.items() if room(v) == name and (f := faults(v))}
    assert bad == {}, f"{len(bad)} docstrings"


def test_the_test_sees_a_missing_parameter():
    def f(x, y):
        """Do it.

        Args:
            x: shape (n,).
        """

    assert faults(f) == ["Args: lacks y"]


def written(source):
    "`(line, kind, docstring)` of all classes and functions."
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and (doc := ast.get_docstring(node)):
            yield node.body[0].lineno, "class" if isinstance(node, ast.ClassDef) else "function", doc


@cache
def of_site():
    "What turns docstrings into pages: `docs/docstrings.py`, the parser, and its settings: nothing is printed, nothing raised."
    if not (ROOT / "docs").exists():
        pytest.skip("there is no docs/ beside the tests")
    spec = importlib.util.spec_from_file_location("docstrings", ROOT / "docs" / "docstrings.py")
    docstrings = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docstrings)
    from docutils.frontend import get_default_settings
    from docutils.parsers.rst import Parser

    settings = get_default_settings(Parser)
    settings.report_level = settings.halt_level = 5
    return docstrings, Parser(), settings


def complaints(kind, doc):
    "What docutils says of a docstring that the site shows."
    pytest.importorskip("sphinx")
    from docutils.utils import new_document
    from sphinx.ext.napoleon import Config, GoogleDocstring

    docstrings, parser, settings = of_site()
    config = Config(napoleon_custom_sections=docstrings.SECTIONS)
    lines = GoogleDocstring(docstrings.to_rst(kind, doc.split("\n")), config, what=kind).lines()
    document, said = new_document("docstring", settings), []
    document.reporter.attach_observer(lambda message: said.append(message.astext()))
    parser.parse("\n".join(lines), document)
    return said


@pytest.mark.parametrize("room", sorted({p.relative_to(ROOT / "minifast").parts[0] for p in (ROOT / "minifast").rglob("*.py")}))
def test_the_site_can_show_each(room):
    folder = ROOT / "minifast" / room
    bad = {f"{file.relative_to(ROOT)}:{line}": said for file in ([folder] if folder.is_file() else sorted(folder.rglob("*.py")))
           for line, kind, doc in written(file.read_text(encoding="utf-8")) if (said := complaints(kind, doc))}
    assert bad == {}


def test_the_test_sees_what_sphinx_would_refuse():
    [(_, kind, doc)] = written('def f(x):\n    """Args:\n        x: a number\n            that is large.\n        y: another.\n    """')
    assert "Unexpected indentation" in complaints(kind, doc)[0]
