"""Which items a batch was made of: for messages that should name them."""
from itertools import islice

from torch.utils.data import Subset

from .rows import Rows


def indices_of_batch(loader, n=-1):
    """The indices, in its dataset, of the items of one batch of the epoch in progress, or of the latest one, as a list.

    n: the batch's number from the beginning of the epoch; negative numbers count back from the batch handed out last (-1). Known
    without asking the workers, because the order is a function of the epoch's seed; None where it is not (samplers of torch's own, and
    before the first epoch).
    """
    batches = loader._batches
    if loader.epoch_seed is None or not hasattr(batches.sampler, "order"):
        return None
    number = n + loader._handed_out if n < 0 else n
    if not 0 <= number < len(batches):
        raise IndexError(f"batch {n}: {loader._handed_out} of {len(batches)} batches of this epoch have been handed out")
    return next(islice(batches._batches(loader.epoch_seed, number), 1))[2]


def items_of_batch(loader, n=-1):
    "The items of one batch, such as its files, as `indices_of_batch` counts; indices where the dataset has no `items`. None if unknown."
    indices = indices_of_batch(loader, n)
    return None if indices is None else [_item(loader.dataset, i) for i in indices]


def names_of_batch(loader, n=-1):
    "What to call the items of one batch in a message, as a list of texts; None if unknown. Counts as `indices_of_batch` does."
    indices = indices_of_batch(loader, n)
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
