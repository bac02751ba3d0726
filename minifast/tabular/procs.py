"""Procs: they encode categorical columns and fill and scale continuous ones. Each learns from the training rows alone and can be undone.

They run in the order of their `order`, whatever the order of the list: `FillMissing`, `Categorify`, `Normalize`.
"""
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any, TypeAlias

from ..core.items import L
from ..core.messages import describe
from ..core.utilities import camel2snake
from .categorify import Categorify
from .numeric import FillMissing, FillStrategy, Normalize
from .table import Table, TabularProc, missing_text

__all__ = ["OWN_PROCS", "Categorify", "FillMissing", "FillStrategy", "FunctionProc", "Normalize", "ProcList", "Procs", "Table",
           "TabularProc", "as_procs", "missing_text"]

_Proc: TypeAlias = TabularProc | type[TabularProc] | Callable[[Table], Any]
Procs: TypeAlias = _Proc | Sequence[_Proc]
"A proc, or a list of procs, each a class, an instance, or a function that changes a `Table`."

#: The procs of minifast; others are a user's.
OWN_PROCS = (Categorify, FillMissing, Normalize)


class FunctionProc(TabularProc):
    """A function as a proc: it changes the columns of the `Table` it gets, and learns nothing.

    Args:
        f: the function; what it returns is None or the table. Its attribute `order`, if any, says when it runs.
    """

    def __init__(self, f: Callable[[Table], Any]):
        self.f, self.order = f, getattr(f, "order", 0)

    def encodes(self, table: Table) -> None:
        "Call the function."
        result = self.f(table)
        if result is not None and result is not table:
            raise TypeError(f"the function {self!r} among the procs returned {describe(result)}: it changes the columns of its table in "
                            "place, table['x'] = ..., and returns None or the table")

    def state_dict(self) -> dict[str, Any]:
        "Refused: a function cannot be stored."
        raise TypeError(f"the function {self!r} among the procs cannot be stored, so its table is not saved or exported: write a class "
                        "instead, `class MyProc(TabularProc)`, with the function as its method `encodes(self, table)`, with "
                        "`state_dict(self)` that returns {} and `load_state_dict(self, state)` that does nothing, and give MyProc to procs")

    def __repr__(self) -> str:
        return getattr(self.f, "__name__", repr(self.f))


class ProcList(list):
    """The procs of a table in the order in which they run.

    Each can be had by its name, `to.procs.categorify`, and so can what it learnt, `to.procs.means`.
    """

    def __init__(self, procs: Iterable[TabularProc] = ()):
        super().__init__(procs)

    @property
    def named(self) -> dict[str, TabularProc]:
        "`{name: proc}`, `categorify` for a `Categorify`."
        return {camel2snake(repr(p) if isinstance(p, FunctionProc) else type(p).__name__): p for p in self}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        named = self.named
        if name in named:
            return named[name]
        found = [getattr(p, name) for p in self if hasattr(p, name)]
        if not found:
            raise AttributeError(f"no proc of this table is, or has, {name!r}: they are {', '.join(named) or 'none'}. What is known of the "
                                 "target is in to.vocab and to.target")
        return found[0] if len(found) == 1 else L(found)

    def __reduce__(self) -> tuple:
        return ProcList, (list(self),)


def as_procs(procs: Procs | None) -> ProcList:
    """`procs` as instances that no other table holds, in the order in which they run.

    An instance is used itself, so that its owner can read what it learnt, by the first table that gets it; later ones get a copy.
    """
    made: list[TabularProc] = []
    for proc in [] if procs is None else procs if isinstance(procs, (list, tuple)) else [procs]:
        if isinstance(proc, type) and issubclass(proc, TabularProc):
            proc = proc()
        elif isinstance(proc, TabularProc):
            proc = deepcopy(proc) if proc.in_use else proc
        elif isinstance(proc, type) or not callable(proc) or hasattr(proc, "encodes"):
            name = proc.__name__ if isinstance(proc, type) else type(proc).__name__
            raise TypeError(f"procs takes Categorify, FillMissing, Normalize, a TabularProc of your own or a function of the table; "
                            f"received {describe(proc)}"
                            + (". The Normalize of tables is minifast.tabular.all.Normalize" if name == "Normalize" else ""))
        else:
            proc = FunctionProc(proc)
        made.append(proc)
    kinds = [type(p).__name__ for p in made if not isinstance(p, FunctionProc)]
    twice = sorted({k for k in kinds if kinds.count(k) > 1})
    if twice:
        raise ValueError(f"procs lists {', '.join(twice)} more than once")
    for proc in made:
        proc.in_use = True
    return ProcList(sorted(made, key=lambda p: p.order))
