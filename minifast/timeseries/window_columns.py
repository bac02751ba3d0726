"""The columns of windows: numbers, labels, missing values."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..core.messages import describe, listing
from ..data.categories import CategoryMap


def check_numbers(df: pd.DataFrame, columns: Sequence[Any], where: str) -> None:
    """Refuse columns that hold something else than numbers, or infinite ones.

    Args:
        df: the frame.
        columns: the names.
        where: who asks for them.
    """
    wrong = [c for c in columns if not pd.api.types.is_numeric_dtype(df[c])]
    if wrong:
        raise TypeError(f"{where}: the column {wrong[0]!r} holds no numbers: {describe(df[wrong[0]].iloc[0])}. Make numbers of it first: "
                        f"of text that shows some, pd.to_numeric(df[{wrong[0]!r}], errors='coerce'); of categories a column of 0 and 1 "
                        f"for each, pd.get_dummies(df, columns=[{wrong[0]!r}])")
    infinite = [c for c in columns if np.isinf(df[c].to_numpy(dtype=np.float64, na_value=np.nan)).any()]
    if infinite:
        raise ValueError(f"{where}: the column {infinite[0]!r} holds infinite values: write df = df.replace([np.inf, -np.inf], "
                         "np.nan), and " + ("gaps='split' or how to fill them" if where == "SlidingWindows" else "fill them in"))


def labels_of(column: pd.Series, name: Any, vocab: Sequence[Any] | None) -> tuple[list, np.ndarray]:
    """The labels, sorted, and the number of that of each row, -1 where there is none.

    Args:
        column: a label for each row.
        name: of the column.
        vocab: the labels; None: those of the column.
    """
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 != 0).any():
        raise ValueError(f"SlidingWindows(label={name!r}): the column holds fractions, and windows have classes. To predict numbers that "
                         f"come after a window write target={name!r}, horizon=1")
    found = list(vocab) if vocab is not None else list(CategoryMap(column, strict=True))
    if not found:
        raise ValueError(f"SlidingWindows(label={name!r}): the column has no label in any row")
    at = {label: i for i, label in enumerate(found)}
    codes = column.astype(object).map(lambda o: at.get(o, -1)).to_numpy(dtype=np.int64)
    unknown = np.flatnonzero((codes < 0) & column.notna().to_numpy())
    if len(unknown):
        raise ValueError(f"SlidingWindows(label={name!r}): the label {column.iloc[unknown[0]]!r} is not among {listing(map(repr, found))}")
    return found, codes


def without_nan(columns: np.ndarray, series: np.ndarray, how: str) -> np.ndarray:
    """Missing values filled within their series; what cannot be filled stays.

    Args:
        columns: (rows, columns).
        series: the series of each row.
        how: 'forward', 'linear' or 'zero'.
    """
    if how == "zero":
        return np.nan_to_num(columns)
    frame = pd.DataFrame(columns).groupby(series)
    filled = frame.ffill() if how == "forward" else frame.transform(lambda c: c.interpolate(limit_area="inside").ffill())
    return filled.to_numpy()
