"""Optimizers: `torch.optim` with fastai's defaults and names, fused where the device has it, and those torch does not have.

Each is called as `opt_func(params, lr=..., **hypers)` and returns a real `torch.optim.Optimizer`: `param_groups`, `state_dict`,
closures, `torch.amp.GradScaler` and torch's schedulers work on it. `params` is what any torch optimizer takes, a list of lists (one per
layer group), or `param_groups(model, splitter(model))`, which also exempts norm and bias parameters from weight decay. Any
hyper-parameter may be a number, `slice(lo, hi)` over the layer groups, or a list with one value per layer group.
"""
import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import partial, wraps
from typing import Any, ParamSpec, TypeAlias, TypeVar

import torch
from torch import nn

from ..core.messages import describe, name_of, reject_unknown
from ..core.sharded import locals_of
from ..core.torch_internals import mul_
from .groups import exempt_from_decay, spread, torch_slot, with_hypers
from .hypers import HyperOptimizer, as_hyper_optimizer
from .lookahead import Lookahead
from .steppers import (
    Optimizer,
    average_grad,
    average_sqr_grad,
    l2_reg,
    lamb_step,
    larc_layer_lr,
    larc_step,
    lion_step,
    qhadam_step,
    radam_step,
    rms_prop_step,
    step_stat,
    weight_decay,
)

Params: TypeAlias = Iterable[torch.Tensor] | Iterable[Iterable[torch.Tensor]] | Iterable[dict[str, Any]]
Hyper: TypeAlias = float | slice | Sequence[float]
P = ParamSpec("P")
R = TypeVar("R")

_FUSED_DEVICES = ("cpu", "cuda", "mps")
_FUSED_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_TORCH_WORDS = {"momentum": "mom", "weight_decay": "wd", "betas": "mom (the first) and sqr_mom (the second)", "alpha": "sqr_mom"}
_HYPERS = {
    "params": "parameters, lists of them (one per layer group) or group dicts.",
    "lr": "learning rate.",
    "mom": "momentum: the decay of the average of the gradients.",
    "sqr_mom": "the decay of the average of the squared gradients.",
    "eps": "added to the denominator.",
    "wd": "weight decay.",
    "decouple_wd": "`p *= 1 - lr*wd` apart from the gradient (False: an L2 penalty).",
    "fused": "use torch's fused kernel (None: wherever it can be used).",
}


def _opt_func(f: Callable[P, R]) -> Callable[P, R]:
    "Let `f` answer keywords that it does not take with its own, torch's word with ours; document the usual parameters."
    takes = [n for n in inspect.signature(f).parameters if n not in ("params", "self")]
    name = f.__name__ if f.__name__ != "__init__" else f.__qualname__.split(".")[0]

    @wraps(f)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        unknown = {k: v for k, v in kwargs.items() if k not in (*takes, "params")}
        for word in unknown:
            if word in _TORCH_WORDS and _TORCH_WORDS[word].split()[0] in takes:
                raise TypeError(f"{name}(...) does not take {word}={describe(unknown[word])}: it is called {_TORCH_WORDS[word]} here. "
                                f"It takes: {', '.join(sorted(takes))}.")
        reject_unknown(unknown, takes, f"{name}(...)")
        return f(*args, **kwargs)

    if f.__doc__:
        usual = "".join(f"\n    {n}: {_HYPERS[n]}" for n in ("params", *takes) if n in _HYPERS)
        doc = inspect.cleandoc(f.__doc__)
        checked.__doc__ = doc.replace("Args:", "Args:" + usual) if "Args:" in doc else f"{doc}\n\nArgs:{usual}"
    return checked


def _can_fuse(groups):
    "Whether torch's fused kernels can step these parameters: plain floating point ones that all lie on one device that has them."
    params = [p[1] if isinstance(p, tuple) else p for g in groups for p in g["params"]]        # torch also takes (name, parameter)
    return (len({p.device for p in params}) == 1 and params[0].device.type in _FUSED_DEVICES
            and all(type(p) in (torch.Tensor, nn.Parameter) and p.dtype in _FUSED_DTYPES for p in params))


