"""Columns of a frame: which are categorical and which continuous, their numbers and values, smaller types that lose nothing."""
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any
from warnings import warn

import numpy as np
import pandas as pd

from ..core.keywords import knows_keywords
from ..core.messages import describe, did_you_mean, listing, plural
from ..data.rows import as_frame
from .kinds import ADVICE, as_numbers, column_kind, is_date, numbers_in_text

__all__ = ["cont_cat_split", "df_shrink", "df_shrink_dtypes"]

#: Long tables, from this many rows on, are worth several threads and other ways of being quick.
THREADS_FROM = 50_000


def rows_frame(items: Any) -> pd.DataFrame:
    "Rows as a DataFrame: a frame, one row (Series or dict), or a list of rows."
    if isinstance(items, pd.Series):
        return items.to_frame().T.infer_objects()
    if isinstance(items, dict):
        return pd.DataFrame([items])
    if isinstance(items, Iterator):
        items = list(items)
    if not isinstance(items, (list, tuple)):
        return as_frame(items, "test_dl")
    odd = [f"item {i}, {describe(o)}" for i, o in enumerate(items) if not isinstance(o, (pd.Series, dict))]
    if odd or not items:
        raise TypeError("rows are dicts or Series with the columns of the training data; received "
                        + (odd[0] if odd else describe(items)))
    rows = [dict(o) for o in items]
    for i, row in enumerate(rows):
        if row.keys() != rows[0].keys():
            one, other = (i, 0) if rows[0].keys() - row.keys() else (0, i)
            lacking = sorted(map(str, rows[other].keys() - rows[one].keys()))
            raise ValueError(f"the rows have different columns: item {one} lacks {', '.join(map(repr, lacking))}, which item {other} has. "
                             "Write None for what is not known")
    return pd.DataFrame(rows)


def check_columns(df: pd.DataFrame, groups: Mapping[str, Sequence], where: str) -> None:
    "Refuse, all at once, names that are not columns of `df`, come twice, or are in two of `groups`, `{argument: its columns}`."
    problems, seen = [], {}
    repeated = set(df.columns[df.columns.duplicated()])
    for argument, names in groups.items():
        for name in names:
            if name not in df.columns:
                problems.append(f"{argument}: there is no column {name!r}{did_you_mean(name, df.columns)}")
            elif name in repeated:
                problems.append(f"the frame has several columns named {name!r}")
            if name in seen:
                twice = f"listed twice in {argument}" if seen[name] == argument else f"in {seen[name]} and in {argument}"
                problems.append(f"{name!r} is {twice}")
            seen[name] = argument
    if problems:
        shown = ", ".join(map(str, df.columns[:20])) + (", ..." if len(df.columns) > 20 else "")
        text = "; ".join(problems)
        raise ValueError(f"{where}: {text}{'' if text.endswith('?') else '.'} Columns of the frame: {shown}")


def check_known(where: str, names: Iterable, known: Collection, kind: str = "categorical column") -> None:
    "Refuse names that are none of the `known` columns."
    for name in names:
        if name not in known:
            raise KeyError(f"{where}: {name!r} is no {kind}{did_you_mean(name, known) or '.'} Columns: {listing(known)}")


def unique_columns(df: Any, where: str) -> pd.DataFrame:
    "`df` as a DataFrame each of whose columns has a name of its own."
    df = as_frame(df, where)
    repeated = df.columns[df.columns.duplicated()].unique().tolist()
    if repeated:
        raise ValueError(f"{where}: the frame has several columns named {listing(map(repr, repeated))}. To keep the first of each write "
                         "df.loc[:, ~df.columns.duplicated()]")
    return df


def listed_names(names: Any, df: pd.DataFrame) -> list:
    "Column names as a list: one name, a list, or a set, which gets the order of the frame because it has none of its own."
    if names is None:
        return []
    if isinstance(names, (str, int)) or (isinstance(names, tuple) and names in df.columns):
        return [names]
    if isinstance(names, (set, frozenset)):
        return [c for c in df.columns if c in names] + sorted(map(str, names - set(df.columns)))
    return list(names)


def rows_of(index: pd.Index, mask_or_positions: Any, n: int = 5) -> str:
    "The first `n` of some rows as the labels of `index`, for messages."
    positions = np.asarray(mask_or_positions)
    positions = np.flatnonzero(positions) if positions.dtype == bool else positions
    labels = [o.item() if hasattr(o, "item") else o for o in index[positions[:n]]]
    return ", ".join(map(repr, labels)) + (", ..." if len(positions) > n else "")


