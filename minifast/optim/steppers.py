"""An optimizer composed of small functions: `Optimizer(params, cbs=[average_grad, momentum_step], mom=0.9)`.

A stepper is a function of one parameter `p` (its gradient is `p.grad`) and of whatever it names among the hyper-parameters and the
state of that parameter: `def sgd_step(p, lr, **kwargs)`. What it returns, a dict or None, is added to the state, and later steppers
may name it: `average_grad` returns `grad_avg`, which `momentum_step` uses. Steppers run in the order given, without recording
gradients. An attribute `defaults` of the function gives default hyper-parameters; `@hyper_defaults(mom=0.9)` sets it.

None of the steppers here reads a value back from the device.
"""
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import torch
from torch.nn.functional import softplus

from ..core.messages import describe, did_you_mean, name_of, unwrapped
from .groups import with_hypers
from .hypers import HyperOptimizer

F = TypeVar("F", bound=Callable)


def hyper_defaults(**values: float) -> Callable[[F], F]:
    "Give a stepper default hyper-parameters, as its attribute `defaults`."
    def deco(f: Any) -> Any:
        f.defaults = values
        return f
    return deco


# Steppers that change the parameter

def sgd_step(p: torch.Tensor, lr: float, **kwargs: Any) -> None:
    """`p -= lr * grad`

    Args:
        p: the parameter, with its gradient.
        lr: learning rate.
        **kwargs: hyper-parameters and state that this stepper does not use.
    """
    p.add_(p.grad, alpha=-lr)


def momentum_step(p: torch.Tensor, lr: float, grad_avg: torch.Tensor, **kwargs: Any) -> None:
    """`p -= lr * grad_avg`; put `average_grad` before it.

    Args:
        p: the parameter.
        lr: learning rate.
        grad_avg: average of the gradients.
        **kwargs: hyper-parameters and state that this stepper does not use.
    """
    p.add_(grad_avg, alpha=-lr)


@hyper_defaults(wd=0.0)
def weight_decay(p: torch.Tensor, lr: float, wd: float, **kwargs: Any) -> None:
    """Decoupled weight decay, `p *= 1 - lr*wd`.

    Args:
        p: the parameter.
        lr: learning rate.
        wd: weight decay; 0: nothing happens.
        **kwargs: hyper-parameters and state that this stepper does not use.

    Source: Loshchilov & Hutter 2017, https://arxiv.org/abs/1711.05101.
    """
    if wd != 0:
        p.mul_(1 - lr * wd)


@hyper_defaults(wd=0.0)
def l2_reg(p: torch.Tensor, wd: float, **kwargs: Any) -> None:
    """L2 penalty, `grad += wd * p`; put it before the steppers that average the gradient.

    Args:
        p: the parameter, with its gradient.
        wd: weight of the penalty; 0: nothing happens.
        **kwargs: hyper-parameters and state that this stepper does not use.
    """
    if wd != 0:
        p.grad.add_(p, alpha=wd)


@hyper_defaults(eps=1e-8)
def rms_prop_step(p: torch.Tensor, lr: float, sqr_avg: torch.Tensor, eps: float, grad_avg: torch.Tensor | None = None,
                  **kwargs: Any) -> None:
    """`p -= lr * grad / (sqrt(sqr_avg) + eps)`, with `grad_avg` in place of the gradient where `average_grad` runs before it.

    Args:
        p: the parameter, with its gradient.
        lr: learning rate.
        sqr_avg: average of the squared gradients, from `average_sqr_grad`.
        eps: keeps the denominator away from 0.
        grad_avg: average of the gradients.
        **kwargs: hyper-parameters and state that this stepper does not use.
    """
    p.addcdiv_(p.grad if grad_avg is None else grad_avg, sqr_avg.sqrt().add_(eps), value=-lr)


@hyper_defaults(eps=1e-5)
def adam_step(p: torch.Tensor, lr: float, mom: float, sqr_mom: float, eps: float, step: int, grad_avg: torch.Tensor, sqr_avg: torch.Tensor,
              **kwargs: Any) -> None:
    """Adam's step. `average_grad(dampening=True)`, `average_sqr_grad` and `step_stat` come before it.

    Args:
        p: the parameter.
        lr: learning rate.
        mom, sqr_mom: shares that the averages keep.
        eps: keeps the denominator away from 0.
        step: number of this step, from 1.
        grad_avg, sqr_avg: averages of the gradients and of their squares.
        **kwargs: hyper-parameters and state that this stepper does not use.

    Source: Kingma & Ba 2014, https://arxiv.org/abs/1412.6980.
    """
    denominator = (sqr_avg / debias(sqr_mom, 1 - sqr_mom, step)).sqrt_().add_(eps)
    p.addcdiv_(grad_avg, denominator, value=-lr / debias(mom, 1 - mom, step))


