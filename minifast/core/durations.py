"Lengths of time as people write them: '30s', '2min', '1h'."
import re

#: Seconds in each unit.
UNITS: dict[str, float] = {"s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0}


def seconds_in(text: object) -> float | None:
    """How many seconds a text such as '90s', '5min' or '1.5 h' stands for; None if it is no such text, or none at all.

    >>> seconds_in("2min"), seconds_in("soon")
    (120.0, None)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|sec|min|h)\s*", text) if isinstance(text, str) else None
    return (float(found[1]) * UNITS[found[2]] or None) if found else None
