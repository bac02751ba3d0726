"""Which values a column holds, and which of them each row has: by value, exactly, and fast."""
import numpy as np
import pandas as pd

from ..core.messages import describe
from ..data.labels import is_missing

#: Long tables, from this many rows on, are worth several threads and other ways of being quick.
THREADS_FROM = 50_000


def factorized(column, name):
    """`(codes, values)`: an int array with -1 where a value is missing, and what the codes stand for, a list of Python values. Values
    that do not occur may be among them."""
    if isinstance(column, np.ndarray) and column.dtype == bool:
        return column.view(np.int8), [False, True]
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(), column.cat.categories.tolist()
    found, in_python = None, column.dtype == object or getattr(column.dtype, "storage", "") == "python"
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iu":
        found = _by_offset(column.to_numpy())
    elif len(column) >= THREADS_FROM and in_python:
        found = _by_identity(np.asarray(column))
    if found is not None:
        return found
    try:
        codes, values = pd.factorize(np.asarray(column) if in_python else column)      # as objects: no look for missing values first
    except TypeError as e:
        raise TypeError(f"the category column {name!r} holds values that cannot be categories ({e}): received "
                        f"{describe(next((v for v in column if not is_missing(v) and not _is_hashable(v)), None))}") from None
    return codes, values.tolist()


def _is_hashable(value):
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _by_offset(numbers):
    "`factorized` of whole numbers that lie close together: their distance from the smallest is the code. None where they do not."
    if not len(numbers):
        return None
    low, high = int(numbers.min()), int(numbers.max())
    if high - low > min(len(numbers), 100_000):
        return None
    codes = np.empty(len(numbers), dtype=np.int32)
    np.subtract(numbers, numbers.dtype.type(low), out=codes, casting="unsafe")
    return codes, list(range(low, high + 1))


class _Addresses:
    "The memory of an array of objects seen as whole numbers: the addresses of the objects."

    def __init__(self, objects):
        self.__array_interface__ = {**objects.__array_interface__, "typestr": np.dtype(np.intp).str, "descr": [("", np.dtype(np.intp).str)]}


def _by_identity(objects):
    """`factorized` of an array in which the same few objects come again and again, as pandas reads text: told apart first by where they
    are, which needs neither Python nor a look at the text, and then by value. None where most rows have an object of their own."""
    sample = objects[::max(1, len(objects) // 2000)]
    if objects.ndim != 1 or len(set(map(id, sample.tolist()))) > len(sample) // 2:
        return None
    codes, addresses = pd.factorize(np.asarray(_Addresses(objects)))
    if len(addresses) > len(objects) // 4:
        return None
    first = np.empty(len(addresses), dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    try:
        by_value, values = pd.factorize(objects[first])
    except TypeError:                                     # what cannot be a category: the caller says so
        return None
    if len(values) == len(addresses):
        return codes, values.tolist()
    return by_value[codes], values.tolist()


def sorted_values(values):
    "`values` in order; of mixed types, type by type."
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=lambda v: (type(v).__name__, str(v)))


def decoded_values(classes):
    "The classes as an array to be indexed with codes."
    values = np.empty(len(classes), dtype=object)
    values[:] = list(classes)
    return values
