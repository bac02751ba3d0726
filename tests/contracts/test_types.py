"""Every public function, method and attribute is annotated; what may be None says so."""
import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "minifast"
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


def public(name):
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


def public_functions(tree, prefix=""):
    "(dotted name, node) of the public functions of a module and methods of its public classes; not of functions inside functions."
    for node in tree.body:
        if isinstance(node, FUNCTIONS) and public(node.name):
            yield prefix + node.name, node, bool(prefix)
        elif isinstance(node, ast.ClassDef) and public(node.name):
            yield from public_functions(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.If | ast.Try):
            yield from public_functions(node, prefix)


def unannotated(source):
    "What lacks an annotation, as a list of texts."
    found = []
    for name, node, in_class in public_functions(ast.parse(source)):
        static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
        a = node.args
        args = [*a.posonlyargs, *a.args]
        args = (args[1:] if in_class and not static else args) + a.kwonlyargs + [x for x in (a.vararg, a.kwarg) if x]
        found += [f"{name}({x.arg})" for x in args if x.annotation is None]
        if node.returns is None and node.name != "__init__":
            found.append(f"{name} -> ?")
        positional = zip((a.posonlyargs + a.args)[::-1], a.defaults[::-1], strict=False)
        for arg, default in [*positional, *zip(a.kwonlyargs, a.kw_defaults, strict=True)]:
            if isinstance(default, ast.Constant) and default.value is None and arg.annotation is not None:
                text = ast.unparse(arg.annotation)
                if not any(word in text for word in ("None", "Any", "object", "Optional", "Like")):
                    found.append(f"{name}({arg.arg}: {text} = None)")
    return found


FILES = list(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("room", sorted({f.relative_to(PACKAGE).parts[0] for f in FILES}))
def test_public_signatures_are_annotated(room):
    files = [f for f in FILES if f.relative_to(PACKAGE).parts[0] == room]
    missing = [f"{f.relative_to(PACKAGE)}: {m}" for f in files for m in unannotated(f.read_text())]
    assert missing == [], f"{len(missing)} without a type"


def test_the_test_sees_what_is_missing():
    assert unannotated("def f(x, y: int): ...") == ["f(x)", "f -> ?"]
    assert unannotated("class A:\n    def f(self, y: int = None) -> int: ...\n    def _g(self, z): ...") == ["A.f(y: int = None)"]
