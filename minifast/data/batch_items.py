"""Which items a batch was made of: for messages that should name them."""
from typing import TYPE_CHECKING, Any

from .rows import Rows
from .targets import base_dataset

if TYPE_CHECKING:
    from .dataloader import DataLoader


def items_of_batch(loader: "DataLoader", n: int = -1) -> list | None:
    "The items of one batch, such as its files, or indices where the dataset has no `items`; None if unknown."
    dataset, indices = _located(loader, n)
    items = getattr(dataset, "items", None)
    return indices if indices is None or items is None or callable(items) else [Rows(items)[i] for i in indices]


def names_of_batch(loader: "DataLoader", n: int = -1) -> list[str] | None:
    "What to call the items of one batch in a message, as a list of texts; None if unknown."
    dataset, indices = _located(loader, n)
    return None if indices is None else [dataset.item_name(i) if hasattr(dataset, "item_name") else f"item {i}" for i in indices]


def _located(loader: "DataLoader", n: int) -> tuple[Any, list[int] | None]:
    "The dataset under torch's `Subset`s, and the indices of the batch in it."
    indices, (dataset, chosen) = loader.indices_of_batch(n), base_dataset(loader)
    return dataset, indices if indices is None or chosen is None else [chosen[i] for i in indices]
