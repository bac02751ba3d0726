"""In which order a loader takes the items, and which of them come into which batch.

A sampler here is an object with `order(epoch_seed) -> int64 tensor of indices`, a pure function, and `len`. torch's own samplers work too.
"""
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import Sampler

from ...core.messages import brief, describe, plural
from ...core.seeds import draw_seed


def _generator(seed):
    return torch.Generator().manual_seed(seed)


class OrderSampler(Sampler):
    "Base of the samplers whose order is a pure function of a seed: override `order`."

    shuffles: bool = True      #: whether the order differs from epoch to epoch
    repeats: bool = False      #: whether an item may come several times in an epoch
    n: int                     #: how many items it takes

    def __len__(self) -> int:
        return self.n

    def order(self, epoch_seed: int) -> torch.Tensor:
        "Override: the indices of an epoch with this seed."
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        return iter(self.order(draw_seed()).tolist())


class InOrder(OrderSampler):
    "All `n` items in their order."

    shuffles = False

    def __init__(self, n: int):
        self.n = n

    def order(self, epoch_seed: int) -> torch.Tensor:
        return torch.arange(self.n)


class Shuffled(InOrder):
    "All `n` items in random order."

    shuffles = True

    def order(self, epoch_seed: int) -> torch.Tensor:
        return torch.randperm(self.n, generator=_generator(epoch_seed))


class WeightedSampler(OrderSampler):
    "`n` items (default: as many as there are weights), drawn with replacement with probabilities proportional to `weights`."

    repeats = True

    def __init__(self, weights: Any, n: int | None = None):
        self.weights = torch.as_tensor(weights.to_numpy() if hasattr(weights, "to_numpy") else weights, dtype=torch.float64)
        self.n = len(self.weights) if n is None else n
        if self.weights.ndim != 1 or not torch.isfinite(self.weights).all() or (self.weights < 0).any() or not self.weights.sum() > 0:
            raise ValueError(f"weights must be one finite number >= 0 per item, not all 0; received {describe(self.weights)} "
                             f"from {self.weights.min():g} to {self.weights.max():g}")

    def order(self, epoch_seed: int) -> torch.Tensor:
        return torch.multinomial(self.weights, self.n, replacement=True, generator=_generator(epoch_seed))


class PartialSampler(OrderSampler):
    "`partial_n` of `n` items, others in each epoch."

    def __init__(self, n: int, partial_n: int):
        if isinstance(partial_n, bool) or not isinstance(partial_n, int) or not 0 < partial_n <= n:
            raise ValueError(f"partial_n={brief(partial_n)}: an epoch can take 1 to {plural(n, 'item')}")
        self.n, self.partial_n = n, partial_n

    def __len__(self) -> int:
        return self.partial_n

    def order(self, epoch_seed: int) -> torch.Tensor:
        return torch.randperm(self.n, generator=_generator(epoch_seed))[:self.partial_n]