@hyper_defaults(eps=1e-5)
def radam_step(p: torch.Tensor, lr: float, mom: float, sqr_mom: float, eps: float, step: int, grad_avg: torch.Tensor, sqr_avg: torch.Tensor,
               beta: float = 0.0, **kwargs: Any) -> None:
    """Rectified Adam: plain momentum until there are steps enough to judge the variance of the denominator.

    Args:
        p: the parameter.
        lr: learning rate.
        mom, sqr_mom: shares that the averages keep.
        eps: keeps the denominator away from 0.
        step: number of this step, from 1.
        grad_avg, sqr_avg: averages of the gradients and of their squares.
        beta: above 0, the denominator goes through `softplus(x, beta)`, which keeps it away from 0.
        **kwargs: hyper-parameters and state that this stepper does not use.

    Source: Liu et al. 2019, https://arxiv.org/abs/1908.03265.
    """
    debias1, debias2 = debias(mom, 1 - mom, step), debias(sqr_mom, 1 - sqr_mom, step)
    r_inf = 2 / (1 - sqr_mom) - 1
    r = r_inf - 2 * step * sqr_mom**step / (1 - sqr_mom**step)
    if r <= 5:
        p.add_(grad_avg, alpha=-lr / debias1)
        return
    rectified = (((r - 4) * (r - 2) * r_inf) / ((r_inf - 4) * (r_inf - 2) * r)) ** 0.5
    denominator = (sqr_avg / debias2).sqrt_().add_(eps)
    if beta:
        denominator = softplus(denominator, beta)
    p.addcdiv_(grad_avg, denominator, value=-lr * rectified / debias1)


def qhadam_step(p: torch.Tensor, lr: float, mom: float, sqr_mom: float, nu_1: float, nu_2: float, eps: float, step: int,
                grad_avg: torch.Tensor, sqr_avg: torch.Tensor, **kwargs: Any) -> None:
    """Quasi-hyperbolic Adam: averages mixed with the gradient of this step.

    Args:
        p: the parameter, with its gradient.
        lr: learning rate.
        mom, sqr_mom: shares that the averages keep.
        nu_1, nu_2: weights of the two averages against this step's gradient and its square; both 1 is Adam.
        eps: keeps the denominator away from 0.
        step: number of this step, from 1.
        grad_avg, sqr_avg: averages of the gradients and of their squares.
        **kwargs: hyper-parameters and state that this stepper does not use.

    Source: Ma & Yarats 2018, https://arxiv.org/abs/1810.06801.
    """
    top = (grad_avg / debias(mom, 1 - mom, step)).mul_(nu_1).add_(p.grad, alpha=1 - nu_1)
    bottom = (sqr_avg / debias(sqr_mom, 1 - sqr_mom, step)).mul_(nu_2).addcmul_(p.grad, p.grad, value=1 - nu_2)
    p.addcdiv_(top, bottom.sqrt_().add_(eps), value=-lr)


@hyper_defaults(trust_coeff=0.02, wd=0.0, eps=1e-8)
def larc_layer_lr(p: torch.Tensor, lr: float, trust_coeff: float, wd: float, eps: float, clip: bool = True,
                  **kwargs: Any) -> dict[str, torch.Tensor]:
    """The learning rate of one parameter, `lr * trust_coeff * |p| / (|grad| + wd*|p| + eps)`.

    A parameter or gradient that is all 0 gets `lr`: with the ratio, biases that start at 0 would stay there.

    Args:
        p: the parameter, with its gradient.
        lr: learning rate.
        trust_coeff: how far a step may move the parameter, as a fraction of its norm.
        wd: weight decay, which counts as a part of the gradient.
        eps: keeps the denominator away from 0.
        clip: keep the result from exceeding `lr` (LARC); False: LARS.
        **kwargs: hyper-parameters and state that this stepper does not use.

    Returns:
        The state `local_lr`, a tensor without axes.

    Source: You et al. 2017, https://arxiv.org/abs/1708.03888.
    """
    p_norm, g_norm = torch.linalg.vector_norm(p), torch.linalg.vector_norm(p.grad)
    ratio = trust_coeff * p_norm / (g_norm + wd * p_norm + eps)
    ratio = torch.where((p_norm > 0) & (g_norm > 0), ratio, torch.ones_like(ratio))
    return {"local_lr": lr * (ratio.clamp_(max=1) if clip else ratio)}


