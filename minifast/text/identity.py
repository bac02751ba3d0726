"""What a tokenizer with its rules does, as a digest: where it is the same, texts need not be tokenised again."""
import hashlib
import re
import sys
import types
from collections.abc import Iterable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import PurePath
from typing import Any

import minifast


class Unknown(TypeError):
    "What an object does cannot be told from another."


def identity_of(x: Any) -> str | None:
    """A digest of objects and functions that changes with what they do: with their settings, their code, the globals that it uses, and the
    versions of the package that they come from, of the `libraries` that a class names, and of Python.

    Args:
        x: an object, or a list of several.

    Returns:
        None where it cannot be told, as of an object of a compiled extension.
    """
    try:
        described = sys.version_info.major, sys.version_info.minor, _described(x, [])
        return hashlib.sha256(repr(described).encode("utf-8", "surrogatepass")).hexdigest()
    except Unknown:
        return None


def _described(x: Any, seen: list) -> Any:
    "Nested tuples of text that say what `x` does; `seen`: the objects around it."
    if x is None or isinstance(x, (bool, int, float, str, bytes, PurePath)):
        return type(x).__name__, repr(x)
    if any(o is x for o in seen):
        return "again", next(i for i, o in enumerate(seen) if o is x)
    seen = [*seen, x]
    if isinstance(x, (list, tuple)):
        return type(x).__name__, *(_described(o, seen) for o in x)
    if isinstance(x, (set, frozenset)):
        return "set", *sorted(repr(_described(o, seen)) for o in x)
    if isinstance(x, dict):
        return "dict", *((_described(k, seen), _described(v, seen)) for k, v in x.items())
    if isinstance(x, re.Pattern):
        return "regex", x.pattern, x.flags
    if isinstance(x, partial):
        return "partial", *(_described(o, seen) for o in (x.func, x.args, x.keywords))
    if isinstance(x, types.MethodType):
        return "method", _described(x.__func__, seen), _described(x.__self__, seen)
    if isinstance(x, types.ModuleType):
        return _of_package(x.__name__)
    if isinstance(x, (type, types.FunctionType, types.BuiltinFunctionType, types.MethodDescriptorType)):
        return _of_code(x, seen)
    if hasattr(type(x), "__dict__") and hasattr(x, "__dict__"):
        ours = type(x).__module__.partition(".")[0] == minifast.__name__
        libraries = [_of_package(name) for name in getattr(type(x), "libraries", ())]
        return "object", _of_code(type(x), seen), libraries, *((k, _described(v, seen)) for k, v in sorted(vars(x).items())
                                                    if not (ours and k.startswith("_")))          # what was remembered
    raise Unknown


def _of_code(x, seen):
    "Of a function or class: its name and the version of its package; where that has none, as in a notebook, its code."
    module = getattr(x, "__module__", None) or "builtins"
    known = _of_package(module)
    if known[1] is not None or not isinstance(x, (type, types.FunctionType)):
        return known, x.__qualname__
    if isinstance(x, type):
        return x.__qualname__, *(_described(o, seen) for o in x.__bases__ if o is not object), \
            *((k, _described(getattr(v, "__func__", v), seen)) for k, v in sorted(vars(x).items()) if _is_content(k, v))
    used = [(n, x.__globals__[n]) for n in sorted(_names(x.__code__)) if n in x.__globals__]
    cells = [c.cell_contents for c in x.__closure__ or ()]
    return _bytes(x.__code__), *(_described(o, seen) for o in (x.__defaults__, x.__kwdefaults__, used, cells))


def _is_content(name, value):
    "Whether this entry of a class says what it does."
    return name not in ("__module__", "__doc__", "__qualname__", "__annotations__", "__firstlineno__", "__static_attributes__") and \
        not isinstance(value, (types.GetSetDescriptorType, types.MemberDescriptorType, property))


def _names(code):
    "The names that a code object and those within it look up."
    return {*code.co_names, *(n for c in code.co_consts if isinstance(c, types.CodeType) for n in _names(c))}


def _bytes(code):
    "The instructions and constants of a code object."
    return code.co_code.hex(), code.co_names, code.co_varnames, tuple(_bytes(c) if isinstance(c, types.CodeType) else repr(c)
                                                                     for c in code.co_consts)


def _of_package(module):
    "The package of a module, and its version; None where it has none."
    package = module.partition(".")[0]
    if package == minifast.__name__:
        return module, minifast.__version__
    if package in ("builtins", "re", "html", "string", "unicodedata", "functools", "itertools", "operator"):
        return module, "Python"
    try:
        return module, version(package)
    except (PackageNotFoundError, ValueError):
        return module, None


def content_digest() -> Any:
    "The digest that `add_content` adds to."
    return hashlib.blake2b(digest_size=20)


def add_content(digest: Any, texts: Iterable[str]) -> None:
    """Add texts to a digest; it depends on where one ends and the next begins.

    Args:
        digest: of `content_digest`.
        texts: the texts.
    """
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
