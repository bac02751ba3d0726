"""`CategoryMap`: the classes of a target or column, in the order of their ids."""
from collections.abc import Iterable, Sequence
from typing import Any

from ..core.arguments import listed_in_order
from ..core.items import L, coll_repr
from ..core.messages import describe, did_you_mean, plural
from ..core.recipe import Recipe
from .labels import is_missing

NA = "#na#"


def python_value(o: Any) -> Any:
    "Scalars of numpy and torch as the Python values they hold, which is what a vocabulary consists of."
    return o.item() if hasattr(o, "item") and not getattr(o, "ndim", 0) else o


class Ids(dict):
    "`{class: id}`, which says what is wrong with a class that is not in it."

    def __missing__(self, o: Any) -> int:
        more = " For what training did not have, id_of(class) gives 0, the id of '#na#'" if self.get(NA) == 0 else ""
        raise KeyError(f"{o!r} is not one of the {plural(len(self), 'known class')}: {coll_repr(self)}{did_you_mean(o, self) or '.'}{more}")


class CategoryMap(Sequence):
    """The classes, in the order of their ids: a sequence that also maps classes to ids. It never changes.

    Args:
        col: the labels. Repeats and missing values are left out; of a pandas categorical, its categories are taken in their order.
        sort: sort the classes; False: in order of appearance.
        add_na: `'#na#'` is id 0 and stands for anything unknown.
        strict: of a categorical, only classes that occur.
    """

    add_na: bool

    def __init__(self, col: Any, sort: bool = True, add_na: bool = False, strict: bool = False):
        col = col if sort else listed_in_order("CategoryMap", "col", col) if isinstance(col, (str, set, frozenset)) else col
        if hasattr(col, "cat") and hasattr(col.cat, "categories"):
            present = set(col.dropna().unique()) if strict else col.cat.categories
            items, sort = [python_value(o) for o in col.cat.categories if o in present], False
        else:
            items = list(dict.fromkeys(as_label(o) for o in col if not is_missing(o)))
        try:
            self._take(sorted(items) if sort else items, add_na)
        except TypeError:
            kinds = sorted({type(o).__name__ for o in items})
            raise TypeError(f"labels of mixed types ({', '.join(kinds)}) cannot be sorted, and are probably a mistake in the labels: "
                            f"{items[:5]}. Convert them to one type, or give the classes with vocab=") from None

    @classmethod
    def of_unique(cls, items: Iterable, add_na: bool = False) -> "CategoryMap":
        "The map of `items`, in their order, known to be Python values that are hashable, not missing and different: nothing is checked."
        new = cls.__new__(cls)
        new._take(list(items), add_na)
        return new

    def _take(self, items: list, add_na: bool) -> None:
        if add_na:
            items = [NA] + [o for o in items if o != NA]
        self._items, self._o2i, self.add_na = tuple(items), {o: i for i, o in enumerate(items)}, bool(add_na)

    @property
    def recipe(self) -> Recipe:
        "How to make this map."
        return Recipe(category_map, {"items": list(self._items), "add_na": self.add_na})

    @property
    def items(self) -> L:
        "The classes as an `L`."
        return L(self._items)

    @property
    def o2i(self) -> dict[Any, int]:
        "A dict from each class to its id (a copy: changing it changes nothing here)."
        return Ids(self._o2i)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, i: Any) -> Any:
        several = isinstance(i, (slice, list, tuple)) or bool(getattr(i, "ndim", 0))           # ids, or a mask
        return L(self._items)[i] if several else self._items[i]

    def __contains__(self, o: Any) -> bool:
        return not isinstance(o, (list, dict, set)) and o in self._o2i

    def id_of(self, o: Any) -> int:
        "The id of class `o`; with `add_na` 0 for anything unknown, else an unknown class raises `KeyError`."
        o = o if isinstance(o, (str, int, float)) else as_label(o)
        found = self._o2i.get(o, 0 if self.add_na else None)
        if found is not None:
            return found
        raise KeyError(f"the label {o!r} is not one of the {plural(len(self), 'known class')}: "
                       f"{coll_repr(self)}{did_you_mean(o, self._items)}")

    def map_objs(self, objs: Iterable) -> L:
        "The ids of classes `objs`."
        return L((self.id_of(o) for o in objs), use_list=True)

    def map_ids(self, ids: Iterable) -> L:
        "The classes with ids `ids`."
        return L((self._items[int(i)] for i in ids), use_list=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, (CategoryMap, list, tuple)) and list(self._items) == list(other)

    def __hash__(self) -> int:
        return hash(self._items)

    def __repr__(self) -> str:
        return coll_repr(self._items, 30)


def category_map(items: list, add_na: bool = False) -> CategoryMap:
    """The map of classes that are known to be right.

    Args:
        items: the classes in their order.
        add_na: see `CategoryMap`.
    """
    return CategoryMap.of_unique(items, add_na)


def as_label(o: Any) -> Any:
    "The Python value of a label; refuses a list of several."
    o = python_value(o)
    try:
        hash(o)
    except TypeError:
        raise TypeError(f"a label must be one value; received {describe(o)}. For several labels per item use MultiCategoryBlock") from None
    return o