# Between the short names and torch's

def _torch_words(hypers, names, betas, hp_map):
    "`hypers` under the keywords a torch optimizer with the parameters `names` has for them."
    words = {}
    for name, value in hypers.items():
        key, i = torch_slot(name, names, hp_map) or (name, None)
        old = words.get(key, betas)
        words[key] = value if i is None else (*old[:i], value, *old[i + 1:])
    return words


def _torch_arguments(names, params, hypers, where, betas=(0.9, 0.999), hp_map=None):
    "(groups, keywords) to construct a torch optimizer that has the parameters `names` and should have `hypers`."
    short = {"lr", "mom", "sqr_mom", "wd", "eps", *(hp_map or ()), *hypers}
    allowed = {n for n in short if torch_slot(n, names, hp_map)}
    groups = with_hypers(params, hypers, where, allowed)
    defaults = {n: spread(v, 1 + max(g["layer_group"] for g in groups))[-1] for n, v in hypers.items()}
    made = [{k: v for k, v in g.items() if k not in allowed} | _torch_words({k: g[k] for k in allowed if k in g}, names, betas, hp_map)
            for g in groups]
    return made if "wd" in allowed else _joined(made), _torch_words(defaults, names, betas, hp_map)


def _joined(groups):
    "Without weight decay there is nothing to tell the two torch groups of a layer group apart, and LBFGS wants only one."
    joined = {}
    for i, g in enumerate(groups):
        settings = i if "param_names" in g else repr(sorted((k, v) for k, v in g.items() if k not in ("params", "no_decay")))
        if settings in joined:
            joined[settings]["params"] = joined[settings]["params"] + g["params"]
        else:
            joined[settings] = g | ({"no_decay": False} if "no_decay" in g else {})
    return list(joined.values())


def _torch_optimizer(opt_class, where, params, fused=None, settings=None, **hypers):
    "An `opt_class` of `torch.optim` with `hypers`; fused where it has such kernels and `fused` is not False."
    names = inspect.signature(opt_class).parameters
    groups, words = _torch_arguments(names, params, hypers, where)
    kernel = {"fused": (True if _can_fuse(groups) else None) if fused is None else fused} if "fused" in names else {}
    return as_hyper_optimizer(opt_class(groups, **words, **kernel, **(settings or {})))


# Torch's optimizers with fastai's defaults

@_opt_func
def Adam(params: Params, lr: Hyper = 1e-3, mom: Hyper = 0.9, sqr_mom: Hyper = 0.99, eps: Hyper = 1e-5, wd: Hyper = 0.01,
         decouple_wd: bool = True, fused: bool | None = None) -> torch.optim.Optimizer:
    """`torch.optim.AdamW`, or with `decouple_wd=False` `torch.optim.Adam` (Loshchilov & Hutter 2017, arXiv:1711.05101)."""
    opt_class = torch.optim.AdamW if decouple_wd else torch.optim.Adam
    return _torch_optimizer(opt_class, "Adam(...)", params, fused, lr=lr, mom=mom, sqr_mom=sqr_mom, eps=eps, wd=wd)


class _DecoupledDecay:
    """Gives a torch optimizer decoupled weight decay, `p *= 1 - lr*weight_decay` before its own step.

    It concerns groups with `decoupled_weight_decay`, as torch calls it for RAdam; in others `weight_decay` stays an L2 penalty.
    """

    def step(self, closure=None):
        "Make one step; `closure`, if given, is called first and its loss returned."
        loss = None if closure is None else torch.enable_grad()(closure)()
        always = self.defaults["decoupled_weight_decay"]     # for groups out of a plain torch optimizer's state dict
        decayed = [(g, g["weight_decay"]) for g in self.param_groups
                   if g.get("decoupled_weight_decay", always) and g["weight_decay"] != 0]
        for g, _ in decayed:
            self._decay(g)
        try:
            for g, _ in decayed:
                g["weight_decay"] = 0
            self._torch_step()
        finally:
            for g, amount in decayed:
                g["weight_decay"] = amount
        return loss

    @torch.no_grad()
    def _decay(self, group):
        params = [p for p in group["params"] if p.grad is not None]
        if not params:
            return
        amount = group["lr"] * group["weight_decay"]
        found_inf = getattr(self, "found_inf", None)         # set by GradScaler: the fused kernel skips the step where it is 1
        if found_inf is not None:
            amount = amount * (1 - found_inf.to(params[0].device))
        mul_(locals_of(params), 1 - amount)

    def _torch_step(self):
        # torch wraps `step` of a class with the step hooks at its first instance. They have run for this step already.
        step = super().step.__func__
        (step.__wrapped__ if getattr(step, "hooked", False) else step)(self)


