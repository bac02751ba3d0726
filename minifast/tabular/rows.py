"""Rows that come one by one: a dict or Series, or a list of them, as a frame or as encoded values."""
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..core.messages import describe, did_you_mean
from .columns import as_frame

if TYPE_CHECKING:
    from .frames import TabularPandas


def rows_frame(items: Any) -> pd.DataFrame:
    "Rows as a DataFrame: a frame, one row (Series or dict), or a list of rows."
    if isinstance(items, pd.Series):
        return items.to_frame().T.infer_objects()
    if isinstance(items, dict):
        return pd.DataFrame([items])
    if not isinstance(items, (list, tuple)):
        return as_frame(items, "test_dl")
    odd = [f"item {i}, {describe(o)}" for i, o in enumerate(items) if not isinstance(o, (pd.Series, dict))]
    if odd or not items:
        raise TypeError("rows are dicts or Series with the columns of the training data; received "
                        + (odd[0] if odd else describe(items)))
    return pd.DataFrame([dict(o) for o in items])


def encode_row(table: "TabularPandas", row: Mapping) -> tuple[list[int], list[float]] | None:
    "See `TabularPandas.encode_row`."
    if any(p.encodes_row is None for p in table.procs) or (table.raw_cat_names and not table.classes):
        return None
    try:
        cats = {name: row[name] for name in table.raw_cat_names}
        conts = {name: row[name] for name in table.raw_cont_names}
    except KeyError as e:
        raise ValueError(f"the row lacks the column {e.args[0]!r} of the training data{did_you_mean(e.args[0], row)}") from None
    for name, value in conts.items():
        conts[name] = value if type(value) is float and -1e308 < value < 1e308 else _number(value, name)
    for proc in table.procs:
        proc.encodes_row(cats, conts)
    return list(cats.values()), list(conts.values())


def _number(value: Any, name: Any) -> float:
    "One value of a row as a float; NaN where it is missing."
    try:
        value = float("nan") if value is None or value is pd.NA or value is pd.NaT else float(value)
    except (TypeError, ValueError):
        raise TypeError(f"the continuous column {name!r} takes a number; received {describe(value)}") from None
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"the continuous column {name!r} takes finite numbers; received {value}")
    return value
