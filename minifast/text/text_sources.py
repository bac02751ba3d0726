"""Where texts come from: lists, columns of tables, files. They are read as they are asked for; values that are not texts are named."""
import codecs
from collections.abc import Iterable, Iterator, Sequence
from numbers import Number
from pathlib import PurePath
from typing import Any

import numpy as np

from ..core.arguments import listed_in_order
from ..core.messages import describe, did_you_mean
from ..core.types import PathLike
from ..data.labels import is_missing, python_value
from .special import FLD

#: What is written for several texts where one is expected.
SEVERAL_TEXTS = "for several texts write learn.get_preds(dl=dls.test_dl(texts)), for one predict(text)"


def check_text(o: Any, where: str, column: Any = None) -> str:
    """`o`, if it is a text.

    Args:
        o: the value.
        where: what it is the value of.
        column: the name of its column in a table; `...`: it is of a Series; None: it stands for itself.

    Raises:
        ValueError: it is missing; says what to write.
        TypeError: it is no text; says what to write.
    """
    if isinstance(o, str):
        return o
    is_one, of = column is None, "texts" if column is ... else f"df[{column!r}]"
    if is_missing(o):
        dropped = "texts = texts.dropna()" if column is ... else f"df = df.dropna(subset=[{column!r}])"
        raise ValueError(f"{where} has no text ({o!r}): " + ("leave it out, or write ''" if is_one else
                         f"leave such rows out, {dropped}, or take them as empty, {of} = {of}.fillna('')"))
    raise TypeError(f"{where} is {describe(o)}, not a text: {text_of(o, 'text' if is_one else of, is_one)}")


def text_of(o: Any, of: str, is_one: bool = False) -> str:
    """What to write to make text of values such as `o`.

    Args:
        o: a value that is no text, and not missing.
        of: the code for it, or for its column, such as `df['text']`.
        is_one: it stands for itself.
    """
    if isinstance(o, (bytes, bytearray)):
        kind, made = "bytes", "{}.decode('utf-8')"
    elif isinstance(o, (list, tuple)):
        kind, made = type(o).__name__, "' '.join({})"
    elif isinstance(o, PurePath):
        kind, made = "Path", "{}.read_text(encoding='utf-8')"
    elif isinstance(o, (bool, Number, np.generic)):
        return f"write {'' if is_one else f'{of} = '}{f'str({of})' if is_one else f'{of}.astype(str)'}"
    else:
        return "give the text itself, a str"
    return f"write {made.format(of)}" if is_one else \
        f"write {of} = {of}.map(lambda t: {made.format('t')} if isinstance(t, {kind}) else t)"


def read_text(file: PathLike, encoding: str = "utf-8") -> str:
    """The text in a file; a byte order mark is no part of it.

    Args:
        file: the file.
        encoding: its encoding.

    Raises:
        ValueError: it has another encoding.
    """
    codec = codecs.lookup(encoding).name
    with open(file, "rb") as f:
        data = f.read()
    try:
        return data.decode("utf-8-sig" if codec == "utf-8" else codec).replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as e:
        likely = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "cp1252" if codec != "cp1252" else "latin-1"
        raise ValueError(f"{str(file)!r} is not written in {encoding}: byte {e.start} is 0x{data[e.start]:02x}. If all files have another "
                         f"encoding, say which, encoding={likely!r} for instance; else convert this one to UTF-8") from None


class Texts:
    """A list or column of texts; `name(i)` is what to call one in a message.

    Args:
        items: the texts.
    """

    def __init__(self, items: Iterable[Any]):
        self.items: Any = items

    def __iter__(self) -> Iterator[str]:
        for i, o in enumerate(self.items):
            yield o if type(o) is str else check_text(o, self.name(i))

    def __len__(self) -> int:
        return len(self.items)

    def name(self, i: int) -> str:
        "What to call text `i`."
        name = getattr(self.items, "item_name", None)
        return f"text {i}" if name is None else name(i)


