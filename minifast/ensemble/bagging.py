"""Bagging: learners on bootstrap samples of the items, and what each predicts for the items that it did not draw."""
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch

from ..core.arguments import check_arguments, is_whole
from ..core.messages import describe, plural
from ..core.seeds import draw_seed, item_rng
from ..core.types import PathLike
from ..data.engine.samplers import OrderSampler
from ..data.splitters_groups import values_of
from ..learner.learner import Learner
from .averaging import Ensemble
from .runner import Parts, at, gathered, run_parts


class Repeated(OrderSampler):
    "Item `i` as often as `counts[i]` says, in random order."

    def __init__(self, counts: Sequence[int]):
        self.positions = torch.repeat_interleave(torch.arange(len(counts)), torch.as_tensor(counts))
        self.n = len(self.positions)

    def order(self, epoch_seed: int) -> torch.Tensor:
        "The positions of one epoch."
        return self.positions[torch.randperm(self.n, generator=torch.Generator().manual_seed(epoch_seed))]


def bootstrap(positions: Sequence[int], seed: int, groups: Sequence[Hashable] | None = None) -> tuple[dict[int, int], list[int]]:
    """`({position: how often it was drawn}, positions that were not drawn)`, by `sklearn.utils.resample`.

    Args:
        positions: as many are drawn as there are, with replacement.
        seed: of the draws.
        groups: one value per position; whole groups are drawn.
    """
    from sklearn.utils import resample
    members = {}
    for p, g in zip(positions, positions if groups is None else groups, strict=True):
        members.setdefault(g, []).append(p)
    drawn = Counter(p for name in resample(list(members), random_state=seed) for p in members[name])
    return {p: drawn[p] for p in positions if p in drawn}, [p for p in positions if p not in drawn]


class BaggingResult(Parts):
    """What `bagging` returns.

    Attributes:
        preds, targs: out of bag: of each item at `positions`, the mean over the learners that did not draw it.
        counts: how many these are. Items that every learner drew are not among them.
    """

    noun = "bag"

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        preds, targs, positions = gathered(self.parts)
        if not isinstance(preds, torch.Tensor):
            raise TypeError(f"bagging averages the output of models that give one tensor; these give {describe(preds)}")
        found, index, counts = positions.unique(return_inverse=True, return_counts=True)
        total = torch.zeros(len(found), *preds.shape[1:], dtype=torch.float64).index_add_(0, index, preds.double())
        self.preds = (total / counts.reshape(-1, *[1] * (preds.ndim - 1))).to(preds.dtype)
        first = torch.full((len(found),), len(index)).scatter_reduce_(0, index, torch.arange(len(index)), "amin")
        self.targs, self.positions, self.counts = at(targs, first), found.tolist(), counts.tolist()

    @property
    def ensemble(self) -> Ensemble:
        "All learners as an `Ensemble`."
        return Ensemble(self.learners)


def bagging(learner_fn: Callable[[tuple], Learner], items: Any, n: int = 5, *, fit: Callable[[Learner], Any],
            train_idx: Sequence[int] | None = None, groups: Any = None, seed: int | None = 42, path: PathLike | None = None,
            keep: str = "models") -> BaggingResult:
    """Train learners on bootstrap samples of `items`, each validated on those it did not draw (about 37 %).

    Args:
        learner_fn: as for `kfold`, with splits = (positions that were drawn, positions that were not); items that were drawn several times
            come several times in each epoch.
        items: a list, array or DataFrame.
        n: how many learners.
        train_idx: draw from these positions only, and leave the others for a test.
        groups: draw whole groups, see `kfold_splits`.
        fit, seed, path, keep: as for `kfold`.

    Source: L. Breiman, "Bagging predictors", 1996.
    """
    check_arguments("bagging", n=(n, is_whole(n), "how many learners, a whole number from 1"))
    positions = list(range(len(items))) if train_idx is None else [int(i) for i in train_idx]
    if len(positions) < 2 or len(set(positions)) < len(positions) or not all(0 <= i < len(items) for i in positions):
        raise ValueError(f"bagging(train_idx): different positions from 0 to {len(items) - 1}, at least two; received "
                         f"{describe(train_idx)}")
    if groups is not None:
        all_groups = values_of(items, groups, "bagging(groups)")
        groups = [all_groups[i] for i in positions]
        if len(set(groups)) < 2:
            raise ValueError(f"bagging(groups): all {plural(len(positions), 'item')} are of one group, so none would be out of the bag")
    draws, base = [], draw_seed() if seed is None else seed
    for i in range(n):
        rng, out = item_rng(base, i, 1), []
        while not out:                           # a handful of items may all be drawn
            drawn, out = bootstrap(positions, int(rng.integers(2**32)), groups)
        draws.append((drawn, out))
    splits = [(list(drawn), out) for drawn, out in draws]

    def repeat_items(i: int, learn: Any) -> None:
        counts, train = list(draws[i][0].values()), learn.dls.train
        if len(train.dataset) != len(counts) or not hasattr(train, "after_batch"):
            raise TypeError(f"bag {i}: to draw items several times the training loader must be minifast's DataLoader over the "
                            f"{len(counts):,} items of splits[0]; it is {describe(train)}")
        learn.dls = learn.dls.new(train.new(shuffle=False, sampler=Repeated(counts)), *list(learn.dls)[1:])

    return run_parts(BaggingResult, learner_fn, items, splits, fit, seed, path, keep, {"run": "bagging", "n": n}, repeat_items)
