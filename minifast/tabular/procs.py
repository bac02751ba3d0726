"""Procs: they encode categorical columns and fill and scale continuous ones. Each learns from the training rows alone and can be undone.

They run in the order of their `order`, whatever the order of the list: `FillMissing`, `Categorify`, `Normalize`.
"""
from collections.abc import Sequence
from copy import deepcopy
from typing import TypeAlias

from ..core.messages import describe
from .categorify import Categorify
from .numeric import FillMissing, FillStrategy, Normalize
from .table import Table, TabularProc, missing_text

__all__ = ["OWN_PROCS", "Categorify", "FillMissing", "FillStrategy", "Normalize", "Procs", "Table", "TabularProc", "as_procs",
           "missing_text"]

Procs: TypeAlias = TabularProc | type[TabularProc] | Sequence[TabularProc | type[TabularProc]]
"A proc, or a list of procs, each a class or an instance."

#: The procs of minifast; others are a user's.
OWN_PROCS = (Categorify, FillMissing, Normalize)


def as_procs(procs: Procs | None) -> list[TabularProc]:
    "`procs` as instances that nobody else holds, in the order in which they run."
    made = []
    for proc in [] if procs is None else procs if isinstance(procs, (list, tuple)) else [procs]:
        proc = proc() if isinstance(proc, type) and issubclass(proc, TabularProc) else deepcopy(proc)
        if not isinstance(proc, TabularProc):
            name = proc.__name__ if isinstance(proc, type) else type(proc).__name__
            raise TypeError(f"procs takes Categorify, FillMissing, Normalize or a TabularProc of your own; received {describe(proc)}"
                            + (". The Normalize of tables is minifast.tabular.all.Normalize" if name == "Normalize" else ""))
        made.append(proc)
    kinds = [type(p).__name__ for p in made]
    twice = sorted({k for k in kinds if kinds.count(k) > 1})
    if twice:
        raise ValueError(f"procs lists {', '.join(twice)} more than once")
    return sorted(made, key=lambda p: p.order)
