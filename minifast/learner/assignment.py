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


def unknown_attribute(cls: type, name: str) -> AttributeError:
    """The error of an attribute that a learner does not declare.

    Args:
        cls: the class of the learner.
        name: of the attribute.
    """
    hint = did_you_mean(name, declared(cls)) or "."
    return AttributeError(f"a {cls.__name__} has no attribute '{name}'{hint} To keep a value of your own, put it on a Callback, or declare "
                          "it in a subclass")


def check_of_a_batch(name: str, value: Any) -> None:
    """Refuse what the loop cannot go on with.

    Args:
        name: one of `OF_A_BATCH`.
        value: what is assigned to it.

    Raises:
        TypeError: `xb` or `yb` is not a tuple, or `loss` is not a tensor.
    """
    if name == "loss":
        if not (value is None or isinstance(value, torch.Tensor)):
            raise TypeError(f"learn.loss is the tensor that the gradients come from; received {describe(value)}. A number is kept "
                            "elsewhere: write self.value = learn.loss.item()")
    elif not isinstance(value, (tuple, list)):
        of = "inputs" if name == "xb" else "targets"
        raise TypeError(f"learn.{name} is the tuple of all {of} of a batch; received {describe(value)}: write learn.{name} = (value,)")
