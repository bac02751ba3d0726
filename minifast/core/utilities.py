"""Small functions and classes of fastcore that code written for fastai uses: lists of anything, names, attributes that are passed on.

fastcore itself is not imported, because importing it adds methods to `pathlib.Path`; what is not here comes with
`from fastcore.all import ...`.
"""
import inspect
import itertools
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from .device import cpu_count
from .items import L
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
    """Whether `x` is a list, a tuple, an `L`, a slice or a generator.

    Args:
        x: anything.
    """
    return isinstance(x, (list, tuple, L, slice)) or inspect.isgenerator(x)


def listify(o: Any = None, *rest: Any, use_list: bool = False, match: Any = None) -> list:
    """Make a list of `o`: nothing for None, the elements of a list, tuple or generator, otherwise `[o]`.

    Args:
        o: anything.
        rest: further elements.
        use_list: take the elements of any iterable, such as a string or an array.
        match: a value, or a sequence whose length `o` is repeated to.
    """
    if rest:
        o = (o, *rest)
    if o is None:
        made = []
    elif use_list or is_listy(o) or isinstance(o, (range, map, filter, zip)):
        made = list(o)
    else:
        made = [o]
    n = None if match is None else match if isinstance(match, int) else len(match) if hasattr(match, "__len__") else 1
    return made * n if n is not None and len(made) == 1 else made


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


def concat(*colls: Iterable) -> list:
    """One list of the elements of several collections.

    Args:
        colls: the collections, or one collection of them.
    """
    return list(itertools.chain.from_iterable(colls[0] if len(colls) == 1 and is_listy(colls[0]) else colls))


def merge(*ds: Mapping | None) -> dict:
    """One dict of several; of equal keys the last counts.

    Args:
        ds: dicts; None counts for nothing.
    """
    return {k: v for d in ds if d is not None for k, v in d.items()}


def groupby(x: Iterable, key: Any = None, val: Any = None) -> dict[Any, list]:
    """The elements of `x` by their `key`.

    Args:
        x: the elements.
        key: a function, an attribute's name or an index (default: the element itself).
        val: what is kept of each, likewise.
    """
    def getter(o):
        if o is None:
            return lambda x: x
        return operator.attrgetter(o) if isinstance(o, str) else operator.itemgetter(o) if isinstance(o, int) else o

    groups: dict[Any, list] = {}
    for o in x:
        groups.setdefault(getter(key)(o), []).append(getter(val)(o))
    return groups


def camel2snake(name: str) -> str:
    """`ThreeWords` as `three_words`.

    Args:
        name: a name in camel case.
    """
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


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
             **kwargs: Any) -> L:
    """`f(item, *args, **kwargs)` of every item, in several processes or threads.

    Args:
        f: a function; for processes one that can be pickled, so defined at the top of a module.
        items: the items.
        args: further arguments of `f`.
        n_workers: how many at a time (default: one for each core); 0: in this process.
        total: the number of items, for the progress bar.
        progress: show a progress bar.
        pause: accepted for old code.
        method: accepted for old code.
        threadpool: threads instead of processes.
        timeout: seconds to wait for a result.
        chunksize: items handed to a process at a time.
        kwargs: keyword arguments of `f`.

    Returns:
        The results in the order of the items.
    """
    items, call = list(items), _Applied(f, args, kwargs) if args or kwargs else f
    n_workers = min(16, cpu_count()) if n_workers is None else n_workers
    if not n_workers:
        return L((call(o) for o in (progress_bar(items, total=total) if progress else items)), use_list=True)
    kind: type[Executor] = ThreadPoolExecutor if threadpool else ProcessPoolExecutor
    with kind(n_workers) as pool:  # type: ignore[call-arg]  # both take the number of workers
        results = pool.map(call, items, timeout=timeout, chunksize=chunksize)
        return L(progress_bar(results, total=total or len(items)) if progress else results, use_list=True)


