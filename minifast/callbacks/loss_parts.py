"""What the loss of a batch is of the losses of its parts: their mean, by items or by targets that count, or their sum.

For losses of torch and minifast that is known. One that a user has written, `def loss(pred, y): ...`, is asked, once in a fit: it is
computed for some items, and for the two halves of these. Beside a sum, what a callback adds to the loss is looked at too: a penalty on
the weights is the same on every rank, and would be added once for each.
"""
import math
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any
from warnings import warn

import torch

from ..core import find_bs, leaves, map_nested
from ..core.ranks import gathered, world_size
from ..core.seeds import rng_state, set_rng_state
from ..nn.loss_traits import batch_weight, has_own_forward, ignore_index_of, inner_loss, kind_of, loss_name
from .base import Callback, Learner

#: How much a part of a batch counts, as a function of the loss, the targets of the part and its number of items.
Weight = Callable[[Any, Sequence[Any], int], Any]
#: Of how many items the loss is looked at.
_ITEMS = 32


def _targets_that_count(loss_func, yb, n_items):
    y = yb[0] if len(yb) == 1 else None
    if not isinstance(y, torch.Tensor) or y.is_floating_point() or y.dtype is torch.bool:
        return n_items
    return (y != ignore_index_of(loss_func)).sum()


def _items(loss_func, yb, n_items):
    return n_items


def _sum(loss_func, yb, n_items):
    return None


#: What to write where something is added to a loss that is a sum over items.
_INSTEAD = ("write self.learn.loss = self.learn.loss + mean_over_items(self.learn, term), with `from minifast.distributed import "
            "mean_over_items`: right for penalties on weights, and for means over items")

#: In the order in which they are preferred, where more than one holds.
_WEIGHTS: dict[str, Weight] = {"as known": batch_weight, "targets": _targets_that_count, "items": _items, "sum": _sum}


class LossParts:
    """Of a pass of several ranks: how the loss of a batch is put together from those of the ranks.

    Args:
        learn: the learner.
    """

    def __init__(self, learn: Learner):
        self.learn = learn
        self._weight: Weight | None = None          # None: not asked yet
        self._known, self._checked = True, False
        self._added: Any = 0.0

    @property
    def known(self) -> bool:
        "Whether the loss is a mean or a sum over items. Called by all ranks, after predictions."
        self._ask()
        return self._known

    def local_weight(self) -> Any:
        "How much what this rank has of the batch in progress counts, see `batch_weight`. Called by all ranks, after predictions."
        learn, weight = self.learn, self._ask()
        if weight is batch_weight:
            return learn.local_weight()
        return weight(learn.loss_func, learn.yb, find_bs((learn.xb, learn.kw)))

    def _ask(self):
        if self._weight is not None:
            return self._weight
        learn = self.learn
        if not has_own_forward(learn.loss_func):
            self._weight = batch_weight
            return batch_weight
        told, more = zip(*gathered(_that_hold(learn)), strict=True)
        first = "as known" if kind_of(learn.loss_func) is not None else "targets"
        names = sorted((n for n in _WEIGHTS if all(n in there for there in told)), key=lambda n: n != first)
        self._known, self._weight = bool(names), _WEIGHTS[names[0]] if names else batch_weight
        if not names and learn.training and None not in more and _alike(more, 1e-2):
            raise RuntimeError(f"the loss {loss_name(learn.loss_func)} is a sum over items and {more[0]:.4g} more, whatever the items are. "
                               f"Each rank has a part of the items, so that this would count {world_size()} times: let the loss be a mean "
                               f"over items; or leave the rest out of it, and in `after_loss` of a callback {_INSTEAD}")
        if not names and learn.training:
            warn(f"the loss {loss_name(learn.loss_func)} of a batch is neither the mean nor the sum of the losses of its parts, so the "
                 f"weights will differ from those of one process: the mean of what each of {world_size()} ranks computes for its items is "
                 "used. If it is a sum over items and something more, such as a penalty, make it a mean over items; if it compares items "
                 "with each other, those of its rank are all it sees", stacklevel=4)
        return self._weight

    def mean_over_items(self, term: torch.Tensor) -> torch.Tensor:
        """As the function of this name in `rank_parts`, where there are several ranks.

        Args:
            term: a mean over this rank's items.
        """
        share: Any = self.learn.share
        factor, _ = share.weighed(self.local_weight())
        own: Any = share.mine * len(share.sizes) / share.total
        if isinstance(factor, torch.Tensor):
            term = term * torch.where(factor == 0, torch.zeros_like(factor), own / factor)
        elif factor != own:
            term = term * (own / (factor or 1))
        self._added = self._added + term.detach()
        return term

    def check(self, is_known: Callable[[Callback], bool]) -> None:
        """Look, once, at what callbacks of the user's have added to a loss that is a sum over items. Called by all ranks, after the loss of
        each training batch.

        Args:
            is_known: whether a callback is not one of the user's.

        Raises:
            RuntimeError: it is the same on all ranks, as a penalty on the weights is, and would be added once for each.
        """
        if not self._checked and self.local_weight() is None:
            authors = [type(cb).__name__ for cb in self.learn.cbs
                       if "after_loss" in cb.overridden_events() and cb.run_train and not is_known(cb)]
            if authors:
                self._check_additions(" or ".join(authors))
        self._checked, self._added = True, 0.0

    def _check_additions(self, authors):
        learn = self.learn
        with _as_it_was(learn.loss_func):
            plain = float(learn.loss_func(learn.pred, *learn.yb))
        told = gathered((plain, float(learn.loss.detach() - self._added) - plain))
        added = [x for _, x in told]
        if all(abs(x) <= 1e-5 * abs(loss) for loss, x in told) or _alike([x / (loss or 1) for loss, x in told]):
            return                              # nothing was added; or the loss was multiplied
        if _alike(added):
            raise RuntimeError(f"{authors} adds {added[0]:.4g} to the loss {loss_name(learn.loss_func)} on every rank. That loss is a sum "
                               f"over items, of which each rank has a part, so that this would count {world_size()} times: {_INSTEAD}")
        warn(f"{authors} adds to the loss {loss_name(learn.loss_func)}, which is a sum over items. Also what is added is summed over "
             f"{world_size()} ranks, which is right for a sum over items alone. For anything else {_INSTEAD}", stacklevel=4)


