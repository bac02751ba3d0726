"""`L`, a list with fancy indexing and the handful of methods that data code uses, and the small functions that course notebooks use."""
import inspect
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import reduce
from itertools import cycle, islice
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np
import torch

Inf = float("inf")      #: infinity, as fastai's notebooks write it


def coll_repr(c: Collection[Any], max_n: int = 10) -> str:
    """`(#3) [1,2,3]`: the length of a collection and its first items.

    Args:
        c: the collection.
        max_n: how many items to show.
    """
    shown = ",".join(repr(o) if isinstance(o, str) else str(o) for o in islice(c, max_n))
    return f"(#{len(c)}) [{shown}{'...' if len(c) > max_n else ''}]"


def first(x: Iterable[Any], f: Callable[[Any], Any] | None = None, negate: bool = False) -> Any:
    """The first item, or the first for which `f` is true; None when there is none.

    Args:
        x: an iterable.
        f: a function of an item.
        negate: the first for which `f` is false.
    """
    return next((o for o in x if f is None or bool(f(o)) != negate), None)


def range_of(x: Collection[Any]) -> list[int]:
    """The indices of a collection as a list.

    Args:
        x: the collection.
    """
    return list(range(len(x)))


def _listify(items):
    "What `L(items)` holds: the items of an iterable, but a string, array, tensor or frame is one item."
    if items is None:
        return []
    if isinstance(items, (str, bytes)) or hasattr(items, "__array__") or hasattr(items, "iloc") or not hasattr(items, "__iter__"):
        return [items]
    return items


def _caller(f):
    "What `L.map` calls: `f`, or the look-up in a mapping or list, or the filling of a format string."
    if callable(f):
        return f
    if isinstance(f, str):
        return f.format
    if hasattr(f, "__getitem__"):
        return f.__getitem__
    raise TypeError(f"map takes a function, a mapping or a format string; received {type(f).__name__}")


def _is_several(idx: Any) -> bool:
    return isinstance(idx, (list, tuple)) or bool(getattr(idx, "ndim", 0))


class L(list):
    """A list that can also be indexed with a list, tuple or array of ints, or with a mask, and that can be mapped and filtered.

    `L(1, 2, 3)`, `L([1, 2, 3])`, `L(range(3))`; `L()` is empty. Every method returns a new `L`.

    Args:
        items: the items of an iterable; a string, array, tensor or frame is one item.
        rest: further items.
        use_list: take the items of any iterable, also of an array or tensor.
    """

    def __init__(self, items: Any = None, *rest: Any, use_list: bool = False):
        if rest:
            items = [items, *rest]
        elif not use_list:
            items = _listify(items)
        super().__init__(items)

    def _indices(self, idx):
        "The positions that a list, tuple or array of ints, or a mask, stands for."
        idx = idx.tolist() if hasattr(idx, "tolist") else list(idx)
        if idx and all(isinstance(o, (bool, np.bool_)) for o in idx):
            if len(idx) != len(self):
                raise IndexError(f"a mask needs one value per item: received {len(idx)} values for {len(self)} items")
            return [i for i, keep in enumerate(idx) if keep]
        return idx

    def __getitem__(self, idx: Any) -> Any:
        if isinstance(idx, slice):
            return self._new(super().__getitem__(idx))
        return self._new(map(super().__getitem__, self._indices(idx))) if _is_several(idx) else super().__getitem__(idx)

    def __setitem__(self, idx: Any, value: Any) -> None:
        idx, value = (self._indices(idx), value) if _is_several(idx) else ([idx], [value])
        values = value if isinstance(value, (list, tuple)) else [value] * len(idx)
        if len(values) != len(idx):
            raise ValueError(f"cannot set {len(idx)} items from {len(values)} values")
        for i, o in zip(idx, values, strict=True):
            super().__setitem__(i, o)

    def _new(self, items):
        return type(self)(items, use_list=True)

    def __add__(self, other: Any) -> "L":
        return self._new([*self, *_listify(other)])

    def __radd__(self, other: Any) -> "L":
        return self._new([*_listify(other), *self])

    def __mul__(self, n: Any) -> "L":
        return self._new(list(self) * n)

    __rmul__ = __mul__

    def __invert__(self) -> "L":
        "The truth value of every item, negated."
        return self._new(not o for o in self)

    def __repr__(self) -> str:
        return coll_repr(self)

    def copy(self) -> "L":
        return self._new(self)

    @property
    def items(self) -> list[Any]:
        "The plain list."
        return list(self)

    # -- mapping and filtering --------------------------------------------------------------------------------------------------
    def map(self, f: Any, *args: Any, **kwargs: Any) -> "L":
        "`f(o, *args, **kwargs)` of every item; `f` may also be a mapping or list to look up in, or a format string."
        f = _caller(f)
        return self._new(f(o, *args, **kwargs) for o in self)

    def starmap(self, f: Callable[..., Any], *args: Any, **kwargs: Any) -> "L":
        "`f(*o, *args, **kwargs)` of every item."
        return self._new(f(*o, *args, **kwargs) for o in self)

    def filter(self, f: Callable[[Any], Any] = bool, negate: bool = False) -> "L":
        "The items for which `f` is true (with `negate`: false)."
        return self._new(o for o in self if bool(f(o)) != negate)

    def argwhere(self, f: Callable[[Any], Any], negate: bool = False) -> "L":
        "The positions of the items for which `f` is true (with `negate`: false)."
        return self._new(i for i, o in enumerate(self) if bool(f(o)) != negate)

    def unique(self, sort: bool = False) -> "L":
        "Each different item once, in the order of first appearance or sorted."
        found = self._new(dict.fromkeys(self))
        return found.sorted() if sort else found

    def sorted(self, key: Any = None, reverse: bool = False) -> "L":
        "A sorted copy; `key` is a function, the name of an attribute, or the index of an item."
        key = attrgetter(key) if isinstance(key, str) else itemgetter(key) if isinstance(key, int) else key
        return self._new(sorted(self, key=key, reverse=reverse))

    def itemgot(self, *idxs: int) -> "L":
        "`o[idx]` of every item, for each of `idxs` in turn."
        return reduce(lambda items, i: items.map(itemgetter(i)), idxs, self)

    def attrgot(self, name: str, default: Any = None) -> "L":
        "The attribute (or, of a dict, the value) called `name` of every item."
        return self._new(o.get(name, default) if isinstance(o, dict) else getattr(o, name, default) for o in self)

    def val2idx(self) -> dict[Any, int]:
        "A dict from each item to its position."
        return {o: i for i, o in enumerate(self)}

    def enumerate(self) -> "L":
        return self._new(enumerate(self))

    def zip(self, cycled: bool = False) -> "L":
        "The items transposed: `L([1, 2], [3, 4]).zip()` is `[(1, 3), (2, 4)]`; `cycled` repeats the shorter ones."
        if not cycled:
            return self._new(zip(*self, strict=False))
        longest = max((len(o) for o in self), default=0)
        return self._new(islice(zip(*(cycle(o) for o in self), strict=False), longest))

    def zipwith(self, *others: Iterable[Any], cycled: bool = False) -> "L":
        "`L([1, 2]).zipwith([3, 4])` is `[(1, 3), (2, 4)]`."
        return self._new([self, *others]).zip(cycled)

    def shuffle(self) -> "L":
        "A shuffled copy, drawn from Python's global random stream."
        return self._new(random.sample(self, len(self)))

    @classmethod
    def range(cls, a: Any, b: int | None = None, step: int | None = None) -> "L":
        "`L(range(...))`; a collection instead of `a` stands for its length."
        return cls(range(len(a) if hasattr(a, "__len__") else a) if b is None else range(a, b, step or 1))

    # -- together ---------------------------------------------------------------------------------------------------------------
    def concat(self) -> "L":
        "The items of the items, as one flat `L`."
        return self._new(o for part in self for o in _listify(part))

    def reduce(self, f: Callable[[Any, Any], Any], initial: Any = None) -> Any:
        return reduce(f, self) if initial is None else reduce(f, self, initial)

    def sum(self) -> Any:
        return sum(self)

    def tensored(self) -> "L":
        "Every item as a tensor."
        return self.map(tensor)

    def stack(self, dim: int = 0) -> torch.Tensor:
        "One tensor of all items (tensors, or what `tensor` takes), stacked along the new axis `dim`."
        return torch.stack(list(self.tensored()), dim)

    def cat(self, dim: int = 0) -> torch.Tensor:
        "One tensor of all items (tensors, or what `tensor` takes), one after the other along the axis `dim`."
        return torch.cat(list(self.tensored()), dim)