class TableTexts(Texts):
    """The texts of one or more columns of a table.

    Args:
        df: the table.
        text_cols: their names.
        mark_fields: see `Tokenizer`.
        is_series: it is a Series that was made a table.
    """

    def __init__(self, df: Any, text_cols: Sequence[Any], mark_fields: bool | None = None, is_series: bool = False):
        super().__init__(df)
        self.text_cols, self.mark_fields, self.is_series = text_cols, mark_fields, is_series

    def __iter__(self) -> Iterator[str]:
        columns = [self.items[c] for c in self.text_cols]
        marks = _marks(len(columns), self.mark_fields)
        for i, values in enumerate(zip(*columns, strict=True)):
            texts = [o if type(o) is str else check_text(o, f"{self.name(i)}, column {c!r},", ... if self.is_series else c)
                     for o, c in zip(values, self.text_cols, strict=True)]
            yield texts[0] if len(texts) == 1 and not marks[0] else " ".join(m + t for m, t in zip(marks, texts, strict=True))

    def name(self, i: int) -> str:
        "What to call text `i`."
        return f"row {python_value(self.items.index[i])!r}"


class FileTexts(Texts):
    """The texts of files.

    Args:
        files: their paths.
        encoding: of the files.
    """

    def __init__(self, files: Sequence[PathLike], encoding: str = "utf-8"):
        super().__init__(files)
        self.encoding = encoding

    def __iter__(self) -> Iterator[str]:
        return (read_text(file, self.encoding) for file in self.items)

    def name(self, i: int) -> str:
        "What to call text `i`."
        return str(self.items[i])


def _marks(n, mark_fields):
    "What comes before the text of each of `n` columns."
    return [f"{FLD} {i} " if (n > 1 if mark_fields is None else mark_fields) else "" for i in range(1, n + 1)]


def columns_of(table: Any, text_cols: Any) -> list:
    """The names of the columns of texts, in a list.

    Args:
        table: a table, or one of its rows.
        text_cols: a name, or several; None: `'text'`.

    Raises:
        KeyError: there is no such column.
        ValueError: there are several of one name.
    """
    names = ["text"] if text_cols is None else listed_in_order("Tokenizer", "text_cols", text_cols) \
        if isinstance(text_cols, (list, tuple)) else [text_cols]
    known = list(table.columns if hasattr(table, "columns") else table.index)
    missing = next((c for c in names if c not in known), None)
    if missing is not None:
        raise KeyError(f"the table has no column {missing!r} of texts{did_you_mean(missing, known)}; its columns: "
                       f"{', '.join(map(str, known[:20]))}. Give its name to text_cols=, or rename the column of "
                       f"the texts {missing!r}")
    twice = next((c for c in names if known.count(c) > 1), None)
    if twice is not None:
        raise ValueError(f"the table has {known.count(twice)} columns {twice!r}: keep one of them, "
                         "df = df.loc[:, ~df.columns.duplicated()]")
    return names


def joined_columns(row: Any, text_cols: Sequence[Any], mark_fields: bool | None = None) -> str:
    """The text of a row.

    Args:
        row: a row of a table.
        text_cols: the names of its columns of texts.
        mark_fields: see `Tokenizer`.
    """
    marks = _marks(len(text_cols), mark_fields)
    return " ".join(m + check_text(row[c], f"row {python_value(getattr(row, 'name', '?'))!r}, column {c!r},", c)
                    for m, c in zip(marks, text_cols, strict=True))


def texts_of(items: Any, text_cols: Any = None, mark_fields: bool | None = None, encoding: str = "utf-8") -> Iterable[str]:
    """The texts of items, read as they are asked for.

    Args:
        items: texts, paths of files, or a table.
        text_cols: see `Tokenizer`.
        mark_fields: see `Tokenizer`.
        encoding: of files.
    """
    if isinstance(items, Texts):
        return items
    if isinstance(items, str):
        raise TypeError(f"several texts are needed, in a list; received {describe(items)}: write [text]")
    if hasattr(items, "columns") and hasattr(items, "iloc"):
        return TableTexts(items, columns_of(items, text_cols), mark_fields)
    if hasattr(items, "iloc"):
        name = "text" if items.name is None else items.name
        return TableTexts(items.to_frame(name), [name], mark_fields, is_series=True)
    if hasattr(items, "__len__") and len(items) and isinstance(items[0], PurePath):
        return FileTexts(items, encoding)
    return Texts(items)
