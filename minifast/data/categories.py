"""Targets: class labels, sets of labels, numbers; to tensors and back."""
from collections.abc import Iterable, Sequence
from typing import Any
from warnings import warn

import numpy as np
import torch

from ..core.arguments import listed_in_order
from ..core.items import L, coll_repr
from ..core.messages import describe, did_you_mean, plural
from ..core.recipe import Recipe
from ..core.types import LossFunc
from ..nn.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat, MSELossFlat
from .indicators import refuse_indicators
from .labels import is_missing, python_value
from .transforms import Transform

NA = "#na#"


class Category(str):
    "A decoded class label."
    __slots__ = ()


class MultiCategory(L):
    "The decoded labels of one item."

    def __str__(self) -> str:
        return ";".join(map(str, self))


#: From more different labels on, fractions are more likely to be numbers to predict than classes.
MANY = 20


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
        if not sort and isinstance(col, (str, set, frozenset)):
            listed_in_order("CategoryMap", "col", col)                  # which refuses it
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


def item_name(items: Any, i: int) -> str:
    "What to call item `i` in a message: its file or row where `items` know it, else its position."
    while hasattr(items, "f") and hasattr(items, "items"):       # a view through the earlier transforms of a pipeline
        items = items.items
    return items.item_name(i) if hasattr(items, "item_name") else f"item {i}"


def _names(items: Any, positions: list[int]) -> str:
    return ", ".join(item_name(items, i) for i in positions[:5]) + (", ..." if len(positions) > 5 else "")


def given_vocab(vocab: Any, add_na: bool, where: str) -> CategoryMap | None:
    """The classes that a user gives, None where there are none.

    Args:
        vocab: the classes in their order, or a `CategoryMap`.
        add_na: see `CategoryMap`.
        where: the call, for messages.

    Raises:
        TypeError: they have no order.
        ValueError: one is listed twice.
    """
    if vocab is None or isinstance(vocab, CategoryMap):
        return vocab
    vocab = listed_in_order(where, "vocab", vocab)
    if len(set(vocab)) < len(vocab):
        raise ValueError(f"{where}: vocab lists {sorted({str(o) for o in vocab if vocab.count(o) > 1})[:5]} more than once")
    return CategoryMap(vocab, sort=False, add_na=add_na)


class _Labels(Transform):
    "What `Categorize` and `MultiCategorize` share: a vocabulary, given or built from the training items."

    order = 1
    vocab: CategoryMap | None

    def __init__(self, vocab: Iterable | None = None, sort: bool = True, add_na: bool = False):
        super().__init__()
        self.sort, self.add_na = sort, add_na
        self.vocab = given_vocab(vocab, add_na, type(self).__name__)

    @property
    def c(self) -> int | None:
        "Number of classes."
        return None if self.vocab is None else len(self.vocab)

    def _collect(self, items: Iterable) -> list:
        "Every label of `items`; missing ones are refused."
        found = list(items)
        missing = [i for i, o in enumerate(found) if is_missing(o)]
        if missing:
            raise ValueError(f"{type(self).__name__}: {len(missing)} of {plural(len(found), 'item')} have no label (None or NaN): "
                             f"{_names(items, missing)}. Leave these items out, or give them a label. (A class called 'NA' or 'None' is "
                             "read as missing from a CSV file: keep_default_na=False)")
        return self._labels_of_all(found, items)

    def _labels_of_all(self, found: list, items: Any) -> list:
        return list(dict.fromkeys(as_label(o) for o in found))

    def setups(self, items: Any) -> None:
        "Take the labels of the training items as the vocabulary, or check them where it is given."
        if self.vocab is not None:
            self.check_items(items)
            return
        labels = self._collect(items)
        self.vocab = CategoryMap(items if hasattr(items, "cat") else labels, sort=self.sort, add_na=self.add_na)
        if not len(self.vocab):
            raise ValueError(f"{type(self).__name__}: no item has a label")

    def check_items(self, items: Iterable, where: str = "the training set") -> None:
        "Refuse items whose labels are missing or unknown; `where` says which items these are."
        vocab = self._known()
        unknown = [o for o in self._collect(items) if o not in vocab]
        if unknown and not vocab.add_na:
            every, joint = [*vocab, *unknown], next((d for d in (";", "|", ",") if all(d in str(o) for o in unknown)), None)
            advice = (f"Give all classes, vocab={every if len(every) <= 10 else '[...]'}, in a DataBlock to its block" if joint is None else
                      f"Where these are several labels each, split them: label_delim={joint!r}, in a DataBlock that of ColReader")
            if numbers := all(isinstance(o, (int, float)) and not isinstance(o, bool) for o in every):
                advice += ". Where they are numbers to predict, write y_block=RegressionBlock, in a DataBlock RegressionBlock in its place"
            hint = "" if numbers else did_you_mean(unknown[0], vocab)
            raise ValueError(f"{type(self).__name__}: {where} has labels that are not among the {plural(len(vocab), 'known class')} "
                             f"{coll_repr(vocab)}: {coll_repr(unknown)}{hint or '.'} {advice}")

    def _known(self) -> CategoryMap:
        if self.vocab is None:
            raise RuntimeError(f"{type(self).__name__} has no vocabulary yet: give it one with vocab=, or call setup(items) first")
        return self.vocab


