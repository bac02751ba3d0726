"""Rows that are copies of each other, told from rows that merely agree: by values as they came, where agreement is more than chance."""
from collections.abc import Iterable

import numpy as np

from ...learner.probe import once
from .image_files import groups_of_equal
from .probe import DataProbe

#: Columns, those with most values, of which one is left out at a time. In wider tables agreement on all is hardly ever chance.
MOST_COLUMNS = 64
CHANCE = 0.001          # equal rows to be expected by chance, below which a row is a copy


def _hashes(column, j):
    "A random 64-bit number for each value of column `j`, and how often it occurs, by row; missing values count as one value."
    import pandas as pd
    codes, values = pd.factorize(pd.Series(column), use_na_sentinel=False)
    numbers = np.random.Generator(np.random.PCG64(j)).integers(0, 2**63, len(values), dtype=np.uint64)
    return numbers[codes], np.bincount(codes)[codes], len(values)


def _times(keys):
    "How often the key of each row occurs."
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return counts[inverse]


def copies(columns: Iterable) -> list[list[int]]:
    """Groups of rows that agree on every column, and more often than chance makes rows agree that already agree on all columns but one.

    Rows of a few coarse columns are equal without being copies: of the 891 passengers of the Titanic 193 are equal to another by class,
    sex, age, fare, family and port, and all but 8 of them have others who differ in one column, and could as well have agreed.

    Args:
        columns: arrays or Series of one value per row.
    """
    hashed = [_hashes(column, j) for j, column in enumerate(columns)]
    if not hashed:
        return []
    whole: np.ndarray = np.stack([h for h, *_ in hashed]).sum(0, dtype=np.uint64)
    n_equal = _times(whole)
    found = n_equal > 1
    for h, n_value, n_values in sorted(hashed, key=lambda o: -o[2])[:MOST_COLUMNS]:
        if n_values > 1 and found.any():            # others that agree but for this column, and how many of those agree on it by chance
            found &= (_times(whole - h) - n_equal) * (n_value - n_equal) <= CHANCE * len(whole)
    where = np.flatnonzero(found)
    return [[int(where[i]) for i in group] for group in groups_of_equal(b"%d" % k for k in whole[where])]


def _is_text(column):
    "Whether a column is text that may tell rows apart: not numbers, and not an id."
    if column.dtype.kind in "biufc":
        return False
    return column.duplicated().any() or bool(column.astype(str).str.contains(" ").mean() > 0.5)


@once
def copied_rows(data: DataProbe) -> list[list[int]] | None:
    """Groups of rows that are copies of each other, as indices over both splits; None where the items are not rows.

    They are compared on the inputs as they came, where the user's frame is still there, and on the text columns beside them, such as
    names. Text that differs in every row is left out, as it may be a number given to each, unless it consists of several words.
    """
    tables = [data.table(side) for side in range(len(data.loaders))]
    if any(t is None or not len(t.values) for t in tables) or len({t.values.shape[1] for t in tables}) != 1:
        return None
    frames = [data.original(side) for side in range(len(data.loaders))]
    if any(f is None for f in frames):
        return copies(np.concatenate([t.values for t in tables]).T)
    import pandas as pd
    table, frame = data.loaders[0].dataset, pd.concat(frames)
    inputs = [*table.raw_cat_names, *table.raw_cont_names]
    beside = [name for name in frame if name not in inputs and name not in table.y_names and _is_text(frame[name])]
    try:
        return copies([frame[name] for name in inputs + beside])
    except TypeError:               # values that cannot be compared, such as lists
        return copies(np.concatenate([t.values for t in tables]).T)
