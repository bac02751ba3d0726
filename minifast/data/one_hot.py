"""Several classes per item as zeros and ones: made of their ids (`OneHotEncode`), or given as such (`EncodedMultiCategorize`)."""
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from ..core.messages import add_note, describe
from .categories import CategoryMap, MultiCategorize, MultiCategory, given_vocab, item_name, last_vocab
from .labels import column_name
from .transforms import Transform


class OneHotEncode(Transform):
    """Ids (int64, 1-d) to a float tensor (c,) of zeros and ones, and back.

    Args:
        c: number of classes; None: that of the vocabulary of the transform before.
    """

    order = 2

    def __init__(self, c: int | None = None):
        super().__init__()
        self.c = c

    def setups(self, items: Any) -> None:
        "Take the number of classes from the vocabulary of the transform before."
        vocab = last_vocab(getattr(getattr(items, "f", None), "fs", []))
        if self.c is None and vocab is not None:
            self.c = len(vocab)
        if not self.c:
            raise ValueError("OneHotEncode does not know how many classes there are: put it after MultiCategorize, or write "
                             "OneHotEncode(c=...)")

    def encodes(self, o: Any) -> torch.Tensor:
        if self.c is None:
            raise RuntimeError("OneHotEncode does not know how many classes there are: write OneHotEncode(c=...), or call setup(items) "
                               "first")
        out = torch.zeros(self.c)
        out[torch.as_tensor(o, dtype=torch.int64)] = 1.0
        return out

    def decodes(self, o: Any) -> torch.Tensor:
        return _ids_of(o)


def _ids_of(one_hot: Any) -> torch.Tensor:
    "The positions of the ones in a vector of zeros and ones (or truth values, or probabilities)."
    return (torch.as_tensor(one_hot).float() > 0.5).nonzero().flatten()


class EncodedMultiCategorize(Transform):
    """Turn labels that are zeros and ones already into a float tensor (c,); decoded, they are the names of the classes.

    What is neither 0 nor 1 nor between them is refused when the items are set up.

    Args:
        vocab: the classes, in the order of the columns; None: the names of the columns that a `ColReader` reads.
    """

    def __init__(self, vocab: Iterable | None = None):
        super().__init__()
        self.vocab = given_vocab(vocab, False, "EncodedMultiCategorize")

    @property
    def c(self) -> int | None:
        "Number of classes."
        return None if self.vocab is None else len(self.vocab)

    def setups(self, items: Any) -> None:
        "Take the names of the columns as the classes, if they are not given, and check the items."
        if self.vocab is None:
            self.vocab = given_vocab(_columns_read(items), False, "EncodedMultiCategorize")
        self.check_items(items)

    def check_items(self, items: Iterable, where: str = "the training set") -> None:
        "Refuse items that do not have a 0 or a 1 for each class; `where` says which items these are."
        if _in_range(_frame_read(items)):                       # of a frame at once
            return
        for i, o in enumerate(items):
            try:
                found = self.encodes(o)
            except Exception as e:
                add_note(e, f"in {item_name(items, i)} of {where}")
                raise
            if not _in_range(found):
                odd = (~((found >= 0) & (found <= 1))).nonzero().flatten().tolist()
                raise ValueError(f"EncodedMultiCategorize: {item_name(items, i)} of {where} holds {found[odd[0]].item():g} for the class "
                                 f"{self._known()[odd[0]]!r}, and an item is of a class (1) or is not (0): make it one of them, or "
                                 "leave such items out")

    def _known(self) -> CategoryMap:
        if self.vocab is None:
            raise ValueError("EncodedMultiCategorize needs the names of the classes, in the order of the values: write "
                             "MultiCategoryBlock(encoded=True, vocab=[...])")
        return self.vocab

    def encodes(self, o: Any) -> torch.Tensor:
        try:
            out = torch.as_tensor(o, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as e:
            raise type(e)(f"EncodedMultiCategorize takes zeros and ones; received {describe(o)}. Make them of it, such as `df[columns] == "
                          "'yes'`") from e
        if out.shape != (len(self._known()),):
            raise ValueError(f"EncodedMultiCategorize: an item must have one value for each of the {self.c} classes; received "
                             f"{describe(o)}")
        return out

    def decodes(self, o: Any) -> MultiCategory:
        return MultiCategory(self._known().map_ids(_ids_of(o)), use_list=True)

    loss_func = MultiCategorize.loss_func


def _in_range(values: Any) -> bool:
    "Whether it is known that all of these numbers are from 0 to 1."
    return values is not None and bool(((values >= 0) & (values <= 1)).all())


def _columns_read(items: Any) -> list | None:
    "The names of the columns that `items` come from, if they are what a `ColReader` of several columns reads of a frame."
    reader: Any = next((f.encodes for f in getattr(getattr(items, "f", None), "fs", [])), None)
    columns = getattr(getattr(items, "items", None), "columns", None)
    if columns is None or not getattr(reader, "many", False):
        return None
    return [column_name(c, columns) for c in reader.cols]


def _frame_read(items: Any) -> torch.Tensor | None:
    "The numbers of the columns that `items` come from, see `_columns_read`; None where they are not known to be these."
    columns, steps = _columns_read(items), getattr(getattr(items, "f", None), "fs", [])
    if columns is None or len(steps) > 1:
        return None
    try:
        return torch.from_numpy(items.items.source[columns].to_numpy(dtype=np.float32, copy=True))
    except (TypeError, ValueError):                         # no numbers, or missing ones: looked at one by one
        return None
