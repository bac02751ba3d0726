"""Small functions and classes of fastcore that code written for fastai uses: lists of anything, names, attributes that are passed on.

fastcore itself is not imported, because importing it adds methods to `pathlib.Path`; what is not here comes with
`from fastcore.all import ...`.
"""
import inspect
import itertools
import operator
import re
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any, TypeVar

import numpy as np
import torch

from .device import cpu_count
from .items import L, noop
from .paths import Path
from .progress import progress_bar

F = TypeVar("F", bound=Callable[..., Any])


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


def num_cpus() -> int:
    "The number of cores this process may use."
    return cpu_count()


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


def parallel(f: Callable, items: Iterable, *args: Any, n_workers: int | None = None, total: int | None = None, progress: bool | None = None,
             pause: float = 0, method: str | None = None, threadpool: bool = False, timeout: float | None = None, chunksize: int = 1,
             return_exceptions: bool = False, **kwargs: Any) -> L:
    """`f(*args, item, **kwargs)` of every item, in several processes or threads.

    Args:
        f: a function; for processes one that can be pickled, so defined at the top of a module.
        items: the items.
        *args: arguments of `f` before the item, as in fastcore.
        n_workers: how many at a time (default: one for each core, 16 at most); 0: in this process.
        total: the number of items, for the progress bar.
        progress: show a progress bar.
        pause: seconds to wait before each call.
        method: how processes are started, 'fork', 'spawn' or 'forkserver' (default: Python's).
        threadpool: threads instead of processes.
        timeout: seconds to wait for a result.
        chunksize: items handed to a process at a time.
        return_exceptions: put an exception in the place of its result instead of raising it.
        **kwargs: keyword arguments of `f`.

    Returns:
        The results, in the order of the items.
    """
    items, call = list(items), partial(_call, partial(f, *args, **kwargs), pause, return_exceptions)
    n_workers = min(16, cpu_count()) if n_workers is None else n_workers
    if not n_workers:
        return L((call(o) for o in (progress_bar(items, total=total) if progress else items)), use_list=True)
    pool: Executor = ThreadPoolExecutor(n_workers) if threadpool else ProcessPoolExecutor(n_workers, get_context(method))
    with pool:
        results = pool.map(call, items, timeout=timeout, chunksize=chunksize)
        return L(progress_bar(results, total=total or len(items)) if progress else results, use_list=True)


def _call(f, pause, return_exceptions, o):
    time.sleep(pause)
    try:
        return f(o)
    except Exception as e:
        if return_exceptions:
            return e
        raise


class GetAttr:
    """Base of a class that passes on what it does not have itself to its attribute `default` (or the one named by `_default`).

    `_xtra`: the names that are passed on (default: all).
    """

    _default = "default"
    _xtra: list[str] | None = None

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__") and name != self._default and (self._xtra is None or name in self._xtra):
            target = getattr(self, self._default, None)
            if target is not None:
                return getattr(target, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(dir(getattr(self, self._default, None)) if self._xtra is None else self._xtra)})


def delegates(to: Any = None, keep: bool = False, but: Iterable[str] | str | None = None, sort_args: bool = False) -> Callable[[F], F]:
    """Decorator: show the keyword arguments of `to` in the signature, in the place of `**kwargs`.

    Args:
        to: a function or class (default: the base class of the decorated class).
        keep: keep `**kwargs` in the signature.
        but: names to leave out, a list or separated by commas.
        sort_args: sort the keyword arguments by name.
    """
    omitted = re.split(", *", but) if isinstance(but, str) else listify(but)

    def decorate(f: F) -> F:
        decorated: Any = f
        source = decorated.__base__ if to is None else to
        target = source.__init__ if isinstance(source, type) else source  # type: ignore[misc]  # of a class
        own: Any = decorated.__init__ if isinstance(f, type) else getattr(f, "__func__", f)  # type: ignore[misc]  # of a class
        params = dict(inspect.signature(own).parameters)
        rest = params.pop(next((n for n, p in params.items() if p.kind is p.VAR_KEYWORD), ""), None)
        taken = [p.replace(kind=p.KEYWORD_ONLY) for n, p in inspect.signature(target).parameters.items()
                 if p.default is not p.empty and n not in params and n not in omitted]
        own.__signature__ = inspect.Signature([*params.values(), *(sorted(taken, key=lambda p: p.name) if sort_args else taken),
                                               *([rest] if keep and rest is not None else [])])
        own.__doc__ = own.__doc__ or target.__doc__
        return f

    return decorate