def numbers_of(series: pd.Series, name: Any) -> np.ndarray:
    """The column as float64, NaN where a value is missing; refuses infinite values and whatever is not a number.

    The array may be the memory of the frame itself: it must not be changed.
    """
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(object if series.isna().any() else series.cat.categories.dtype)
    if is_date(series) or pd.api.types.is_complex_dtype(series.dtype):
        advice = ADVICE[column_kind(series)].format(name=name)
        raise TypeError(f"the continuous column {name!r} holds {series.dtype}, not numbers: {advice}")
    if pd.api.types.is_numeric_dtype(series.dtype) or pd.api.types.is_bool_dtype(series.dtype):
        values = series.to_numpy(dtype="float64", **({} if isinstance(series.dtype, np.dtype) else {"na_value": np.nan}))
    else:
        try:
            found = pd.to_numeric(series.where(series.notna(), np.nan), errors="raise")
            if found.dtype.kind == "c":
                raise TypeError("complex numbers")
            values = found.to_numpy(dtype="float64", na_value=np.nan)
        except (TypeError, ValueError):
            bad, kind = next((v for v in series if not _is_number(v)), None), column_kind(series)
            if kind in ADVICE:
                raise TypeError(f"the continuous column {name!r} holds {bad!r}, a {kind}: {ADVICE[kind].format(name=name)}") from None
            if bad is not None:
                raise TypeError(f"the continuous column {name!r} holds {bad!r}, which is no number: list the column in cat_names, or clean "
                                f"it with pd.to_numeric(df[{name!r}], errors='coerce')") from None
            values = np.array([number_of(v, name) for v in series], dtype="float64")         # `Fraction` and the like
    if not np.isfinite(values.sum()) and np.isinf(values).any():
        rows = rows_of(series.index, np.isinf(values))
        raise ValueError(f"the continuous column {name!r} holds infinite values in {plural(int(np.isinf(values).sum()), 'row')} ({rows}): "
                         "replace them, for example by NaN")
    return values


def number_of(value: Any, name: Any) -> float:
    "One value of a row as a float; NaN where it is missing."
    try:
        value = float("nan") if value is None or value is pd.NA or value is pd.NaT else float(value)
    except (TypeError, ValueError):
        raise TypeError(f"the continuous column {name!r} takes a number; received {describe(value)}") from None
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the continuous column {name!r} takes finite numbers; received {value}")
    return value


def _is_number(value: Any) -> bool:
    try:
        return bool(pd.isna(value)) or float(value) is not None
    except (TypeError, ValueError):
        return False


def cont_cat_split(df: pd.DataFrame, max_card: int = 20, dep_var: Sequence | str | None = None) -> tuple[list, list]:
    """`(continuous names, categorical names)` of the columns of a frame, in its order.

    Floats and decimals are continuous, whatever the type of the column; so are whole numbers with many different values; all else is
    categorical. Dates, durations, lists and the like are left out with a warning that says how to make columns of them. Text that holds
    numbers with fractions is categorical, with a warning.

    Args:
        df: the frame.
        max_card: whole numbers with at most this many different values are categorical.
        dep_var: target(s), which are left out.
    """
    df = unique_columns(df, "cont_cat_split")
    targets = listed_names(dep_var, df)
    check_columns(df, {"dep_var": targets}, "cont_cat_split")
    inputs = df.drop(columns=targets)
    kinds = {name: column_kind(column) for name, column in inputs.items()}
    odd: dict[str, list] = {}
    for name, kind in kinds.items():
        if kind in ADVICE:
            odd.setdefault(kind, []).append(name)
    cont = [name for name, kind in kinds.items() if kind == "floating" or (kind == "integer" and inputs[name].nunique() > max_card)]
    cat = [name for name, kind in kinds.items() if name not in cont and kind not in ADVICE]
    for kind, names in odd.items():
        advice = ADVICE[kind].format(name=names[0])
        warn(f"cont_cat_split left out {listing(map(repr, names))}: each value is a {kind}. To use it, {advice}", stacklevel=2)
    text = {name: example for name in cat if (example := numbers_in_text(inputs[name])) is not None and inputs[name].nunique() > max_card}
    if text:
        name, example = next(iter(text.items()))
        warn(f"cont_cat_split takes {listing(map(repr, text))} for categorical, whose text is all numbers, such as {example!r}. To have "
             f"numbers write df[{name!r}] = {as_numbers(name, example)}", stacklevel=2)
    return cont, cat


def _shrunk(column: pd.Series, obj2cat: bool, int2uint: bool) -> Any:
    "The smallest type of a column that holds each of its values exactly."
    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "iu":
        unsigned = dtype.kind == "u" or (int2uint and not (column < 0).any())
        return pd.to_numeric(column, downcast="unsigned" if unsigned else "signed").dtype
    if isinstance(dtype, np.dtype) and dtype.kind == "f" and dtype.itemsize > 4:
        with np.errstate(over="ignore"):
            exact = np.array_equal(column.to_numpy(dtype="f4").astype(dtype), column, equal_nan=True)
        return np.dtype("f4") if exact else dtype
    is_text = isinstance(dtype, pd.StringDtype) or (pd.api.types.is_object_dtype(dtype) and column_kind(column) != "list or dict")
    return "category" if obj2cat and is_text else dtype