class Categorize(_Labels):
    "One class label per item to its id (int64, 0-d) and back; the vocabulary is `vocab` or the sorted labels of the training items."

    def setups(self, items: Any) -> None:
        given = self.vocab is not None
        super().setups(items)
        if given:
            return
        vocab = self._known()
        if len(vocab) - self.add_na == 1:
            warn(f"every training item ({len(items):,}) has the label {vocab[-1]!r}: there is nothing to tell apart, and any model is "
                 "right. Look at the function or the column that labels them", stacklevel=2)
        fraction = next((v for v in vocab if isinstance(v, float) and v % 1), None)
        if fraction is not None and len(vocab) > MANY:
            warn(f"the labels are {len(vocab):,} different numbers such as {fraction:g}, and each becomes a class. To predict "
                 "numbers write RegressionBlock, in a DataBlock or, of a list, from_lists(..., y_block=RegressionBlock)", stacklevel=2)

    def encodes(self, o: Any) -> torch.Tensor:
        return torch.from_numpy(np.array(self._known().id_of(o), np.int64))

    def decodes(self, o: Any) -> Category:
        return Category(self._known()[int(o)])

    @property
    def loss_func(self) -> LossFunc:
        "Cross-entropy."
        return CrossEntropyLossFlat()


class MultiCategorize(_Labels):
    """A list of labels per item to their ids (int64, 1-d) and back. Missing labels in a list are left out.

    Args:
        vocab: the classes in their order; None: the labels of the training items.
        add_na: class 0 is `'#na#'` and stands for anything unknown.
        sort: sort the labels of the training items; False: in order of appearance.
    """

    one_each = False            #: whether each label belongs to something else of the item, so that none may be missing and all may repeat

    def __init__(self, vocab: Iterable | None = None, add_na: bool = False, sort: bool = True):
        super().__init__(vocab, sort, add_na)

    def labels_of(self, o: Any) -> list:
        "The labels of one item."
        if isinstance(o, (str, bytes)) or not hasattr(o, "__iter__"):
            raise TypeError(f"{type(self).__name__} takes a list of labels per item; received {describe(o)}. "
                            "Split text into labels with ColReader(col, label_delim=' ')")
        labels = list(o)
        if self.one_each or {*map(type, labels)} <= {str, int}:             # one look at all, for each item
            return labels
        return [label for label in labels if not is_missing(label)]

    def _labels_of_all(self, found: list, items: Any) -> list:
        found = [o if hasattr(o, "__len__") or not hasattr(o, "__iter__") else list(o) for o in found]      # a generator is read once
        lists = [self.labels_of(o) for o in found]
        lacking = [i for i, labels in enumerate(lists) if any(map(is_missing, labels))]
        if lacking:
            raise ValueError(f"{type(self).__name__}: a label is missing (None or NaN) in {_names(items, lacking)}")
        if self.vocab is None and not self.one_each:
            refuse_indicators(found, type(self).__name__, "MultiCategoryBlock(encoded=True, vocab=[{names}])")
        return list(dict.fromkeys(as_label(o) for labels in lists for o in labels))

    def encodes(self, o: Any) -> torch.Tensor:
        return torch.tensor(self._known().map_objs(self.labels_of(o)), dtype=torch.int64)

    def decodes(self, o: Any) -> MultiCategory:
        return MultiCategory(self._known().map_ids(o), use_list=True)

    @property
    def loss_func(self) -> LossFunc:
        "Binary cross-entropy of each class."
        return BCEWithLogitsLossFlat()


def last_vocab(transforms: Iterable) -> Any:
    "The vocabulary of the last of `transforms` that has one, or None."
    return next((t.vocab for t in reversed(list(transforms)) if getattr(t, "vocab", None) is not None), None)


class RegressionSetup(Transform):
    """Turn numbers into float32 tensors: one number per item into shape (), a list of `c` numbers into shape (c,).

    NaN and infinite targets are refused when the items are set up.

    Args:
        c: how many numbers an item has (default: counted on the training items).
    """

    def __init__(self, c: int | None = None):
        super().__init__()
        self.c = c

    def encodes(self, o: Any) -> torch.Tensor:
        try:
            return torch.as_tensor(o, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as e:
            raise type(e)(f"a regression target must be a number or a list of numbers; received {describe(o)}") from e

    def decodes(self, o: torch.Tensor) -> Any:
        return float(o) if o.ndim == 0 else L(o.tolist(), use_list=True)

    def check_items(self, items: Iterable, where: str = "the training set") -> None:
        "Refuse targets that are missing, not finite, or of different lengths; `where` says which items these are."
        bad, n = [], 0
        for n, o in enumerate(items, 1):
            value = None if is_missing(o) else self.encodes(o)
            if value is None or not torch.isfinite(value).all():
                bad.append(n - 1)
            elif self.c not in (None, max(1, value.numel())):
                raise ValueError(f"RegressionSetup: {item_name(items, n - 1)} of {where} has {plural(value.numel(), 'target')}, "
                                 f"expected {self.c}: received {describe(o)}")
            else:
                self.c = max(1, value.numel())
        if bad:
            raise ValueError(f"RegressionSetup: {len(bad)} of {plural(n, 'target')} of {where} are missing, NaN or infinite: "
                             f"{_names(items, bad)}. "
                             "One of them is enough to turn every weight into NaN: leave these items out, or fill them in")

    setups = check_items

    @property
    def loss_func(self) -> LossFunc:
        "Mean squared error."
        return MSELossFlat()
