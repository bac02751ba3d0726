"""In which order a loader takes the items, and which of them come into which batch.

A sampler here is an object with `order(epoch_seed) -> int64 tensor of indices`, a pure function, and `len`. torch's own samplers work too.
"""
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils.data import Sampler

from ...core.messages import describe, plural
from ...core.seeds import draw_seed


def _generator(seed):
    return torch.Generator().manual_seed(seed)


class OrderSampler(Sampler):
    "Base of the samplers whose order is a pure function of a seed: override `order`."

    shuffles: bool = True      #: whether the order differs from epoch to epoch

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

    def __len__(self) -> int:
        return self.n

    def order(self, epoch_seed: int) -> torch.Tensor:
        return torch.arange(self.n)


class Shuffled(InOrder):
    "All `n` items in random order."

    shuffles = True

    def order(self, epoch_seed: int) -> torch.Tensor:
        return torch.randperm(self.n, generator=_generator(epoch_seed))


class WeightedSampler(OrderSampler):
    "`n` items (default: as many as there are weights), drawn with replacement with probabilities proportional to `weights`."

    def __init__(self, weights: Any, n: int | None = None):
        self.weights = torch.as_tensor(weights.to_numpy() if hasattr(weights, "to_numpy") else weights, dtype=torch.float64)
        self.n = len(self.weights) if n is None else n
        if self.weights.ndim != 1 or not torch.isfinite(self.weights).all() or (self.weights < 0).any() or not self.weights.sum() > 0:
            raise ValueError(f"weights must be one finite number >= 0 per item, not all 0; received {describe(self.weights)} "
                             f"from {self.weights.min():g} to {self.weights.max():g}")

    def __len__(self) -> int:
        return self.n

    def order(self, epoch_seed: int) -> torch.Tensor:
        return torch.multinomial(self.weights, self.n, replacement=True, generator=_generator(epoch_seed))


class PartialSampler(OrderSampler):
    "`partial_n` of `n` items, others in each epoch."

    def __init__(self, n: int, partial_n: int):
        if isinstance(partial_n, bool) or not isinstance(partial_n, int) or not 0 < partial_n <= n:
            raise ValueError(f"partial_n={partial_n!r}: an epoch can take 1 to {plural(n, 'item')}")
        self.n, self.partial_n = n, partial_n

    def __len__(self) -> int:
        return self.partial_n

    def order(self, epoch_seed: int) -> torch.Tensor:
        return torch.randperm(self.n, generator=_generator(epoch_seed))[:self.partial_n]


class BatchKey(NamedTuple):
    "All that a batch depends on, besides the data and the transforms: whoever makes it, and when, it is the same."

    seed: int                           #: of the epoch
    number: int                         #: of the batch within the epoch
    indices: Any                        #: of its items: a list, or a tensor where the data are tensors
    repeats: list[int] | None           #: how often each index came before in the epoch; None: never


class Order:
    """The batches of an epoch as `BatchKey`s: the items of `sampler`, `bs` at a time.

    drop_last: drop an incomplete last batch; None: only if it is a single item and the sampler shuffles.
    """

    def __init__(self, sampler: Any, bs: int, drop_last: bool | None):
        self.sampler, self.bs, self.drop_last = sampler, bs, drop_last

    def __len__(self) -> int:
        full, rest = divmod(len(self.sampler), self.bs)
        drop = (rest == 1 and full > 0 and self.shuffles) if self.drop_last is None else self.drop_last
        return full + (rest > 0 and not drop)

    @property
    def shuffles(self) -> bool:
        "Whether the order differs from epoch to epoch."
        return bool(getattr(self.sampler, "shuffles", True))

    @property
    def is_known(self) -> bool:
        "Whether the order is a function of the epoch's seed, so that it can be asked for again."
        return hasattr(self.sampler, "order")

    def indices(self, seed: int, number: int) -> list[int]:
        "The indices of batch `number` of the epoch with this seed."
        return self.drawn(seed)[number * self.bs:(number + 1) * self.bs].tolist()

    def drawn(self, seed: int) -> torch.Tensor:
        "The indices of an epoch with this seed, as a tensor."
        return self.sampler.order(seed) if self.is_known else torch.as_tensor(list(self.sampler), dtype=torch.int64)

    def keys(self, seed: int, start: int = 0) -> Iterator[BatchKey]:
        "The batches of the epoch with this seed, from batch `start` on."
        order, repeats = self.drawn(seed), None
        if not self.is_known or isinstance(self.sampler, WeightedSampler):
            repeats = repeats_of(order.tolist())
        for number in range(start, len(self)):
            part = slice(number * self.bs, (number + 1) * self.bs)
            yield BatchKey(seed, number, order[part].tolist(), None if repeats is None else repeats[part])


def repeats_of(indices: Sequence[int]) -> list[int] | None:
    "For each index how often it came before, or None if no index comes twice."
    seen, repeats = {}, []
    for i in indices:
        repeats.append(seen.get(i, 0))
        seen[i] = repeats[-1] + 1
    return repeats if any(repeats) else None
