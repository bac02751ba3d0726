"""In which order a loader takes the items.

A sampler here is an object with `order(epoch_seed) -> int64 tensor of indices`, a pure function, and `len`. torch's own samplers work too.
"""
from itertools import islice

import torch
from torch.utils.data import Sampler

from ...core.messages import describe, plural


class OrderSampler(Sampler):
    "Base of the samplers whose order is a pure function of a seed: override `order`."

    shuffles = True      #: whether the order differs from epoch to epoch

    def order(self, epoch_seed):
        raise NotImplementedError

    def __iter__(self):
        from ...core.seeds import draw_seed
        return iter(self.order(draw_seed()).tolist())


class InOrder(OrderSampler):
    "All `n` items in their order."

    shuffles = False

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def order(self, epoch_seed):
        return torch.arange(self.n)


class Shuffled(InOrder):
    "All `n` items in random order."

    shuffles = True

    def order(self, epoch_seed):
        return torch.randperm(self.n, generator=torch.Generator().manual_seed(epoch_seed))


class WeightedSampler(OrderSampler):
    "`n` items (default: as many as there are weights), drawn with replacement with probabilities proportional to `weights`."

    def __init__(self, weights, n=None):
        self.weights = torch.as_tensor(weights.to_numpy() if hasattr(weights, "to_numpy") else weights, dtype=torch.float64)
        self.n = len(self.weights) if n is None else n
        if self.weights.ndim != 1 or not torch.isfinite(self.weights).all() or (self.weights < 0).any() or not self.weights.sum() > 0:
            raise ValueError(f"weights must be one finite number >= 0 per item, not all 0; received {describe(self.weights)} "
                             f"from {self.weights.min():g} to {self.weights.max():g}")

    def __len__(self):
        return self.n

    def order(self, epoch_seed):
        return torch.multinomial(self.weights, self.n, replacement=True, generator=torch.Generator().manual_seed(epoch_seed))


class PartialSampler(OrderSampler):
    "`partial_n` of `n` items, others each epoch."

    def __init__(self, n, partial_n):
        if isinstance(partial_n, bool) or not isinstance(partial_n, int) or not 0 < partial_n <= n:
            raise ValueError(f"partial_n={partial_n!r}: an epoch can take 1 to {plural(n, 'item')}")
        self.n, self.partial_n = n, partial_n

    def __len__(self):
        return self.partial_n

    def order(self, epoch_seed):
        return torch.randperm(self.n, generator=torch.Generator().manual_seed(epoch_seed))[:self.partial_n]


class Batches:
    """What a loader asks its dataset for: `(epoch seed, batch number, indices, repeats)` of each batch of one epoch.

    repeats: how often each index came earlier in the epoch (None: never), so that an item drawn twice is augmented differently.
    `epoch_seed` and `start` are set before an epoch begins: the seed that order and augmentation depend on, and the batch to begin
    with.
    """

    def __init__(self, sampler, bs, drop_last):
        self.sampler, self.bs, self.drop_last = sampler, bs, drop_last
        self.epoch_seed, self.start = 0, 0

    def __len__(self):
        full, rest = divmod(len(self.sampler), self.bs)
        if self.drop_last is None:       # a batch of one is of no use to batch norm; alone it is all there is
            drop = rest == 1 and full > 0 and self.sampler_shuffles
        else:
            drop = self.drop_last
        return full + (rest > 0 and not drop)

    @property
    def sampler_shuffles(self):
        return getattr(self.sampler, "shuffles", True)

    @property
    def is_known(self):
        "Whether the order is a function of the epoch's seed, so that it can be asked for again."
        return hasattr(self.sampler, "order")

    def indices(self, epoch_seed, number):
        "The indices of batch `number` of the epoch with this seed."
        return next(islice(self._batches(epoch_seed, number), 1))[2]

    def __iter__(self):
        return self._batches(self.epoch_seed, self.start)

    def _batches(self, epoch_seed, start):
        if self.is_known:
            order, repeats = self.sampler.order(epoch_seed), None
            if isinstance(self.sampler, WeightedSampler):
                repeats = repeats_of(order.tolist())
        else:
            order = torch.as_tensor(list(self.sampler), dtype=torch.int64)
            repeats = repeats_of(order.tolist())
        for n in range(start, len(self)):
            part = slice(n * self.bs, (n + 1) * self.bs)
            yield epoch_seed, n, order[part].tolist(), None if repeats is None else repeats[part]


def repeats_of(order):
    "For each index how often it came before, or None if no index comes twice."
    seen, repeats = {}, []
    for i in order:
        repeats.append(seen.get(i, 0))
        seen[i] = repeats[-1] + 1
    return repeats if any(repeats) else None
