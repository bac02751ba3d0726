"""Weights against rare classes: per class for the loss, per item for a weighted loader, counted on the training targets alone."""
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any
from warnings import warn

import torch

from ..core.arguments import check_arguments, check_choice
from ..core.items import coll_repr
from ..core.messages import describe, plural
from ..metrics.classes import classes_in
from .categories import NA
from .targets import base_dataset, target_columns

if TYPE_CHECKING:
    from .loaders import DataLoaders

#: How much an item of a class of `counts` items counts, but for a common factor.
HOWS = {"balanced": lambda counts, beta: 1 / counts,
        "sqrt": lambda counts, beta: counts.rsqrt(),
        "effective": lambda counts, beta: (1 - beta) / -torch.expm1(counts * math.log(beta))}


def _checked(counts: Any, how: str, beta: float) -> torch.Tensor:
    check_choice("class_weights", "how", how, HOWS)
    check_arguments("class_weights", beta=(beta, 0 < beta < 1, "beta is a number between 0 and 1, such as 0.999"))
    counts = torch.as_tensor(counts).double()
    if counts.ndim != 1 or not len(counts) or not bool(torch.isfinite(counts).all()) or bool((counts < 0).any()) or not counts.sum() > 0:
        raise ValueError(f"class_weights takes the number of items of each class, 0 or more, not all 0; received {describe(counts)} "
                         f"{counts.tolist() if counts.numel() <= 10 else ''}")
    return counts


def _warn_empty(which: torch.Tensor, vocab: Sequence | None, what: str) -> None:
    names = [i if vocab is None else vocab[i] for i in which.nonzero().flatten().tolist()]
    names = [n for n in names if n != NA]           # the id that stands for anything unknown has no items by its nature
    if names:
        warn(f"{plural(len(names), 'class')} {what} the training set: {coll_repr(names)}; weight 1 for each", stacklevel=4)


def class_weights(counts: Any, how: str = "balanced", beta: float = 0.999, vocab: Sequence | None = None) -> torch.Tensor:
    """The weight of each class, float32 (c,), from its number of items, for `CrossEntropyLossFlat(weight=...)`.

    how: 'balanced' is n / (classes * count), as scikit-learn's; 'sqrt' goes with 1 / sqrt(count), half way to none; 'effective' with
    (1 - beta) / (1 - beta**count), which stops growing where more items would be no news. All are scaled so that the mean over the
    items is 1 and the loss keeps its size. A class without items gets weight 1 and a warning (weight 0 would make the validation loss of
    such items 0/0). vocab: names for that warning. Source of 'effective': Y. Cui et al., "Class-Balanced Loss", 2019.
    """
    counts = _checked(counts, how, beta)
    empty = counts == 0
    weights = HOWS[how](counts.clamp(min=1), beta)
    weights = weights * counts.sum() / (weights * counts).sum()
    _warn_empty(empty, vocab, "without an item in")
    return torch.where(empty, 1.0, weights).float()


def pos_weights(counts: Any, n: int, how: str = "balanced", beta: float = 0.999, vocab: Sequence | None = None) -> torch.Tensor:
    """The weight of the positives of each label, float32 (c,), for `BCEWithLogitsLossFlat(pos_weight=...)`: counts are the items with the
    label, of `n`.

    It is how much an item with the label counts compared with one without it: (n - count) / count for 'balanced', its root for
    'sqrt'. A label that no item or every item has gets 1 and a warning.
    """
    counts = _checked(counts, how, beta)
    if bool((counts > n).any()):
        raise ValueError(f"pos_weights: {int(counts.max())} items with a label, but only n={n} items")
    alike = (counts == 0) | (counts == n)
    weights = HOWS[how](counts.clamp(min=1), beta) / HOWS[how]((n - counts).clamp(min=1), beta)
    _warn_empty(alike, vocab, "which no item or every item has in")
    return torch.where(alike, 1.0, weights).float()


