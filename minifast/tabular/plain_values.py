"""What procs and targets have learnt as values that a checkpoint can store, and back: text and numbers as they are, times as text."""
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import pandas as pd

from ..core.messages import describe
from ..data.categories import CategoryMap

_READ = {"timestamp": pd.Timestamp, "timedelta": pd.Timedelta, "date": date.fromisoformat, "datetime": datetime.fromisoformat}


def to_plain(value: Any, name: Any) -> Any:
    """`value` as it is stored: a dict as a list of pairs, because names of columns need not be text, a vocabulary as a list.

    Args:
        value: what was learnt.
        name: of the column or attribute, for messages.
    """
    if isinstance(value, dict):
        return [[k, to_plain(v, k)] for k, v in value.items()]
    if isinstance(value, CategoryMap):
        return [to_plain(v, name) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (pd.Timestamp, pd.Timedelta, datetime, date)):
        return {type(value).__name__.lower(): value.isoformat()}
    raise TypeError(f"state_dict: column {name!r} has a category that cannot be stored, {describe(value)}: make it text or a number")


def from_plain(saved: Any) -> Any:
    "What `to_plain` stored: a list of pairs as a dict."
    return dict(map(tuple, saved)) if isinstance(saved, list) else saved


def vocab_from_plain(saved: Iterable, add_na: bool) -> CategoryMap:
    "The vocabulary that `to_plain` stored."
    def value(o: Any) -> Any:
        return next(_READ[kind](text) for kind, text in o.items()) if isinstance(o, dict) else o

    return CategoryMap.of_unique(map(value, saved), add_na=add_na)
