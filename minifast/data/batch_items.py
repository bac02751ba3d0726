"""Which items a batch was made of: for messages that should name them."""
from typing import TYPE_CHECKING

from torch.utils.data import Subset

from .rows import Rows

if TYPE_CHECKING:
    from .dataloader import DataLoader


def items_of_batch(loader: "DataLoader", n: int = -1) -> list | None:
    "The items of one batch, such as its files, or indices where the dataset has no `items`; None if unknown."
    indices = loader.indices_of_batch(n)
    return None if indices is None else [_item(loader.dataset, i) for i in indices]


def names_of_batch(loader: "DataLoader", n: int = -1) -> list[str] | None:
    "What to call the items of one batch in a message, as a list of texts; None if unknown."
    indices = loader.indices_of_batch(n)
    return None if indices is None else [_name(loader.dataset, i) for i in indices]


def _item(dataset, i):
    if isinstance(dataset, Subset):
        return _item(dataset.dataset, int(dataset.indices[i]))
    items = getattr(dataset, "items", None)
    return i if items is None or callable(items) else Rows(items)[i]


def _name(dataset, i):
    if isinstance(dataset, Subset):
        return _name(dataset.dataset, int(dataset.indices[i]))
    return dataset.item_name(i) if hasattr(dataset, "item_name") else f"item {i}"
