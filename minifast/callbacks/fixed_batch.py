"""Batches to look at again and again during training, and figures of what the model predicts for them."""
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from ..core.nested import leaves, map_nested
from ..core.seeds import fixed_seed, item_rng

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..learner.learner import Learner


class BatchSource:
    """Draw random batches from a loader, with the transforms of validation.

    The choice depends only on `seed` and on how often was drawn; the random streams of training stay untouched. A loader whose items
    cannot be picked by index gives its first batch.

    Args:
        loader: a loader of minifast or of torch.
        n: number of items; None: as many as in a batch of the loader.
        seed: which items.
    """

    def __init__(self, loader: Any, n: int | None = None, seed: int = 42):
        self.loader, self.n, self.seed, self._drawn = loader, n, seed, itertools.count()
        if hasattr(loader, "one_batch") and hasattr(loader, "new"):
            size = {} if n is None else {"bs": min(n, len(loader.dataset))}
            self.loader = loader.new(shuffle=True, seed=seed, num_workers=0, drop_last=False, split_idx=1, **size)

    def draw(self) -> Any:
        "The next batch."
        loader = self.loader
        if hasattr(loader, "one_batch"):
            return loader.one_batch()
        with fixed_seed():
            dataset = getattr(loader, "dataset", None)
            if not (hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__") and getattr(loader, "batch_size", None)):
                return next(iter(loader))
            n = min(self.n or loader.batch_size, len(dataset))
            chosen = item_rng(self.seed, next(self._drawn)).choice(len(dataset), n, replace=False)
            return loader.collate_fn([dataset[int(i)] for i in chosen])


class FixedBatch:
    "A loader of one batch, always the same; each pass gets a copy of it, because a model may work in place."

    def __init__(self, batch: Any, loader: Any):
        self.batch, self.n_inp = batch, getattr(loader, "n_inp", None)
        if hasattr(loader, "decode_batch"):
            self.decode_batch = loader.decode_batch

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator:
        yield self.one_batch()

    def one_batch(self) -> Any:
        "A copy of the batch."
        return map_nested(lambda o: o.clone() if isinstance(o, torch.Tensor) else o, self.batch)

    @property
    def shows_images(self) -> bool:
        "Whether its items can be drawn: decoded, they contain an image or something else with two axes or more."
        if not hasattr(self, "decode_batch") or not isinstance(self.batch, (tuple, list)) or len(self.batch) < 2:
            return False
        return any(hasattr(o, "getbands") or getattr(o, "ndim", 0) >= 2 for o in leaves(self.decode_batch(self.one_batch(), max_n=1)[0]))


def fixed_batch(learn: "Learner", dl: Any = None, n: int = 9, seed: int = 42) -> FixedBatch:
    "A `FixedBatch` of `n` items of `dl` (None: the learner's validation data; without any, its training data)."
    source = BatchSource(learn.dls[1 if len(learn.dls) > 1 else 0] if dl is None else dl, n, seed)
    return FixedBatch(source.draw(), source.loader)


@contextmanager
def prediction_figure(learn: "Learner", batch: FixedBatch, n: int = 9) -> "Iterator[Figure | None]":
    "Within the block, a matplotlib figure of a `FixedBatch` with targets and predictions; None if its items cannot be drawn."
    if not batch.shows_images:
        yield None
        return
    import matplotlib.pyplot as plt
    with fixed_seed():
        learn.show_results(dl=batch, max_n=n, shuffle=False)
    figure = plt.gcf()
    try:
        yield figure
    finally:
        plt.close(figure)
