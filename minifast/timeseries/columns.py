"""Columns of the table of items, read for all items at once."""
from collections.abc import Sequence
from typing import Any

from ..core.messages import describe, listing
from ..data.labels import ColReader, column_names
from ..data.rows import Rows
from ..data.transforms import ItemTransform
from .reading import TARGET


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
