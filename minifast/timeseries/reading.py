"""`ReadSeries`: from what holds a series (a row of a table, an array) to a `TensorSeries`. `ReadColumns`: from columns of a table of items
to targets. Both read the items of a dataset all at once. What is taken for series is (samples, channels, steps), or a list of series of
several lengths; anything else is refused."""
from collections.abc import Sequence
from typing import Any
from warnings import warn

import numpy as np
import pandas as pd
import torch

from ..core.messages import describe, listing, plural
from ..data.labels import ColReader, column_names
from ..data.rows import Rows, as_pandas
from ..data.transforms import ItemTransform
from .missing import FillSteps, find_missing, refuse_missing, without_missing
from .store import EqualSeries, SeriesAt, SeriesStore, UnequalSeries, as_float32, is_on_disk, joined_stores
from .tensors import TensorSeries

LAYOUT = ("expected (samples, channels, steps), or (samples, steps) of one channel, or a list of series (channels, "
          "steps) of any length")


def as_store(X: Any, where: str = "X") -> SeriesStore:
    """Series in the layout that a loader reads.

    Args:
        X: an array or tensor (samples, channels, steps) or (samples, steps), or a list of series, (channels, steps) or (steps,) each.
            Arrays that are a view of a file (`np.memmap`) stay on disk.
        where: what to call it in a message.

    Raises:
        TypeError: it holds no numbers.
        ValueError: it has another shape.
    """
    if isinstance(X, SeriesStore):
        return X
    if hasattr(X, "iloc"):
        raise TypeError(f"{where} is a table, {describe(X)}: write TSDataLoaders.from_df(df, ...), or give its numbers, X.to_numpy()")
    if isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1):
        return _of_list(list(X), where)
    X = as_array(X, where)
    if X.ndim not in (2, 3):
        raise ValueError(f"{where} has the shape {X.shape}: {LAYOUT}" + _advice(X, where))
    X = X[:, None] if X.ndim == 2 else X
    if 0 in X.shape:
        raise ValueError(f"{where} holds nothing: {plural(X.shape[0], 'sample')} of {plural(X.shape[1], 'channel')} and "
                         f"{plural(X.shape[2], 'step')}; {LAYOUT}")
    n, channels, steps = X.shape
    if steps <= 12 and channels > 8 * steps:
        warn(f"{where} of shape {X.shape} is read as {n:,} samples of {channels:,} channels and only {plural(steps, 'step')}. If it is "
             "(samples, steps, channels), write X.transpose(0, 2, 1)", stacklevel=4)
    return EqualSeries([X if is_on_disk(X) else as_float32(X, where)])


def _advice(X, where):
    if X.ndim == 1:
        return f". Of one series write {where}[None]; to cut it into windows write SlidingWindows"
    return f". Join axes, {where}.reshape(len({where}), -1, {where}.shape[-1])" if X.ndim > 3 else ""


def _of_list(series, where):
    "A store of series in a list."
    if not series:
        raise ValueError(f"{where} is an empty list; {LAYOUT}")
    arrays = [as_array(x, f"{where}[{i}]") for i, x in enumerate(series)]
    odd = next((i for i, a in enumerate(arrays) if a.ndim not in (1, 2)), None)
    if odd is not None:
        raise ValueError(f"{where}[{odd}] has the shape {arrays[odd].shape}: each series of a list is (channels, steps), or (steps,) of "
                         "one channel")
    arrays = [a[None] if a.ndim == 1 else a for a in arrays]
    empty = [i for i, a in enumerate(arrays) if 0 in a.shape]
    if empty:
        raise ValueError(f"{plural(len(empty), 'series') if len(empty) == 1 else f'{len(empty):,} series'} of {where} "
                         f"{'has' if len(empty) == 1 else 'have'} no steps or no channels, at {listing(empty, 5)}: leave them out")
    channels = [a.shape[0] for a in arrays]
    if len(set(channels)) > 1:
        other = next(i for i, c in enumerate(channels) if c != channels[0])
        swapped = len({a.shape[1] for a in arrays}) == 1
        raise ValueError(f"the series of {where} have different numbers of channels: {where}[0] has the shape {arrays[0].shape}, "
                         f"{where}[{other}] {arrays[other].shape}; each series of a list is (channels, steps)"
                         + (f". If they are (steps, channels), write {where} = [x.T for x in {where}]" if swapped else ""))
    if len({a.shape[1] for a in arrays}) == 1:
        return EqualSeries([as_float32(np.stack(arrays), where)])
    return UnequalSeries.of([as_float32(a, f"{where}[{i}]") for i, a in enumerate(arrays)])