def _that_hold(learn):
    """The names of the weights with which the loss of some items is made of those of their halves; of all where that cannot be asked. And
    by how much the losses of two parts are more than that of the whole, where this is the same for any two; else None."""
    pred, yb, loss_func = learn.pred, learn.yb, learn.loss_func
    n = find_bs(yb)
    k = min(n, _ITEMS)
    if k < 2 or any(not isinstance(t, torch.Tensor) or not t.ndim or len(t) != n for t in leaves((pred, yb))):
        return (list(_WEIGHTS) if k < 2 else ["as known", "items"]), None

    def of(start, stop):
        there = map_nested(lambda t: t[start:stop], tuple(yb))
        loss = loss_func(map_nested(lambda t: t[start:stop], pred), *there)
        weights = [w(loss_func, there, stop - start) for w in _WEIGHTS.values()]
        return float(loss), [None if w is None else float(w) for w in weights]

    try:
        with _as_it_was(loss_func):
            (whole, _), (a, of_a), (b, of_b) = of(0, k), of(0, k // 2), of(k // 2, k)
            if not math.isfinite(whole):    # no target of a rank counts, say
                return list(_WEIGHTS), None
            close = (1e-2 if torch.is_autocast_enabled(learn.dls.device.type) else 1e-4) * max(abs(whole), abs(a), abs(b))
            names = [name for name, u, v in zip(_WEIGHTS, of_a, of_b, strict=True)
                     if abs((a + b if u is None else _mean(a, u, b, v)) - whole) <= close]
            if names or k < 4:
                return names, None
            others = [of(0, m)[0] + of(m, k)[0] for m in (k // 4, k - k // 4)]
    except Exception:                       # it takes batches of one size, say
        return [], None
    return [], a + b - whole if all(abs(o - a - b) <= close for o in others) else None


def _mean(a, u, b, v):
    return ((u and u * a) + (v and v * b)) / ((u + v) or 1)


@contextmanager
def _as_it_was(loss_func):
    "Within the block a loss is computed once more; random streams and what it has stored are as before."
    own, random = getattr(inner_loss(loss_func), "__dict__", {}), rng_state()
    before = dict(own)
    try:
        with torch.no_grad():
            yield
    finally:
        set_rng_state(random)
        own.update(before)


def _alike(numbers, to=1e-5):
    return max(numbers) - min(numbers) <= to * max(map(abs, numbers))
