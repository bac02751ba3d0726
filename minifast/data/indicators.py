"""Lists of one value for each class, such as 0 and 1, told from lists of labels."""
from collections.abc import Sequence

from .labels import is_missing, python_value


def indicator_values(lists: Sequence) -> list | None:
    """The different values of lists that hold one value for each class, such as 0 or 1; None where they are lists of labels, or of numbers.

    Lists of labels differ in length, or do not repeat a label, or know more than three.

    Args:
        lists: one list (or array, or row) per item.
    """
    values: dict = {}
    length, repeats = len(lists[0]) if len(lists) else 0, False
    for o in lists:
        labels = [None if is_missing(v) else python_value(v) for v in o]
        repeats = repeats or len(set(map(str, labels))) < len(labels)
        values.update(dict.fromkeys(labels) if all(isinstance(v, (str, int, float, type(None))) for v in labels) else {})
        if len(labels) != length or length < 2 or not 0 < len(values) <= 4:
            return None
    known = [v for v in values if v is not None]
    if all(isinstance(v, str) for v in known):
        return known if repeats and len(known) <= 3 else None
    return known if set(known) <= {0, 1} or (repeats and {0, 1} <= set(known) <= {-1, 0, 1, 2}) else None


def refuse_indicators(lists: Sequence, where: str, instead: str) -> None:
    """Refuse lists of one value for each class where lists of labels are wanted, see `indicator_values`.

    Args:
        lists: one list per item.
        where: the call, for messages.
        instead: what to write, with `{names}` where the names of the classes stand.

    Raises:
        ValueError: with what to write.
    """
    values = indicator_values(lists)
    if values is not None:
        n, own = len(lists[0]), ", ".join(map(repr, values))
        instead = instead.format(names=", ".join(f"'name {i}'" for i in range(n)) if n <= 4 else "...")
        raise ValueError(f"{where}: each item has {n} labels that are all {own}, which looks like one value for each of {n} classes, "
                         f"not like a list of labels. Give the names of the classes and zeros and ones, {instead}; if the values are the "
                         f"labels, MultiCategoryBlock(vocab=[{own}])")
