"""What the procs work on, what they are, and what they make: `Table`, `TabularProc` and `Encoded`, from which batches are taken."""
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from functools import cached_property
from typing import Any
from weakref import ref

import numpy as np
import pandas as pd
import torch

from ..core.device import cpu_count
from ..core.keywords import KnowsKeywords
from ..core.messages import describe, did_you_mean, plural
from ..data.categories import CategoryMap
from .columns import THREADS_FROM, rows_of

__all__ = ["Encoded", "Table", "TabularProc", "missing_text"]

SMALL = 64 * 2**20          # bytes of a frame, text aside, that is worth keeping


class Table:
    """The columns of one frame while the procs change them in place.

    Args:
        cats: `{column: values}`, pandas Series, which `Categorify` turns into arrays of codes.
        conts: `{column: values}`, float64 arrays with NaN where a value is missing, which `Normalize` turns into float32.
        index: of the frame.
        train: mask of the rows to learn from; default: all.

    Attributes:
        train: a table of the rows to learn from, as of fastai's `to.train`: `table.train['age'].mean()`.
        train_mask: `train` as given.
        unseen: `{column: (count, example)}` of categories that training did not have.
        missing: `{column: count}` of missing values.
        unexpected: those of them in columns in which training had none.
    """

    def __init__(self, cats: Mapping[Any, Any], conts: Mapping[Any, np.ndarray], index: pd.Index, train: np.ndarray | None = None):
        self.cats, self.conts, self.index, self.train_mask = dict(cats), dict(conts), index, train
        self.unseen: dict[Any, tuple[int, Any]] = {}
        self.missing, self.unexpected = {}, {}
        self._kept, self._positions = {}, None if train is None else np.flatnonzero(train)

    def __len__(self) -> int:
        return len(self.index)

    def _group(self, name: Any) -> dict:
        for group in (self.cats, self.conts):
            if name in group:
                return group
        raise KeyError(f"the table has no column {name!r}{did_you_mean(name, [*self.cats, *self.conts]) or '.'} A proc sees the columns in "
                       "cat_names and cont_names, the target is not among them")

    def __getitem__(self, names: Any) -> Any:
        "A column as a Series, a list of columns as a DataFrame."
        if isinstance(names, list):
            return pd.DataFrame({name: self[name] for name in names}, index=self.index)
        return pd.Series(self._group(names)[names], index=self.index, name=names)

    def __setitem__(self, names: Any, values: Any) -> None:
        if isinstance(names, list):
            frame = self[names]
            frame[names] = values
            for name in names:
                self[name] = frame[name]
            return
        group = self._group(names)
        column = pd.Series(values, index=self.index, name=names) if not isinstance(values, pd.Series) else values.reindex(self.index)
        group[names] = column if group is self.cats and isinstance(self.cats[names], pd.Series) else \
            column.to_numpy(dtype=group[names].dtype)

    @property
    def cat_names(self) -> list:
        "The names of the categorical columns."
        return list(self.cats)

    @property
    def cont_names(self) -> list:
        "The names of the continuous columns."
        return list(self.conts)

    @property
    def train(self) -> "Table":
        "The rows to learn from."
        if self._positions is None:
            return self
        cats = {name: v.iloc[self._positions] if isinstance(v, pd.Series) else v[self._positions] for name, v in self.cats.items()}
        return Table(cats, {name: self.training(v) for name, v in self.conts.items()}, self.index[self._positions])

    def transform(self, names: Any, f: Callable[[pd.Series], Any]) -> None:
        "Put `f(column)` in the place of each of the columns `names`."
        for name in names if isinstance(names, list) else [names]:
            self[name] = f(self[name])

    def training(self, values: np.ndarray) -> np.ndarray:
        "The training rows of an array."
        return values if self._positions is None else values.take(self._positions)        # much faster than the mask

    def once(self, f: Callable[[Any], Any], columns: Mapping[Any, Any], name: Any) -> Any:
        "`f(columns[name])`, kept for the next step or proc that asks while the column stays as it is."
        # of a method its function and the id of its owner: one of this table itself would keep the table alive
        values, key = columns[name], (getattr(f, "__func__", f), id(getattr(f, "__self__", None)), name)
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


