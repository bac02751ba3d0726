"""Freezing layer groups, and remembering what the user froze by hand."""
from collections.abc import Iterable
from warnings import warn

import torch
from torch import nn

from ..core.messages import plural
from .groups import NORM_TYPES, group_layers, layer_group_count, norm_params


class Freezer:
    """Turns `requires_grad` on and off per layer group of one optimizer.

    A parameter that the user froze by hand (its flag differs from what was last set here) stays frozen through every later
    `freeze_to`. With `train_bn`, the parameters of norm layers stay trainable in frozen groups; without it neither their
    parameters nor their running statistics move there.

    Args:
        model: the model.
        opt: its optimizer.
        train_bn: norm layers of frozen groups stay trainable.
        before: the freezer of the optimizer that `opt` replaces: what was frozen stays frozen.
    """

    def __init__(self, model: nn.Module, opt: torch.optim.Optimizer, train_bn: bool = True, before: "Freezer | None" = None):
        self.model, self.opt, self.train_bn = model, opt, train_bn
        known = {} if before is None else before.last_set        # a new optimizer: what is frozen now was frozen here
        self.last_set: dict[int, bool] = {id(p): known.get(id(p), True) for g in opt.param_groups for p in g["params"]}
        self.frozen_to: int = 0 if before is None else before.frozen_to
        self.warned: bool = before is not None and before.warned

    def freeze_to(self, n: int) -> None:
        "Freeze every layer group before `n`; negative `n` counts from the end. One group alone is never frozen: a warning says so."
        total = layer_group_count(self.opt)
        if total == 1 and n < 0:
            if not self.warned:
                self.warned = True
                warn("this model has 1 layer group, so nothing is frozen and all of it trains; to freeze a part write "
                     "Learner(splitter=lambda m: [params(m.body), params(m.head)])", stacklevel=4)
            n = 0
        wanted = n if n >= 0 else total + n
        if not 0 <= wanted < total:
            raise ValueError(f"freeze_to({n}): this model has {plural(total, 'layer group')}, so n must be from {-total} to {total - 1}")
        norms = norm_params(self.model) if self.train_bn else set()
        for group, layer in zip(self.opt.param_groups, group_layers(self.opt), strict=True):
            for p in group["params"]:
                by_hand = not p.requires_grad and self.last_set.get(id(p), True)
                if not by_hand:
                    self.last_set[id(p)] = layer >= wanted or id(p) in norms
                    p.requires_grad_(self.last_set[id(p)])
        self.frozen_to = wanted

    def exchange(self, old: Iterable[nn.Parameter], new: Iterable[nn.Parameter]) -> None:
        """Know parameters by the objects that take their place, as when they are divided among ranks.

        Args:
            old: the objects until now.
            new: theirs, in the same order.
        """
        for p, q in zip(old, new, strict=True):
            if id(p) in self.last_set:
                self.last_set[id(q)] = self.last_set.pop(id(p))

    def hold_norm_statistics(self, model: nn.Module | None = None) -> None:
        """With `train_bn=False`, put the norm layers whose own parameters are all frozen in eval mode: their statistics must not drift.

        Args:
            model: the model, or a copy of it (default: the model itself).
        """
        if self.train_bn or not self.frozen_to:
            return
        for m in (self.model if model is None else model).modules():
            own = list(m.parameters(recurse=False))
            if isinstance(m, NORM_TYPES) and own and not any(p.requires_grad for p in own):
                m.eval()
