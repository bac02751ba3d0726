"""Docstrings in Google style, one parameter a line, for every name of the star imports and every public method of the main classes."""
import importlib
import inspect
import re

import pytest

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