def df_shrink_dtypes(df: pd.DataFrame, skip: Sequence | str = (), obj2cat: bool = True, int2uint: bool = False) -> dict[Any, Any]:
    """The smaller types that `df_shrink` would give columns, by name.

    Args:
        df, skip, obj2cat, int2uint: see `df_shrink`.
    """
    df = unique_columns(df, "df_shrink")
    skip = listed_names(skip, df)
    check_columns(df, {"skip": skip}, "df_shrink")
    found = {name: _shrunk(df[name], obj2cat, int2uint) for name in df.columns if name not in skip}
    return {name: dtype for name, dtype in found.items() if dtype != df[name].dtype}


@knows_keywords
def df_shrink(df: pd.DataFrame, skip: Sequence | str = (), obj2cat: bool = True, int2uint: bool = False) -> pd.DataFrame:
    """A copy in smaller types that hold every value exactly: floats become float32 only where that loses nothing.

    Args:
        df: the frame.
        skip: columns to leave as they are.
        obj2cat: make pandas categories of text and objects, apart from lists and dicts, which cannot be any.
        int2uint: make whole numbers without a negative one unsigned.
    """
    return as_frame(df, "df_shrink").astype(df_shrink_dtypes(df, skip, obj2cat, int2uint))


# -- which values a column holds, by value and exactly --------------------------------------------------------------------------------
# Mostly `pandas.factorize`. Measured (2 cores, a column of 200,000 rows), two kinds of column are worth a way of their own: whole numbers
# that lie close together, whose distance from the smallest is the code (0.2 ms, `pandas.factorize` 1.4 ms), and text kept as Python
# objects that come again and again, as pandas reads it without pyarrow, which are told apart by identity first (2.6 ms,
# `pandas.factorize` 23 ms, pyarrow's `dictionary_encode` 27 ms).

def factorized(column: Any) -> tuple[np.ndarray, list]:
    """The codes of a column and what they stand for.

    Args:
        column: a Series, or an array of truth values.

    Returns:
        An array of int codes, -1 where a value is missing, and a list of Python values. Values that do not occur may be among them.
    """
    if isinstance(column, np.ndarray) and column.dtype == bool:
        return column.view(np.int8), [False, True]
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(), column.cat.categories.tolist()
    found, as_objects = None, column.dtype == object or getattr(column.dtype, "storage", "") == "python"
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iu":
        found = _by_offset(column.to_numpy())
    elif len(column) >= THREADS_FROM and as_objects:
        found = _by_identity(np.asarray(column))
    if found is not None:
        return found
    try:
        codes, values = pd.factorize(np.asarray(column) if as_objects else column)      # as objects: no look for missing values first
    except (TypeError, NotImplementedError) as e:           # which Arrow raises of lists
        bad = next((v for v in column if not pd.api.types.is_hashable(v)), None)
        raise TypeError(f"the categorical column {column.name!r} holds values that cannot be categories ({e}): received "
                        f"{describe(bad)}") from None
    return codes, values.tolist()


def _by_offset(numbers: np.ndarray) -> tuple[np.ndarray, list[int]] | None:
    "`factorized` of whole numbers that lie close together; None where they do not."
    low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    if high - low > min(len(numbers) - 1, 100_000):
        return None
    codes = np.empty(len(numbers), dtype=np.int32)
    np.subtract(numbers, numbers.dtype.type(low), out=codes, casting="unsafe")
    return codes, list(range(low, high + 1))


class _Addresses:
    "The memory of an array of objects seen as integers: the addresses of the objects."

    def __init__(self, objects: np.ndarray):
        self.__array_interface__ = {**objects.__array_interface__, "typestr": np.dtype(np.intp).str, "descr": [("", np.dtype(np.intp).str)]}


def _by_identity(objects: np.ndarray) -> tuple[np.ndarray, list] | None:
    "`factorized` of an array of few objects that come again and again; None where most rows have an object of their own."
    sample = objects[::max(1, len(objects) // 2000)].tolist()
    if objects.ndim != 1 or len(set(map(id, sample))) > len(sample) // 2:
        return None
    codes, addresses = pd.factorize(np.asarray(_Addresses(objects)))
    if len(addresses) > len(objects) // 4:
        return None
    first = np.empty(len(addresses), dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    try:
        by_value, values = pd.factorize(objects[first])
    except TypeError:                                     # what cannot be a category: the caller refuses it
        return None
    return codes if len(values) == len(addresses) else by_value[codes], values.tolist()


def sorted_values(values: list) -> list:
    "`values` in order; of mixed types, type by type."
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=lambda v: (type(v).__name__, str(v)))


def as_object_array(values: list) -> np.ndarray:
    "`values` as a 1-d array of objects, also where they are lists or tuples."
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
