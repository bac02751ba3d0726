"""Small functions of fastcore that code written for fastai uses: lists of anything, names.

fastcore itself is not imported, because importing it adds methods to `pathlib.Path`; what is not here comes with
`from fastcore.all import ...`.
"""
import inspect
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from .items import L, noop
from .paths import Path


def ifnone(a: Any, b: Any) -> Any:
    """`b` if `a` is None, else `a`.

    Args:
        a: what is used unless it is None.
        b: what stands in for it.
    """
    return b if a is None else a


def is_listy(x: Any) -> bool:
    """Whether `x` is a list, a tuple, an `L`, a slice, a generator or a set.

    Args:
        x: anything.
    """
    return isinstance(x, (list, tuple, L, slice, set, frozenset)) or inspect.isgenerator(x)


def _is_collection(o):
    "Whether `listify` takes the elements of `o`: text, arrays, tensors, tables and dicts count as one thing."
    return isinstance(o, Iterable) and not isinstance(o, (str, bytes, Mapping)) and not hasattr(o, "__array__") and not hasattr(o, "iloc")


def listify(o: Any = None, *rest: Any, use_list: bool = False, match: Any = None) -> list:
    """Make a list: empty for None, of the elements of a list, tuple, set, range or generator, otherwise `[o]`.

    Args:
        o: anything. Text, arrays, tensors, tables and dicts count as one element.
        rest: further elements.
        use_list: take the elements of any iterable, such as a string or an array.
        match: a length, or a collection of that length, which a single element is repeated to.

    Raises:
        ValueError: there are several elements, and not as many as `match` says.
    """
    if rest:
        o = (o, *rest)
    made = list(o) if use_list else [] if o is None else o if type(o) is list else list(o) if _is_collection(o) else [o]
    if match is None:
        return made
    n = match if isinstance(match, int) else len(match)
    if len(made) not in (1, n):
        raise ValueError(f"listify(match=...) asks for {n} elements; received {len(made)}")
    return made * n if len(made) == 1 else made


def tuplify(o: Any, use_list: bool = False, match: Any = None) -> tuple:
    """`listify` as a tuple.

    Args:
        o: anything.
        use_list: take the elements of any iterable.
        match: see `listify`.
    """
    return tuple(listify(o, use_list=use_list, match=match))


def setify(o: Any) -> set:
    """`listify` as a set.

    Args:
        o: anything.
    """
    return o if isinstance(o, set) else set(listify(o))


def uniqueify(x: Iterable, sort: bool = False, bidir: bool = False, start: Any = None) -> Any:
    """The different elements of `x`, in the order of their first appearance.

    Args:
        x: hashable elements.
        sort: sort them.
        bidir: return `(elements, {element: index})`.
        start: elements that come first.

    Returns:
        A list.
    """
    found = list(dict.fromkeys([*listify(start), *x]))
    if sort:
        found.sort()
    return (found, {v: i for i, v in enumerate(found)}) if bidir else found


def concat(*ls: Any) -> Any:
    """Concatenate tensors, arrays, lists or tuples.

    Args:
        *ls: the parts. Tensors and arrays are joined along their first axis; an element that is no list counts as a list of itself.

    Returns:
        What the first part is: a tensor, an array, a tuple or a list; an `L` for anything else, and an empty list of nothing.
    """
    if not ls:
        return []
    if isinstance(ls[0], torch.Tensor):
        return torch.cat(ls)
    if isinstance(ls[0], np.ndarray):
        return np.concatenate(ls)
    made = [o for part in ls for o in listify(part)]
    return type(ls[0])(made) if type(ls[0]) in (list, tuple) else L(made, use_list=True)


def merge(*ds: Mapping | None) -> dict:
    """One dict of several; of equal keys the last counts.

    Args:
        ds: dicts; None counts for nothing.
    """
    return {k: v for d in ds if d is not None for k, v in d.items()}


def _getter(key):
    "The function that `key` stands for: an index, the name of an attribute, a tuple of such, or a function."
    if isinstance(key, tuple):
        return lambda o: tuple(_getter(k)(o) for k in key)
    return operator.attrgetter(key) if isinstance(key, str) else operator.itemgetter(key) if isinstance(key, int) else key


def groupby(x: Iterable, key: Any, val: Any = noop) -> dict[Any, list]:
    """Group elements by a key; they need not be sorted.

    Args:
        x: the elements.
        key: a function, the name of an attribute, an index, or a tuple of such.
        val: what is kept of each element, likewise (default: the element itself).
    """
    groups: dict[Any, list] = {}
    for o in x:
        groups.setdefault(_getter(key)(o), []).append(_getter(val)(o))
    return groups


def camel2snake(name: str) -> str:
    """`ThreeWords` as `three_words`.

    Args:
        name: a name in camel case.
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def snake2camel(s: str) -> str:
    """`three_words` as `ThreeWords`.

    Args:
        s: a name in snake case.
    """
    return "".join(s.title().split("_"))


def join_path_file(file: Any, path: Any, ext: str = "") -> Any:
    """`path/file` with the suffix `ext`, whose folder is made; an open file as it is.

    Args:
        file: a name, or something with `write`.
        path: the folder.
        ext: the suffix, such as '.csv'.
    """
    if not isinstance(file, (str, Path)):
        return file
    Path(path).mkdir(parents=True, exist_ok=True)
    return Path(path) / f"{file}{ext}"


def partialler(f: Callable, *args: Any, order: int | None = None, **kwargs: Any) -> partial:
    """`functools.partial` that keeps the docstring of `f`.

    Args:
        f: the function.
        args: its first arguments.
        order: an attribute `order` of the result, for transforms.
        kwargs: its keyword arguments.
    """
    made = partial(f, *args, **kwargs)
    made.__doc__ = f.__doc__
    if order is not None or hasattr(f, "order"):
        made.order = f.order if order is None else order  # type: ignore[attr-defined]  # a partial has a __dict__
    return made


def doc(elt: Any) -> None:
    """Print the documentation of a function, a class or a method.

    Args:
        elt: what it is about.
    """
    help(elt)
