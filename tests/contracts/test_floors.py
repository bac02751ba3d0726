"""Every module is on a floor and imports only its own and lower floors; no circles; stars only in `all.py`."""
import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "minifast"

FLOORS = {
    0: "messages items nested device seeds guarded course plots layers layers_base head_outputs model_info allocator",
    1: "callback schedule groups optim steppers lookahead losses losses_known metrics metrics_base metrics_sklearn hooks transform "
       "checkpoint progress freezing",
    2: "data.* callbacks.* loop_state",
    3: "inference learner saving vocabularies parts memory",
    4: "ensemble.* search checks.* interpret.* first_guess",
    5: "vision.* tabular.* collab basics demo doctor __main__",
}
#: Imports that point upwards on purpose, inside one function each: (importer, imported).
UPWARD = {("transform", "vision.torchvision_v2"), ("inference", "vision.tta_geometry"), ("learner", "checks.learner"),
          ("learner", "first_guess"), ("learner", "checks.speed"), ("data.loaders", "checks.loaders")}


def modules():
    return {".".join(f.relative_to(PACKAGE).with_suffix("").parts): f for f in PACKAGE.rglob("*.py") if f.name != "__init__.py"}


def floor_of(module):
    for floor, names in FLOORS.items():
        for name in names.split():
            if module == name or (name.endswith(".*") and module.startswith(name[:-1])):
                return floor
    return None


def imports_of(module, path):
    "The minifast modules that `module` imports anywhere, also inside functions."
    known, package = modules(), module.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[:len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "minifast":
            base = node.module.split(".")[1:]
        else:
            continue
        for alias in node.names:
            for target in (".".join([*base, alias.name]), ".".join(base)):
                if target in known:
                    found.add(target)
                    break
    return found - {module}


GRAPH = {m: imports_of(m, f) for m, f in modules().items()}


def test_every_module_has_a_floor():
    assert [m for m in GRAPH if floor_of(m) is None] == []


def test_imports_point_down():
    wrong = [(m, d) for m, deps in GRAPH.items() for d in deps if floor_of(d) > floor_of(m) and (m, d) not in UPWARD]
    assert wrong == []


def test_upward_list_is_used():
    assert [(m, d) for m, d in UPWARD if d not in GRAPH[m]] == []


def test_callbacks_and_data_do_not_know_each_other():
    wrong = [(m, d) for m, deps in GRAPH.items() for d in deps
             if {m.split(".")[0], d.split(".")[0]} == {"callbacks", "data"}]
    assert wrong == []


def test_no_circles():
    done, path = set(), []

    def visit(module):
        assert module not in path, "circle: " + " -> ".join([*path[path.index(module):], module])
        if module in done:
            return
        path.append(module)
        for dep in GRAPH[module]:
            if (module, dep) not in UPWARD:
                visit(dep)
        path.pop()
        done.add(module)

    for module in GRAPH:
        visit(module)


def test_stars_only_in_all():
    for module, path in modules().items():
        stars = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom) and n.names[0].name == "*"]
        assert not stars or path.name == "all.py", module


def test_the_test_sees_a_wrong_import(tmp_path):
    bad = tmp_path / "messages.py"
    bad.write_text("from .learner import Learner\n")
    assert imports_of("messages", bad) == {"learner"}
