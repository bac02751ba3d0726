"""Every module is in a room and imports only its own and lower rooms; no circles; stars only in `all.py`."""
import ast
import functools
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "minifast"

#: The rooms, from the ground up. Those of one line stand side by side and do not import each other, except those of `BESIDE`.
ROOMS = [
    "core",
    "nn sources",
    "optim metrics",
    "data callbacks",
    "learner",
    "interpret ensemble checks distributed",
    "basics",
    "vision tabular collab text timeseries",
    "compat",
    "cli",
]
#: Rooms of one line of which the first may import the second.
BESIDE = {("checks", "interpret"), ("checks", "ensemble"), ("collab", "tabular")}
#: The verbs of `Learner` and `DataLoaders` whose work is done above them: (importer, imported), each inside one method.
UPWARD = {("learner.learner", "checks.check_learner"), ("learner.learner", "checks.learner.speed"),
          ("learner.learner", "checks.learner_report"), ("learner.learner", "checks.plan"), ("learner.learner", "checks.speedup.adviser"),
          ("data.loaders", "checks.check_loaders")}
#: The front doors, which hand on names of every room.
DOORS = {"__init__", "__main__"}


@functools.cache
def modules():
    "`{dotted name: file}`; a folder goes by its own name, which stands for its `__init__.py`."
    found = {}
    for f in PACKAGE.rglob("*.py"):
        parts = f.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)] = f
    return found


def room_of(module):
    return module.split(".")[0]


def height_of(module):
    "The number of the line of `ROOMS` that holds the module's room, or None."
    return next((i for i, rooms in enumerate(ROOMS) if room_of(module) in rooms.split()), None)


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text())


def imports_of(module, path):
    "The minifast modules that `module` imports anywhere, also inside functions, but not those for type checkers alone."
    known, for_types = modules().keys(), set()
    package = module.split(".") if path.name == "__init__.py" and module != "__init__" else module.split(".")[:-1]
    found, tree = set(), tree_of(path)
    nodes = list(ast.walk(tree))
    for block in nodes:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            for_types.update(node for statement in block.body for node in ast.walk(statement))
    for node in nodes:
        if node in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[:len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "minifast":
            base = node.module.split(".")[1:]
        elif isinstance(node, ast.Import):
            found |= {a.name.partition(".")[2] for a in node.names if a.name.startswith("minifast.")} & known
            continue
        else:
            continue
        for alias in node.names:
            for target in (".".join([*base, alias.name]), ".".join(base)):
                if target in known:
                    found.add(target)
                    break
    return found - {module}


@functools.cache
def graph():
    return {m: imports_of(m, f) for m, f in modules().items() if m not in DOORS}


def points_down(importer, imported):
    if room_of(importer) == room_of(imported) or (room_of(importer), room_of(imported)) in BESIDE:
        return True
    return height_of(importer) > height_of(imported)


def test_every_module_is_in_a_room():
    assert [m for m in graph() if height_of(m) is None] == []


def test_every_room_exists():
    assert sorted(room for rooms in ROOMS for room in rooms.split()) == sorted({room_of(m) for m in graph()})


def test_imports_point_down():
    assert [(m, d) for m, deps in graph().items() for d in deps if not points_down(m, d) and (m, d) not in UPWARD] == []


def test_the_named_verbs_are_the_only_exemption_and_are_used():
    assert [(m, d) for m, d in UPWARD if d not in graph()[m]] == []
    for module, _ in UPWARD:
        assert module in ("learner.learner", "data.loaders")


def test_no_circles():
    done, path = set(), []

    def visit(module):
        assert module not in path, "circle: " + " -> ".join([*path[path.index(module):], module])
        if module in done:
            return
        path.append(module)
        for dep in graph()[module]:
            if (module, dep) not in UPWARD:
                visit(dep)
        path.pop()
        done.add(module)

    for module in graph():
        visit(module)


def test_stars_only_in_all():
    for module, path in modules().items():
        stars = [n for n in ast.walk(tree_of(path)) if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"]
        assert not stars or path.name == "all.py", module


def test_the_test_sees_a_wrong_import(tmp_path):
    bad = tmp_path / "messages.py"
    bad.write_text("from ..learner.learner import Learner\nimport minifast.data.block\n")
    assert imports_of("core.messages", bad) == {"learner.learner", "data.block"}
    assert not points_down("core.messages", "learner.learner")
