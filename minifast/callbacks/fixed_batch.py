"""Batches to look at again and again during training, and pictures of what the model makes of them."""
import itertools

import torch

from ..core.nested import leaves, map_nested
from ..core.seeds import fixed_seed, item_rng


class BatchSource:
    """`draw()` gives a batch of `n` randomly chosen items (None: as many as in a batch of the loader), with the transforms of
    validation. The choice is a function of `seed` and of how often it was drawn; the streams that training draws from stay as they are.
    A loader whose items have no numbers gives its first batch."""

    def __init__(self, loader, n=None, seed=42):
        self.loader, self.n, self.seed, self._drawn = loader, n, seed, itertools.count()
        if hasattr(loader, "one_batch") and hasattr(loader, "new"):
            size = {} if n is None else {"bs": min(n, len(loader.dataset))}
            self.loader = loader.new(shuffle=True, seed=seed, num_workers=0, drop_last=False, split_idx=1, **size)

    def draw(self):
        loader = self.loader
        if hasattr(loader, "one_batch"):
            return loader.one_batch()
        with fixed_seed():
            if not _by_number(loader):
                return next(iter(loader))
            size = len(loader.dataset)
            chosen = item_rng(self.seed, next(self._drawn)).choice(size, min(self.n or loader.batch_size, size), replace=False)
            return loader.collate_fn([loader.dataset[int(i)] for i in chosen])


def _by_number(loader):
    "Whether a torch loader has a dataset whose items can be picked."
    dataset = getattr(loader, "dataset", None)
    return hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__") and bool(getattr(loader, "batch_size", None))


class FixedBatch:
    "One batch in the place of a loader: each pass gets a copy of it, since a model may work in place."

    def __init__(self, batch, loader):
        self.batch, self.n_inp = batch, getattr(loader, "n_inp", None)
        if hasattr(loader, "decode_batch"):
            self.decode_batch = loader.decode_batch

    def __len__(self):
        return 1

    def __iter__(self):
        yield self.one_batch()

    def one_batch(self):
        return map_nested(lambda o: o.clone() if isinstance(o, torch.Tensor) else o, self.batch)

    @property
    def shows_pictures(self):
        "Whether its items can be drawn: decoded, they hold an image or something else of two axes or more."
        if not hasattr(self, "decode_batch") or not isinstance(self.batch, (tuple, list)) or len(self.batch) < 2:
            return False
        return any(hasattr(o, "getbands") or getattr(o, "ndim", 0) >= 2 for o in leaves(self.decode_batch(self.one_batch(), max_n=1)[0]))


def fixed_batch(learn, dl=None, n=9, seed=42):
    "A `FixedBatch` of `n` items of `dl` (None: the learner's validation data; without any, its training data)."
    loader = learn.dls[1 if len(learn.dls) > 1 else 0] if dl is None else dl
    source = BatchSource(loader, n, seed)
    return FixedBatch(source.draw(), source.loader)


def prediction_figure(learn, batch, n=9):
    "A matplotlib figure of a `FixedBatch` with targets and predictions, for the caller to save and close; None if there are no pictures."
    if not batch.shows_pictures:
        return None
    import matplotlib.pyplot as plt
    with fixed_seed():
        learn.show_results(dl=batch, max_n=n, shuffle=False)
    return plt.gcf()