class _Applied:
    "`f` with arguments after its first: a function that can be pickled."

    def __init__(self, f: Callable, args: tuple, kwargs: dict):
        self.f, self.args, self.kwargs = f, args, kwargs

    def __call__(self, o: Any) -> Any:
        return self.f(o, *self.args, **self.kwargs)


class GetAttr:
    """Base of a class that passes on what it does not have itself to its attribute `default` (or the one named by `_default`).

    `_xtra`: the names that are passed on (default: all that are not private).
    """

    _default = "default"
    _xtra: list[str] | None = None

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name != self._default and (self._xtra is None or name in self._xtra):
            target = self.__dict__.get(self._default)
            if target is not None:
                return getattr(target, name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(self._xtra or dir(self.__dict__.get(self._default)))})


def delegates(to: Any = None, keep: bool = False, but: Iterable[str] | str | None = None) -> Callable[[F], F]:
    """Decorator: replace `**kwargs` in the signature that is shown by the keyword arguments of `to`.

    Args:
        to: a function or class (default: the base class of the decorated class).
        keep: keep `**kwargs` in the signature.
        but: names to leave out.
    """
    def decorate(f: F) -> F:
        target, own = (f.__base__.__init__, f.__init__) if to is None else (to.__init__ if isinstance(to, type) else to, f)  # type: ignore[attr-defined]
        own = own.__init__ if isinstance(own, type) else own
        own = getattr(own, "__func__", own)
        params = dict(inspect.signature(own).parameters)
        rest = params.pop(next((n for n, p in params.items() if p.kind is p.VAR_KEYWORD), ""), None)
        taken = {n: p.replace(kind=p.KEYWORD_ONLY) for n, p in inspect.signature(target).parameters.items()
                 if p.default is not p.empty and n not in params and n not in listify(but)}
        params |= taken
        if keep and rest is not None:
            params[rest.name] = rest
        own.__signature__ = inspect.Signature(list(params.values()))
        return f

    return decorate


class fastuple(tuple):
    "A tuple that computes element by element: `fastuple(1, 2) + 1`, `fastuple(1, 2) * (3, 4)`."

    def __new__(cls, x: Any = None, *rest: Any) -> "fastuple":
        return super().__new__(cls, (x, *rest) if rest else x if isinstance(x, tuple) else tuplify(x))

    def _by_element(self, op, other):
        others = other if isinstance(other, (tuple, list)) else [other] * len(self)
        return type(self)(*map(op, self, others))

    def __add__(self, other: Any) -> "fastuple":  # type: ignore[override]  # not concatenation
        return self._by_element(operator.add, other)

    def __sub__(self, other: Any) -> "fastuple":
        return self._by_element(operator.sub, other)

    def __mul__(self, other: Any) -> "fastuple":  # type: ignore[override]  # not repetition
        return self._by_element(operator.mul, other)

    def __truediv__(self, other: Any) -> "fastuple":
        return self._by_element(operator.truediv, other)

    def __neg__(self) -> "fastuple":
        return type(self)(*map(operator.neg, self))


class _Expression:
    """What `Self` builds up: attribute accesses, indices and calls.

    `Self.method(args)` is the function `lambda o: o.method(args)`, and `Self[i]` is `lambda o: o[i]`.

    Args:
        *args: of a method that was named last; or, where the expression is complete, the object to apply it to.
        **kwargs: keyword arguments of that method.
    """

    def __init__(self, steps: tuple = (), is_ready: bool = False):
        self.steps, self.is_ready = steps, is_ready

    def __getattr__(self, name: str) -> "_Expression":
        if name.startswith("__"):
            raise AttributeError(name)
        return _Expression((*self.steps, operator.attrgetter(name)))

    def __getitem__(self, i: Any) -> "_Expression":
        return _Expression((*self.steps, operator.itemgetter(i)), True)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.is_ready:                       # a call that is part of the expression: Self.split(' ')
            return _Expression((*self.steps, lambda f: f(*args, **kwargs)), True)
        result = args[0]
        for step in self.steps:
            result = step(result)
        return result


#: `Self.method(args)` is the function `lambda o: o.method(args)`, `Self[i]` is `lambda o: o[i]`.
Self = _Expression()