def larc_step(p: torch.Tensor, local_lr: torch.Tensor, grad_avg: torch.Tensor | None = None, **kwargs: Any) -> None:
    """`p -= local_lr * grad`, with `grad_avg` in place of the gradient where `average_grad` runs before it.

    Args:
        p: the parameter, with its gradient.
        local_lr: its own learning rate, from `larc_layer_lr`.
        grad_avg: average of the gradients.
        **kwargs: hyper-parameters and state that this stepper does not use.
    """
    p.sub_((p.grad if grad_avg is None else grad_avg) * local_lr)


@hyper_defaults(eps=1e-5)
def lamb_step(p: torch.Tensor, lr: float, mom: float, sqr_mom: float, eps: float, step: int, grad_avg: torch.Tensor, sqr_avg: torch.Tensor,
              **kwargs: Any) -> None:
    """Adam's step, scaled to the size of the parameter by `rms(p) / rms(step)`, at most 10, and 1 where either is 0.

    Args:
        p: the parameter.
        lr: learning rate.
        mom, sqr_mom: shares that the averages keep.
        eps: keeps the denominator away from 0.
        step: number of this step, from 1.
        grad_avg, sqr_avg: averages of the gradients and of their squares.
        **kwargs: hyper-parameters and state that this stepper does not use.

    Source: You et al. 2019, https://arxiv.org/abs/1904.00962.
    """
    denominator = (sqr_avg / debias(sqr_mom, 1 - sqr_mom, step)).sqrt_().add_(eps)
    move = (grad_avg / debias(mom, 1 - mom, step)).div_(denominator)
    p_rms, move_rms = p.square().mean().sqrt(), move.square().mean().sqrt()
    trust = torch.where((p_rms > 0) & (move_rms > 0), (p_rms / move_rms).clamp_(max=10), torch.ones_like(p_rms))
    p.sub_(move.mul_(trust), alpha=lr)


@hyper_defaults(mom=0.9, avg_mom=0.99)
def lion_step(p: torch.Tensor, lr: float, mom: float, avg_mom: float, grad_avg: torch.Tensor | None = None,
              **kwargs: Any) -> dict[str, torch.Tensor]:
    """`p -= lr * sign(mom*grad_avg + (1-mom)*grad)`, then `grad_avg` is updated with `avg_mom` (Lion, Chen et al. 2023, arXiv:2302.06675).

    Every element moves by `lr`, so it wants a learning rate 3 to 10 times smaller than Adam's, and as much more weight decay.
    """
    grad_avg = torch.zeros_like(p) if grad_avg is None else grad_avg
    p.sub_(torch.lerp(p.grad, grad_avg, mom).sign_(), alpha=lr)
    return {"grad_avg": grad_avg.lerp_(p.grad, 1 - avg_mom)}


# Steppers that keep state

@hyper_defaults(mom=0.9)
def average_grad(p: torch.Tensor, mom: float, dampening: bool = False, grad_avg: torch.Tensor | None = None,
                 **kwargs: Any) -> dict[str, torch.Tensor]:
    """Average the gradients: `mom*grad_avg + grad`, or with `dampening` `mom*grad_avg + (1-mom)*grad`. Starts at 0.

    Args:
        p: the parameter, with its gradient.
        mom: share of the average that is kept.
        dampening: weigh the gradient by `1 - mom`, which makes it a running mean.
        grad_avg: the average so far, from the state.
        **kwargs: hyper-parameters and state that this stepper does not use.

    Returns:
        The state `grad_avg`.
    """
    grad_avg = torch.zeros_like(p.grad) if grad_avg is None else grad_avg
    return {"grad_avg": grad_avg.mul_(mom).add_(p.grad, alpha=1 - mom if dampening else 1)}


@hyper_defaults(sqr_mom=0.99)
def average_sqr_grad(p: torch.Tensor, sqr_mom: float, dampening: bool = True, sqr_avg: torch.Tensor | None = None,
                     **kwargs: Any) -> dict[str, torch.Tensor]:
    """Average the squared gradients: `sqr_mom*sqr_avg + (1-sqr_mom)*grad**2`. Starts at 0.

    Args:
        p: the parameter, with its gradient.
        sqr_mom: share of the average that is kept.
        dampening: False: add the whole squared gradient, which makes it a decaying sum.
        sqr_avg: the average so far, from the state.
        **kwargs: hyper-parameters and state that this stepper does not use.

    Returns:
        The state `sqr_avg`.
    """
    sqr_avg = torch.zeros_like(p.grad) if sqr_avg is None else sqr_avg
    return {"sqr_avg": sqr_avg.mul_(sqr_mom).addcmul_(p.grad, p.grad, value=1 - sqr_mom if dampening else 1)}


def step_stat(p: torch.Tensor, step: int = 0, **kwargs: Any) -> dict[str, int]:
    """Count the steps of a parameter.

    Args:
        p: the parameter.
        step: the steps so far, from the state.
        **kwargs: hyper-parameters and state that this stepper does not use.

    Returns:
        The state `step`, this step included.
    """
    return {"step": step + 1}


