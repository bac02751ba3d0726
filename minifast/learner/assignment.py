"""What can be assigned to a learner: attributes that its class declares, and for a batch what the loop can go on with."""
from functools import cache
from typing import Any

import torch

from ..core.messages import describe, did_you_mean

#: Attributes that hold a batch and what is computed of it.
OF_A_BATCH = frozenset(("xb", "yb", "loss"))


@cache
def declared(cls: type) -> frozenset[str]:
    "Every attribute that `cls` and its bases declare, by a value, a method or an annotation in the class body."
    return frozenset(n for c in cls.__mro__ for n in (*vars(c), *getattr(c, "__annotations__", ())) if not n.startswith("__"))


def check_assignment(cls: type, name: str, value: Any) -> None:
    """Refuse what a learner cannot use.

    Args:
        cls: the class of the learner.
        name: of the attribute.
        value: what is assigned to it.

    Raises:
        AttributeError: nothing is called so.
        TypeError: `xb` or `yb` is not a tuple, or `loss` is not a tensor.
    """
    if name not in declared(cls) and not name.startswith("_"):
        hint = did_you_mean(name, declared(cls)) or "."
        raise AttributeError(f"a {cls.__name__} has no attribute '{name}'{hint} To keep a value of your own, put it on a Callback, or "
                             "declare it in a subclass")
    if name in ("xb", "yb"):
        if not isinstance(value, (tuple, list)):
            of = "inputs" if name == "xb" else "targets"
            raise TypeError(f"learn.{name} is the tuple of all {of} of a batch; received {describe(value)}: write learn.{name} = (value,)")
    elif name == "loss" and not (value is None or isinstance(value, torch.Tensor)):
        raise TypeError(f"learn.loss is the tensor that the gradients come from; received {describe(value)}. A number is kept elsewhere: "
                        "write self.value = learn.loss.item()")