def _by_element(op: Callable) -> Callable[..., Any]:
    "The method of `fastuple` that applies `op` to each element, and to the elements of further tuples or the same further value."
    def method(self: "fastuple", *args: Any) -> "fastuple":
        return fastuple(tuple(map(op, self, *(itertools.cycle(o if is_listy(o) else [o]) for o in args))))

    return method


class fastuple(tuple):
    """A tuple that computes element by element: `fastuple(1, 2) - 1`, `fastuple(4, 6) / (2, 3)`.

    `+` and `*` join and repeat, as those of every tuple: write `t.add(1)` and `t.mul((3, 4))`. Comparisons are `eq`, `ne`, `lt`, `le`,
    `gt` and `ge`; `~t` is the logical not of each element.
    """

    def __new__(cls, x: Any = None, *rest: Any) -> "fastuple":
        if x is None:
            x = ()
        elif not isinstance(x, tuple):
            x = tuple(x) if isinstance(x, Iterable) and not rest else (x,)
        return super().__new__(cls, (*x, *rest))

    add, mul = _by_element(operator.add), _by_element(operator.mul)
    eq, ne, lt, le, gt, ge = (_by_element(op) for op in (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge))
    min, max = _by_element(min), _by_element(max)
    __sub__, __matmul__, __pow__ = _by_element(operator.sub), _by_element(operator.matmul), _by_element(operator.pow)
    __truediv__, __floordiv__, __mod__ = _by_element(operator.truediv), _by_element(operator.floordiv), _by_element(operator.mod)
    __and__, __xor__ = _by_element(operator.and_), _by_element(operator.xor)
    __lshift__, __rshift__ = _by_element(operator.lshift), _by_element(operator.rshift)
    __neg__, __pos__, __abs__, __invert__ = (_by_element(op) for op in (operator.neg, operator.pos, operator.abs, operator.not_))


class _Expression:
    """What `Self` builds up: attributes, indices and calls, which become a function.

    `Self.method(args)` is `lambda o: o.method(args)`, `Self[i]` is `lambda o: o[i]`, and `~Self.name` is `lambda o: o.name`.

    Args:
        *args: of the method that was named last; or, of a complete expression, the object to apply it to.
        **kwargs: keyword arguments of that method.
    """

    def __init__(self, steps: tuple = ()):
        self._steps = steps

    def __getattr__(self, name: str) -> "_Expression":
        if name.startswith("__"):
            raise AttributeError(name)
        return _Expression((*self._steps, (name, None, {})))

    def __getitem__(self, i: Any) -> "_Expression":
        return _Expression((*self._steps, ("__getitem__", (i,), {})))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._steps:
            return _Expression((("__call__", args, kwargs),))
        if self._steps[-1][1] is None:
            return _Expression((*self._steps[:-1], (self._steps[-1][0], args, kwargs)))
        if not args:
            raise TypeError(f"{self!r} is a function of one object: write {self!r}(object)")
        return (~self)(args[0])

    def __invert__(self) -> Callable[[Any], Any]:
        def f(o: Any) -> Any:
            for name, args, kwargs in self._steps:
                o = getattr(o, name)
                o = o if args is None else o(*args, **kwargs)
            return o

        return f

    def __bool__(self) -> bool:
        if self._steps and self._steps[-1][1] is None:
            raise TypeError(f"{self!r} is not complete: write ~{self!r} for the function that returns this attribute")
        return True

    def __repr__(self) -> str:
        text = "Self"
        for name, args, kwargs in self._steps:
            given = ", ".join([*map(repr, args or ()), *(f"{k}={v!r}" for k, v in kwargs.items())])
            call = "" if args is None else f"({given})"
            text += {"__getitem__": f"[{given}]", "__call__": call}.get(name, f".{name}{call}")
        return text


def doc(elt: Any) -> None:
    """Print the documentation of a function, a class or a method.

    Args:
        elt: what it is about.
    """
    help(elt)


#: Where an expression begins.
Self = _Expression()