def debias(mom: float, damp: float, step: int) -> float:
    """What to divide a running mean by because it started at 0: `damp * (1 - mom**step) / (1 - mom)`.

    Args:
        mom: share of the mean that each step keeps.
        damp: weight of each new value, `1 - mom` for a mean and 1 for a sum.
        step: how many values it has seen, from 1.
    """
    return damp * (1 - mom**step) / (1 - mom)


# The optimizer made of them

def _signature(f: Callable) -> tuple[list[str], list[str], bool]:
    "The names `f` takes besides the parameter, those it cannot do without, and whether it takes any other."
    parameters = list(inspect.signature(f).parameters.values())[1:]
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return [p.name for p in named], [p.name for p in named if p.default is p.empty], any(p.kind == p.VAR_KEYWORD for p in parameters)


def _defaults(f):
    return getattr(f, "defaults", None) or getattr(unwrapped(f), "defaults", {})


class Optimizer(HyperOptimizer):
    """A `torch.optim.Optimizer` whose step is a list of steppers, run for each parameter that has a gradient.

    It loops over parameters in Python, which is for reading and trying out: what `torch.optim` has is faster there.

    Args:
        params: parameters, lists of them (one per layer group) or group dicts.
        cbs: one stepper or a list, run in this order.
        hypers: the values that the steppers name (`lr`, `mom`, `wd` ...), each a number, or a slice or list over the layer groups; they
            are the keys of `param_groups`.
    """

    def __init__(self, params: Iterable[Any], cbs: Callable | Sequence[Callable], **hypers: Any):
        self.cbs = [cbs] if callable(cbs) else list(cbs or ())
        wrong = [f for f in self.cbs if not callable(f)]
        if wrong or not self.cbs:
            raise TypeError(f"Optimizer(cbs=...) takes one stepper function or a list of them; received "
                            f"{describe(wrong[0]) if wrong else 'an empty list'}. Write cbs=[average_grad, momentum_step].")
        defaults = {k: v for f in self.cbs for k, v in _defaults(f).items()} | hypers
        signatures = [_signature(f) for f in self.cbs]
        known = {n for names, _, _ in signatures for n in names} | {n for f in self.cbs for n in _defaults(f)}
        steppers = ", ".join(name_of(f) for f in self.cbs)
        for name in defaults:
            if name not in known:
                raise TypeError(f"Optimizer(...) does not take {name}={describe(defaults[name])}{did_you_mean(name, known)}: none of its "
                                f"steppers ({steppers}) names it. Add the stepper that uses it, or leave it out.")
        if "lr" in known and "lr" not in defaults:
            raise TypeError(f"Optimizer(...) needs lr, which its steppers ({steppers}) use: write Optimizer(params, cbs, lr=0.1).")
        self._hyper_names = tuple(defaults)
        self._takes = [None if takes_any else set(names) for names, _, takes_any in signatures]      # None: everything
        groups = with_hypers(params, defaults, "Optimizer(...)")
        super().__init__(groups, {k: groups[-1][k] for k in defaults})

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"cbs": self.cbs, "_hyper_names": self._hyper_names, "_takes": self._takes}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        "Make one step of every parameter that has a gradient; `closure`, if given, is called first and its loss returned."
        loss = None if closure is None else torch.enable_grad()(closure)()
        steppers = list(zip(self.cbs, self._takes, strict=True))
        for group in self.param_groups:
            hypers = {k: group[k] for k in self._hyper_names}
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                for f, takes in steppers:
                    given = {**hypers, **state}
                    try:
                        new = f(p, **(given if takes is None else {k: v for k, v in given.items() if k in takes}))
                    except TypeError as e:
                        self._explain_missing(f, given, e)
                        raise
                    if new:
                        if not hypers.keys().isdisjoint(new):
                            raise ValueError(f"stepper {name_of(f)} returned {', '.join(hypers.keys() & new)} as state, the name of a "
                                             "hyper-parameter of this optimizer: later steppers could not tell them apart. Rename it.")
                        state.update(new)
        return loss

    def _explain_missing(self, f, given, error):
        "Where `f` names a value that is there neither as hyper-parameter nor as state, say so."
        missing = [n for n in _signature(f)[1] if n not in given]
        if missing:
            raise TypeError(f"stepper {name_of(f)} needs {', '.join(missing)}: it is neither a hyper-parameter of this optimizer "
                            f"({', '.join(self._hyper_names)}) nor state that an earlier stepper returned. Steppers run in the order "
                            f"{', '.join(name_of(o) for o in self.cbs)}; give the value, or put the stepper that returns it "
                            "first.") from error