def as_array(x: Any, where: str) -> np.ndarray:
    """Numbers as an array, of the type that they have.

    Args:
        x: an array, a tensor, a list of numbers, or anything else that numpy makes an array of.
        where: what to call it in a message.

    Raises:
        TypeError: these are not real numbers.
    """
    if hasattr(x, "detach"):
        x = x.detach().cpu().float().numpy() if not x.is_complex() and str(x.dtype) == "torch.bfloat16" else x.detach().cpu().numpy()
    if isinstance(x, np.ma.MaskedArray):                    # what is masked is missing
        x = np.ma.filled(x if x.dtype.kind == "f" else x.astype(np.float64), np.nan) if x.dtype.kind in "fiub" else x.data
    try:
        array = x if isinstance(x, np.ndarray) else np.asarray(x)
    except ValueError as e:
        raise ValueError(f"{where} is not an array of numbers: {e}. Series of several lengths are given as a list of arrays") from None
    if array.dtype == object:
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            raise TypeError(f"{where} holds {describe(array.flat[0]) if array.size else 'nothing'}: series are arrays of numbers") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{where} holds values of type {array.dtype}: series are arrays of real numbers")
    return array


def trim_padding(X: Any) -> list[np.ndarray]:
    """Series of several lengths out of an array in which the shorter ones end with NaN in all channels.

    Args:
        X: (samples, channels, steps) or (samples, steps).

    Returns:
        A list of arrays (channels, steps), which TSDataLoaders.from_array takes.
    """
    array = as_array(X, "X")
    array = array[:, None] if array.ndim == 2 else array
    there = ~np.isnan(array).all(axis=1)                    # (samples, steps)
    lengths = np.where(there, np.arange(1, array.shape[2] + 1), 0).max(axis=1)
    return [x[:, :n] for x, n in zip(array, lengths, strict=True)]


#: The column of a table of items that holds the series.
SERIES = "series"
#: The column that holds the target, where series came in arrays.
TARGET = "target"


