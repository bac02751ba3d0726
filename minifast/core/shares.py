"""How the items of a batch are divided among ranks, and put together again."""
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch.nn.functional import pad

from .nested import map_nested
from .ranks import group, rank, summed, world_size


def refused(t: torch.Tensor) -> None:
    "No padding: items of different shapes are refused."


class Share(NamedTuple):
    """How the items of a batch are divided among the ranks: rank r has `sizes[r]` of them, those after the items of the ranks below.

    A rank without any gets some of the others' to work on, so that it can take part in what all do together; they count nothing.
    """

    sizes: tuple[int, ...]                  #: items of each rank
    rank: int                               #: this one

    @property
    def mine(self) -> int:
        "How many of the items are this rank's."
        return self.sizes[self.rank]

    @property
    def total(self) -> int:
        "How many items the batch has."
        return sum(self.sizes)

    @property
    def held(self) -> slice:
        "Which items of the batch this rank works on: its own, or those that stand in."
        start = sum(self.sizes[:self.rank])
        return slice(start, start + self.mine) if self.mine else slice(0, min(2, self.total))

    def whole(self, x: Any, fill: Callable[[torch.Tensor], float | None] = refused, in_front: bool = False) -> Any:
        """Put together what each rank has of a batch.

        Args:
            x: a tensor whose first axis is that of this rank's items, or nested tuples, lists and dicts of them. A tensor without axes is
                a mean over the items.
            fill: of a tensor, with what its items are padded at their ends where other ranks' items are longer; None: not at all.
            in_front: they are padded at their beginnings.

        Returns:
            The same for all items of the batch, on every rank.

        Raises:
            ValueError: the ranks have tensors of different shapes.
        """
        return map_nested(lambda t: self._whole_tensor(t, fill, in_front), x)

    def _whole_tensor(self, t, fill, in_front):
        if not isinstance(t, torch.Tensor):
            return t
        if not t.ndim:
            return summed(t.detach().double() * self.mine).div_(self.total).to(t.dtype) if t.is_floating_point() else t
        own = t.detach()[:self.mine].contiguous()
        own, most = own.view(torch.uint8) if own.dtype is torch.bool else own, max(self.sizes)
        if own.ndim > 1:
            shapes = [torch.empty(own.ndim - 1, dtype=torch.int64) for _ in self.sizes]
            torch.distributed.all_gather(shapes, torch.tensor(own.shape[1:]), group=group())
            if any(not s.equal(shapes[0]) for s in shapes):
                own = _padded(own, [tuple(s.tolist()) for s in shapes], fill(t), in_front)
        if len(own) < most:
            own = torch.cat([own, own.new_zeros((most - len(own), *own.shape[1:]))])
        parts = [torch.empty_like(own) for _ in self.sizes]
        torch.distributed.all_gather(parts, own, group=group())
        return torch.cat([p[:n] for p, n in zip(parts, self.sizes, strict=True)]).view(t.dtype)

    def weighed(self, weight: Any) -> tuple[Any, Any]:
        """By what the gradient of this rank's loss is multiplied before it is averaged over the ranks, so that the average is the gradient
        of the loss of the whole batch.

        Args:
            weight: how much what this rank works on counts, see `batch_weight`: a number in proportion to its items, a 0-d tensor, or
                None, where the loss is a sum.

        Returns:
            `(factor, weight of the whole batch)`.
        """
        world = len(self.sizes)
        if weight is None:
            return float(world if self.mine else 0), None
        if not isinstance(weight, torch.Tensor):
            return self.mine * world / self.total, weight * self.total // (self.mine or self.held.stop)
        own = weight.detach() * float(self.mine > 0)
        whole = summed(own.clone())
        whole = torch.where(whole == 0, 1, whole)           # nothing counts
        return own * world / whole, whole

    def part_of_mean(self, weight: Any) -> Any:
        """By what a mean over this rank's items is multiplied, so that those of all ranks, added up by numbers of items, give the mean.

        Args:
            weight: how much what this rank works on counts, as of `weighed`.
        """
        factor, _ = self.weighed(weight)
        return factor * self.total / (len(self.sizes) * max(1, self.mine))

    def part(self, x: Any) -> Any:
        """Take this rank's part of what there is for the whole batch.

        Args:
            x: nested tensors whose first axis is that of the items.
        """
        return map_nested(lambda t: t[self.held] if isinstance(t, torch.Tensor) and t.ndim else t, x)


def _padded(t, shapes, value, in_front):
    if value is None:
        raise ValueError(f"the ranks' parts of a batch cannot be put together: their items have the shapes {shapes}. Pad all batches to "
                         "one length, or do this with one process")
    missing = [max(sizes) - n for sizes, n in zip(zip(*shapes, strict=True), t.shape[1:], strict=True)]
    return pad(t, [n for m in reversed(missing) for n in ((m, 0) if in_front else (0, m))], value=value)


def share_of(n: int) -> Share:
    """How a batch of `n` items is divided among the ranks: as evenly as can be, but nobody has a single item as long as there are two,
    because batch norm cannot train on one."""
    return divided(n, world_size(), rank())


@lru_cache(1024)
def divided(n: int, world: int, rank: int) -> Share:
    "`share_of` for rank `rank` of `world`: for workers, which belong to no group."
    active = min(world, max(1, n // 2))
    size, rest = divmod(n, active)
    return Share(tuple(size + (r < rest) if r < active else 0 for r in range(world)), rank)
