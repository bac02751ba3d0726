"""Classes given to metrics by name: `F1Score(pos_label="yes")`, `DiceMulti(labels=["road", "car"])`."""
from collections.abc import Iterable
from operator import index
from typing import TYPE_CHECKING, Any

from ..core.items import L
from ..core.messages import did_you_mean, listing

if TYPE_CHECKING:
    pass


def classes_of(learn: Any) -> list | None:
    "The names of the classes of the learner's targets; of several vocabularies the last. None where the data has none."
    return classes_in(getattr(getattr(learn, "dls", None), "vocab", None))


def classes_in(vocab: Any) -> list | None:
    "The names of classes in `dls.vocab`: of several vocabularies, such as of tokens and of classes, the last. None where it has none."
    vocab = list(vocab) if isinstance(vocab, Iterable) and not isinstance(vocab, (str, dict)) else []
    return (list(vocab[-1]) if isinstance(vocab[0], (list, tuple, L)) else vocab) if vocab else None


def class_ids(given: Any, names: list | None, n: int | None, where: str) -> list[int]:
    "The ids of several classes, or of one, each as for `class_id`."
    return [class_id(o, names, n, where) for o in ([given] if isinstance(given, str) else given)]


def class_id(given: Any, names: list | None, n: int | None, where: str) -> int:
    """The id of a class given by its name or its id.

    Args:
        given: the name, also of a class that is a number (`'7'` or 7), or the id.
        names: the names of the classes, if they are known.
        n: the number of classes, if it is known.
        where: what it was given for, such as `F1Score(labels=...)`.

    Raises:
        ValueError: there is no such class, or a number is the name of one class and the id of another.
    """
    by_name = [i for i, name in enumerate(names or ()) if name == given or (isinstance(given, str) and str(name) == given)]
    try:
        number = -1 if isinstance(given, (bool, str)) else index(given)
    except TypeError:
        number = -1
    is_id = number >= 0 and (n is None or number < n)
    known = "" if names is None else f" Classes: {listing(f'{name!r} (id {i})' for i, name in enumerate(names))}."
    if by_name and is_id and by_name[0] != number:
        raise ValueError(f"{where}: {given!r} is the name of the class with id {by_name[0]}, and the id of another: write "
                         f"{str(given)!r} for the class of that name.{known}")
    if by_name:
        return by_name[0]
    if is_id:
        return number
    if isinstance(given, str) and names is None:
        raise ValueError(f"{where}: class {given!r} is not known here: names of classes are those of the learner's data, `dls.vocab`, and "
                         "there are none. Give ids, such as 0.")
    limit = f" or an id from 0 to {n - 1}" if n else ""
    raise ValueError(f"{where}: there is no class {given!r}{did_you_mean(given, names or ()) or '.'} Give a name{limit}.{known}")
