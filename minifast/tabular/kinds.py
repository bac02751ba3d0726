"""What a column holds, numbers, truth values, dates, text ..., told from its values where its type does not say."""
import re
from numbers import Number
from typing import Any

import pandas as pd

#: Kinds that are neither numbers nor categories, and what to write of a column of a frame to have numbers.
ADVICE = {"date": "make columns of it with add_datepart(df, {name!r})",
          "duration": "make a number of it, df[{name!r}] = pd.to_timedelta(df[{name!r}]).dt.total_seconds()",
          "time of day": "make a number of it, df[{name!r}] = pd.to_timedelta(df[{name!r}].astype(str)).dt.total_seconds()",
          "list or dict": "make a number of it, for example df[{name!r}] = df[{name!r}].map(len)",
          "complex number": "make a number of it, for example df[{name!r}] = df[{name!r}].map(abs)"}
_KINDS = {"mixed-integer-float": "floating", "decimal": "floating", "complex": "complex number", "date": "date", "datetime": "date",
          "datetime64": "date", "period": "date", "timedelta": "duration", "timedelta64": "duration", "time": "time of day",
          "integer": "integer", "floating": "floating", "boolean": "boolean", "categorical": "categorical"}
_NUMBER = re.compile(r"\s*[-+]?\d+([.,]\d+)?\s*")


def is_date(series: pd.Series) -> bool:
    "Whether the type of a column is that of dates, times or durations."
    dtype = series.dtype
    return pd.api.types.is_datetime64_any_dtype(dtype) or pd.api.types.is_timedelta64_dtype(dtype) or isinstance(dtype, pd.PeriodDtype)


def column_kind(column: pd.Series) -> str:
    """What all values of a column are, missing ones aside.

    Returns:
        'floating' (decimals too), 'integer', 'boolean', 'categorical' (a pandas category), one of `ADVICE`, or 'text' for all else.
    """
    if isinstance(column.dtype, pd.StringDtype):
        return "text"
    found = pd.api.types.infer_dtype(column, skipna=True)
    if found == "unknown-array":                    # lists, structs and dictionaries of Arrow
        column = column.astype(object)
        found = pd.api.types.infer_dtype(column, skipna=True)
    if found in ("mixed", "mixed-integer"):
        values = column.dropna()
        if not values.map(pd.api.types.is_hashable).all():
            return "list or dict"
        return "floating" if all(isinstance(v, Number) for v in values) else "text"
    return _KINDS.get(found, "text")


def numbers_in_text(column: pd.Series) -> Any:
    "An example of the text of a column of text in which every value is a number, and some have a fraction; None for any other column."
    if not (isinstance(column.dtype, pd.StringDtype) or column.dtype == object):
        return None
    values = column.dropna()
    for part in (values[:100], values):             # most often the first ones say that it is no such column
        if not all(isinstance(v, str) and _NUMBER.fullmatch(v) for v in part):
            return None
    return next((v for v in values if "." in v or "," in v), None)


def as_numbers(name: Any, example: str) -> str:
    "What to write for the numbers of a column of a frame that holds text such as `example`."
    column = f"df[{name!r}].str.replace(',', '.')" if "," in example else f"df[{name!r}]"
    return f"pd.to_numeric({column})"
