"""docs/tour.md leads to what it names: each link `Name` or `Class.name` is defined in the file it points to."""
import ast
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "tour.md"
LINK = re.compile(r"\[`([\w.]+)`\]\((\S+?\.py)\)")


def defines(tree, name):
    "Whether the class, function or assignment `name` (`Class.name` too; methods of base classes in the same file count) is in `tree`."
    first, _, rest = name.partition(".")
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == first:
            if not rest or defines(node, rest):
                return True
            bases = [b.id for b in getattr(node, "bases", []) if isinstance(b, ast.Name)]
            return any(defines(tree, f"{base}.{rest}") for base in bases)
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == first for t in node.targets):
            return not rest
    return False


def test_every_stop_exists():
    stops = LINK.findall(PAGE.read_text(encoding="utf-8"))
    assert len(stops) > 30
    trees = {file: ast.parse((PAGE.parent / file).read_text(encoding="utf-8")) for _, file in stops}
    assert [(name, file) for name, file in stops if not defines(trees[file], name)] == []


def test_one_screen_each():
    "Each of the three journeys fits on a screen: at most 30 lines."
    sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.M)[1:]
    assert [s.split("\n")[0] for s in sections] == ["A batch", "A learning rate", "A label"]
    assert all(s.rstrip().count("\n") <= 30 for s in sections)


def test_the_test_sees_a_wrong_name():
    tree = ast.parse("class A:\n    def f(self): ...\nclass B(A): ...\nx = 1\n")
    assert defines(tree, "A.f") and defines(tree, "B.f") and defines(tree, "x")
    assert not defines(tree, "A.g") and not defines(tree, "y") and not defines(tree, "x.f")
