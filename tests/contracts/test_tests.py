"""Every test asserts something: a test function without an assertion passes when what it runs does nothing."""
import ast
from pathlib import Path

TESTS = Path(__file__).parents[1]
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
#: Calls that fail a test by themselves, by the end of their name.
ASSERTING = ("raises", "warns", "fail", "check_call", "gradcheck", "deprecated_call")


def name_of(call):
    "The last part of the name that a call calls: `b` of `a.b()`."
    f = call.func
    return f.attr if isinstance(f, ast.Attribute) else f.id if isinstance(f, ast.Name) else ""


def is_assertion(value):
    "Whether an expression is the name of an assert function, such as `torch.testing.assert_close`."
    name = value.attr if isinstance(value, ast.Attribute) else value.id if isinstance(value, ast.Name) else ""
    return name.startswith("assert_")


def functions_of(tree):
    return [n for n in ast.walk(tree) if isinstance(n, FUNCTIONS)]


def asserts(function, helpers):
    "Whether `function` asserts: itself, by a call that fails by itself, or by one of `helpers` (also a fixture, by its name)."
    for node in ast.walk(function):
        if isinstance(node, ast.Assert) or (isinstance(node, ast.Name) and node.id in helpers):
            return True
        if isinstance(node, ast.Call):
            name = name_of(node)
            checked = any(k.arg == "check" and ast.unparse(k.value) == "True" for k in node.keywords)       # subprocess.run
            if checked or name in ASSERTING or name.startswith("assert_"):
                return True
    return bool({a.arg for a in function.args.args} & helpers)


def asserting_helpers(trees):
    "The names of the functions of the tests' files that assert, directly or through each other, and the names given to assert functions."
    named = {target.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Assign)
             for target in node.targets if isinstance(target, ast.Name) and is_assertion(node.value)}
    functions = [f for tree in trees for f in functions_of(tree) if not f.name.startswith(("test_", "_"))]
    known = named
    while True:
        found = known | {f.name for f in functions if asserts(f, known)}
        if found == known:
            return known
        known = found


def without_assertion(source, helpers=frozenset()):
    "The names of the test functions in `source` that assert nothing."
    tree = ast.parse(source)
    helpers = helpers | asserting_helpers([tree])
    return [f.name for f in functions_of(tree) if f.name.startswith("test_") and not asserts(f, helpers)]


def test_every_test_asserts():
    files = {f: f.read_text() for f in sorted(TESTS.rglob("*.py"))}
    shared = asserting_helpers([ast.parse(s) for f, s in files.items() if not f.name.startswith("test_")])
    found = [f"{f.relative_to(TESTS)}: {name}" for f, s in files.items() if f.name.startswith("test_")
             for name in without_assertion(s, shared)]
    assert found == [], f"{len(found)} tests cannot fail unless something raises"


def test_no_comparison_is_made_for_nothing():
    "`assert_equal(a, b) and assert_equal(c, d)` never compares `c`: an assert function returns None."
    found = [f"{f.relative_to(TESTS)}:{n.lineno}: {ast.unparse(n)}" for f in sorted(TESTS.rglob("*.py"))
             for n in ast.walk(ast.parse(f.read_text())) if isinstance(n, ast.Expr) and isinstance(n.value, ast.BoolOp | ast.Compare)]
    assert found == []


def test_the_test_sees_what_asserts_nothing():
    assert without_assertion("def test_a():\n    load()\n") == ["test_a"]
    assert without_assertion("def test_a():\n    assert load()\n") == []
    assert without_assertion("def same(x):\n    assert x\n\ndef test_a():\n    same(load())\n") == []
    assert without_assertion("close = torch.testing.assert_close\n\ndef test_a():\n    close(load(), 1)\n") == []
    assert without_assertion("def test_a():\n    with pytest.raises(ValueError):\n        load()\n") == []
