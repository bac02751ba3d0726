"""fastai's module paths below `minifast.`: `from minifast.callback.fp16 import MixedPrecision` finds what stands elsewhere here.

A path that exists here too (`minifast.data.transforms`) keeps its own names and finds fastai's as well. A name that minifast does not have
raises ImportError with what to write instead.

The table of fastai's names is read at the first import below `minifast.`, so `import minifast` itself costs less.
"""
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from types import ModuleType
from typing import Any

PACKAGE = __name__.partition(".")[0]
#: Where a name is looked up: the lists of the star imports, that of the application of the path first, and all callbacks.
LISTS = ("vision.all", "tabular.all", "collab", "text.all", "callbacks")


def find(name: str, path: str) -> Any:
    """What fastai's `name` is here.

    Args:
        name: the name.
        path: the module path that it was asked of, such as 'tabular.core': names of tables are looked up there first.

    Raises:
        ImportError: minifast lacks this name of fastai's; says what to write instead.
        LookupError: fastai has no such name either.
    """
    from .fastai_names import TORCHVISION, WIDGETS, instead_of
    for module in sorted(LISTS, key=lambda m: m.split(".")[0] != path.split(".")[0]) if may_be_listed(name) else ():
        listed = import_module(f"{PACKAGE}.{module}")
        if name in listed.__all__:
            return getattr(listed, name)
    if name in TORCHVISION.split():
        return getattr(import_module("torchvision.models"), name)
    if name in WIDGETS.split():
        try:
            return getattr(import_module("ipywidgets"), name)
        except ModuleNotFoundError:
            raise ImportError(f"{name} is of ipywidgets: pip install \"minifast[notebook]\"", name=f"{PACKAGE}.{path}") from None
    sentence = instead_of(name)
    if sentence is None:
        raise LookupError(name)
    raise ImportError(f"cannot import name {name!r} from '{PACKAGE}.{path}': {sentence}", name=f"{PACKAGE}.{path}")


def may_be_listed(name: str) -> bool:
    """Whether a name may be one of the star imports: told by what stands in quotes in their files, for importing them takes seconds.

    Args:
        name: the name.
    """
    quoted = _quoted_names()
    return quoted is None or name in quoted


@cache
def _quoted_names():
    "What stands in quotes in the files of the star imports; None where a file cannot be read, as in an installation without sources."
    specs = [find_spec(f"{PACKAGE}.{module}") for module in ("basics", *LISTS)]
    sources = [spec.loader.get_source(spec.name) if hasattr(spec.loader, "get_source") else None for spec in specs]
    return None if None in sources else frozenset(re.findall(r'"(\w+)"', "".join(sources)))


@cache
def names_here() -> frozenset[str]:
    "fastai's names that exist here: those of the star imports, all callbacks, torchvision's networks, and the widgets of ipywidgets."
    from .fastai_names import TORCHVISION, WIDGETS
    return frozenset(f"{TORCHVISION} {WIDGETS}".split()).union(*(import_module(f"{PACKAGE}.{module}").__all__ for module in LISTS))


def names_of(path: str) -> list[str]:
    "The names that a star import of the module `path` brings, sorted: fastai's that exist here."
    from .fastai_names import MODULES, WIDGETS
    if not MODULES[path]:
        return sorted(import_module(f"{PACKAGE}.{'tabular' if path.startswith('tabular') else 'vision'}.all").__all__)
    here = names_here().intersection(MODULES[path].split())
    return sorted(here if find_spec("ipywidgets") else here.difference(WIDGETS.split()))


def _fallback(path: str, name: str) -> Any:
    "The `__getattr__` of a module of fastai's: see `find`; a name that nobody knows is an AttributeError, as in any module."
    if not name.startswith("_"):
        with suppress(LookupError):
            return find(name, path)
    raise AttributeError(f"module '{PACKAGE}.{path}' has no attribute {name!r}")


class _Path:
    "Makes a module of a path that only fastai has."

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        path = module.__name__.partition(".")[2]
        module.__doc__ = f"The names of fastai's `{path}` that minifast has."
        vars(module)["__getattr__"] = lambda name: names_of(path) if name == "__all__" else _fallback(path, name)


class _OwnModule(SourceFileLoader):
    "Loads a module of the package that has the path of one of fastai's: it finds fastai's names too, and a star import of it brings them."

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        path = module.__name__.partition(".")[2]
        from .fastai_names import MODULES
        if "__getattr__" in vars(module):
            return
        if not MODULES[path] or path in LISTS:              # fastai's packages define no names; a list of names is as it is
            vars(module)["__getattr__"] = partial(_fallback, path)
            return
        listed = vars(module).pop("__all__", None)

        def lookup(name: str) -> Any:
            if name != "__all__":
                return _fallback(path, name)
            own = [n for n in vars(module) if not n.startswith("_")] if listed is None else listed
            return sorted({*own, *names_of(path)})

        vars(module)["__getattr__"] = lookup


class FastaiPaths:
    "Finds fastai's module paths below the package, and adds fastai's names to modules of the same path."

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        package, _, below = fullname.partition(".")
        if package != PACKAGE or below.split(".")[0] in ("", "compat"):         # what is needed to answer
            return None
        from .fastai_names import MODULES
        if below not in MODULES:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None:
            loader: Any = _Path()                       # importlib.abc.Loader would cost the import of twenty modules
            return ModuleSpec(fullname, loader, is_package=any(m.startswith(f"{below}.") for m in MODULES))
        if isinstance(spec.loader, SourceFileLoader):
            spec.loader = _OwnModule(spec.loader.name, spec.loader.path)
        return spec


def install() -> None:
    """Put the finder first, so that it sees the modules that exist here too; importing other packages is left alone. One that is there
    from before the package was taken out of `sys.modules`, as people do after an update, goes."""
    ours = FastaiPaths.__module__, FastaiPaths.__qualname__
    sys.meta_path[:] = [FastaiPaths(), *(f for f in sys.meta_path if (type(f).__module__, type(f).__qualname__) != ours)]