class SGD(_DecoupledDecay, torch.optim.SGD, HyperOptimizer):
    """`torch.optim.SGD`: `m = mom*m + grad; p -= lr*m`, with decoupled weight decay.

    Args:
        params: parameters, lists of them (one per layer group) or group dicts.
        lr: learning rate.
        mom: momentum.
        wd: weight decay.
        decouple_wd: False: `wd` is an L2 penalty, as in torch.
        fused: use torch's fused kernel (None: wherever it can be used). Sparse gradients need `fused=False`.
    """

    @_opt_func
    def __init__(self, params: Params, lr: Hyper = 1e-3, mom: Hyper = 0.0, wd: Hyper = 0.0, decouple_wd: bool = True,
                 fused: bool | None = None):
        names = inspect.signature(torch.optim.SGD).parameters
        groups, words = _torch_arguments(names, params, {"lr": lr, "mom": mom, "wd": wd}, "SGD(...)")
        for g in groups:
            g.setdefault("decoupled_weight_decay", decouple_wd)
        super().__init__(groups, **words, fused=(True if _can_fuse(groups) else None) if fused is None else fused)
        self.defaults["decoupled_weight_decay"] = decouple_wd

    def _torch_step(self):
        # torch's fused kernel cannot take a parameter without momentum among others that have it: one that was frozen until now
        state = self.state
        for g in self.param_groups:
            if g.get("fused") and g["momentum"] != 0:
                new = [p for p in g["params"] if "momentum_buffer" not in state.get(p, ()) and p.grad is not None]
                if new and len(new) < sum(p.grad is not None for p in g["params"]):
                    for p in new:
                        state[p]["momentum_buffer"] = torch.zeros_like(p)
        super()._torch_step()


class _RMSpropW(_DecoupledDecay, torch.optim.RMSprop):
    "`torch.optim.RMSprop` with decoupled weight decay."

    def __init__(self, groups, lr=0.01, alpha=0.99, eps=1e-8, weight_decay=0.0):
        super().__init__([g | {"decoupled_weight_decay": True} for g in groups], lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay)
        self.defaults["decoupled_weight_decay"] = True


@_opt_func
def RMSProp(params: Params, lr: Hyper = 1e-3, mom: Hyper = 0.0, sqr_mom: Hyper = 0.99, eps: Hyper = 1e-8, wd: Hyper = 0.0,
            decouple_wd: bool = True) -> torch.optim.Optimizer:
    """RMSProp (Hinton 2012, lecture 6e): `p -= lr * g / (sqrt(mean of grad²) + eps)`; torch's where `mom` is 0.

    With `mom`, `g` is the running sum of gradients (torch's own RMSprop accumulates the quotient instead), on the composed `Optimizer`.
    """
    hypers = {"lr": lr, "sqr_mom": sqr_mom, "eps": eps, "wd": wd}
    if _is_zero(mom):
        return _torch_optimizer(_RMSpropW if decouple_wd else torch.optim.RMSprop, "RMSProp(...)", params, **hypers)
    return _composed(params, decouple_wd, [average_grad, average_sqr_grad, rms_prop_step], mom=mom, **hypers)


