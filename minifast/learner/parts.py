"""Which classes and functions an exported learner may name: the tables of the rooms, and the public layers of torch.

Each room lists its own in `exportable.py`, a plain table `PARTS` from module to names. A part is called `room:Name`, those of others by
their package, such as `torch.nn:Linear`. Nothing else can be named in a file, and a file only ever causes the import of these modules.
"""
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import minifast

from ..core.items import L
from ..core.paths import Path


def _is_layer(o: Any) -> bool:
    import torch
    return isinstance(o, type) and issubclass(o, torch.nn.Module)


def _is_v2(o: Any) -> bool:
    from torchvision.transforms import v2
    return isinstance(o, type) and issubclass(o, v2.Transform)


def _is_function(o: Any) -> bool:
    return callable(o) and not isinstance(o, type)


#: Modules of others whose public names may be used, and which of them.
OTHERS: dict[str, Callable[[Any], bool]] = {
    "torch.nn": _is_layer, "torch.nn.functional": _is_function, "torchvision.transforms.v2": _is_v2}
#: Classes of Python and torch that are handed on as they are.
PLAIN: dict[str, Any] = {"Path": Path, "pathlib.Path": pathlib.Path, "str": str, "int": int, "float": float, "list": list, "tuple": tuple,
                         "dict": dict, "object": object, "L": L}


def _table(room: str) -> Mapping[str, str]:
    "The table of a room, empty where it has none; nothing else is imported of a room that is no room of minifast."
    there = room.isidentifier() and any((pathlib.Path(folder) / room / "exportable.py").is_file() for folder in minifast.__path__)
    return import_module(f"minifast.{room}.exportable").PARTS if there else {}


def _listed(room: str, table: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for module, names in table.items():
        for name in names.split():
            yield f"minifast.{room}.{module}", name, f"{room}:{name}"


def names_of_parts() -> dict[int, str]:
    "`{id of a class or function: its name}` of all parts whose modules are imported."
    found = {id(o): f"python:{name}" for name, o in PLAIN.items()}
    rooms = sorted({name.split(".")[1] for name in sys.modules if name.startswith("minifast.")})
    for room, table in ((room, _table(room)) for room in rooms):
        for module, name, full in _listed(room, table):
            if module in sys.modules:
                found.setdefault(id(getattr(sys.modules[module], name)), full)
    for module, fits in OTHERS.items():
        if module in sys.modules:
            public = {n: o for n, o in vars(sys.modules[module]).items() if not n.startswith("_")}
            found.update((id(o), f"{module}:{name}") for name, o in public.items() if callable(o) and fits(o))
    return found


def find_part(full: Any) -> Any:
    """The class or function called `full`.

    Raises:
        ValueError: there is none of that name.
    """
    home, _, name = full.partition(":") if isinstance(full, str) else ("", "", "")
    if home == "python" and name in PLAIN:
        return PLAIN[name]
    if home in OTHERS and name.isidentifier() and not name.startswith("_"):
        part = getattr(import_module(home), name, None)
        if part is not None and OTHERS[home](part):
            return part
    module = next((module for module, known, _ in _listed(home, _table(home)) if known == name), None)
    if module is not None:
        return getattr(import_module(module), name)
    raise ValueError(f"this version of minifast has no part called {full!r}")
