"""`Lookahead`, around any optimizer."""
from collections.abc import Callable
from typing import Any

import torch

from ..core.messages import brief, describe
from ..core.sharded import locals_of
from ..core.torch_internals import copy_, lerp_
from .hypers import HyperOptimizer


class Lookahead(HyperOptimizer):
    """Slow weights that move towards those of any optimizer now and then (Zhang et al. 2019, arXiv:1907.08610).

    Every `k` steps of `opt` the slow weights move the fraction `alpha` towards the weights, and training continues from there. Groups
    and state are those of `opt`: hyper-parameters and schedulers may be set on either. Each parameter's state holds its slow weights,
    `slow`, and its steps since it has them, `slow_step`: a parameter that was frozen starts from the weights it has then.

    Args:
        opt: an optimizer, such as `Lookahead(RAdam(params, lr=1e-3))`.
        k: steps between two moves of the slow weights.
        alpha: how far they move, above 0 and at most 1.
    """

    def __init__(self, opt: torch.optim.Optimizer, k: int = 6, alpha: float = 0.5):
        if not isinstance(opt, torch.optim.Optimizer):
            raise TypeError(f"Lookahead(opt) takes a constructed optimizer; received {describe(opt)}. "
                            "As an opt_func, write: def opt_func(params, **kw): return Lookahead(RAdam(params, **kw)).")
        if not (isinstance(k, int) and k >= 1 and 0 < alpha <= 1):
            raise ValueError(f"Lookahead(k={brief(k)}, alpha={brief(alpha)}): k is a whole number of steps, at least 1, "
                             "and alpha is above 0 and at most 1.")
        super().__init__([dict(g) for g in opt.param_groups], opt.defaults)
        self.opt, self.k, self.alpha = opt, k, alpha
        self._share()

    def _share(self):
        self.param_groups, self.state, self.defaults = self.opt.param_groups, self.opt.state, self.opt.defaults
        self.hp_map = getattr(self.opt, "hp_map", None)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"opt": self.opt, "k": self.k, "alpha": self.alpha, "hp_map": self.hp_map}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        "Add a group to the inner optimizer, as in torch."
        # torch's constructor, too, collects its groups through this method
        owner: Any = self.opt if "opt" in vars(self) else super()
        owner.add_param_group(param_group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        "Load what `state_dict` returned; without slow weights in it they start at the weights of the next step."
        self.opt.load_state_dict(state_dict)
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        "Make one step of the inner optimizer, and every `k`-th time one of the slow weights."
        params = [p for g in self.param_groups for p in g["params"] if p.requires_grad and (closure or p.grad is not None)]
        before = {p: p.clone() for p in params if "slow" not in self.state.get(p, ())}
        with torch.enable_grad():
            loss = self.opt.step(closure)
        due = []
        for p in params:
            if p.grad is None:
                continue
            state = self.state[p]
            if p in before:                   # only now: the optimizer inside takes an empty state as the sign of a first step
                state["slow"], state["slow_step"] = before[p], 0
            state["slow_step"] += 1
            if state["slow_step"] % self.k == 0:
                due.append((state["slow"], p))
        if due:
            slow, weights = map(locals_of, zip(*due, strict=True))
            lerp_(slow, weights, self.alpha)
            copy_(weights, slow)
        return loss
