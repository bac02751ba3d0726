"""`opt.hypers`, `opt.set_hyper`: fastai's words on any torch optimizer.

`as_hyper_optimizer(opt)` gives an optimizer these words; what it is and does stays torch's. Every optimizer of a learner has them.
"""
from collections.abc import Iterator, MutableMapping
from functools import cache
from typing import Any, NoReturn

import torch

from .groups import get_hyper, hyper_names, layer_group_count, set_hyper


class GroupHypers(MutableMapping):
    """The hyper-parameters of one layer group by their short names, as they are now: `group["lr"] = 1e-3` changes the optimizer.

    Args:
        opt: the optimizer.
        layer: number of the layer group.
    """

    def __init__(self, opt: torch.optim.Optimizer, layer: int):
        self.opt, self.layer = opt, layer

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(f"{name!r}: this {type(self.opt).__name__} has {', '.join(self)}")
        return get_hyper(self.opt, name)[self.layer]

    def __setitem__(self, name: str, value: Any) -> None:
        values = get_hyper(self.opt, name)
        values[self.layer] = value
        set_hyper(self.opt, name, values)

    def __delitem__(self, name: str) -> NoReturn:
        raise TypeError(f"a hyper-parameter cannot be removed from an optimizer; set it: hypers[{self.layer}][{name!r}] = ...")

    def __contains__(self, name: object) -> bool:
        return name in hyper_names(self.opt)

    def __iter__(self) -> Iterator[str]:
        return iter(hyper_names(self.opt))

    def __len__(self) -> int:
        return len(hyper_names(self.opt))

    def __repr__(self) -> str:
        return repr(dict(self))


class _Elsewhere:
    "A name of fastai's optimizers that is found elsewhere here."

    def __init__(self, advice: str):
        self.advice = advice

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, opt: Any, owner: type) -> Any:
        raise AttributeError(f"{owner.__name__} has no attribute '{self.name}': {self.advice}")


class HyperOptimizer(torch.optim.Optimizer):
    "A torch optimizer with fastai's words for its hyper-parameters: made by `as_hyper_optimizer`."

    @property
    def hypers(self) -> list[GroupHypers]:
        "The hyper-parameters of each layer group (`wd`: of the parameters that decay); `opt.hypers[-1]['lr'] = 1e-3` sets one."
        return [GroupHypers(self, layer) for layer in range(layer_group_count(self))]

    def set_hyper(self, name: str, value: Any) -> None:
        """Set a hyper-parameter; in a fit, until it ends.

        Args:
            name: `lr`, `mom`, `sqr_mom`, `wd`, `eps` or one of the optimizer's own.
            value: a number, a slice or a list over the layer groups.
        """
        set_hyper(self, name, value)

    def set_hypers(self, **values: Any) -> None:
        "Set several hyper-parameters, each as `set_hyper` does."
        for name, value in values.items():
            set_hyper(self, name, value)

    param_lists = _Elsewhere("write [g['params'] for g in opt.param_groups]")
    all_params = _Elsewhere("write [p for g in opt.param_groups for p in g['params']]; the state of p is opt.state[p]")
    clear_state = _Elsewhere("write opt.state.clear(), or fit(..., reset_opt=True)")
    freeze_to = _Elsewhere("layer groups are frozen by the learner, learn.freeze_to(n)")
    freeze = _Elsewhere("layer groups are frozen by the learner, learn.freeze()")
    unfreeze = _Elsewhere("layer groups are frozen by the learner, learn.unfreeze()")
    frozen_idx = _Elsewhere("the learner knows it, learn.freezer.frozen_to")

    def __reduce_ex__(self, protocol: Any) -> tuple:
        "Pickled by the class that torch knows: the one made by `as_hyper_optimizer` has no name of its own."
        plain = next(c for c in type(self).__mro__ if "_made_here" not in vars(c))
        return _made_anew, (plain,), self.__getstate__()


def _made_anew(cls):
    return _with_words(cls).__new__(_with_words(cls))


@cache
def _with_words(cls):
    "`cls`, or where it lacks these words a subclass of the same name that has them; what it defines itself stands."
    return cls if issubclass(cls, HyperOptimizer) else type(cls.__name__, (cls, HyperOptimizer), {
        "__module__": cls.__module__, "__doc__": cls.__doc__, "_made_here": True})


def as_hyper_optimizer(opt: torch.optim.Optimizer) -> HyperOptimizer:
    """Give a torch optimizer fastai's words: `hypers`, `set_hyper`, `set_hypers`. The same object is returned.

    Args:
        opt: any optimizer.
    """
    made: Any = opt
    kind: Any = type(opt)
    made.__class__ = _with_words(kind)
    return made