@_opt_func
def RAdam(params: Params, lr: Hyper = 1e-3, mom: Hyper = 0.9, sqr_mom: Hyper = 0.99, eps: Hyper = 1e-5, wd: Hyper = 0.0,
          beta: float = 0.0, decouple_wd: bool = True) -> torch.optim.Optimizer:
    """Rectified Adam (Liu et al. 2019, arXiv:1908.03265): `torch.optim.RAdam`.

    Args:
        beta: above 0 the denominator goes through `softplus(x, beta)`; this variant runs on the composed `Optimizer`, which adds
            `eps` after debiasing the denominator (torch: before).
    """
    hypers = {"lr": lr, "mom": mom, "sqr_mom": sqr_mom, "eps": eps, "wd": wd}
    if not beta:
        return _torch_optimizer(torch.optim.RAdam, "RAdam(...)", params, settings={"decoupled_weight_decay": decouple_wd}, **hypers)
    return _composed(params, decouple_wd, [*_ADAM_AVERAGES, radam_step], beta=beta, **hypers)


# Optimizers that torch does not have

_ADAM_AVERAGES = (partial(average_grad, dampening=True), average_sqr_grad, step_stat)


def _composed(params, decouple_wd, steppers, **hypers):
    return Optimizer(params, [weight_decay if decouple_wd else l2_reg, *steppers], **hypers)


def _is_zero(mom):
    return not isinstance(mom, slice) and all(m == 0 for m in (mom if hasattr(mom, "__len__") else [mom]))


@_opt_func
def QHAdam(params: Params, lr: Hyper = 1e-3, mom: Hyper = 0.999, sqr_mom: Hyper = 0.999, nu_1: Hyper = 0.7, nu_2: Hyper = 1.0,
           eps: Hyper = 1e-8, wd: Hyper = 0.0, decouple_wd: bool = True) -> Optimizer:
    """Quasi-hyperbolic Adam (Ma & Yarats 2018, arXiv:1810.06801); `nu_1 = nu_2 = 1` is Adam.

    Args:
        nu_1: weight of the averaged gradient against this step's gradient, 0 to 1.
        nu_2: the same of the averaged squared gradient.
    """
    return _composed(params, decouple_wd, [*_ADAM_AVERAGES, qhadam_step], lr=lr, mom=mom, sqr_mom=sqr_mom, nu_1=nu_1, nu_2=nu_2, eps=eps,
                     wd=wd)


@_opt_func
def Larc(params: Params, lr: Hyper = 1e-3, mom: Hyper = 0.9, clip: bool = True, trust_coeff: Hyper = 0.02, eps: Hyper = 1e-8,
         wd: Hyper = 0.0, decouple_wd: bool = True) -> Optimizer:
    """SGD with a learning rate per parameter, in proportion to `|p|/|grad|` (You et al. 2017, arXiv:1708.03888).

    Args:
        clip: the learning rate of a parameter is at most `lr` (False: LARS).
        trust_coeff: the factor of `|p|/|grad|`.
    """
    averages, hypers = ([], {}) if _is_zero(mom) else ([average_grad], {"mom": mom})
    return _composed(params, decouple_wd, [*averages, partial(larc_layer_lr, clip=clip), larc_step], lr=lr, trust_coeff=trust_coeff,
                     eps=eps, wd=wd, **hypers)


@_opt_func
def Lamb(params: Params, lr: Hyper = 1e-3, mom: Hyper = 0.9, sqr_mom: Hyper = 0.99, eps: Hyper = 1e-5, wd: Hyper = 0.0,
         decouple_wd: bool = True) -> Optimizer:
    """Adam with steps scaled to the size of each parameter, for large batches (You et al. 2019, arXiv:1904.00962)."""
    return _composed(params, decouple_wd, [*_ADAM_AVERAGES, lamb_step], lr=lr, mom=mom, sqr_mom=sqr_mom, eps=eps, wd=wd)


@_opt_func
def Lion(params: Params, lr: Hyper = 1e-4, mom: Hyper = 0.9, avg_mom: Hyper = 0.99, wd: Hyper = 0.0,
         decouple_wd: bool = True) -> Optimizer:
    """Steps by the sign of an averaged gradient (Chen et al. 2023, arXiv:2302.06675); `mom` is the paper's β1.

    Use a learning rate 3 to 10 times smaller than Adam's, and as much more weight decay.

    Args:
        avg_mom: decay of the average itself (the paper's β2).
    """
    return _composed(params, decouple_wd, [lion_step], lr=lr, mom=mom, avg_mom=avg_mom, wd=wd)


