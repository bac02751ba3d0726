"""`ReadSeries`: from what holds a series (a row of a table, an array) to a `TensorSeries`; of a dataset all at once."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from ..core.messages import describe, plural
from ..data.rows import Rows, as_pandas
from ..data.transforms import ItemTransform
from .layout import as_array, as_store
from .missing import FillSteps, find_missing, refuse_missing, without_missing
from .store import EqualSeries, SeriesAt, SeriesStore, as_float32, joined_stores
from .tensors import TensorSeries

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
