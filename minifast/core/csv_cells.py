"""Text in the cells of a CSV file: what begins like a formula gets an apostrophe, else a spreadsheet computes it (OWASP, "CSV Injection").

The names of classes, files and metrics come from data, so every CSV file that the package writes is written and read with these two.
"""
from typing import Any

_STARTS = ("=", "+", "-", "@", "\t", "\r")


def to_cell(value: Any) -> Any:
    """`value` as it is written into a cell: text that a spreadsheet takes for a formula with an apostrophe before it.

    >>> to_cell("=1+1"), to_cell("-1.5"), to_cell("cat")
    ("'=1+1", '-1.5', 'cat')
    """
    return f"'{value}" if isinstance(value, str) and _needs_apostrophe(value) else value


def from_cell(value: Any) -> Any:
    """The value that `to_cell` wrote.

    >>> from_cell("'=1+1"), from_cell("'tis")
    ('=1+1', "'tis")
    """
    return value[1:] if isinstance(value, str) and value[:1] == "'" and _needs_apostrophe(value[1:]) else value


def _needs_apostrophe(text: str) -> bool:
    bare = text.lstrip("'")                 # "'=1" gets one more, so that each text is read as it was written
    if not bare.startswith(_STARTS):
        return False
    try:
        float(bare)
    except ValueError:
        return True
    return False
