"""From an item to its label (`get_y`) or its input (`get_x`): functions and small callable objects, all of which can be sent to workers."""
import os
import re
from collections.abc import Callable
from typing import Any

from ..core.arguments import listed_in_order
from ..core.items import L
from ..core.keywords import KnowsKeywords
from ..core.messages import describe, did_you_mean
from ..core.paths import Path
from ..core.types import PathLike
from .csv_files import delimiter_hint
from .transforms import ItemTransform


def python_value(o: Any) -> Any:
    "Scalars of numpy and torch as the Python values they hold, which is what a vocabulary consists of."
    return o.item() if hasattr(o, "item") and not getattr(o, "ndim", 0) else o


def is_missing(o: Any) -> bool:
    "Whether `o` stands for a value that is not there: None, NaN, or pandas' NaT and NA."
    if o is None or isinstance(o, str):
        return o is None
    try:
        return bool(o != o)                         # NaN and NaT are not equal to themselves
    except (TypeError, ValueError, RuntimeError):   # NA has no truth value; an array has many
        return type(o).__name__ == "NAType"


def parent_label(o: PathLike) -> str:
    """The name of the folder that a file lies in.

    Args:
        o: the file.
    """
    return Path(o).parent.name


class _Named(KnowsKeywords):
    "What the functions with options share: transforms made of them are called by their repr."

    @property
    def __name__(self) -> str:
        return repr(self)


class RegexLabeller(_Named):
    """The first group of a regular expression in a file name (or string); the separators of a path are `/`.

    Args:
        pat: the expression, with parentheses round the part that is the label.
        match: it must match from the start of the string; False: it is searched for.

    Raises:
        ValueError: the expression has no group, or (when called) a name does not match.
    """

    def __init__(self, pat: str | re.Pattern[str], match: bool = False):
        self.pat, self.match = re.compile(pat), match
        if not self.pat.groups:
            raise ValueError(f"RegexLabeller({self.pat.pattern!r}): the pattern has no group, so there is no label to return; "
                             "put parentheses round the part that is the label")

    def __call__(self, o: PathLike) -> str:
        text = str(o).replace(os.sep, "/")
        found = (self.pat.match if self.match else self.pat.search)(text)
        if found is None:
            raise ValueError(f"the pattern {self.pat.pattern!r} of RegexLabeller {'does not match' if self.match else 'is not found in'} "
                             f"{text!r}")
        return found.group(1)

    def __repr__(self) -> str:
        return f"RegexLabeller({self.pat.pattern!r}{', match=True' if self.match else ''})"



def _value(row: Any, col: Any) -> Any:
    "The value of column `col` (a name, or a position) of `row`."
    is_series = hasattr(row, "iloc") and hasattr(row, "index")
    columns = row.index if is_series else row if isinstance(row, dict) else getattr(row, "_fields", None)      # None: a plain sequence
    if columns is not None and col in columns:
        return row[col] if is_series or isinstance(row, dict) else getattr(row, col)
    if isinstance(col, int) and hasattr(row, "__len__") and not isinstance(row, (str, bytes)) and -len(row) <= col < len(row):
        return row.iloc[col] if is_series else list(row.values())[col] if isinstance(row, dict) else row[col]
    if columns is None:
        raise TypeError(f"ColReader({col!r}) reads rows of a DataFrame (or dicts, or tuples); received {describe(row)}")
    raise _no_column(col, columns)


def _no_column(col, columns):
    return KeyError(f"there is no column {col!r}{did_you_mean(col, columns) or '.'} Columns: {', '.join(map(str, list(columns)[:30]))}"
                    + delimiter_hint(columns))


def column_name(col: Any, columns: Any) -> Any:
    """The name of a column of a frame.

    Args:
        col: a name, or a position.
        columns: the names of all columns, a pandas Index.

    Raises:
        KeyError: there is no such column.
    """
    if col not in columns:
        if not isinstance(col, int) or not -len(columns) <= col < len(columns):
            raise _no_column(col, columns)
        return columns[col]
    return col


def column_names(cols: Any) -> list:
    "One column (a name or a position) or several (a list, tuple, array or pandas Index) as a list."
    cols = cols.tolist() if hasattr(cols, "tolist") else cols
    return [cols] if isinstance(cols, str) or not hasattr(cols, "__iter__") else listed_in_order("ColReader", "cols", cols)


class ColReader(_Named):
    """The value of a column of a row of a DataFrame (or of a dict or tuple).

    Args:
        cols: name or position of the column; a list of several gives an `L` of their values.
        pref: put before the value, which makes a file name of it; a `Path` is a folder, in which absolute file names are not looked for.
        suff: put after the value.
        label_delim: split the value at this string, for several labels per item; spaces around them are dropped, and an empty or
            missing value is no label at all.
    """

    def __init__(self, cols: Any, pref: str | Path = "", suff: str = "", label_delim: str | None = None):
        self.cols = column_names(cols)
        self.many = len(self.cols) > 1
        self.in_folder = isinstance(pref, Path)
        self.pref = f"{pref}{os.path.sep}" if isinstance(pref, Path) else pref
        self.suff, self.label_delim = suff, label_delim

    def _read(self, row: Any, col: Any) -> Any:
        value = _value(row, col)
        if self.label_delim is not None:
            if is_missing(value) or value == "":
                return L()
            if not isinstance(value, str):
                raise TypeError(f"ColReader({col!r}, label_delim={self.label_delim!r}) splits text; the column holds {describe(value)}")
            return L((o.strip() for o in value.split(self.label_delim) if o.strip()), use_list=True)
        if self.in_folder and isinstance(value, (str, Path)) and os.path.isabs(value):
            return f"{value}{self.suff}"
        return f"{self.pref}{value}{self.suff}" if self.pref or self.suff else value

    def __call__(self, row: Any) -> Any:
        return L((self._read(row, c) for c in self.cols), use_list=True) if self.many else self._read(row, self.cols[0])

    def __repr__(self) -> str:
        return f"ColReader({(self.cols if self.many else self.cols[0])!r})"


class ItemGetter(ItemTransform):
    """One element of the item.

    Args:
        i: its position or key.
    """

    def __init__(self, i: Any):
        super().__init__()
        self.i = i

    def encodes(self, o: Any) -> Any:
        try:
            return o[self.i]
        except (IndexError, KeyError) as e:
            raise type(e)(f"ItemGetter({self.i!r}) finds no such element in {describe(o)}") from e


class AttrGetter(ItemTransform):
    """An attribute of the item.

    Args:
        nm: its name.
        default: what to return where the item has none.
    """

    def __init__(self, nm: str, default: Any = None):
        super().__init__()
        self.nm, self.default = nm, default

    def encodes(self, o: Any) -> Any:
        return getattr(o, self.nm, self.default)


class _UsingAttr(_Named):
    def __init__(self, f: Callable, attr: str):
        self.f, self.attr = f, attr

    def __call__(self, o: Any) -> Any:
        if not hasattr(o, self.attr):
            raise AttributeError(f"using_attr({self.f!r}, {self.attr!r}): {describe(o)} has no attribute {self.attr!r}"
                                 f"{did_you_mean(self.attr, [a for a in dir(o) if not a.startswith('_')])}")
        return self.f(getattr(o, self.attr))

    def __repr__(self) -> str:
        return f"using_attr({self.f!r}, {self.attr!r})"


def using_attr(f: Callable, attr: str) -> Callable:
    """A function of the item that calls another one with an attribute of it: `using_attr(RegexLabeller(pat), 'name')`.

    Args:
        f: function of the attribute.
        attr: name of the attribute.
    """
    return _UsingAttr(f, attr)
