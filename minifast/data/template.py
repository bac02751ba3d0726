"""What stands for the items of a dataset that has none: a learner that was exported keeps its transforms, and no data."""
from pathlib import Path
from typing import Any

from ..core.recipe import Recipe
from .rows import Rows


class Shape:
    """Stands for an array.

    Args:
        shape: its shape.
    """

    dtype = None

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape


class NoRows(Rows):
    """No items, of a known kind.

    Args:
        example: stands for one of them, as far as `test_set` looks at it.
        columns: names of the columns, where the items are rows of a table.
        types: for each input the types of a training item and of what each step of its pipeline makes of it.
    """

    def __init__(self, example: Any, columns: list | None, types: list[list[type]]):
        super().__init__([])
        self.example, self.columns, self.types = example, columns, types

    def __getitem__(self, i: Any) -> Any:
        return self.example


class NoItems:
    """Stands for a dataset of another library.

    Args:
        n_inp: how many elements of a batch are inputs.
        vocab: its classes.
        c: the number of outputs it asks for.
        batch_kinds: see `DataLoader.kinds`.
    """

    is_template = True

    def __init__(self, n_inp: int | None = None, vocab: Any = None, c: int | None = None, batch_kinds: Any = None):
        self.n_inp, self.vocab, self.c, self.batch_kinds = n_inp, vocab, c, batch_kinds

    def __len__(self) -> int:
        return 0

    def __getitem__(self, i: int) -> Any:
        raise IndexError("this learner was loaded without data")


def example_of(item: Any) -> Any:
    "What stands for `item`: one of its kind without content."
    if isinstance(item, (str, Path)):
        return "" if isinstance(item, str) else Path("item")
    if hasattr(item, "shape") and hasattr(item, "dtype") and not hasattr(item, "iloc"):
        return Recipe(Shape, {"shape": tuple(item.shape)})
    if isinstance(item, tuple):
        return (None,) * len(item)
    return dict.fromkeys(item) if isinstance(item, dict) else None