class Encoded:
    """Processed columns of all rows of a table, which its splits share.

    Args:
        index: labels of the rows.
        cat_names, cont_names: names of the columns.
        codes: int64 (n, categorical columns); None where the categories were not encoded.
        numbers: float32 or float64 (n, continuous columns).
        targets: encoded targets, (n,) or (n, k).
        raw_cats: the categories as they came, where they were not encoded.
        keeper: what must live as long as the arrays.

    Attributes:
        source: returns the frame that the rows came from, for checks; None where it is gone.
    """

    source: Callable[[], pd.DataFrame | None] = staticmethod(lambda: None)

    def __init__(self, index: pd.Index, cat_names: list, cont_names: list, codes: np.ndarray | None, numbers: np.ndarray,
                 targets: np.ndarray | None = None, raw_cats: pd.DataFrame | None = None, keeper: object = None):
        self.index, self.cat_names, self.cont_names, self.keeper = index, cat_names, cont_names, keeper
        self.codes, self.numbers, self.targets, self.raw_cats = codes, numbers, targets, raw_cats
        self._tensors: dict[str, tuple[torch.Tensor, ...]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k != "source"}

    def keep_source(self, frame: pd.DataFrame) -> None:
        "Keep the frame that the rows came from, as it is now, if it is small; of a large one a weak reference."
        small = frame.copy(deep=False) if frame.memory_usage().sum() <= SMALL else None         # without a copy of its columns
        self.source = ref(frame) if small is None else lambda: small

    @classmethod
    def of_table(cls, table: Table, with_codes: bool, dtype: type) -> "Encoded":
        "The columns of a `Table` that the procs are done with; with_codes: its categories are codes; dtype: of the numbers."
        return cls(table.index, list(table.cats), list(table.conts), _stacked(table, table.cats, np.int64) if with_codes else None,
                   _stacked(table, table.conts, dtype), None, None if with_codes else pd.DataFrame(table.cats, index=table.index))

    @classmethod
    def of_tensors(cls, like: "Encoded", codes: torch.Tensor, numbers: torch.Tensor | None, targets: torch.Tensor | None) -> "Encoded":
        "Other rows of the same columns, from the tensors of a batch."
        n = len(codes)
        return cls(pd.RangeIndex(n), like.cat_names, like.cont_names, codes.numpy(),
                   np.zeros((n, 0), dtype=np.float32) if numbers is None else numbers.numpy(), None if targets is None else targets.numpy())

    @classmethod
    def without_rows(cls, cat_names: list, cont_names: list) -> "Encoded":
        "The columns alone."
        return cls(pd.RangeIndex(0), cat_names, cont_names, np.zeros((0, len(cat_names)), dtype=np.int64),
                   np.zeros((0, len(cont_names)), dtype=np.float32))

    def tensors(self, device: torch.device | str, with_cont: bool) -> tuple[torch.Tensor, ...]:
        "`(codes, numbers, targets)` on `device`, where they stay; without targets there are two, without `with_cont` no numbers."
        device = torch.device(device)
        if "cpu" not in self._tensors:
            if self.codes is None and self.cat_names:
                raise ValueError(f"the categories {self.cat_names[:5]} are no codes yet: a network needs procs=[Categorify, ...]")
            codes = np.zeros((len(self.index), 0), dtype=np.int64) if self.codes is None else self.codes
            with np.errstate(over="ignore"):
                numbers = self.numbers.astype(np.float32, copy=False)
                if numbers.size and not np.isfinite(numbers.sum()):
                    self.check_finite(numbers)
            # ratings, which come without numbers, have the shape (n,) of their predictions
            y = self.targets if with_cont or self.targets is None else self.targets.reshape(-1)
            arrays = [codes, *([numbers] if with_cont else []), *([] if y is None else [y])]
            self._tensors["cpu"] = tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in arrays)
        key = "cpu" if device.type == "cpu" else str(device)
        if key not in self._tensors:
            self._tensors[key] = tuple(t.to(device) for t in self._tensors["cpu"])
        return self._tensors[key]

    def check_finite(self, numbers: np.ndarray) -> None:
        "Refuse float32 numbers (n, continuous columns) that are missing or infinite."
        for is_bad, what in ((np.isnan, "missing values, which a network cannot take: {}. Add FillMissing to procs"),
                             (np.isinf, "values too large for float32: {}. Clip them, or take their logarithm")):
            bad = [(n, is_bad(numbers[:, j])) for j, n in enumerate(self.cont_names) if is_bad(numbers[:, j]).any()]
            if bad:
                index = self.index if len(self.index) == len(numbers) else pd.RangeIndex(len(numbers))
                shown = "; ".join(f"{n!r} in {plural(int(m.sum()), 'row')} ({rows_of(index, m, 3)})" for n, m in bad)
                raise ValueError(f"continuous columns have {what.format(shown)}")


def _stacked(table: Table, columns: Mapping[Any, np.ndarray], dtype: type) -> np.ndarray:
    "Columns side by side as one array with a row per row, filled block by block so that a block stays in the cache."
    out = np.empty((len(table), len(columns)), dtype=dtype)

    def fill(start: int) -> None:
        for i in range(start, min(start + 65_536, len(table)), 2048):
            for j, column in enumerate(columns.values()):
                out[i:i + 2048, j] = column[i:i + 2048]

    table.each(fill, range(0, len(table), 65_536))
    return out


def beside(*frames: pd.DataFrame) -> pd.DataFrame:
    "Frames side by side, without those that have no columns."
    found: Sequence[pd.DataFrame] = [f for f in frames if f.shape[1]] or frames[:1]
    return found[0] if len(found) == 1 else pd.concat(found, axis=1)


class TabularProc(KnowsKeywords):
    """A step of processing: `setups` learns from `table.train`, `encodes` changes the `Table` in place, `decodes` undoes it.

    They read and write columns as of a frame, `table['age'] = np.log1p(table['age'])`, or in the dicts `table.cats` and `table.conts`.

    `encodes_row(cats, conts)` does the same for one row, two dicts of Python values; without it, `predict` of a single row takes the
    slower way through a frame of one row. To save the table, name the attributes that hold what was learnt in `stored`, or override
    `state_dict` and `load_state_dict`.
    """

    order: float = 0
    stored: tuple[str, ...] = ()        #: attributes that `state_dict` holds: plain values, and dicts of them
    encodes_row: Callable[..., None] | None = None
    in_use = False                      #: whether a table holds this instance

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