@_opt_func
def ranger(params: Params, lr: Hyper = 1e-3, mom: Hyper = 0.95, wd: Hyper = 0.01, eps: Hyper = 1e-6, k: int = 6, alpha: float = 0.5,
           sqr_mom: Hyper = 0.99, beta: float = 0.0, decouple_wd: bool = True) -> Lookahead:
    """`Lookahead(RAdam(...), k, alpha)`.

    Args:
        k: steps between two moves of the slow weights.
        alpha: how far the slow weights move, a fraction.
        beta: see `RAdam`.
    """
    return Lookahead(RAdam(params, lr=lr, mom=mom, sqr_mom=sqr_mom, eps=eps, wd=wd, beta=beta, decouple_wd=decouple_wd), k, alpha)


# Any other optimizer

def OptimWrapper(params: Params | None = None, opt: Callable[..., torch.optim.Optimizer] | torch.optim.Optimizer | None = None,
                 hp_map: dict[str, str] | None = None, **kwargs: Any) -> torch.optim.Optimizer:
    """Construct any torch optimizer, as an `opt_func`: `partial(OptimWrapper, opt=torch.optim.AdamW)`.

    It is returned as it is, but for the words `hypers` and `set_hyper`. Norm and bias parameters have weight decay 0 when `params` come
    from `param_groups`.

    Args:
        params: as for the optimizers of this package.
        opt: the class, or a `partial` of it. An optimizer that is constructed already is returned.
        hp_map: the short names of keywords that cannot be guessed, `{"beta1": "mom"}`; `betas__0` stands for the first of a tuple.
        kwargs: the optimizer's own keywords, or the short names `lr, mom, sqr_mom, wd, eps`.
    """
    places = {short: (key, int(i) if i else None) for word, short in (hp_map or {}).items() for key, _, i in [word.partition("__")]}
    made: Any = opt if isinstance(opt, torch.optim.Optimizer) else _construct(opt, params, places, kwargs)
    if made is opt and (params is not None or kwargs):
        raise TypeError(f"OptimWrapper(opt=...) received a constructed {type(opt).__name__}, which has its parameters and settings. "
                        f"Give the class, opt=torch.optim.{type(opt).__name__}, to construct it here.")
    if places:
        made.hp_map = places                 # where set_hyper looks
    return as_hyper_optimizer(made)


def _construct(opt, params, hp_map, kwargs):
    if not callable(opt):
        raise TypeError(f"OptimWrapper needs the class of a torch optimizer, such as opt=torch.optim.AdamW; received opt={describe(opt)}.")
    where = f"OptimWrapper(opt={name_of(opt)})"
    if params is None:
        raise TypeError(f"{where} needs params: model.parameters(), or what param_groups(model, splitter(model)) returns.")
    names = inspect.signature(opt).parameters
    keywords = {n for n, p in names.items() if p.kind != p.VAR_KEYWORD} - {"params"}
    short = {"lr", "mom", "sqr_mom", "wd", "eps", *hp_map}
    usable = {n for n in short if torch_slot(n, keywords, hp_map)}
    if not any(p.kind == p.VAR_KEYWORD for p in names.values()):
        reject_unknown(kwargs, usable | keywords, where)
    # what is a tuple by default, such as Adafactor's eps, is a setting of the optimizer's own
    hypers = {k: v for k, v in kwargs.items() if k in usable and not (k in names and isinstance(names[k].default, tuple))}
    own = {k: v for k, v in kwargs.items() if k not in hypers}
    default = names["betas"].default if "betas" in names else None
    betas = own.get("betas", default if isinstance(default, tuple) else (0.9, 0.999))
    groups, words = _torch_arguments(keywords, params, hypers, where, betas, hp_map)
    twice = [k for k in own if k in words]
    if twice:
        raise TypeError(f"{where} was given {twice[0]} both as {twice[0]}={own[twice[0]]!r} and by its short name. Give it once.")
    if decay := torch_slot("wd", keywords, hp_map):
        exempt_from_decay(groups, decay[0])
    return opt(groups, **own, **words)
