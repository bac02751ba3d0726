"""No module reads an underscore attribute of an object that it did not define, ours or another library's."""
import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "minifast"
#: Underscore names that Python documents as public (collections.namedtuple).
PUBLIC = {"_replace", "_fields", "_asdict", "_make"}


def own_names(tree):
    "The underscore names that a module defines: functions, classes, methods, class attributes and attributes set on `self`."
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
            names.add(node.attr)
    return names


def is_self(node):
    return (isinstance(node, ast.Name) and node.id in ("self", "cls")) or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super")


def reaches(source):
    "Each `object._name` (also by getattr, setattr, hasattr and vars) in `source` whose name is not the module's own: [(line, text)]."
    tree = ast.parse(source)
    own, found = own_names(tree) | PUBLIC, []
    for node in ast.walk(tree):
        name = None
        if isinstance(node, ast.Attribute) and not is_self(node.value):
            name = node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "setattr", "hasattr"):
            if len(node.args) > 1 and isinstance(node.args[1], ast.Constant) and not is_self(node.args[0]):
                name = str(node.args[1].value)
        elif isinstance(node, ast.ImportFrom):
            found += [(node.lineno, f"import {a.name}") for a in node.names if private(a.name)]
        if name is not None and private(name) and name not in own:
            found.append((node.lineno, ast.unparse(node)))
    return found


def private(name):
    return name.startswith("_") and not name.startswith("__")


FILES = [f for f in PACKAGE.rglob("*.py") if not f.name.endswith("_internals.py")]


@pytest.mark.parametrize("room", sorted({f.relative_to(PACKAGE).parts[0] for f in FILES}))
def test_nothing_reaches_into_another_object(room):
    files = [f for f in FILES if f.relative_to(PACKAGE).parts[0] == room]
    assert [f"{f.relative_to(PACKAGE)}:{line}: {text}" for f in files for line, text in reaches(f.read_text())] == []


def test_private_names_of_other_libraries_stand_in_files_that_say_what_they_are_worth():
    files = list(PACKAGE.rglob("*_internals.py"))
    for f in files:
        doc = ast.get_docstring(ast.parse(f.read_text()))
        assert doc and "Measured" in doc and "allback" in doc, f"{f.name} must say what was measured, and what the fallback is"
        assert "from ." not in f.read_text(), f"{f.name} wraps another library's private names and knows nothing of ours"


def test_the_test_sees_a_reach():
    assert reaches("def f(loader):\n    return loader._fetcher\n") == [(2, "loader._fetcher")]
    assert reaches("def f(o):\n    return getattr(o, '_x', None)\n") == [(2, "getattr(o, '_x', None)")]
    assert reaches("from .a import _b\n") == [(1, "import _b")]
    assert reaches("class A:\n    def __init__(self):\n        self._x = 1\n    def f(self, other):\n        return other._x\n") == []
