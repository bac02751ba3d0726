"""Categories and dicts as values that a checkpoint can store, and back: text, numbers and truth values as they are, times as text."""
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

import pandas as pd

from ..core.messages import describe
from ..data.categories import CategoryMap

_TIMES = {"timestamp": pd.Timestamp, "timedelta": pd.Timedelta, "date": date.fromisoformat, "datetime": datetime.fromisoformat}


def pairs(values: Mapping) -> list[list]:
    "A dict as a list of pairs: names of columns need not be text."
    return [[k, v] for k, v in values.items()]


def from_pairs(saved: Iterable) -> dict:
    "The dict of which `pairs` made `saved`."
    return dict(map(tuple, saved))


def plain_vocab(vocab: Iterable, name: Any) -> list:
    "The categories of column `name` as values that can be stored."
    def plain(value: Any) -> Any:
        if isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, (pd.Timestamp, pd.Timedelta, datetime, date)):
            return {type(value).__name__.lower(): value.isoformat()}
        raise TypeError(f"state_dict: column {name!r} has a category that cannot be stored, {describe(value)}: make it text or a number")

    return [plain(v) for v in vocab]


def vocab_from_plain(values: Iterable, add_na: bool) -> CategoryMap:
    "The categories of which `plain_vocab` made `values`."
    def value(saved: Any) -> Any:
        if not isinstance(saved, dict):
            return saved
        (kind, text), = saved.items()
        return _TIMES[kind](text)

    return CategoryMap.of_unique(map(value, values), add_na=add_na)
