"""The items of a dataset, whatever holds them."""
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch.utils.data import Subset

from ..core.items import L
from ..core.messages import brief, describe, listing


class _HasRows(type):
    def __instancecheck__(cls, x: Any) -> bool:
        return hasattr(x, "iloc") and hasattr(x, "index")


class RowLike(metaclass=_HasRows):
    "Stands for the class of rows of a DataFrame, whether pandas is imported or not."


def as_pandas(x: Any) -> Any:
    "A frame or a column of polars or Arrow as one of pandas; anything else as it is."
    return x.to_pandas() if hasattr(x, "to_pandas") and not hasattr(x, "iloc") else x


def as_frame(df: Any, where: str, of_lists: str = "") -> Any:
    """`df` as a DataFrame of pandas: itself, or what its `to_pandas` gives (polars, Arrow).

    Args:
        df: the table.
        where: what takes it, for the message.
        of_lists: what to write where it is a list.

    Raises:
        TypeError: it is no table.
    """
    df = as_pandas(df)
    if hasattr(df, "iloc") and hasattr(df, "columns"):
        return df
    advice = "pd.DataFrame(data)" if isinstance(df, dict) else of_lists if isinstance(df, (list, tuple)) else ""
    raise TypeError(f"{where} takes a DataFrame; received {describe(df)}{advice and f': write {advice}'}")


def with_rows(df: Any, where: str) -> Any:
    """`df` itself, which has a row at least.

    Args:
        df: a DataFrame.
        where: what takes it, for the message.

    Raises:
        ValueError: it has none.
    """
    if not len(df):
        raise ValueError(f"{where} received a table without rows, of the columns {listing(df.columns, 5) or 'none'}")
    return df


class Rows(Sequence):
    """The items of a dataset, whatever holds them, as a sequence: the rows of a DataFrame, the items of a list, array or any object with
    `len` and indices. `rows[i]` is one item, `rows.at(indices)` are the `Rows` of some of them, `rows.source` is what holds them.
    `rows.get(i)` is `rows[i]` without a detour, for those who make samples."""

    source: Any
    get: Callable[[int], Any]
    columns: list | None                #: names of the columns of a DataFrame

    def __init__(self, items: Any):
        items = items.source if isinstance(items, Rows) else items
        if isinstance(items, (set, frozenset)):
            raise TypeError("items must have an order, and a set has none: the same split would not be made twice. Write sorted(items)")
        no_items = isinstance(items, (str, bytes, Path, dict))
        if no_items or not (hasattr(items, "__len__") and hasattr(items, "__getitem__")):
            if no_items or not hasattr(items, "__iter__"):
                raise TypeError(f"items must be a list, array or DataFrame; received {describe(items)}. A folder becomes items with "
                                "get_image_files(path)")
            items = list(items)
        self.source = items
        self._frame = hasattr(items, "iloc")
        self.columns = list(items.columns) if hasattr(items, "columns") else None
        holder = _without_upcasting(items).iloc if self._frame else items
        self.get = partial(list.__getitem__, items) if type(items) is L else holder.__getitem__      # past the fancy indexing of `L`

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: Any) -> Any:
        return self.get(i)

    def __iter__(self) -> Iterator:
        return (self[i] for i in range(len(self)))

    def at(self, indices: Iterable[int]) -> "Rows":
        "The items at `indices`, in the same kind of container."
        if self._frame:
            return Rows(self.source.iloc[list(indices)])
        if hasattr(self.source, "dtype") and hasattr(self.source, "shape"):
            return Rows(self.source[list(indices)])
        if isinstance(self.source, (list, tuple)):
            return Rows(L((self.source[i] for i in indices), use_list=True))
        return Rows(Subset(self.source, list(indices)))             # fetched when asked for

    def first_of_each_type(self) -> list[int]:
        "The position of the first item of each type, for lists, which alone can hold several."
        if not isinstance(self.source, (list, tuple)):
            return [0] if len(self) else []
        return sorted({type(o): i for i, o in reversed(list(enumerate(self.source)))}.values())

    def item_name(self, i: int) -> str:
        "What to call item `i` in a message: a row by its label in the frame."
        item = self[i]
        label = _plain(self.source.index[i]) if self._frame else None
        if self._frame and self.columns is None:
            return f"row {label!r}, {brief(_plain(item))}"
        if isinstance(item, (str, Path)):
            return f"item {i}, {str(item)!r}"
        if self._frame:
            return f"row {label!r} ({', '.join(f'{k}={brief(v)}' for k, v in list(item.items())[:3])})"
        return f"item {i}, {describe(item)}"


def _plain(x: Any) -> Any:
    "Python's number for one of numpy."
    return x.item() if hasattr(x, "item") else x


def _without_upcasting(frame: Any) -> Any:
    "A frame whose rows keep the types of their columns: pandas makes floats of the whole numbers of a row that also has floats."
    kinds = {str(t) for t in frame.dtypes} if hasattr(frame, "columns") else set()            # a lone column keeps its type
    return frame if len(kinds) < 2 or "object" in kinds else frame.astype(object)


def type_of(value: Any) -> type:
    "The class of `value`; `RowLike` and `Path` for all of their kind."
    return RowLike if isinstance(value, RowLike) else Path if isinstance(value, Path) else type(value)


def as_items(items: Any, rows: Rows) -> Any:
    "The items of a test set: a lone path, image, row or array of the size of one item becomes a list of one."
    if isinstance(items, (str, bytes, Path)) or hasattr(items, "getbands"):             # a file or an image
        return [items]
    if not hasattr(items, "__len__"):
        return list(items) if hasattr(items, "__iter__") else [items]
    if type(items) is L and len(items) == 1 and hasattr(items[0], "dtype"):             # `L` keeps an array or column whole
        return as_items(items[0], rows)
    known, columns = rows[0], rows.columns
    if hasattr(items, "iloc") and not hasattr(items, "columns"):        # one row of a frame, or a column of files, say
        is_row = columns is not None and items.name not in columns and any(label in columns for label in items.index)
        return items.to_frame().T.infer_objects() if is_row else items.tolist()
    if hasattr(items, "dtype") and hasattr(items, "tolist") and getattr(items.dtype, "kind", "f") not in "biufc" and \
            getattr(items, "ndim", 1) == 1:                             # an array or index of files
        return items.tolist()
    if hasattr(items, "shape") and hasattr(items, "dtype"):             # where the items are files, say: the content of one
        lone = len(items.shape) in ([len(known.shape)] if hasattr(known, "shape") else [2, 3])
    else:
        lone = isinstance(items, (dict, tuple)) and type(items) is type(known)
    return [items] if lone else items