class ReadSeries(ItemTransform):
    """A series as a tensor (channels, steps) of float32, without missing values.

    Args:
        fill: how missing values are filled; None: they are refused.
        n_channels: of each series, before `fill`; None: as many as the first one has.
        n_steps: of the longest series that there were.
        shortest: of the shortest one.
        table: how tables hold series, `LongTable` or `WideTable`; None: in a column of items.
    """

    def __init__(self, fill: FillSteps | None = None, n_channels: int | None = None, n_steps: int | None = None,
                 shortest: int | None = None, table: Any = None):
        super().__init__()
        if fill is not None and not isinstance(fill, FillSteps):
            raise TypeError(f"fill={describe(fill)} must say how missing values are filled: write fill=FillSteps('linear')")
        self.fill, self.n_channels, self.n_steps, self.shortest, self.table = fill, n_channels, n_steps, shortest, table

    def setups(self, items: Sequence) -> None:
        "Learn the number of channels."
        if self.n_channels is None and len(items):
            self.n_channels = int(self._array(items[0]).shape[0])

    def encode_ahead(self, items: Any) -> SeriesStore:
        """All series of a dataset, which is checked then.

        Args:
            items: what holds the series.

        Raises:
            ValueError: values are missing, or series have other channels than those before.
        """
        store = self._store_of(items)
        self._check_channels(store.n_channels, "the series")
        store = without_missing(store, self.fill)
        if self.n_steps is None:
            self.n_steps, self.shortest = int(store.lengths.max()), int(store.lengths.min())
        return store

    def count_missing(self, items: Any) -> np.ndarray:
        """How many values each series has that are missing, before they are filled.

        Args:
            items: what holds the series.

        Returns:
            int64 (items,); of series that stay on disk 0.
        """
        store = self._store_of(items if isinstance(items, Rows) else Rows(items))
        return np.array([0 if store.on_disk else int(np.isnan(store.array(i)).sum()) for i in range(len(store))], dtype=np.int64)

    def _store_of(self, items):
        "What holds them as one store; those that are in one already are not copied."
        source = items.source if isinstance(items, Rows) else None
        if hasattr(source, "columns") and SERIES in source.columns:
            values = source[SERIES].tolist()
        else:
            values = [_of_row(o) for o in items]
        runs: list[tuple[SeriesStore, list[int]]] = []
        if not all(isinstance(o, SeriesAt) for o in values):
            return as_store([o.values if isinstance(o, SeriesAt) else as_array(o, "a series") for o in values], "the series")
        for o in values:
            if not runs or runs[-1][0] is not o.store:
                runs.append((o.store, []))
            runs[-1][1].append(o.i)
        return joined_stores([store if np.array_equal(at, np.arange(len(store))) else store.subset(at) for store, at in runs])

    def items_of(self, items: Any) -> Any:
        """Items out of what a user gives as new ones: each a series, or a row that holds one.

        Args:
            items: an array (samples, channels, steps) or (samples, steps), one series, a list of series, a table, `(X, y)` of an array of
                three axes, or `(X, table)` with covariates and the column 'target'.
        """
        items = as_pandas(items)
        if hasattr(items, "iloc"):
            return self._of_table(items if hasattr(items, "columns") else items.to_frame().T.infer_objects())
        if isinstance(items, (list, tuple)):
            if len(items) == 2 and isinstance(items, tuple) and hasattr(items[1], "columns"):
                return _beside(as_store(items[0]), items[1])
            if len(items) == 2 and isinstance(items, tuple) and getattr(items[0], "ndim", 0) == 3 and hasattr(items[1], "__len__"):
                return _beside(as_store(items[0]), pd.DataFrame({TARGET: list(items[1])}))
            return [self._item_of(o) for o in items]
        array = as_array(items, "X")
        if array.ndim == 1 or (array.ndim == 2 and self.n_channels not in (None, 1) and len(array) == self.n_channels):
            return [array]
        store = as_store(array)
        return [SeriesAt(store, i) for i in range(len(store))]

    def _item_of(self, o):
        "An item of a list of them."
        if isinstance(o, tuple) and len(o) == 2 and hasattr(o[1], "iloc"):
            return _beside(as_store([o[0]]), o[1].to_frame().T).iloc[0]
        if hasattr(o, "columns") and self.table is not None:
            return self._row_of(o)
        return o.as_subclass(torch.Tensor) if isinstance(o, TensorSeries) else o

    def _row_of(self, frame):
        "The row of the only series of a table."
        rows = self.items_of(frame)
        if len(rows) > 1:
            raise ValueError(f"one series is expected; received a table of {len(rows):,}: write dls.test_dl(df)")
        return rows.iloc[0]

    def _of_table(self, frame):
        "The rows of a table, one per series."
        if SERIES in frame.columns:
            return frame
        if self.table is None:
            raise TypeError(f"these loaders were made from arrays, so how a table holds series is not known; received {describe(frame)}. "
                            "Give an array (samples, channels, steps), or make loaders with TSDataLoaders.from_df")
        return self.table.items(frame)

    def encodes(self, o: Any) -> torch.Tensor:
        x = self._array(o)
        self._check_channels(x.shape[0], "this series")
        if not np.isfinite(x).all():
            refuse_missing(find_missing(EqualSeries([x[None]])), self.fill, "the series")
        x = x.copy() if self.fill is None else self.fill(x[None])[0]
        return torch.from_numpy(x).as_subclass(TensorSeries)

    def _array(self, o):
        "The series of an item, float32 (channels, steps)."
        o = _of_row(o)
        if hasattr(o, "iloc") and hasattr(o, "index") and self.table is not None:
            o = self._row_of(o)[SERIES]
        if isinstance(o, SeriesAt):
            return o.values
        if hasattr(o, "columns"):
            self._of_table(o)                               # says that no table is expected
        x = as_array(o, "the series")
        if x.ndim not in (1, 2) or 0 in x.shape:
            raise ValueError(f"a series has the shape (channels, steps), or (steps,) of one channel; received {x.shape}"
                             f"{'. All of several are predicted by learn.get_preds(dl=learn.dls.test_dl(X))' if x.ndim == 3 else ''}")
        return as_float32(x[None] if x.ndim == 1 else x, "the series")

    def _check_channels(self, n, which):
        if self.n_channels is None:
            self.n_channels = int(n)
        elif n != self.n_channels:
            raise ValueError(f"{which} must have {plural(self.n_channels, 'channel')}, as the training series have, (channels, steps); "
                             f"received {n:,}")

    def __repr__(self) -> str:
        return f"ReadSeries({'' if self.fill is None else f'fill={self.fill!r}'})"


