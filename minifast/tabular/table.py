"""What the procs work on and what they are: `Table`, the columns being processed, and `TabularProc`, a step of the processing."""
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from ..core.device import cpu_count
from ..core.messages import describe
from ..data.categories import CategoryMap
from .factorize import THREADS_FROM

__all__ = ["Table", "TabularProc", "missing_text"]


class Table:
    """The columns of one frame while the procs change them in place.

    Args:
        cats: `{column: values}`, pandas Series, which `Categorify` turns into arrays of codes.
        conts: `{column: values}`, float64 arrays with NaN where a value is missing, which `Normalize` turns into float32.
        index: of the frame.
        train: mask of the rows to learn from; default: all.

    Attributes:
        unseen: `{column: (count, example)}` of categories that training did not have.
        missing: `{column: count}` of missing values.
        unexpected: those of them in columns in which training had none.
    """

    def __init__(self, cats: Mapping[Any, Any], conts: Mapping[Any, np.ndarray], index: pd.Index, train: np.ndarray | None = None):
        self.cats, self.conts, self.index, self.train = dict(cats), dict(conts), index, train
        self.unseen: dict[Any, tuple[int, Any]] = {}
        self.missing, self.unexpected = {}, {}
        self._kept, self._positions = {}, None if train is None else np.flatnonzero(train)

    def __len__(self) -> int:
        return len(self.index)

    def training(self, values: np.ndarray) -> np.ndarray:
        "The training rows of an array."
        return values if self.train is None else values.take(self._positions)        # much faster than the mask

    def once(self, f: Callable[[Any], Any], columns: Mapping[Any, Any], name: Any) -> Any:
        "`f(columns[name])`, kept for the next step or proc that asks while the column stays as it is."
        values, key = columns[name], (f.__qualname__, name)         # `f` itself, a method of this table, would keep the table alive
        if self._kept.get(key, (None,))[0] is not values:
            self._kept[key] = values, f(values)
        return self._kept[key][1]

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        "One pool for all steps, which ends with the table. Measured (300,000 rows): 7 % of processing, against a pool for each step."
        return ThreadPoolExecutor(min(4, cpu_count()))

    def each(self, f: Callable[[Any], Any], names: Iterable) -> dict[Any, Any]:
        "`{name: f(name)}`, in several threads where the table is long."
        names = list(names)
        apply = map if len(self) < THREADS_FROM or len(names) < 2 or cpu_count() < 2 else self._threads.map
        return dict(zip(names, apply(f, names), strict=True))


class TabularProc:
    """A step of processing: `setups` learns from `table.train`, `encodes` changes the `Table` in place, `decodes` undoes it.

    `encodes_row(cats, conts)` does the same for one row, two dicts of Python values; without it, `predict` of a single row takes the
    slower way through a frame of one row. To save the table, name the attributes that hold what was learnt in `stored`, or override
    `state_dict` and `load_state_dict`.
    """

    order: float = 0
    stored: tuple[str, ...] = ()        #: attributes that `state_dict` holds: plain values, and dicts of them
    encodes_row: Callable[..., None] | None = None

    def setups(self, table: Table) -> Any:
        "Override: learn from the training rows."

    def encodes(self, table: Table) -> None:
        "Override: change the columns."

    def decodes(self, table: Table) -> None:
        "Override: undo it, as far as showing the table needs it."

    def state_dict(self) -> dict[str, Any]:
        "What was learnt, as numbers and strings in dicts and lists: the attributes named in `stored`."
        if not self.stored:
            raise TypeError(f"state_dict: {self!r} is a proc of your own; give it `state_dict()`, a dict of numbers and strings, and "
                            "`load_state_dict(state)`, or `stored = (names of attributes,)`")
        return {name: to_plain(getattr(self, name), name) for name in self.stored}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        "Restore what `state_dict` returned."
        if not self.stored:
            raise TypeError(f"load_state_dict: {self!r} is a proc of your own; give it `load_state_dict(state)`")
        for name in self.stored:
            setattr(self, name, from_plain(state[name]))

    def __repr__(self) -> str:
        return type(self).__name__


def missing_text(unexpected: Mapping[Any, int]) -> str:
    "A warning of missing values in columns that had none in training."
    return ("missing values in columns that had none in training: "
            + ", ".join(f"{name!r} has {n:,}" for name, n in unexpected.items()))


# -- what was learnt, as values that a checkpoint can store: text and numbers as they are, times as text ----------------------------------
_READ = {"timestamp": pd.Timestamp, "timedelta": pd.Timedelta, "date": date.fromisoformat, "datetime": datetime.fromisoformat}


def to_plain(value: Any, name: Any) -> Any:
    """`value` as it is stored: a dict as a list of pairs, because names of columns need not be text, a vocabulary as a list.

    Args:
        value: what was learnt.
        name: of the column or attribute, for messages.
    """
    if isinstance(value, dict):
        return [[k, to_plain(v, k)] for k, v in value.items()]
    if isinstance(value, CategoryMap):
        return [to_plain(v, name) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (pd.Timestamp, pd.Timedelta, datetime, date)):
        return {type(value).__name__.lower(): value.isoformat()}
    raise TypeError(f"state_dict: column {name!r} has a category that cannot be stored, {describe(value)}: make it text or a number")


def from_plain(saved: Any) -> Any:
    "What `to_plain` stored: a list of pairs as a dict."
    return dict(map(tuple, saved)) if isinstance(saved, list) else saved


def vocab_from_plain(saved: Iterable, add_na: bool) -> CategoryMap:
    "The vocabulary that `to_plain` stored."
    def value(o: Any) -> Any:
        return next(_READ[kind](text) for kind, text in o.items()) if isinstance(o, dict) else o

    return CategoryMap.of_unique(map(value, saved), add_na=add_na)