# -- the targets of a training set --------------------------------------------------------------------------------------------------
def targets_of(source: Any, target: int | None = None) -> torch.Tensor:
    """The targets of every item of a loader or dataset as one tensor; inputs are not made, so no image is opened.

    target: which one, where there are several. For the datasets that are known see `target_columns`.
    """
    dataset, chosen = base_dataset(source)
    columns = target_columns(dataset)
    if columns is None:
        raise TypeError(f"the targets of {describe(dataset)} cannot be had without making every sample. Give the dataset an attribute "
                        "`targets`, one per item, or count yourself: class_weights(counts)")
    if not columns:
        raise ValueError(f"{type(dataset).__name__} has no targets, only inputs: there is nothing to count")
    if target is None and len(columns) > 1:
        raise ValueError(f"the samples have {len(columns)} targets: say which one counts, target=0 to {len(columns) - 1}")
    if not 0 <= (target or 0) < len(columns):
        raise IndexError(f"target={target}: the samples have {plural(len(columns), 'target')}")
    column = columns[target or 0]
    if hasattr(column, "dtype"):
        return torch.as_tensor(column)[slice(None) if chosen is None else chosen]
    return _stacked(column[i] for i in (range(len(column)) if chosen is None else chosen))


def _stacked(values: Iterable) -> torch.Tensor:
    made = []
    for i, value in enumerate(values):
        if isinstance(value, (int, float)) or (hasattr(value, "item") and not isinstance(value, torch.Tensor)):
            value = torch.as_tensor(value)
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"the target of item {i} is no tensor but {describe(value)}: to weigh the classes of images or other targets "
                            "count them yourself, class_weights(counts)")
        made.append(value)
    return torch.stack(made)


def _ids(dls: "DataLoaders", target: int | None) -> tuple[torch.Tensor, bool, int, Sequence | None]:
    "`(targets of the training items, whether there are several labels per item, their number, vocab)`."
    if dls.train_ds is None:
        raise TypeError(f"the training loader has no dataset to count targets of: {describe(dls.train)}. Count yourself: "
                        "class_weights(counts)")
    y, vocab = targets_of(dls.train, target), dls.vocab
    used = getattr(getattr(dls.train, "sampler", None), "indices", None)       # a loader of a part of the items
    y = y if used is None else y[[int(i) for i in used]]
    classes = (y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1)) and not y.is_floating_point()
    labels = y.ndim == 2 and not classes and bool(((y == 0) | (y == 1)).all())
    if not classes and not labels:
        raise ValueError(f"the training targets are neither class ids (int64, one per item) nor zeros and ones (one per label), but "
                         f"{describe(y)}: classes cannot be counted")
    c = dls.c if isinstance(dls.c, int) else 0
    names = classes_in(vocab)
    names = names if names is not None and len(names) == c else None            # of several targets it may not be this one
    return (y.flatten().long() if classes else y), labels, c if classes else y.shape[1], names


def weights_from(dls: "DataLoaders", how: str = "balanced", beta: float = 0.999, target: int | None = None) -> torch.Tensor:
    """Weights for the loss of `dls`, float32 (c,) in the order of its vocabulary, from the targets of the training items: for classes
    `class_weights`, for several labels per item `pos_weights`. No input is made. target: which, where the samples have several."""
    y, labels, c, vocab = _ids(dls, target)
    if labels:
        return pos_weights(y.double().sum(0), len(y), how, beta, vocab)
    return class_weights(torch.bincount(y, minlength=c), how, beta, vocab)


def item_weights_from(dls: "DataLoaders", how: str = "balanced", beta: float = 0.999, target: int | None = None) -> torch.Tensor:
    """The weight of each training item of `dls`, float32 (n,), for `weighted_dataloaders`: that of its class; of several labels, that of
    the rarest, and of an item without a label, that of the most common one."""
    y, labels, c, _ = _ids(dls, target)
    counts = y.double().sum(0) if labels else torch.bincount(y, minlength=c).double()
    weights = HOWS[how](_checked(counts, how, beta).clamp(min=1), beta)
    if labels:
        chosen = torch.where(y > 0, weights, 0).amax(1)
        chosen = torch.where(chosen > 0, chosen, weights[counts > 0].min())
    else:
        chosen = weights[y]
    return (chosen / chosen.mean()).float()