def noop(x: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Return `x` unchanged.

    Args:
        x: anything.
        args: not used.
        kwargs: not used.
    """
    return x


def tensor(x: Any, *rest: float, **kwargs: Any) -> torch.Tensor:
    """Make a tensor of numbers, `tensor(1, 2, 3)`, of a list, an array or an image.

    Args:
        x: a number, list, array or tensor, or an image, which becomes uint8 (height, width[, channels]).
        rest: further numbers.
        kwargs: `dtype`, `device`.
    """
    if rest:
        return torch.tensor((x, *rest), **kwargs)
    if isinstance(x, torch.Tensor):
        return x.to(**kwargs) if kwargs else x
    if isinstance(x, (list, tuple)) and x and isinstance(x[0], torch.Tensor) and x[0].ndim:
        return torch.stack(list(x)).to(**kwargs)
    copied = hasattr(x, "getbands") or (isinstance(x, np.ndarray) and not x.flags.writeable)       # torch warns of arrays of pandas
    return torch.as_tensor(np.array(x) if copied else x, **kwargs)


def array(a: Any, dtype: Any = None) -> np.ndarray:
    """A numpy array.

    Args:
        a: a list, tensor, array or image.
        dtype: of the array (default: numpy's choice).
    """
    return np.array(a, dtype=dtype)


def one_hot(x: int | Sequence[int] | torch.Tensor, c: int) -> torch.Tensor:
    """A float vector (c,) that is 1 at some class ids and 0 elsewhere.

    Args:
        x: a class id, or several.
        c: the number of classes.
    """
    out = torch.zeros(c)
    out[torch.as_tensor(x, dtype=torch.int64)] = 1.0
    return out


def one_hot_decode(x: Iterable[Any], vocab: Sequence[Any] | None = None) -> L:
    """The class ids at which a vector of zeros and ones is 1: the inverse of `one_hot`.

    Args:
        x: a tensor, array or list (c,).
        vocab: the classes; with it the result has those instead of their ids.
    """
    ids = [i for i, o in enumerate(x) if o == 1]
    return L(ids if vocab is None else [vocab[i] for i in ids], use_list=True)


def store_attr(names: str | None = None, self: Any = None) -> None:
    """Inside `__init__`: keep its arguments as attributes.

    Args:
        names: which ones, comma-separated (default: all).
        self: the object (default: the caller's `self`).
    """
    values = inspect.currentframe().f_back.f_locals
    self = values["self"] if self is None else self
    wanted = [n.strip() for n in names.split(",")] if names else [n for n in values if n not in ("self", "__class__")]
    for name in wanted:
        setattr(self, name, values[name])
