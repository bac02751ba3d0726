"""Procs: from the columns of a frame to codes and numbers. Each learns from the training rows alone and can be undone.

They run in the order of their `order`, whatever the order of the list: `FillMissing`, `Categorify`, `Normalize`.
"""
from copy import deepcopy

from ..core.messages import describe
from .categorify import Categorify
from .numeric import FillMissing, FillStrategy, Normalize
from .table import Table, TabularProc, missing_text

__all__ = ["Categorify", "FillMissing", "FillStrategy", "Normalize", "Table", "TabularProc", "as_procs", "missing_text"]


def as_procs(procs):
    "A list of procs, classes or instances, as own instances in the order in which they run."
    procs = [] if procs is None else list(procs) if isinstance(procs, (list, tuple)) else [procs]
    made = []
    for proc in procs:
        proc = proc() if isinstance(proc, type) and issubclass(proc, TabularProc) else deepcopy(proc)
        if not isinstance(proc, TabularProc):
            raise TypeError(f"procs takes Categorify, FillMissing, Normalize or a TabularProc of your own; received {describe(proc)}"
                            + _other_normalize(proc))
        made.append(proc)
    kinds = [type(p).__name__ for p in made]
    twice = sorted({k for k in kinds if kinds.count(k) > 1})
    if twice:
        raise ValueError(f"procs lists {', '.join(twice)} more than once")
    return sorted(made, key=lambda p: p.order)


def _other_normalize(proc):
    name = proc.__name__ if isinstance(proc, type) else type(proc).__name__
    return ". The Normalize of tables is minifast.tabular.all.Normalize" if name == "Normalize" else ""