def _beside(store: SeriesStore, table: Any) -> Any:
    "Series as a column beside a table with a row for each."
    if len(store) != len(table):
        raise ValueError(f"a table with one row per series is expected: received {len(store):,} series and {len(table):,} rows")
    return table.assign(**{SERIES: [SeriesAt(store, i) for i in range(len(store))]})


def _of_row(o: Any) -> Any:
    "The series in a row of a table; anything else as it is."
    return o[SERIES] if hasattr(o, "iloc") and hasattr(o, "index") and SERIES in o.index else o


class ColumnValues(Sequence):
    """A value for each item.

    Args:
        values: of the items.
        rows: the items.
    """

    def __init__(self, values: list, rows: Rows):
        self.values, self.rows = values, rows

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, i: Any) -> Any:
        return self.values[i]

    def subset(self, indices: Sequence[int]) -> "ColumnValues":
        """Those of some items.

        Args:
            indices: of the items.
        """
        return ColumnValues([self.values[i] for i in indices], self.rows.at(indices))

    def item_name(self, i: int) -> str:
        """What to call an item in a message.

        Args:
            i: its position.
        """
        return self.rows.item_name(i)


class ReadColumns(ItemTransform):
    """The value of a column of a row, or the values of several; of a dataset all at once.

    Args:
        cols: name of the column, or of several.
        label_delim: split the value at this string, for several labels per item.
    """

    def __init__(self, cols: Any, label_delim: str | None = None):
        super().__init__()
        self.cols, self.label_delim = cols, label_delim
        self._reader = ColReader(cols, label_delim=label_delim)

    def encode_ahead(self, items: Any) -> ColumnValues | None:
        """The values of all items of a dataset.

        Args:
            items: the rows of a table.
        """
        frame, names = getattr(items, "source", None), column_names(self.cols)
        if not isinstance(items, Rows) or not hasattr(frame, "columns") or not {*names} <= {*frame.columns}:
            return None
        if len(names) == 1 and self.label_delim is None:
            return ColumnValues(frame[names[0]].tolist(), items)
        rows = zip(*(frame[c].tolist() for c in names), strict=True)
        return ColumnValues([self._reader(dict(zip(names, row, strict=True))) for row in rows], items)

    def encodes(self, o: Any) -> Any:
        if not isinstance(o, (dict, tuple)) and not hasattr(o, "iloc"):
            names = column_names(self.cols)
            second, table = ("y", "") if names == [TARGET] else ("table", f" and a table with {listing(map(repr, names))}")
            raise TypeError(f"the targets of these series are not given, {describe(o)}: write dls.test_dl((X, {second}), with_labels=True) "
                            f"with an array (samples, channels, steps){table}, or dls.test_dl(X) without them")
        return self._reader(o)
